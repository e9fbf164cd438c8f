// Whether and when a client reconnects. Pure functions.

/** The shortest wait before a reconnect; also the step that back-off doubles. */
export const BACKOFF_MIN_MS = 500;
/** The largest random addition to it. */
export const BACKOFF_MAX_MS = 20_000;

/**
 * Full jitter: clients that were disconnected together do not reconnect together.
 * @param {number} attempt 0 for the first retry
 * @param {number} random from [0, 1)
 */
export function backoffMs(attempt, random) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt, 30));
  return Math.round(BACKOFF_MIN_MS + random * ceiling);
}

const TERMINAL_BELOW_4000 = new Set([1000, 1002, 1003, 1007, 1009]);

/**
 * What a client does after a close code.
 * @param {number} code
 * @returns {"retry"|"stop"}
 */
export function afterClose(code) {
  if (code >= 4500 && code <= 4999) return "stop";
  return TERMINAL_BELOW_4000.has(code) ? "stop" : "retry";
}

/** Retry interval for causes that only a person can remove, usually the operator. Jitter spreads the retries. */
export const SLOW_MS = 60_000;
/** Longest wait that a refusal can ask for. */
const REFUSAL_MAX_MS = 300_000;
/** Refusals for which a retry never helps. */
const HOPELESS = new Set(["bad_room", "bad_payload", "not_available", "unknown_subprotocol", "bad_extensions"]);
const FOR_A_PERSON = new Set(["forbidden_origin", "blocked", "proxy"]);

/**
 * What a client does after a refused upgrade.
 * @param {import("./volley-inquiry.js").Refusal} refusal @param {number} random from [0, 1)
 * @returns {number|"stop"} the least wait in milliseconds
 */
export function afterRefusal({ code, afterMs = 0 }, random) {
  if (HOPELESS.has(code)) return "stop";
  const waitMs = FOR_A_PERSON.has(code) ? SLOW_MS : Math.min(afterMs, REFUSAL_MAX_MS);
  return Math.round(waitMs * (1 + random / 2));
}
