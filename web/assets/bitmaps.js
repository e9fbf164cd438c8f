// Bitmaps: comments drawn once with an outline and then only copied. They are a pool of small canvases with a limit in
// bytes. The least recently used idle canvases are reused, so an hour of comments allocates no more than a minute.

import { direction, graphemes } from "./text.js";

/** Pixel steps of a canvas's size: with few distinct sizes, a freed canvas soon fits a new comment. */
const WIDTH_STEP = 128;
const HEIGHT_STEP = 8;
/** Widest comment on the stage in CSS pixels; longer text is cut with an ellipsis (the list has the whole text). */
const WIDTH_MAX = 1600;
/** Tallest letters in CSS pixels: the largest size that the server allows, on the widest stage. */
const FONT_PX_MAX = 72;
/** Largest bitmap: the widest and tallest comment at two device pixels per CSS pixel, a tenth of the stage's pool. */
export const BITMAP_BYTES_MAX = 2_560 << 10;
/** Margin around the text for outline and highlight, in CSS pixels. */
const PAD = 5;
const FONT = `"PingFang SC", "Noto Sans CJK SC", "Noto Sans SC", "Microsoft YaHei", system-ui, sans-serif`;

/**
 * One drawn comment.
 * @typedef {{key: string, canvas: any, context: any, width: number, height: number, users: number, bytes: number}} Bitmap
 */

const makeCanvas = (width, height) => {
  if (typeof OffscreenCanvas !== "undefined") return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement("canvas"), { width, height });
};

/** @param {number} fontPx */
const heightOf = (fontPx) => Math.ceil(fontPx * 1.3) + 4;

/** The part of a text that can be drawn on one line. @param {string} text */
const oneLine = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");

/**
 * The approximate width of a text in units of its font size, without measuring in the browser.
 * @param {string} text
 */
export function roughEms(text) {
  let ems = 0;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    // Second halves of pairs, joiners, selectors and accents add no width.
    const adds = !((unit >= 0xdc00 && unit < 0xe000) || unit === 0x200d || (unit >= 0xfe00 && unit < 0xfe10) || (unit >= 0x300 && unit < 0x370));
    if (adds) ems += unit < 0x1100 ? 0.55 : 1;
  }
  return ems;
}

export class Bitmaps {
  /** By key, least recently used first. @type {Map<string, Bitmap>} */ #byKey = new Map();
  #measure; #bytesMax;
  bytes = 0;

  /**
   * @param {number} bytesMax limit of all canvases together (4 bytes a pixel)
   * @param {CanvasRenderingContext2D} measure of a canvas that is on the page: Chromium keeps the shape of each text that
   *   it measured until that canvas is shown; off the page, an hour of comments kept 200 MiB
   */
  constructor(bytesMax, measure) {
    this.#bytesMax = bytesMax;
    this.#measure = measure;
  }

  get count() { return this.#byKey.size; }

  /**
   * An approximation of {@link layout}.
   * @param {number} ems see {@link roughEms}
   * @param {number} fontPx
   * @param {number} widthMax
   */
  guess(ems, fontPx, widthMax = WIDTH_MAX) {
    const px = Math.min(fontPx, FONT_PX_MAX);
    return { width: Math.min(ems * px + 2 * PAD, widthMax, WIDTH_MAX), height: heightOf(px) };
  }

  /**
   * The text cut to fit, between characters as readers see them, and its size in CSS pixels.
   * @param {string} text @param {number} fontPx @param {number} widthMax
   */
  layout(text, fontPx, widthMax = WIDTH_MAX) {
    const px = Math.min(fontPx, FONT_PX_MAX);
    const font = `600 ${px}px ${FONT}`;
    let line = oneLine(text);
    const way = direction(line);
    this.#measure.font = font;
    this.#measure.direction = way;
    const measured = (words) => this.#measure.measureText(words).width;
    const room = Math.max(1, Math.min(widthMax, WIDTH_MAX) - 2 * PAD);
    let width = measured(line);
    const cut = width > room;
    if (cut) {
      const characters = graphemes(line);
      const head = (count) => characters.slice(0, count).join("") + (count < characters.length ? "…" : "");
      let low = 0;
      let high = characters.length;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (measured(head(middle)) <= room) low = middle; else high = middle - 1;
      }
      // A single character may be wider than the stage allows: it is condensed, because half of it would be unreadable.
      line = head(Math.max(1, low));
      width = Math.min(measured(line), room);
    }
    return { line, way, font, fontPx: px, cut, width: Math.ceil(width) + 2 * PAD, height: heightOf(px) };
  }

  /**
   * The bitmap of a laid-out line; null when the limit is reached. Return it with {@link release}.
   * @param {{line: string, way: "ltr"|"rtl", font: string, fontPx: number, cut: boolean, width: number, height: number}} layout
   * @param {number} color 0xRRGGBB @param {""|"own"|"plate"|"badge"} look @param {number} scale device pixels per CSS pixel
   * @returns {Bitmap|null}
   */
  acquire(layout, color, look, scale) {
    const key = `${scale}|${layout.fontPx}|${color}|${look}|${layout.line}`;
    const known = this.#byKey.get(key);
    if (known) {
      this.#byKey.delete(key);
      this.#byKey.set(key, known);
      known.users += 1;
      return known;
    }
    const round = (length, step) => Math.ceil((length * scale) / step) * step;
    const bitmap = this.#canvasFor(round(layout.width, WIDTH_STEP), round(layout.height, HEIGHT_STEP));
    if (!bitmap) return null;
    Object.assign(bitmap, {
      key, users: 1, width: Math.ceil(layout.width * scale), height: Math.ceil(layout.height * scale),
    });
    this.#byKey.set(key, bitmap);
    paint(bitmap.context, layout, color, look, scale);
    return bitmap;
  }

  /** @param {Bitmap} bitmap */
  release(bitmap) { bitmap.users -= 1; }

  /** An idle canvas of that size, or a new one, for which idle canvases of other sizes may be removed. */
  #canvasFor(width, height) {
    const bytes = width * height * 4;
    if (bytes > BITMAP_BYTES_MAX) return null;
    if (this.bytes + bytes > this.#bytesMax) {
      for (const bitmap of this.#byKey.values()) {
        if (bitmap.users > 0) continue;
        this.#byKey.delete(bitmap.key);
        if (bitmap.canvas.width === width && bitmap.canvas.height === height) {
          bitmap.context.setTransform(1, 0, 0, 1, 0, 0);
          bitmap.context.clearRect(0, 0, width, height);
          return bitmap;
        }
        this.bytes -= bitmap.bytes;
        bitmap.canvas.width = 0; // Frees its pixels now, not at the next garbage collection.
        if (this.bytes + bytes <= this.#bytesMax) break;
      }
      if (this.bytes + bytes > this.#bytesMax) return null;
    }
    const canvas = makeCanvas(width, height);
    this.bytes += bytes;
    return { key: "", canvas, context: canvas.getContext("2d"), width, height, users: 0, bytes };
  }
}

const FILLS = { own: "rgba(13, 84, 84, .78)", plate: "rgba(8, 10, 24, .78)", badge: "rgba(124, 58, 237, .95)" };

function paint(context, { line, way, font, cut, width, height }, color, look, scale) {
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.font = font;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.direction = way;
  context.lineJoin = "round";
  if (look) {
    // The viewer's own comment has a frame; a standing one has a plate, as others pass under it; a badge is a pill.
    context.fillStyle = FILLS[look];
    context.strokeStyle = look === "own" ? "rgba(94, 234, 212, .95)" : "transparent";
    context.lineWidth = 1.5;
    context.beginPath();
    context.roundRect(1, 1, width - 2, height - 2, look === "badge" ? height / 2 : 6);
    context.fill();
    context.stroke();
  }
  // A dark outline keeps light text readable on a light picture; dark text gets a light outline.
  const luminance = 0.299 * (color >> 16) + 0.587 * ((color >> 8) & 255) + 0.114 * (color & 255);
  context.strokeStyle = luminance > 70 ? "rgba(0, 0, 0, .72)" : "rgba(255, 255, 255, .72)";
  context.lineWidth = 3;
  const place = cut ? [PAD, height / 2 + 1, width - 2 * PAD] : [PAD, height / 2 + 1];
  context.strokeText(line, ...place);
  context.fillStyle = `#${color.toString(16).padStart(6, "0")}`;
  context.fillText(line, ...place);
}
