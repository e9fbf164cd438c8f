// Room names: their syntax, the address of the page, the address of the socket.
//
// Every address is relative to the address of these scripts, because a proxy may put the pages below any path.

/**
 * The address of the list of rooms: `https://shop.example/chat/` for scripts in `https://shop.example/chat/assets/`.
 */
export const HOME = new URL("../", import.meta.url).href;

/** @param {string} room */
export const isRoom = (room) => /^[A-Za-z0-9_-]{1,64}$/.test(room);

/** The room in the path of a watch page, valid or not, whatever is before it. @param {string} path */
export function roomOf(path) {
  const raw = path.replace(/\/$/, "").replace(/^.*\/rooms\//, "");
  try { return decodeURIComponent(raw); } catch { return raw; }
}

/** @param {string} room @param {string} [home] */
export const roomUrl = (room, home = HOME) => new URL(`rooms/${room}`, home).href;

/** The list of rooms for programs. */
export const LIST = new URL("v1/rooms", HOME).href;

/** The address of a room in the API. @param {string} room @param {string} [home] */
export const apiUrl = (room, home = HOME) => new URL(`v1/rooms/${room}`, home).href;

/** @param {string} room @param {string} [home] */
export function socketUrl(room, home = HOME) {
  const url = new URL(`${apiUrl(room, home)}/ws`);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** A hue that is always the same for a name. @param {string} name */
export function hueOf(name) {
  let hash = 0;
  for (let i = 0; i < name.length; i += 1) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) >>> 0;
  return hash % 360;
}
