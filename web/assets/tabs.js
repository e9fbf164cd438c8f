// The board's tabs: on a small screen the pinned notice, the poll and the product card are one row of buttons, so that the list keeps
// its place. One of them is open at a time. On a large screen the cards stand in sight, and the style sheet hides the row.

import { shorten } from "./text.js";

/** More than any tab has room for. */
const WORDS_MAX = 60;

export class Tabs {
  #root; #pairs; #open = "";

  /**
   * @param {HTMLElement} root gets `data-open`, the id of the panel that is open
   * @param {{tab: HTMLElement, panel: HTMLElement, words: string}[]} pairs `words` selects what of a panel its tab says
   */
  constructor(root, pairs) {
    this.#root = root;
    this.#pairs = pairs;
    for (const pair of pairs) {
      pair.tab.addEventListener("click", () => this.#turn(this.#open === pair.panel.id ? "" : pair.panel.id));
      // The panels change in their own files; a tab follows what is seen of its panel.
      new MutationObserver(() => this.#follow(pair)).observe(pair.panel, {
        attributes: true, attributeFilter: ["hidden"], childList: true, characterData: true, subtree: true,
      });
      this.#follow(pair);
    }
  }

  #turn(id) {
    this.#open = id;
    this.#root.dataset.open = id;
    for (const { tab, panel } of this.#pairs) {
      tab.setAttribute("aria-expanded", String(panel.id === id));
      if (panel.id === id) delete tab.dataset.fresh;
    }
  }

  #follow({ tab, panel, words }) {
    const gone = panel.hidden;
    const said = gone ? "" : shorten([...panel.querySelectorAll(words)].map((node) => node.textContent).filter(Boolean).join(" "), WORDS_MAX);
    const shown = tab.querySelector(".tab-words");
    if (tab.hidden !== gone) tab.hidden = gone;
    if (gone && this.#open === panel.id) this.#turn("");
    if (shown.textContent === said) return;
    shown.textContent = said;
    if (!gone && this.#open !== panel.id) tab.dataset.fresh = "";
  }
}
