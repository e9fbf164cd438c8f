// People's text on the watch page: any direction, any height and width, with the length counted by the server's rules.
// The last line counts the passed tests.

import assert from "node:assert/strict";
import { comment, keep, noSideScroll, PHONE, row, scripted, SHOTS } from "./by-hand.mjs";
import { eventually } from "./harness.mjs";

await keep({
  async right_to_left_text_does_not_change_the_line_around_it() {
    const he = "(מחיר: 50 ₪)";
    const name = "דנה (חדשה)";
    const { page, tick, leave } = await scripted({ snapshot: {
      pinned: { text: he, user: { id: "h", name, role: "host" } },
      poll: { id: "p1", question: he, options: ["תל אביב!", "A", "50%"] }, tally: { id: "p1", votes: [3, 1, 0], open: true },
      sticky: [{ type: "shop.product", data: { title: he, price: "50 ₪ (מבצע)" }, sticky: true }],
    } });
    tick([{ comment: { user: { id: "u1", name }, text: he, times: 6, names: ["אבי", "Bo", "יעל"] } }, comment("hello (world)!"), comment("😀 שלום"),
      { gift: { user: { id: "u1", name }, name: "ורד!", count: 3, value: 1 } }, { announcement: { text: he } }, { enter: { user: { id: "v", name, role: "vip" } } }]);
    await row(page, "hello").waitFor();
    await page.fill("#text", he);
    const ways = await page.evaluate(() => Object.fromEntries([
      ["comment", "#chat li .what"], ["name", "#chat li .who"], ["gift's name", "#chat .gave .who"], ["house", "#chat .house .what"], ["bar", ".bar-notice p"],
      ["pinned", "#pinned-text"], ["pinned by", "#pinned-who"], ["question", "#poll-question"], ["answer", "#poll .answer"], ["product", "#shelf .product-title"],
      ["giver", "#gifts b"], ["box", "#text"],
    ].map(([what, selector]) => {
      const style = getComputedStyle(document.querySelector(selector));
      return [what, `${style.direction} ${/isolate|plaintext/.test(style.unicodeBidi) || style.display !== "inline" ? "apart" : "mixed"}`];
    })));
    for (const [what, way] of Object.entries(ways)) assert.equal(way, "rtl apart", what);
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("#shelf .product-price")).direction), "rtl");
    const boxes = await page.evaluate(() => [...document.querySelector("#chat li").children].map((node) => {
      const { left, right, top } = node.getBoundingClientRect();
      return { name: node.className.split(" ")[0], left, right, top };
    }));
    assert.deepEqual(boxes.map((box) => box.name), ["who", "what", "times", "also"]);
    for (const [n, box] of boxes.slice(1, 3).entries()) assert.ok(box.top > boxes[n].top + 10 || box.left >= boxes[n].right - 1, `${box.name} stands after ${boxes[n].name}: ${JSON.stringify(boxes)}`);
    // Names do not change the order of the page's sentence around them.
    assert.match(await page.locator("#chat .also").first().textContent(), /\u2068אבי\u2069.*Bo.*\u2068יעל\u2069/);
    assert.match(await page.textContent("#gifts"), /\u2068ורד!\u2069/);
    tick([{ poll_close: { id: "p1" } }], { tallies: [{ id: "p1", votes: [3, 1, 0], open: false }] });
    await row(page, "\u2068תל אביב!\u2069 75% · A 25% · 50% 0%").waitFor();
    await page.screenshot({ path: `${SHOTS}/right-to-left.png` });
    await leave();
  },

  async tall_and_wide_text_stays_within_its_row() {
    const zalgo = `z${"\u0301\u0316\u0489\u033f".repeat(60)}`;
    const { page, tick, leave } = await scripted({ options: PHONE });
    tick([comment("before"), comment(zalgo, { user: { id: "z", name: zalgo } }), comment("after"), comment("﷽".repeat(512)), comment("x".repeat(512)), comment("好".repeat(512)),
      { gift: { user: { id: "z", name: zalgo }, name: zalgo, count: 2, value: 1 } }, { poll: { id: "p", question: zalgo, options: [zalgo, "B"] } },
      { pin: { text: zalgo, user: { id: "z", name: zalgo } } }, { custom: { type: "shop.product", data: { title: zalgo, price: zalgo }, sticky: true } }]);
    await row(page, "after").waitFor();
    const open = await page.evaluate(() => {
      const clips = (node) => node && node !== document.body && (getComputedStyle(node).overflowY !== "visible" || clips(node.parentElement));
      const within = (node, root) => node && node !== root.parentElement && (getComputedStyle(node).overflowY !== "visible" || within(node.parentElement, root));
      const wrong = [...document.querySelectorAll("#chat li")].filter((item) => !within(item.firstElementChild ?? item, item)).map((item) => item.className);
      for (const selector of ["#poll-question", "#poll .answer", "#pinned-text", ".product-title", ".product-price", "#gifts b"]) if (!clips(document.querySelector(selector))) wrong.push(selector);
      for (const selector of ["#poll", "#shelf", "#pinned", "#chat"]) {
        const panel = document.querySelector(selector);
        for (const node of panel.querySelectorAll("button, .product-text > *, p, li")) {
          if (node.getBoundingClientRect().right > panel.getBoundingClientRect().right + 0.5) wrong.push(`${selector} is left by ${node.className || node.tagName}`);
        }
      }
      return wrong;
    });
    assert.deepEqual(open, []);
    const rows = await page.locator("#chat li").evaluateAll((items) => items.slice(0, 3).map((item) => item.getBoundingClientRect().height));
    assert.ok(rows[1] <= 3 * rows[0], `a tall name and text take ${rows[1]} px`);
    await noSideScroll(page);
    await page.screenshot({ path: `${SHOTS}/tall-and-wide.png` });
    await leave();
  },

  async length_is_counted_by_the_servers_rules() {
    const { page, heard, leave } = await scripted({ snapshot: { settings: { text_max: 20, allowed: ["comment"] } } });
    for (const [text, length] of [["e\u0301".repeat(20), 20], ["a".repeat(10) + "   ".repeat(9) + "b".repeat(9), 20], ["👩".repeat(20), 20]]) {
      await page.fill("#text", text);
      assert.equal(await page.textContent("#length"), `${length}/20`);
      await page.press("#text", "Enter");
      await eventually("sent", () => heard.some(({ comment: sent }) => sent && [...sent.text].length === length));
      heard.length = 0;
    }
    await page.fill("#text", "🇩🇪".repeat(30));
    await page.press("#text", "Enter");
    assert.match(await page.textContent("#problem"), /at most 20 characters/);
    assert.deepEqual(heard, []);
    await leave();
  },
});
