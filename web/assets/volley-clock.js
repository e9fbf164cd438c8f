// What time it is at the server, by what its messages say. A viewer's own clock may be hours off and may jump while the page is
// open, so nothing on the pages reads it (a test looks for it); between two messages the browser's monotonic clock counts.
//
// Does not know the messages.

/**
 * A message may be late, never early, so the largest difference seen is the nearest to the truth. It is forgotten after one to two
 * times this long, so that a server whose clock was set back is believed again.
 */
export const WINDOW_MS = 30_000;

export class ServerClock {
  #monotonic; #turnedAt = -Infinity;
  /** How far the server's clock is ahead of the monotonic one, as seen in this window and in the one before. */
  #ahead = -Infinity; #aheadBefore = -Infinity;

  /** @param {() => number} monotonic in milliseconds */
  constructor(monotonic) { this.#monotonic = monotonic; }

  /** A message said that it was written at `at`. @param {unknown} at milliseconds since the Unix epoch; anything else is passed over */
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

  /** Now, at the server; null before it told its time. A monotonic clock that sleeps with the machine is corrected by the next message. */
  get now() {
    const ahead = Math.max(this.#ahead, this.#aheadBefore);
    return ahead === -Infinity ? null : this.#monotonic() + ahead;
  }

  /** How long ago `at` was; 0 where that cannot be known. @param {number} [at] */
  age(at) { return at === undefined || this.now === null ? 0 : Math.max(0, this.now - at); }

  /** Whether `until` is past. What has no end, and what cannot be judged yet, stands. @param {number} [until] */
  isPast(until) { return until !== undefined && this.now !== null && until <= this.now; }
}
