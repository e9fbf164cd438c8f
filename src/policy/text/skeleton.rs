//! The skeleton of a text, which ignores width, case, repetition and decoration: texts with equal skeletons count as equal.
//!
//! 1. Full and half width become one (`？` is `?`, `ｶ` is `カ`), capitals become small, emoji selectors are removed.
//! 2. Punctuation, spaces and emoji at the end are removed, unless the text has nothing else.
//! 3. A repeated character stays twice, except for digits inside numbers: `100` is not `1000`.
//! 4. A text that repeats one piece becomes that piece twice: `来了来了来了` is `来了来了`, `66666` is `66`.
//!
//! The work is linear in the text, and nothing is allocated once the scratch has grown.
//!
//! Does not know: authors, or how equal texts are merged.

use unicode_normalization::char::{compose, decompose_compatible};
use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory};

/// Makes skeletons, one after the other, in one piece of memory.
#[derive(Clone, Debug, Default)]
pub struct Skeletons {
    chars: Vec<char>,
    /// How far each beginning of `chars` is also an end of it: for its period.
    borders: Vec<u32>,
    out: String,
}

impl Skeletons {
    /// The skeleton of `text`; empty only if the text is.
    pub fn of(&mut self, text: &str) -> &str {
        self.fold(text);
        let end = self.chars.iter().rposition(|c| !is_decoration(*c)).map_or(self.chars.len(), |last| last + 1);
        self.chars.truncate(end);
        self.collapse();
        let unit = self.period();
        self.out.clear();
        self.out.extend(&self.chars[..self.chars.len().min(2 * unit)]);
        &self.out
    }

    /// Width and case folded, nothing else: for looking for words.
    pub fn folded(&mut self, text: &str) -> &str {
        self.fold(text);
        self.out.clear();
        self.out.extend(&self.chars);
        &self.out
    }

    fn fold(&mut self, text: &str) {
        self.chars.clear();
        for c in text.chars() {
            match c {
                'A'..='Z' => self.chars.push(c.to_ascii_lowercase()),
                '\0'..='\x7f' | '\u{3041}'..='\u{9fff}' => self.chars.push(c),
                '\u{fe0e}' | '\u{fe0f}' => {} // Text or emoji: one picture.
                '\u{3000}' => self.chars.push(' '),
                '\u{ff00}'..='\u{ffef}' => decompose_compatible(c, |c| push(&mut self.chars, c)),
                _ => self.chars.extend(c.to_lowercase()),
            }
        }
    }

    /// Keeps two of each run, but all of a digit's.
    fn collapse(&mut self) {
        let mut run = (None, 0);
        self.chars.retain(|c| {
            run = if run.0 == Some(*c) { (run.0, run.1 + 1) } else { (Some(*c), 1) };
            run.1 <= 2 || c.is_ascii_digit()
        });
    }

    /// The length of the shortest piece that the text is a repetition of; its own if it is none.
    fn period(&mut self) -> usize {
        let (chars, borders) = (&self.chars, &mut self.borders);
        borders.clear();
        let mut border = 0;
        for (at, c) in chars.iter().enumerate() {
            if at > 0 {
                while border > 0 && chars[border] != *c {
                    border = borders[border - 1] as usize;
                }
                border += usize::from(chars[border] == *c);
            }
            borders.push(u32::try_from(border).unwrap_or(u32::MAX));
        }
        let period = chars.len() - border;
        if period > 0 && chars.len().is_multiple_of(period) { period } else { chars.len() }
    }
}

/// Adds a character of a decomposition: a mark goes onto its letter.
fn push(chars: &mut Vec<char>, c: char) {
    if let Some(last) = chars.last_mut()
        && matches!(c, '\u{3099}' | '\u{309a}')
        && let Some(whole) = compose(*last, c)
    {
        *last = whole;
    } else {
        chars.extend(c.to_lowercase());
    }
}

/// Whether a text says the same without it at its end.
fn is_decoration(c: char) -> bool {
    match c {
        'a'..='z' | '0'..='9' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}' => false,
        '~' => true,
        // Joiners and tags inside an emoji.
        '\u{200d}' | '\u{20e3}' | '\u{e0020}'..='\u{e007f}' => true,
        _ => matches!(
            c.general_category(),
            Category::ConnectorPunctuation
                | Category::DashPunctuation
                | Category::OpenPunctuation
                | Category::ClosePunctuation
                | Category::InitialPunctuation
                | Category::FinalPunctuation
                | Category::OtherPunctuation
                | Category::OtherSymbol
                | Category::ModifierSymbol
                | Category::SpaceSeparator
                | Category::PrivateUse
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skeleton(text: &str) -> String {
        Skeletons::default().of(text).to_owned()
    }

    #[test]
    fn what_says_the_same_has_one_skeleton() {
        for (skeleton_of_all, texts) in [
            ("还有吗", &["还有吗", "还有吗？", "还有吗??", "还有吗？？？😭😭", "还有吗~", "还有吗 。。。"][..]),
            ("哈哈", &["哈哈", "哈哈哈哈", "哈哈哈哈哈哈！！！", "哈哈哈😂"]),
            ("66", &["66", "666", "66666666", "６６６", "666！"]),
            ("来了来了", &["来了来了", "来了来了来了", "来了来了来了~~"]),
            ("haha", &["haha", "HAHAHA", "ｈａｈａ", "hahahaha!"]),
            ("cool", &["cool", "COOOOL", "coool~"]),
            ("ok", &["OK", "ok👌🏽", "Ok…", "ｏｋ", "OK（*＾-＾*）"]),
            ("カード", &["カード", "ｶｰﾄﾞ"]),
            ("ガガ", &["ガガ", "ｶﾞｶﾞ", "ガガガガ"]),
            ("第一", &["第一", "第一！", "第一❤", "第一❤️"]),
        ] {
            for text in texts {
                assert_eq!(skeleton(text), skeleton_of_all, "{text}");
            }
        }
    }

    #[test]
    fn what_differs_stays_apart() {
        for (one, other) in [
            ("100块", "1000块"),
            ("1999元", "199元"),
            ("3.5", "35"),
            ("哈", "哈哈"),
            ("so", "soo"),
            ("1+1", "11"),
            ("c+", "c"),
            ("不好", "好"),
            ("还有吗", "没有吗"),
            ("😀", "😭"),
            ("？", "！"),
        ] {
            assert_ne!(skeleton(one), skeleton(other), "{one} and {other}");
        }
    }

    #[test]
    fn pictures_alone_are_their_own_skeleton() {
        assert_eq!(skeleton("😀"), "😀");
        assert_eq!(skeleton("😀😀😀😀"), "😀😀");
        assert_eq!(skeleton("❤️❤️"), "❤❤");
        assert_eq!(skeleton("？？？？？"), "??");
        assert_eq!(skeleton("👨‍👩‍👧"), "👨‍👩‍👧");
        assert_eq!(skeleton(""), "");
    }

    #[test]
    fn a_skeleton_is_its_own_skeleton_for_real_texts() {
        let (mut skeletons, mut texts) = (Skeletons::default(), 0);
        for recording in ["comment.xml", "boss.xml"] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(recording);
            let Ok(xml) = std::fs::read_to_string(path) else { continue };
            for text in xml.split("</d>").filter_map(|piece| piece.rsplit_once('>')).map(|(_, text)| text) {
                let once = skeletons.of(text).to_owned();
                assert_eq!(once.is_empty(), text.is_empty(), "{text}");
                assert_eq!(skeletons.of(&once), once, "{text}");
                assert!(once.chars().count() <= 2 * text.chars().count());
                texts += 1;
            }
        }
        assert!(texts > 1_000, "the recordings are there: {texts}");
    }

    #[test]
    fn folding_alone_keeps_every_word() {
        assert_eq!(Skeletons::default().folded("ＡＢＣ 口红!!"), "abc 口红!!");
    }
}
