// The list of recent comments. Text goes in as text; rows are added a few times a second, at most so many, and old ones leave.

import { hueOf } from "./rooms.js";
import { t } from "./i18n.js";

/** Rows in the list: more than anybody scrolls back in a live show, few enough for a phone. */
const ROWS_MAX = 200;
/** Rows added at one time; what is over is counted and said. */
const ROWS_PER_FLUSH_MAX = 40;
const FLUSH_MS = 200;
/** A count of what was left out is said at most this often, not between any two comments. */
const TALLY_MS = 3_000;
const WHITE = 0xffffff;

/** @typedef {{name: string, text: string, color?: number, own?: boolean, old?: boolean, offset: number}} Row */

export class Chat {
  #list; #jump; #pending = []; #timer = 0; #tallies = new Map(); #tallyTimer = 0;

  /** @param {HTMLElement} list @param {HTMLElement} jump the button that leads back to the newest */
  constructor(list, jump) {
    this.#list = list;
    this.#jump = jump;
    list.addEventListener("scroll", () => { if (this.#atEnd()) jump.hidden = true; }, { passive: true });
    jump.addEventListener("click", () => this.#toEnd());
  }

  /** @param {Row[]} rows */
  add(rows) {
    for (const row of rows) this.#pending.push(() => this.#row(row));
    this.#bound();
  }

  /** A line about the connection or the room, in its place among the comments. @param {string} text */
  note(text) {
    this.#pending.push(() => note(text));
    this.#bound();
  }

  /** Counts what was left out; said as the word `key` with the number. @param {"shed"|"notListed"} key @param {number} n */
  tally(key, n) {
    this.#tallies.set(key, (this.#tallies.get(key) ?? 0) + n);
    this.#tallyTimer ||= setTimeout(() => {
      this.#tallyTimer = 0;
      for (const [word, sum] of this.#tallies) this.note(t(word, { n: sum }));
      this.#tallies.clear();
    }, TALLY_MS);
  }

  #bound() {
    const over = this.#pending.length - ROWS_PER_FLUSH_MAX;
    if (over > 0) {
      this.#pending.splice(0, over);
      this.tally("notListed", over);
    }
    this.#timer ||= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  #flush() {
    this.#timer = 0;
    const follow = this.#atEnd();
    this.#list.append(...this.#pending.map((make) => make()));
    this.#pending.length = 0;
    while (this.#list.childElementCount > ROWS_MAX) this.#list.firstElementChild.remove();
    if (follow) this.#toEnd(); else this.#jump.hidden = false;
  }

  #atEnd() {
    const list = this.#list;
    return list.scrollHeight - list.scrollTop - list.clientHeight < 48;
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#jump.hidden = true;
  }

  #row({ name, text, color = WHITE, own = false, old = false, offset }) {
    const item = document.createElement("li");
    item.dataset.offset = String(offset);
    item.classList.toggle("own", own);
    item.classList.toggle("old", old);
    if (color !== WHITE) item.style.setProperty("--tone", `#${color.toString(16).padStart(6, "0")}`);
    const who = document.createElement("span");
    who.className = "who";
    who.style.setProperty("--hue", String(hueOf(name)));
    who.textContent = own ? `${name} (${t("you")})` : name;
    const what = document.createElement("span");
    what.className = "what";
    what.dir = "auto";
    what.textContent = text;
    item.append(who, what);
    return item;
  }
}

function note(text) {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = text;
  return item;
}
