// The watch page: connects the client, the stage, the list, the comment box, and the events of the show's owner.

import { Chat } from "./chat.js";
import { Composer, wordOf } from "./composer.js";
import { Danmaku } from "./danmaku.js";
import { Entrances } from "./entrances.js";
import { counted, GiftTray } from "./gifts.js";
import { compact, link, t, translate } from "./i18n.js";
import { shortcuts } from "./keys.js";
import { LedgerPanel } from "./ledger.js";
import { Likes } from "./likes.js";
import { Announcements, Pinned } from "./notices.js";
import { Own } from "./own.js";
import { PollCard, result, voteMemory } from "./poll.js";
import { productOf, Shelf } from "./product.js";
import { apiUrl, HOME, isRoom, roomOf, socketUrl } from "./rooms.js";
import { Scene } from "./scene.js";
import { Status } from "./status.js";
import { Tabs } from "./tabs.js";
import { isolated, shorten } from "./text.js";
import { newGuestKey, VolleyClient } from "./volley-client.js";

const $ = (id) => document.getElementById(id);
/**
 * User ids that this page has had: a guest may get a new one with each connection. No comment of an id more than 16
 * reconnects back still flies.
 */
const IDENTITIES_MAX = 16;
/**
 * Age limit for the stage. After a stall or a reconnect, comments, entrances and gifts that other viewers saw longer
 * ago than this go only to the list. The delay of a slow network stays below it.
 */
const LATE_MS = 5_000;

translate();
const room = roomOf(location.pathname);
document.title = `${isolated(room)} · Volley`;
$("room-name").textContent = room;
$("chat").dataset.empty = t("chatEmpty");
$("home").href = link(HOME);
if (isRoom(room)) $("download").href = `${apiUrl(room)}/export?format=bilibili-xml`;

/** The same guest in every tab and after a reload, if the browser allows storage. */
function guestKey() {
  try {
    const known = localStorage.getItem("volley.guest");
    if (known) return known;
    const key = newGuestKey();
    localStorage.setItem("volley.guest", key);
    return key;
  } catch {
    return undefined; // Storage is forbidden: a guest of this page only.
  }
}

const client = new VolleyClient(socketUrl(isRoom(room) ? room : "-"), { guestKey: guestKey() });
const danmaku = new Danmaku($("danmaku"));
const scene = new Scene($("scene"));
const chat = new Chat($("chat"), $("jump"));
const own = new Own(({ text, style, offset, into, times, mark }) => {
  const row = { ...style, text, offset, into, times, mark, name: client.user?.name ?? "", own: true };
  chat.add([row]);
  danmaku.push([flying(row)]);
});
const composer = new Composer(async (text, style, id) => {
  const sent = await client.send(text, { style, id });
  own.acknowledged(text.trim(), style, sent);
  return sent;
});
const likes = new Likes({ button: $("like"), total: $("likes"), sky: $("hearts"), send: (n) => client.like(n) });
const status = new Status({
  words: $("state"), why: $("why"), announce: $("announce"), retry: $("retry"), onRetry: () => client.connect(),
});
const tray = new GiftTray($("gifts"));
const entrances = new Entrances($("entrance"));
const announcements = new Announcements({
  bars: $("bars"), dialog: $("urgent"), text: $("urgent-text"), more: $("urgent-more"), ok: $("urgent-ok"),
}, client.clock);
const pinned = new Pinned({ root: $("pinned"), who: $("pinned-who"), text: $("pinned-text") });
const poll = new PollCard(
  { root: $("poll"), question: $("poll-question"), options: $("poll-options"), state: $("poll-state"), close: $("poll-close") },
  { vote: (id, option) => client.vote(id, option), memory: voteMemory(() => `${room} ${client.epoch}`), wordOf },
);
const shelf = new Shelf($("shelf"));
const ledger = new LedgerPanel(
  { root: $("ledger"), line: $("honest"), facts: $("facts"), why: $("rendition-why"), renditions: [...document.querySelectorAll("input[name=rendition]")] },
  { dropped: () => danmaku.counters.dropped, ask: (rendition) => client.ask(rendition) },
);
new Tabs(document.querySelector("main"), [
  { tab: $("tab-pinned"), panel: $("pinned"), words: "#pinned-who, #pinned-text" },
  { tab: $("tab-poll"), panel: $("poll"), words: "#poll-question" },
  { tab: $("tab-shelf"), panel: $("shelf"), words: ".product-title" },
]);
$("knobs-toggle").addEventListener("click", () => {
  const open = $("knobs").classList.toggle("open");
  $("knobs-toggle").setAttribute("aria-expanded", String(open));
});
const mine = new Set();
let epoch = null;

/** A row of the list, in the form for the stage. */
function flying({ text, mode, color, size, own: isOwn, offset, into, times = 1 }) {
  return { text, mode, color, size, own: isOwn, offset: into ?? offset, badge: times > 1 ? badge(times) : "" };
}
const badge = (times) => `×${compact(times)}`;

client.on("state", (change) => {
  status.show(change);
  rules();
});
client.on("welcome", (welcome) => {
  mine.add(welcome.you.id);
  if (mine.size > IDENTITIES_MAX) mine.delete(mine.values().next().value);
  if (epoch !== null && epoch !== welcome.epoch) {
    likes.restart();
    own.restart();
  }
  epoch = welcome.epoch;
  ledger.rendition(client.rendition);
});
client.on("events", ({ events, origin, tickMs, lateMs }) => {
  const comments = events.filter(({ comment }) => comment && !comment.deleted).map(({ offset, comment }) => ({
    ...comment.style, offset, text: comment.text, times: comment.times, names: comment.names, name: comment.user.name,
    own: mine.has(comment.user.id), old: origin === "snapshot",
  }));
  for (const comment of comments) own.told(comment);
  chat.add(comments);
  // Comments from before the viewer joined go only to the list, and so do those that other viewers saw a while ago.
  if (lateMs > LATE_MS) danmaku.pass(comments.length);
  else if (origin !== "snapshot") danmaku.push(comments.map(flying), origin === "live" ? tickMs : 2_000);
  for (const event of events) happened(event, origin, lateMs);
});

/** Events other than comments, in the order of the log, because one may undo another. */
function happened({ offset, gift, announcement, custom, enter, delete: gone }, origin, lateMs) {
  const isNew = origin !== "snapshot";
  const isNow = isNew && lateMs <= LATE_MS;
  if (gift) {
    const counts = counted(offset, gift);
    chat.gift(counts);
    if (isNow) tray.give(counts);
  }
  if (announcement) {
    chat.house(announcement.level === "urgent" ? "urgent" : "announcement", announcement.text);
    if (isNew && !client.clock.isPast(announcement.until)) announcements.announce(announcement);
  }
  if (custom && isNow && !custom.sticky && productOf(custom, location.href)) shelf.offer(custom);
  if (enter && isNow && origin === "live") entrances.enter(enter.user);
  if (gone) {
    for (const offset of [gone.offset, ...gone.also ?? []]) {
      chat.remove(offset);
      danmaku.remove(offset);
    }
    own.removed(gone.offset);
  }
}

/** Reports the result of a poll once: at its end, or when a new poll replaces it. */
let asked = { poll: null, tally: null };
function follow(fresh) {
  const { poll: now, tally } = client.board;
  const same = now?.id === asked.poll?.id;
  if (!fresh && asked.tally?.open && (!same || !tally?.open)) {
    chat.house("poll", t("pollResult", { what: result(asked.poll, same ? tally : asked.tally) }));
  }
  asked = { poll: now, tally };
  poll.show(now, tally);
}

client.on("raises", (raises) => {
  for (const raise of raises) {
    own.raised(raise);
    chat.grow(raise.offset, raise.times);
    danmaku.badge(raise.offset, badge(raise.times));
  }
});
client.on("board", ({ changed, fresh }) => {
  const { board } = client;
  if (changed.has("pinned")) pinned.show(board.pinned);
  if (changed.has("sticky")) shelf.stick(board.sticky.get("shop.product"));
  if (changed.has("poll")) follow(fresh);
  if (changed.has("settings")) rules();
  if (fresh) announcements.standing(board.announcements);
});

/** Applies the room's settings to what this viewer may do while connected. */
function rules() {
  const { settings } = client.board;
  const allowed = settings.allowed ?? ["comment", "like", "vote"];
  const isConnected = client.state === "connected";
  composer.rules(settings, client.user);
  likes.enable(isConnected && allowed.includes("like"));
  poll.enable(isConnected && allowed.includes("vote"));
  danmaku.set({ badges: (settings.merge ?? "off") !== "off" });
}

client.on("counters", (counters) => {
  likes.total(counters.likes);
  ledger.counters(counters);
  $("online").textContent = t("online", { n: counters.online });
});
client.on("ledger", (frame) => ledger.add(frame));
client.on("rendition", ({ now, reason }) => ledger.rendition(now, reason));
client.on("position", (position) => own.reached(position));
client.on("gap", ({ from, to, reason }) => {
  if (reason === "epoch_changed") chat.note(t("restarted"));
  else if (to === null) chat.note(t("missedSome"));
  else if (to > from) miss(to - from, reason);
});
/** Comments in gaps, not reported yet. An upper bound: offsets may skip numbers, and likes have offsets too. */
let missed = null;
/** One stall may be several gaps with guaranteed events between them; it is reported once. */
function miss(n, reason) {
  if (missed !== null && missed.reason !== reason) tellMissed();
  missed ??= { n: 0, reason, timer: setTimeout(tellMissed, 200) };
  missed.n += n;
}
function tellMissed() {
  clearTimeout(missed.timer);
  chat.note(t(missed.reason === "slow" ? "missedSlow" : "missed", { n: missed.n }));
  missed = null;
}
client.on("error", (refusal) => composer.refusedLikes(refusal));
setInterval(() => {
  ledger.paint();
  announcements.tick();
}, 500);

function setPaused(paused) {
  danmaku.set({ paused });
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").setAttribute("aria-label", t(paused ? "resume" : "pause"));
  $("pause").title = t(paused ? "resume" : "pause");
}
const isPaused = () => $("pause").getAttribute("aria-pressed") === "true";
const densities = [...document.querySelectorAll("input[name=density]")];
const setDensity = () => danmaku.set({ density: densities.find((input) => input.checked).value });
$("pause").addEventListener("click", () => setPaused(!isPaused()));
for (const input of densities) input.addEventListener("change", setDensity);
$("area").addEventListener("change", () => danmaku.set({ area: Number($("area").value) }));
$("opacity").addEventListener("input", () => danmaku.set({ opacity: Number($("opacity").value) / 100 }));
shortcuts({
  c: () => composer.focus(),
  "/": () => composer.focus(),
  l: () => likes.add(),
  " ": () => setPaused(!isPaused()),
  d: () => {
    const next = (densities.findIndex((input) => input.checked) + 1) % densities.length;
    densities[next].checked = true;
    setDensity();
  },
});

new ResizeObserver(([entry]) => {
  const { width, height } = entry.contentRect;
  if (width > 0 && height > 0) danmaku.resize(width, height, devicePixelRatio);
}).observe($("stage"));
const still = matchMedia("(prefers-reduced-motion: reduce)");
function settle() {
  danmaku.set({ still: still.matches });
  if (document.hidden) danmaku.stop(); else danmaku.start();
  if (document.hidden || still.matches) scene.stop(); else scene.start();
}
document.addEventListener("visibilitychange", settle);
still.addEventListener("change", settle);
settle();

// The browser's events for a changed network and for a page that slept (back/forward cache, frozen, suspended).
for (const name of ["online", "offline"]) addEventListener(name, () => client.networkChanged());
navigator.connection?.addEventListener?.("change", () => client.probe());
addEventListener("pageshow", ({ persisted }) => { if (persisted) client.networkChanged(); });
document.addEventListener("resume", () => client.networkChanged());
document.addEventListener("visibilitychange", () => { if (!document.hidden) client.probe(); });
likes.enable(false);
if (isRoom(room)) client.connect();
else status.stopped(t("badRoom", { room: shorten(room, 80) }), false);

/** For the console and for tests. */
globalThis.volley = { client, danmaku };
