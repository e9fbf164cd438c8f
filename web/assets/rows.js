// Rows of the list: comments, gifts, and lines about the room. Text goes in as text.

import { hueOf } from "./rooms.js";
import { compact, names as joined, t } from "./i18n.js";
import { isolated, textElement } from "./text.js";

const WHITE = 0xffffff;

/**
 * @typedef {{name: string, text: string, color?: number, own?: boolean, old?: boolean, offset: number, times?: number,
 *   names?: string[], into?: number, mark?: "merged"|"shed"|"unseen"}} Row `into`: the comment that it was merged into;
 *   `mark`: the reason why only its author sees it
 */

/** @param {string} name @param {string} [text] */
function element(name, className = "", text = undefined) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** @param {Row} row */
export function commentRow({ name, text, color = WHITE, own = false, old = false, offset, times = 1, names = [], mark }) {
  const item = element("li");
  item.dataset.offset = String(offset);
  item.classList.toggle("own", own);
  item.classList.toggle("old", old);
  if (color !== WHITE) item.style.setProperty("--tone", `#${color.toString(16).padStart(6, "0")}`);
  const who = textElement("bdi", "who", own ? `${isolated(name)} (${t("you")})` : name);
  who.style.setProperty("--hue", String(hueOf(name)));
  const what = textElement("span", "what", text);
  item.append(who, what);
  if (times > 1) setTimes(item, times, false);
  if (names.length > 0) item.append(element("span", "also", t("also", { names: joined(names) })));
  if (mark) item.append(element("span", "mark", t(`mark_${mark}`)));
  return item;
}

/**
 * Sets the count of a row; the count swells when it grows.
 * @param {HTMLElement} item
 * @param {number} times
 * @param {boolean} [grows]
 */
export function setTimes(item, times, grows = true) {
  let badge = item.querySelector(".times");
  if (!badge) {
    badge = element("span", "times");
    item.querySelector(".what").after(badge);
  }
  badge.textContent = `×${compact(times)}`;
  badge.setAttribute("aria-label", t("timesN", { n: times }));
  if (!grows) return;
  // Two names for one animation: a change of the name restarts it without forcing a layout.
  const odd = badge.classList.toggle("pop-odd");
  badge.classList.toggle("pop", !odd);
}

/** @param {string} text */
export const noteRow = (text) => textElement("li", "note", text);

/** @param {string} name @param {string} words */
export function houseRow(name, words) {
  const item = element("li", `house ${name}`);
  item.append(element("span", "label", t(`label_${name}`)), textElement("span", "what", words));
  return item;
}

/** @param {{who: string, gift: string, total: number}} gift */
export function giftRow({ who, gift, total }) {
  const item = element("li", "gave");
  const name = textElement("bdi", "who", who);
  name.style.setProperty("--hue", String(hueOf(who)));
  item.append(name, element("span", "what", t("gave", { gift })));
  if (total > 1) setTimes(item, total, false);
  return item;
}
