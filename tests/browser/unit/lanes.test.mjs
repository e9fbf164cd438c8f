// Lanes with random shows: comments never overlap, whatever their sizes and the changes of the stage.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Lanes, leftAt } from "../../../web/assets/lanes.js";

/** A small deterministic generator: a failure names its seed and can be run again. */
function randoms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const shareRow = (a, b) => a.row < b.row + b.rows && b.row < a.row + a.rows;
const SEEDS = 60;

test("no_two_moving_comments_ever_overlap", () => {
  let entered = 0;
  let refused = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = randoms(seed);
    const lanes = new Lanes();
    let width = 300 + random() * 1500;
    lanes.resize(width, 1 + Math.floor(random() * 20));
    let live = [];
    let now = 0;
    for (let step = 0; step < 400; step += 1) {
      now += random() * 120;
      live = live.filter((way) => way.endsAt > now);
      if (random() < 0.01) { width = 300 + random() * 1500; lanes.resize(width, lanes.rows); }
      const wish = {
        width: 10 + random() ** 2 * 900, rows: 1 + Math.floor(random() * Math.min(3, lanes.rows)), now, durationMs: 8000,
        gap: 5 + random() * 40, usable: 1 + Math.floor(random() * lanes.rows), reverse: random() < 0.15,
      };
      const way = lanes.findMoving(wish);
      if (!way) { refused += 1; continue; }
      assert.ok(way.row >= 0 && way.row + way.rows <= Math.min(wish.usable, lanes.rows), "inside the usable rows");
      lanes.take(way);
      live.push(way);
      entered += 1;
      // Distances are linear between entry and exit, but the check does not rely on that: it samples many moments.
      for (const other of live) {
        if (other === way || !shareRow(way, other)) continue;
        for (let i = 0; i <= 20; i += 1) {
          const at = now + ((Math.min(way.endsAt, other.endsAt) - now) * i) / 20;
          const [a, b] = [leftAt(way, at), leftAt(other, at)];
          assert.ok(a + way.width <= b + 1e-6 || b + other.width <= a + 1e-6, `seed ${seed}, step ${step}: overlap at ${at}`);
        }
      }
    }
  }
  assert.ok(entered > 2000 && refused > 2000, `both happen: ${entered} entered, ${refused} refused`);
});

test("moving_comments_cross_the_whole_stage_in_their_time", () => {
  for (const reverse of [false, true]) {
    const lanes = new Lanes();
    lanes.resize(1000, 1);
    const way = lanes.findMoving({ width: 200, rows: 1, now: 50, durationMs: 8000, gap: 10, usable: 1, reverse });
    assert.equal(leftAt(way, 50), reverse ? -200 : 1000);
    assert.ok(Math.abs(leftAt(way, way.endsAt) - (reverse ? 1000 : -200)) < 1e-6);
  }
});

test("full_row_accepts_the_next_comment_when_space_is_free", () => {
  const lanes = new Lanes();
  lanes.resize(1000, 1);
  const wish = { width: 200, rows: 1, durationMs: 8000, gap: 10, usable: 1 };
  lanes.take(lanes.findMoving({ ...wish, now: 0 }));
  const pace = 1200 / 8000;
  assert.equal(lanes.findMoving({ ...wish, now: 209 / pace }), null);
  assert.notEqual(lanes.findMoving({ ...wish, now: 211 / pace }), null);
});

test("no_two_standing_comments_ever_overlap", () => {
  let stood = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = randoms(seed);
    const lanes = new Lanes();
    lanes.resize(800, 1 + Math.floor(random() * 12));
    let live = [];
    let now = 0;
    for (let step = 0; step < 300; step += 1) {
      now += random() * 500;
      live = live.filter((way) => way.endsAt > now);
      const way = lanes.findStanding({
        width: 100, rows: 1 + Math.floor(random() * Math.min(3, lanes.rows)), now, durationMs: 4000,
        usable: 1 + Math.floor(random() * lanes.rows), bottom: random() < 0.5,
      });
      if (!way) continue;
      assert.ok(way.row >= 0 && way.row + way.rows <= lanes.rows);
      for (const other of live) assert.ok(!shareRow(way, other), `seed ${seed}, step ${step}`);
      lanes.take(way);
      live.push(way);
      stood += 1;
    }
  }
  assert.ok(stood > 1000);
});

test("top_fills_from_the_top_and_bottom_from_the_bottom", () => {
  const lanes = new Lanes();
  lanes.resize(800, 6);
  const wish = { width: 100, rows: 1, now: 0, durationMs: 4000, usable: 6 };
  const rows = [false, false, true, true].map((bottom) => {
    const way = lanes.findStanding({ ...wish, bottom });
    lanes.take(way);
    return way.row;
  });
  assert.deepEqual(rows, [0, 1, 5, 4]);
});

test("unreserved_way_occupies_nothing", () => {
  const lanes = new Lanes();
  lanes.resize(800, 1);
  const wish = { width: 100, rows: 1, now: 0, durationMs: 4000, usable: 1, gap: 1 };
  assert.notEqual(lanes.findMoving(wish), null);
  assert.notEqual(lanes.findMoving(wish), null);
  assert.notEqual(lanes.findStanding(wish), null);
  assert.notEqual(lanes.findStanding(wish), null);
});

test("comment_taller_than_the_stage_is_refused", () => {
  const lanes = new Lanes();
  lanes.resize(800, 2);
  assert.equal(lanes.findMoving({ width: 100, rows: 3, now: 0, durationMs: 4000, usable: 2, gap: 1 }), null);
  assert.equal(lanes.findStanding({ width: 100, rows: 3, now: 0, durationMs: 4000, usable: 2 }), null);
});
