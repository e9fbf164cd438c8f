//! People's text, made safe to show and cheap to compare: one pure, idempotent function, [`normalise`].
//!
//! The result is NFC. It has no control, format or other invisible character that could hide, reorder or
//! fake text, no white space except for single spaces inside, and few combining marks per letter. Ordinary
//! writing is kept: emoji sequences, joiners in Arabic, Persian and Indic scripts, vowel marks.
//!
//! Three steps, repeated until nothing changes, which is what makes it idempotent:
//! 1. each character is kept, dropped or turned into a space, whatever its neighbours ([`classes::fate`]);
//! 2. NFC;
//! 3. characters that depend on their neighbours are kept or dropped ([`context::filter`]), and so is what makes a character as
//!    readers see it too large ([`clusters`]).
//!
//! Step 3 may bring a letter and an accent together, so steps 2 and 3 repeat, almost always once.
//! [`ROUNDS_MAX`] bounds the cost of a hostile text; after it, all characters that depend on neighbours
//! are dropped.
//!
//! Does not know: words, users, rates; markup is not its business either (text is data, pages escape it).

mod classes;
pub mod clusters;
mod context;
pub mod skeleton;

use classes::CharFate;
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// How long a text may be after normalisation. Both count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// Characters, as [`length`] counts them.
    pub chars_max: usize,
    /// Bytes of UTF-8.
    pub bytes_max: usize,
}

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing visible is left: show nothing, send nothing.
    #[error("nothing is left of the text once invisible characters are removed; write something visible")]
    Empty,
    /// Too long after normalisation (or absurdly long before): shorten it.
    #[error(
        "the text has {chars} characters and {bytes} bytes, more than {} characters or {} bytes; shorten it",
        limits.chars_max,
        limits.bytes_max
    )]
    TooLong {
        /// Characters that it has.
        chars: usize,
        /// Bytes that it has.
        bytes: usize,
        /// What it may have.
        limits: TextLimits,
    },
}

/// A raw text of more than this many times `bytes_max` is refused unread. At the defaults that is
/// 32 KiB, eight times the largest message: only callers without a message limit ever meet it.
const RAW_FACTOR: usize = 16;

/// Rounds of NFC and context before the strict way out. Natural text needs at most two; the fuzzing
/// tests have not found one that needs four.
const ROUNDS_MAX: usize = 4;

/// `raw` as it may be shown, or why not. Pure and idempotent: `normalise(normalise(x)) == normalise(x)`.
/// Borrows when nothing had to change.
///
/// # Errors
/// [`TextError`].
pub fn normalise<'a>(raw: &'a str, limits: &TextLimits) -> Result<Cow<'a, str>, TextError> {
    if raw.len() > limits.bytes_max.saturating_mul(RAW_FACTOR) {
        return Err(TextError::TooLong { chars: raw.chars().count(), bytes: raw.len(), limits: *limits });
    }
    let (text, chars) = match plain_chars(raw) {
        Some(chars) => (Cow::Borrowed(raw), chars),
        None => {
            let text = slow(raw);
            let chars = length(&text);
            (Cow::Owned(text), chars)
        }
    };
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if chars > limits.chars_max || text.len() > limits.bytes_max {
        return Err(TextError::TooLong { chars, bytes: text.len(), limits: *limits });
    }
    Ok(text)
}

/// How long a text is: its Unicode scalar values, of which very wide ones count as the ordinary ones whose room they take.
pub fn length(text: &str) -> usize {
    text.chars().map(classes::weight).sum()
}

/// Whether a text has more characters than `max`. Most texts are so short in bytes that their characters need no count.
pub fn is_longer(text: &str, chars_max: usize) -> bool {
    text.len() * classes::WEIGHT_PER_BYTE_MAX > chars_max && length(text) > chars_max
}

/// The fast path: the number of characters if every one is plain (ASCII, Chinese, Japanese, Korean:
/// never changed by itself or by a plain neighbour) and spaces are single and inside.
fn plain_chars(raw: &str) -> Option<usize> {
    let mut chars = 0;
    let mut after_space = true;
    for c in raw.chars() {
        match c {
            ' ' if after_space => return None,
            ' ' => after_space = true,
            c if classes::is_plain(c) => after_space = false,
            _ => return None,
        }
        chars += 1;
    }
    // A trailing space changes; an empty text is left to the slow path too, which has nothing to do.
    (!after_space).then_some(chars)
}

/// The whole way, for any text.
fn slow(raw: &str) -> String {
    let kept: String = raw
        .chars()
        .filter_map(|c| match classes::fate(c) {
            CharFate::Keep => Some(c),
            CharFate::Space => Some(' '),
            CharFate::Drop => None,
        })
        .collect();
    let mut text = nfc(kept);
    for _ in 0..ROUNDS_MAX {
        let filtered = clusters::bound(context::filter(&text));
        if filtered == text {
            return text;
        }
        text = nfc(filtered);
    }
    strict(&text)
}

/// Without anything that depends on neighbours: neither joiners, selectors and tags nor marks. What is
/// left are characters that stand for themselves, which one more round cannot change.
fn strict(text: &str) -> String {
    let mut bare: String = text.chars().filter(|c| !classes::is_conditional(*c) && !classes::is_mark(*c)).collect();
    loop {
        let next = clusters::bound(context::filter(&nfc(bare.clone())));
        // Each round but the first only shortens.
        if next == bare {
            return bare;
        }
        bare = next;
    }
}

fn nfc(text: String) -> String {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text,
        _ => text.nfc().collect(),
    }
}

#[cfg(test)]
mod tests;
