// Room names: what one is, where its page is, where its socket is.
//
// Every address is relative to where these scripts came from: a proxy may put the pages below any path, and nobody here is told it.

/** Where the list of rooms is: `https://shop.example/chat/` for scripts in `https://shop.example/chat/assets/`. */
export const HOME = new URL("../", import.meta.url).href;

/** @param {string} room */
export const isRoom = (room) => /^[A-Za-z0-9_-]{1,64}$/.test(room);

/** The room that a watch page's path names, valid or not, wherever the pages are. @param {string} path */
export function roomOf(path) {
  const raw = path.replace(/\/$/, "").replace(/^.*\/rooms\//, "");
  try { return decodeURIComponent(raw); } catch { return raw; }
}

/** @param {string} room @param {string} [home] */
export const roomUrl = (room, home = HOME) => new URL(`rooms/${room}`, home).href;

/** The list of rooms for programs. */
export const LIST = new URL("v1/rooms", HOME).href;

/** What the API has of a room. @param {string} room @param {string} [home] */
export const apiUrl = (room, home = HOME) => new URL(`v1/rooms/${room}`, home).href;

/** @param {string} room @param {string} [home] */
export function socketUrl(room, home = HOME) {
  const url = new URL(`${apiUrl(room, home)}/ws`);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** A hue that stays with a name. @param {string} name */
export function hueOf(name) {
  let hash = 0;
  for (let i = 0; i < name.length; i += 1) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) >>> 0;
  return hash % 360;
}
