// Speed of the renderer in a real Chromium: ten seconds at 200 comments/s in real time, and an hour of such comments as
// fast as the machine allows. Prints the measurements; the last line counts the passed tests.

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
/**
 * Allowed growth of the page's process in that time: canvases are outside of the heap, and its allocator fluctuates.
 */
const PROCESS_GROWTH_BYTES_MAX = 24 << 20;
/** Steps of the simulated clock: coarse, because only pictures cost time. */
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

/**
 * A page with a stage of that size; `show.make(n)` returns n comments, nearly all different, in every mode and size.
 */
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
          // Sometimes the picture has to reach the screen, because otherwise the canvas only collects drawing commands.
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

  async hidden_stage_shows_current_comments_on_return() {
    const page = await stage(1280, 720);
    const seen = await page.evaluate(async () => {
      const { Danmaku } = await import("/assets/danmaku.js");
      let now = 0;
      const result = {};
      for (const [name, absence] of Object.entries({
        // Drawing stops while the tab is hidden, the window covered or the main thread stalled, and during a pause.
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
  async text_on_the_stage_runs_as_it_would_on_the_page() {
    const page = await stage(960, 540);
    const texts = ["שלום עולם!", "(מחיר: 50 ₪)", "50 ₪: מחיר חדש!", "مرحبا (٣٢١) يا عالم!", "hello שלום (world)!", "😀 שלום, עולם", "שלום abc 12-34!",
      "«قيمة» 100%", "你好（世界）！", "123 - 456 (789)", "...!?", "שלום ×6", "السعر: $50.00 (خصم)", "[שלום] {עולם} <טוב>"];
    for (const text of texts) {
      const { canvas, auto, other } = await page.evaluate(async (said) => {
        const { Bitmaps } = await import("/assets/bitmaps.js");
        const context = document.getElementById("stage").getContext("2d");
        const bitmaps = new Bitmaps(8 << 20, context);
        const layout = bitmaps.layout(said, 40);
        const bitmap = bitmaps.acquire(layout, 0xffffff, "", 1);
        // The amount of ink per column: it shows the positions of the glyphs independent of their edges.
        const columns = (source) => {
          const { width, height } = source.canvas;
          const { data } = source.getImageData(0, 0, width, height);
          return Array.from({ length: Math.ceil(layout.width) }, (_, x) => {
            let ink = 0;
            for (let y = 0; y < height; y += 1) if (data[4 * (y * width + x) + 3] > 128 && data[4 * (y * width + x)] > 160) ink += 1;
            return ink;
          });
        };
        // The reference: the same text in an element, painted by the browser's layout through an SVG image.
        const drawn = async (direction) => {
          const probe = document.createElement("div");
          probe.dir = "auto";
          probe.textContent = said;
          document.body.append(probe);
          const way = getComputedStyle(probe).direction;
          probe.remove();
          const wanted = direction === "auto" ? way : way === "rtl" ? "ltr" : "rtl";
          const node = document.createElement("div");
          node.textContent = said;
          node.setAttribute("style", `position:absolute;left:5px;top:0;color:#fff;white-space:pre;font:${layout.font};line-height:${layout.height}px;direction:${wanted}`);
          const body = new XMLSerializer().serializeToString(node);
          const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${layout.width}" height="${layout.height}"><foreignObject width="100%" height="100%">${body}</foreignObject></svg>`;
          const image = new Image();
          image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
          await image.decode();
          const target = new OffscreenCanvas(layout.width, layout.height).getContext("2d");
          target.drawImage(image, 0, 0);
          return columns(target);
        };
        return { canvas: columns(bitmap.context), auto: await drawn("auto"), other: await drawn("other") };
      }, text);
      const apart = (a, b) => a.reduce((sum, ink, x) => sum + Math.abs(ink - b[x]), 0) / a.reduce((sum, ink) => sum + ink, 1);
      const [right, wrong] = [apart(auto, canvas), apart(other, canvas)];
      console.log(`        ${text}: ${right.toFixed(3)} apart from the page, ${wrong.toFixed(3)} from the other direction`);
      assert.ok(auto.some((ink) => ink > 0), `${text} is drawn`);
      // If both directions give the same picture, there is nothing to compare.
      assert.ok(right < 0.2 && (wrong > 2 * right || apart(auto, other) < 0.05), `${text}: ${right} against ${wrong}`);
    }
    await page.close();
  },

  async text_that_does_not_fit_is_cut_between_characters() {
    const page = await stage(360, 203);
    const units = ["🇩🇪", "👩‍👩‍👧‍👦", "👍🏽", "é̂", "नि", "각", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "好", "x", "ש̈", "﷽", "གྲྀ"];
    const results = await page.evaluate(async (all) => {
      const { Bitmaps } = await import("/assets/bitmaps.js");
      const bitmaps = new Bitmaps(8 << 20, document.getElementById("stage").getContext("2d"));
      return all.flatMap((unit) => [12, 33, 92].map((fontPx) => {
        const { line, width } = bitmaps.layout(unit.repeat(90), fontPx, 340);
        return { unit, fontPx, line, width };
      }));
    }, units);
    for (const { unit, fontPx, line, width } of results) {
      assert.ok(width <= 340, `${unit} × 90 at ${fontPx}: ${width} px`);
      const head = line.replace(/…$/, "");
      assert.ok(head !== "" && unit.repeat(90).startsWith(head), `${unit} × 90 at ${fontPx}: something is shown`);
      assert.equal(head.length % unit.length, 0, `${unit} × 90 at ${fontPx} is cut inside a character: ${JSON.stringify(line)}`);
    }
    await page.close();
  },

  async hostile_text_fills_no_more_than_its_row_and_its_bitmap() {
    const page = await stage(960, 540);
    const family = Array.from({ length: 256 }, () => "👩").join("\u200d");
    const texts = ["﷽".repeat(512), family, `z${"\u0301\u0316\u0489".repeat(170)}`, "好".repeat(512), "W".repeat(512), "🇩🇪".repeat(128), "གྲྀ".repeat(80),
      "\ua9c5".repeat(300), "𒐫".repeat(512), "a\u0300".repeat(256), "\u200d".repeat(512), "שלום".repeat(128), " ".repeat(512), ""];
    const worst = await page.evaluate(async (all) => {
      const { Bitmaps, BITMAP_BYTES_MAX } = await import("/assets/bitmaps.js");
      const { danmaku } = globalThis.show;
      const bitmaps = new Bitmaps(64 << 20, document.getElementById("stage").getContext("2d"));
      const found = { width: 0, height: 0, bytes: 0, max: BITMAP_BYTES_MAX, lines: [], below: 0, ms: 0 };
      for (const text of all) {
        for (const fontPx of [12, 26, 67]) {
          const began = performance.now();
          const layout = bitmaps.layout(text, fontPx);
          const bitmap = bitmaps.acquire(layout, 0xffffff, "", 2);
          found.ms = Math.max(found.ms, performance.now() - began);
          found.width = Math.max(found.width, bitmap.canvas.width);
          found.height = Math.max(found.height, bitmap.canvas.height);
          found.bytes = Math.max(found.bytes, bitmap.bytes);
          bitmaps.release(bitmap);
        }
      }
      // The only comment in the first row: nothing of it may be below that row.
      let now = 0;
      const stage = document.getElementById("stage");
      for (const text of all) {
        for (const ratio of [1, 2, 4]) {
          danmaku.clear();
          danmaku.resize(960, 540, ratio);
          danmaku.push([{ text, mode: "top" }]);
          for (let step = 0; step < 10; step += 1) danmaku.draw(now += 50);
          const scale = stage.width / 960;
          const row = Math.ceil((540 * scale) / danmaku.counters.rows);
          const { data } = stage.getContext("2d").getImageData(0, row, stage.width, stage.height - row);
          for (let at = 3; at < data.length; at += 4) if (data[at] > 0) found.below += 1;
          for (let step = 0; step < 100; step += 1) danmaku.draw(now += 50);
        }
      }
      return { ...found, counters: danmaku.counters };
    }, texts);
    console.log(`        largest bitmap ${worst.width} × ${worst.height}, ${worst.bytes} bytes; longest layout ${worst.ms.toFixed(1)} ms`);
    assert.ok(worst.bytes <= worst.max, `${worst.bytes} of ${worst.max} bytes`);
    assert.equal(worst.below, 0, "pixels below the row");
    assertWhole(worst.counters);
    assert.ok(worst.counters.cut > 0, "cut texts are counted");
    await page.close();
  },

  async stage_of_any_size_has_a_bounded_canvas() {
    const page = await stage(640, 360);
    const sizes = await page.evaluate(() => [[7_680, 4_320, 4], [20_000, 300, 3], [300, 20_000, 3], [1_280, 720, 2], [360, 203, 4], [1, 1, 0.5]].map(([width, height, ratio]) => {
      globalThis.show.danmaku.resize(width, height, ratio);
      const canvas = document.getElementById("stage");
      return { wanted: [width, height, ratio], width: canvas.width, height: canvas.height };
    }));
    for (const { wanted, width, height } of sizes) {
      assert.ok(width * height <= 8_300_000 && width <= 8_192 && height <= 8_192, `${wanted}: ${width} × ${height}`);
      assert.ok(width >= 1 && height >= 1, `${wanted}: ${width} × ${height}`);
    }
    assert.deepEqual(sizes[3], { wanted: [1_280, 720, 2], width: 2_560, height: 1_440 });
    await page.close();
  },

  async sizes_out_of_range_are_brought_into_it() {
    const page = await stage(960, 540);
    const counters = await page.evaluate(() => {
      const { danmaku } = globalThis.show;
      danmaku.push([0, -5, 1, 255, 1e9, NaN, Infinity].map((size) => ({ text: `size ${size}`, size, color: 0x1ffffff })));
      let now = 0;
      for (; now < 9_000; now += 50) danmaku.draw(now);
      return danmaku.counters;
    });
    assertWhole(counters);
    assert.equal(counters.drawn, 7);
    await page.close();
  },
});

await browser.close();
server.close();
process.exitCode = ok ? 0 : 1;
