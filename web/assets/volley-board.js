// The board: the lasting state of a room. A newcomer gets it with the welcome, and the frames keep it up to date: the
// pinned notice, the poll with its tally, the newest event of each sticky type, current announcements, the settings.
//
// Pure: no DOM, no clock (the server's messages have the time), no socket.

/**
 * @typedef {{text: string, user?: {id: string, name: string, role?: string}}} Pin
 * @typedef {{id: string, question: string, options: string[]}} Poll
 * @typedef {{id: string, votes: number[], open: boolean}} Tally
 * @typedef {{type: string, data: any, sticky?: boolean}} Custom
 * @typedef {{text: string, level?: "info"|"urgent", until?: number}} Announcement
 * @typedef {{budget?: number|null, tick_ms?: number, slow_ms?: number, merge?: string, allowed?: string[], text_max?: number,
 *   mute_all?: boolean, classes?: Record<string, string>, question_bonus?: number, word_bonus?: number, words?: string[]}} Settings
 * @typedef {"pinned"|"poll"|"sticky"|"announcements"|"settings"} Part
 */

/** The same limits as on the server; beyond them the oldest leaves. */
const STICKY_MAX = 16;
const ANNOUNCEMENTS_MAX = 8;

const PARTS = /** @type {const} */ (["pinned", "poll", "sticky", "announcements", "settings"]);

export class Board {
  /** @type {Pin|null} */ pinned = null;
  /** The newest poll, open or not. @type {Poll|null} */ poll = null;
  /** Its current votes. @type {Tally|null} */ tally = null;
  /** The newest sticky event of each type. @type {Map<string, Custom>} */ sticky = new Map();
  /** @type {Announcement[]} */ announcements = [];
  /** @type {Settings} */ settings = {};

  #at = 0;

  /**
   * A new welcome replaces the whole board.
   * @param {{pinned?: Pin, poll?: Poll, tally?: Tally, sticky?: Custom[], announcements?: Announcement[], settings?: Settings}} snapshot
   * @returns {Set<Part>} the parts that may have changed: all of them
   */
  begin({ pinned, poll, tally, sticky = [], announcements = [], settings }) {
    this.pinned = pinned ?? null;
    this.poll = poll ?? null;
    this.tally = poll ? tally ?? blank(poll) : null;
    this.sticky = new Map(sticky.slice(-STICKY_MAX).map((custom) => [custom.type, custom]));
    this.announcements = announcements.slice(-ANNOUNCEMENTS_MAX);
    this.settings = settings ?? {};
    return new Set(PARTS);
  }

  /**
   * One frame's events in their order, then its tallies.
   * @param {any[]} events new ones only @param {Tally[]} tallies @param {number} at the server's clock
   * @returns {Set<Part>} the parts that changed
   */
  apply(events, tallies, at) {
    const changed = new Set();
    for (const event of events) this.#event(event, changed);
    for (const tally of tallies) {
      if (tally.id !== this.poll?.id) continue; // Of an earlier poll.
      this.tally = tally;
      changed.add("poll");
    }
    this.#at = Math.max(this.#at, at);
    const standing = this.announcements.filter(({ until }) => until > this.#at);
    if (standing.length < this.announcements.length) {
      this.announcements = standing;
      changed.add("announcements");
    }
    return changed;
  }

  #event({ pin, unpin, poll, poll_close: close, custom, announcement, settings }, changed) {
    if (pin) { this.pinned = pin; changed.add("pinned"); }
    if (unpin) { this.pinned = null; changed.add("pinned"); }
    if (poll) {
      this.poll = poll;
      this.tally = blank(poll);
      changed.add("poll");
    }
    if (close && close.id === this.poll?.id) {
      this.tally = { ...this.tally, open: false };
      changed.add("poll");
    }
    if (custom?.sticky) {
      this.sticky.delete(custom.type); // Newest last.
      this.sticky.set(custom.type, custom);
      if (this.sticky.size > STICKY_MAX) this.sticky.delete(this.sticky.keys().next().value);
      changed.add("sticky");
    }
    if (announcement?.until !== undefined) {
      this.announcements = [...this.announcements, announcement].slice(-ANNOUNCEMENTS_MAX);
      changed.add("announcements");
    }
    if (settings) {
      this.settings = changedSettings(this.settings, settings);
      changed.add("settings");
    }
  }
}

/** @param {Poll} poll @returns {Tally} */
const blank = ({ id, options }) => ({ id, votes: options.map(() => 0), open: true });

/**
 * Absent fields of a change keep their value; a budget of 0 means no limit.
 * @param {Settings} old
 * @param {Settings} change
 */
function changedSettings(old, change) {
  const settings = { ...old, ...change, classes: { ...old.classes, ...change.classes } };
  if (change.budget === 0) settings.budget = null;
  return settings;
}
