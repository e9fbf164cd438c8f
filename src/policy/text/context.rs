//! Characters that are right in one place and a disguise in another: joiners, variation selectors,
//! flag tags, piles of marks, runs of spaces. One pass, looking one kept character back and one ahead.

use super::classes::{
    BLACK_FLAG, KEYCAP, VS_EMOJI, ZWJ, ZWNJ, is_conditional, is_indic, is_joining_script, is_mark, is_pictograph,
    is_skin_tone, is_tag, is_virama, marks_max, selects,
};

/// The flags that exist as tag sequences (RGI): England, Scotland, Wales. Any other run of tags is
/// invisible luggage.
const TAG_FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

/// Joiners between the pictures of one emoji: no emoji that exists has more than four pictures (a family, a kiss). A fifth one
/// stands by itself.
const JOINERS_MAX: usize = 3;

const TAG_BASE: u32 = 0xE0000;
const TAG_END: char = '\u{E007F}';

/// `text`, which is NFC and whose only white space is U+0020, without what is out of place.
pub(super) fn filter(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut prev: Option<char> = None;
    // Marks on the present letter, and joiners in the present emoji.
    let (mut marks, mut joiners) = (0, 0);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let next = rest.clone().next();
        if c == ' ' {
            if prev.is_some_and(|p| p != ' ') {
                out.push(' ');
                prev = Some(' ');
                marks = 0;
            }
            continue;
        }
        if is_conditional(c) {
            if is_tag(c) {
                if prev == Some(BLACK_FLAG)
                    && let Some(len) = tag_flag_len(c, rest.as_str())
                {
                    let (tags, after) = rest.as_str().split_at(len);
                    out.push(c);
                    out.push_str(tags);
                    prev = Some(TAG_END);
                    rest = after.chars();
                }
            } else if keeps(prev, c, next) && (c != ZWJ || joiners < JOINERS_MAX || prev.is_some_and(is_indic)) {
                joiners += usize::from(c == ZWJ);
                out.push(c);
                prev = Some(c);
            }
            continue;
        }
        if is_mark(c) {
            if marks >= marks_max(c) {
                continue;
            }
            marks += 1;
        } else {
            marks = 0;
            // A new picture or letter, which nothing joins to the one before.
            if prev != Some(ZWJ) && !is_skin_tone(c) {
                joiners = 0;
            }
        }
        out.push(c);
        prev = Some(c);
    }
    if out.ends_with(' ') {
        out.pop();
    }
    out
}

/// Whether a joiner or selector between these two characters means something.
fn keeps(prev: Option<char>, c: char, next: Option<char>) -> bool {
    let Some(prev) = prev else { return false };
    match c {
        ZWJ => joins_emoji(prev, next) || joins_indic(prev, next),
        // Arabic and Persian: between two letters. Indic: after a virama, to show it.
        ZWNJ => next.is_some_and(|next| {
            (is_joining_script(prev) && is_joining_script(next)) || (is_virama(prev) && is_indic(next))
        }),
        VS_EMOJI if matches!(prev, '0'..='9' | '#' | '*') => next == Some(KEYCAP),
        vs => selects(prev, vs),
    }
}

/// Man + ZWJ + laptop; the left side may end in a skin tone or in "show as emoji".
fn joins_emoji(prev: char, next: Option<char>) -> bool {
    (is_pictograph(prev) || is_skin_tone(prev) || prev == VS_EMOJI) && next.is_some_and(is_pictograph)
}

/// After a virama (half forms, Malayalam chillu, Sinhala conjuncts), also at the end of a word; or
/// before one (Bengali ya-phalaa after ra, Sinhala touching letters).
fn joins_indic(prev: char, next: Option<char>) -> bool {
    is_virama(prev) || (is_indic(prev) && next.is_some_and(is_virama))
}

/// Whether tag `first` and what follows spell one of [`TAG_FLAGS`] and its end; the bytes after `first`.
fn tag_flag_len(first: char, rest: &str) -> Option<usize> {
    TAG_FLAGS.iter().find_map(|flag| {
        let wanted = flag.bytes().filter_map(|b| char::from_u32(TAG_BASE + u32::from(b))).chain([TAG_END]);
        let len = flag.len() * first.len_utf8();
        std::iter::once(first).chain(rest.chars()).take(flag.len() + 1).eq(wanted).then_some(len)
    })
}
