//! What people write, and what becomes of it.

use super::clusters::{CLUSTER_BYTES_MAX, CLUSTER_CHARS_MAX};
use super::*;
use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation as _;

const LIMITS: TextLimits = TextLimits { chars_max: 512, bytes_max: 2_048 };

fn ok(raw: &str) -> String {
    normalise(raw, &LIMITS).unwrap_or_else(|e| panic!("{raw:?} ({}): {e}", raw.escape_unicode())).into_owned()
}

#[track_caller]
fn becomes(raw: &str, wanted: &str) {
    let got = ok(raw);
    assert_eq!(got, wanted, "{} → {}, wanted {}", raw.escape_unicode(), got.escape_unicode(), wanted.escape_unicode());
    assert_eq!(ok(&got), got, "not idempotent: {}", raw.escape_unicode());
}

#[track_caller]
fn stays(text: &str) {
    becomes(text, text);
}

#[track_caller]
fn is_empty(raw: &str) {
    assert_eq!(normalise(raw, &LIMITS), Err(TextError::Empty), "{}", raw.escape_unicode());
}

#[test]
fn plain_text_is_borrowed_unchanged() {
    for text in ["hello, world!", "还有吗", "ありがとう！ワロタ", "안녕하세요 여러분", "价格：￥99", "6", "666…"]
    {
        assert!(matches!(normalise(text, &LIMITS), Ok(Cow::Borrowed(t)) if t == text), "{text}");
    }
}

#[test]
fn markup_is_data_and_stays_verbatim() {
    for text in [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "javascript:alert(1)",
        "</script>&lt;\"'`",
        "{{7*7}} ${x} %s",
    ] {
        stays(text);
    }
}

#[test]
fn controls_vanish_and_line_ends_are_spaces() {
    becomes("a\0b\u{1}c\u{7f}d\u{80}e\u{9f}f", "abcdef");
    becomes("\u{1b}[31mred\u{1b}[0m", "[31mred[0m");
    becomes("one\r\ntwo\nthree\tfour\u{b}five\u{c}six\u{85}seven", "one two three four five six seven");
    becomes("a\u{2028}b\u{2029}c", "a b c");
}

#[test]
fn white_space_collapses_and_is_trimmed() {
    becomes(&format!("a{}b", " \n".repeat(250)), "a b");
    becomes("  \u{3000}你好\u{3000}\u{a0}世界\u{2003} ", "你好 世界");
    becomes("a \u{200b} \u{feff} b", "a b");
    becomes("a \u{200d} b", "a b");
    becomes("⠓\u{2800}\u{2800}⠑", "⠓ ⠑");
    is_empty("");
    is_empty(&" ".repeat(500));
    is_empty("\u{3000}\n\u{2800}\u{1680}");
}

#[test]
fn bidi_controls_are_stripped() {
    let controls = ('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}');
    for c in controls.chain(['\u{200E}', '\u{200F}', '\u{061C}']) {
        becomes(&format!("a{c}b"), "ab");
    }
    becomes("\u{202E}gpj.exe", "gpj.exe");
}

#[test]
fn characters_without_ink_are_stripped_and_alone_are_empty() {
    let singles = "\u{200B}\u{2060}\u{FEFF}\u{00AD}\u{034F}\u{115F}\u{1160}\u{3164}\u{FFA0}\u{17B4}\u{17B5}\u{180E}\
                   \u{200C}\u{200D}\u{2061}\u{2064}\u{2065}\u{206A}\u{206F}\u{FE00}\u{FE0E}\u{FE0F}\u{E0100}\u{E0001}\
                   \u{E0041}\u{E007F}\u{FFF9}\u{FFFA}\u{FFFB}\u{FFFC}\u{1D159}\u{1D173}\u{1BCA0}\u{180B}\u{13430}";
    for c in singles.chars() {
        is_empty(&c.to_string());
        is_empty(&format!(" {c}{c} {c}"));
        becomes(&format!("a{c}b"), "ab");
    }
    is_empty(singles);
}

#[test]
fn noncharacters_and_private_use_are_stripped() {
    for c in [
        '\u{FDD0}',
        '\u{FDEF}',
        '\u{FFFE}',
        '\u{FFFF}',
        '\u{1FFFE}',
        '\u{10FFFF}',
        '\u{E000}',
        '\u{F8FF}',
        '\u{100000}',
    ] {
        becomes(&format!("a{c}b"), "ab");
    }
    stays("\u{FFFD}");
}

#[test]
fn emoji_sequences_stay_whole() {
    for text in [
        "👨‍👩‍👧‍👦",
        "👩🏽‍💻",
        "🏳️‍🌈",
        "🏴‍☠️",
        "❤️‍🔥",
        "🧑🏿‍🤝‍🧑🏻",
        "🚶🏽‍♀️‍➡️",
        "👍🏿",
        "🇨🇳🇺🇳",
        "1️⃣#️⃣*️⃣",
        "1⃣",
        "☺️☺︎",
        "©️",
        "🐻‍❄️",
        "👁️‍🗨️",
        "nice 👨‍👩‍👧 wow 👍🏻!",
    ] {
        stays(text);
    }
}

#[test]
fn joiners_outside_emoji_are_stripped() {
    becomes("a\u{200D}b", "ab");
    becomes("你\u{200D}好", "你好");
    becomes("👨\u{200D}", "👨");
    becomes("\u{200D}👨", "👨");
    becomes("👨\u{200D}\u{200D}👩", "👨\u{200D}👩");
    becomes("👨\u{200D}a", "👨a");
    becomes("1\u{200D}2", "12");
    becomes("👨\u{200D}\u{200B}👩", "👨\u{200D}👩");
    becomes("🇨\u{200D}🇳", "🇨🇳");
}

#[test]
fn variation_selectors_stay_only_where_they_mean_something() {
    becomes("a\u{FE0F}b\u{FE0E}", "ab");
    becomes("1\u{FE0F}2\u{FE0F}", "12");
    becomes("❤\u{FE0F}\u{FE0F}\u{FE0E}", "❤\u{FE0F}");
    becomes("文\u{FE0F}", "文");
    stays("葛\u{E0100}城"); // a name as its bearer writes it
    becomes("a\u{E0100}", "a");
    stays("\u{2229}\u{FE00}");
    stays("\u{1820}\u{180B}");
    becomes("e\u{FE0F}\u{301}", "é");
}

#[test]
fn tag_flags_stay_and_other_tags_vanish() {
    let tagged = |name: &str| -> String {
        let tags = name.chars().map(|c| char::from_u32(0xE0000 + u32::from(c)).unwrap());
        std::iter::once('\u{1F3F4}').chain(tags).chain(['\u{E007F}']).collect()
    };
    for name in ["gbeng", "gbsct", "gbwls"] {
        stays(&tagged(name));
        stays(&format!("go {} go", tagged(name)));
    }
    becomes(&tagged("secret"), "\u{1F3F4}");
    becomes(&tagged("usca"), "\u{1F3F4}");
    becomes(&tagged("gbeng").replace('\u{E007F}', ""), "\u{1F3F4}");
    becomes(&tagged("gbeng")['\u{1F3F4}'.len_utf8()..].replace('\u{E0067}', "x"), "xx");
}

#[test]
fn persian_and_arabic_keep_their_joins_and_marks() {
    stays("می\u{200C}خواهم");
    stays("خانه\u{200C}ها");
    becomes("می\u{200C}\u{200C}خواهم", "می\u{200C}خواهم");
    becomes("می\u{200C} خواهم\u{200C}", "می خواهم");
    becomes("a\u{200C}b", "ab");
    stays("بِسْمِ ٱللَّهِ ٱلرَّحْمَٰنِ ٱلرَّحِيمِ");
    stays("اردو میں");
}

#[test]
fn indic_conjuncts_stay_as_written() {
    for text in [
        "क्षत्रिय नमस्ते",
        "क्\u{200D}ष",  // half form
        "क्\u{200C}ष",  // visible virama
        "র\u{200D}্যাব", // ya-phalaa
        "কৃষ্ণ",
        "க்ஷ ஶ்ரீ",
        "க்\u{200C}ஷ",
        "അവന്\u{200D}", // chillu at the end of a word
        "ശ്രീ മലയാളം",
        "ක්\u{200D}ෂ ශ්\u{200D}රී", // Sinhala
        "ಕನ್ನಡ ರ್\u{200C}ಕ",
        "ગુજરાતી",
        "తెలుగు",
        "ਪੰਜਾਬੀ",
    ] {
        stays(text);
    }
    becomes("क\u{200D}ष", "कष");
    becomes("क्\u{200D}\u{200D}\u{200D}ष", "क्\u{200D}ष");
    becomes("क\u{200C}ष", "कष");
}

#[test]
fn vowel_marks_of_other_scripts_stay() {
    for text in [
        "שָׁלוֹם",
        "בְּרֵאשִׁ֖ית בָּרָ֣א",
        "ก็ได้ น้ำ ที่นี่ ปู่",
        "ສະບາຍດີ",
        "ខ្ញុំស្រឡាញ់អ្នក",
        "မြန်မာဘာသာ ကျွန်ုပ်",
        "བོད་ཡིག ཧཱུྃ ཀྵ",
        "Tiếng Việt ừ ế ộ",
        "ё й Ǻ",
        "í̱",
    ] {
        let composed: String = text.nfc().collect();
        becomes(text, &composed);
    }
    // A Sanskrit syllable of nine subjoined letters and signs, as Kalachakra texts write it.
    stays("ཧྐྵྨླྺྼྻྂ");
}

#[test]
fn composition_is_canonical() {
    becomes("Tie\u{302}\u{301}ng Vie\u{323}\u{302}t", "Tiếng Việt");
    becomes("\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "한글");
    becomes("か\u{3099}は\u{309A}", "がぱ");
    stays("あ\u{3099}"); // no composed form, and people write it
    becomes("A\u{30A}\u{212B}", "ÅÅ");
    becomes("e\u{200B}\u{301}", "é");
}

#[test]
fn zalgo_is_cut_to_a_few_marks() {
    let zalgo = format!("Z{}a{}", "\u{335}\u{321}\u{34e}\u{30d}\u{311}".repeat(20), "\u{489}".repeat(50));
    let got = ok(&zalgo);
    assert_eq!(got.chars().filter(|c| classes::is_mark(*c)).count(), 8, "{}", got.escape_unicode());
    assert_eq!(ok(&got), got);
    becomes(&format!("ก{}", "\u{e47}".repeat(100)), &format!("ก{}", "\u{e47}".repeat(4)));
    becomes(&format!("q{}", "\u{20e3}".repeat(9)), &format!("q{}", "\u{20e3}".repeat(4)));
}

#[test]
fn marks_cannot_hide_behind_dropped_characters() {
    let spread = "a".to_owned() + &"\u{303}\u{200D}\u{FE0F}\u{200B}\u{E0041}".repeat(40);
    let got = ok(&spread);
    assert!(got.chars().count() <= 5, "{}", got.escape_unicode());
    assert_eq!(ok(&got), got);
}

#[test]
fn limits_count_characters_and_bytes_after_normalising() {
    let chars = |n| "a".repeat(n);
    assert!(normalise(&chars(512), &LIMITS).is_ok());
    let too_long = |chars, bytes| Err(TextError::TooLong { chars, bytes, limits: LIMITS });
    assert_eq!(normalise(&chars(513), &LIMITS), too_long(513, 513));
    assert!(normalise(&"字".repeat(512), &LIMITS).is_ok());
    assert!(normalise(&"😀".repeat(512), &LIMITS).is_ok(), "2,048 bytes");
    let narrow = TextLimits { bytes_max: 2_047, ..LIMITS };
    assert!(matches!(normalise(&"😀".repeat(512), &narrow), Err(TextError::TooLong { chars: 512, bytes: 2_048, .. })));
    // Junk that leaves little is fine, and 513 characters composed to 512 are 512.
    assert_eq!(ok(&format!("hi{}", "\u{200B}".repeat(1_360))), "hi");
    assert_eq!(ok(&format!("{}e\u{301}", chars(511))).chars().count(), 512);
    // Absurd before normalisation: refused unread.
    assert!(matches!(normalise(&" ".repeat(40_000), &LIMITS), Err(TextError::TooLong { bytes: 40_000, .. })));
    let message = normalise(&chars(513), &LIMITS).unwrap_err().to_string();
    assert!(message.contains("513") && message.contains("512") && message.contains("2048"), "{message}");
}

#[test]
fn a_hostile_text_needs_bounded_rounds() {
    // Each is built to uncover the next thing to drop only after the last was dropped.
    for unit in
        ["\u{200D}\u{FE0F}\u{200C}", "👨\u{200D}\u{FE0F}\u{301}", "र\u{200D}\u{94d}\u{94d}", "e\u{FE0F}\u{301}\u{200D}"]
    {
        let text = unit.repeat(4_096 / unit.len());
        let got = slow(&text);
        assert_eq!(slow(&got), got, "{unit:?}");
    }
}

#[test]
fn what_readers_see_as_one_character_is_bounded_in_every_script() {
    for text in [
        "👨🏻\u{200D}👩🏻\u{200D}👧🏻\u{200D}👦🏻",
        "👩🏻\u{200D}❤\u{FE0F}\u{200D}💋\u{200D}👨🏻",
        "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
        "🇩🇪🇫🇷🇨🇳🇯🇵🇰🇷🇧🇷🇮🇳🇮🇹🇪🇸🇬🇧🇨🇦🇲🇽", // Flags are a character each.
        "สวัสดีค่ะทุกคนวันนี้เป็นอย่างไรบ้างคะ",
        "बहुत अच्छा कार्यक्रम है, उत्कृष्ट",
        "བཀྲ་ཤིས་བདེ་ལེགས་ཧཱུྃ",
        "ﾊﾞﾝｻﾞｲﾊﾟﾋﾟﾌﾟﾍﾟﾎﾟｶﾞｷﾞｸﾞｹﾞｺﾞ",
    ] {
        stays(text);
    }
    // 256 pictures are 64 emoji of four.
    let four = "👨\u{200D}👨\u{200D}👨\u{200D}👨";
    becomes(&["👨"; 256].join("\u{200D}"), &four.repeat(64));
    becomes(&["❤"; 9].join("\u{200D}"), &format!("{}❤", "❤\u{200D}❤\u{200D}❤\u{200D}❤".repeat(2)));
    for (what, start, piece) in [
        ("skin tones", "👍", "🏽"),
        ("old Korean", "", "\u{1100}"),
        ("old Korean vowels", "", "\u{1161}\u{1161}"),
        ("signs before a digit", "", "\u{600}"),
        ("Thai vowels that are letters", "ก", "\u{e33}"),
        ("Lao vowels", "ກ", "\u{eb3}"),
        ("conjuncts", "", "क\u{94d}"),
        ("Sinhala with joiners", "", "ක\u{dca}\u{200D}"),
        ("voice marks of half width", "ｶ", "ﾞ"),
        ("Tibetan stacks", "ཧ", "\u{f90}\u{fb2}\u{f71}\u{f80}"),
        ("marks of several scripts", "a", "\u{301}\u{5b0}\u{64e}\u{93c}\u{f71}"),
    ] {
        let raw = start.to_owned() + &piece.repeat(500 / piece.chars().count());
        let got = ok(&raw);
        assert_eq!(ok(&got), got, "{what}");
        let largest = got.graphemes(true).map(|cluster| (cluster.chars().count(), cluster.len())).max().unwrap();
        assert!(largest.0 <= CLUSTER_CHARS_MAX && largest.1 <= CLUSTER_BYTES_MAX, "{what}: {largest:?}");
    }
}

#[test]
fn very_wide_characters_count_by_their_width() {
    let length_of = |text: &str| normalise(text, &LIMITS).map(|text| length(&text));
    assert_eq!(length_of(&"\u{FDFD}".repeat(32)), Ok(512));
    for (wide, fits) in [("\u{FDFD}", 32), ("\u{1242B}", 42), ("\u{12031}", 64), ("\u{A9C5}", 128), ("\u{2E3B}", 170)] {
        assert!(length_of(&wide.repeat(fits)).is_ok(), "{wide}");
        assert!(matches!(length_of(&wide.repeat(fits + 1)), Err(TextError::TooLong { chars: 513.., .. })), "{wide}");
    }
    for (text, max) in [("\u{FDFD}\u{FDFD}", 32), ("四个字长", 4), ("abc", 3)] {
        assert!(!is_longer(text, max) && is_longer(text, max - 1), "{text}");
    }
    for narrow in ["字", "é", "ж", "م", "क", "字\u{FE00}", "⸺"] {
        assert!(length(narrow) <= 2, "{narrow}");
    }
}

#[test]
fn the_page_counts_wide_characters_as_the_server_does() {
    let page = include_str!("../../../web/assets/text.js");
    let (_, table) = page.split_once("const WIDE = [\n").expect("the page has a table");
    let number = |text: &str| text.strip_prefix("0x").map_or(text.parse(), |hex| u32::from_str_radix(hex, 16)).unwrap();
    let row = |line: &str| {
        let row: Vec<u32> = line.trim().trim_matches(['[', ']', ',']).split(", ").map(number).collect();
        (row[0]..=row[1], row[2] as usize)
    };
    let table: Vec<_> = table.split("\n];").next().unwrap().lines().map(row).collect();
    for c in '\0'..=char::MAX {
        let told = table.iter().find(|(range, _)| range.contains(&u32::from(c))).map_or(1, |(_, weight)| *weight);
        assert_eq!(told, classes::weight(c), "{}", c.escape_unicode());
        assert!(told <= classes::WEIGHT_PER_BYTE_MAX * c.len_utf8(), "{}", c.escape_unicode());
    }
}

/// Characters with a rôle in the rules, so that random texts meet every branch.
fn tricky() -> impl Strategy<Value = char> {
    let special: Vec<char> = "aé1#* \n\u{3000}你。ｱがﾞ한\u{1100}\u{1161}\u{11a8}\u{200B}\u{200C}\u{200D}\u{FE00}\u{FE0E}\u{FE0F}\u{E0100}\
        \u{301}\u{302}\u{323}\u{338}\u{345}\u{20E3}\u{489}👨👩💻❤☠♂\u{1F3FB}\u{1F1E8}\u{1F1F3}\u{1F3F4}\u{E0067}\u{E0062}\
        \u{E0065}\u{E006E}\u{E007F}میخ\u{64E}\u{651}\u{670}שׁ\u{5B0}\u{5BC}क\u{94D}षর\u{9CD}য\u{9C7}\u{9BE}ന\u{D4D}ක\u{DCA}\
        ก\u{E47}\u{E48}ཧ\u{F90}\u{FB2}\u{F71}\u{F80}မ\u{103B}\u{1039}ᠠ\u{180B}\u{180E}\u{202E}\u{0}\u{1B}\u{E000}\u{FFFE}\u{2800}\u{3164}\
        \u{115F}\u{1160}\u{FFFC}\u{600}\u{6DD}\u{E33}\u{EB3}\u{1F3FD}\u{11A9}\u{AC00}\u{FDFD}↔∩\u{212B}\u{958}\u{1D15E}\u{16D67}\u{16D63}\u{113C5}\u{113C2}\u{110BA}\u{11099}\u{FB1D}\u{3099}"
        .chars()
        .collect();
    prop_oneof![8 => proptest::sample::select(special), 1 => any::<char>()]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::collection::vec(tricky(), 0..40).prop_map(String::from_iter),
        proptest::collection::vec("[ -~你好ーァ-ンあ-ん가-힣！-～]", 0..20).prop_map(|v| v.concat()),
        any::<String>(),
    ]
}

/// Whether `c` may never come out, wherever it stood.
fn forbidden(c: char) -> bool {
    let white = c.is_whitespace() && c != ' ';
    let bidi = matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{061C}');
    let zero_width = matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}' | '\u{00AD}');
    let private = matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}');
    let nonchar = matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFF >= 0xFFFE;
    c.is_control() || white || bidi || zero_width || private || nonchar
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn normalising_is_idempotent_clean_and_within_limits(raw in texts()) {
        let limits = TextLimits { chars_max: 30, bytes_max: 100 };
        match normalise(&raw, &limits) {
            Ok(text) => {
                prop_assert!(length(&text) <= limits.chars_max && text.len() <= limits.bytes_max && !text.is_empty());
                prop_assert!(!text.chars().any(forbidden), "{}", text.escape_unicode());
                prop_assert!(!text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  "));
                prop_assert!(unicode_normalization::is_nfc(&text));
                let again = normalise(&text, &limits);
                prop_assert_eq!(again.as_deref(), Ok(text.as_ref()), "{}", raw.escape_unicode());
            }
            Err(TextError::Empty) => prop_assert!(slow(&raw).is_empty()),
            Err(TextError::TooLong { chars, bytes, .. }) => prop_assert!(chars > 30 || bytes > 100),
        }
    }

    #[test]
    fn the_fast_path_agrees_with_the_slow_one(raw in texts()) {
        if let Some(chars) = plain_chars(&raw) {
            prop_assert_eq!(chars, raw.chars().count());
            prop_assert_eq!(slow(&raw), raw);
        }
    }

    #[test]
    fn no_cluster_is_larger_than_its_bound_and_nothing_is_found_the_second_time(
        raw in proptest::collection::vec(tricky(), 0..300).prop_map(String::from_iter),
        piece in proptest::collection::vec(tricky(), 1..4).prop_map(String::from_iter),
        times in 1_usize..200,
    ) {
        for raw in [raw.clone(), format!("{raw}{}", piece.repeat(times))] {
            let text = slow(&raw);
            for cluster in text.graphemes(true) {
                let (chars, bytes) = (cluster.chars().count(), cluster.len());
                prop_assert!(chars <= CLUSTER_CHARS_MAX && bytes <= CLUSTER_BYTES_MAX, "{}", cluster.escape_unicode());
            }
            prop_assert_eq!(slow(&text), text, "{}", raw.escape_unicode());
        }
    }

    #[test]
    fn marks_never_pile_up(raw in proptest::collection::vec(tricky(), 0..200).prop_map(String::from_iter)) {
        let mut run = 0;
        for c in slow(&raw).chars() {
            if classes::is_mark(c) { run += 1 } else if !classes::is_conditional(c) { run = 0 }
            prop_assert!(run <= 10);
        }
    }
}

#[test]
fn every_plain_character_is_inert_beside_every_other_kind() {
    // NFC and the filters never touch a plain character by itself…
    let plain: Vec<char> = ('\0'..=char::MAX).filter(|c| classes::is_plain(*c)).collect();
    for c in &plain {
        assert_eq!(slow(&c.to_string()), c.to_string(), "{}", c.escape_unicode());
    }
    // …and none is a mark or composes with a plain one before it: all begin a new normalisation run.
    for c in plain {
        assert_eq!(unicode_normalization::char::canonical_combining_class(c), 0);
        assert_eq!(is_nfc_quick(['x', c].into_iter()), IsNormalized::Yes, "{}", c.escape_unicode());
    }
}
