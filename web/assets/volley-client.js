// The Volley client: one WebSocket that follows one room, comes back by itself and says what it missed.
//
// Knows the wire v1 (JSON). Does not know the page: no DOM, no storage. Time, chance and the socket
// class come in through the options, so that a test can drive it without a network.

import { Board } from "./volley-board.js";

/**
 * @typedef {{id: string, name: string, role?: string}} User
 * @typedef {{mode?: "scroll"|"top"|"bottom"|"reverse", color?: number, size?: number}} Style
 * @typedef {{user: User, id?: string, text: string, style?: Style, media_ms?: number, ext?: object, first?: boolean,
 *   deleted?: boolean, times?: number, names?: string[]}} Comment
 * @typedef {{user: User, name: string, count: number, value: number, combo?: string, total?: number}} Gift
 * @typedef {{offset: number, by: number, times: number}} Raise
 * @typedef {{offset: number, comment?: Comment, gift?: Gift, announcement?: import("./volley-board.js").Announcement,
 *   custom?: import("./volley-board.js").Custom, pin?: import("./volley-board.js").Pin, unpin?: {}, delete?: {offset: number},
 *   poll?: import("./volley-board.js").Poll, poll_close?: {id: string}, enter?: {user: User},
 *   settings?: import("./volley-board.js").Settings, outcome?: string, into?: number}} RoomEvent
 * @typedef {{room: string, session: string, you: User, recovered: boolean, reason?: string, epoch: string,
 *   last: number, tick_ms: number, rendition?: Rendition, snapshot: {likes: number, online: number, unique?: number, events: RoomEvent[]}}} Welcome
 * @typedef {"disconnected"|"connecting"|"connected"} State
 * @typedef {{state: State, code?: number, reason?: string, terminal?: boolean, retryInMs?: number}} StateChange
 * @typedef {{events: RoomEvent[], origin: "snapshot"|"resumed"|"live", tickMs: number}} Events
 * @typedef {{likes: number, online: number, unique: number}} Counters
 * @typedef {{from: number, to: number|null, reason: string, at?: number, events?: RoomEvent[], tallies?: object[]}} Gap
 * @typedef {{offset: number, outcome: "shown"|"merged"|"shed", into?: number}} Sent
 * @typedef {"viewer"|"lite"|"full"} Rendition
 * What a frame showed of its stretch and what it did not. `shown`: comments in it; `total`: comments that it accounts for,
 * those included that were folded into others or left out; `merged`, `shed`: how many, by class.
 * @typedef {{shown: number, total: number, merged: Record<string, number>, shed: Record<string, number>,
 *   origin: "resumed"|"live"}} Ledger
 * @typedef {{welcome: Welcome, state: StateChange, events: Events, raises: Raise[], counters: Counters, ledger: Ledger,
 *   board: {changed: Set<import("./volley-board.js").Part>, fresh: boolean}, rendition: {now: Rendition, reason: string},
 *   position: number, gap: Gap, error: VolleyError, bye: {code: number, after_ms: number}}} EventMap
 */

/** The shortest wait before a reconnect; also the step that back-off doubles. */
export const BACKOFF_MIN_MS = 500;
/** The most that chance may add to it. */
export const BACKOFF_MAX_MS = 20_000;
/** Only a connection that lived this long counts as good again: one that is accepted and thrown out at once does not. */
export const STABLE_MS = 10_000;
/** From `new WebSocket` to the welcome. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** The server speaks at least every 15 s; three times that without a word means that the path is dead. */
export const SILENCE_MS = 45_000;
/** How long an unanswered comment or vote is waited for, reconnects included. A tick is at most 2 s. */
export const ACK_TIMEOUT_MS = 30_000;
/** Comments and votes that may wait for their answer; more are refused here. */
export const PENDING_MAX = 64;
/** The longest hint of a `bye` that is believed. */
export const HINT_MAX_MS = 300_000;
/** The most likes in one message. */
export const LIKES_PER_MESSAGE_MAX = 100;

/**
 * Full jitter: a crowd that was cut off together does not come back together.
 * @param {number} attempt 0 for the first retry
 * @param {number} random from [0, 1)
 */
export function backoffMs(attempt, random) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt, 30));
  return Math.round(BACKOFF_MIN_MS + random * ceiling);
}

const TERMINAL_BELOW_4000 = new Set([1000, 1002, 1003, 1007, 1009]);

/**
 * What a close code asks of the client.
 * @param {number} code
 * @returns {"retry"|"stop"}
 */
export function afterClose(code) {
  if (code >= 4500 && code <= 4999) return "stop";
  return TERMINAL_BELOW_4000.has(code) ? "stop" : "retry";
}

const GUEST_KEY = /^[A-Za-z0-9_-]{16,64}$/;

/** A new guest's secret: 128 bits. Keep it, and the guest stays the same. */
export function newGuestKey() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A refusal, by the server or by the client itself. */
export class VolleyError extends Error {
  /**
   * @param {string} code for programs: the server's error codes, or `not_connected`, `unknown_outcome`, `too_many_pending`
   * @param {string} message for people
   * @param {{id?: string, retryAfterMs?: number}} [more]
   */
  constructor(code, message, { id, retryAfterMs } = {}) {
    super(message);
    this.name = "VolleyError";
    this.code = code;
    this.id = id;
    this.retryAfterMs = retryAfterMs;
    /** Whether the same comment may succeed later. */
    this.temporary = TEMPORARY.has(code);
  }
}

const TEMPORARY = new Set([
  "rate_limited", "overloaded", "storage_unavailable", "not_connected", "unknown_outcome", "too_many_pending",
]);

export class VolleyClient {
  /** @type {State} */ state = "disconnected";
  /** Who the server takes us for. @type {User|null} */ user = null;
  /** The log's incarnation, once welcomed. @type {string|null} */ epoch = null;
  /** The newest position that we have. */ position = 0;
  /** What newcomers are told at once, kept up to date. */ board = new Board();
  /** How much of the room comes. @type {Rendition} */ rendition = "viewer";
  /** People who have watched, about. */ unique = 0;

  #url; #options; #guestKey; #listeners = new Map();
  /** Frames that start before this are the answer to a resume. */
  #resumedUntil = 0;
  /** @type {any} */ #socket = null;
  /** What a `bye` asked for. @type {number|null} */ #hintMs = null;
  /** What was asked for; a slow connection may get less. @type {Rendition} */ #wished = "viewer";
  #attempt = 0; #tickMs = 100; #connectedAt = 0;
  #retryTimer = null; #connectTimer = null; #silenceTimer = null; #heardAt = 0;
  #pending = new Map(); #idPrefix; #idCount = 0;

  /**
   * Does no I/O: call {@link connect}.
   * @param {string} url ws:// or wss:// address of the room's socket
   * @param {{guestKey?: string, rendition?: Rendition, WebSocket?: any, random?: () => number, now?: () => number,
   *   setTimeout?: (f: () => void, ms: number) => any, clearTimeout?: (timer: any) => void}} [options]
   */
  constructor(url, options = {}) {
    this.#url = url;
    this.#guestKey = GUEST_KEY.test(options.guestKey ?? "") ? options.guestKey : newGuestKey();
    this.#wished = this.rendition = options.rendition ?? "viewer";
    this.#options = {
      WebSocket: options.WebSocket ?? globalThis.WebSocket,
      random: options.random ?? Math.random,
      now: options.now ?? (() => performance.now()),
      setTimeout: options.setTimeout ?? ((f, ms) => setTimeout(f, ms)),
      clearTimeout: options.clearTimeout ?? ((timer) => clearTimeout(timer)),
    };
    this.#idPrefix = Math.floor(this.#options.random() * 2 ** 48).toString(36);
  }

  /**
   * @template {keyof EventMap} K
   * @param {K} name
   * @param {(detail: EventMap[K]) => void} listener
   */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return this;
  }

  /**
   * @template {keyof EventMap} K
   * @param {K} name
   * @param {(detail: EventMap[K]) => void} listener
   */
  once(name, listener) {
    const wrapped = (detail) => { this.off(name, wrapped); listener(detail); };
    return this.on(name, wrapped);
  }

  /**
   * @template {keyof EventMap} K
   * @param {K} name
   * @param {(detail: EventMap[K]) => void} listener
   */
  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
    return this;
  }

  /** Connects now; while waiting for a retry it cuts the wait short. Does nothing when there is a connection. */
  connect() {
    if (this.#socket) return;
    this.#cancel("retry");
    this.#open();
  }

  /** Leaves for good; {@link connect} comes back, resuming. */
  disconnect() {
    this.#cancel("retry");
    this.#hintMs = null;
    const socket = this.#detach();
    socket?.close(1000);
    this.#fail("disconnected before the answer came");
    if (this.state !== "disconnected") this.#become({ state: "disconnected", code: 1000, terminal: false });
  }

  /**
   * Sends a comment. Resolves once it is in the room's log, exactly once: after a reconnect it is sent again with the
   * same id, and the server knows ids that it has.
   * @param {string} text
   * @param {{style?: Style, mediaMs?: number, ext?: object, id?: string}} [options]
   * @returns {Promise<Sent>} rejects with a {@link VolleyError}; `unknown_outcome`: it may or may not have arrived
   */
  send(text, { style, mediaMs, ext, id = this.#nextId() } = {}) {
    const comment = { id, text };
    if (style && Object.keys(style).length > 0) comment.style = style;
    if (mediaMs !== undefined) comment.media_ms = mediaMs;
    if (ext !== undefined) comment.ext = ext;
    return this.#ask(id, { comment });
  }

  /**
   * Votes in a poll. A user's first vote counts, another one changes nothing.
   * @param {string} poll @param {number} option from 0
   * @returns {Promise<Sent>} rejects as {@link send} does
   */
  vote(poll, option) {
    const id = this.#nextId();
    return this.#ask(id, { vote: { id, poll, option } });
  }

  /**
   * Asks for more or less of the room, now and after every reconnect. The event `rendition` tells when it comes.
   * @param {Rendition} rendition
   */
  ask(rendition) {
    this.#wished = rendition;
    if (this.state === "connected") this.#socket.send(JSON.stringify({ rendition }));
  }

  /** Ids of one client end in a number that grows: see docs/protocol.md. */
  #nextId() { return `${this.#idPrefix}-${(this.#idCount += 1)}`; }

  /** Sends what is answered by its id, and once more after every reconnect until it is. */
  #ask(id, message) {
    if (this.state !== "connected") return Promise.reject(new VolleyError("not_connected", "not connected"));
    if (this.#pending.size >= PENDING_MAX) {
      return Promise.reject(new VolleyError("too_many_pending", "too many messages wait for their answer"));
    }
    const sameId = this.#pending.get(id);
    if (sameId) return sameId.promise;
    const entry = { wire: JSON.stringify(message) };
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    entry.timer = this.#options.setTimeout(() => {
      this.#pending.delete(id);
      entry.reject(new VolleyError("unknown_outcome", "the server did not answer", { id }));
    }, ACK_TIMEOUT_MS);
    this.#pending.set(id, entry);
    this.#socket.send(entry.wire);
    return entry.promise;
  }

  /**
   * Likes the room `count` times. Counted by the server; no answer but the room's total.
   * @param {number} count
   * @returns {boolean} whether it was sent
   */
  like(count) {
    if (this.state !== "connected") return false;
    for (let left = count; left > 0; left -= LIKES_PER_MESSAGE_MAX) {
      this.#socket.send(JSON.stringify({ like: { count: Math.min(left, LIKES_PER_MESSAGE_MAX) } }));
    }
    return true;
  }

  #emit(name, detail) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(detail);
  }

  #become(change) {
    this.state = change.state;
    this.#emit("state", change);
  }

  #open() {
    const url = new URL(this.#url);
    if (this.epoch !== null) {
      url.searchParams.set("epoch", this.epoch);
      url.searchParams.set("after", String(this.position));
    }
    if (this.#wished !== "viewer") url.searchParams.set("rendition", this.#wished);
    this.#become({ state: "connecting" });
    const socket = new this.#options.WebSocket(url.href, ["volley.v1.json", `volley.guest.${this.#guestKey}`]);
    this.#socket = socket;
    socket.onmessage = (message) => { if (socket === this.#socket) this.#heard(message.data); };
    socket.onclose = (close) => { if (socket === this.#socket) this.#closed(close.code, close.reason); };
    this.#connectTimer = this.#options.setTimeout(() => this.#giveUp("no welcome in time"), CONNECT_TIMEOUT_MS);
  }

  /** Leaves a connection that is of no use any more, without waiting for its close. */
  #giveUp(reason) {
    const socket = this.#socket;
    if (!socket) return;
    this.#closed(1006, reason);
    socket.close(4003, reason);
  }

  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    this.#cancel("connect");
    this.#cancel("silence");
    return socket;
  }

  #closed(code, reason) {
    this.#detach();
    if (this.state === "connected" && this.#options.now() - this.#connectedAt >= STABLE_MS) this.#attempt = 0;
    const hintMs = this.#hintMs;
    this.#hintMs = null;
    if (afterClose(code) === "stop") {
      this.#fail("the connection ended before the answer came");
      this.#become({ state: "disconnected", code, reason, terminal: true });
      return;
    }
    const retryInMs = hintMs ?? backoffMs(this.#attempt, this.#options.random());
    this.#attempt += 1;
    this.#retryTimer = this.#options.setTimeout(() => { this.#retryTimer = null; this.#open(); }, retryInMs);
    this.#become({ state: "disconnected", code, reason, terminal: false, retryInMs });
  }

  #fail(message) {
    const entries = [...this.#pending];
    this.#pending.clear();
    for (const [id, entry] of entries) {
      this.#options.clearTimeout(entry.timer);
      entry.reject(new VolleyError("unknown_outcome", message, { id }));
    }
  }

  #cancel(which) {
    const clear = this.#options.clearTimeout;
    if (which === "retry" && this.#retryTimer !== null) { clear(this.#retryTimer); this.#retryTimer = null; }
    if (which === "connect" && this.#connectTimer !== null) { clear(this.#connectTimer); this.#connectTimer = null; }
    if (which === "silence" && this.#silenceTimer !== null) { clear(this.#silenceTimer); this.#silenceTimer = null; }
  }

  /** One timer that looks at the clock when it fires, instead of one set again for every message. */
  #watchSilence() {
    const left = this.#heardAt + SILENCE_MS - this.#options.now();
    if (left <= 0) this.#giveUp("nothing heard");
    else this.#silenceTimer = this.#options.setTimeout(() => this.#watchSilence(), left);
  }

  #heard(data) {
    this.#heardAt = this.#options.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.#emit("error", new VolleyError("bad_message", "the server sent something that is not JSON"));
      this.#giveUp("not JSON");
      return;
    }
    if (message.frame) this.#onFrame(message.frame);
    else if (message.welcome) this.#onWelcome(message.welcome);
    else if (message.ack) this.#onAck(message.ack);
    else if (message.error) this.#onError(message.error);
    else if (message.gap) this.#onGap(message.gap);
    else if (message.heartbeat) this.#reach(message.heartbeat.last);
    else if (message.rendition) this.#onRendition(message.rendition);
    else if (message.bye) this.#onBye(message.bye);
  }

  #onWelcome(welcome) {
    this.#cancel("connect");
    this.#connectedAt = this.#heardAt;
    this.#watchSilence();
    const asked = this.epoch !== null;
    const same = this.epoch === welcome.epoch;
    this.user = welcome.you;
    this.epoch = welcome.epoch;
    this.#tickMs = welcome.tick_ms;
    this.#become({ state: "connected" });
    this.rendition = welcome.rendition ?? "viewer";
    this.#emit("welcome", welcome);
    this.#count(welcome.snapshot);
    for (const { wire } of this.#pending.values()) this.#socket.send(wire);
    const before = this.position;
    if (welcome.recovered && same) {
      // Frames with everything after our position follow; the snapshot's events are among them or known.
      this.#resumedUntil = welcome.last;
      return;
    }
    const continues = same && welcome.last >= before;
    this.position = continues ? before : 0;
    this.#resumedUntil = 0;
    this.#emit("board", { changed: this.board.begin(welcome.snapshot), fresh: true });
    this.#deliver(this.#fresh(welcome.snapshot.events), "snapshot");
    this.#arrive(welcome.last);
    if (asked) {
      const first = welcome.snapshot.events[0]?.offset ?? welcome.last + 1;
      this.#emit("gap", { from: before, to: continues ? first - 1 : null, reason: welcome.reason ?? "not_recovered" });
    }
  }

  #onFrame(frame) {
    this.#reach(frame.prev);
    const origin = frame.prev < this.#resumedUntil ? "resumed" : "live";
    const isNews = frame.last > this.position; // Counters alone make a frame too, and a part may be known already.
    const fresh = this.#fresh(frame.events);
    const raises = isNews ? frame.events.flatMap(({ raise }) => (raise ? [raise] : [])) : [];
    const changed = this.#apply(fresh, frame, origin);
    if (raises.length > 0) this.#emit("raises", raises);
    if (changed.size > 0) this.#emit("board", { changed, fresh: false });
    this.#count(frame);
    if (isNews) this.#emit("ledger", ledger(fresh, raises, frame, origin));
    this.#arrive(frame.last);
  }

  /** What happened, and what it changed of what stands in the room. */
  #apply(fresh, { tallies = [], at = 0 }, origin) {
    const changed = this.board.apply(fresh, tallies, at);
    if (changed.has("settings")) this.#tickMs = this.board.settings.tick_ms ?? this.#tickMs;
    this.#deliver(fresh, origin);
    return changed;
  }

  /** @param {{likes: number, online: number, unique?: number}} told */
  #count({ likes, online, unique }) {
    this.unique = unique ?? this.unique;
    this.#emit("counters", { likes, online, unique: this.unique });
  }

  /** @param {number} position */
  #arrive(position) {
    this.position = Math.max(this.position, position);
    this.#emit("position", this.position);
  }

  /** The server's next word continues at `to`: if that is ahead of us, something was lost. */
  #reach(to) {
    if (to <= this.position) return;
    this.#emit("gap", { from: this.position, to, reason: "hole" });
    this.position = to;
  }

  /** Without what is known already, and without raises, which have no position of their own. */
  #fresh(events) { return events.filter((event) => event.offset > this.position); }

  #deliver(events, origin) {
    if (events.length > 0) this.#emit("events", { events, origin, tickMs: this.#tickMs });
  }

  #onGap(gap) {
    this.#emit("gap", gap);
    // What is guaranteed of the stretch comes along.
    const changed = this.#apply(this.#fresh(gap.events ?? []), gap, "resumed");
    if (changed.size > 0) this.#emit("board", { changed, fresh: false });
    this.#arrive(gap.to);
  }

  #onAck({ id, offset, outcome, into }) {
    this.#take(id)?.resolve(into === undefined ? { offset, outcome } : { offset, outcome, into });
  }

  #onRendition({ now, reason }) {
    this.rendition = now;
    this.#emit("rendition", { now, reason });
  }

  #onError(error) {
    const { id, code, message, retry_after_ms: retryAfterMs } = error;
    const refusal = new VolleyError(code, message, { id, retryAfterMs });
    const entry = id === undefined ? undefined : this.#take(id);
    if (entry) entry.reject(refusal);
    else this.#emit("error", refusal);
  }

  #take(id) {
    const entry = this.#pending.get(id);
    if (!entry) return undefined;
    this.#pending.delete(id);
    this.#options.clearTimeout(entry.timer);
    return entry;
  }

  #onBye(bye) {
    this.#hintMs = Math.min(Math.max(0, bye.after_ms), HINT_MAX_MS);
    this.#emit("bye", bye);
  }
}

/** Comments by class; what else can be left out is counted under its kind's name. */
const COMMENT_CLASSES = ["normal", "low"];

/** @returns {Ledger} */
function ledger(fresh, raises, { merged = {}, shed = {} }, origin) {
  const comments = fresh.flatMap(({ comment }) => (comment ? [comment] : []));
  const stoodFor = sum(comments.map(({ times = 1 }) => times)) + sum(raises.map(({ by }) => by));
  const leftOut = sum(COMMENT_CLASSES.map((name) => shed[name] ?? 0));
  return { shown: comments.length, total: stoodFor + leftOut, merged, shed, origin };
}

const sum = (numbers) => numbers.reduce((all, each) => all + each, 0);
