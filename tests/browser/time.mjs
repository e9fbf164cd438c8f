// The watch page and time, with scripted messages: wrong clocks, hidden tabs, late frames. The last line counts the
// passed tests.

import assert from "node:assert/strict";
import { comment, keep, LI, live, row, scripted } from "./by-hand.mjs";
import { eventually } from "./harness.mjs";

const flies = (page, offset) => eventually("it flies", () => page.evaluate((at) => globalThis.volley.danmaku.offsets.includes(at), offset));

await keep({
  async announcements_end_by_the_servers_clock_whatever_the_viewers_says() {
    const clocks = {
      fast: () => { const real = Date.now; Date.now = () => real() + 300_000; },
      slow: () => { const real = Date.now; Date.now = () => real() - 11 * 3_600_000; },
      jumping: () => { const real = Date.now; let calls = 0; Date.now = () => real() + (calls++ % 2 ? 86_400_000 : -86_400_000); },
    };
    for (const [name, prepare] of Object.entries(clocks)) {
      const { page, tick, leave } = await scripted({ prepare });
      const now = Date.now();
      tick([
        { announcement: { text: "It is over", level: "urgent", until: now - 60_000 } },
        { announcement: { text: "Leave by the east exit", level: "urgent", until: now + 240_000 } },
        { announcement: { text: "This was yesterday", until: now - 86_400_000 } },
        { announcement: { text: "The lottery is at ten", until: now + 240_000 } },
      ]);
      await eventually(`${name}: the one that stands`, async () => /Leave by the east exit/.test(await page.textContent("#urgent-text")));
      await page.locator(".bar-notice", { hasText: "The lottery is at ten" }).waitFor();
      assert.equal(await page.textContent("#urgent-more"), "", name);
      assert.equal(await page.locator(".bar-notice").count(), 1, name);
      await leave();
    }
  },

  async expired_urgent_announcements_are_not_shown() {
    const { page, tick, leave } = await scripted();
    const now = Date.now();
    const urgent = (text, until) => ({ announcement: { text, level: "urgent", until } });
    tick([urgent("first", now + 60_000), urgent("second", now + 60_000), urgent("third", now + 7_200_000)]);
    await eventually("two wait", async () => /2/.test(await page.textContent("#urgent-more")));
    tick([], { at: now + 3_600_000 }); // An hour later.
    await eventually("one waits", async () => /1/.test(await page.textContent("#urgent-more")));
    assert.match(await page.textContent("#urgent-text"), /first/);
    await page.click("#urgent-ok");
    await eventually("the third", async () => /third/.test(await page.textContent("#urgent-text")));
    await leave();
  },

  async tab_shows_current_comments_after_being_hidden() {
    const { page, tick, leave } = await scripted();
    const hide = (hidden) => page.evaluate((is) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await hide(true);
    for (let n = 0; n < 30; n += 1) {
      tick([comment(`old ${n}`, { style: { mode: n % 2 ? "top" : "scroll" } })]);
      await page.waitForTimeout(100);
    }
    await row(page, "old 29").waitFor();
    await page.waitForTimeout(1_300); // The last one is too old by then.
    await hide(false);
    const [offset] = tick([comment("said now")]);
    await flies(page, offset);
    assert.equal(await live(page), 1, "and no comment of the time in between");
    await eventually("counted", async () => /30 not on screen/.test(await page.textContent("#honest")));
    await leave();
  },

  async backlog_of_a_stall_or_a_reconnect_is_read_not_flown() {
    const all = await scripted();
    const { page, tick, sockets, leave } = all;
    const [first] = tick([comment("before")]);
    await flies(page, first);
    const now = Date.now();
    // The main thread was blocked for a minute: the frames that waited in the socket arrive together.
    for (let n = 0; n < 39; n += 1) {
      tick([comment(`late ${n}`), { gift: { user: LI, name: "Rocket", count: 1, value: 1 } },
        { enter: { user: { id: "v", name: "Star", role: "vip" } } }], { at: now - 60_000 + n });
    }
    tick([comment("late and last")], { at: now - 50_000 });
    await row(page, "late and last").waitFor();
    assert.ok((await live(page)) <= 1);
    assert.equal(await page.locator("#gifts li").count(), 0);
    assert.equal(await page.textContent("#entrance"), "");
    // A reconnect gets pages with thousands of events.
    all.more = { recovered: true, last: all.last + 4_000 };
    await sockets[0].close({ code: 4000, reason: "again" });
    await eventually("again", () => sockets.length === 2);
    await page.waitForSelector('body[data-state="connected"]');
    for (const part of [0, 1]) tick(Array.from({ length: 2_000 }, (_, n) => comment(`page ${part} ${n}`)), { at: now - 30_000 });
    await row(page, "page 1 1999").waitFor();
    const rows = await page.locator("#chat li").count();
    assert.ok(rows <= 200, `${rows} rows`);
    const [offset] = tick([comment("said now")]);
    await flies(page, offset);
    assert.ok((await live(page)) <= 2);
    const { pushed, dropped } = await page.evaluate(() => globalThis.volley.danmaku.counters);
    assert.deepEqual({ pushed, dropped }, { pushed: 4_042, dropped: 4_040 }, "what does not fly is counted");
    await leave();
  },

  async likes_that_were_not_counted_are_subtracted() {
    const { page, tick, heard, leave } = await scripted({ snapshot: { likes: 3 } });
    tick([]);
    for (let n = 0; n < 5; n += 1) await page.click("#like");
    assert.equal(await page.textContent("#likes"), "8");
    await eventually("sent", () => heard.some(({ like }) => like));
    tick([], { likes: 4 });
    await eventually("the total of the room", async () => (await page.textContent("#likes")) === "4");
    await leave();
  },
});
