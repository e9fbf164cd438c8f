// What the house says: announcements and the pinned notice. An urgent announcement takes the focus and waits for an answer;
// typed text stays where it is, and a key that was meant for it answers nothing.

import { t } from "./i18n.js";
import { textElement } from "./text.js";

const BARS_MAX = 3;
/** An information without an end of its own. The list of comments has it too. */
const BAR_MS = 25_000;
/** Urgent ones that wait for their turn. */
const URGENT_MAX = 8;
/** Announcements that this page has shown: a newcomer's snapshot brings them again after a reconnect. */
const SHOWN_MAX = 64;

const keyOf = ({ text, level, until }) => JSON.stringify([text, level, until]);

export class Announcements {
  #bars; #dialog; #text; #more; #clock; /** @type {import("./volley-board.js").Announcement[]} */ #urgent = [];
  /** @type {Map<string, true>} */ #shown = new Map();
  /** When each bar leaves: not before its time on the page is over and its end is past. @type {Map<HTMLElement, {readUntil: number, until?: number}>} */ #stays = new Map();

  /**
   * @param {{bars: HTMLElement, dialog: HTMLDialogElement, text: HTMLElement, more: HTMLElement, ok: HTMLElement}} parts
   * @param {import("./volley-clock.js").ServerClock} clock what `until` is measured by
   */
  constructor({ bars, dialog, text, more, ok }, clock) {
    this.#clock = clock;
    this.#bars = bars;
    this.#dialog = dialog;
    this.#text = text;
    this.#more = more;
    ok.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      this.#urgent.shift();
      this.#next();
    });
  }

  /** Those that stand, for somebody who came just now. @param {import("./volley-board.js").Announcement[]} announcements */
  standing(announcements) {
    for (const announcement of announcements) if (!this.#shown.has(keyOf(announcement))) this.announce(announcement);
  }

  /** @param {import("./volley-board.js").Announcement} announcement */
  announce(announcement) {
    const key = keyOf(announcement);
    this.#shown.delete(key);
    this.#shown.set(key, true);
    if (this.#shown.size > SHOWN_MAX) this.#shown.delete(this.#shown.keys().next().value);
    if (announcement.level === "urgent") {
      if (this.#urgent.length < URGENT_MAX) this.#urgent.push(announcement);
      else this.#urgent[URGENT_MAX - 1] = announcement; // The newest counts; the list has them all.
      this.#next();
    } else {
      this.#bar(announcement);
    }
  }

  /** Time has passed: what is over leaves, on the stage and among those that wait. Call it now and then. */
  tick() {
    const now = performance.now();
    for (const [bar, { readUntil, until }] of this.#stays) {
      if (readUntil <= now && (until === undefined || this.#clock.isPast(until))) this.#drop(bar);
    }
    if (this.#urgent.length > 1) this.#next();
  }

  #next() {
    // The one in front of the reader stays until it is answered.
    const open = this.#dialog.open ? this.#urgent.slice(0, 1) : [];
    this.#urgent = [...open, ...this.#urgent.slice(open.length).filter(({ until }) => !this.#clock.isPast(until))];
    if (this.#urgent.length === 0) return;
    const waiting = this.#urgent.length - 1;
    this.#more.textContent = waiting > 0 ? t("urgentMore", { n: waiting }) : "";
    if (this.#dialog.open) return;
    this.#text.textContent = this.#urgent[0].text;
    this.#dialog.showModal();
  }

  #bar({ text, until }) {
    const bar = document.createElement("div");
    bar.className = "bar-notice";
    const words = textElement("p", "", text);
    const close = document.createElement("button");
    close.type = "button";
    close.className = "close";
    close.setAttribute("aria-label", t("dismiss"));
    close.title = t("dismiss");
    close.addEventListener("click", () => this.#drop(bar));
    bar.append(words, close);
    this.#bars.append(bar);
    this.#stays.set(bar, { readUntil: performance.now() + BAR_MS, until });
    while (this.#stays.size > BARS_MAX) this.#drop(this.#stays.keys().next().value);
  }

  #drop(bar) {
    this.#stays.delete(bar);
    bar.remove();
  }
}

export class Pinned {
  #root; #who; #text;

  /** @param {{root: HTMLElement, who: HTMLElement, text: HTMLElement}} parts */
  constructor({ root, who, text }) {
    this.#root = root;
    this.#who = who;
    this.#text = text;
  }

  /** @param {import("./volley-board.js").Pin|null} pin */
  show(pin) {
    this.#root.hidden = pin === null;
    this.#who.textContent = pin?.user ? pin.user.name : "";
    this.#text.textContent = pin?.text ?? "";
  }
}
