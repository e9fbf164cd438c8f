// The gift tray: givers and gifts on the edge of the stage. One row per combo; it counts up while the combo runs and
// leaves some seconds after the last gift.

import { hueOf } from "./rooms.js";
import { compact, t } from "./i18n.js";
import { textElement } from "./text.js";

const ROWS_MAX = 3;
const STAY_MS = 6_000;

export class GiftTray {
  #list; /** @type {Map<string, {item: HTMLElement, count: HTMLElement, timer: number, total: number}>} */ #rows = new Map();

  /** @param {HTMLElement} list */
  constructor(list) { this.#list = list; }

  /** @param {{key: string, who: string, gift: string, total: number}} gift */
  give(gift) {
    const row = this.#rows.get(gift.key) ?? this.#open(gift);
    if (gift.total > row.total) {
      row.total = gift.total;
      row.count.textContent = `×${compact(gift.total)}`;
      const odd = row.count.classList.toggle("pop-odd");
      row.count.classList.toggle("pop", !odd);
    }
    clearTimeout(row.timer);
    row.timer = window.setTimeout(() => this.#close(gift.key), STAY_MS);
  }

  #open({ key, who, gift }) {
    // Full: the row that was quiet longest leaves; the list of comments has its last count.
    if (this.#rows.size >= ROWS_MAX) this.#close(this.#rows.keys().next().value);
    const item = document.createElement("li");
    item.style.setProperty("--hue", String(hueOf(gift)));
    const sign = document.createElement("span");
    sign.className = "sign";
    sign.setAttribute("aria-hidden", "true");
    const words = document.createElement("span");
    words.className = "words";
    const giver = textElement("b", "", who);
    const what = document.createElement("span");
    what.textContent = t("gave", { gift });
    words.append(giver, what);
    const count = document.createElement("span");
    count.className = "count";
    item.append(sign, words, count);
    this.#list.append(item);
    const row = { item, count, timer: 0, total: 0 };
    this.#rows.set(key, row);
    return row;
  }

  #close(key) {
    const row = this.#rows.get(key);
    if (!row) return;
    this.#rows.delete(key);
    clearTimeout(row.timer);
    row.item.remove();
  }
}

/**
 * A gift as the page counts it: gifts of one person with one combo share a row; other gifts have their own.
 * @param {number} offset @param {import("./volley-client.js").Gift} gift
 */
export function counted(offset, { user, name, count, combo, total }) {
  const key = combo === undefined ? `gift ${offset}` : `gift ${user.id} ${combo}`;
  return { key, who: user.name, gift: name, total: total ?? count };
}
