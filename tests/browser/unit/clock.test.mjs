// The server's time, derived from its messages. Nothing on the pages reads the viewer's own clock.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { ServerClock, WINDOW_MS } from "../../../web/assets/volley-clock.js";

const NOON = 1_796_000_000_000;

function setUp() {
  const monotonic = { now: 5_000 };
  return { monotonic, clock: new ServerClock(() => monotonic.now) };
}

test("nothing_is_past_before_the_first_server_time", () => {
  const { clock } = setUp();
  assert.equal(clock.now, null);
  assert.equal(clock.isPast(1), false);
  assert.equal(clock.age(1), 0);
  for (const nonsense of [undefined, null, "1796000000000", Number.NaN, Infinity]) clock.heard(nonsense);
  assert.equal(clock.now, null);
});

test("late_messages_do_not_turn_the_clock_back", () => {
  const { clock, monotonic } = setUp();
  clock.heard(NOON);
  monotonic.now += 10_000;
  clock.heard(NOON + 4_000); // Six seconds in transit.
  assert.equal(clock.now, NOON + 10_000);
  assert.equal(clock.age(NOON + 4_000), 6_000);
  assert.ok(clock.isPast(NOON + 10_000) && !clock.isPast(NOON + 10_001));
  assert.equal(clock.isPast(undefined), false, "without an end it stays");
});

test("next_message_corrects_the_clock_after_a_sleep", () => {
  const { clock, monotonic } = setUp();
  clock.heard(NOON);
  monotonic.now += 1_000; // An hour in which the monotonic clock advanced by one second.
  clock.heard(NOON + 3_600_000);
  assert.equal(clock.now, NOON + 3_600_000);
});

test("server_clock_that_was_set_back_is_followed_within_a_minute", () => {
  const { clock, monotonic } = setUp();
  let at = NOON + 3_600_000;
  clock.heard(at);
  at = NOON;
  for (let passed = 0; passed <= 2 * WINDOW_MS; passed += 1_000) {
    clock.heard(at + passed);
    monotonic.now += 1_000;
  }
  assert.equal(clock.now, NOON + 2 * WINDOW_MS + 1_000);
});

test("no_script_reads_the_viewers_own_clock", () => {
  const assets = new URL("../../../web/assets/", import.meta.url);
  for (const name of readdirSync(assets).filter((each) => each.endsWith(".js"))) {
    const code = readFileSync(new URL(name, assets), "utf8").replace(/^\s*(\/\/|\*|\/\*\*).*$/gm, "");
    assert.doesNotMatch(code, /\bDate\b|timeOrigin|\bTemporal\b|new Intl\.DateTimeFormat/, name);
  }
});
