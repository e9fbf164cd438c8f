// The watch page: joins the client, the stage, the list and the comment box.

import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { Danmaku } from "./danmaku.js";
import { link, t, translate } from "./i18n.js";
import { shortcuts } from "./keys.js";
import { Likes } from "./likes.js";
import { isRoom, roomOf, socketUrl } from "./rooms.js";
import { Scene } from "./scene.js";
import { Status } from "./status.js";
import { newGuestKey, VolleyClient } from "./volley-client.js";

const $ = (id) => document.getElementById(id);
/** Identities this page has had (a guest gets a new one with each connection); more than 16 reconnects back nothing of it flies. */
const IDENTITIES_MAX = 16;

translate();
const room = roomOf(location.pathname);
document.title = `${room} · Volley`;
$("room-name").textContent = room;
$("chat").dataset.empty = t("chatEmpty");
$("home").href = link("/");
if (isRoom(room)) $("download").href = `/v1/rooms/${room}/export?format=bilibili-xml`;

/** The same guest in every tab and after a reload, where the browser lets us remember it. */
function guestKey() {
  try {
    const known = localStorage.getItem("volley.guest");
    if (known) return known;
    const key = newGuestKey();
    localStorage.setItem("volley.guest", key);
    return key;
  } catch {
    return undefined; // Storage is forbidden: a guest of this page alone.
  }
}

const client = new VolleyClient(socketUrl(isRoom(room) ? room : "-", location), { guestKey: guestKey() });
const danmaku = new Danmaku($("danmaku"));
const scene = new Scene($("scene"));
const chat = new Chat($("chat"), $("jump"));
const composer = new Composer((text, style) => client.send(text, { style }));
const likes = new Likes({ button: $("like"), total: $("likes"), sky: $("hearts"), send: (n) => client.like(n) });
const status = new Status({
  words: $("state"), announce: $("announce"), retry: $("retry"), onRetry: () => client.connect(),
});
const mine = new Set();
let shed = 0;
let epoch = null;

client.on("state", (change) => {
  status.show(change);
  likes.enable(change.state === "connected");
});
client.on("welcome", (welcome) => {
  mine.add(welcome.you.id);
  if (mine.size > IDENTITIES_MAX) mine.delete(mine.values().next().value);
  if (epoch !== null && epoch !== welcome.epoch) likes.restart();
  epoch = welcome.epoch;
});
client.on("events", ({ events, origin, tickMs }) => {
  const comments = events.filter((event) => event.comment).map(({ offset, comment }) => ({
    ...comment.style, offset, text: comment.text, name: comment.user.name, own: mine.has(comment.user.id), old: origin === "snapshot",
  }));
  chat.add(comments);
  // What was said before one came is read, not flown.
  if (origin !== "snapshot") danmaku.push(comments, origin === "live" ? tickMs : 2_000);
});
client.on("counters", (counters) => {
  likes.total(counters.likes);
  $("online").textContent = t("online", { n: counters.online });
});
client.on("shed", (byClass) => {
  const n = Object.values(byClass).reduce((sum, each) => sum + each, 0);
  shed += n;
  chat.tally("shed", n);
});
client.on("gap", ({ from, to, reason }) => {
  if (reason === "epoch_changed") chat.note(t("restarted"));
  else if (to === null) chat.note(t("missedSome"));
  // An upper bound: offsets may skip, and likes have offsets too.
  else if (to > from) chat.note(t(reason === "slow" ? "missedSlow" : "missed", { n: to - from }));
});
client.on("error", (refusal) => composer.refusedLikes(refusal));

/** What did not reach the screen, and why: by the server's choice, and by this page's own. */
function honest() {
  const dropped = danmaku.counters.dropped;
  const parts = [];
  if (shed > 0) parts.push(t("shed", { n: shed }));
  if (dropped > 0) parts.push(t("unflown", { n: dropped }));
  const line = parts.join(" · ");
  if ($("honest").textContent !== line) $("honest").textContent = line;
}
setInterval(honest, 500);

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

// The network is back: no reason to sit out the wait. A connection given up for good stays so.
addEventListener("online", () => { if (document.body.dataset.state === "connecting") client.connect(); });
likes.enable(false);
if (isRoom(room)) client.connect();
else status.stopped(t("badRoom", { room: room.slice(0, 80) }), false);

/** For the console and for tests. */
globalThis.volley = { client, danmaku };
