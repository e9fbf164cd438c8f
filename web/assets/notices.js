// Announcements and the pinned notice. An urgent announcement takes the focus until the viewer confirms it. Typed text
// stays in its box, and a key that was meant for it does not confirm the announcement.

import { t } from "./i18n.js";
import { textElement } from "./text.js";

const BARS_MAX = 3;
/** Display time of an `info` announcement without an end. The list of comments has it too. */
const BAR_MS = 25_000;
/** Most urgent announcements that wait for their turn. */
const URGENT_MAX = 8;
/** Remembered announcements, since a welcome after a reconnect may have them again. */
const SHOWN_MAX = 64;

const keyOf = ({ text, level, until }) => JSON.stringify([text, level, until]);

export class Announcements {
  #bars; #dialog; #text; #more; #clock; /** @type {import("./volley-board.js").Announcement[]} */ #urgent = [];
  /** @type {Map<string, true>} */ #shown = new Map();
  /** When each bar leaves: after its display time and after its `until`. @type {Map<HTMLElement, {readUntil: number, until?: number}>} */ #stays = new Map();

  /**
   * @param {{bars: HTMLElement, dialog: HTMLDialogElement, text: HTMLElement, more: HTMLElement, ok: HTMLElement}} parts
   * @param {import("./volley-clock.js").ServerClock} clock the clock for `until`
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

  /** The current announcements of a welcome. @param {import("./volley-board.js").Announcement[]} announcements */
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
      else this.#urgent[URGENT_MAX - 1] = announcement; // The newest is kept; the list has all of them.
      this.#next();
    } else {
      this.#bar(announcement);
    }
  }

  /** Removes expired announcements from the stage and the queue. Call it from time to time. */
  tick() {
    const now = performance.now();
    for (const [bar, { readUntil, until }] of this.#stays) {
      if (readUntil <= now && (until === undefined || this.#clock.isPast(until))) this.#drop(bar);
    }
    if (this.#urgent.length > 1) this.#next();
  }

  #next() {
    // The visible one stays until it is confirmed.
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
