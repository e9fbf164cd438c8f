// The error of a failed request.

/** A refusal, by the server or by the client itself. */
export class VolleyError extends Error {
  /**
   * @param {string} code for programs: the server's error codes, or `not_connected`, `not_sent`, `unknown_outcome`, `too_many_pending`
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
  "rate_limited", "overloaded", "storage_unavailable", "not_connected", "not_sent", "unknown_outcome", "too_many_pending",
]);
