// One's own comments: whatever the room makes of them, their author sees them. What a frame brings needs nothing; what was
// folded into another comment, left out, or not in this rendition is shown here, once the frame that would have had it is past.
//
// Does not know the list or the stage: it says what to show.

/** Comments whose numbers are remembered; a window of merging is far shorter. */
const REMEMBERED_MAX = 1_000;

/** @typedef {{text: string, style: object, offset: number, into?: number, times?: number, mark: "merged"|"shed"|"unseen"}} Unseen */

export class Own {
  #show; #position = 0;
  /** What a comment stands for, by its offset. @type {Map<number, number>} */ #times = new Map();
  /** Acknowledged, and not yet seen. @type {Map<number, {text: string, style: object, outcome: string, into?: number}>} */ #waiting = new Map();
  /** Own comments that frames brought. @type {Map<number, true>} */ #seen = new Map();

  /** @param {(unseen: Unseen) => void} show */
  constructor(show) { this.#show = show; }

  /** A comment that a frame brought. @param {{offset: number, times?: number, own: boolean}} comment */
  told({ offset, times = 1, own }) {
    remember(this.#times, offset, times);
    if (own) {
      remember(this.#seen, offset, true);
      this.#waiting.delete(offset);
    }
  }

  /** @param {{offset: number, times: number}} raise */
  raised({ offset, times }) { remember(this.#times, offset, times); }

  /** A deletion: what was folded into it is not shown any more. @param {number} offset */
  removed(offset) {
    for (const [own, { into }] of this.#waiting) if (own === offset || into === offset) this.#waiting.delete(own);
  }

  /** @param {string} text @param {object} style @param {{offset: number, outcome: string, into?: number}} sent */
  acknowledged(text, style, { offset, outcome, into }) {
    if (this.#seen.has(offset)) return;
    remember(this.#waiting, offset, { text, style, outcome, into });
    this.reached(this.#position);
  }

  /** Everything up to here is told. @param {number} position */
  reached(position) {
    this.#position = position;
    for (const [offset, { text, style, outcome, into }] of this.#waiting) {
      if (offset > position) continue;
      this.#waiting.delete(offset);
      remember(this.#seen, offset, true);
      const mark = outcome === "merged" || outcome === "shed" ? outcome : "unseen";
      this.#show({ text, style, offset, into, times: into === undefined ? undefined : this.#times.get(into), mark });
    }
  }

  /** Another log: its offsets are others. */
  restart() {
    this.reached(Number.MAX_SAFE_INTEGER);
    this.#position = 0;
    this.#times.clear();
    this.#seen.clear();
  }
}

/** Newest last; the oldest leaves. */
function remember(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > REMEMBERED_MAX) map.delete(map.keys().next().value);
}
