// The watch page with scripted events of every kind; show.mjs has the same events from a real server. The last line
// counts the passed tests.

import assert from "node:assert/strict";
import { comment, DESK, keep, LI, live, ME, noSideScroll, origin, PHONE, row, scripted, SHOTS } from "./by-hand.mjs";
import { eventually } from "./harness.mjs";

await keep({
  async merged_comment_shows_its_count_and_three_names() {
    const { page, tick, leave } = await scripted();
    tick([comment("还有吗", { times: 16, names: ["Ann", "Bo", "Cy"] })]);
    await row(page, "还有吗").waitFor();
    assert.equal(await row(page, "还有吗").locator(".times").textContent(), "×16");
    assert.match(await row(page, "还有吗").locator(".also").textContent(), /Ann, Bo, Cy/);
    await leave();
  },

  async merged_comment_grows_in_the_list_and_on_the_stage() {
    const { page, tick, leave } = await scripted();
    const [offset] = tick([comment("还有吗")]);
    await eventually("it flies", async () => (await live(page)) === 1);
    tick([{ raise: { offset, by: 213, times: 214 } }], { skip: 213 });
    await eventually("the list has it", async () => (await row(page, "还有吗").locator(".times").textContent()) === "×214");
    assert.equal(await row(page, "还有吗").count(), 1, "raised, not sent again");
    assert.equal(await live(page), 1);
    const badges = () => page.evaluate(() => globalThis.volley.danmaku.badges);
    await eventually("the stage has it", async () => (await badges()).includes("×214"));
    tick([{ raise: { offset, by: 16, times: 230 } }], { skip: 16 });
    await eventually("and grows on", async () => (await badges()).includes("×230"));
    await leave();
  },

  async raise_of_an_absent_comment_is_only_counted() {
    const { page, tick, leave } = await scripted({ more: { last: 900 } });
    tick([{ raise: { offset: 5, by: 10, times: 10 } }, comment("after it")], { skip: 10 });
    await row(page, "after it").waitFor();
    assert.equal(await page.locator("#chat li").count(), 1);
    await eventually("the line counts it", async () => /showing 0\.2 of 2\.2\/s/.test(await page.textContent("#honest")));
    await leave();
  },

  async combo_is_one_row_that_counts_up_and_leaves() {
    const { page, tick, leave } = await scripted();
    const gift = (total, count = 1) => ({ gift: { user: LI, name: "Rocket", count, value: 100, combo: "k1", total } });
    tick([gift(1)]);
    tick([gift(2), gift(12, 10)]);
    await eventually("one row with the running count", async () => (await page.locator("#gifts .count").allTextContents()).join() === "×12");
    assert.match(await page.textContent("#gifts"), /Li.*Rocket/);
    await eventually("one row in the list too", async () => (await page.locator("#chat .gave .times").allTextContents()).join() === "×12");
    tick([{ gift: { user: LI, name: "Rose", count: 3, value: 1 } }]);
    await eventually("a different gift is a separate row", async () => (await page.locator("#gifts li").count()) === 2);
    await eventually("they leave", async () => (await page.locator("#gifts li").count()) === 0, 12_000);
    await leave();
  },

  async info_announcement_can_be_read_and_dismissed() {
    const { page, tick, leave } = await scripted();
    tick([{ announcement: { text: "We begin <b>soon</b>" } }]);
    const bar = page.locator(".bar-notice");
    await bar.waitFor();
    assert.equal(await bar.locator("p").textContent(), "We begin <b>soon</b>");
    await bar.getByRole("button").click();
    assert.equal(await bar.count(), 0);
    await row(page, "We begin").waitFor();
    await leave();
  },

  async crowd_pushes_no_announcement_and_no_gift_out_of_the_list() {
    const { page, tick, leave } = await scripted();
    const crowd = Array.from({ length: 120 }, (_, n) => comment(`crowd ${n}`));
    tick([{ announcement: { text: "We begin" } }, { gift: { user: LI, name: "Rocket", count: 1, value: 100 } }]);
    tick(crowd);
    await row(page, "crowd 119").waitFor();
    assert.equal(await page.locator("#chat .house", { hasText: "We begin" }).count(), 1);
    assert.equal(await page.locator("#chat .gave").count(), 1);
    await row(page, "82 more not listed").waitFor();
    await leave();
  },

  async urgent_announcement_is_not_dismissed_by_typing() {
    const { page, tick, leave } = await scripted();
    await page.fill("#text", "half a sent");
    await page.focus("#text");
    tick([{ announcement: { text: "Leave by the east exit", level: "urgent" } }, { announcement: { text: "Really", level: "urgent" } }]);
    const dialog = page.getByRole("alertdialog");
    await dialog.waitFor();
    assert.match(await dialog.textContent(), /Leave by the east exit/);
    // A key that was meant for the text does not confirm the announcement.
    await page.keyboard.type("ence l c");
    await page.keyboard.press("Enter");
    assert.ok(await dialog.isVisible());
    assert.equal(await page.inputValue("#text"), "half a sent");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await eventually("one by one", async () => /Really/.test(await page.textContent("#urgent-text")));
    await page.keyboard.press("Escape");
    await eventually("dismissed", async () => !(await dialog.isVisible()));
    assert.equal(await page.evaluate(() => document.activeElement.id), "text", "the focus is back");
    await eventually("both are in the list", async () => (await page.locator("#chat .house").count()) === 2);
    await leave();
  },

  async newcomer_finds_the_board_in_the_welcome() {
    const until = Date.now() + 3_600_000;
    const { page, leave } = await scripted({ snapshot: {
      pinned: { text: "Free shipping until ten", user: { id: "h", name: "Host", role: "host" } },
      poll: { id: "p1", question: "Which song?", options: ["First", "Second"] }, tally: { id: "p1", votes: [30, 10], open: true },
      sticky: [{ type: "shop.product", data: { title: "Light stick", price: "¥39" }, sticky: true }, { type: "shop.unknown", data: [1], sticky: true }],
      announcements: [{ text: "Doors close at nine", level: "urgent", until }, { text: "Encore tonight", until }],
      unique: 90_000, settings: { budget: 60, tick_ms: 100, slow_ms: 0, merge: "near", allowed: ["comment", "like", "vote"], text_max: 512, mute_all: false },
    } });
    await page.getByRole("alertdialog").waitFor();
    await page.click("#urgent-ok");
    assert.match(await page.textContent("#pinned"), /Host.*Free shipping until ten/s);
    assert.match(await page.textContent(".bar-notice"), /Encore tonight/);
    assert.match(await page.textContent("#shelf"), /Light stick.*¥39/s);
    assert.match(await page.textContent("#poll-question"), /Which song\?/);
    assert.deepEqual(await page.locator("#poll .share").allTextContents(), ["75% · 30", "25% · 10"]);
    await leave();
  },

  async board_survives_a_resume_and_a_dismissed_announcement_stays_dismissed() {
    const all = await scripted({ snapshot: { announcements: [{ text: "Once", level: "urgent", until: Date.now() + 3_600_000 }], pinned: { text: "Pinned before" } } });
    const { page, sockets, leave } = all;
    await page.click("#urgent-ok");
    all.more = { recovered: true };
    all.snapshot = {};
    await sockets[0].close({ code: 4001, reason: "slow consumer" });
    await eventually("a second connection", () => sockets.length === 2);
    await page.waitForSelector('body[data-state="connected"]');
    assert.match(await page.textContent("#pinned"), /Pinned before/);
    assert.ok(!(await page.getByRole("alertdialog").isVisible()));
    // A welcome without a resume replaces the state of the room.
    all.more = { recovered: false, reason: "too_old" };
    all.snapshot = { announcements: [{ text: "Another", level: "urgent", until: Date.now() + 3_600_000 }] };
    await sockets[1].close({ code: 4001, reason: "slow consumer" });
    await page.getByRole("alertdialog").waitFor();
    assert.equal(await page.textContent("#urgent-text"), "Another");
    assert.ok(await page.locator("#pinned").isHidden());
    await leave();
  },

  async pinned_notice_comes_and_goes() {
    const { page, tick, leave } = await scripted();
    assert.ok(await page.locator("#pinned").isHidden());
    tick([{ pin: { text: "Pin <i>one</i>" } }]);
    await eventually("pinned", async () => (await page.textContent("#pinned-text")) === "Pin <i>one</i>");
    tick([{ unpin: {} }]);
    await eventually("unpinned", () => page.locator("#pinned").isHidden());
    await leave();
  },

  async product_card_links_only_to_safe_addresses() {
    const { page, tick, leave } = await scripted();
    const card = (data) => ({ custom: { type: "shop.product", data, sticky: true } });
    tick([card({ title: "<img src=x onerror=alert(1)>", price: 39.5, image: "javascript:alert(2)", url: "javascript:alert(3)" })]);
    await page.locator("#shelf .product-title").waitFor();
    assert.equal(await page.textContent("#shelf .product-title"), "<img src=x onerror=alert(1)>");
    assert.equal(await page.textContent("#shelf .product-price"), "39.5");
    assert.equal(await page.locator("#shelf a, #shelf img").count(), 0);
    tick([card({ title: "Cup", url: "http://shop.test/cup" })]);
    await eventually("no address without TLS", async () => (await page.textContent("#shelf .product-title")) === "Cup");
    assert.equal(await page.locator("#shelf a").count(), 0);
    tick([card({ title: "Cap", price: "¥9", url: "https://shop.test/cap", image: "/assets/icon.svg" })]);
    await page.locator("#shelf a").waitFor();
    assert.deepEqual(await page.evaluate(() => {
      const link = document.querySelector("#shelf a");
      return [link.href, link.rel, link.target, document.querySelector("#shelf img").getAttribute("src")];
    }), ["https://shop.test/cap", "noopener noreferrer", "_blank", `${origin}/assets/icon.svg`]);
    tick([{ custom: { type: "shop.coupon", data: { title: "Coupon" } } }, card({ price: "no title" }), comment("still here")]);
    await row(page, "still here").waitFor();
    assert.ok(await page.locator("#shelf").isHidden(), "not a product card");
    await leave();
  },

  async one_vote_is_sent_marked_and_remembered() {
    const all = await scripted({
      more: { last: 5 },
      snapshot: { poll: { id: "p1", question: "Which?", options: ["A", "B", "C"] }, tally: { id: "p1", votes: [1, 0, 0], open: true } },
      answer: ({ vote }, { say }) => { if (vote) say({ ack: { id: vote.id, offset: 6, outcome: "shown" } }); },
    });
    const { page, heard, tick, leave } = all;
    await page.locator("#poll li button").nth(1).click();
    await page.locator("#poll .mine").waitFor();
    await page.locator("#poll li button").nth(2).click({ force: true });
    assert.deepEqual(heard.map(({ vote }) => ({ ...vote, id: "" })), [{ id: "", poll: "p1", option: 1 }]);
    tick([], { tallies: [{ id: "p1", votes: [1, 3, 0], open: true }], skip: 1 });
    await eventually("absolute tallies", async () => (await page.locator("#poll .share").allTextContents()).join() === "25% · 1,75% · 3,0% · 0");
    await page.reload();
    await page.locator("#poll .mine").waitFor();
    assert.match(await page.locator("#poll .mine").textContent(), /B/);
    tick([{ poll_close: { id: "p1" } }], { tallies: [{ id: "p1", votes: [1, 4, 0], open: false }] });
    await eventually("the result", async () => /Over: 5 votes/.test(await page.textContent("#poll-state")));
    await row(page, "Result: Which? A 20% · B 80% · C 0%").waitFor();
    await page.click("#poll-close");
    assert.ok(await page.locator("#poll").isHidden());
    await leave();
  },

  async refused_vote_shows_the_reason_and_can_be_retried() {
    const codes = ["poll_closed", null];
    const { page, leave } = await scripted({
      snapshot: { poll: { id: "p2", question: "?", options: ["A", "B"] } },
      answer: ({ vote }, { say }) => {
        if (!vote) return;
        const code = codes.shift();
        say(code ? { error: { id: vote.id, code, message: "closed" } } : { ack: { id: vote.id, offset: 1, outcome: "shown" } });
      },
    });
    await page.locator("#poll li button").first().click();
    await eventually("why", async () => /This poll is over/.test(await page.textContent("#poll-state")));
    assert.equal(await page.locator("#poll .mine").count(), 0);
    await page.locator("#poll li button").first().click();
    await page.locator("#poll .mine").waitFor();
    await leave();
  },

  async arrival_of_a_known_user_is_one_line_on_the_stage() {
    const { page, tick, leave } = await scripted();
    tick([{ enter: { user: { id: "v", name: "Star", role: "vip" } } }]);
    await eventually("seen", async () => /Star is here/.test(await page.textContent("#entrance")));
    assert.equal(await page.locator("#chat li").count(), 0);
    await eventually("gone", async () => (await page.textContent("#entrance")) === "");
    await leave();
  },

  async deleted_comment_leaves_the_list_and_the_stage() {
    const { page, tick, leave } = await scripted();
    const [bad] = tick([comment("bad words"), comment("good words")]);
    await row(page, "bad words").waitFor();
    await eventually("both fly", async () => (await live(page)) === 2);
    tick([{ delete: { offset: bad } }]);
    await eventually("gone from the list", async () => (await row(page, "bad words").count()) === 0);
    await eventually("gone from the stage", async () => (await live(page)) === 1);
    assert.equal(await row(page, "good words").count(), 1);
    // A comment in one frame with its deletion is never shown.
    const [offset] = tick([comment("worse words"), { delete: { offset: bad + 3 } }, comment("the end")]);
    assert.equal(offset, bad + 3);
    await row(page, "the end").waitFor();
    assert.equal(await row(page, "worse words").count(), 0);
    await leave();
  },

  async settings_are_shown_at_the_comment_box() {
    const { page, tick, heard, leave } = await scripted();
    tick([{ settings: { slow_ms: 30_000, text_max: 20 } }]);
    await eventually("slow mode", async () => /Slow mode: one comment every 30 s/.test(await page.textContent("#rule")));
    await page.fill("#text", "x".repeat(21));
    await page.press("#text", "Enter");
    assert.match(await page.textContent("#problem"), /at most 20 characters/);
    tick([{ settings: { mute_all: true } }]);
    await eventually("mute all", async () => /Only moderators and the host/.test(await page.textContent("#rule")));
    await page.fill("#text", "kept");
    await page.press("#text", "Enter");
    assert.equal(await page.inputValue("#text"), "kept");
    tick([{ settings: { mute_all: false, slow_ms: 0, text_max: 512, allowed: ["comment"] } }]);
    await eventually("open again", async () => (await page.textContent("#rule")) === "");
    assert.equal(await page.getAttribute("#like", "aria-disabled"), "true", "likes are not allowed");
    assert.deepEqual(heard, [], "nothing of it was sent");
    await leave();
  },

  async honest_line_says_how_much_of_how_much() {
    const { page, tick, leave } = await scripted();
    const shown = Array.from({ length: 60 }, (_, n) => comment(`comment ${n}`));
    tick(shown, { skip: 1_880, merged: { normal: 900 }, shed: { normal: 1_870, low: 10 }, unique: 123_456 });
    await eventually("per second", async () => /showing 12 of 388\/s/.test(await page.textContent("#honest")));
    await page.click("#honest");
    await eventually("the details", async () => /Comments shown60/.test(await page.textContent("#facts")));
    const facts = await page.textContent("#facts");
    for (const part of ["Merged into equal comments, normal900", "Left out, normal1,870", "Left out, low10", "Connected now20,311", "about 123,456"]) {
      assert.ok(facts.includes(part), `${part} in ${facts}`);
    }
    await leave();
  },

  async lighter_view_is_requested_shown_and_kept_after_a_reconnect() {
    const all = await scripted({ answer: ({ rendition }, { say }) => { if (rendition) say({ rendition: { now: rendition, reason: "asked" } }); } });
    const { page, heard, sockets, say, leave } = all;
    await page.click("#honest");
    await page.getByLabel("A lighter view").check();
    await eventually("asked", () => heard.some(({ rendition }) => rendition === "lite"));
    await eventually("told", async () => /lighter view/.test(await page.textContent("#honest")));
    all.more = { rendition: "lite" };
    await sockets[0].close({ code: 4001, reason: "slow consumer" });
    await eventually("again", () => sockets.length === 2);
    assert.equal(new URL(sockets[1].url()).searchParams.get("rendition"), "lite");
    await page.waitForSelector('body[data-state="connected"]');
    say({ rendition: { now: "viewer", reason: "kept_up" } });
    await eventually("back", () => page.getByLabel("The whole view").isChecked());
    say({ rendition: { now: "lite", reason: "slow" } });
    await eventually("why", async () => /slow connection/.test(await page.textContent("#honest")));
    await leave();
  },

  async own_comment_is_shown_whatever_its_outcome() {
    const all = await scripted({ more: { last: 10 } });
    const { page, tick, say, heard, leave } = all;
    const [group] = tick([comment("还有吗", { times: 3 })]);
    const send = async (text, outcome) => {
      await page.fill("#text", text);
      await page.press("#text", "Enter");
      const { comment: { id } } = await eventually(text, () => heard.find((message) => message.comment?.text === text));
      all.last += 1;
      say({ ack: { id, offset: all.last, ...outcome } });
      return all.last;
    };
    await send("还有吗？？", { outcome: "merged", into: group });
    tick([{ raise: { offset: group, by: 1, times: 4 } }]);
    const merged = page.locator("#chat .own", { hasText: "还有吗？？" });
    await merged.waitFor();
    await eventually("with the number of the whole", async () => (await merged.locator(".times").textContent()) === "×4");
    tick([{ raise: { offset: group, by: 10, times: 14 } }], { skip: 10 });
    await eventually("which grows", async () => (await merged.locator(".times").textContent()) === "×14");
    await send("nobody saw this", { outcome: "shed" });
    tick([], { shed: { normal: 1 } });
    const shed = page.locator("#chat .own", { hasText: "nobody saw this" });
    await shed.waitFor();
    assert.match(await shed.locator(".mark").textContent(), /only you/);
    // An own comment in a frame is not shown twice.
    const shown = await send("everybody saw this", { outcome: "shown" });
    tick([{ offset: shown, comment: { user: ME, text: "everybody saw this" } }]);
    tick([comment("later")]);
    await row(page, "later").waitFor();
    assert.equal(await row(page, "everybody saw this").count(), 1);
    await leave();
  },

  async reduced_motion_keeps_badges_still() {
    const { page, tick, leave } = await scripted({ options: { ...DESK, reducedMotion: "reduce" } });
    const [offset] = tick([comment("calm")]);
    await eventually("it is still shown", async () => (await live(page)) === 1);
    tick([{ raise: { offset, by: 8, times: 9 } }], { skip: 8 });
    await eventually("the badge is there", async () => (await page.evaluate(() => globalThis.volley.danmaku.badges)).includes("×9"));
    await page.waitForTimeout(300);
    const stage = () => page.evaluate(() => document.getElementById("danmaku").toDataURL());
    const before = await stage();
    await page.waitForTimeout(300);
    assert.equal(await stage(), before);
    assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
    await leave();
  },
  async everything_at_once_fits_on_a_desk_and_on_a_phone() {
    const until = Date.now() + 3_600_000;
    const looks = { desk: { options: DESK, path: "/rooms/show" }, "desk-zh": { options: { ...DESK, locale: "zh-CN" }, path: "/rooms/show" },
      small: { options: { viewport: { width: 1100, height: 640 }, locale: "en-GB" }, path: "/rooms/show" }, phone: { options: PHONE, path: "/rooms/show" } };
    for (const [name, { options, path }] of Object.entries(looks)) {
      const { page, tick, leave } = await scripted({ options, path, snapshot: {
        likes: 99_120, online: 20_311, unique: 90_210, settings: { merge: "near", budget: 60, slow_ms: 3_000, text_max: 512, allowed: ["comment", "like", "vote"] },
        pinned: { text: "全场包邮，十点抽奖，评论区留下你最想听的歌", user: { id: "h", name: "Volley", role: "host" } },
        poll: { id: "p1", question: "下一首听什么？", options: ["晴天", "夜曲", "七里香"] }, tally: { id: "p1", votes: [1_204, 998, 431], open: true },
        sticky: [{ type: "shop.product", data: { title: "巡演应援灯牌（蓝牙版）", price: "¥39.00", image: "/assets/icon.svg", url: "https://shop.test/39" }, sticky: true }],
      } });
      const texts = ["前方高能", "还有吗", "泪目", "安可！安可！", "这首歌太好听了", "666", "encore!", "大家一起挥灯牌", "こんばんは！", "what a view", "爷青回", "谢谢你们带来的一切"];
      const offsets = [];
      for (let n = 0; n < 14; n += 1) {
        const said = texts.map((text, i) => ({ comment: { user: { id: `u${n}${i}`, name: ["小明", "Ann", "阿强", "guest 4821", "Bo"][(n + i) % 5] }, text: n === 0 ? text : `${text}${"～".repeat(n % 3)}`,
          ...(i % 3 === 0 ? { times: 2 + n * i, names: ["小红", "Cy", "Li"] } : {}), ...(i === 3 ? { style: { mode: "top", color: 0xffd93d } } : {}) } }));
        offsets.push(...tick(said.slice(0, 6 + (n % 5)), { skip: 180, merged: { normal: 60 }, shed: { normal: 120 }, online: 20_311, likes: 99_120 + n, unique: 90_210 }));
        await page.waitForTimeout(250);
      }
      tick([{ announcement: { text: "十点整开始抽奖，留在直播间就有机会", until } }, { enter: { user: { id: "v1", name: "大明星", role: "vip" } } },
        { gift: { user: LI, name: "火箭", count: 1, value: 10_000, combo: "k1", total: 12 } }, { gift: { user: { id: "a", name: "阿强" }, name: "玫瑰", count: 99, value: 1 } }]);
      tick(offsets.slice(-12).map((offset, n) => ({ raise: { offset, by: 16 + n, times: 214 + n * 7 } })), { skip: 200, shed: { normal: 20 } });
      await page.waitForTimeout(900);
      await noSideScroll(page);
      await page.screenshot({ path: `${SHOTS}/show-${name}.png` });
      await page.click("#honest");
      await page.waitForTimeout(600);
      await page.screenshot({ path: `${SHOTS}/show-${name}-facts.png` });
      await page.click("#honest");
      tick([{ announcement: { text: "因雷雨天气，演出提前结束，请从东门离场。 Please leave by the east exit.", level: "urgent", until } }]);
      await page.getByRole("alertdialog").waitFor();
      await page.waitForTimeout(300);
      await page.screenshot({ path: `${SHOTS}/show-${name}-urgent.png` });
      for (const id of ["text", "send", "like"]) {
        const box = await page.locator(`#${id}`).boundingBox();
        const { width, height } = options.viewport;
        assert.ok(box && box.x >= 0 && box.x + box.width <= width && box.y + box.height <= height, `${name}: ${id} is on the screen: ${JSON.stringify(box)}`);
      }
      const list = await page.locator("#chat").boundingBox();
      assert.ok(list.height >= 90, `${name}: ${list.height} px are left for the list`);
      await leave();
    }
  },
});
