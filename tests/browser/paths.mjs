// The path between a real Chromium and a real server (VOLLEY_BIN): networks that change and drop data, proxies that
// move the pages or block WebSockets. The last line counts the passed tests; a failure gives a nonzero exit code.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { eventually, freePorts, launch, ROOT, run } from "./harness.mjs";
import { Network } from "./network.mjs";
import { proxy } from "./proxy.mjs";
import { Server } from "./server.mjs";

const binary = process.env.VOLLEY_BIN;
if (!binary) {
  console.error("VOLLEY_BIN names no binary; build one with `cargo build` and set it to target/debug/volley");
  process.exit(64);
}
const SHOTS = `${ROOT}target/screenshots`;
mkdirSync(SHOTS, { recursive: true });
const server = new Server(binary, ...(await freePorts(2)), ["--set", "room.merge=off"]);
await server.start();
const browser = await launch();

/** A viewer whose page is loaded from `origin`. */
async function viewer(url, prepare) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, locale: "en-US" });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  if (prepare) await page.addInitScript(prepare);
  await page.addInitScript(() => {
    globalThis.welcomes = 0;
    const Native = globalThis.WebSocket;
    globalThis.WebSocket = class extends Native {
      constructor(...given) {
        super(...given);
        this.addEventListener("message", () => { globalThis.welcomes += 1; }, { once: true });
      }
    };
  });
  await page.goto(url);
  const leave = async () => { await context.close(); assert.deepEqual(wrong, []); };
  return { context, page, leave };
}

const connected = (page, timeout = 10_000) => page.waitForSelector('body[data-state="connected"]', { timeout });
const own = (page, text) => page.locator("#chat .own .what").filter({ hasText: text });
/** Connections of this page that the server welcomed. */
const welcomes = (page) => page.evaluate(() => globalThis.welcomes);
async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}
/** Sends the page an event of the browser about its network. */
const tell = (page, event, isOnLine) => page.evaluate(([name, is]) => {
  Object.defineProperty(navigator, "onLine", { configurable: true, get: () => is });
  dispatchEvent(new Event(name));
}, [event, isOnLine]);
/** The comments in the room's log. */
async function logged(room) {
  const { events } = await (await fetch(`${server.origin}/v1/rooms/${room}/events`)).json();
  return events.flatMap(({ comment }) => (comment ? [comment.text] : []));
}

const ok = await run({
  async comment_is_sent_again_when_the_network_has_changed() {
    const network = await Network.to(server.port);
    const { page, leave } = await viewer(`${network.origin}/rooms/changed`);
    await connected(page);
    network.goDown();
    await tell(page, "offline", false);
    await eventually("it does not say connected", async () => (await page.textContent("#state")) === "No network");
    await say(page, "one");
    await say(page, "two");
    assert.equal(await page.inputValue("#text"), "");
    await eventually("they are being sent", async () => /Sending 2 comments/.test(await page.textContent("#sending")));
    await page.waitForTimeout(5_000); // Long enough for a retry delay, which the event has to end early.
    network.comeUp();
    const back = performance.now();
    await tell(page, "online", true);
    await connected(page);
    await own(page, "two").waitFor();
    const tookMs = performance.now() - back;
    assert.ok(tookMs < 4_000, `${Math.round(tookMs)} ms`);
    assert.equal(await page.textContent("#sending"), "");
    assert.deepEqual(await logged("changed"), ["one", "two"], "each once, in their order");
    await leave();
    network.close();
  },

  async comment_into_a_path_that_swallows_is_sent_again_without_any_event() {
    const network = await Network.to(server.port);
    const { page, leave } = await viewer(`${network.origin}/rooms/swallowed`);
    await connected(page);
    await say(page, "before");
    await own(page, "before").waitFor();
    network.swallow();
    const texts = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    for (const text of texts) await say(page, text);
    await eventually("reconnected", async () => (await welcomes(page)) === 2, 15_000);
    await own(page, "eight").waitFor({ timeout: 30_000 });
    assert.deepEqual(await logged("swallowed"), ["before", ...texts], "each once, in their order, though it is more than the rate limit");
    assert.equal(await page.textContent("#problem"), "");
    await leave();
    network.close();
  },

  async acknowledgement_that_was_swallowed_makes_no_second_comment() {
    const network = await Network.to(server.port);
    const { page, leave } = await viewer(`${network.origin}/rooms/answered`);
    await connected(page);
    // The comment arrives; its answer does not.
    await page.evaluate(() => {
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function once(data) { WebSocket.prototype.send = send; send.call(this, data); this.onmessage = null; };
    });
    await say(page, "only once");
    await eventually("it is in the log", async () => (await logged("answered")).length === 1);
    await own(page, "only once").waitFor({ timeout: 20_000 });
    assert.deepEqual(await logged("answered"), ["only once"]);
    await leave();
    network.close();
  },

  async tab_checks_its_connection_at_once_after_a_sleep() {
    const network = await Network.to(server.port);
    const { page, leave } = await viewer(`${network.origin}/rooms/slept`);
    await connected(page);
    network.swallow();
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await eventually("a new connection", async () => (await welcomes(page)) === 2, 8_000);
    await leave();
    network.close();
  },

  async false_alarm_costs_no_connection() {
    const network = await Network.to(server.port);
    const { page, leave } = await viewer(`${network.origin}/rooms/alarm`);
    await connected(page);
    for (let n = 0; n < 5; n += 1) {
      await tell(page, "offline", false);
      await connected(page);
      await tell(page, "online", true);
      await connected(page);
    }
    await page.waitForTimeout(4_000); // Longer than the timeout of a ping.
    assert.equal(await welcomes(page), 1);
    assert.equal(await page.evaluate(() => globalThis.volley.client.state), "connected");
    await leave();
    network.close();
  },

  async pages_work_below_any_path_that_a_proxy_strips() {
    for (const prefix of ["/chat/", "/a/b-c/rooms/"]) {
      const front = await proxy(server.port, { prefix });
      const { page, leave } = await viewer(`${front.home}`);
      await page.fill("#room", "below");
      await page.press("#room", "Enter");
      await connected(page);
      assert.equal(page.url(), `${front.home}rooms/below`);
      assert.equal(await page.textContent("#room-name"), "below");
      await say(page, "hello");
      await own(page, "hello").waitFor();
      const other = await viewer(`${front.home}rooms/below`); // A room is live while it has viewers.
      await connected(other.page);
      const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
      assert.ok(download.url().startsWith(`${front.home}v1/rooms/below/export`), download.url());
      await page.click("#home");
      await page.locator(".room strong", { hasText: "below" }).waitFor();
      assert.equal(page.url(), front.home);
      await page.click(".room");
      await connected(page);
      await other.leave();
      await leave();
      front.close();
    }
  },

  async pages_work_below_a_path_that_a_proxy_keeps() {
    const kept = new Server(binary, ...(await freePorts(2)), ["--set", "public_path=/chat"]);
    await kept.start();
    for (const strips of [false, true]) { // The setting does no harm with a proxy of the other kind.
      const front = await proxy(kept.port, { prefix: "/chat/", strips });
      const { page, leave } = await viewer(`${front.origin}/chat${strips ? "/" : ""}`);
      assert.equal(page.url(), front.home, "without the slash it leads to the list, too");
      await page.click("#open-demo");
      await connected(page);
      assert.equal(page.url(), `${front.home}rooms/demo`);
      await say(page, `hello ${strips}`);
      await own(page, `hello ${strips}`).waitFor();
      await leave();
      front.close();
    }
    await kept.stop();
  },

  async page_in_a_shops_frame_works_where_the_shop_is_listed() {
    const shop = (src, attributes = "") => `<!doctype html><meta charset=utf-8><style>body{margin:0}iframe{border:0}</style>
      <iframe src="${src}" width="360" height="420" ${attributes}></iframe>`;
    const pages = {};
    const front = await proxy(server.port, { prefix: "/none/", pages });
    const listed = new Server(binary, ...(await freePorts(2)), ["--set", `pages.frame_ancestors=${front.origin}/`]);
    await listed.start();
    Object.assign(pages, {
      "/shop": shop(`${listed.origin}/rooms/framed`),
      "/other": shop(`${server.origin}/rooms/framed`),
      "/sandbox": shop(`${listed.origin}/rooms/framed`, "sandbox=\"allow-scripts allow-same-origin allow-forms\""),
    });
    for (const path of ["/shop", "/sandbox"]) {
      // Third-party storage is blocked, as in many browsers.
      const { page, leave } = await viewer(front.origin + path, () => {
        if (top === self) return;
        for (const name of ["localStorage", "sessionStorage"]) {
          Object.defineProperty(globalThis, name, { get() { throw new DOMException("denied", "SecurityError"); } });
        }
      });
      const frame = page.frameLocator("iframe");
      await frame.locator('body[data-state="connected"]').waitFor();
      await frame.locator("#text").fill(`from ${path}`);
      await frame.locator("#text").press("Enter");
      await frame.locator("#chat .own", { hasText: `from ${path}` }).waitFor();
      await page.screenshot({ path: `${SHOTS}/framed${path.replace("/", "-")}.png`, clip: { x: 0, y: 0, width: 360, height: 420 } });
      const { width, content } = await page.frames()[1].evaluate(() => ({ width: innerWidth, content: document.documentElement.scrollWidth }));
      assert.ok(content <= width, `${content} px of content in ${width} px`);
      for (const id of ["text", "send", "chat"]) assert.ok(await frame.locator(`#${id}`).isVisible(), id);
      await leave();
    }
    // A page that is not listed shows nothing.
    const { page, leave } = await viewer(`${front.origin}/other`);
    await page.waitForLoadState();
    assert.equal(await page.frames()[1].evaluate(() => document.getElementById("text") === null).catch(() => true), true);
    await leave();
    front.close();
    await listed.stop();
  },

  async proxy_that_changes_the_host_is_reported() {
    const front = await proxy(server.port, { host: "volley:8080" });
    const { page, leave } = await viewer(`${front.origin}/rooms/reason`);
    await eventually("why", async () => /does not accept pages from http:\/\/127\.0\.0\.1:\d+.*Host.*admission\.origins/.test(await page.textContent("#why")));
    assert.match(await page.textContent("#state"), /Reconnecting in [3-9]\d s/, "retried rarely");
    await page.setViewportSize({ width: 360, height: 640 });
    await page.screenshot({ path: `${SHOTS}/refused-upgrade.png` });
    assert.ok(await page.locator("#text").isVisible());
    await leave();
    front.close();
  },

  async proxy_that_blocks_websockets_is_reported() {
    for (const upgrade of [200, 400, 502, 504]) {
      const front = await proxy(server.port, { upgrade });
      const { page, leave } = await viewer(`${front.origin}/rooms/reason`);
      for (let n = 0; n < 3; n += 1) { await page.locator("#retry").click(); await page.waitForTimeout(300); }
      await eventually(`${upgrade}`, async () => /blocks WebSockets/.test(await page.textContent("#why")), 15_000);
      await leave();
      front.close();
    }
  },

  async unreachable_server_behind_a_proxy_is_reported_and_recovers() {
    const [port, adminPort] = await freePorts(2);
    const late = new Server(binary, port, adminPort);
    const front = await proxy(port);
    await late.start();
    const { page, leave } = await viewer(`${front.origin}/rooms/reason`);
    await connected(page);
    late.kill();
    await eventually("why", async () => /A proxy in front of the server returned 502/.test(await page.textContent("#why")), 15_000);
    await late.start();
    await page.click("#retry");
    await connected(page);
    assert.equal(await page.textContent("#why"), "");
    await leave();
    front.close();
    await late.stop();
  },

  async limit_of_rooms_is_reported() {
    const small = new Server(binary, ...(await freePorts(2)), ["--set", "room.rooms_max=1"]);
    await small.start();
    const one = await viewer(`${small.origin}/rooms/one`);
    await connected(one.page);
    const two = await viewer(`${small.origin}/rooms/two`);
    await eventually("why", async () => /limit of rooms/.test(await two.page.textContent("#why")));
    await one.leave();
    await two.leave();
    await small.stop();
  },

  async unsent_text_returns_to_its_author() {
    const network = await Network.to(server.port);
    const { page, leave } = await viewer(`${network.origin}/rooms/lost`);
    await connected(page);
    network.goDown();
    await say(page, "kept");
    await eventually("given up", async () => (await page.inputValue("#text")) === "kept", 75_000);
    assert.match(await page.textContent("#problem"), /may or may not have been sent/);
    network.comeUp();
    await tell(page, "online", true);
    await connected(page, 30_000);
    await page.press("#text", "Enter");
    await own(page, "kept").waitFor();
    assert.deepEqual(await logged("lost"), ["kept"]);
    await leave();
    network.close();
  },
}, async () => {
  const pages = browser.contexts().flatMap((context) => context.pages());
  const states = await Promise.all(pages.map(async (page) => `${page.url()}: ${await page.textContent("#state", { timeout: 500 }).catch(() => "-")}`));
  await Promise.all(browser.contexts().map((context) => context.close()));
  return [...states, server.output.slice(-2_000)].join("\n");
});

Network.closeAll();
await browser.close();
try {
  await server.stop();
} finally {
  server.kill();
}
process.exitCode = ok ? 0 : 1;
