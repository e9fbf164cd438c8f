//! Bounds the size of a grapheme cluster (UAX #29), which readers see as one character, in every script. A page draws a
//! cluster as a unit and cannot cut it, so a cluster of a thousand parts would cover the screen.
//!
//! Does not know: which characters are dropped for other reasons.

use super::classes::is_plain;
use unicode_segmentation::UnicodeSegmentation as _;

/// Bytes of one cluster. The longest that people write are emoji of two people with skin tones (41 bytes with a family's four)
/// and Tibetan stacks (33).
pub const CLUSTER_BYTES_MAX: usize = 64;

/// Characters of one cluster: a family of four with skin tones has 11, so have a stack of ten marks on a Tibetan letter and a
/// conjunct of five Indic consonants.
pub const CLUSTER_CHARS_MAX: usize = 16;

/// `text` without the characters that make a cluster larger than it may be. What stays is looked at as it will stand, so that
/// nothing is found the second time.
pub(super) fn bound(text: String) -> String {
    if !may_hold_a_large_one(&text) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    // Where the last cluster of `out` begins, and how many characters it has.
    let (mut begin, mut chars) = (0, 0);
    for c in text.chars() {
        let end = out.len();
        out.push(c);
        if end == 0 || begins_a_cluster(&out[begin..], c) {
            (begin, chars) = (end, 1);
        } else if chars == CLUSTER_CHARS_MAX {
            out.truncate(end);
        } else {
            chars += 1;
        }
    }
    out
}

const _: () = assert!(CLUSTER_BYTES_MAX >= 4 * CLUSTER_CHARS_MAX, "a bound on characters is one on bytes");

/// Whether the last character, `c`, of what was one cluster before it begins the next one. Boundaries depend on nothing before
/// the cluster that they end.
fn begins_a_cluster(with_c: &str, c: char) -> bool {
    with_c.graphemes(true).next_back().is_some_and(|last| last.len() == c.len_utf8())
}

/// In a cluster of too many characters none but the first and the last can be plain or a space. Most texts are done here.
fn may_hold_a_large_one(text: &str) -> bool {
    let mut run = 0;
    text.chars().any(|c| {
        let longer = run + 1;
        run = if c == ' ' || is_plain(c) { 1 } else { longer };
        longer > CLUSTER_CHARS_MAX
    })
}
