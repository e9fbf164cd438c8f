// The board's tabs: on a small screen the pinned notice, the poll and the product card are one row of buttons, so that
// the list keeps its space. One of them is open at a time. On a large screen the cards are visible, and the style sheet
// hides the row.

import { shorten } from "./text.js";

/** Longer than the width of any tab. */
const WORDS_MAX = 60;

export class Tabs {
  #root; #pairs; #open = "";

  /**
   * @param {HTMLElement} root gets `data-open`, the id of the panel that is open
   * @param {{tab: HTMLElement, panel: HTMLElement, words: string}[]} pairs `words` selects the element of a panel whose text the tab shows
   */
  constructor(root, pairs) {
    this.#root = root;
    this.#pairs = pairs;
    for (const pair of pairs) {
      pair.tab.addEventListener("click", () => this.#turn(this.#open === pair.panel.id ? "" : pair.panel.id));
      // Other files change the panels; a tab follows its panel.
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
