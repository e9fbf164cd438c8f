// The viewer's own comments: their author sees them whatever their outcome. A comment in a frame needs nothing. A
// comment that was merged, left out, or is not in this rendition is shown from here, after the frame that would have
// had it.
//
// Does not know the list or the stage; it reports the comments to show.

/** Comments whose counts are remembered; a merging window has far fewer. */
const REMEMBERED_MAX = 1_000;

/**
 * @typedef {{text: string, style: object, offset: number, into?: number, times?: number, mark: "merged"|"shed"|"unseen"}} Unseen
 */

export class Own {
  #show; #position = 0;
  /** The `times` of a comment, by its offset. @type {Map<number, number>} */ #times = new Map();
  /** Own comments that are acknowledged and not in a frame yet. @type {Map<number, {text: string, style: object, outcome: string, into?: number}>} */ #waiting = new Map();
  /** Own comments that were in frames. @type {Map<number, true>} */ #seen = new Map();

  /** @param {(unseen: Unseen) => void} show */
  constructor(show) { this.#show = show; }

  /** A comment in a frame. @param {{offset: number, times?: number, own: boolean}} comment */
  told({ offset, times = 1, own }) {
    remember(this.#times, offset, times);
    if (own) {
      remember(this.#seen, offset, true);
      this.#waiting.delete(offset);
    }
  }

  /** @param {{offset: number, times: number}} raise */
  raised({ offset, times }) { remember(this.#times, offset, times); }

  /** A deletion: own comments merged into it are not shown. @param {number} offset */
  removed(offset) {
    for (const [own, { into }] of this.#waiting) if (own === offset || into === offset) this.#waiting.delete(own);
  }

  /** @param {string} text @param {object} style @param {{offset: number, outcome: string, into?: number}} sent */
  acknowledged(text, style, { offset, outcome, into }) {
    if (this.#seen.has(offset)) return;
    remember(this.#waiting, offset, { text, style, outcome, into });
    this.reached(this.#position);
  }

  /** All frames up to this position have arrived. @param {number} position */
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

  /** A new log begins, with new offsets. */
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
