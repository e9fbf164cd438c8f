// Comments and votes without an answer, in the order of sending.
//
// On a working connection they are sent at once. Those left unanswered by an earlier connection are sent again after
// the next welcome, one by one. This keeps their order, and the rate limit, which a burst would exceed, only slows them
// down.
//
// Does not know the messages or the socket; its owner calls it when a connection begins and ends.

import { VolleyError } from "./volley-error.js";

/** Longest wait for an answer, including reconnects. A comment that arrives later no longer fits the live picture. */
export const KEEP_MS = 60_000;
/** Most messages that wait for an answer; more are rejected. */
export const PENDING_MAX = 64;
/** Wait after a temporary refusal without a time. */
const RETRY_MS = 1_000;
/** Longest wait that a refusal can ask for. Slow mode may ask for an hour, but {@link KEEP_MS} ends the wait. */
const RETRY_MAX_MS = 20_000;

const PASSES = new Set(["rate_limited", "overloaded", "storage_unavailable"]);

/**
 * @typedef {{wire: string, resolve: (sent: any) => void, reject: (error: VolleyError) => void, promise: Promise<any>, timer: any,
 *   isOnTheWire: boolean, hasLeft: boolean}} Entry
 */

export class Outbox {
  #timing; /** @type {Map<string, Entry>} */ #entries = new Map();
  /** @type {((wire: string) => void)|null} */ #send = null;
  /** Whether messages are sent one at a time, the oldest first. */ #inTurn = false;
  /** Timer of the oldest message's next attempt, after a temporary refusal. */ #retry = null;

  /** @param {{setTimeout: (run: () => void, ms: number) => any, clearTimeout: (timer: any) => void}} timing */
  constructor(timing) { this.#timing = timing; }

  /** Messages without an answer. */
  get size() { return this.#entries.size; }

  /** @param {string} id @param {string} wire @returns {Promise<any>} rejects with a {@link VolleyError} */
  ask(id, wire) {
    const same = this.#entries.get(id);
    if (same) return same.promise;
    if (this.#entries.size >= PENDING_MAX) {
      return Promise.reject(new VolleyError("too_many_pending", "too many messages wait for an answer", { id }));
    }
    const entry = /** @type {Entry} */ ({ wire, isOnTheWire: false, hasLeft: false });
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    entry.timer = this.#timing.setTimeout(() => this.#lose(id, "the server did not answer"), KEEP_MS);
    this.#entries.set(id, entry);
    this.#pump();
    return entry.promise;
  }

  /** @param {(wire: string) => void} send until {@link disconnected} */
  connected(send) {
    this.#send = send;
    this.#inTurn = this.#entries.size > 0;
    this.#pump();
  }

  disconnected() {
    this.#send = null;
    this.#wait(null);
    for (const entry of this.#entries.values()) entry.isOnTheWire = false;
  }

  /** @param {string} id @param {any} sent */
  answered(id, sent) {
    this.#take(id)?.resolve(sent);
    this.#pump();
  }

  /** @param {string} id @param {VolleyError} refusal @returns {boolean} whether `id` is in this outbox */
  refused(id, refusal) {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    if (this.#inTurn && PASSES.has(refusal.code)) {
      entry.isOnTheWire = false;
      this.#wait(Math.min(refusal.retryAfterMs ?? RETRY_MS, RETRY_MAX_MS));
    } else {
      this.#take(id)?.reject(refusal);
      this.#pump();
    }
    return true;
  }

  /** Rejects all messages: no answer will arrive. @param {string} message */
  fail(message) {
    this.#wait(null);
    for (const id of [...this.#entries.keys()]) this.#lose(id, message);
  }

  #lose(id, message) {
    const entry = this.#take(id);
    if (!entry) return;
    const code = entry.hasLeft ? "unknown_outcome" : "not_sent";
    entry.reject(new VolleyError(code, message, { id }));
    this.#pump();
  }

  #take(id) {
    const entry = this.#entries.get(id);
    if (!entry) return undefined;
    this.#entries.delete(id);
    this.#timing.clearTimeout(entry.timer);
    return entry;
  }

  /** Tries again after `ms`; null cancels the wait. */
  #wait(ms) {
    if (this.#retry !== null) this.#timing.clearTimeout(this.#retry);
    this.#retry = ms === null ? null : this.#timing.setTimeout(() => { this.#retry = null; this.#pump(); }, ms);
  }

  #pump() {
    if (this.#entries.size === 0) this.#inTurn = false;
    if (!this.#send || this.#retry !== null) return;
    for (const entry of this.#entries.values()) {
      if (!entry.isOnTheWire) {
        entry.isOnTheWire = entry.hasLeft = true;
        this.#send(entry.wire);
      }
      if (this.#inTurn) return;
    }
  }
}
