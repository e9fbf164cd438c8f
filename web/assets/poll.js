// The poll: a question that a viewer answers once, the current votes, and the result at the end.

import { count, t } from "./i18n.js";
import { isolated, textElement } from "./text.js";

export class PollCard {
  #parts; #vote; #wordOf; #memory; /** @type {string|null} */ #shown = null; /** The option that this viewer chose. @type {number|null} */ #mine = null;
  #sending = false; #enabled = true; /** The poll that the viewer closed. @type {string|null} */ #away = null;
  /** @type {{poll: any, tally: any}|null} */ #now = null; #said = "";

  /**
   * @param {{root: HTMLElement, question: HTMLElement, options: HTMLElement, state: HTMLElement, close: HTMLElement}} parts
   * @param {{vote: (poll: string, option: number) => Promise<unknown>, wordOf: (refusal: any) => string,
   *   memory: {get: (poll: string) => number|null, set: (poll: string, option: number) => void}}} page `vote` rejects with a
   *   refusal, `wordOf` puts it into words; `memory`: the viewer's own vote
   */
  constructor(parts, { vote, wordOf, memory }) {
    this.#parts = parts;
    this.#vote = vote;
    this.#wordOf = wordOf;
    this.#memory = memory;
    parts.close.addEventListener("click", () => {
      this.#away = this.#shown;
      parts.root.hidden = true;
    });
  }

  /** @param {import("./volley-board.js").Poll|null} poll @param {import("./volley-board.js").Tally|null} tally */
  show(poll, tally) {
    const { root, close } = this.#parts;
    if (!poll || !tally || poll.id === this.#away) { root.hidden = true; return; }
    this.#now = { poll, tally };
    if (poll.id !== this.#shown) this.#build(poll);
    root.hidden = false;
    close.hidden = tally.open; // An open poll stays visible.
    this.#paint();
  }

  /** Whether votes can be sent and are allowed. @param {boolean} possible */
  enable(possible) {
    this.#enabled = possible;
    if (this.#now) this.#paint();
  }

  #build({ id, question, options }) {
    this.#shown = id;
    this.#sending = false;
    this.#mine = this.#memory.get(id);
    this.#said = "";
    this.#parts.question.textContent = question;
    this.#parts.options.replaceChildren(...options.map((words, option) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      for (const [name, text] of [["fill", ""], ["answer", words], ["share", ""]]) {
        button.append(textElement("span", name, text));
      }
      button.addEventListener("click", () => this.#take(id, option));
      item.append(button);
      return item;
    }));
  }

  async #take(id, option) {
    if (this.#sending || this.#mine !== null || !this.#enabled || !this.#now?.tally.open) return;
    this.#sending = true;
    this.#say(t("voting"));
    try {
      await this.#vote(id, option);
      this.#memory.set(id, option);
      if (id === this.#shown) this.#mine = option;
      this.#say("");
    } catch (refusal) {
      if (id === this.#shown) this.#say(this.#wordOf(refusal));
    }
    if (id === this.#shown) this.#sending = false;
    this.#paint();
  }

  #say(text) {
    this.#said = text;
    if (this.#now) this.#paint();
  }

  #paint() {
    const { poll, tally } = this.#now;
    const all = tally.votes.reduce((sum, each) => sum + each, 0);
    const most = Math.max(...tally.votes);
    const possible = tally.open && this.#enabled && this.#mine === null && !this.#sending;
    this.#parts.root.classList.toggle("over", !tally.open);
    [...this.#parts.options.children].forEach((item, option) => {
      const votes = tally.votes[option] ?? 0;
      const share = all === 0 ? 0 : votes / all;
      const button = item.firstElementChild;
      button.style.setProperty("--share", String(share));
      button.classList.toggle("mine", option === this.#mine);
      button.classList.toggle("most", !tally.open && votes === most && all > 0);
      button.setAttribute("aria-disabled", String(!possible));
      button.setAttribute("aria-pressed", String(option === this.#mine));
      button.setAttribute("aria-label", `${isolated(poll.options[option])}: ${t("votesN", { n: votes })}${option === this.#mine ? `, ${t("yourVote")}` : ""}`);
      button.querySelector(".share").textContent = `${Math.round(share * 100)}% · ${count(votes)}`;
    });
    const sum = t(tally.open ? "pollOpen" : "pollOver", { n: all });
    this.#parts.state.textContent = this.#said || (this.#mine === null ? sum : `${sum} · ${t("yourVote")}`);
  }
}

/**
 * The result in one line.
 * @param {import("./volley-board.js").Poll} poll
 * @param {import("./volley-board.js").Tally} tally
 */
export function result({ question, options }, { votes }) {
  const all = votes.reduce((sum, each) => sum + each, 0) || 1;
  const shares = options.map((words, option) => `${isolated(words)} ${Math.round(((votes[option] ?? 0) / all) * 100)}%`);
  return `${isolated(question)} ${shares.join(" · ")}`;
}

/**
 * The viewer's own vote in the browser's storage, for the last poll with a vote, if the browser allows storage.
 * @param {() => string} log names the room's log, so that a poll with the same id in a different log is a different poll
 */
export function voteMemory(log) {
  const KEY = "volley.vote";
  return {
    get(poll) {
      try {
        const known = JSON.parse(localStorage.getItem(KEY) ?? "null");
        return known?.log === log() && known.poll === poll && Number.isInteger(known.option) ? known.option : null;
      } catch {
        return null;
      }
    },
    set(poll, option) {
      try {
        localStorage.setItem(KEY, JSON.stringify({ log: log(), poll, option }));
      } catch { /* Storage is forbidden: the vote is known until the page is closed. */ }
    },
  };
}
