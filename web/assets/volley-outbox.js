// What the server has not answered yet: comments and votes, in the order in which they were asked for.
//
// On a connection that works they go out at once. What an earlier connection left unanswered goes out again after the next
// welcome, one by one: so the order stays, and the rate limit, which a burst would run into, only slows it down.
//
// Does not know the messages, the socket or when there is a connection: it is told.

import { VolleyError } from "./volley-error.js";

/** How long an answer is waited for, reconnects included. Later than that a comment on a live picture is about something else. */
export const KEEP_MS = 60_000;
/** Messages that may wait for their answer; more are refused here. */
export const PENDING_MAX = 64;
/** A refusal that passes and names no time. */
const RETRY_MS = 1_000;
/** The longest wait that a refusal may ask for; slow mode's may be an hour, which {@link KEEP_MS} ends. */
const RETRY_MAX_MS = 20_000;

const PASSES = new Set(["rate_limited", "overloaded", "storage_unavailable"]);

/**
 * @typedef {{wire: string, resolve: (sent: any) => void, reject: (error: VolleyError) => void, promise: Promise<any>, timer: any,
 *   isOnTheWire: boolean, hasLeft: boolean}} Entry
 */

export class Outbox {
  #timing; /** @type {Map<string, Entry>} */ #entries = new Map();
  /** @type {((wire: string) => void)|null} */ #send = null;
  /** One at a time, the oldest first. */ #inTurn = false;
  /** The oldest one's next try, after a refusal that passes. */ #retry = null;

  /** @param {{setTimeout: (run: () => void, ms: number) => any, clearTimeout: (timer: any) => void}} timing */
  constructor(timing) { this.#timing = timing; }

  /** Messages without an answer. */
  get size() { return this.#entries.size; }

  /** @param {string} id @param {string} wire @returns {Promise<any>} rejects with a {@link VolleyError} */
  ask(id, wire) {
    const same = this.#entries.get(id);
    if (same) return same.promise;
    if (this.#entries.size >= PENDING_MAX) {
      return Promise.reject(new VolleyError("too_many_pending", "too many messages wait for their answer", { id }));
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

  /** @param {string} id @param {VolleyError} refusal @returns {boolean} whether it was about something here */
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

  /** No answer will come any more. @param {string} message */
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

  /** Tries again after `ms`; null: not any more. */
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
