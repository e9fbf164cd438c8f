//! Classes of characters. Ranges name the Unicode blocks or properties that they come from; general
//! categories and emoji properties come from `unicode-properties` (Unicode 18).

use unicode_properties::{EmojiStatus, GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};

/// What becomes of a character, whatever stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CharFate {
    /// Stays (or, if [`is_conditional`], waits for [`super::context`]).
    Keep,
    /// Is white space.
    Space,
    /// Goes without trace.
    Drop,
}

/// ZERO WIDTH NON-JOINER.
pub(super) const ZWNJ: char = '\u{200C}';
/// ZERO WIDTH JOINER.
pub(super) const ZWJ: char = '\u{200D}';
/// COMBINING ENCLOSING KEYCAP.
pub(super) const KEYCAP: char = '\u{20E3}';
/// VARIATION SELECTOR-15: show as text.
pub(super) const VS_TEXT: char = '\u{FE0E}';
/// VARIATION SELECTOR-16: show as emoji.
pub(super) const VS_EMOJI: char = '\u{FE0F}';
/// WAVING BLACK FLAG, the base of tag sequences.
pub(super) const BLACK_FLAG: char = '\u{1F3F4}';

/// Characters of the fast path: never dropped, never a space, inert under NFC beside one another.
pub(super) const fn is_plain(c: char) -> bool {
    matches!(c,
        '!'..='~'
        | '\u{3001}'..='\u{3029}' // CJK punctuation
        | '\u{3041}'..='\u{3096}' // Hiragana
        | '\u{30A0}'..='\u{30FF}' // Katakana
        | '\u{3400}'..='\u{4DBF}' // Han, extension A
        | '\u{4E00}'..='\u{9FFF}' // Han
        | '\u{AC00}'..='\u{D7A3}' // Hangul syllables
        | '\u{FF01}'..='\u{FF9D}' | '\u{FFE0}'..='\u{FFE6}' // Full-width forms, half-width Katakana without its voice marks
        | '\u{2018}'..='\u{2019}' | '\u{201C}'..='\u{201D}' | '\u{2026}' | '\u{00B7}' // ‘’ “” … ·
    )
}

/// No character of [`weight`] has more than this for each of its bytes.
pub(super) const WEIGHT_PER_BYTE_MAX: usize = 6;

/// How many ordinary characters a character is as wide as, rounded up from what common fonts draw. East Asian Width, and the
/// crates that are made of it, call all of these 1 or 2. What is not here is 1: a full-width character too.
pub(super) const fn weight(c: char) -> usize {
    match c {
        '\0'..='\u{0BF2}' => 1, // Nearly all that people write in alphabets.
        '\u{FDFD}' => 16,       // BISMILLAH: a sentence in one character
        '\u{1242B}' => 12,      // CUNEIFORM NUMERIC SIGN NINE SHAR2 and its kin
        '\u{12031}' | '\u{12143}' | '\u{12219}' | '\u{12423}'..='\u{12431}' => 8,
        '\u{12000}'..='\u{1254F}' | '\u{FDFA}' | '\u{FDFB}' | '\u{A9C1}'..='\u{A9C5}' => 4, // Cuneiform, ligatures, Javanese
        '\u{0BF3}'..='\u{0BFA}' => 4,                                                       // Tamil signs of words
        '\u{2E3B}' | '\u{102A}' | '\u{0D79}' => 3, // three-em dash; Myanmar and Malayalam
        '\u{2E3A}' | '\u{FDF0}'..='\u{FDF9}' | '\u{FDFC}' | '\u{0D74}' | '\u{1029}' => 2,
        '\u{13000}'..='\u{1467F}' | '\u{16800}'..='\u{16A38}' => 2, // hieroglyphs, Bamum
        _ => 1,
    }
}

/// What becomes of `c`.
pub(super) fn fate(c: char) -> CharFate {
    if is_plain(c) || is_conditional(c) {
        return CharFate::Keep;
    }
    // Braille blank looks like a space and is one: the blank cell of braille text.
    if c.is_whitespace() || c == '\u{2800}' {
        return CharFate::Space;
    }
    if is_blank(c) || is_noncharacter(c) {
        return CharFate::Drop;
    }
    match c.general_category() {
        GeneralCategory::Control | GeneralCategory::PrivateUse | GeneralCategory::Surrogate => CharFate::Drop,
        GeneralCategory::Format if !is_visible_format(c) => CharFate::Drop,
        _ => CharFate::Keep,
    }
}

/// Characters without ink that are no Format characters: Default_Ignorable_Code_Point, and glyphs that
/// are defined to be blank.
const fn is_blank(c: char) -> bool {
    matches!(c,
        '\u{034F}' // COMBINING GRAPHEME JOINER
        | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' // Hangul fillers
        | '\u{17B4}' | '\u{17B5}' // Khmer inherent vowels
        | '\u{2065}' | '\u{FFF0}'..='\u{FFF8}' | '\u{E0000}'..='\u{E0FFF}' // reserved, tags
        | '\u{FFFC}' // OBJECT REPLACEMENT: stands for an attachment that is not there
        | '\u{1D159}' // MUSICAL SYMBOL NULL NOTEHEAD
    )
}

const fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || (c as u32) & 0xFFFE == 0xFFFE
}

/// Format characters that show: the number, year, verse and abbreviation signs that go before (or
/// over) Arabic, Syriac and Kaithi digits and words.
const fn is_visible_format(c: char) -> bool {
    matches!(
        c,
        '\u{0600}'
            ..='\u{0605}' | '\u{06DD}' | '\u{070F}' | '\u{0890}' | '\u{0891}' | '\u{08E2}' | '\u{110BD}' | '\u{110CD}'
    )
}

/// Characters that [`super::context`] decides about: joiners, variation selectors, tags.
pub(super) const fn is_conditional(c: char) -> bool {
    matches!(c, ZWNJ | ZWJ) || is_variation_selector(c) || is_tag(c)
}

/// All variation selectors, Mongolian ones and their vowel separator included.
pub(super) const fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{180B}'..='\u{180F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}')
}

/// Tag characters of flag sequences.
pub(super) const fn is_tag(c: char) -> bool {
    matches!(c, '\u{E0020}'..='\u{E007F}')
}

/// Whether selector `vs` means something after `base`, by block: Unicode's StandardizedVariants, emoji
/// variation sequences and the Ideographic Variation Database, each rounded up to whole ranges.
pub(super) fn selects(base: char, vs: char) -> bool {
    match vs {
        // Digits, # and * are emoji only before a keycap, which the caller looks for.
        VS_TEXT | VS_EMOJI => base.is_emoji_char() && !base.is_ascii(),
        '\u{180B}'..='\u{180F}' => matches!(base, '\u{1820}'..='\u{18AA}'),
        '\u{E0100}'..='\u{E01EF}' => is_han(base),
        // VS1–VS3.
        '\u{FE00}'..='\u{FE02}' => {
            is_han(base)
                || matches!(base,
                    '\u{2205}'..='\u{22FF}' | '\u{2A00}'..='\u{2AFF}' // mathematical operators
                    | '\u{1000}'..='\u{109F}' | '\u{AA60}'..='\u{AA7F}' // Myanmar: dotted letters
                    | '\u{A840}'..='\u{A877}' // Phags-pa
                    | '\u{3001}' | '\u{3002}' | '\u{FF01}'..='\u{FF1F}' // full-width punctuation
                )
        }
        _ => false,
    }
}

const fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFD}')
}

/// Whether `c` can be an element of an emoji ZWJ sequence: a picture, not a digit, skin tone or letter
/// of a flag.
pub(super) fn is_pictograph(c: char) -> bool {
    matches!(
        c.emoji_status(),
        EmojiStatus::EmojiPresentation
            | EmojiStatus::EmojiModifierBase
            | EmojiStatus::EmojiPresentationAndModifierBase
            | EmojiStatus::EmojiOther
    )
}

/// Skin tones.
pub(super) const fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1F3FB}'..='\u{1F3FF}')
}

/// Combining marks: general categories Mn, Mc and Me, without the selectors.
pub(super) fn is_mark(c: char) -> bool {
    use GeneralCategory::{EnclosingMark, NonspacingMark, SpacingMark};
    // No mark is below U+0300 or among the plain; that spares most characters the table.
    c >= '\u{0300}'
        && !is_plain(c)
        && !is_variation_selector(c)
        && matches!(c.general_category(), NonspacingMark | SpacingMark | EnclosingMark)
}

/// How many marks one letter may carry up to and including `mark`; the script decides. Each is what
/// real text needs at most, found in the scripts' own orthographies:
/// Latin, Cyrillic, Greek, kana, Thai, Lao: Vietnamese and Thai decompose into 2, phonetic
/// transcription stacks 3–4. Hebrew with cantillation: dagesh, shin dot, vowel, meteg, accent: 5.
/// Arabic of the Quran: shadda, vowel, superscript alef, madda, small letter: 5. Indic: nukta, vowel in
/// two parts, candrabindu, accent, virama. Myanmar stacks medials, vowels and tones up to 8. Tibetan
/// stacks of Sanskrit syllables reach 9.
pub(super) const fn marks_max(mark: char) -> usize {
    match mark {
        '\u{0590}'..='\u{06FF}' | '\u{0700}'..='\u{08FF}' => 6, // Hebrew, Arabic, Syriac and kin
        '\u{0900}'..='\u{0DFF}' | '\u{A8E0}'..='\u{A8FF}' | '\u{11000}'..='\u{11FFF}' => 6, // Indic
        '\u{0F00}'..='\u{0FFF}' => 10,                          // Tibetan
        '\u{1000}'..='\u{109F}' | '\u{AA60}'..='\u{AA7F}' => 8, // Myanmar
        '\u{1780}'..='\u{17FF}' | '\u{1A20}'..='\u{1AAF}' | '\u{1B00}'..='\u{1BFF}' => 6, // Khmer, Tai Tham, Balinese…
        _ => 4,
    }
}

/// Scripts whose letters join and where ZWNJ parts them: Arabic (with Persian, Urdu, Kurdish), Syriac,
/// N'Ko.
pub(super) fn is_joining_script(c: char) -> bool {
    use GeneralCategory::{ModifierLetter, NonspacingMark, OtherLetter};
    matches!(c, '\u{0620}'..='\u{077F}' | '\u{07C0}'..='\u{07FF}' | '\u{0860}'..='\u{08FF}')
        && matches!(c.general_category(), OtherLetter | ModifierLetter | NonspacingMark)
}

/// Letters and signs of the Brahmic scripts of India and Sri Lanka.
pub(super) const fn is_indic(c: char) -> bool {
    matches!(c, '\u{0900}'..='\u{0963}' | '\u{0971}'..='\u{0DFF}' | '\u{11000}'..='\u{11FFF}')
}

/// An Indic virama: canonical combining class 9.
pub(super) fn is_virama(c: char) -> bool {
    is_indic(c) && unicode_normalization::char::canonical_combining_class(c) == 9
}
