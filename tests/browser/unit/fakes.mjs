// A clock with timers and a socket under the control of a test: no network, no waiting, no randomness.

import * as sdk from "../../../web/assets/volley-client.js";

export class Clock {
  now = 0;
  #timers = new Map();
  #next = 1;
  setTimeout = (run, ms) => {
    this.#timers.set(this.#next, { at: this.now + ms, run });
    return this.#next++;
  };
  clearTimeout = (id) => { this.#timers.delete(id); };
  get pending() { return this.#timers.size; }

  /** Advances by `ms` and fires due timers in order. */
  pass(ms) {
    const until = this.now + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.now = due[1].at;
      due[1].run();
    }
    this.now = until;
  }
}

/** The sockets of one test, in the order in which the client opened them. */
export function fakeSockets() {
  const opened = [];
  class FakeSocket {
    sent = [];
    closedWith = null;
    constructor(url, protocol) {
      Object.assign(this, { url: new URL(url), protocol });
      opened.push(this);
    }
    send(text) { this.sent.push(JSON.parse(text)); }
    close(code) { this.closedWith = code; }
    /** Delivers a message from the server. */
    say(message) { this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) }); }
    end(code, reason = "") { this.onclose({ code, reason }); }
  }
  return { FakeSocket, opened };
}

export const EPOCH = "00000000000000e1";
export const YOU = { id: "g1", name: "guest" };

/** A welcome with the usual fields, changed by `more`. */
export function welcome(more = {}, snapshot = {}) {
  return { welcome: {
    room: "demo", session: "00000000000000aa", you: YOU, recovered: false, epoch: EPOCH, last: 0, tick_ms: 100,
    snapshot: { likes: 0, online: 1, events: [], ...snapshot }, ...more,
  } };
}

export function frame(prev, last, offsets = [], more = {}) {
  const events = offsets.map((offset) => ({ offset, comment: { user: YOU, text: `text ${offset}` } }));
  return { frame: { prev, last, at: 1, digest: "0000000000000000", likes: 0, online: 1, events, ...more } };
}

/** A client whose random number is always `random`; its events are in `heard`. */
export function setUp({ random = 0, why = null } = {}) {
  const clock = new Clock();
  const { FakeSocket, opened } = fakeSockets();
  const asked = [];
  const fetch = async (url) => {
    asked.push(url);
    if (why === null) throw new TypeError("nothing answers");
    return new Response(why.body, why);
  };
  const client = new sdk.VolleyClient("ws://h.test/v1/rooms/demo/ws", {
    WebSocket: FakeSocket, fetch, random: () => random, now: () => clock.now, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout,
  });
  const heard = { state: [], gap: [], events: [], error: [], ledger: [], counters: [] };
  for (const name of Object.keys(heard)) client.on(name, (detail) => heard[name].push(detail));
  const offsets = () => heard.events.flatMap(({ events }) => events.map((event) => event.offset));
  return { asked, clock, client, opened, heard, offsets, last: () => opened.at(-1) };
}

export function connected(more, snapshot, options) {
  const all = setUp(options);
  all.client.connect();
  all.last().say(welcome(more, snapshot));
  return all;
}

/** The server acknowledges the last message. */
export function answer(last) {
  const [{ id }] = Object.values(last().sent.at(-1));
  last().say({ ack: { id, offset: 1, outcome: "shown" } });
}

/** Advances the time in a quiet room. */
export function beat(clock, last, ms) {
  for (let passed = 0; passed < ms; passed += 1_000) {
    clock.pass(Math.min(1_000, ms - passed));
    last().say({ heartbeat: { last: 0, at: 1 } });
  }
}
