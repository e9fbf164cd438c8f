// The comment box: looks, sending, and the answer of the server. A refused text is never lost.

import { has, t } from "./i18n.js";
import { measure, shorten } from "./text.js";

/**
 * The server's limits, checked here too so that the answer is immediate; a message over 4 KiB would end the connection.
 * A room may allow less.
 */
const CHARACTERS_MAX = 512;
const BYTES_MAX = 2_048;
const COLORS = {
  white: 0xffffff, red: 0xff5c5c, orange: 0xff9f43, yellow: 0xffd93d, green: 0x5ee27a, cyan: 0x4de1e8, blue: 0x6ea8fe, pink: 0xff8ad8,
};
const DEFAULTS = { mode: "scroll", size: 25, color: COLORS.white };
const OUTCOME_MS = 5_000;
/** Refused texts kept besides the one in the box; a viewer rarely has two comments in flight. */
const KEPT_MAX = 16;
/** Most answers take less time; a comment that takes longer is shown as being sent. */
const SENDING_SHOWN_MS = 1_000;
/** Characters of a refused text that are shown with the reason. */
const UNSENT_CHARACTERS_MAX = 40;
const $ = (id) => document.getElementById(id);
const bytes = new TextEncoder();

export class Composer {
  #send; #text = $("text"); #button = $("send"); #problem = $("problem"); /** Refused texts that are not in the box. @type {string[]} */ #kept = []; #ticking = 0; #outcomeTimer = 0; #charactersMax = CHARACTERS_MAX; #closed = false;

  /** Comments without an answer, the oldest first. @type {Set<{text: string, isSlow: boolean}>} */ #sending = new Set();
  /** Ids of texts that may have arrived: sent again with its id, a text is stored once. @type {Map<string, string>} */ #unsure = new Map();

  /**
   * @param {(text: string, style: object, id?: string) => Promise<{outcome: string}>} send resolves with the outcome, or rejects with a code and an id
   */
  constructor(send) {
    this.#send = send;
    this.#paintColors();
    $("composer").addEventListener("submit", (event) => { event.preventDefault(); this.#submit(); });
    this.#text.addEventListener("input", () => {
      this.#measure();
      if (!this.#button.disabled) this.#say(""); // It was read, and it covers the tools.
    });
    $("put-back").addEventListener("click", () => this.#putBack());
    $("looks-toggle").addEventListener("click", () => {
      const open = $("looks").classList.toggle("open");
      $("looks-toggle").setAttribute("aria-expanded", String(open));
    });
  }

  focus() { this.#text.focus(); }

  /**
   * Applies the room's rules for this viewer. Typed text stays in the box.
   * @param {import("./volley-board.js").Settings} settings @param {{role?: string}|null} user
   */
  rules({ mute_all: muteAll = false, allowed = ["comment"], slow_ms: slowMs = 0, text_max: textMax = CHARACTERS_MAX }, user) {
    const role = user?.role ?? "guest";
    const keepsOrder = role === "moderator" || role === "host";
    const word = keepsOrder ? "" : muteAll ? "ruleMuted" : !allowed.includes("comment") ? "ruleClosed" : "";
    const waits = slowMs > 0 && !keepsOrder && role !== "vip";
    this.#closed = word !== "";
    this.#charactersMax = Math.min(textMax, CHARACTERS_MAX);
    const words = [word && t(word), !word && waits ? t("ruleSlow", { s: Math.ceil(slowMs / 1_000) }) : "",
      !word && textMax < CHARACTERS_MAX ? t("ruleText", { n: textMax }) : ""];
    $("rule").textContent = words.filter(Boolean).join(" · ");
    this.#text.placeholder = t(word || "placeholder");
    $("composer").classList.toggle("closed", this.#closed);
    this.#button.setAttribute("aria-disabled", String(this.#closed));
    this.#measure();
  }

  /**
   * A refusal of something other than a comment, such as too many likes.
   * @param {{code: string, message: string, retryAfterMs?: number}} refusal
   */
  refusedLikes(refusal) {
    if (this.#button.disabled) return; // The countdown of a comment is more important.
    if (refusal.code === "rate_limited") this.#countdown("e_likes_limited", refusal.retryAfterMs ?? 1_000, false);
    else this.#say(wordOf(refusal));
  }

  get #style() {
    const style = { mode: $("mode").value, size: Number($("size").value), color: this.#color };
    for (const key of Object.keys(DEFAULTS)) if (style[key] === DEFAULTS[key]) delete style[key];
    return style;
  }

  get #color() {
    return Number(document.querySelector("input[name=color]:checked").value);
  }

  async #submit() {
    const text = this.#text.value;
    if (text.trim() === "" || this.#button.disabled) return;
    if (this.#closed) { this.#say($("rule").textContent); return; }
    if (this.#isTooLong(text)) { this.#say(wordOf({ code: "too_long", max: this.#charactersMax })); return; }
    this.#say("");
    this.#text.value = "";
    this.#measure();
    const sending = { text, isSlow: false };
    this.#sending.add(sending);
    const timer = setTimeout(() => { sending.isSlow = true; this.#paintSending(); }, SENDING_SHOWN_MS);
    try {
      const { outcome } = await this.#send(asKept(text), this.#style, this.#unsure.get(text));
      this.#unsure.delete(text);
      this.#outcome(has(`o_${outcome}`) ? t(`o_${outcome}`) : "");
    } catch (refusal) {
      this.#refused(text, refusal);
    } finally {
      clearTimeout(timer);
      this.#sending.delete(sending);
      this.#paintSending();
    }
  }

  #paintSending() {
    const texts = [...this.#sending].filter(({ isSlow }) => isSlow).map(({ text }) => text);
    $("sending").textContent = texts.length === 0 ? "" : texts.length === 1 ? t("sending", { text: shorten(texts[0], UNSENT_CHARACTERS_MAX) }) : t("sendingN", { n: texts.length });
  }

  #refused(text, refusal) {
    this.#unsure.delete(text);
    if (refusal.code === "unknown_outcome" && refusal.id) this.#unsure.set(text, refusal.id);
    if (this.#unsure.size > KEPT_MAX) this.#unsure.delete(this.#unsure.keys().next().value);
    if (this.#text.value === "") {
      this.#text.value = text;
      this.#measure();
    } else {
      // The viewer is typing the next comment already: do not mix them.
      this.#kept = [...this.#kept, text].slice(-KEPT_MAX);
    }
    $("put-back").hidden = this.#kept.length === 0;
    if (refusal.code === "rate_limited" || refusal.code === "overloaded") {
      this.#countdown(`e_${refusal.code}`, refusal.retryAfterMs ?? 1_000, true);
    } else {
      this.#say(wordOf({ ...refusal, message: refusal.message, max: this.#charactersMax }));
    }
  }

  /** Swaps: the refused text goes into the box, the text in the box is kept. */
  #putBack() {
    const typed = this.#text.value;
    this.#text.value = this.#kept.pop() ?? typed;
    if (typed !== "") this.#kept.unshift(typed);
    $("put-back").hidden = this.#kept.length === 0;
    this.#measure();
    this.focus();
  }

  #unsent() {
    return this.#kept.length > 0 ? ` ${t("unsent", { text: shorten(this.#kept.at(-1), UNSENT_CHARACTERS_MAX) })}` : "";
  }

  /** Shows when the next attempt makes sense. With `blocks`, sending waits until then. */
  #countdown(word, waitMs, blocks) {
    this.#say("");
    const until = performance.now() + waitMs;
    this.#button.disabled = blocks;
    const tick = () => {
      const left = Math.ceil((until - performance.now()) / 1000);
      if (left > 0) {
        this.#problem.textContent = t(word, { s: left }) + this.#unsent();
      } else {
        this.#say(blocks ? t("e_rate_limited_now") : "");
        this.#button.disabled = false;
      }
    };
    this.#ticking = setInterval(tick, 250);
    tick();
  }

  #say(text) {
    clearInterval(this.#ticking);
    this.#button.disabled = false;
    this.#problem.textContent = text + (text ? this.#unsent() : "");
    if (text) this.#outcome("");
  }

  #outcome(text) {
    clearTimeout(this.#outcomeTimer);
    $("outcome").textContent = text;
    if (text) this.#outcomeTimer = setTimeout(() => { $("outcome").textContent = ""; }, OUTCOME_MS);
  }

  #measure() {
    const length = measure(asKept(this.#text.value));
    const max = this.#charactersMax;
    $("length").textContent = length > max * 0.8 ? `${length}/${max}` : "";
    $("length").classList.toggle("over", this.#isTooLong(this.#text.value));
  }

  #isTooLong(text) {
    const kept = asKept(text);
    return measure(kept) > this.#charactersMax || bytes.encode(kept).length > BYTES_MAX;
  }

  #paintColors() {
    for (const [name, color] of Object.entries(COLORS)) {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), {
        type: "radio", name: "color", value: String(color), checked: color === DEFAULTS.color,
      });
      input.setAttribute("aria-label", t(name));
      const swatch = document.createElement("i");
      label.title = t(name);
      label.style.setProperty("--tone", `#${color.toString(16).padStart(6, "0")}`);
      label.append(input, swatch);
      $("colors").append(label);
    }
    const sample = () => $("looks-sample").style.setProperty("--tone", `#${this.#color.toString(16).padStart(6, "0")}`);
    $("colors").addEventListener("change", sample);
    sample();
  }
}

/**
 * Text as the server counts it: composed, with single spaces and none around it. The server also removes invisible
 * characters, so its count may be lower, never higher.
 * @param {string} text
 */
const asKept = (text) => text.normalize("NFC").replace(/\s+/gu, " ").trim();

/**
 * A refusal in the reader's words.
 * @param {{code: string, message?: string, retryAfterMs?: number, max?: number}} refusal
 */
export function wordOf({ code, message = "", retryAfterMs, max = CHARACTERS_MAX }) {
  const values = { s: Math.ceil((retryAfterMs ?? 1_000) / 1_000), n: max };
  return has(`e_${code}`) ? t(`e_${code}`, values) : t("e_other", { why: message });
}
