// Why a WebSocket does not open. A browser hides the answer to a refused upgrade, so the same address is asked once more as a plain
// request, which takes the same way through every proxy (docs/protocol.md).

const TIMEOUT_MS = 5_000;

/**
 * What stands between a client and its connection. `code` is the server's, or `blocked`: the server would agree, so something on the
 * way lets no WebSocket through; or `proxy`: what answers is not the server. `afterMs`: what the answer asked for.
 * @typedef {{code: string, status: number, message: string, afterMs?: number}} Refusal
 */

/**
 * @param {string} url the WebSocket's, ws:// or wss://
 * @param {{fetch: typeof fetch, origin?: string}} browser `origin`: the page's
 * @returns {Promise<Refusal|null>} null when nothing answers at all, which needs no other word than that
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
    if (said?.ok === true) return { code: "blocked", status, message: "something on the way lets no WebSocket through" };
    if (typeof said?.error?.code !== "string") return { code: "proxy", status, message: `the way to the server answers ${status}` };
    const seconds = Number(answer.headers.get("retry-after") ?? Number.NaN);
    return { code: said.error.code, status, message: String(said.error.message ?? ""), afterMs: seconds > 0 ? seconds * 1_000 : undefined };
  } catch {
    return null;
  }
}
