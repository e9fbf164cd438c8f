// The watch page in a real Chromium with scripted server messages. No server runs: the test holds the server's end of
// the page's socket. Screenshots are saved in target/screenshots.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { launch, ROOT, run } from "./harness.mjs";
import { frame, welcome } from "./unit/fakes.mjs";

export const SHOTS = `${ROOT}target/screenshots`;
mkdirSync(SHOTS, { recursive: true });
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://h");
  const name = pathname.startsWith("/rooms/") ? "watch.html" : pathname.match(/^\/(assets\/[\w-]+\.\w+)$/)?.[1];
  try {
    const bytes = await readFile(`${ROOT}web/${name}`);
    response.setHeader("content-type", `${TYPES[name.split(".").at(-1)]}; charset=utf-8`);
    response.setHeader("content-security-policy", "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' https: data: blob:");
    response.end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
export const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await launch();
export const DESK = { viewport: { width: 1440, height: 900 }, locale: "en-US" };
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, locale: "zh-CN" };
export const LI = { id: "u7", name: "Li" };
export const ME = { id: "g1", name: "guest" };

/**
 * A page and the server's end of its socket. `say` sends a message, `tick` the next frame, `heard` has the messages of
 * the page.
 */
export async function scripted({ options = DESK, path = "/rooms/show", more = {}, snapshot = {}, answer = () => {}, prepare } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  if (prepare) await page.addInitScript(prepare);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  page.on("console", (line) => { if (line.type() === "error" && !line.text().includes("ERR_FAILED")) wrong.push(`console: ${line.text()}`); });
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.route(/^https:/, (route) => route.abort());
  const heard = [];
  const sockets = [];
  await page.routeWebSocket(/\/v1\/rooms\//, (socket) => {
    sockets.push(socket);
    socket.onMessage((text) => {
      const message = JSON.parse(text);
      heard.push(message);
      answer(message, all);
    });
    socket.send(JSON.stringify(welcome({ you: ME, ...all.more }, all.snapshot)));
  });
  const all = {
    page, heard, sockets, more, snapshot, last: more.last ?? 0, told: more.last ?? 0,
    say(message) { sockets.at(-1).send(JSON.stringify(message)); },
    /** One frame with these events; events without an offset get the next one. Returns their offsets. */
    tick(events, fields = {}) {
      const prev = all.told;
      const placed = events.map((event) => (event.raise || event.offset ? event : { offset: (all.last += 1), ...event }));
      all.last = Math.max(all.last, ...placed.map((event) => event.offset ?? 0)) + (fields.skip ?? 0);
      all.told = all.last;
      const { skip, ...rest } = fields;
      all.say({ frame: { ...frame(prev, all.last).frame, at: Date.now(), likes: 3, online: 20_311, events: placed, ...rest } });
      return placed.map((event) => event.offset);
    },
    async leave() {
      await context.close();
      assert.deepEqual(wrong, []);
    },
  };
  await page.goto(origin + path);
  await page.waitForSelector('body[data-state="connected"]');
  return all;
}

export const comment = (text, more = {}) => ({ comment: { user: LI, text, ...more } });
export const row = (page, text) => page.locator("#chat li", { hasText: text });
export const noSideScroll = async (page) => {
  const { width, content } = await page.evaluate(() => ({ width: innerWidth, content: document.documentElement.scrollWidth }));
  assert.ok(content <= width, `${content} px of content in ${width} px`);
};
export const live = (page) => page.evaluate(() => globalThis.volley.danmaku.counters.live);

/** Runs the tests, closes everything, and sets the exit code. */
export async function keep(promises) {
  const ok = await run(promises, async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    return "";
  });
  await browser.close();
  server.close();
  process.exitCode = ok ? 0 : 1;
}
