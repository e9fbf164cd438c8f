// A clock with timers and a socket that a test drives by hand: no network, no waiting, no chance.

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

  /** Lets `ms` pass, firing what is due in its order. */
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
    /** From the server. */
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
