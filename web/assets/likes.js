// Likes: a click counts on the page at once and is sent together with its neighbours. The shown total falls only when
// likes turn out not to have been counted.

import { compact, count, t } from "./i18n.js";

/** Clicks within this time are sent in one message. */
const GATHER_MS = 250;
const GATHERED_MAX = 100;
/**
 * Likes that are not in the room's total after this time were not counted: lost with a connection, or refused. Totals
 * arrive every second.
 */
const SETTLE_MS = 5_000;
/** Most hearts on the screen at one time, and for one change of the total. */
const HEARTS_MAX = 24;
const HEARTS_PER_CHANGE_MAX = 4;
/** A longer number would take the comment box's space on a phone; screen readers get the whole number. */
const WHOLE_MAX = 1_000_000;
const TONES = ["#fb7185", "#f472b6", "#fbbf24", "#a78bfa", "#38bdf8"];

export class Likes {
  #button; #total; #sky; #send; #shown = 0; #told = 0; #gathered = 0; #timer = 0; #settling = 0; #known = false;

  /**
   * @param {{button: HTMLElement, total: HTMLElement, sky: HTMLElement, send: (count: number) => boolean}} parts
   *   `send` returns whether the likes were sent
   */
  constructor({ button, total, sky, send }) {
    this.#button = button;
    this.#total = total;
    this.#sky = sky;
    this.#send = send;
    button.addEventListener("click", () => this.add());
    sky.addEventListener("animationend", (event) => event.target.remove());
  }

  /** One like of this viewer. Does nothing without a connection, because it would not be counted. */
  add() {
    if (this.#button.getAttribute("aria-disabled") === "true" || this.#gathered >= GATHERED_MAX) return;
    this.#gathered += 1;
    this.#button.classList.remove("beat");
    void this.#button.offsetWidth; // Restarts the animation.
    this.#button.classList.add("beat");
    this.#show(this.#shown + 1);
    this.#timer ||= setTimeout(() => this.#flush(), GATHER_MS);
  }

  /** The room's own total. @param {number} likes */
  total(likes) {
    this.#told = likes;
    if (likes > this.#shown || !this.#known) this.#show(Math.max(likes, this.#shown));
    this.#known = true;
  }

  /** The room has a new log, so its total starts again. */
  restart() {
    this.#known = false;
    this.#shown = 0;
  }

  /** @param {boolean} possible */
  enable(possible) {
    this.#button.setAttribute("aria-disabled", String(!possible));
  }

  #flush() {
    this.#timer = 0;
    // The connection is gone: keep the likes for the next one.
    if (this.#send(this.#gathered)) {
      this.#gathered = 0;
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => this.#settle(), SETTLE_MS);
    } else if (this.#gathered > 0) this.#timer = setTimeout(() => this.#flush(), 4 * GATHER_MS);
  }

  /** Corrects a shown total that stays above the room's total. */
  #settle() {
    if (this.#gathered === 0 && this.#shown > this.#told) this.#show(this.#told);
  }

  #show(likes) {
    if (this.#known) this.#fly(likes - this.#shown);
    this.#shown = likes;
    this.#total.textContent = likes < WHOLE_MAX ? count(likes) : compact(likes);
    this.#button.setAttribute("aria-label", `${t("like")}, ${t("likesN", { n: likes })}`);
  }

  #fly(more) {
    if (document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const room = HEARTS_MAX - this.#sky.childElementCount;
    for (let i = 0; i < Math.min(more, HEARTS_PER_CHANGE_MAX, room); i += 1) {
      const heart = document.createElement("i");
      heart.textContent = "♥";
      heart.style.setProperty("--tone", TONES[Math.floor(Math.random() * TONES.length)]);
      heart.style.setProperty("--drift", `${Math.round((Math.random() - 0.7) * 90)}px`);
      heart.style.animationDelay = `${i * 90}ms`;
      this.#sky.append(heart);
    }
  }
}
