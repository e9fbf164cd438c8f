// Whether and when a client comes back. Pure.

/** The shortest wait before a reconnect; also the step that back-off doubles. */
export const BACKOFF_MIN_MS = 500;
/** The most that chance may add to it. */
export const BACKOFF_MAX_MS = 20_000;

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
