// The pages in a real Chromium against a real server (VOLLEY_BIN): the actions and the view of a viewer, and events
// that must never happen. Screenshots are saved in target/screenshots. The last line counts the passed tests; a
// failure gives a nonzero exit code.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { crowd } from "./crowd.mjs";
import { eventually, freePorts, launch, ROOT, run } from "./harness.mjs";
import { Server } from "./server.mjs";

const binary = process.env.VOLLEY_BIN;
if (!binary) {
  console.error("VOLLEY_BIN names no binary; build one with `cargo build` and set it to target/debug/volley");
  process.exit(64);
}
const SHOTS = `${ROOT}target/screenshots`;
mkdirSync(SHOTS, { recursive: true });

const server = new Server(binary, ...(await freePorts(2)));
await server.start();
const browser = await launch();
const DESK = { viewport: { width: 1440, height: 900 }, locale: "en-US" };
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, locale: "zh-CN" };

/** A separate viewer; `wrong` collects events that must not happen: errors, dialogs, requests to other sites. */
async function viewer(path, options = DESK, prepare = async () => {}, { origin } = server) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("console", (line) => { if (line.type() === "error" && !line.text().includes("ERR_CONNECTION_REFUSED")) wrong.push(`console: ${line.text()}`); });
  page.on("request", (request) => { if (new URL(request.url()).origin !== origin) wrong.push(`request: ${request.url()}`); });
  await prepare(page);
  await page.goto(origin + path);
  return {
    page,
    wrong,
    async leave() {
      await context.close();
      assert.deepEqual(wrong, []);
    },
  };
}

const connected = (page, timeout = 10_000) => page.waitForSelector('body[data-state="connected"]', { timeout });
const ownRow = (page, text) => page.locator("#chat .own .what").filter({ hasText: text });
const row = (page, text) => page.locator("#chat .what").filter({ hasText: text });
const likesOf = async (page) => Number((await page.textContent("#likes")).replaceAll(",", ""));
const countersOf = (page) => page.evaluate(() => globalThis.volley.danmaku.counters);

/** Types and sends a comment, and waits until the page shows it. Slower than the rate limit of one connection. */
async function say(page, text, seen = text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
  await ownRow(page, seen).first().waitFor();
  await page.waitForTimeout(600);
}

/** Counts elements that exist only if a text was treated as markup. */
const foreignElements = (page) => page.evaluate(() => document.querySelectorAll(
  "#chat script, #chat img, #chat a, #chat iframe, #chat svg, #chat b, #chat .what *, #stage img, #stage script, body > script, body > img",
).length);

const noSideScroll = async (page) => {
  const { width, content } = await page.evaluate(() => ({ width: innerWidth, content: document.documentElement.scrollWidth }));
  assert.ok(content <= width, `${content} px of content in ${width} px`);
};

const ok = await run({
  async empty_server_invites_to_the_demo_room() {
    const { page, leave } = await viewer("/");
    await page.waitForSelector("#nobody:not([hidden])");
    await page.screenshot({ path: `${SHOTS}/index-empty.png` });
    await page.click("#open-demo");
    await connected(page);
    assert.equal(new URL(page.url()).pathname, "/rooms/demo");
    assert.equal(await page.textContent("#room-name"), "demo");
    await leave();
  },

  async pages_come_with_a_strict_content_security_policy() {
    for (const path of ["/", "/rooms/demo"]) {
      const answer = await fetch(server.origin + path);
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get("content-security-policy") ?? "", /default-src 'self'/, path);
    }
  },

  async comment_and_like_come_back_and_others_see_them() {
    const a = await viewer("/rooms/two");
    const b = await viewer("/rooms/two");
    await connected(a.page);
    await connected(b.page);
    await eventually("both see two online", async () => (await a.page.textContent("#online")).startsWith("2 ") && (await b.page.textContent("#online")).startsWith("2 "));
    await say(a.page, "你好, Volley");
    await row(b.page, "你好, Volley").waitFor();
    assert.equal(await ownRow(b.page, "你好, Volley").count(), 0, "only the author's is marked as own");
    for (const page of [a.page, b.page]) await eventually("it flies", async () => (await countersOf(page)).drawn >= 1);
    await a.page.click("#like");
    await a.page.click("#like");
    assert.ok((await likesOf(a.page)) >= 2, "a click counts at once");
    await eventually("the other sees two likes", async () => (await likesOf(b.page)) === 2);
    await a.page.reload();
    await connected(a.page);
    await eventually("the total is the server's", async () => (await likesOf(a.page)) === 2);
    await row(a.page, "你好, Volley").waitFor();
    await a.leave();
    await b.leave();
  },

  async looks_travel_with_the_comment() {
    const a = await viewer("/rooms/looks");
    const b = await viewer("/rooms/looks");
    await connected(a.page);
    await connected(b.page);
    await b.page.evaluate(() => {
      globalThis.seen = [];
      globalThis.volley.client.on("events", ({ events }) => globalThis.seen.push(...events.map((event) => event.comment)));
    });
    await a.page.selectOption("#mode", "top");
    await a.page.selectOption("#size", "36");
    await a.page.getByRole("radio", { name: "Pink" }).check({ force: true });
    await say(a.page, "large and pink");
    const seen = await eventually("the other has it", () => b.page.evaluate(() => globalThis.seen[0]));
    assert.deepEqual(seen.style, { mode: "top", color: 0xff8ad8, size: 36 });
    await a.leave();
    await b.leave();
  },

  async people_s_text_never_becomes_markup() {
    const a = await viewer("/rooms/markup");
    const b = await viewer("/rooms/markup");
    await connected(a.page);
    await connected(b.page);
    const texts = [
      "<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "javascript:alert(3)", "</li></ol><b>bold</b>", "\"><svg onload=alert(4)>",
      "{{constructor.constructor('alert(5)')()}}",
    ];
    for (const text of texts) await say(a.page, text);
    await say(a.page, "line\u2028separator", "separator");
    for (const { page } of [a, b]) {
      for (const text of texts) await eventually(text, async () => (await page.locator("#chat .what").allTextContents()).includes(text));
      assert.equal(await foreignElements(page), 0);
    }
    // Also from the history: a newcomer gets them in the welcome.
    const c = await viewer("/rooms/markup");
    await row(c.page, texts[0]).waitFor();
    assert.equal(await foreignElements(c.page), 0);
    for (const each of [a, b, c]) await each.leave();
  },

  async refused_comment_keeps_its_text_and_shows_the_retry_time() {
    const { page, leave } = await viewer("/rooms/refused");
    await connected(page);
    await page.fill("#text", "长".repeat(513));
    await page.press("#text", "Enter");
    assert.match(await page.textContent("#problem"), /512/);
    assert.equal((await page.inputValue("#text")).length, 513);
    await page.fill("#text", "\u200b\u200b");
    await page.press("#text", "Enter");
    await eventually("the server refuses it as empty", async () => /no visible text/.test(await page.textContent("#problem")));
    // Faster than any person: some are refused, and the text of all of those is kept.
    await page.evaluate(() => {
      for (let n = 1; n <= 8; n += 1) {
        document.getElementById("text").value = `fast ${n}`;
        document.getElementById("composer").requestSubmit();
      }
    });
    await eventually("the rate limit", () => page.locator("#send").isDisabled());
    assert.match(await page.textContent("#problem"), /Too fast\. Try again in \d+ s/);
    const kept = await page.inputValue("#text");
    assert.match(kept, /^fast \d$/);
    assert.ok(await page.locator("#put-back").isVisible());
    await page.screenshot({ path: `${SHOTS}/refused.png` });
    await eventually("the wait is over", async () => !(await page.locator("#send").isDisabled()));
    await page.press("#text", "Enter");
    await ownRow(page, kept).waitFor();
    assert.equal(await page.inputValue("#text"), "");
    for (let again = 0; again < 8 && await page.locator("#put-back").isVisible(); again += 1) {
      await page.waitForTimeout(1_000); // Stays within the rate limit.
      await page.click("#put-back");
      const next = await page.inputValue("#text");
      await page.press("#text", "Enter");
      await ownRow(page, next).waitFor();
    }
    for (let n = 1; n <= 8; n += 1) assert.equal(await ownRow(page, `fast ${n}`).count(), 1, `fast ${n} arrived once`);
    assert.ok(await page.locator("#put-back").isHidden());
    await leave();
  },

  async keyboard_alone_is_enough() {
    const { page, leave } = await viewer("/rooms/keys");
    await connected(page);
    const focused = () => page.evaluate(() => document.activeElement.id);
    await page.keyboard.press("c");
    assert.equal(await focused(), "text");
    // Letters that are shortcuts elsewhere are text here.
    await page.keyboard.type("cold l d c");
    assert.equal(await page.inputValue("#text"), "cold l d c");
    assert.equal(await likesOf(page), 0);
    await page.keyboard.press("Enter");
    await ownRow(page, "cold l d c").waitFor();
    await page.keyboard.press("Escape");
    assert.notEqual(await focused(), "text");
    await page.keyboard.press("l");
    await eventually("the like is counted", async () => (await likesOf(page)) === 1);
    await page.keyboard.press("Space");
    assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
    await page.keyboard.press("Space");
    assert.equal(await page.getAttribute("#pause", "aria-pressed"), "false");
    await page.keyboard.press("d");
    assert.equal(await page.evaluate(() => document.querySelector("input[name=density]:checked").value), "high");
    // Every control can be reached with Tab, and the focus is visible.
    const reached = new Set();
    await page.reload();
    await connected(page);
    for (let i = 0; i < 30; i += 1) {
      await page.keyboard.press("Tab");
      const stop = await page.evaluate(() => {
        const node = document.activeElement;
        const marked = node.matches("input[type=radio]") ? node.nextElementSibling : node;
        return { name: node.id || node.name || node.tagName, visible: getComputedStyle(marked).outlineStyle !== "none" };
      });
      if (stop.name === "BODY") break;
      assert.ok(stop.visible, `focus on ${stop.name} can be seen`);
      reached.add(stop.name);
    }
    for (const name of ["home", "pause", "density", "area", "opacity", "chat", "mode", "size", "color", "text", "send", "like"]) {
      assert.ok(reached.has(name), `${name} is reached; got ${[...reached]}`);
    }
    await leave();
  },

  async chinese_and_english_by_the_browser_s_language() {
    const zh = await viewer("/rooms/words", { ...DESK, locale: "zh-CN" });
    await connected(zh.page);
    assert.equal(await zh.page.textContent("#send"), "发送");
    assert.equal(await zh.page.getAttribute("html", "lang"), "zh-CN");
    assert.equal(await zh.page.textContent("#state"), "已连接");
    const en = await viewer("/rooms/words", { ...DESK, locale: "de-DE" });
    await connected(en.page);
    assert.equal(await en.page.textContent("#send"), "Send");
    const asked = await viewer("/rooms/words?lang=zh");
    await connected(asked.page);
    assert.equal(await asked.page.textContent("#send"), "发送");
    await asked.page.click("#home");
    await asked.page.waitForSelector("#open");
    assert.equal(await asked.page.getAttribute("html", "lang"), "zh-CN", "the choice goes along");
    for (const each of [zh, en, asked]) await each.leave();
  },

  async index_lists_live_rooms_and_opens_one_by_name() {
    const talker = await viewer("/rooms/listed-room");
    await connected(talker.page);
    const { page, leave } = await viewer("/");
    await page.locator(".room strong", { hasText: "listed-room" }).waitFor();
    assert.ok(await page.locator("#nobody").isHidden());
    await page.fill("#room", "not a room!");
    await page.press("#room", "Enter");
    assert.notEqual(await page.textContent("#room-problem"), "");
    assert.equal(new URL(page.url()).pathname, "/");
    await page.fill("#room", "by-name_1");
    await page.press("#room", "Enter");
    await connected(page);
    assert.equal(new URL(page.url()).pathname, "/rooms/by-name_1");
    await leave();
    await talker.leave();
  },

  async missed_and_omitted_comments_are_reported() {
    let route;
    const { page, leave } = await viewer("/rooms/honest", DESK, (fresh) => fresh.routeWebSocket(/\/ws/, (socket) => {
      route = socket;
      socket.connectToServer();
    }));
    await connected(page);
    const last = await page.evaluate(() => globalThis.volley.client.position);
    route.send(JSON.stringify({ gap: { from: last, to: last + 32, reason: "slow" } }));
    await page.locator("#chat .note", { hasText: "Missed up to 32" }).waitFor();
    // The following gap has its guaranteed events.
    const events = [{ offset: last + 34, pin: { text: "Kept for you" } }, { offset: last + 35, announcement: { text: "Leave now", level: "urgent" } }];
    route.send(JSON.stringify({ gap: { from: last + 32, to: last + 36, reason: "slow", at: 1, events } }));
    await page.locator("#pinned", { hasText: "Kept for you" }).waitFor();
    await page.locator("#urgent", { hasText: "Leave now" }).waitFor();
    await page.click("#urgent-ok");
    route.send(JSON.stringify({ frame: { prev: last + 44, last: last + 56, at: 1, digest: "0", likes: 0, online: 1, events: [], shed: { normal: 12 } } }));
    await page.locator("#chat .note", { hasText: "Missed up to 8" }).waitFor();
    await eventually("the stage shows the number of comments", async () => /showing 0 of 2\.4\/s/.test(await page.textContent("#honest")));
    await page.click("#honest");
    await eventually("and by which class", async () => (await page.textContent("#facts")).includes("Left out, normal12"));
    await leave();
  },

  async closed_for_good_says_why_and_offers_another_try() {
    let route;
    const { page, leave } = await viewer("/rooms/final", DESK, (fresh) => fresh.routeWebSocket(/\/ws/, (socket) => {
      route = socket;
      socket.connectToServer();
    }));
    await connected(page);
    await page.fill("#text", "typed before");
    await route.close({ code: 4503, reason: "forbidden" });
    await page.waitForSelector('body[data-state="stopped"]');
    assert.match(await page.textContent("#state"), /not allowed/);
    assert.equal(await page.inputValue("#text"), "typed before");
    await page.click("#retry");
    await connected(page);
    assert.ok(await page.locator("#retry").isHidden());
    await leave();
  },

  async reduced_motion_is_respected() {
    const { page, leave } = await viewer("/rooms/calm", { ...DESK, reducedMotion: "reduce" });
    await connected(page);
    const scene = () => page.evaluate(() => document.getElementById("scene").toDataURL());
    const stage = () => page.evaluate(() => document.getElementById("danmaku").toDataURL());
    const empty = await stage();
    const before = await scene();
    await say(page, "standing still");
    await eventually("it is shown", async () => (await countersOf(page)).live === 1);
    const shown = await stage();
    assert.notEqual(shown, empty);
    await page.waitForTimeout(500);
    assert.equal(await stage(), shown, "the comment does not move");
    assert.equal(await scene(), before, "the picture does not move");
    await leave();
  },

  async phone_has_no_sideways_scroll() {
    const talkers = await viewer("/rooms/demo", DESK);
    await connected(talkers.page);
    const phone = await viewer("/rooms/demo", PHONE);
    await connected(phone.page);
    await say(phone.page, `https://example.org/${"x".repeat(200)}`);
    await noSideScroll(phone.page);
    for (const id of ["text", "send", "like", "pause"]) {
      const box = await phone.page.locator(`#${id}`).boundingBox();
      assert.ok(box && box.x >= 0 && box.x + box.width <= 360 && box.y + box.height <= 740, `${id} is on the screen: ${JSON.stringify(box)}`);
      assert.ok(box.height >= 36, `${id} is large enough for a finger`);
    }
    await phone.page.tap("#looks-toggle");
    await phone.page.waitForSelector("#looks.open");
    await noSideScroll(phone.page);
    await phone.page.goto(`${server.origin}/`);
    await phone.page.locator(".room").first().waitFor();
    await noSideScroll(phone.page);
    await phone.leave();
    await talkers.leave();
  },

  async crowded_room_looks_like_a_show() {
    const backstage = await viewer("/");
    await crowd(backstage.page, server.origin, "demo", 24, 1_500);
    const desk = await viewer("/rooms/demo", { ...DESK, locale: "zh-CN" });
    const phone = await viewer("/rooms/demo", PHONE);
    await connected(desk.page);
    await connected(phone.page);
    await desk.page.waitForTimeout(6_500);
    await say(desk.page, "我也来了！");
    for (let i = 0; i < 5; i += 1) await desk.page.click("#like");
    await eventually("comments fly", async () => (await countersOf(desk.page)).live > 20);
    await desk.page.waitForTimeout(1_200);
    await desk.page.screenshot({ path: `${SHOTS}/watch-desk-zh.png` });
    await phone.page.screenshot({ path: `${SHOTS}/watch-phone-zh.png` });
    const english = await viewer("/rooms/demo", { viewport: { width: 1280, height: 720 }, locale: "en-GB" });
    await connected(english.page);
    await english.page.waitForTimeout(6_000);
    await english.page.screenshot({ path: `${SHOTS}/watch-desk-en.png` });
    const index = await viewer("/");
    await index.page.locator(".room").first().waitFor();
    await index.page.screenshot({ path: `${SHOTS}/index.png` });
    assert.deepEqual(await backstage.page.evaluate(() => globalThis.crowd.refusals), []);
    for (const each of [desk, phone, english, index, backstage]) await each.leave();
  },

  async compressed_messages_are_agreed_to_and_read_by_the_browser_itself() {
    // Off by default, so this test starts its own server.
    const packed = new Server(binary, ...(await freePorts(2)), ["--set", "compression.enabled=true", "--set", "room.merge=off", "--set", "room.budget_per_s=0"]);
    try {
      await packed.start();
      const { page, leave } = await viewer("/", DESK, undefined, packed);
      const heard = await page.evaluate(async () => {
        const enter = async () => {
          const socket = new WebSocket(`ws://${location.host}/v1/rooms/packed/ws`);
          const seen = { socket, texts: [], welcome: null };
          await new Promise((resolve, reject) => {
            socket.onclose = (close) => reject(new Error(`closed with ${close.code}`));
            socket.onmessage = ({ data }) => {
              const { welcome, frame } = JSON.parse(data);
              if (welcome) resolve(seen.welcome = welcome);
              if (frame) seen.texts.push(...frame.events.map(({ comment }) => comment.text));
            };
          });
          return seen;
        };
        const people = await Promise.all(Array.from({ length: 8 }, enter));
        for (const [who, { socket }] of people.entries()) {
          for (let n = 0; n < 4; n += 1) socket.send(JSON.stringify({ comment: { text: `这首歌太好听了 前方高能预警 第 ${who}-${n} 条` } }));
        }
        while (people.some(({ texts }) => texts.length < 32)) await new Promise((resolve) => setTimeout(resolve, 50));
        const late = await enter();
        const told = late.welcome.snapshot.events.map(({ comment }) => comment.text);
        return { extensions: late.socket.extensions, told, texts: people.map(({ texts }) => texts) };
      });
      assert.match(heard.extensions, /^permessage-deflate; server_no_context_takeover; client_no_context_takeover/);
      assert.equal(new Set(heard.texts[0]).size, 32);
      for (const texts of heard.texts) assert.deepEqual(texts, heard.texts[0]);
      assert.deepEqual(heard.told, heard.texts[0].slice(-20));
      const metrics = await (await fetch(`http://127.0.0.1:${packed.adminPort}/metrics`)).text();
      const counted = Number(/^volley_deflated_messages_total (\d+)$/m.exec(metrics)?.[1]);
      assert.ok(counted >= 1 && counted < 30, `${counted} compressed messages for eight viewers`);
      await leave();
      assert.equal(await packed.stop(), 0);
    } finally {
      packed.kill();
    }
  },

  async page_recovers_from_a_server_restart() {
    const { page, leave } = await viewer("/rooms/restart");
    await connected(page);
    await say(page, "before the restart");
    const exit = await Promise.all([server.stop(), page.waitForSelector('body[data-state="connecting"]', { timeout: 30_000 })]);
    assert.equal(exit[0], 0, "a clean exit");
    await page.screenshot({ path: `${SHOTS}/reconnecting.png` });
    await server.start();
    await connected(page, 60_000);
    await say(page, "after the restart");
    await page.locator("#chat .note", { hasText: "started over" }).waitFor();
    assert.ok((await row(page, "before the restart").count()) >= 1, "announcements that were read stay on the page");
    await leave();
  },
}, async () => {
  // On a failure: the state of each open page, and the last lines of the server.
  const pages = browser.contexts().flatMap((context) => context.pages());
  const states = await Promise.all(pages.map(async (page) => `${page.url()}: ${await page.textContent("#state", { timeout: 500 }).catch(() => "-")}`));
  await Promise.all(browser.contexts().map((context) => context.close()));
  return [...states, server.output.slice(-2_000)].join("\n");
});

await browser.close();
try {
  await server.stop();
} finally {
  server.kill();
}
process.exitCode = ok ? 0 : 1;
