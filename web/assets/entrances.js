// A known user comes in: one line on the stage, for a moment.

import { t } from "./i18n.js";

const STAY_MS = 3_500;

export class Entrances {
  #line; #timer = 0;

  /** @param {HTMLElement} line */
  constructor(line) { this.#line = line; }

  /** @param {{name: string, role?: string}} user */
  enter({ name, role }) {
    this.#line.textContent = t("entered", { name });
    this.#line.dataset.role = role ?? "";
    const odd = this.#line.classList.toggle("slide-odd");
    this.#line.classList.toggle("slide", !odd);
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => { this.#line.textContent = ""; }, STAY_MS);
  }
}
