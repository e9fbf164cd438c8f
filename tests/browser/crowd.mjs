// A small crowd that sends comments, so that a screenshot shows a busy room. It runs in a separate page with the pages'
// own client: one connection per person, slower than the rate limits.

const LINES = [
  "来了来了", "前方高能预警！", "这首歌太好听了", "主播晚上好～", "哈哈哈哈哈哈", "泪目", "这个镜头绝了", "有人知道背景音乐是什么吗？",
  "第一次看直播就遇到这么好的", "灯光太美了", "Good evening from Lisbon!", "what a view", "this chorus gives me chills", "encore! encore!",
  "安可！安可！", "手机电量只剩 3% 也要看完", "こんばんは！", "きれい…", "全场最佳", "大家一起挥灯牌", "别刷屏啦，让我看看脸", "爷青回",
  "awsl", "666666", "I was here", "刚下班，赶上了", "从去年等到现在", "请再唱一遍副歌", "鼓手今天状态真好", "한국에서 보고 있어요",
  "这段转调好难唱", "爱了爱了", "who is on keys tonight?", "晚安，明天还要上班", "谢谢你们带来的一切", "完结撒花 🎉",
];
const LOOKS = [
  {}, {}, {}, {}, {}, {}, { color: 0xffd93d }, { color: 0x4de1e8 }, { color: 0xff8ad8, size: 36 }, { color: 0x5ee27a, size: 18 },
  { mode: "top", color: 0xffd93d }, { mode: "bottom", color: 0xffffff }, { mode: "reverse" },
];

/**
 * Lets `people` talk in `room` until the page is closed, each about once in `pauseMs`.
 * @param {import("playwright-core").Page} page
 */
export async function crowd(page, origin, room, people, pauseMs) {
  await page.goto(`${origin}/`);
  await page.evaluate(async ([name, count, pause, lines, looks]) => {
    const { VolleyClient } = await import("/assets/volley-client.js");
    const url = `ws://${location.host}/v1/rooms/${name}/ws`;
    const any = (list) => list[Math.floor(Math.random() * list.length)];
    const clients = Array.from({ length: count }, () => new VolleyClient(url));
    await Promise.all(clients.map((client) => new Promise((resolve) => { client.once("welcome", resolve).connect(); })));
    const refusals = [];
    for (const client of clients) {
      const talk = async () => {
        await client.send(any(lines), { style: any(looks) }).catch((refusal) => refusals.push(refusal.code));
        if (Math.random() < 0.5) client.like(1 + Math.floor(Math.random() * 3));
        setTimeout(talk, pause * (0.5 + Math.random()));
      };
      setTimeout(talk, pause * Math.random());
    }
    globalThis.crowd = { clients, refusals };
  }, [room, people, pauseMs, LINES, LOOKS]);
}
