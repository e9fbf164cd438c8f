// People's text on a page: its direction, where it may be cut, and how it stays isolated from the text around it.

/**
 * Blocks of scripts that run from right to left, and their marks. Text without any of these runs from left to right,
 * whatever else it contains.
 */
const RTL = /[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const FIRST_LETTER = /\p{L}/u;

/** @type {HTMLElement|undefined} */ let probe;

/**
 * The direction of a line by its first strong character (UAX #9, P2 and P3), as the browser decides it for `dir="auto"`.
 * @param {string} text @returns {"ltr"|"rtl"}
 */
export function direction(text) {
  if (!RTL.test(text)) return "ltr";
  probe ??= Object.assign(document.createElement("bdi"), { dir: "auto" });
  probe.textContent = text;
  try {
    return probe.matches(":dir(rtl)") ? "rtl" : "ltr";
  } catch { // Without support for `:dir()`, the first letter decides.
    return RTL.test(text.match(FIRST_LETTER)?.[0] ?? "") ? "rtl" : "ltr";
  }
}

/** Text for use inside a sentence: its direction does not affect the sentence. @param {string} text */
export const isolated = (text) => (RTL.test(text) ? `\u2068${text}\u2069` : text);

const segmenter = globalThis.Intl?.Segmenter ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;

/**
 * Characters as a reader sees them: a flag, a family, a letter with its accents is one (UAX #29). In a browser without
 * a segmenter they are code points.
 * @param {string} text
 */
export const graphemes = (text) => (segmenter ? Array.from(segmenter.segment(text), ({ segment }) => segment) : [...text]);

/** Very wide characters: first, last, width in ordinary characters. A test compares it with the server's table. */
const WIDE = [
  [0xFDFD, 0xFDFD, 16],
  [0x1242B, 0x1242B, 12],
  [0x12031, 0x12031, 8],
  [0x12143, 0x12143, 8],
  [0x12219, 0x12219, 8],
  [0x12423, 0x12431, 8],
  [0x12000, 0x1254F, 4],
  [0xFDFA, 0xFDFB, 4],
  [0xA9C1, 0xA9C5, 4],
  [0xBF3, 0xBFA, 4],
  [0x2E3B, 0x2E3B, 3],
  [0x102A, 0x102A, 3],
  [0xD79, 0xD79, 3],
  [0x2E3A, 0x2E3A, 2],
  [0xFDF0, 0xFDFC, 2],
  [0xD74, 0xD74, 2],
  [0x1029, 0x1029, 2],
  [0x13000, 0x1467F, 2],
  [0x16800, 0x16A38, 2],
];

/** The length of a text by the server's rules, for a text that it does not change. @param {string} text */
export function measure(text) {
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    length += point < 0xBF3 ? 1 : WIDE.find(([first, last]) => first <= point && point <= last)?.[2] ?? 1;
  }
  return length;
}

/**
 * At most `max` characters of a text, an ellipsis included if there are more.
 * @param {string} text
 * @param {number} max
 */
export function shorten(text, max) {
  if (text.length <= max) return text;
  const parts = graphemes(text);
  return parts.length > max ? `${parts.slice(0, max - 1).join("")}…` : text;
}

/** An element whose text has its own direction. @param {string} tag @param {string} className @param {string} text */
export function textElement(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.dir = "auto";
  node.textContent = text;
  return node;
}
