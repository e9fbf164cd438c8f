// The watch page on small screens, with all elements visible and all texts at their longest. The tests measure boxes.
// The last line counts the passed tests.

import assert from "node:assert/strict";
import { comment, keep, LI, noSideScroll, scripted, SHOTS } from "./by-hand.mjs";
import { eventually } from "./harness.mjs";

/** Phones in portrait and landscape, with the keyboard open (300 px are left), and desktops and phones at 200 %. */
const SCREENS = {
  phone: [360, 640], small: [320, 568], tall: [390, 844], lying: [640, 360], long: [915, 412], keyboard: [360, 300], "keyboard-small": [320, 260],
  "desk-200": [720, 450], "phone-200": [180, 320], tablet: [820, 1_180], "tablet-lying": [860, 600],
};
/** Least size of a touch target in CSS pixels. */
const FINGER_PX = 44;
/** Least share of the list: of the screen while nothing is open, and of the column while a card is open. */
const LIST_SHARE = 0.4;
const LIST_SHARE_OPENED = 0.35;

const words = (text, length) => text.repeat(Math.ceil(length / text.length)).slice(0, length);
const LONGEST = {
  en: { text: words("The doors of the east hall close at nine; ", 512), option: words("Everything that she sang in spring ", 64), name: words("Maximiliana ", 64) },
  zh: { text: words("今晚九点整东门关闭，请提前入场。", 512), option: words("她在春天唱过的每一首歌", 64), name: words("欧阳锋", 64) },
};

function everything({ text, option, name }) {
  const until = Date.now() + 3_600_000;
  return {
    likes: 1_999_120, online: 20_311, unique: 90_210,
    settings: { merge: "near", budget: 60, slow_ms: 30_000, text_max: 200, allowed: ["comment", "like", "vote"] },
    pinned: { text, user: { id: "h", name, role: "host" } },
    poll: { id: "p1", question: words(text, 256), options: Array.from({ length: 8 }, (_, n) => `${n}${option}`.slice(0, 64)) },
    tally: { id: "p1", votes: [1_204, 998, 431, 0, 5, 7, 99, 100_000], open: true },
    sticky: [{ type: "shop.product", data: { title: words(text, 200), price: words("¥39.00 ", 120), image: "/assets/icon.svg", url: "https://shop.test/39" }, sticky: true }],
    announcements: [1, 2, 3].map((n) => ({ text: `${n} ${text}`.slice(0, 512), until })),
  };
}

async function crowded(name, language) {
  const [width, height] = SCREENS[name];
  const all = await scripted({
    options: { viewport: { width, height }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, locale: language === "zh" ? "zh-CN" : "en-US" },
    snapshot: everything(LONGEST[language]),
    answer: ({ vote }, { say }) => { if (vote) say({ ack: { id: vote.id, offset: 90, outcome: "shown" } }); },
  });
  all.tick([...Array.from({ length: 30 }, (_, n) => comment(`${n} ${LONGEST[language].option}`)), { gift: { user: LI, name: LONGEST[language].option, count: 999, value: 9 } }]);
  await all.page.locator("#chat li").nth(20).waitFor();
  return { ...all, width, height };
}

const boxes = (page) => page.evaluate(() => {
  const box = (node) => {
    const { left, top, right, bottom, width, height } = node.getBoundingClientRect();
    return { left, top, right, bottom, width, height };
  };
  const seen = (node) => node.checkVisibility({ visibilityProperty: true }) && node.getBoundingClientRect().width > 1;
  const parts = [...document.querySelectorAll(".bar, #stage, .tools, #shelf, #pinned, #poll, #chat, .write")].filter(seen);
  const pressed = [...document.querySelectorAll("button, a[href], summary, select, .segments label, .colors label, .renditions label, #text")].filter(seen);
  const list = document.getElementById("chat");
  const middle = box(list);
  return {
    parts: parts.map((node) => ({ name: node.id || node.className, ...box(node) })),
    pressed: pressed.map((node) => ({ name: `${node.tagName} ${node.id || node.className || node.textContent}`, ...box(node) })),
    list: middle, column: box(document.querySelector(".chat")),
    // The place of the button that closes an announcement.
    covered: [...document.querySelectorAll(".bar-notice .close")].filter(seen).filter((node) => {
      const { left, top, right, bottom } = node.getBoundingClientRect();
      const bars = document.getElementById("bars").getBoundingClientRect();
      return bottom <= bars.bottom && !node.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
    }).length,
    onTop: list.contains(document.elementFromPoint((middle.left + middle.right) / 2, (middle.top + middle.bottom) / 2)),
    page: { height: document.documentElement.scrollHeight, screen: innerHeight },
  };
});

function assertApart(where, parts) {
  for (const [n, a] of parts.entries()) {
    for (const b of parts.slice(n + 1)) {
      const over = Math.min(Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
      assert.ok(over <= 1, `${where}: ${a.name} and ${b.name} overlap by ${over} px`);
    }
  }
}

function assertUsable(where, { parts, pressed, onTop, covered, page, list }, width, height) {
  assert.ok(page.height <= page.screen + 1, `${where}: ${page.height} px of page on ${page.screen} px of screen`);
  assertApart(where, parts);
  assert.equal(covered, 0, `${where}: announcements that cannot be put away`);
  assert.ok(onTop && list.bottom <= height && list.width >= 100, `${where}: the list is in sight`);
  for (const id of ["text", "send"]) {
    const box = pressed.find(({ name }) => name.endsWith(` ${id}`));
    assert.ok(box && box.left >= 0 && box.right <= width && box.top >= 0 && box.bottom <= height, `${where}: ${id} is on the screen: ${JSON.stringify(box)}`);
  }
  assert.ok(pressed.find(({ name }) => name.endsWith(" text")).width >= 80, `${where}: there is room to write`);
  for (const { name, width: w, height: h } of pressed) {
    assert.ok(w >= FINGER_PX - 0.5 && h >= FINGER_PX - 0.5, `${where}: ${name} has ${w.toFixed(1)} × ${h.toFixed(1)} px for a finger`);
  }
}

const promises = {};
for (const language of ["en", "zh"]) {
  for (const name of Object.keys(SCREENS)) {
    promises[`list_keeps_its_share_of_${name.replace("-", "_")}_in_${language}`] = async () => {
      const { page, heard, width, height, leave } = await crowded(name, language);
      await noSideScroll(page);
      await page.screenshot({ path: `${SHOTS}/small-${name}-${language}.png` });
      const closed = await boxes(page);
      const where = `${name} ${language}`;
      console.log(`        ${where}: the list has ${closed.list.height.toFixed(0)} of ${height} px (${((100 * closed.list.height) / height).toFixed(0)} %)`);
      assertUsable(where, closed, width, height);
      assert.ok(closed.list.height >= LIST_SHARE * height, `${where}: ${closed.list.height} of ${height} px are left for the list`);
      for (const panel of ["pinned", "poll", "shelf"]) {
        await page.locator(`#tab-${panel}`).click();
        await page.locator(`#${panel}`).waitFor();
        const opened = await boxes(page);
        await page.screenshot({ path: `${SHOTS}/small-${name}-${language}-${panel}.png` });
        assertUsable(`${where}, ${panel} opened`, opened, width, height);
        const column = opened.column.bottom - Math.min(opened.column.top, opened.parts.find((part) => part.name === panel).top);
        assert.ok(opened.list.height >= LIST_SHARE_OPENED * column, `${where}, ${panel} opened: ${opened.list.height} of ${column} px are left for the list`);
        if (panel === "poll") {
          // The last of eight options can be reached and chosen.
          await page.locator("#poll li button").last().click();
          await eventually("voted", () => heard.some(({ vote }) => vote?.option === 7));
        }
      }
      await page.locator("#shelf .close").click();
      await eventually("put away", async () => (await page.locator("#shelf").isHidden()) && (await page.locator("#tab-shelf").isHidden()));
      await leave();
    };
  }
}

await keep({
  ...promises,

  async tab_shows_new_content_and_leaves_with_its_panel() {
    const { page, tick, leave } = await scripted({ options: { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true, locale: "en-US" } });
    assert.ok(await page.locator("#tab-pinned").isHidden());
    assert.ok(await page.getByText("Normal", { exact: true }).first().isVisible(), "with nothing on the board, the knobs have the row");
    tick([{ pin: { text: "Free shipping <b>today</b>" } }]);
    const tab = page.locator("#tab-pinned");
    await tab.waitFor();
    assert.match(await tab.textContent(), /Pinned.*Free shipping <b>today<\/b>/s);
    assert.ok(await page.locator("#pinned").isHidden());
    assert.equal(await tab.getAttribute("data-fresh"), "");
    await tab.click();
    assert.equal(await tab.getAttribute("aria-expanded"), "true");
    assert.equal(await tab.getAttribute("data-fresh"), null);
    await page.locator("#pinned").waitFor();
    tick([{ poll: { id: "p", question: "Which?", options: ["A", "B"] } }]);
    await page.locator("#tab-poll").click();
    await page.locator("#poll").waitFor();
    assert.ok(await page.locator("#pinned").isHidden(), "one at a time");
    await page.locator("#tab-poll").click();
    assert.ok(await page.locator("#poll").isHidden());
    tick([{ pin: { text: "Second" } }]);
    await eventually("the new one", async () => /Second/.test(await tab.textContent()) && (await tab.getAttribute("data-fresh")) === "");
    tick([{ unpin: {} }]);
    await eventually("gone", () => tab.isHidden());
    await page.locator("#knobs-toggle").click();
    await page.locator("label", { hasText: "High" }).click();
    assert.equal(await page.locator("input[name=density]:checked").getAttribute("value"), "high");
    await leave();
  },

  async desk_has_no_tabs_and_its_list_keeps_a_share_too() {
    for (const [width, height] of [[1_440, 900], [1_100, 640], [900, 540]]) {
      const all = await scripted({ options: { viewport: { width, height }, locale: "en-US" }, snapshot: everything(LONGEST.en) });
      all.tick(Array.from({ length: 20 }, (_, n) => comment(`comment ${n}`)));
      await all.page.locator("#chat li").nth(10).waitFor();
      assert.ok(await all.page.locator("#tab-poll").isHidden());
      for (const panel of ["pinned", "poll", "shelf"]) assert.ok(await all.page.locator(`#${panel}`).isVisible(), panel);
      const { list, column } = await boxes(all.page);
      console.log(`        ${width} × ${height}: the list has ${list.height.toFixed(0)} of ${column.height.toFixed(0)} px`);
      assert.ok(list.height >= LIST_SHARE_OPENED * column.height, `${width} × ${height}: ${list.height} of ${column.height} px`);
      const bars = await all.page.locator(".bar-notice").last().boundingBox();
      const stage = await all.page.locator("#stage").boundingBox();
      assert.ok(bars.y + bars.height <= stage.y + stage.height + 1 || (await all.page.evaluate(() => getComputedStyle(document.getElementById("bars")).overflowY)) === "auto");
      await all.page.screenshot({ path: `${SHOTS}/desk-${width}.png` });
      await all.leave();
    }
  },
});
