// The client on a network that changes, drops data and recovers: its pings, and no comment lost or doubled.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as sdk from "../../../web/assets/volley-client.js";
import { answer, beat, connected, frame, setUp, welcome } from "./fakes.mjs";

test("same_id_is_sent_once", async () => {
  const { client, last } = connected();
  const both = [client.send("hi", { id: "x" }), client.send("hi", { id: "x" })];
  assert.equal(last().sent.length, 1);
  last().say({ ack: { id: "x", offset: 1, outcome: "merged" } });
  assert.deepEqual(await Promise.all(both), [{ offset: 1, outcome: "merged" }, { offset: 1, outcome: "merged" }]);
});

test("unanswered_comments_are_sent_again_after_a_reconnect_by_the_same_guest", async () => {
  const { client, clock, last, opened } = connected();
  const sent = client.send("hi", { style: { mode: "top" } });
  const first = last().sent[0];
  last().end(1006);
  clock.pass(500);
  assert.deepEqual(last().sent, [], "not before the welcome");
  last().say(welcome());
  assert.deepEqual(last().sent, [first], "the same id and the same words");
  const [, key] = last().protocol;
  assert.match(key, /^volley\.guest\.[0-9a-f]{32}$/);
  assert.deepEqual(opened.map((socket) => socket.protocol), opened.map(() => ["volley.v1.json", key]));
  last().say({ ack: { id: first.comment.id, offset: 7, outcome: "shown" } });
  assert.deepEqual(await sent, { offset: 7, outcome: "shown" });
  last().end(1006);
  clock.pass(2_000);
  last().say(welcome());
  assert.deepEqual(last().sent, [], "what is answered is not sent again");
});

test("comment_outcome_is_unknown_after_a_terminal_close", async () => {
  const { client, last } = connected();
  const sent = client.send("hi");
  last().end(4503);
  await assert.rejects(sent, { code: "unknown_outcome", temporary: true });
  await assert.rejects(client.send("later"), { code: "not_connected" });
});

test("unanswered_comment_is_rejected_after_a_timeout", async () => {
  const { client, clock, last } = connected();
  const sent = client.send("hi");
  const { comment: { id } } = last().sent[0];
  beat(clock, last, sdk.KEEP_MS);
  await assert.rejects(sent, { code: "unknown_outcome", id });
  last().say({ ack: { id, offset: 1, outcome: "shown" } });
  // Its author may send it again with the same id, which the server recognises.
  client.send("hi", { id });
  assert.equal(last().sent.at(-1).comment.id, id);
});

test("waiting_comments_are_bounded", async () => {
  const { client } = connected();
  const waiting = Array.from({ length: sdk.PENDING_MAX }, () => client.send("hi"));
  await assert.rejects(client.send("hi"), { code: "too_many_pending" });
  client.disconnect();
  for (const each of waiting) await assert.rejects(each, { code: "unknown_outcome" });
});

test("client_without_connect_rejects_comments", async () => {
  const { client, opened } = setUp();
  await assert.rejects(client.send("hi"), { code: "not_connected" });
  assert.equal(client.like(1), false);
  client.networkChanged();
  client.probe();
  assert.equal(opened.length, 0);
});

test("comments_without_a_connection_wait_in_order", async () => {
  const { client, clock, last } = setUp();
  client.connect();
  const before = client.send("before the first welcome");
  assert.deepEqual(last().sent, []);
  last().say(welcome());
  assert.equal(last().sent[0].comment.text, "before the first welcome");
  answer(last);
  await before;
  last().end(1006);
  const waiting = ["one", "two"].map((text) => client.send(text));
  waiting.push(client.vote("p1", 0));
  clock.pass(500);
  waiting.push(client.send("three"));
  last().say(welcome());
  waiting.push(client.send("four"));
  // One by one, so that no comment overtakes one that is temporarily refused.
  for (const said of ["one", "two", undefined, "three", "four"]) {
    assert.equal(last().sent.at(-1).comment?.text, said);
    answer(last);
  }
  assert.equal(last().sent.length, 5);
  await Promise.all(waiting);
  client.send("a");
  client.send("b");
  assert.equal(last().sent.length, 7, "then at once again");
});

test("waiting_comments_are_sent_again_after_a_temporary_refusal", async () => {
  const { client, clock, last } = connected();
  const refuse = (code, more = {}) => last().say({ error: { id: last().sent.at(-1).comment.id, code, message: code, ...more } });
  last().end(1006);
  const waiting = [client.send("one"), client.send("two"), client.send("three")];
  clock.pass(500);
  last().say(welcome());
  refuse("rate_limited", { retry_after_ms: 700 });
  clock.pass(699);
  assert.equal(last().sent.length, 1);
  clock.pass(1);
  assert.deepEqual(last().sent[1], last().sent[0], "the same id and the same words");
  answer(last);
  refuse("storage_unavailable");
  clock.pass(1_000);
  answer(last);
  refuse("too_long");
  await waiting[0];
  await waiting[1];
  await assert.rejects(waiting[2], { code: "too_long" });
  assert.deepEqual(last().sent.map(({ comment }) => comment.text), ["one", "one", "two", "two", "three"]);
});

test("comment_that_was_never_sent_is_reported_so", async () => {
  const { client, clock, last } = connected();
  last().end(1006);
  const sent = client.send("hi");
  for (let n = 0; n < 60; n += 1) { clock.pass(1_000); last().end(1006); }
  await assert.rejects(sent, { code: "not_sent", temporary: true });
});

test("silence_causes_a_ping_and_then_a_reconnect", () => {
  const { clock, last, heard, opened } = connected();
  clock.pass(19_999);
  last().say({ heartbeat: { last: 0, at: 1 } });
  clock.pass(19_999);
  assert.deepEqual(last().sent, [], "a word in time is enough");
  clock.pass(1);
  assert.deepEqual(last().sent, [{ ping: {} }]);
  last().say({ pong: { at: 2 } });
  clock.pass(19_999);
  assert.equal(opened.length, 1, "an answer keeps the connection");
  clock.pass(sdk.PROBE_MS + 1);
  assert.equal(heard.state.at(-1).state, "disconnected");
  assert.equal(opened[0].closedWith, 4003);
  clock.pass(500);
  assert.equal(opened.length, 2);
});

test("changed_network_causes_a_ping_and_is_shown", () => {
  const { client, clock, last, heard, opened } = connected();
  clock.pass(10_000);
  client.networkChanged();
  assert.deepEqual(last().sent, [{ ping: {} }]);
  assert.deepEqual(heard.state.at(-1), { state: "connected", unsure: true });
  client.networkChanged();
  client.probe();
  assert.equal(last().sent.length, 1, "asked once");
  last().say({ pong: { at: 5 } });
  assert.deepEqual(heard.state.at(-1), { state: "connected" });
  // The same again on a network that drops everything.
  const sent = client.send("hi");
  client.networkChanged();
  clock.pass(sdk.PROBE_MS);
  assert.equal(heard.state.at(-1).state, "disconnected");
  clock.pass(500);
  assert.equal(opened.length, 2);
  last().say(welcome());
  assert.equal(last().sent[0].comment.text, "hi");
  answer(last);
  return sent;
});

test("recovered_network_ends_every_wait", () => {
  const { client, clock, last, opened } = connected({}, {}, { random: 0.9 });
  for (let n = 0; n < 8; n += 1) { last().end(1006); clock.pass(n < 7 ? 21_000 : 0); }
  const before = opened.length;
  client.networkChanged();
  assert.equal(opened.length, before + 1, "not after the back-off");
  clock.pass(500);
  client.networkChanged();
  assert.equal(opened.length, before + 2, "an attempt on the old network is abandoned");
  client.networkChanged();
  assert.equal(opened.length, before + 2, "a new attempt is kept");
  clock.pass(sdk.PROBE_MS + 500 + 500);
  assert.equal(opened.length, before + 3, "unless nothing arrives");
  last().say(welcome());
  last().end(4503);
  client.networkChanged();
  clock.pass(3_600_000);
  assert.equal(opened.length, before + 3, "no reconnect after disconnect");
});

test("comment_on_a_dead_connection_is_sent_again", async () => {
  const { client, clock, last, opened } = connected();
  clock.pass(5_000);
  const sent = client.send("hi");
  clock.pass(sdk.DOUBT_MS + sdk.PROBE_MS + 500);
  assert.equal(opened.length, 2);
  assert.deepEqual(opened[0].sent.map((message) => Object.keys(message)[0]), ["comment", "ping"]);
  last().say(welcome());
  assert.deepEqual(last().sent, [opened[0].sent[0]]);
  answer(last);
  assert.deepEqual(await sent, { offset: 1, outcome: "shown" });
});

test("later_comment_on_a_dead_connection_is_noticed_too", () => {
  const { client, clock, last, opened } = connected();
  client.send("answered");
  clock.pass(100);
  answer(last);
  client.send("swallowed");
  clock.pass(2 * sdk.DOUBT_MS + sdk.PROBE_MS + 500);
  assert.equal(opened.length, 2);
});

test("slow_answer_of_an_active_server_is_not_a_dead_connection", () => {
  const { client, clock, last, opened } = connected();
  client.send("hi");
  for (let n = 0; n < 20; n += 1) { clock.pass(1_000); last().say(frame(0, 0)); }
  assert.deepEqual(last().sent.map((message) => Object.keys(message)[0]), ["comment"]);
  assert.equal(opened.length, 1);
});

test("late_welcome_causes_a_retry", () => {
  const { client, clock, opened } = setUp();
  client.connect();
  clock.pass(sdk.CONNECT_TIMEOUT_MS + 500);
  assert.equal(opened.length, 2);
});

const refusal = (code, status, message = code, headers = {}) => (
  { status, headers, body: JSON.stringify({ error: { code, message } }) }
);
/** Waits until the answer to an inquiry has arrived. */
const settled = () => new Promise((resolve) => { setImmediate(resolve); });

test("failed_upgrade_causes_an_inquiry_and_reports_the_reason", async () => {
  const { asked, client, clock, last, heard, opened } = setUp({ why: refusal("forbidden_origin", 403) });
  client.connect();
  last().end(1006);
  assert.equal(heard.state.at(-1).retryInMs, 500, "the reason causes no wait");
  await settled();
  assert.equal(asked[0], "http://h.test/v1/rooms/demo/ws?check=1");
  assert.deepEqual(heard.state.at(-1), {
    state: "disconnected", code: 1006, reason: "", terminal: false, retryInMs: 60_000,
    refusal: { code: "forbidden_origin", status: 403, message: "forbidden_origin", afterMs: undefined },
  }, "only a person can take it away");
  clock.pass(59_999);
  assert.equal(opened.length, 1);
  clock.pass(1);
  last().say(welcome());
  assert.equal(client.state, "connected");
  last().end(1006);
  await settled();
  assert.equal(heard.state.at(-1).refusal, undefined, "it is forgotten");
  assert.equal(asked.length, 1, "a connection that was open needs no reason");
});

test("full_server_is_asked_rarely_and_its_delay_is_kept", async () => {
  const { asked, client, clock, last, heard } = setUp({ why: refusal("overloaded", 503, "full", { "retry-after": "7" }) });
  client.connect();
  for (let n = 0; n < 16; n += 1) {
    last().end(1006);
    await settled();
    assert.ok(heard.state.at(-1).retryInMs >= 7_000);
    clock.pass(heard.state.at(-1).retryInMs);
  }
  assert.equal(asked.length, 5, "after 1, 2, 4, 8 and 16");
});

test("permanent_refusal_is_not_retried", async () => {
  const { client, clock, last, heard, opened } = setUp({ why: refusal("bad_room", 400, "no room") });
  client.connect();
  const told = assert.rejects(client.send("hi"), { code: "not_sent" });
  last().end(1006);
  await settled();
  assert.deepEqual(heard.state.at(-1).refusal.code, "bad_room");
  assert.ok(heard.state.at(-1).terminal);
  await told;
  clock.pass(3_600_000);
  assert.equal(opened.length, 1);
});

test("blocked_websockets_are_reported_after_several_failures", async () => {
  const { client, clock, last, heard } = setUp({ why: { status: 200, body: "{\"ok\":true}" } });
  client.connect();
  const codes = [];
  for (let n = 0; n < 4; n += 1) {
    last().end(1006);
    await settled();
    codes.push(heard.state.at(-1).refusal?.code);
    clock.pass(heard.state.at(-1).retryInMs);
  }
  assert.deepEqual(codes, [undefined, undefined, undefined, "blocked"]);
});

test("answers_from_elsewhere_are_attributed_to_a_proxy", async () => {
  for (const [why, code] of [
    [{ status: 502, body: "<html>Bad Gateway</html>" }, "proxy"], [{ status: 404, body: "" }, "proxy"],
    [{ status: 200, body: "<!doctype html>" }, "proxy"], [{ status: 200, body: "{\"error\":7}" }, "proxy"], [{ status: 500, body: "null" }, "proxy"],
    [null, undefined],
  ]) {
    const { client, last, heard } = setUp({ why });
    client.connect();
    last().end(1006);
    await settled();
    assert.equal(heard.state.at(-1).refusal?.code, code, JSON.stringify(why));
    assert.equal(heard.state.at(-1).terminal, false);
  }
});

test("invalid_websocket_address_is_reported_and_not_retried", () => {
  const { clock, client, heard } = setUp();
  const changes = [];
  const broken = new sdk.VolleyClient("wss://h.test/", {
    WebSocket: class { constructor() { throw new Error("an insecure WebSocket may not be initiated from a page over TLS"); } },
    setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout,
  }).on("state", (change) => changes.push(change));
  broken.connect();
  assert.ok(changes.at(-1).terminal && /insecure/.test(changes.at(-1).reason));
  assert.equal(clock.pending, 0);
  assert.deepEqual([client.state, heard.state], ["disconnected", []]);
});
