// Events of the show's owner, posted to a real server (VOLLEY_BIN) at its admin address and shown in a real Chromium.
// Each test has its own room. Screenshots are saved in target/screenshots. The last line counts the passed tests.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { crowd as talkers } from "./crowd.mjs";
import { eventually, freePorts, launch, ROOT, run } from "./harness.mjs";
import { Server } from "./server.mjs";

const binary = process.env.VOLLEY_BIN;
if (!binary) {
  console.error("VOLLEY_BIN names no binary; build one with `cargo build` and set it to target/debug/volley");
  process.exit(64);
}
const SHOTS = `${ROOT}target/screenshots`;
mkdirSync(SHOTS, { recursive: true });
const DESK = { viewport: { width: 1440, height: 900 }, locale: "en-US" };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, locale: "zh-CN" };

const server = new Server(binary, ...(await freePorts(2)));
await server.start();
const browser = await launch();

/** A separate viewer; `wrong` collects events that must not happen. */
async function viewer(room, options = DESK) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.goto(`${server.origin}/rooms/${room}`);
  await page.waitForSelector('body[data-state="connected"]');
  return {
    page,
    async leave() {
      await context.close();
      assert.deepEqual(wrong, []);
    },
  };
}

/** Posts as the owner; returns the answer's body, or the whole answer if a refusal is expected. */
async function post(path, body, { key, status = 200 } = {}) {
  const headers = { "content-type": "application/json", ...(key ? { "idempotency-key": key } : {}) };
  const answer = await fetch(`http://127.0.0.1:${server.adminPort}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  const text = await answer.text();
  assert.equal(answer.status, status, `${path} ${JSON.stringify(body)}: ${text}`);
  return JSON.parse(text);
}
const events = (room, body, more) => post(`/v1/rooms/${room}/events`, body, more);

/** Many guests in one separate page, each with a connection; `say(text)` sends from the next guest. */
async function crowd(room, people) {
  const context = await browser.newContext(DESK);
  const page = await context.newPage();
  await page.goto(`${server.origin}/`);
  await page.evaluate(async ([name, count]) => {
    const { VolleyClient } = await import("/assets/volley-client.js");
    const clients = Array.from({ length: count }, () => new VolleyClient(`ws://${location.host}/v1/rooms/${name}/ws`));
    await Promise.all(clients.map((client) => new Promise((resolve) => { client.once("welcome", resolve).connect(); })));
    globalThis.crowd = { clients, acks: [] };
  }, [room, people]);
  return {
    page,
    /** Sends each of `texts` from a different person at once; returns the acks or refusals. */
    say: (texts, from = 0) => page.evaluate(([lines, first]) => Promise.all(lines.map((text, n) => {
      const { clients } = globalThis.crowd;
      return clients[(first + n) % clients.length].send(text).catch(({ code }) => ({ code }));
    })), [texts, from]),
    vote: (poll, options) => page.evaluate(([id, taken]) => Promise.all(taken.map((option, n) => (
      globalThis.crowd.clients[n].vote(id, option).catch(({ code }) => ({ code }))
    ))), [poll, options]),
    leave: () => context.close(),
  };
}

async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
  await page.locator("#chat .own .what", { hasText: text }).first().waitFor();
}

const row = (page, text) => page.locator("#chat li", { hasText: text });
const noSideScroll = async (page) => {
  const { width, content } = await page.evaluate(() => ({ width: innerWidth, content: document.documentElement.scrollWidth }));
  assert.ok(content <= width, `${content} px of content in ${width} px`);
};
const HOST = { id: "host-1", name: "Volley", role: "host" };
const LI = { id: "u-li", name: "小李" };

const ok = await run({
  async equal_comments_become_one_that_grows() {
    const { page, leave } = await viewer("merge");
    const people = await crowd("merge", 30);
    const first = await people.say(Array.from({ length: 10 }, () => "还有吗"));
    const later = await people.say(Array.from({ length: 20 }, () => "还有吗？？"), 10);
    const outcomes = [...first, ...later].map(({ outcome }) => outcome);
    assert.equal(outcomes.filter((outcome) => outcome === "shown").length >= 1, true, String(outcomes));
    assert.equal(outcomes.filter((outcome) => outcome === "merged").length >= 20, true, String(outcomes));
    // A merging window may have ended between the two; then there are two groups.
    await eventually("all of them are on the page", async () => {
      const times = await row(page, "还有吗").evaluateAll((items) => items.map((item) => Number((item.querySelector(".times")?.textContent ?? "×1").slice(1))));
      return times.length <= 2 && times.reduce((sum, each) => sum + each, 0) === 30;
    });
    await people.leave();
    await leave();
  },

  async own_comment_is_shown_although_it_was_merged() {
    const { page, leave } = await viewer("merge-own");
    const people = await crowd("merge-own", 5);
    await people.say(["前方高能", "前方高能", "前方高能"]);
    await say(page, "前方高能！");
    const own = page.locator("#chat .own");
    await eventually("marked as own", async () => (await own.count()) === 1);
    await people.leave();
    await leave();
  },

  async gifts_of_one_combo_count_up() {
    const { page, leave } = await viewer("gifts");
    const gift = (count) => ({ gift: { user: LI, name: "火箭", count, value: 100, combo: "k1" } });
    await events("gifts", gift(1));
    await events("gifts", gift(1));
    await events("gifts", gift(8));
    await eventually("one row", async () => (await page.locator("#gifts .count").allTextContents()).join() === "×10");
    await eventually("in the list too", async () => (await page.locator("#chat .gave .times").allTextContents()).join() === "×10");
    await leave();
  },

  async urgent_announcement_reaches_every_room_and_newcomers_until_its_time() {
    const a = await viewer("urgent-a");
    const b = await viewer("urgent-b");
    const until = Date.now() + 60_000;
    await post("/v1/announce", { announcement: { text: "请从东门离场", level: "urgent", until } });
    for (const { page } of [a, b]) {
      await page.getByRole("alertdialog").waitFor();
      assert.equal(await page.textContent("#urgent-text"), "请从东门离场");
      await page.click("#urgent-ok");
      assert.ok(!(await page.getByRole("alertdialog").isVisible()));
    }
    const c = await viewer("urgent-a");
    await c.page.getByRole("alertdialog").waitFor();
    for (const each of [a, b, c]) await each.leave();
  },

  async info_announcement_is_a_bar() {
    const { page, leave } = await viewer("info");
    await events("info", { announcement: { text: "<b>十点</b>开始抽奖" } });
    await page.locator(".bar-notice p", { hasText: "<b>十点</b>开始抽奖" }).waitFor();
    await leave();
  },

  async newcomers_see_the_pinned_notice_until_it_is_unpinned() {
    const a = await viewer("pin");
    await events("pin", { pin: { text: "全场包邮", user: HOST } });
    await eventually("pinned", async () => (await a.page.textContent("#pinned-text")) === "全场包邮");
    const b = await viewer("pin");
    assert.equal(await b.page.textContent("#pinned-text"), "全场包邮");
    await events("pin", { unpin: {} });
    for (const { page } of [a, b]) await eventually("unpinned", () => page.locator("#pinned").isHidden());
    await a.leave();
    await b.leave();
  },

  async product_card_sticks_for_newcomers() {
    const a = await viewer("product");
    await events("product", { custom: { type: "shop.product", data: { title: "应援灯牌", price: "¥39.00", image: "/assets/icon.svg", url: "https://shop.test/1" }, sticky: true } });
    await a.page.locator("#shelf a", { hasText: "应援灯牌" }).waitFor();
    const b = await viewer("product");
    await b.page.locator("#shelf a", { hasText: "应援灯牌" }).waitFor();
    await a.leave();
    await b.leave();
  },

  async poll_is_voted_in_once_and_its_result_stays() {
    const { page, leave } = await viewer("poll");
    const people = await crowd("poll", 4);
    await events("poll", { poll: { id: "p1", question: "下一首？", options: ["晴天", "夜曲"] } });
    await page.locator("#poll li button").first().click();
    await page.locator("#poll .mine").waitFor();
    assert.deepEqual((await people.vote("p1", [0, 1, 1, 5])).map(({ outcome, code }) => outcome ?? code), ["shown", "shown", "shown", "no_such_option"]);
    await people.vote("p1", [1]); // A second vote: the first counts.
    await eventually("four votes", async () => (await page.locator("#poll .share").allTextContents()).join() === "50% · 2,50% · 2");
    const late = await viewer("poll");
    await eventually("a newcomer sees them", async () => (await late.page.locator("#poll .share").allTextContents()).join() === "50% · 2,50% · 2");
    await events("poll", { poll_close: { id: "p1" } });
    for (const each of [page, late.page]) await row(each, "下一首？ 晴天 50% · 夜曲 50%").waitFor();
    assert.deepEqual((await people.vote("p1", [0])).map(({ code }) => code), ["poll_closed"]);
    await people.leave();
    await late.leave();
    await leave();
  },

  async arrival_of_a_known_user_is_shown() {
    const { page, leave } = await viewer("enter");
    await events("enter", { enter: { user: { id: "v1", name: "大明星", role: "vip" } } });
    await eventually("seen", async () => /大明星/.test(await page.textContent("#entrance")));
    await leave();
  },

  async deleted_comment_is_gone_for_everybody_and_for_newcomers() {
    const a = await viewer("delete");
    const b = await viewer("delete");
    await say(a.page, "to be deleted");
    await row(b.page, "to be deleted").waitFor();
    const offset = Number(await row(b.page, "to be deleted").getAttribute("data-offset"));
    await events("delete", { delete: { offset } });
    for (const { page } of [a, b]) await eventually("gone", async () => (await row(page, "to be deleted").count()) === 0);
    const c = await viewer("delete");
    await say(c.page, "afterwards");
    assert.equal(await row(c.page, "to be deleted").count(), 0);
    for (const each of [a, b, c]) await each.leave();
  },

  async settings_are_shown_and_enforced_by_the_server() {
    const { page, leave } = await viewer("settings");
    const people = await crowd("settings", 1);
    await events("settings", { settings: { mute_all: true } });
    await eventually("seen", async () => /Only moderators and the host/.test(await page.textContent("#rule")));
    assert.deepEqual(await people.say(["not now"]), [{ code: "muted" }]);
    await events("settings", { settings: { mute_all: false, text_max: 5 } });
    await eventually("seen", async () => /At most 5 characters/.test(await page.textContent("#rule")));
    assert.deepEqual(await people.say(["too long for it"]), [{ code: "too_long" }]);
    const late = await viewer("settings");
    assert.match(await late.page.textContent("#rule"), /At most 5 characters/);
    await people.leave();
    await late.leave();
    await leave();
  },

  async host_s_words_come_in_through_the_owner() {
    const { page, leave } = await viewer("host");
    await events("host", { comment: { user: HOST, text: "欢迎大家" } }, { key: "hello-1" });
    await events("host", { comment: { user: HOST, text: "欢迎大家" } }, { key: "hello-1" });
    await row(page, "欢迎大家").waitFor();
    await events("host", { comment: { user: HOST, text: "我们开始" } });
    await row(page, "我们开始").waitFor();
    assert.equal(await row(page, "欢迎大家").count(), 1, "the same key is the same comment");
    await leave();
  },

  async lighter_view_can_be_requested() {
    const { page, leave } = await viewer("lite");
    await page.click("#honest");
    await page.getByLabel("A lighter view").check();
    await eventually("told", async () => (await page.evaluate(() => globalThis.volley.client.rendition)) === "lite");
    await say(page, "still seen by myself");
    await events("lite", { announcement: { text: "guaranteed" } });
    await page.locator(".bar-notice", { hasText: "guaranteed" }).waitFor();
    await page.reload();
    await leave();
  },

  async unique_viewers_are_estimated() {
    const people = await crowd("unique", 6);
    const { page, leave } = await viewer("unique");
    await page.click("#honest");
    await eventually("about seven", async () => /about [78]/.test(await page.textContent("#facts")));
    await people.leave();
    await leave();
  },
  async everything_at_once_from_a_real_room() {
    const backstage = await browser.newPage(DESK);
    await talkers(backstage, server.origin, "everything", 24, 1_500);
    const until = Date.now() + 600_000;
    await events("everything", { events: [
      { pin: { text: "全场包邮，十点抽奖，评论区留下你最想听的歌", user: HOST } },
      { custom: { type: "shop.product", data: { title: "巡演应援灯牌（蓝牙版）", price: "¥39.00", image: "/assets/icon.svg", url: "https://shop.test/39" }, sticky: true } },
      { poll: { id: "next", question: "下一首听什么？", options: ["晴天", "夜曲", "七里香"] } },
    ] });
    const desk = await viewer("everything", { ...DESK, locale: "zh-CN" });
    const phone = await viewer("everything", PHONE);
    await backstage.evaluate(() => Promise.allSettled(globalThis.crowd.clients.map((client, n) => client.vote("next", n % 5 % 3))));
    await desk.page.waitForTimeout(6_000);
    await events("everything", { events: [
      { announcement: { text: "十点整开始抽奖，留在直播间就有机会", until } },
      { enter: { user: { id: "v1", name: "大明星", role: "vip" } } },
      { gift: { user: LI, name: "火箭", count: 12, value: 10_000, combo: "k1" } },
      { gift: { user: { id: "u-q", name: "阿强" }, name: "玫瑰", count: 99, value: 1 } },
    ] });
    await desk.page.waitForTimeout(1_200);
    for (const [name, { page }] of [["desk", desk], ["phone", phone]]) {
      await noSideScroll(page);
      await page.screenshot({ path: `${SHOTS}/real-${name}.png` });
    }
    await events("everything", { announcement: { text: "因雷雨天气，演出提前结束，请从东门离场。", level: "urgent", until } });
    for (const [name, { page }] of [["desk", desk], ["phone", phone]]) {
      await page.getByRole("alertdialog").waitFor();
      await page.waitForTimeout(300);
      await page.screenshot({ path: `${SHOTS}/real-${name}-urgent.png` });
    }
    await backstage.close();
    for (const each of [desk, phone]) await each.leave();
  },
}, async () => {
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
