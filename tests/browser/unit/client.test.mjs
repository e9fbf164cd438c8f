// The client without a network: its requests, its checks, its reconnects.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as sdk from "../../../web/assets/volley-client.js";
import { connected, EPOCH, fakeSockets, frame, setUp, welcome } from "./fakes.mjs";

test("constructing_a_client_does_no_io", () => {
  const { opened, client, clock } = setUp();
  assert.equal(opened.length, 0);
  assert.equal(clock.pending, 0);
  assert.equal(client.state, "disconnected");
});

test("first_connection_asks_for_json_and_no_resume", () => {
  const { client, last } = setUp();
  client.connect();
  client.connect();
  assert.equal(last().protocol[0], "volley.v1.json");
  assert.equal(last().url.href, "ws://h.test/v1/rooms/demo/ws");
  assert.equal(client.state, "connecting");
  last().say(welcome());
  assert.equal(client.state, "connected");
});

test("backoff_stays_between_its_bounds_and_doubles_its_spread", () => {
  for (let attempt = 0; attempt < 64; attempt += 1) {
    const ceiling = Math.min(20_000, 500 * 2 ** attempt);
    assert.equal(sdk.backoffMs(attempt, 0), 500);
    assert.equal(sdk.backoffMs(attempt, 0.5), Math.round(500 + ceiling / 2));
    assert.ok(sdk.backoffMs(attempt, 0.999999) <= 500 + ceiling);
  }
});

test("close_codes_decide_whether_to_reconnect", () => {
  for (const code of [1001, 1006, 1008, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4010, 4011, 4013, 4029, 4499]) {
    assert.equal(sdk.afterClose(code), "retry", String(code));
  }
  for (const code of [1000, 1002, 1003, 1007, 1009, 4500, 4501, 4503, 4504, 4999]) {
    assert.equal(sdk.afterClose(code), "stop", String(code));
  }
});

test("repeated_failures_wait_longer_until_ten_good_seconds", () => {
  const { client, clock, last, heard, opened } = setUp({ random: 0.5 });
  client.connect();
  for (const wait of [750, 1_000, 1_500, 2_500]) {
    last().end(1006);
    assert.equal(heard.state.at(-1).retryInMs, wait);
    const before = opened.length;
    clock.pass(wait - 1);
    assert.equal(opened.length, before, "not before its time");
    clock.pass(1);
    assert.equal(opened.length, before + 1);
  }
  last().say(welcome());
  clock.pass(9_999);
  last().end(1006);
  assert.equal(heard.state.at(-1).retryInMs, 4_500, "a short connection does not reset");
  clock.pass(4_500);
  last().say(welcome());
  clock.pass(10_000);
  last().end(1006);
  assert.equal(heard.state.at(-1).retryInMs, 750, "a long one does");
});

test("bye_hint_replaces_the_backoff", () => {
  const { last, heard, clock, opened } = connected({}, {}, { random: 0.9 });
  last().say({ bye: { code: 1012, after_ms: 7_400 } });
  last().end(1012);
  assert.equal(heard.state.at(-1).retryInMs, 7_400);
  clock.pass(7_400);
  assert.equal(opened.length, 2);
  last().end(1006);
  assert.notEqual(heard.state.at(-1).retryInMs, 7_400, "a hint is used once");
});

test("terminal_close_is_not_retried", () => {
  const { client, clock, last, heard, opened } = connected();
  last().end(4504, "no such room");
  assert.deepEqual(heard.state.at(-1), { state: "disconnected", code: 4504, reason: "no such room", terminal: true });
  clock.pass(3_600_000);
  assert.equal(opened.length, 1);
  client.connect();
  assert.equal(opened.length, 2);
});

test("connect_ends_a_wait_and_keeps_one_connection", () => {
  const { client, clock, last, opened } = connected();
  last().end(1006);
  client.connect();
  assert.equal(opened.length, 2);
  clock.pass(1_000);
  assert.equal(opened.length, 2, "the planned retry was cancelled");
});

test("reconnect_resumes_where_it_was", () => {
  const { last, clock, heard, offsets } = connected({ last: 5 });
  last().say(frame(5, 8, [6, 8]));
  last().end(1006);
  clock.pass(500);
  assert.equal(last().url.searchParams.get("epoch"), EPOCH);
  assert.equal(last().url.searchParams.get("after"), "8");
  const recent = [6, 8, 10].map((offset) => ({ offset, comment: { text: "" } }));
  last().say(welcome({ recovered: true, last: 11 }, { events: recent }));
  last().say(frame(8, 11, [9, 10]));
  last().say(frame(11, 12, [12]));
  assert.deepEqual(offsets(), [6, 8, 9, 10, 12], "each once, in order, none skipped");
  assert.deepEqual(heard.events.map((each) => each.origin), ["live", "resumed", "live"]);
  assert.deepEqual(heard.gap, []);
});

test("missed_events_may_arrive_in_any_number_of_frames", () => {
  const { client, last, clock, heard, offsets } = connected({ last: 5 });
  last().end(1006);
  clock.pass(500);
  const long = Array.from({ length: 2_000 }, (_, n) => 6 + n);
  last().say(welcome({ recovered: true, last: 2_008 }, { likes: 3 }));
  assert.equal(client.position, 5, "nothing is there yet");
  last().say(frame(5, 2_005, long, { likes: 3, shed: { normal: 4 } }));
  last().say(frame(2_005, 2_007, [2_007], { likes: 4 }));
  last().say(frame(2_007, 2_008, [2_008], { likes: 4 }));
  last().say(frame(2_008, 2_009, [2_009], { likes: 5 }));
  assert.deepEqual(offsets(), [...long, 2_007, 2_008, 2_009]);
  assert.deepEqual(heard.events.map(({ origin }) => origin), ["resumed", "resumed", "resumed", "live"]);
  assert.deepEqual(heard.gap, []);
  assert.equal(client.position, 2_009);
});

test("interrupted_resume_continues_at_the_last_page", () => {
  const { last, clock } = connected({ last: 5 });
  last().end(1006);
  clock.pass(500);
  last().say(welcome({ recovered: true, last: 900 }));
  last().say(frame(5, 300, [6, 300]));
  last().end(1006);
  clock.pass(20_000);
  assert.equal(last().url.searchParams.get("after"), "300");
});

test("failed_resume_is_reported_and_never_looks_complete", () => {
  const { last, clock, heard, offsets } = connected({ last: 5 });
  last().end(1006);
  clock.pass(500);
  const events = [90, 91].map((offset) => ({ offset, comment: { text: "" } }));
  last().say(welcome({ recovered: false, reason: "too_old", last: 95 }, { events }));
  assert.deepEqual(heard.gap, [{ from: 5, to: 89, reason: "too_old" }]);
  assert.deepEqual(offsets(), [90, 91]);
  last().say(frame(95, 96, [96]));
  assert.equal(heard.gap.length, 1);
});

test("new_epoch_starts_over_at_any_offset", () => {
  const { client, last, clock, heard, offsets } = connected({ last: 500 });
  last().end(1012);
  clock.pass(500);
  const events = [{ offset: 1, comment: { text: "" } }];
  last().say(welcome({ epoch: "00000000000000e2", reason: "epoch_changed", last: 2 }, { events }));
  assert.deepEqual(heard.gap, [{ from: 500, to: null, reason: "epoch_changed" }]);
  last().say(frame(2, 3, [3]));
  assert.deepEqual(offsets(), [1, 3]);
  assert.equal(client.position, 3);
});

test("frame_that_overlaps_skips_known_events", () => {
  const { last, heard, offsets } = connected({ last: 10 });
  last().say(frame(10, 13, [11, 12, 13]));
  last().say(frame(11, 15, [12, 13, 14, 15]));
  last().say(frame(15, 15, []));
  assert.deepEqual(offsets(), [11, 12, 13, 14, 15]);
  assert.deepEqual(heard.gap, []);
});

test("frame_that_skips_ahead_reports_a_gap", () => {
  const { client, last, heard, offsets } = connected({ last: 10 });
  last().say(frame(20, 22, [21, 22]));
  assert.deepEqual(heard.gap, [{ from: 10, to: 20, reason: "hole" }]);
  assert.deepEqual(offsets(), [21, 22]);
  assert.equal(client.position, 22);
});

test("heartbeat_ahead_of_the_position_reports_a_gap", () => {
  const { last, heard } = connected({ last: 10 });
  last().say({ heartbeat: { last: 10, at: 1 } });
  assert.deepEqual(heard.gap, []);
  last().say({ heartbeat: { last: 12, at: 1 } });
  assert.deepEqual(heard.gap, [{ from: 10, to: 12, reason: "hole" }]);
});

test("announced_gap_is_reported_once_and_the_next_frame_continues", () => {
  const { last, heard, offsets } = connected({ last: 700 });
  last().say({ gap: { from: 700, to: 812, reason: "slow" } });
  last().say(frame(812, 813, [813]));
  assert.deepEqual(heard.gap, [{ from: 700, to: 812, reason: "slow" }]);
  assert.deepEqual(offsets(), [813]);
});

test("ledger_and_counters_are_reported", () => {
  const { last, heard } = connected();
  last().say(frame(0, 30, [1], { likes: 7, online: 3, unique: 5, shed: { normal: 29 } }));
  assert.deepEqual(heard.ledger, [{ shown: 1, total: 30, merged: {}, shed: { normal: 29 }, origin: "live" }]);
  assert.deepEqual(heard.counters.at(-1), { likes: 7, online: 3, unique: 5 });
  last().say(frame(30, 30, [], { likes: 8, online: 2 }));
  assert.deepEqual(heard.counters.at(-1), { likes: 8, online: 2, unique: 5 }, "an estimate that did not change stands");
  assert.equal(heard.ledger.length, 1, "a frame with only counters covers no stretch of the log");
});

test("send_resolves_with_the_offset", async () => {
  const { client, last } = connected();
  const sent = client.send("hi", { style: { mode: "top" }, mediaMs: 5 });
  const { comment } = last().sent[0];
  assert.deepEqual({ ...comment, id: "" }, { id: "", text: "hi", style: { mode: "top" }, media_ms: 5 });
  last().say({ ack: { id: comment.id, offset: 9, outcome: "shown" } });
  assert.deepEqual(await sent, { offset: 9, outcome: "shown" });
});

test("default_style_is_left_out", () => {
  const { client, last } = connected();
  client.send("hi", { style: {} });
  assert.deepEqual(Object.keys(last().sent[0].comment), ["id", "text"]);
});

test("refusal_rejects_its_own_comment", async () => {
  const { client, last, heard } = connected();
  const first = client.send("a");
  const second = client.send("b");
  const id = last().sent[1].comment.id;
  last().say({ error: { id, code: "rate_limited", message: "too fast", retry_after_ms: 1200 } });
  await assert.rejects(second, { code: "rate_limited", message: "too fast", retryAfterMs: 1200, temporary: true });
  last().say({ ack: { id: last().sent[0].comment.id, offset: 1, outcome: "shown" } });
  await first;
  assert.deepEqual(heard.error, []);
  const third = client.send("c");
  last().say({ error: { id: last().sent[2].comment.id, code: "too_long", message: "too long" } });
  await assert.rejects(third, { code: "too_long", temporary: false, retryAfterMs: undefined });
});

test("refusal_without_an_id_is_an_event", () => {
  const { last, heard } = connected();
  last().say({ error: { code: "rate_limited", message: "too many likes", retry_after_ms: 100 } });
  assert.equal(heard.error[0].code, "rate_limited");
});

test("valid_guest_key_of_the_caller_is_used", () => {
  const protocols = (guestKey) => {
    const { FakeSocket, opened } = fakeSockets();
    new sdk.VolleyClient("ws://h.test/", { guestKey, WebSocket: FakeSocket, setTimeout: () => 0 }).connect();
    return opened[0].protocol;
  };
  assert.equal(protocols("0123456789abcdef")[1], "volley.guest.0123456789abcdef");
  for (const bad of ["", "short", "with spaces in it ", "x".repeat(65)]) {
    assert.match(protocols(bad)[1], /^volley\.guest\.[0-9a-f]{32}$/);
  }
});

test("likes_are_cut_to_what_one_message_may_carry", () => {
  const { client, last } = connected();
  assert.equal(client.like(250), true);
  assert.deepEqual(last().sent, [{ like: { count: 100 } }, { like: { count: 100 } }, { like: { count: 50 } }]);
});

test("events_have_their_delay_by_the_servers_clock", () => {
  const { last, clock, heard } = connected();
  last().say(frame(0, 1, [1], { at: 1_000_000 }));
  clock.pass(30_000); // The page was frozen, and now processes the messages of that time.
  last().say(frame(1, 2, [2], { at: 1_000_100 }));
  last().say(frame(2, 3, [3], { at: 1_030_000 }));
  assert.deepEqual(heard.events.map(({ lateMs }) => lateMs), [0, 29_900, 0]);
});

test("late_messages_of_an_old_connection_change_nothing", () => {
  const { clock, last, opened, offsets, heard } = connected();
  last().end(1006);
  clock.pass(500);
  last().say(welcome());
  const states = heard.state.length;
  opened[0].say(frame(0, 1, [1]));
  opened[0].end(4504);
  assert.deepEqual(offsets(), []);
  assert.equal(heard.state.length, states);
});

test("unknown_messages_are_ignored_and_invalid_ones_reconnect", () => {
  const { last, heard, clock, opened } = connected();
  last().say({ poll: { question: "?" } });
  assert.equal(heard.error.length, 0);
  last().say("{nonsense");
  assert.equal(heard.error[0].code, "bad_message");
  clock.pass(500);
  assert.equal(opened.length, 2);
});

test("disconnect_leaves_no_timer_behind", () => {
  const { client, clock, opened, heard } = connected();
  client.disconnect();
  assert.equal(opened[0].closedWith, 1000);
  assert.equal(clock.pending, 0);
  assert.equal(heard.state.at(-1).state, "disconnected");
});

test("listeners_come_and_go", () => {
  const { client, last } = setUp();
  let once = 0;
  let always = 0;
  const count = () => { always += 1; };
  client.once("state", () => { once += 1; }).on("state", count);
  client.connect();
  last().say(welcome());
  client.off("state", count);
  last().end(1006);
  assert.deepEqual([once, always], [1, 2]);
});
