// The client's state of a show besides its comments, and the parts of the page that need no DOM: the ledger, the
// viewer's own comments, product cards.

import assert from "node:assert/strict";
import { test } from "node:test";
import { counted } from "../../../web/assets/gifts.js";
import { Pace } from "../../../web/assets/ledger.js";
import { Own } from "../../../web/assets/own.js";
import { result } from "../../../web/assets/poll.js";
import { productOf, safeAddress } from "../../../web/assets/product.js";
import { VolleyClient } from "../../../web/assets/volley-client.js";
import { Clock, fakeSockets, frame, welcome, YOU } from "./fakes.mjs";

const NAMES = ["events", "raises", "board", "ledger", "rendition", "position", "gap", "error"];

/** A connected client; its events are in `heard`. */
function connected(more, snapshot, options = {}) {
  const clock = new Clock();
  const { FakeSocket, opened } = fakeSockets();
  const client = new VolleyClient("ws://h.test/v1/rooms/demo/ws", {
    WebSocket: FakeSocket, random: () => 0, now: () => clock.now, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, ...options,
  });
  const heard = Object.fromEntries(NAMES.map((name) => [name, []]));
  for (const name of NAMES) client.on(name, (detail) => heard[name].push(detail));
  client.connect();
  const last = () => opened.at(-1);
  last().say(welcome(more, snapshot));
  const reconnect = (again, fresh) => {
    last().end(1006);
    clock.pass(500);
    last().say(welcome(again, fresh));
  };
  return { client, clock, heard, opened, last, reconnect };
}

const with_ = (prev, last, events, more = {}) => frame(prev, last, [], { events, ...more });
const comment = (offset, times) => ({ offset, comment: { user: YOU, text: "a", ...(times ? { times } : {}) } });
const POLL = { id: "p1", question: "?", options: ["A", "B"] };

test("raises_are_reported_separately_and_make_no_gap", () => {
  const { heard, last, client } = connected({ last: 10 });
  const raise = { offset: 3, by: 16, times: 230 };
  last().say(with_(10, 30, [comment(12), { raise }]));
  assert.deepEqual(heard.raises, [[raise]]);
  assert.deepEqual(heard.events[0].events.map(({ offset }) => offset), [12]);
  assert.deepEqual(heard.gap, []);
  assert.equal(client.position, 30);
});

test("ledger_accounts_for_every_comment_once", () => {
  const { heard, last } = connected();
  const events = [comment(1, 5), comment(2), { offset: 3, gift: { user: YOU, name: "g", count: 1, value: 1 } }, { raise: { offset: 1, by: 10, times: 15 } }];
  last().say(with_(0, 60, events, { merged: { normal: 14 }, shed: { normal: 30, low: 4, enter: 9 } }));
  assert.deepEqual(heard.ledger, [{
    shown: 2, total: 5 + 1 + 10 + 34, merged: { normal: 14 }, shed: { normal: 30, low: 4, enter: 9 }, origin: "live",
  }]);
  // A repeated stretch is not counted again.
  last().say(with_(0, 60, events));
  assert.equal(heard.ledger.length, 1);
  assert.equal(heard.raises.length, 1);
});

test("board_follows_the_frames", () => {
  const { client, heard, last } = connected();
  assert.ok(heard.board[0].fresh);
  last().say(with_(0, 6, [
    { offset: 1, pin: { text: "one" } }, { offset: 2, pin: { text: "two" } }, { offset: 3, poll: POLL },
    { offset: 4, custom: { type: "a.b", data: 1, sticky: true } }, { offset: 5, custom: { type: "a.b", data: 2, sticky: true } },
    { offset: 6, custom: { type: "a.c", data: 3 } },
  ], { tallies: [{ id: "p1", votes: [2, 1], open: true }, { id: "other", votes: [9], open: false }] }));
  assert.deepEqual(heard.board[1], { changed: new Set(["pinned", "poll", "sticky"]), fresh: false });
  assert.deepEqual(client.board.pinned, { text: "two" });
  assert.deepEqual(client.board.tally, { id: "p1", votes: [2, 1], open: true });
  assert.deepEqual([...client.board.sticky.values()].map(({ data }) => data), [2]);
  last().say(with_(6, 8, [{ offset: 7, unpin: {} }, { offset: 8, poll_close: { id: "p1" } }]));
  assert.equal(client.board.pinned, null);
  assert.equal(client.board.tally.open, false);
  assert.deepEqual(client.board.tally.votes, [2, 1], "the result stays");
});

test("new_poll_begins_without_votes", () => {
  const { client, last } = connected({}, { poll: POLL, tally: { id: "p1", votes: [4, 4], open: true } });
  last().say(with_(0, 1, [{ offset: 1, poll: { id: "p2", question: "!", options: ["A", "B", "C"] } }], { tallies: [{ id: "p1", votes: [5, 4], open: false }] }));
  assert.deepEqual(client.board.tally, { id: "p2", votes: [0, 0, 0], open: true });
});

test("resume_keeps_the_board_and_a_fresh_welcome_replaces_it", () => {
  const { client, heard, reconnect, last } = connected({ last: 5 }, { pinned: { text: "old" }, poll: POLL, settings: { text_max: 9 } });
  reconnect({ recovered: true, last: 7 }, {});
  assert.deepEqual(client.board.pinned, { text: "old" });
  assert.equal(client.board.settings.text_max, 9);
  last().say(with_(5, 7, [{ offset: 6, pin: { text: "while away" } }]));
  assert.deepEqual(client.board.pinned, { text: "while away" });
  assert.equal(heard.board.filter(({ fresh }) => fresh).length, 1);
  reconnect({ recovered: false, reason: "too_old", last: 9 }, { pinned: { text: "new" } });
  assert.deepEqual(client.board.pinned, { text: "new" });
  assert.equal(client.board.poll, null);
  assert.deepEqual(client.board.settings, {});
  assert.ok(heard.board.at(-1).fresh);
});

test("known_events_do_not_change_the_board", () => {
  const { client, last } = connected();
  last().say(with_(0, 2, [{ offset: 1, pin: { text: "one" } }, { offset: 2, pin: { text: "two" } }]));
  last().say(with_(0, 1, [{ offset: 1, pin: { text: "one" } }]));
  assert.deepEqual(client.board.pinned, { text: "two" });
});

test("settings_change_only_what_they_name", () => {
  const { client, last, heard } = connected({}, { settings: { budget: 60, tick_ms: 100, text_max: 512, classes: { guest: "low" } } });
  last().say(with_(0, 1, [{ offset: 1, settings: { budget: 0, tick_ms: 200, classes: { vip: "guaranteed" } } }]));
  assert.deepEqual(client.board.settings, { budget: null, tick_ms: 200, text_max: 512, classes: { guest: "low", vip: "guaranteed" } });
  last().say(with_(1, 2, [comment(2)]));
  assert.equal(heard.events.at(-1).tickMs, 200);
});

test("announcements_end_by_the_servers_clock", () => {
  const { client, last } = connected({}, { announcements: [{ text: "a", until: 500 }, { text: "b", until: 900 }] });
  last().say(with_(0, 1, [{ offset: 1, announcement: { text: "now only" } }, ...[1, 2].map((n) => ({ offset: 1 + n, announcement: { text: `c${n}`, until: 800 } }))], { at: 600 }));
  assert.deepEqual(client.board.announcements.map(({ text }) => text), ["b", "c1", "c2"]);
});

test("board_is_bounded", () => {
  const { client, last } = connected();
  const many = Array.from({ length: 50 }, (_, n) => n + 1);
  last().say(with_(0, 50, many.map((offset) => ({ offset, custom: { type: `t.${offset}`, data: 0, sticky: true } }))));
  last().say(with_(50, 100, many.map((n) => ({ offset: 50 + n, announcement: { text: String(n), until: 1e15 } }))));
  assert.equal(client.board.sticky.size, 16);
  assert.equal(client.board.announcements.length, 8);
  assert.equal(client.board.announcements.at(-1).text, "50");
});

test("vote_is_acknowledged_by_its_id_and_sent_again_after_a_reconnect", async () => {
  const { client, last, reconnect } = connected();
  const sent = client.vote("p1", 1);
  const [{ vote }] = last().sent;
  assert.deepEqual({ ...vote, id: "" }, { id: "", poll: "p1", option: 1 });
  reconnect();
  assert.deepEqual(last().sent, [{ vote }]);
  last().say({ ack: { id: vote.id, offset: 4, outcome: "shown" } });
  assert.deepEqual(await sent, { offset: 4, outcome: "shown" });
  const refused = client.vote("p1", 9);
  last().say({ error: { id: last().sent[1].vote.id, code: "no_such_option", message: "no" } });
  await assert.rejects(refused, { code: "no_such_option" });
});

test("ack_names_the_comment_it_was_merged_into", async () => {
  const { client, last } = connected();
  const sent = client.send("hi");
  last().say({ ack: { id: last().sent[0].comment.id, offset: 9, outcome: "merged", into: 3 } });
  assert.deepEqual(await sent, { offset: 9, outcome: "merged", into: 3 });
});

test("rendition_is_requested_now_and_on_every_connection", () => {
  const { client, last, reconnect, heard, opened } = connected();
  assert.equal(opened[0].url.searchParams.get("rendition"), null);
  client.ask("lite");
  assert.deepEqual(last().sent, [{ rendition: "lite" }]);
  assert.equal(client.rendition, "viewer", "until the server says so");
  last().say({ rendition: { now: "lite", reason: "asked" } });
  assert.equal(client.rendition, "lite");
  last().say({ rendition: { now: "viewer", reason: "kept_up" } });
  reconnect({ rendition: "lite" });
  assert.equal(last().url.searchParams.get("rendition"), "lite");
  assert.equal(client.rendition, "lite");
  assert.deepEqual(heard.rendition.map(({ reason }) => reason), ["asked", "kept_up"]);
  const other = connected({}, {}, { rendition: "full" });
  assert.equal(other.opened[0].url.searchParams.get("rendition"), "full");
});

test("own_comments_are_shown_once_in_any_order_of_messages", () => {
  const shown = [];
  const own = new Own((unseen) => shown.push(unseen));
  const ack = (offset, outcome, into) => own.acknowledged(`text ${offset}`, {}, { offset, outcome, into });
  own.told({ offset: 1, times: 5, own: false });
  ack(2, "merged", 1);
  ack(3, "shown");
  ack(4, "shed");
  ack(5, "shown"); // Not in this rendition.
  assert.deepEqual(shown, [], "not before the frame could have brought them");
  own.told({ offset: 3, own: true });
  own.raised({ offset: 1, times: 6 });
  own.reached(5);
  assert.deepEqual(shown.map(({ offset, mark, into, times }) => [offset, mark, into, times]), [[2, "merged", 1, 6], [4, "shed", undefined, undefined], [5, "unseen", undefined, undefined]]);
  // The frame arrived first.
  own.told({ offset: 6, own: true });
  own.reached(8);
  ack(6, "shown");
  ack(7, "shed");
  ack(7, "shed"); // A retry has the same answer.
  own.reached(9);
  assert.deepEqual(shown.slice(3).map(({ offset }) => offset), [7]);
});

test("own_comments_of_another_log_are_not_mixed_up", () => {
  const shown = [];
  const own = new Own(({ offset }) => shown.push(offset));
  own.reached(100);
  own.acknowledged("late", {}, { offset: 120, outcome: "shed" });
  own.restart();
  assert.deepEqual(shown, [120], "said before the end of the old one");
  own.acknowledged("new", {}, { offset: 3, outcome: "shed" });
  assert.deepEqual(shown, [120]);
  own.reached(3);
  assert.deepEqual(shown, [120, 3]);
});

test("pace_is_over_the_last_seconds_only", () => {
  const pace = new Pace();
  assert.deepEqual(pace.rates(0), { shown: 0, total: 0 });
  for (let at = 0; at < 10_000; at += 100) pace.add(at, 6, 194);
  assert.deepEqual(pace.rates(9_900), { shown: 60, total: 1_940 });
  assert.deepEqual(pace.rates(20_000), { shown: 0, total: 0 });
});

test("only_product_cards_are_shown_and_only_safe_addresses_linked", () => {
  const base = "http://shop.test:8080/rooms/demo";
  const of = (data, type = "shop.product") => productOf({ type, data }, base);
  assert.deepEqual(of({ title: " Cup ", price: 12, image: "/cup.png", url: "https://a.test/x?y" }), {
    title: "Cup", price: "12", image: "http://shop.test:8080/cup.png", url: "https://a.test/x?y",
  });
  for (const nothing of [null, 7, "x", [], {}, { title: "" }, { title: {} }, { price: 1 }]) assert.equal(of(nothing), null, JSON.stringify(nothing));
  assert.equal(of({ title: "x" }, "shop.coupon"), null);
  assert.equal(of({ title: "长".repeat(500) }).title.length, 120);
  for (const bad of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "http://other.test/", "http://shop.test:8081/", "blob:http://shop.test:8080/1", "//other.test/x", "ftp://a.test/", "https://", 7, null, {}]) {
    assert.equal(safeAddress(bad, base), undefined, String(bad));
  }
  assert.equal(safeAddress("//other.test/x", "https://shop.test/"), "https://other.test/x", "TLS by the page's own");
});

test("gifts_of_one_combo_share_a_row", () => {
  const gift = { user: YOU, name: "Rose", count: 3, value: 1 };
  assert.deepEqual(counted(5, gift), { key: "gift 5", who: "guest", gift: "Rose", total: 3 });
  assert.equal(counted(5, { ...gift, combo: "k", total: 9 }).key, counted(6, { ...gift, combo: "k", total: 12 }).key);
  assert.equal(counted(6, { ...gift, combo: "k", total: 12 }).total, 12);
});

test("result_of_a_poll_is_one_line", () => {
  assert.equal(result(POLL, { id: "p1", votes: [3, 1], open: false }), "? A 75% · B 25%");
  assert.equal(result(POLL, { id: "p1", votes: [0, 0], open: false }), "? A 0% · B 0%");
});
