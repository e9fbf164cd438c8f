// Lanes: places on the stage for comments, so that no two overlap. Pure: no canvas, no clock.
//
// The stage is divided into rows of one normal comment's height; a larger comment takes several rows. Moving and
// standing comments are tracked separately: a standing comment may cover a moving one, but never another standing one.

/**
 * A comment's way over the stage. Its left edge is at `x0 + speed × (now − t0)`, in CSS pixels and milliseconds.
 * @typedef {{x0: number, t0: number, speed: number, width: number, row: number, rows: number, endsAt: number}} Way
 */

/** The position of its left edge at `now`. @param {Way} way @param {number} now */
export function leftAt(way, now) {
  return way.x0 + way.speed * (now - way.t0);
}

export class Lanes {
  /** The newest mover of each row. @type {(Way|null)[]} */ #movers = [];
  /** When each row's standing comment leaves. @type {number[]} */ #stillUntil = [];
  #width = 0;

  get rows() { return this.#movers.length; }

  /**
   * Sets the size of the stage. Moving comments keep their way, because ways do not depend on the size.
   * @param {number} width in CSS pixels
   * @param {number} rows
   */
  resize(width, rows) {
    this.#width = width;
    while (this.#movers.length < rows) { this.#movers.push(null); this.#stillUntil.push(0); }
    this.#movers.length = rows;
    this.#stillUntil.length = rows;
  }

  /** Removes all comments. */
  clear() {
    this.#movers.fill(null);
    this.#stillUntil.fill(0);
  }

  /**
   * A way for a moving comment, or null when no row is free now. It is not reserved: see {@link take}.
   * @param {{width: number, rows: number, now: number, durationMs: number, gap: number, usable: number, reverse?: boolean}} wish
   *   `usable`: rows from the top that movers may use; `gap`: least distance to the one before, at entry
   * @returns {Way|null}
   */
  findMoving({ width, rows, now, durationMs, gap, usable, reverse = false }) {
    const pace = (this.#width + width) / durationMs;
    const way = {
      x0: reverse ? -width : this.#width, t0: now, speed: reverse ? pace : -pace, width, row: 0, rows, endsAt: now + durationMs,
    };
    const row = this.#firstRun(rows, Math.min(usable, this.rows), (r) => this.#fitsBehind(this.#movers[r], way, gap));
    if (row < 0) return null;
    way.row = row;
    return way;
  }

  /**
   * A place for a standing comment, or null when none is free now. It is not reserved: see {@link take}.
   * @param {{width: number, rows: number, now: number, durationMs: number, usable: number, bottom?: boolean}} wish
   * @returns {Way|null}
   */
  findStanding({ width, rows, now, durationMs, usable, bottom = false }) {
    const physical = (r) => (bottom ? this.rows - 1 - r : r);
    const run = this.#firstRun(rows, Math.min(usable, this.rows), (r) => this.#stillUntil[physical(r)] <= now);
    if (run < 0) return null;
    const row = bottom ? this.rows - run - rows : run;
    return { x0: (this.#width - width) / 2, t0: now, speed: 0, width, row, rows, endsAt: now + durationMs };
  }

  /** Reserves a way that was just found. @param {Way} way */
  take(way) {
    const end = way.row + way.rows;
    if (way.speed === 0) this.#stillUntil.fill(way.endsAt, way.row, end);
    else this.#movers.fill(way, way.row, end);
  }

  #firstRun(rows, count, free) {
    let run = 0;
    for (let row = 0; row < count; row += 1) {
      run = free(row) ? run + 1 : 0;
      if (run === rows) return row - rows + 1;
    }
    return -1;
  }

  /**
   * Whether `next` never touches `last`. Both move at constant speed, so their distance is linear in time: it has to be
   * positive now and at the moment when `last` has left the stage.
   */
  #fitsBehind(last, next, gap) {
    if (last === null || last.endsAt <= next.t0) return true;
    if (Math.sign(last.speed) !== Math.sign(next.speed)) return false;
    const distance = (now) => (next.speed < 0
      ? leftAt(next, now) - (leftAt(last, now) + last.width)
      : leftAt(last, now) - (leftAt(next, now) + next.width));
    return distance(next.t0) >= gap && distance(last.endsAt) >= 0;
  }
}
