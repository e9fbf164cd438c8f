// Danmaku: comments over a picture, on one canvas. The time is an argument, so that a test can run an hour in seconds.
// Everything is bounded, and comments that a bound keeps off the stage are counted.
//
// Does not know the wire, the language of the page or the source of the comments.

import { Bitmaps, roughEms } from "./bitmaps.js";
import { Lanes, leftAt } from "./lanes.js";

/**
 * Limits of the stage. `gap`: least distance between two comments of a row, as a share of the stage's width;
 * `live`: comments on the stage at one time.
 */
export const DENSITIES = {
  low: { gap: 0.3, live: 40 },
  normal: { gap: 0.06, live: 120 },
  high: { gap: 0.012, live: 300 },
};

/** Most comments that wait for a free row or the next picture: half a second of 200 comments/s. */
const WAITING_MAX = 100;
/** A comment that found no row for this long is too old, in the viewer's time, which continues during a pause. */
const WAIT_MS = 1_200;
/** The viewer's own comment may wait longer. */
const WAIT_OWN_MS = 6_000;
/** Time in which a comment crosses the stage, and time for which one stands. */
const CROSS_MS = 8_000;
const STAND_MS = 4_000;
/** Pixels of all bitmaps: 24 MiB is about 400 comments of 15 characters at two device pixels per CSS pixel. */
const POOL_BYTES_MAX = 24 << 20;
/** More device pixels per CSS pixel make no visible difference, but larger bitmaps. */
const SCALE_MAX = 2;
/**
 * Device pixels of the stage's own canvas: a 4K screen. Larger stages are drawn coarser; browsers refuse the largest
 * ones.
 */
const STAGE_PIXELS_MAX = 3_840 * 2_160;
const STAGE_SIDE_MAX = 8_192;
/** Longest step of the clock: after a stall, comments continue from their last visible place. */
const STEP_MS_MAX = 250;
/** The recordings' unit for a normal comment. */
const SIZE_NORMAL = 25;
/** Sizes that the server allows; others are set to the nearest. */
const SIZE_MIN = 12;
const SIZE_MAX = 64;

/** Size of a badge's letters relative to the comment's. Space for "×8888" is reserved from the start. */
const BADGE_SCALE = 0.74;
const BADGE_EMS = 2.75;
/** Duration of the swelling when a badge grows. */
const SWELL_MS = 260;

/**
 * @typedef {{text: string, mode?: string, color?: number, size?: number, own?: boolean, offset?: number, badge?: string}} Flying
 */

export class Danmaku {
  #canvas; #lanes = new Lanes(); #bitmaps;
  #moving = []; #standing = []; #waiting = [];
  #width = 0; #height = 0; #scale = 1; #fontPx = 22; #rowHeight = 30;
  #clock = 0; #raf = 0; #dirty = true; #now;
  /** @type {number|null} */ #lastNow = null;
  /** @type {CanvasRenderingContext2D} */ #context;
  #settings = { density: "normal", area: 1, opacity: 1, paused: false, still: false, badges: false };
  #counters = { pushed: 0, drawn: 0, dropped: 0, cut: 0, frames: 0 };

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{now?: () => number}} [options] the viewer's time, which continues while the stage is paused or hidden
   */
  constructor(canvas, { now = () => performance.now() } = {}) {
    this.#canvas = canvas;
    this.#now = now;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#bitmaps = new Bitmaps(POOL_BYTES_MAX, this.#context);
  }

  /** The texts of the badges on the stage. */
  get badges() { return [...this.#moving, ...this.#standing].flatMap(({ badge, words }) => (badge ? [words] : [])); }

  /** Comments on the stage. */
  get offsets() { return [...this.#moving, ...this.#standing].map(({ offset }) => offset); }

  /** pushed = drawn + dropped + waiting, always; `cut` of the drawn were too long for the stage. */
  get counters() {
    return {
      ...this.#counters, live: this.#moving.length + this.#standing.length, waiting: this.#waiting.length,
      poolBitmaps: this.#bitmaps.count, poolBytes: this.#bitmaps.bytes, poolBytesMax: POOL_BYTES_MAX,
      liveMax: DENSITIES[this.#settings.density].live, rows: this.#lanes.rows,
    };
  }

  /**
   * The stage's size in CSS pixels and its device pixels per CSS pixel.
   * @param {number} width @param {number} height @param {number} ratio
   */
  resize(width, height, ratio) {
    const fontPx = Math.round(Math.min(26, Math.max(15, width / 44)));
    const scale = Math.min(ratio, SCALE_MAX, Math.sqrt(STAGE_PIXELS_MAX / (width * height)), STAGE_SIDE_MAX / Math.max(width, height));
    if (fontPx !== this.#fontPx || scale !== this.#scale) this.clear();
    for (const entry of this.#waiting) entry.layout = null; // Laid out again when its turn comes.
    Object.assign(this.#canvas, { width: Math.max(1, Math.floor(width * scale)), height: Math.max(1, Math.floor(height * scale)) });
    this.#width = width;
    this.#height = height;
    this.#scale = scale;
    this.#fontPx = fontPx;
    this.#rowHeight = Math.ceil(fontPx * 1.3) + 6;
    this.#lanes.resize(width, Math.max(1, Math.floor(height / this.#rowHeight)));
    for (const list of [this.#moving, this.#standing]) {
      this.#keep(list, (item) => item.way.row + item.way.rows <= this.#lanes.rows);
    }
    this.#dirty = true;
  }

  /**
   * `still`: nothing moves (for people who prefer reduced motion); crossing comments stand instead. `badges`: comments
   * may get a badge while they fly, so each reserves space for it.
   * @param {Partial<{density: keyof DENSITIES, area: number, opacity: number, paused: boolean, still: boolean, badges: boolean}>} changes
   */
  set(changes) {
    if (changes.still !== undefined && changes.still !== this.#settings.still) this.clear();
    Object.assign(this.#settings, changes);
    this.#dirty = true;
  }

  /**
   * Comments that arrived together; they enter spread over `spreadMs`, not in one wall.
   * @param {Flying[]} comments @param {number} [spreadMs]
   */
  push(comments, spreadMs = 0) {
    const now = this.#now();
    comments.forEach((comment, index) => {
      this.#counters.pushed += 1;
      const inMs = (spreadMs * index) / comments.length;
      const waitMs = inMs + (comment.own ? WAIT_OWN_MS : WAIT_MS);
      this.#waiting.push({
        comment, due: this.#clock + inMs, until: this.#clock + waitMs, staleAt: now + waitMs, ems: roughEms(comment.text), layout: null,
      });
    });
    // Full: the oldest leave first, because new comments matter more. The viewer's own stay.
    for (let i = 0; this.#waiting.length > WAITING_MAX && i < this.#waiting.length;) {
      if (this.#waiting[i].comment.own && this.#waiting.length < 2 * WAITING_MAX) i += 1;
      else { this.#waiting.splice(i, 1); this.#counters.dropped += 1; }
    }
  }

  /** Counts comments that are too late for the stage. @param {number} count */
  pass(count) {
    this.#counters.pushed += count;
    this.#counters.dropped += count;
  }

  /** Changes the badge of a comment that is still on the stage. @param {number} offset @param {string} badge */
  badge(offset, badge) {
    for (const { comment } of this.#waiting) if (comment.offset === offset) comment.badge = badge;
    for (const list of [this.#moving, this.#standing]) {
      for (const item of list) {
        if (item.offset !== offset) continue;
        const before = item.badge;
        this.#pin(item, badge);
        if (before) this.#bitmaps.release(before);
        item.swellsUntil = this.#settings.paused ? 0 : this.#clock + SWELL_MS;
        this.#dirty = true;
      }
    }
  }

  /** Removes a comment, whether it flies or waits. @param {number} offset */
  remove(offset) {
    const before = this.#waiting.length;
    this.#waiting = this.#waiting.filter(({ comment }) => comment.offset !== offset);
    this.#counters.dropped += before - this.#waiting.length;
    for (const list of [this.#moving, this.#standing]) this.#keep(list, (item) => item.offset !== offset);
    this.#dirty = true;
  }

  /** Clears the stage; waiting comments still get their turn. */
  clear() {
    this.#keep(this.#moving, () => false);
    this.#keep(this.#standing, () => false);
    this.#lanes.clear();
    this.#dirty = true;
  }

  /** Draws with every refresh of the display until {@link stop}. */
  start() {
    if (this.#raf) return;
    const frame = (now) => { this.#raf = requestAnimationFrame(frame); this.draw(now); };
    this.#raf = requestAnimationFrame(frame);
  }

  stop() {
    cancelAnimationFrame(this.#raf);
    this.#raf = 0;
  }

  /** Draws one picture. @param {number} now in milliseconds, never falling */
  draw(now) {
    const step = this.#lastNow === null ? 0 : Math.min(Math.max(0, now - this.#lastNow), STEP_MS_MAX);
    this.#lastNow = now;
    if (this.#settings.paused ? !this.#dirty : !this.#dirty && this.#idle()) return;
    this.#dirty = false;
    if (!this.#settings.paused) {
      this.#clock += step;
      this.#admit();
    }
    this.#counters.frames += 1;
    const context = this.#context;
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.globalAlpha = this.#settings.opacity;
    this.#paint(this.#moving);
    this.#paint(this.#standing);
  }

  #idle() { return this.#moving.length + this.#standing.length + this.#waiting.length === 0; }

  #paint(list) {
    const clock = this.#clock;
    const scale = this.#scale;
    this.#keep(list, (item) => item.way.endsAt > clock);
    for (const { way, bitmap, top, badge, swellsUntil } of list) {
      const x = Math.round(leftAt(way, clock) * scale);
      this.#context.drawImage(bitmap.canvas, 0, 0, bitmap.width, bitmap.height, x, top, bitmap.width, bitmap.height);
      if (!badge) continue;
      const swell = this.#settings.still ? 1 : 1 + 0.4 * Math.max(0, (swellsUntil - clock) / SWELL_MS);
      const width = badge.width * swell;
      const height = badge.height * swell;
      const y = top + (bitmap.height - height) / 2;
      this.#context.drawImage(badge.canvas, 0, 0, badge.width, badge.height, x + bitmap.width + 2 * scale - (width - badge.width) / 2, y, width, height);
    }
  }

  /** Filters in place, keeps the order, allocates nothing. */
  #keep(list, wanted) {
    let kept = 0;
    for (const item of list) {
      if (wanted(item)) { list[kept] = item; kept += 1; continue; }
      this.#bitmaps.release(item.bitmap);
      if (item.badge) this.#bitmaps.release(item.badge);
    }
    list.length = kept;
  }

  #admit() {
    const waiting = this.#waiting;
    const now = this.#now();
    let kept = 0;
    for (const entry of waiting) {
      if (entry.staleAt <= now) { this.#counters.dropped += 1; continue; }
      if (entry.due > this.#clock) { waiting[kept] = entry; kept += 1; continue; }
      if (this.#place(entry)) this.#counters.drawn += 1;
      else if (entry.until <= this.#clock) this.#counters.dropped += 1;
      else { waiting[kept] = entry; kept += 1; }
    }
    waiting.length = kept;
  }

  #place(entry) {
    const { density, area, still, badges } = this.#settings;
    const { gap, live } = DENSITIES[density];
    if (this.#moving.length + this.#standing.length >= live) return false;
    const { text, mode, color = 0xffffff, size = SIZE_NORMAL, own = false, offset, badge = "" } = entry.comment;
    const stands = still || mode === "top" || mode === "bottom";
    const fontPx = Math.round((this.#fontPx * (Math.min(Math.max(size, SIZE_MIN), SIZE_MAX) || SIZE_NORMAL)) / SIZE_NORMAL);
    const reserve = badges || badge ? this.#bitmaps.guess(BADGE_EMS, Math.round(fontPx * BADGE_SCALE)).width : 0;
    const widthMax = stands ? this.#width - reserve : undefined;
    const now = this.#clock;
    const usable = Math.max(1, Math.floor(this.#lanes.rows * area));
    const find = ({ width: drawn, height }) => {
      const width = drawn + reserve;
      const rows = Math.min(usable, Math.ceil(height / this.#rowHeight));
      return stands
        ? this.#lanes.findStanding({ width, rows, now, usable, durationMs: STAND_MS, bottom: mode === "bottom" || (still && mode === "reverse") })
        : this.#lanes.findMoving({ width, rows, now, usable, durationMs: CROSS_MS, gap: gap * this.#width, reverse: mode === "reverse" });
    };
    // Measured only when a place seems to be free: most of a crowd's comments never get one.
    if (!entry.layout && !find(this.#bitmaps.guess(entry.ems, fontPx, widthMax))) return false;
    entry.layout ??= this.#bitmaps.layout(text, fontPx, widthMax);
    const way = find(entry.layout);
    if (!way) return false;
    const bitmap = this.#bitmaps.acquire(entry.layout, color, own ? "own" : stands ? "plate" : "", this.#scale);
    if (!bitmap) return false;
    this.#lanes.take(way);
    if (entry.layout.cut) this.#counters.cut += 1;
    const top = Math.round((way.row * this.#rowHeight + (way.rows * this.#rowHeight - entry.layout.height) / 2) * this.#scale);
    const item = { way, bitmap, top, offset, fontPx, badge: null, words: "", swellsUntil: 0 };
    if (badge) this.#pin(item, badge);
    (stands ? this.#standing : this.#moving).push(item);
    return true;
  }

  /** Without space in the pool there is no badge; the list has the count. */
  #pin(item, words) {
    const layout = this.#bitmaps.layout(words, Math.round(item.fontPx * BADGE_SCALE));
    item.badge = this.#bitmaps.acquire(layout, 0xffffff, "badge", this.#scale);
    item.words = words;
  }
}
