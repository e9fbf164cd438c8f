// The connection in words: its state, the time of the next attempt, the reason of a failure.

import { has, t } from "./i18n.js";

export class Status {
  #words; #why; #announce; #retry; #timer = 0; #said = "";

  /**
   * @param {{words: HTMLElement, why: HTMLElement, announce: HTMLElement, retry: HTMLElement, onRetry: () => void}} parts
   */
  constructor({ words, why, announce, retry, onRetry }) {
    this.#words = words;
    this.#why = why;
    this.#announce = announce;
    this.#retry = retry;
    retry.addEventListener("click", onRetry);
  }

  /** @param {{state: string, code?: number, reason?: string, terminal?: boolean, retryInMs?: number, unsure?: boolean,
   *   refusal?: import("./volley-inquiry.js").Refusal}} change */
  show({ state, code, reason, terminal, retryInMs, unsure, refusal }) {
    clearInterval(this.#timer);
    if (state !== "connecting") this.#explain(refusal);
    if (state === "connected" && unsure) { this.#say("connecting", t(navigator.onLine ? "checking" : "offline")); return; }
    if (state === "connected") { this.#say("connected", t("connected")); return; }
    if (state === "connecting") { this.#say("connecting", t(this.#said === "" ? "connecting" : "reconnecting")); return; }
    if (terminal) { this.stopped(has(`c_${code}`) ? t(`c_${code}`) : reason || t("c_other", { code: String(code) })); return; }
    this.#say("connecting", t("reconnecting"), t("tryNow"));
    const until = performance.now() + (retryInMs ?? 0);
    const tick = () => {
      const left = Math.ceil((until - performance.now()) / 1000);
      this.#words.textContent = !navigator.onLine ? t("offline") : left > 0 ? t("reconnectIn", { s: left }) : t("reconnecting");
    };
    this.#timer = setInterval(tick, 250);
    tick();
  }

  /** @param {string} why @param {boolean} [retriable] */
  stopped(why, retriable = true) {
    this.#say("stopped", t("stopped", { why }), retriable ? t("tryAgain") : "");
  }

  /**
   * The reason of a refusal, and who can remove it.
   * @param {import("./volley-inquiry.js").Refusal|undefined} refusal
   */
  #explain(refusal) {
    const words = !refusal ? "" : has(`w_${refusal.code}`)
      ? t(`w_${refusal.code}`, { origin: location.origin, status: String(refusal.status) })
      : t("w_other", { why: refusal.message });
    // Written only when it changes, because screen readers read a live region after every write.
    if (this.#why.textContent !== words) this.#why.textContent = words;
  }

  /** With a screen reader, a change is announced once, not each second of a countdown. */
  #say(state, words, button = "") {
    document.body.dataset.state = state;
    this.#words.textContent = words;
    this.#retry.textContent = button;
    this.#retry.hidden = button === "";
    if (words !== this.#said) this.#announce.textContent = words;
    this.#said = words;
  }
}
