// Finds out why a WebSocket does not open. A browser hides the answer to a refused upgrade, so the same address is
// asked again with a plain request, which takes the same way through every proxy (docs/protocol.md).

const TIMEOUT_MS = 5_000;

/**
 * Why a connection does not open. `code` is the server's error code; or `blocked`: the server would accept, so
 * something on the way blocks WebSockets; or `proxy`: the answer is not from the server. `afterMs`: the wait that the
 * answer asked for.
 * @typedef {{code: string, status: number, message: string, afterMs?: number}} Refusal
 */

/**
 * @param {string} url the address of the WebSocket, ws:// or wss://
 * @param {{fetch: typeof fetch, origin?: string}} browser `origin`: the origin of the page
 * @returns {Promise<Refusal|null>} null when there is no answer at all
 */
export async function inquire(url, { fetch, origin }) {
  const asked = new URL(url);
  asked.protocol = asked.protocol === "wss:" ? "https:" : "http:";
  asked.searchParams.set("check", "1");
  if (origin) asked.searchParams.set("origin", origin);
  try {
    const answer = await fetch(asked.href, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(TIMEOUT_MS) });
    const { status } = answer;
    const said = await answer.json().catch(() => null);
    if (said?.ok === true) return { code: "blocked", status, message: "something on the way blocks WebSockets" };
    if (typeof said?.error?.code !== "string") return { code: "proxy", status, message: `a proxy in front of the server answered ${status}` };
    const seconds = Number(answer.headers.get("retry-after") ?? Number.NaN);
    return { code: said.error.code, status, message: String(said.error.message ?? ""), afterMs: seconds > 0 ? seconds * 1_000 : undefined };
  } catch {
    return null;
  }
}
