// People's text without a DOM: cutting between characters, and isolating names from the sentence.

import assert from "node:assert/strict";
import { test } from "node:test";
import { graphemes, isolated, shorten } from "../../../web/assets/text.js";
import { result } from "../../../web/assets/poll.js";
import { productOf } from "../../../web/assets/product.js";

const UNITS = ["🇩🇪", "👩‍👩‍👧‍👦", "👍🏽", "é̂", "नि", "각", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "好", "x", "ש̈", "﷽"];

test("texts_are_cut_between_what_readers_see_as_characters", () => {
  let state = 5;
  const random = (n) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor((state / 2 ** 32) * n); };
  for (let round = 0; round < 500; round += 1) {
    const units = Array.from({ length: 1 + random(60) }, () => UNITS[random(UNITS.length)]);
    // Two adjacent flags stay two characters, so sequences are recognised.
    const text = units.join(" ");
    const max = 1 + random(80);
    const cut = shorten(text, max);
    const parts = graphemes(cut);
    assert.ok(parts.length <= max, `${parts.length} of ${max}`);
    if (cut === text) continue;
    assert.equal(parts.at(-1), "…");
    assert.deepEqual(parts.slice(0, -1), units.flatMap((unit) => [" ", unit]).slice(1).slice(0, max - 1), text);
  }
});

test("a_browser_without_a_segmenter_cuts_between_code_points", async () => {
  const { Segmenter } = Intl;
  delete Intl.Segmenter;
  try {
    const old = await import("../../../web/assets/text.js?old");
    assert.deepEqual(old.graphemes("a😀b"), ["a", "😀", "b"]);
    assert.equal(old.shorten("😀😀😀", 2), "😀…");
  } finally {
    Intl.Segmenter = Segmenter;
  }
});

test("only_names_of_the_other_direction_are_isolated", () => {
  assert.equal(isolated("דנה (1)"), "\u2068דנה (1)\u2069");
  assert.equal(isolated("مرحبا"), "\u2068مرحبا\u2069");
  for (const same of ["Ann", "小明", "50%", "", "🇩🇪", "नमस्ते"]) assert.equal(isolated(same), same);
  assert.equal(result({ question: "מה?", options: ["א", "B"] }, { votes: [1, 3] }), "\u2068מה?\u2069 \u2068א\u2069 25% · B 75%");
});

test("a_product_s_words_are_cut_between_characters", () => {
  const { title } = productOf({ type: "shop.product", data: { title: "🇩🇪".repeat(200) } }, "https://shop.test/");
  assert.equal(title, `${"🇩🇪".repeat(119)}…`);
});
