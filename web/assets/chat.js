// The list of recent comments. Rows are added a few times a second, in limited numbers, and old rows leave. A row that
// stands for several comments grows in its place.

import { commentRow, giftRow, houseRow, noteRow, setTimes } from "./rows.js";
import { t } from "./i18n.js";

/** Most rows in the list: more than viewers scroll back in a live show, few enough for a phone. */
const ROWS_MAX = 200;
/** Most rows added at one time; further comments are counted, and a line says how many. */
const ROWS_PER_FLUSH_MAX = 40;
const FLUSH_MS = 200;
/** Shortest time between two lines with the number of comments left out. */
const TALLY_MS = 3_000;

export class Chat {
  #list; #jump; #timer = 0; #tallies = new Map(); #tallyTimer = 0;
  /** @type {{key: string, offset?: number, make: () => HTMLElement}[]} */ #pending = [];
  /**
   * Rows by key: a comment's offset, a gift's combo. An own comment also grows with the one that it was merged into.
   */
  #byKey = /** @type {Map<string, Set<HTMLElement>>} */ (new Map());
  /** Counts that grew since the last update of the rows. @type {Map<string, number>} */ #grown = new Map();

  /** @param {HTMLElement} list @param {HTMLElement} jump the button that scrolls to the newest row */
  constructor(list, jump) {
    this.#list = list;
    this.#jump = jump;
    list.addEventListener("scroll", () => { if (this.#atEnd()) jump.hidden = true; }, { passive: true });
    jump.addEventListener("click", () => this.#toEnd());
  }

  /** @param {import("./rows.js").Row[]} rows */
  add(rows) {
    for (const row of rows) this.#put(String(row.into ?? row.offset), () => commentRow(row), row.offset);
  }

  /**
   * A comment's count has grown. Ignored if the comment is not in the list any more.
   * @param {number} offset
   * @param {number} times
   */
  grow(offset, times) { this.#grow(String(offset), times); }

  /** Removes a deleted comment, and own comments that were merged into it. @param {number} offset */
  remove(offset) {
    const key = String(offset);
    this.#pending = this.#pending.filter((row) => row.offset !== offset && (row.offset === undefined || row.key !== key));
    // An own comment may be under the key of the one that it was merged into.
    const rows = /** @type {HTMLElement[]} */ ([...this.#list.children]);
    const itself = rows.filter((item) => item.dataset.offset === key);
    for (const item of new Set([...(this.#byKey.get(key) ?? []), ...itself])) {
      item.remove();
      this.#forget(item);
    }
  }

  /**
   * A gift; gifts of the same combo share a row.
   * @param {{key: string, who: string, gift: string, total: number}} gift
   */
  gift({ key, who, gift, total }) {
    if (this.#byKey.has(key) || this.#pending.some((row) => row.key === key)) this.#grow(key, total);
    else this.#put(key, () => giftRow({ who, gift, total }));
  }

  /** An announcement or a line about a poll. @param {"announcement"|"poll"} name @param {string} words */
  house(name, words) { this.#put("", () => houseRow(name, words)); }

  /** A line about the connection or the room, among the comments. @param {string} text */
  note(text) { this.#put("", () => noteRow(text)); }

  /**
   * Counts comments left out; a line shows the text `key` with the number.
   * @param {"notListed"} key
   * @param {number} n
   */
  tally(key, n) {
    this.#tallies.set(key, (this.#tallies.get(key) ?? 0) + n);
    this.#tallyTimer ||= setTimeout(() => {
      this.#tallyTimer = 0;
      for (const [word, sum] of this.#tallies) this.note(t(word, { n: sum }));
      this.#tallies.clear();
    }, TALLY_MS);
  }

  #put(key, make, offset) {
    this.#pending.push({ key, offset, make });
    if (this.#pending.length > ROWS_PER_FLUSH_MAX) {
      // Comments leave first, so that a crowd never displaces an announcement or a gift.
      const oldest = this.#pending.findIndex(({ offset: at }) => at !== undefined);
      this.#pending.splice(Math.max(0, oldest), 1);
      this.tally("notListed", 1);
    }
    this.#timer ||= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  #grow(key, times) {
    if (!this.#byKey.has(key) && !this.#pending.some((row) => row.key === key)) return;
    this.#grown.set(key, Math.max(times, this.#grown.get(key) ?? 0));
    this.#timer ||= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  #flush() {
    this.#timer = 0;
    const follow = this.#atEnd();
    const made = this.#pending.map(({ key, make }) => {
      const item = make();
      if (key) this.#remember(key, item);
      return item;
    });
    this.#list.append(...made);
    for (const [key, times] of this.#grown) for (const item of this.#byKey.get(key) ?? []) setTimes(item, times);
    this.#grown.clear();
    while (this.#list.childElementCount > ROWS_MAX) {
      const oldest = /** @type {HTMLElement} */ (this.#list.firstElementChild);
      oldest.remove();
      this.#forget(oldest);
    }
    const more = this.#pending.length > 0;
    this.#pending.length = 0;
    if (follow) this.#toEnd(); else if (more) this.#jump.hidden = false;
  }

  #remember(key, item) {
    item.dataset.key = key;
    if (!this.#byKey.has(key)) this.#byKey.set(key, new Set());
    this.#byKey.get(key).add(item);
  }

  #forget(item) {
    const key = item.dataset.key;
    if (key === undefined) return;
    const items = this.#byKey.get(key);
    items?.delete(item);
    if (items?.size === 0) this.#byKey.delete(key);
  }

  #atEnd() {
    const list = this.#list;
    return list.scrollHeight - list.scrollTop - list.clientHeight < 48;
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#jump.hidden = true;
  }
}
