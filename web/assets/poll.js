// The poll: a question one can answer once, how the others answered as it moves, and the result when it is over.

import { count, t } from "./i18n.js";
import { isolated, textElement } from "./text.js";

export class PollCard {
  #parts; #vote; #wordOf; #memory; /** @type {string|null} */ #shown = null; /** What this viewer took. @type {number|null} */ #mine = null;
  #sending = false; #enabled = true; /** The poll that the viewer closed. @type {string|null} */ #away = null;
  /** @type {{poll: any, tally: any}|null} */ #now = null; #said = "";

  /**
   * @param {{root: HTMLElement, question: HTMLElement, options: HTMLElement, state: HTMLElement, close: HTMLElement}} parts
   * @param {{vote: (poll: string, option: number) => Promise<unknown>, wordOf: (refusal: any) => string,
   *   memory: {get: (poll: string) => number|null, set: (poll: string, option: number) => void}}} page `vote` rejects with a
   *   refusal, `wordOf` says it; `memory`: of one's own vote
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
    close.hidden = tally.open; // An open poll stays in sight.
    this.#paint();
  }

  /** Whether votes can go out and are allowed. @param {boolean} possible */
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

/** The result in one line. @param {import("./volley-board.js").Poll} poll @param {import("./volley-board.js").Tally} tally */
export function result({ question, options }, { votes }) {
  const all = votes.reduce((sum, each) => sum + each, 0) || 1;
  const shares = options.map((words, option) => `${isolated(words)} ${Math.round(((votes[option] ?? 0) / all) * 100)}%`);
  return `${isolated(question)} ${shares.join(" · ")}`;
}

/**
 * One's own vote in a browser's storage: of the last poll that was voted in, as far as the browser lets us.
 * @param {() => string} log names the room's log, so that a poll of the same name elsewhere is another one
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
      } catch { /* Storage is forbidden: known until the page is left. */ }
    },
  };
}
