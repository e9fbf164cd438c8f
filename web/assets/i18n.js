// The page's words, in English and Chinese. `?lang=` overrides the browser's languages.

const WORDS = {
  en: {
    tagline: "Live rooms, comments over the picture",
    liveRooms: "Live now",
    openRoom: "Open a room",
    roomName: "Room name",
    roomHint: "Letters, digits, “-” and “_”, up to 64",
    roomBad: "A room name has 1 to 64 letters, digits, “-” or “_”.",
    open: "Open",
    nobody: "Nobody is live yet",
    invite: "Open the room “demo” in two windows and talk to yourself: that is all it takes.",
    openDemo: "Open room “demo”",
    roomsFailed: "The list of rooms cannot be read now. Trying again…",
    loading: "Looking for live rooms…",
    roomsTotal: "{n} live",
    more: "and {n} more",
    watching: "{n} watching",
    likesN: "{n} likes",
    commentsN: "{n} comments",
    enter: "Enter room {room}",
    home: "All rooms",
    live: "LIVE",
    stage: "Live picture with comments flying over it",
    connecting: "Connecting…",
    connected: "Connected",
    reconnecting: "Reconnecting…",
    reconnectIn: "Reconnecting in {s} s",
    stopped: "Disconnected: {why}",
    tryAgain: "Try again",
    tryNow: "Now",
    online: "{n} online",
    pause: "Pause comments",
    resume: "Go on",
    density: "Density",
    low: "Low", normal: "Normal", high: "High",
    area: "Area",
    quarter: "Quarter", half: "Half", full: "Full",
    opacity: "Opacity",
    chat: "Comments",
    chatEmpty: "Nothing said yet. Be the first.",
    jump: "Newest",
    download: "Download",
    comment: "Your comment",
    placeholder: "Say something…",
    send: "Send",
    mode: "Where it goes",
    scroll: "Scroll", top: "Top", bottom: "Bottom", reverse: "Reverse",
    size: "Size",
    small: "Small", large: "Large",
    color: "Colour",
    white: "White", red: "Red", orange: "Orange", yellow: "Yellow", green: "Green", cyan: "Cyan", blue: "Blue", pink: "Pink",
    like: "Like",
    you: "you",
    putBack: "Put it back",
    unsent: "Not sent: “{text}”",
    shed: "{n} more not shown: the room is too fast",
    unflown: "{n} kept off the screen",
    notListed: "{n} more not listed",
    missed: "Missed up to {n}",
    missedSlow: "Missed up to {n}: this connection is too slow",
    missedSome: "Some comments were missed",
    restarted: "The room started over; what was before is gone",
    keys: "Keys: C comment · L like · Space pause · D density",
    e_rate_limited: "Too fast. Try again in {s} s.",
    e_rate_limited_now: "Too fast. You can try again now.",
    e_likes_limited: "The server does not count so many likes at once. Try again in {s} s.",
    e_too_long: "Too long: at most 512 characters.",
    e_empty: "There is nothing to show in it.",
    e_overloaded: "The server is busy. Try again in {s} s.",
    e_storage_unavailable: "The server cannot store comments now. Try again in a moment.",
    e_not_connected: "Not connected. Your text is kept.",
    e_id_conflict: "This comment could not be sent. Try again.",
    e_stale_id: "It is not certain whether this comment was sent. Look for it before you send it again.",
    e_unknown_outcome: "The connection broke before the answer came: it may or may not have been sent.",
    e_other: "Refused: {why}",
    o_merged: "Shown together with equal ones",
    o_shed: "Stored, but the room is too fast to show it",
    badRoom: "“{room}” is not a room name",
    c_1000: "the server ended it",
    c_1009: "a message was too big",
    c_4500: "too many bad messages",
    c_4501: "the token is not valid",
    c_4503: "not allowed",
    c_4504: "there is no such room",
    c_other: "code {code}",
    noScript: "This page needs JavaScript.",
  },
  zh: {
    tagline: "直播间弹幕，即发即见",
    liveRooms: "正在直播",
    openRoom: "进入房间",
    roomName: "房间名",
    roomHint: "字母、数字、“-”和“_”，最多 64 个",
    roomBad: "房间名由 1 到 64 个字母、数字、“-”或“_”组成。",
    open: "进入",
    nobody: "现在还没有直播",
    invite: "在两个窗口里打开房间“demo”，自己和自己聊两句就能看到效果。",
    openDemo: "进入房间“demo”",
    roomsFailed: "暂时读不到房间列表，正在重试…",
    loading: "正在查找直播间…",
    roomsTotal: "{n} 个直播中",
    more: "还有 {n} 个",
    watching: "{n} 人在看",
    likesN: "{n} 个赞",
    commentsN: "{n} 条弹幕",
    enter: "进入房间 {room}",
    home: "全部房间",
    live: "直播",
    stage: "直播画面，弹幕从上面飞过",
    connecting: "正在连接…",
    connected: "已连接",
    reconnecting: "正在重新连接…",
    reconnectIn: "{s} 秒后重新连接",
    stopped: "已断开：{why}",
    tryAgain: "重试",
    tryNow: "立即重连",
    online: "{n} 人在线",
    pause: "暂停弹幕",
    resume: "继续",
    density: "密度",
    low: "少", normal: "适中", high: "多",
    area: "区域",
    quarter: "四分之一", half: "半屏", full: "全屏",
    opacity: "不透明度",
    chat: "弹幕列表",
    chatEmpty: "还没有弹幕，来发第一条吧。",
    jump: "最新",
    download: "下载弹幕",
    comment: "你的弹幕",
    placeholder: "发条弹幕吧…",
    send: "发送",
    mode: "位置",
    scroll: "滚动", top: "顶部", bottom: "底部", reverse: "逆向",
    size: "字号",
    small: "小", large: "大",
    color: "颜色",
    white: "白", red: "红", orange: "橙", yellow: "黄", green: "绿", cyan: "青", blue: "蓝", pink: "粉",
    like: "点赞",
    you: "我",
    putBack: "放回输入框",
    unsent: "未发送：“{text}”",
    shed: "另有 {n} 条未显示：弹幕太多了",
    unflown: "{n} 条未上屏",
    notListed: "另有 {n} 条未列出",
    missed: "最多漏看 {n} 条",
    missedSlow: "最多漏看 {n} 条：你的网络太慢",
    missedSome: "漏看了一些弹幕",
    restarted: "房间已重新开始，之前的内容没有了",
    keys: "快捷键：C 发弹幕 · L 点赞 · 空格 暂停 · D 密度",
    e_rate_limited: "太快了，{s} 秒后再试。",
    e_rate_limited_now: "刚才太快了，现在可以再试。",
    e_likes_limited: "点赞太快，服务器没有全部计入，{s} 秒后再试。",
    e_too_long: "太长了：最多 512 个字。",
    e_empty: "没有可以显示的内容。",
    e_overloaded: "服务器繁忙，{s} 秒后再试。",
    e_storage_unavailable: "服务器暂时无法保存弹幕，请稍后再试。",
    e_not_connected: "未连接，文字已保留。",
    e_id_conflict: "这条弹幕没有发出去，请再试一次。",
    e_stale_id: "不确定这条弹幕是否已发送，重发前请先找一找。",
    e_unknown_outcome: "还没收到答复连接就断了：可能已发送，也可能没有。",
    e_other: "被拒绝：{why}",
    o_merged: "已和相同的弹幕合并显示",
    o_shed: "已保存，但弹幕太多，没有上屏",
    badRoom: "“{room}”不是房间名",
    c_1000: "服务器结束了连接",
    c_1009: "消息太大",
    c_4500: "错误消息太多",
    c_4501: "令牌无效",
    c_4503: "没有权限",
    c_4504: "没有这个房间",
    c_other: "代码 {code}",
    noScript: "本页需要 JavaScript。",
  },
};

/** @param {string|null} wished @param {readonly string[]} languages @returns {"en"|"zh"} */
export function pick(wished, languages) {
  for (const tag of [wished, ...languages]) {
    const language = tag?.toLowerCase().split("-")[0];
    if (language === "zh" || language === "en") return language;
  }
  return "en";
}

const wished = new URLSearchParams(globalThis.location?.search ?? "").get("lang");
export const language = pick(wished, globalThis.navigator?.languages ?? []);
const numbers = new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en");

/** The word for `key`; numbers in it are written the reader's way. @param {string} key @param {Record<string, string|number>} [values] */
export function t(key, values = {}) {
  const word = WORDS[language][key] ?? WORDS.en[key] ?? key;
  return word.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? numbers.format(values[name]) : values[name] ?? ""));
}

/** Whether there is such a word. @param {string} key */
export const has = (key) => key in WORDS.en;

/** @param {number} n */
export const count = (n) => numbers.format(n);

/** Puts words into `data-t` (text), `data-t-label` (aria-label and tooltip) and `data-t-placeholder`. */
export function translate(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(node.dataset.tLabel));
    node.title = t(node.dataset.tLabel);
  }
  for (const node of root.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
}

/** An address on this site that keeps the chosen language. @param {string} path */
export const link = (path) => (wished ? `${path}?lang=${encodeURIComponent(wished)}` : path);

export { WORDS };
