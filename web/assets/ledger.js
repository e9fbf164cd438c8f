// The line that says how many of the sent comments are shown, now and in total, and why the others are not.

import { count, t } from "./i18n.js";

/** The rate is averaged over this time: a shorter time makes it jump, a longer one makes it late. */
export const WINDOW_MS = 5_000;

/** Comments shown and sent per second. The time is an argument. */
export class Pace {
  /** @type {{at: number, shown: number, total: number}[]} */ #parts = [];

  /** @param {number} now in milliseconds @param {number} shown @param {number} total */
  add(now, shown, total) {
    this.#leave(now);
    if (shown + total > 0) this.#parts.push({ at: now, shown, total });
  }

  /** @param {number} now */
  rates(now) {
    this.#leave(now);
    const sum = (key) => this.#parts.reduce((all, part) => all + part[key], 0) / (WINDOW_MS / 1_000);
    return { shown: sum("shown"), total: sum("total") };
  }

  #leave(now) {
    while (this.#parts.length > 0 && this.#parts[0].at <= now - WINDOW_MS) this.#parts.shift();
  }
}

export class LedgerPanel {
  #parts; #pace = new Pace(); #dropped; #shown = 0; #slow = false;
  #merged = /** @type {Record<string, number>} */ ({}); #shed = /** @type {Record<string, number>} */ ({});
  #counters = { likes: 0, online: 0, unique: 0 };

  /**
   * @param {{root: HTMLDetailsElement, line: HTMLElement, facts: HTMLElement, why: HTMLElement, renditions: HTMLInputElement[]}} parts
   * @param {{dropped: () => number, ask: (rendition: string) => void}} page `dropped`: comments that this page did not show on its stage
   */
  constructor(parts, { dropped, ask }) {
    this.#parts = parts;
    this.#dropped = dropped;
    for (const input of parts.renditions) input.addEventListener("change", () => { if (input.checked) ask(input.value); });
    parts.root.addEventListener("toggle", () => this.paint());
  }

  /** @param {import("./volley-client.js").Ledger} ledger */
  add({ shown, total, merged, shed, origin }) {
    // Comments that arrive after a pause were not sent in one moment.
    if (origin === "live") this.#pace.add(performance.now(), shown, total);
    this.#shown += shown;
    gather(this.#merged, merged);
    gather(this.#shed, shed);
  }

  /** @param {{likes: number, online: number, unique: number}} counters */
  counters(counters) { this.#counters = counters; }

  /** @param {string} now @param {string} [reason] */
  rendition(now, reason = "asked") {
    for (const input of this.#parts.renditions) input.checked = input.value === now;
    this.#parts.root.dataset.rendition = now;
    this.#slow = reason === "slow";
    this.#parts.why.textContent = this.#slow ? t("renditionSlow") : "";
    this.paint();
  }

  paint() {
    const { root, line, facts } = this.#parts;
    const words = this.#line();
    if (line.textContent !== words) line.textContent = words;
    if (!root.open) return;
    const rows = [[t("factShown"), count(this.#shown)]];
    for (const [word, byClass] of [["factMerged", this.#merged], ["factShed", this.#shed]]) {
      for (const [name, n] of Object.entries(byClass)) rows.push([t(word, { what: t(`class_${name}`) }), count(n)]);
    }
    if (this.#dropped() > 0) rows.push([t("factDropped"), count(this.#dropped())]);
    const { likes, online, unique } = this.#counters;
    rows.push([t("factLikes"), count(likes)], [t("factOnline"), count(online)]);
    if (unique > 0) rows.push([t("factUnique"), t("about", { n: unique })]);
    facts.replaceChildren(...rows.flatMap(([name, value]) => {
      const term = document.createElement("dt");
      term.textContent = name;
      const fact = document.createElement("dd");
      fact.textContent = value;
      return [term, fact];
    }));
  }

  #line() {
    const { shown, total } = this.#pace.rates(performance.now());
    const parts = [];
    const word = total > shown ? "showing" : this.#dropped() > 0 ? "pace" : "showingAll";
    if (total > 0) parts.push(t(word, { shown: rate(shown), total: rate(total) }));
    if (this.#dropped() > 0) parts.push(t("unflown", { n: this.#dropped() }));
    if (this.#parts.root.dataset.rendition === "lite") parts.push(t(this.#slow ? "liteSlow" : "liteNow"));
    return parts.length > 0 ? parts.join(" · ") : t("ledger");
  }
}

/** Whole numbers for large rates, one decimal for small ones, so that a slow room does not show 0. */
const rate = (perSecond) => (perSecond >= 10 ? Math.round(perSecond) : Math.ceil(perSecond * 10) / 10);

function gather(sums, more) {
  for (const [name, n] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + n;
}
