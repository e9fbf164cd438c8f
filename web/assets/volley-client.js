// The Volley client: one WebSocket that follows one room, reconnects automatically and reports missed stretches.
//
// Knows the wire v1 (JSON). Does not know the page: no DOM, no storage. Time, random numbers and the socket class are
// options, so that a test can run it without a network.

import { Board } from "./volley-board.js";
import { ServerClock } from "./volley-clock.js";
import { VolleyError } from "./volley-error.js";
import { inquire } from "./volley-inquiry.js";
import { ledger } from "./volley-ledger.js";
import { Outbox } from "./volley-outbox.js";
import { afterClose, afterRefusal, backoffMs } from "./volley-retry.js";

export { afterClose, BACKOFF_MAX_MS, BACKOFF_MIN_MS, backoffMs } from "./volley-retry.js";
export { VolleyError };
export { KEEP_MS, PENDING_MAX } from "./volley-outbox.js";

/**
 * @typedef {{id: string, name: string, role?: string}} User
 * @typedef {{mode?: "scroll"|"top"|"bottom"|"reverse", color?: number, size?: number}} Style
 * @typedef {{user: User, id?: string, text: string, style?: Style, media_ms?: number, ext?: object, first?: boolean,
 *   deleted?: boolean, times?: number, names?: string[]}} Comment
 * @typedef {{user: User, name: string, count: number, value: number, combo?: string, total?: number}} Gift
 * @typedef {{offset: number, by: number, times: number}} Raise
 * @typedef {{offset: number, comment?: Comment, gift?: Gift, announcement?: import("./volley-board.js").Announcement,
 *   custom?: import("./volley-board.js").Custom, pin?: import("./volley-board.js").Pin, unpin?: {}, delete?: {offset: number, also?: number[]},
 *   poll?: import("./volley-board.js").Poll, poll_close?: {id: string}, enter?: {user: User},
 *   settings?: import("./volley-board.js").Settings, outcome?: string, into?: number}} RoomEvent
 * @typedef {{room: string, session: string, you: User, recovered: boolean, reason?: string, epoch: string,
 *   last: number, tick_ms: number, rendition?: Rendition, snapshot: {likes: number, online: number, unique?: number, events: RoomEvent[]}}} Welcome
 * @typedef {"disconnected"|"connecting"|"connected"} State
 * @typedef {{state: State, code?: number, reason?: string, terminal?: boolean, retryInMs?: number, unsure?: boolean,
 *   refusal?: import("./volley-inquiry.js").Refusal}} StateChange `refusal`: why it does not open, as far as known;
 *   `unsure`: connected as far as known, but the browser reported a change of network and the server was asked
 * @typedef {{events: RoomEvent[], origin: "snapshot"|"resumed"|"live", tickMs: number, lateMs: number}} Events
 *   `lateMs`: by the server's clock, how long ago other viewers got them
 * @typedef {{likes: number, online: number, unique: number}} Counters
 * @typedef {{from: number, to: number|null, reason: string, at?: number, events?: RoomEvent[], tallies?: object[]}} Gap
 * @typedef {{offset: number, outcome: "shown"|"merged"|"shed", into?: number}} Sent
 * @typedef {"viewer"|"lite"|"full"} Rendition
 * The accounts of a frame. `shown`: comments in it; `total`: comments of its stretch, including those that were merged
 * or left out; `merged`, `shed`: their numbers, by class.
 * @typedef {{shown: number, total: number, merged: Record<string, number>, shed: Record<string, number>,
 *   origin: "resumed"|"live"}} Ledger
 * @typedef {{welcome: Welcome, state: StateChange, events: Events, raises: Raise[], counters: Counters, ledger: Ledger,
 *   board: {changed: Set<import("./volley-board.js").Part>, fresh: boolean}, rendition: {now: Rendition, reason: string},
 *   position: number, gap: Gap, error: VolleyError, bye: {code: number, after_ms: number}}} EventMap
 */

/** Only a connection of this length resets the back-off: one that is accepted and closed at once does not count. */
export const STABLE_MS = 10_000;
/** Longest time from `new WebSocket` to the welcome. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** By default the server sends something every 15 s. After this much silence the client sends a `ping`. */
export const QUIET_MS = 20_000;
/** A comment is answered within a tick, of at most 2 s. If nothing arrives for this long after it, the client pings. */
export const DOUBT_MS = 4_000;
/** If a ping gets no answer for this long, the connection is dead. Slow networks take one second. */
export const PROBE_MS = 3_000;
/** A younger attempt may use the new network already: it is kept, which also limits attempts on an unstable network. */
const FRESH_MS = 500;
/** Failures until the client concludes that something blocks WebSockets: a server may also have restarted. */
const BLOCKED_AFTER = 4;
/** The longest wait that a `bye` can ask for. */
export const HINT_MAX_MS = 300_000;
/** The most likes in one message. */
export const LIKES_PER_MESSAGE_MAX = 100;

const GUEST_KEY = /^[A-Za-z0-9_-]{16,64}$/;
/** A new guest's secret: 128 bits. The same key is the same guest. */
export function newGuestKey() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class VolleyClient {
  /** @type {State} */ state = "disconnected";
  /** This client, as the server knows it. @type {User|null} */ user = null;
  /** The identity of the room's log, after the first welcome. @type {string|null} */ epoch = null;
  /** The newest position that this client has. */ position = 0;
  /** The state that newcomers get at once, kept up to date. */ board = new Board();
  /** The rendition of the frames. @type {Rendition} */ rendition = "viewer";
  /** Estimated number of people who have watched. */ unique = 0;

  #url; #options; #guestKey; #listeners = new Map();
  /** Frames that start before this are the answer to a resume. */
  #resumedUntil = 0;
  /** @type {any} */ #socket = null;
  /** The wait that a `bye` asked for. @type {number|null} */ #hintMs = null;
  /** The requested rendition; a slow connection may get `lite`. @type {Rendition} */ #wished = "viewer";
  #attempt = 0; #tickMs = 100; #connectedAt = 0;
  #heardAt = 0; #openedAt = 0; #isWanted = false; #isUnsure = false; #idPrefix; #idCount = 0;
  /** Running timers by purpose. @type {Map<"retry"|"connect"|"silence"|"probe"|"doubt", any>} */ #timers = new Map();
  /** Messages without an answer. @type {Outbox} */ #outbox;
  /** Why no connection opens. @type {import("./volley-inquiry.js").Refusal|null} */ #refusal = null;

  /**
   * Does no I/O: call {@link connect}.
   * @param {string} url ws:// or wss:// address of the room's socket
   * @param {{guestKey?: string, rendition?: Rendition, WebSocket?: any, fetch?: any, random?: () => number, now?: () => number,
   *   setTimeout?: (f: () => void, ms: number) => any, clearTimeout?: (timer: any) => void}} [options]
   */
  constructor(url, options = {}) {
    this.#url = url;
    this.#guestKey = GUEST_KEY.test(options.guestKey ?? "") ? options.guestKey : newGuestKey();
    this.#wished = this.rendition = options.rendition ?? "viewer";
    this.#options = {
      WebSocket: options.WebSocket ?? globalThis.WebSocket,
      fetch: options.fetch ?? ((...asked) => globalThis.fetch(...asked)),
      random: options.random ?? Math.random,
      now: options.now ?? (() => performance.now()),
      setTimeout: options.setTimeout ?? ((f, ms) => setTimeout(f, ms)),
      clearTimeout: options.clearTimeout ?? ((timer) => clearTimeout(timer)),
    };
    this.clock = new ServerClock(this.#options.now);
    this.#outbox = new Outbox(this.#options);
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

  /** Connects now, without waiting for the next retry. Does nothing when there is a connection. */
  connect() {
    this.#isWanted = true;
    if (this.#socket) return;
    this.#cancel("retry");
    this.#open();
  }

  /** Call it when the browser reports a changed network: the connection may be dead without a close; a retry is due. */
  networkChanged() {
    if (this.#timers.has("retry")) {
      this.#attempt = 0;
      this.connect();
    } else if (this.state === "connected") {
      this.#isUnsure = true;
      this.#become({ state: "connected", unsure: true });
      this.probe();
    } else if (this.#socket && this.#options.now() - this.#openedAt >= FRESH_MS) {
      this.#giveUp("the network changed"); // It began on the old network.
      this.networkChanged();
    } else if (this.#socket) {
      this.#after("connect", PROBE_MS, () => this.#giveUp("no welcome in time"));
    }
  }

  /** Pings the server, and reconnects if no answer arrives. Call it when a page becomes visible again after a while. */
  probe() {
    if (this.state !== "connected" || this.#timers.has("probe")) return;
    this.#socket.send(JSON.stringify({ ping: {} }));
    this.#after("probe", PROBE_MS, () => this.#giveUp("no answer"));
  }

  /** Disconnects without retries; {@link connect} resumes. */
  disconnect() {
    this.#isWanted = false;
    this.#cancel("retry");
    this.#hintMs = null;
    const socket = this.#detach();
    socket?.close(1000);
    this.#outbox.fail("disconnected before the answer arrived");
    if (this.state !== "disconnected") this.#become({ state: "disconnected", code: 1000, terminal: false });
  }

  /**
   * Sends a comment. Resolves when the comment is in the room's log, where it is stored exactly once: without a
   * connection it waits, and after a reconnect it is sent again with the same id. Comments keep their order. After
   * {@link KEEP_MS} the promise rejects: `not_sent` if the comment was never sent, `unknown_outcome` if it may have
   * arrived; sent again with the error's id, it is stored only once. A closed page loses its unanswered comments.
   * @param {string} text
   * @param {{style?: Style, mediaMs?: number, ext?: object, id?: string}} [options]
   * @returns {Promise<Sent>} rejects with a {@link VolleyError}
   */
  send(text, { style, mediaMs, ext, id = this.#nextId() } = {}) {
    const comment = { id, text };
    if (style && Object.keys(style).length > 0) comment.style = style;
    if (mediaMs !== undefined) comment.media_ms = mediaMs;
    if (ext !== undefined) comment.ext = ext;
    return this.#ask(id, { comment });
  }

  /**
   * Votes in a poll. A user's first vote counts; further votes change nothing.
   * @param {string} poll @param {number} option from 0
   * @returns {Promise<Sent>} rejects as {@link send} does
   */
  vote(poll, option) {
    const id = this.#nextId();
    return this.#ask(id, { vote: { id, poll, option } });
  }

  /**
   * Asks for a rendition, now and after every reconnect. The event `rendition` reports when it begins.
   * @param {Rendition} rendition
   */
  ask(rendition) {
    this.#wished = rendition;
    if (this.state === "connected") this.#socket.send(JSON.stringify({ rendition }));
  }

  /** The ids of one client end in a rising number. */
  #nextId() { return `${this.#idPrefix}-${(this.#idCount += 1)}`; }

  /** Sends a message that is answered by its id; sends it again after every reconnect until it is answered. */
  #ask(id, message) {
    if (!this.#isWanted) return Promise.reject(new VolleyError("not_connected", "not connected", { id }));
    return this.#outbox.ask(id, JSON.stringify(message));
  }

  /** Sends a message that will be answered. */
  #post(wire) {
    this.#socket.send(wire);
    if (!this.#timers.has("doubt")) this.#after("doubt", DOUBT_MS, () => this.#doubt());
  }

  /** Pings when an answer is due and nothing has arrived. */
  #doubt() {
    if (this.#outbox.size === 0) return;
    if (this.#options.now() - this.#heardAt >= DOUBT_MS) this.probe();
    this.#after("doubt", DOUBT_MS, () => this.#doubt());
  }

  /**
   * Likes the room `count` times. There is no answer besides the room's total.
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

  #emit(name, detail) { for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(detail); }

  #become(change) {
    this.state = change.state;
    this.#emit("state", change);
  }

  #open() {
    const url = new URL(this.#url);
    const resume = this.epoch === null ? {} : { epoch: this.epoch, after: String(this.position) };
    for (const [name, value] of Object.entries(resume)) url.searchParams.set(name, value);
    if (this.#wished !== "viewer") url.searchParams.set("rendition", this.#wished);
    this.#openedAt = this.#options.now();
    this.#become({ state: "connecting" });
    let socket;
    try {
      socket = new this.#options.WebSocket(url.href, ["volley.v1.json", `volley.guest.${this.#guestKey}`]);
    } catch (error) { // Not an address for a WebSocket, or ws: from a page that came over TLS: retrying does not help.
      return this.#stop({ code: 1006, reason: String(error.message) });
    }
    this.#socket = socket;
    socket.onmessage = (message) => { if (socket === this.#socket) this.#heard(message.data); };
    socket.onclose = (close) => { if (socket === this.#socket) this.#closed(close.code, close.reason); };
    this.#after("connect", CONNECT_TIMEOUT_MS, () => this.#giveUp("no welcome in time"));
  }

  /** Abandons a dead connection without waiting for its close. */
  #giveUp(reason) {
    const socket = this.#socket;
    if (socket) this.#closed(1006, reason);
    socket?.close(4003, reason);
  }

  #detach() {
    const socket = this.#socket;
    [this.#socket, this.#isUnsure] = [null, false];
    for (const name of [...this.#timers.keys()]) if (name !== "retry") this.#cancel(name);
    this.#outbox.disconnected();
    return socket;
  }

  #closed(code, reason) {
    this.#detach();
    if (this.state === "connected" && this.#options.now() - this.#connectedAt >= STABLE_MS) this.#attempt = 0;
    const hintMs = this.#hintMs;
    this.#hintMs = null;
    if (afterClose(code) === "stop") return this.#stop({ code, reason });
    const hasOpened = this.state === "connected";
    const retryInMs = hintMs ?? backoffMs(this.#attempt, this.#options.random());
    this.#attempt += 1;
    this.#comeBack({ code, reason, retryInMs });
    if (!hasOpened && code === 1006) this.#askWhy({ code, reason, retryInMs });
  }

  /** Stops: the client does not reconnect automatically any more. */
  #stop(change) {
    this.#isWanted = false;
    this.#cancel("retry");
    this.#outbox.fail("the connection ended before the answer arrived");
    this.#become({ state: "disconnected", ...change, terminal: true });
  }

  #comeBack({ code, reason, retryInMs }) {
    const refusal = this.#refusal ?? undefined;
    const least = refusal ? afterRefusal(refusal, this.#options.random()) : 0;
    if (least === "stop") return this.#stop({ code, reason: refusal.message, refusal });
    const waitMs = Math.max(retryInMs, least);
    this.#after("retry", waitMs, () => this.#open());
    this.#become({ state: "disconnected", code, reason, terminal: false, retryInMs: waitMs, ...(refusal && { refusal }) });
  }

  /** Asks after the 1st, 2nd, 4th, 8th … failure, to save requests to a server that is full. */
  async #askWhy(change) {
    const failures = this.#attempt;
    if ((failures & (failures - 1)) !== 0) return;
    const refusal = await inquire(this.#url, { fetch: this.#options.fetch, origin: globalThis.location?.origin });
    if (this.state === "connected" || this.#attempt !== failures || !this.#isWanted) return;
    this.#refusal = refusal?.code === "blocked" && failures < BLOCKED_AFTER ? null : refusal;
    if (this.#refusal && this.#timers.has("retry")) this.#comeBack(change);
  }

  #after(name, ms, run) {
    this.#cancel(name);
    this.#timers.set(name, this.#options.setTimeout(() => { this.#timers.delete(name); run(); }, ms));
  }

  #cancel(name) {
    if (this.#timers.has(name)) this.#options.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  /** One timer that checks the clock when it fires, instead of a new timer for every message. */
  #watchSilence() {
    const left = this.#heardAt + QUIET_MS - this.#options.now();
    if (left <= 0) this.probe();
    this.#after("silence", left > 0 ? left : QUIET_MS, () => this.#watchSilence());
  }

  /** A message arrived: the connection is alive. */
  #alive() {
    this.#heardAt = this.#options.now();
    this.#cancel("probe");
    if (this.#isUnsure) this.#become({ state: "connected" });
    this.#isUnsure = false;
  }

  #heard(data) {
    this.#alive();
    let message;
    try { message = JSON.parse(data); } catch {
      this.#emit("error", new VolleyError("bad_message", "the server sent a message that is not JSON"));
      this.#giveUp("not JSON");
      return;
    }
    this.clock.heard((message.frame ?? message.heartbeat ?? message.pong ?? message.gap)?.at);
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
    this.#refusal = null;
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
    this.#outbox.connected((wire) => this.#post(wire));
    const before = this.position;
    if (welcome.recovered && same) {
      // Frames with everything after the position follow; the snapshot's events are among them or known.
      this.#resumedUntil = welcome.last;
      return;
    }
    const continues = same && welcome.last >= before;
    this.position = continues ? before : 0;
    this.#resumedUntil = 0;
    this.#emit("board", { changed: this.board.begin(welcome.snapshot), fresh: true });
    this.#deliver(this.#fresh(welcome.snapshot.events), "snapshot", undefined);
    this.#arrive(welcome.last);
    if (asked) {
      const first = welcome.snapshot.events[0]?.offset ?? welcome.last + 1;
      this.#emit("gap", { from: before, to: continues ? first - 1 : null, reason: welcome.reason ?? "not_recovered" });
    }
  }

  #onFrame(frame) {
    this.#reach(frame.prev);
    const origin = frame.prev < this.#resumedUntil ? "resumed" : "live";
    const isNews = frame.last > this.position; // A frame may have only counters, and a part of it may be known already.
    const fresh = this.#fresh(frame.events);
    const raises = isNews ? frame.events.flatMap(({ raise }) => (raise ? [raise] : [])) : [];
    const changed = this.#apply(fresh, frame, origin);
    if (raises.length > 0) this.#emit("raises", raises);
    if (changed.size > 0) this.#emit("board", { changed, fresh: false });
    this.#count(frame);
    if (isNews) this.#emit("ledger", ledger(fresh, raises, frame, origin));
    this.#arrive(frame.last);
  }

  /** Emits the events, and their changes of the board. */
  #apply(fresh, { tallies = [], at }, origin) {
    const changed = this.board.apply(fresh, tallies, at ?? 0);
    if (changed.has("settings")) this.#tickMs = this.board.settings.tick_ms ?? this.#tickMs;
    this.#deliver(fresh, origin, at);
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

  /** The next frame continues at `to`. If that is ahead of the position, a stretch was lost. */
  #reach(to) {
    if (to <= this.position) return;
    this.#emit("gap", { from: this.position, to, reason: "hole" });
    this.position = to;
  }

  /** The events that are new, without raises, which have no position. */
  #fresh(events) { return events.filter((event) => event.offset > this.position); }

  #deliver(events, origin, at) {
    if (events.length > 0) this.#emit("events", { events, origin, tickMs: this.#tickMs, lateMs: this.clock.age(at) });
  }

  #onGap(gap) {
    this.#emit("gap", gap);
    // The gap contains the guaranteed events of its stretch.
    const changed = this.#apply(this.#fresh(gap.events ?? []), gap, "resumed");
    if (changed.size > 0) this.#emit("board", { changed, fresh: false });
    this.#arrive(gap.to);
  }

  #onAck({ id, offset, outcome, into }) {
    this.#outbox.answered(id, into === undefined ? { offset, outcome } : { offset, outcome, into });
  }

  #onRendition({ now, reason }) {
    this.rendition = now;
    this.#emit("rendition", { now, reason });
  }

  #onError(error) {
    const { id, code, message, retry_after_ms: retryAfterMs } = error;
    const refusal = new VolleyError(code, message, { id, retryAfterMs });
    if (id === undefined || !this.#outbox.refused(id, refusal)) this.#emit("error", refusal);
  }

  #onBye(bye) {
    this.#hintMs = Math.min(Math.max(0, bye.after_ms), HINT_MAX_MS);
    this.#emit("bye", bye);
  }
}
