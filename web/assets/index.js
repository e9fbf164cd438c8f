// The list of live rooms, read every two seconds while the page is visible.

import { count, link, t, translate } from "./i18n.js";
import { hueOf, isRoom, LIST, roomUrl } from "./rooms.js";
import { Scene } from "./scene.js";

const REFRESH_MS = 2_000;
/** Most cards on the page; further rooms are counted. People scan dozens of cards, not thousands. */
const CARDS_MAX = 60;
const TIMEOUT_MS = 5_000;

const $ = (id) => document.getElementById(id);
const cards = new Map();

/** Written only when it changes, because screen readers read a live region after every write. */
function say(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words;
}

function cardOf(room) {
  const known = cards.get(room);
  if (known) return known;
  const node = (tag, name, parent) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    parent?.append(made);
    return made;
  };
  const item = node("li");
  const anchor = node("a", "room", item);
  anchor.href = link(roomUrl(room));
  anchor.setAttribute("aria-label", t("enter", { room }));
  const cover = node("div", "cover", anchor);
  cover.style.setProperty("--hue", String(hueOf(room)));
  const online = node("b", "", cover);
  const words = node("div", "words", anchor);
  node("strong", "", words).textContent = room;
  const figures = node("span", "", words);
  const card = { item, online, figures };
  cards.set(room, card);
  return card;
}

/**
 * @param {{rooms: {room: string, online: number, likes: number, comments: number}[], total: number}} answer most viewers first
 */
function show({ rooms, total }) {
  // The server keeps a room for a while after its last viewer left; a room is live while it has viewers.
  const live = rooms.filter((entry) => entry.online > 0);
  // The answer has only the fullest rooms; if it includes idle rooms, it includes every live one.
  const more = live.length === rooms.length && total > rooms.length ? "+" : "";
  const shown = live.sort((a, b) => b.online - a.online || a.room.localeCompare(b.room)).slice(0, CARDS_MAX);
  const wanted = new Set(shown.map((entry) => entry.room));
  for (const [room, card] of cards) if (!wanted.has(room)) { card.item.remove(); cards.delete(room); }
  shown.forEach((entry, place) => {
    const card = cardOf(entry.room);
    card.online.textContent = t("watching", { n: entry.online });
    card.figures.textContent = `${t("likesN", { n: entry.likes })} · ${t("commentsN", { n: entry.comments })}`;
    if ($("rooms").children[place] !== card.item) $("rooms").insertBefore(card.item, $("rooms").children[place] ?? null);
  });
  $("notice").hidden = true;
  $("nobody").hidden = live.length > 0;
  const rest = live.length - shown.length;
  say("total", live.length > 0 ? t("roomsTotal", { n: count(live.length) + more }) : "");
  say("rest", rest > 0 ? t("more", { n: count(rest) + more }) : "");
}

async function refresh() {
  try {
    const answer = await fetch(LIST, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
  } catch {
    say("notice", t("roomsFailed"));
    $("notice").hidden = false;
  }
}

/** One read at a time; the next is scheduled when one ends, and none while the page is hidden. */
let timer = 0;
let reading = false;
async function loop() {
  if (reading || document.hidden) return;
  reading = true;
  await refresh();
  reading = false;
  timer = setTimeout(loop, REFRESH_MS);
}

translate();
document.title = `Volley · ${t("liveRooms")}`;
$("open-demo").href = link(roomUrl("demo"));
$("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const room = $("room").value.trim() || $("room").placeholder;
  $("room-problem").textContent = isRoom(room) ? "" : t("roomBad");
  $("room").setAttribute("aria-invalid", String(!isRoom(room)));
  if (isRoom(room)) location.assign(link(roomUrl(room)));
  else $("room").focus();
});

const scene = new Scene($("scene"));
const still = matchMedia("(prefers-reduced-motion: reduce)");
const settle = () => {
  clearTimeout(timer);
  if (document.hidden || still.matches) scene.stop(); else scene.start();
  if (!document.hidden) loop();
};
document.addEventListener("visibilitychange", settle);
still.addEventListener("change", settle);
settle();
