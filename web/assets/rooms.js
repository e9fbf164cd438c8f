// Room names: what one is, where its page is, where its socket is.

/** @param {string} room */
export const isRoom = (room) => /^[A-Za-z0-9_-]{1,64}$/.test(room);

/** The room that a watch page's path names, valid or not. @param {string} path */
export function roomOf(path) {
  const raw = path.replace(/^\/rooms\//, "").replace(/\/$/, "");
  try { return decodeURIComponent(raw); } catch { return raw; }
}

/** @param {string} room @param {{protocol: string, host: string}} location */
export function socketUrl(room, { protocol, host }) {
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/v1/rooms/${room}/ws`;
}

/** A hue that stays with a name. @param {string} name */
export function hueOf(name) {
  let hash = 0;
  for (let i = 0; i < name.length; i += 1) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) >>> 0;
  return hash % 360;
}
