// The server's time, derived from its messages. A viewer's own clock may be hours off and may jump while the page is
// open, so the pages never read it (a test checks this). Between two messages the browser's monotonic clock counts.
//
// Does not know the messages.

/**
 * A message may be late, never early, so the largest difference seen is the most accurate. It is dropped after one to
 * two times this long, so that the clock also follows a server whose clock was set back.
 */
export const WINDOW_MS = 30_000;

export class ServerClock {
  #monotonic; #turnedAt = -Infinity;
  /** The server's clock minus the monotonic one, as seen in this window and in the one before. */
  #ahead = -Infinity; #aheadBefore = -Infinity;

  /** @param {() => number} monotonic in milliseconds */
  constructor(monotonic) { this.#monotonic = monotonic; }

  /** A message was written at `at`. @param {unknown} at milliseconds since the Unix epoch; other values are ignored */
  heard(at) {
    if (typeof at !== "number" || !Number.isFinite(at)) return;
    const now = this.#monotonic();
    if (now - this.#turnedAt >= WINDOW_MS) {
      this.#aheadBefore = this.#ahead;
      this.#ahead = -Infinity;
      this.#turnedAt = now;
    }
    this.#ahead = Math.max(this.#ahead, at - now);
  }

  /**
   * The current time at the server; null before the first message. If the monotonic clock sleeps with the machine, the
   * next message corrects it.
   */
  get now() {
    const ahead = Math.max(this.#ahead, this.#aheadBefore);
    return ahead === -Infinity ? null : this.#monotonic() + ahead;
  }

  /** How long ago `at` was; 0 if unknown. @param {number} [at] */
  age(at) { return at === undefined || this.now === null ? 0 : Math.max(0, this.now - at); }

  /** Whether `until` is past; false without an `until`, and before the first message. @param {number} [until] */
  isPast(until) { return until !== undefined && this.now !== null && until <= this.now; }
}
