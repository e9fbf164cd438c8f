// Checks of the pages' files: size, no foreign requests, no inline code, the same texts in both languages.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { pick, WORDS } from "../../../web/assets/i18n.js";
import { hueOf, isRoom, roomOf, roomUrl, socketUrl } from "../../../web/assets/rooms.js";

const WEB = new URL("../../../web/", import.meta.url);
const read = (path) => readFileSync(new URL(path, WEB), "utf8");
const assets = readdirSync(new URL("assets/", WEB)).map((name) => `assets/${name}`);
const pages = ["index.html", "watch.html"];
const zippedBytes = (paths) => gzipSync(paths.map(read).join("\n"), { level: 9 }).length;

test("renderer_is_under_10_kb_gzipped", () => {
  const bytes = zippedBytes(["assets/danmaku.js", "assets/lanes.js", "assets/bitmaps.js", "assets/text.js"]);
  assert.ok(bytes < 10_000, `${bytes} bytes`);
});

test("client_is_under_14_kb_gzipped", () => {
  const bytes = zippedBytes(assets.filter((name) => name.startsWith("assets/volley-")));
  assert.ok(bytes < 14_000, `${bytes} bytes`);
});

test("pages_make_no_foreign_requests_and_have_no_inline_code", () => {
  for (const page of pages) {
    const html = read(page);
    assert.doesNotMatch(html, /(src|href)="(?!(\.\.\/)?(assets|rooms)\/|\.\.\/")/, `${page}: an address elsewhere, or one from the root`);
    assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+="/, `${page}: inline style or handler`);
    assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)/, `${page}: inline script`);
    for (const [, name] of html.matchAll(/(?:src|href)="(?:\.\.\/)?(assets\/[^"]+)"/g)) assert.ok(assets.includes(name), `${page}: ${name}`);
  }
  for (const asset of assets) {
    const text = read(asset).replaceAll("http://www.w3.org/2000/svg", "");
    assert.doesNotMatch(text.replace(/^\s*(\/\/|\*|\/\*).*$/gm, ""), /https?:\/\/|["'`(]\/(assets|rooms|v1)\b/, `${asset}: an address elsewhere, or one from the root`);
  }
});

test("scripts_never_turn_text_into_markup", () => {
  for (const asset of assets.filter((name) => name.endsWith(".js"))) {
    assert.doesNotMatch(
      read(asset), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|createContextualFragment|DOMParser|srcdoc/, asset,
    );
  }
});

test("both_languages_have_the_same_keys_and_parameters", () => {
  assert.deepEqual(Object.keys(WORDS.zh).sort(), Object.keys(WORDS.en).sort());
  const blanks = (word) => (word.match(/\{\w+\}/g) ?? []).sort();
  for (const key of Object.keys(WORDS.en)) assert.deepEqual(blanks(WORDS.zh[key]), blanks(WORDS.en[key]), key);
});

test("every_text_key_of_a_page_exists", () => {
  for (const page of pages) {
    for (const [, key] of read(page).matchAll(/data-t(?:-label|-placeholder)?="([^"]+)"/g)) assert.ok(key in WORDS.en, `${page}: ${key}`);
  }
});

test("language_follows_the_parameter_and_then_the_browser", () => {
  assert.equal(pick(null, ["zh-TW", "en"]), "zh");
  assert.equal(pick(null, ["de", "en-GB", "zh"]), "en");
  assert.equal(pick("zh", ["en"]), "zh");
  assert.equal(pick("EN-us", ["zh"]), "en");
  assert.equal(pick("xx", ["zh"]), "zh");
  assert.equal(pick(null, []), "en");
});

test("room_names_are_checked_as_the_server_does", () => {
  for (const good of ["demo", "A-z_09", "x".repeat(64)]) assert.ok(isRoom(good), good);
  for (const bad of ["", "x".repeat(65), "a b", "a/b", "猫", "a.b", "<b>", "demo\n"]) assert.ok(!isRoom(bad), JSON.stringify(bad));
  assert.equal(roomOf("/rooms/demo/"), "demo");
  assert.equal(roomOf("/rooms/%3Cb%3E"), "<b>");
  assert.equal(roomOf("/rooms/%zz"), "%zz");
  for (const path of ["/rooms/demo", "/chat/rooms/demo", "/a/rooms/b/rooms/demo/"]) assert.equal(roomOf(path), "demo");
  assert.equal(socketUrl("demo", "https://h.test:1/"), "wss://h.test:1/v1/rooms/demo/ws");
  assert.equal(socketUrl("demo", "http://h.test/chat/"), "ws://h.test/chat/v1/rooms/demo/ws");
  assert.equal(roomUrl("demo", "http://h.test/chat/"), "http://h.test/chat/rooms/demo");
  assert.ok(hueOf("demo") >= 0 && hueOf("demo") < 360);
});
