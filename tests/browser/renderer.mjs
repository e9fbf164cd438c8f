// The renderer at speed, in a real Chromium: ten seconds at 200 comments/s as a display would show them, and an hour of
// such comments in as little time as the machine needs. Prints what it measured; the last line counts the promises.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { launch, ROOT, run } from "./harness.mjs";

const PER_SECOND = 200;
const HOUR_S = 3_600;
/** A frame at 60 Hz has 16.7 ms; the renderer may use half of it. */
const DRAW_MS_MAX = 8;
/** The heap after garbage collection may grow this much from minute 6 to minute 60. */
const HEAP_GROWTH_BYTES_MAX = 5 << 20;
/** What the page's whole process may grow by in that time: canvases live outside of the heap, and its allocator breathes. */
const PROCESS_GROWTH_BYTES_MAX = 24 << 20;
/** Steps of the hour's own clock: coarse, because only time passes between two pictures, not work. */
const HOUR_STEP_MS = 100;

const BARE = "<!doctype html><meta charset=utf-8><body style='margin:0;background:#123'><canvas id=stage></canvas>";
const server = createServer(async (request, response) => {
  const name = request.url.match(/^\/assets\/([\w-]+\.js)$/)?.[1];
  try {
    response.setHeader("content-type", name ? "text/javascript" : "text/html");
    response.end(name ? await readFile(`${ROOT}web/assets/${name}`) : BARE);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
const origin = `http://127.0.0.1:${server.address().port}/`;
const browser = await launch();

/** A page with a stage of that size; `show.make(n)` gives n comments, nearly all different, in every mode and size. */
async function stage(width, height) {
  const page = await browser.newPage({ viewport: { width, height } });
  page.on("pageerror", (error) => console.log(`page error: ${error.stack}`));
  await page.goto(origin);
  await page.evaluate(async ([w, h]) => {
    const { Danmaku } = await import("/assets/danmaku.js");
    const danmaku = new Danmaku(document.getElementById("stage"));
    danmaku.resize(w, h, 1);
    danmaku.set({ density: "high" });
    let state = 9;
    const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
    const letters = [..."你好呀这首歌太好听了哈前方高能泪目感动谢爱永远再见青春回来吧awsl6233！？~ "];
    const modes = ["scroll", "scroll", "scroll", "scroll", "scroll", "scroll", "scroll", "top", "bottom", "reverse"];
    const make = (count) => Array.from({ length: count }, () => ({
      text: Array.from({ length: 2 + Math.floor(random() ** 2 * 24) }, () => letters[Math.floor(random() * letters.length)]).join(""),
      mode: modes[Math.floor(random() * modes.length)],
      color: random() < 0.7 ? 0xffffff : Math.floor(random() * 0x1000000),
      size: [18, 25, 25, 25, 36][Math.floor(random() * 5)],
    }));
    globalThis.show = { danmaku, make };
  }, [width, height]);
  return page;
}

/** Resident bytes of the largest page process. */
async function residentBytes() {
  const devtools = await browser.newBrowserCDPSession();
  const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
  await devtools.detach();
  const pages = processInfo.filter(({ type }) => type === "renderer");
  return Math.max(...pages.map(({ id }) => Number(readFileSync(`/proc/${id}/statm`, "utf8").split(" ")[1]) * 4096));
}

function assertWhole(counters) {
  assert.equal(counters.drawn + counters.dropped + counters.waiting, counters.pushed, "every comment is drawn, dropped or waiting");
  assert.ok(counters.live <= counters.liveMax, `${counters.live} live`);
  assert.ok(counters.poolBytes <= counters.poolBytesMax, `${counters.poolBytes} bytes in the pool`);
}

const ok = await run({
  async ten_seconds_at_200_comments_a_second_leave_half_of_every_frame_free() {
    const page = await stage(1280, 720);
    const { counters, median, p99, fps } = await page.evaluate(async ([perSecond, seconds]) => {
      const { danmaku, make } = globalThis.show;
      const work = [];
      const began = performance.now();
      let pushed = 0;
      await new Promise((resolve) => {
        const frame = (now) => {
          const elapsed = performance.now() - began;
          const due = Math.floor((elapsed / 1000) * perSecond);
          danmaku.push(make(due - pushed), 16);
          pushed = due;
          const before = performance.now();
          danmaku.draw(now);
          work.push(performance.now() - before);
          if (elapsed < seconds * 1000) requestAnimationFrame(frame); else resolve();
        };
        requestAnimationFrame(frame);
      });
      const elapsedS = (performance.now() - began) / 1000;
      const sorted = [...work].sort((a, b) => a - b);
      const at = (share) => sorted[Math.floor(sorted.length * share)];
      return { counters: danmaku.counters, median: at(0.5), p99: at(0.99), fps: work.length / elapsedS };
    }, [PER_SECOND, 10]);
    console.log(`        ${fps.toFixed(1)} frames/s, draw median ${median.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; `
      + `pushed ${counters.pushed}, drawn ${counters.drawn}, dropped ${counters.dropped}, live ${counters.live}`);
    assert.ok(counters.pushed >= PER_SECOND * 10 * 0.95, "the load was there");
    assert.ok(counters.live > 50, "the stage was full");
    assert.ok(median <= DRAW_MS_MAX, `median ${median} ms`);
    assertWhole(counters);
    await page.close();
  },

  async an_hour_of_comments_takes_no_more_memory_than_six_minutes() {
    const page = await stage(960, 540);
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("HeapProfiler.enable");
    const samples = [];
    const tenths = 10;
    for (let tenth = 1; tenth <= tenths; tenth += 1) {
      const counters = await page.evaluate(async ([from, until, stepMs, perSecond]) => {
        const { danmaku, make } = globalThis.show;
        const worst = { live: 0, poolBytes: 0, poolBitmaps: 0, waiting: 0 };
        for (let now = from, step = 0; now < until; now += stepMs, step += 1) {
          danmaku.push(make((perSecond * stepMs) / 1000), stepMs);
          danmaku.draw(now);
          const counters = danmaku.counters;
          for (const key of Object.keys(worst)) worst[key] = Math.max(worst[key], counters[key]);
          // Now and then the picture really goes to the screen, or the canvas would only gather what to draw.
          if (step % 50 === 0) await new Promise((resolve) => { requestAnimationFrame(resolve); });
        }
        return { ...danmaku.counters, worst };
      }, [((tenth - 1) / tenths) * HOUR_S * 1000, (tenth / tenths) * HOUR_S * 1000, HOUR_STEP_MS, PER_SECOND]);
      assertWhole(counters);
      assert.ok(counters.worst.live <= counters.liveMax && counters.worst.poolBytes <= counters.poolBytesMax, "at every moment");
      await devtools.send("HeapProfiler.collectGarbage");
      const { usedSize } = await devtools.send("Runtime.getHeapUsage");
      samples.push({ usedSize, resident: await residentBytes(), ...counters });
    }
    const mebi = (bytes) => (bytes / 2 ** 20).toFixed(2);
    const end = samples.at(-1);
    console.log(`        heap MiB after each tenth: ${samples.map(({ usedSize }) => mebi(usedSize)).join(" ")}`);
    console.log(`        process MiB after each tenth: ${samples.map(({ resident }) => mebi(resident)).join(" ")}`);
    console.log(`        pushed ${end.pushed}, drawn ${end.drawn}, dropped ${end.dropped}, live at most ${end.worst.live} of ${end.liveMax}, `
      + `pool ${end.poolBitmaps} bitmaps, at most ${mebi(end.worst.poolBytes)} of ${mebi(end.poolBytesMax)} MiB`);
    assert.equal(end.pushed, HOUR_S * PER_SECOND);
    assert.ok(end.drawn > 20_000, "the stage was in use all the time");
    const growth = Math.max(...samples.slice(1).map(({ usedSize }) => usedSize)) - samples[0].usedSize;
    assert.ok(growth <= HEAP_GROWTH_BYTES_MAX, `the heap grew by ${mebi(growth)} MiB`);
    const process = Math.max(...samples.slice(1).map(({ resident }) => resident)) - samples[0].resident;
    assert.ok(process <= PROCESS_GROWTH_BYTES_MAX, `the process grew by ${mebi(process)} MiB`);
    assert.ok(end.poolBitmaps <= samples[0].poolBitmaps * 1.5 + 50, "the pool's bitmaps do not pile up");
    await page.close();
  },

  async paused_stage_stands_still_and_its_backlog_is_bounded() {
    const page = await stage(640, 360);
    const { frozen, paused, resumed } = await page.evaluate(() => {
      const { danmaku, make } = globalThis.show;
      const pixels = () => document.getElementById("stage").toDataURL();
      let now = 0;
      const pass = (ms) => { for (const until = now + ms; now < until; now += 50) danmaku.draw(now); };
      danmaku.push(make(20));
      pass(1_000);
      danmaku.set({ paused: true });
      pass(50);
      const before = pixels();
      const framesBefore = danmaku.counters.frames;
      for (let second = 0; second < 600; second += 1) { danmaku.push(make(200), 100); pass(100); }
      const paused = danmaku.counters;
      const frozen = { same: before === pixels(), frames: paused.frames - framesBefore };
      danmaku.set({ paused: false });
      pass(500);
      return { frozen, paused, resumed: { ...danmaku.counters, moved: before !== pixels() } };
    });
    assert.deepEqual(frozen, { same: true, frames: 0 });
    assert.ok(paused.waiting <= 200, `${paused.waiting} wait`);
    assertWhole(paused);
    assert.ok(resumed.moved && resumed.drawn > paused.drawn);
    assertWhole(resumed);
    await page.close();
  },

  async returning_to_a_hidden_stage_shows_what_is_said_now() {
    const page = await stage(1280, 720);
    const seen = await page.evaluate(async () => {
      const { Danmaku } = await import("/assets/danmaku.js");
      let now = 0;
      const result = {};
      for (const [name, absence] of Object.entries({
        // Pictures stop while the tab is hidden, the window covered, or the main thread stalled; a pause stops them too.
        hidden: { begin: (danmaku) => danmaku.stop(), end: () => {} },
        covered: { begin: () => {}, end: () => {} },
        paused: { begin: (danmaku) => danmaku.set({ paused: true }), end: (danmaku) => danmaku.set({ paused: false }) },
      })) {
        const danmaku = new Danmaku(document.getElementById("stage"), { now: () => now });
        danmaku.resize(1280, 720, 1);
        danmaku.draw(now);
        absence.begin(danmaku);
        for (let n = 0; n < 90; n += 1, now += 333) danmaku.push([{ text: `comment ${n}`, offset: n }], 100);
        absence.end(danmaku);
        danmaku.push([{ text: "said now", offset: 90 }]);
        const offsets = [];
        for (const until = now + 2_000; now < until; now += 16) { danmaku.draw(now); offsets.push(...danmaku.offsets); }
        result[name] = { offsets: [...new Set(offsets)], counters: danmaku.counters };
      }
      return result;
    });
    for (const [name, { offsets, counters }] of Object.entries(seen)) {
      assert.ok(offsets.includes(90), `${name}: what is said now is shown`);
      assert.ok(Math.min(...offsets) >= 85, `${name}: nothing older than two seconds is: ${offsets}`);
      assert.equal(counters.drawn + counters.dropped, 91, `${name}: the rest is counted`);
    }
    await page.close();
  },

  async empty_stage_costs_no_pictures() {
    const page = await stage(640, 360);
    const [after, later] = await page.evaluate(() => {
      const { danmaku, make } = globalThis.show;
      let now = 0;
      danmaku.push(make(5));
      for (; now < 20_000; now += 50) danmaku.draw(now);
      const after = danmaku.counters;
      for (; now < 40_000; now += 50) danmaku.draw(now);
      return [after, danmaku.counters];
    });
    assert.equal(after.live, 0);
    assert.equal(later.frames, after.frames);
    await page.close();
  },

  async resize_in_mid_show_keeps_every_bound() {
    const page = await stage(1280, 720);
    const counters = await page.evaluate(() => {
      const { danmaku, make } = globalThis.show;
      const sizes = [[1280, 720, 1], [360, 203, 2], [800, 40, 3], [1920, 1080, 1], [320, 10, 1.5]];
      let now = 0;
      for (let step = 0; step < 3_000; step += 1, now += 33) {
        if (step % 60 === 0) danmaku.resize(...sizes[(step / 60) % sizes.length]);
        danmaku.push(make(7), 33);
        danmaku.draw(now);
      }
      return danmaku.counters;
    });
    assertWhole(counters);
    assert.equal(counters.pushed, 21_000);
    await page.close();
  },

  async fewer_comments_at_lower_density_and_the_rest_is_counted() {
    const page = await stage(1280, 720);
    const drawn = await page.evaluate(() => {
      const { danmaku, make } = globalThis.show;
      let now = 0;
      return ["low", "normal", "high"].map((density) => {
        danmaku.set({ density });
        const before = danmaku.counters.drawn;
        for (const until = now + 20_000; now < until; now += 50) { danmaku.push(make(10), 50); danmaku.draw(now); }
        return danmaku.counters.drawn - before;
      });
    });
    console.log(`        drawn in 20 s of 200/s: low ${drawn[0]}, normal ${drawn[1]}, high ${drawn[2]}`);
    assert.ok(drawn[0] < drawn[1] && drawn[1] < drawn[2], String(drawn));
    await page.close();
  },
});

await browser.close();
server.close();
process.exitCode = ok ? 0 : 1;
