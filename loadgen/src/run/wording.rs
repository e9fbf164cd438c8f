//! The texts that senders write: made-up ones, those of a recording, and near-duplicates, as of a crowd that says the
//! same thing.
//!
//! A near-duplicate is one of a few popular texts in a different width or case, with repetitions, punctuation or an
//! emoji at its end. A seed fixes the variations, so every run sends the same texts.
//!
//! Does not know: when texts are sent, by which viewer.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Common characters of Chinese live comments, so that texts vary and have three bytes per character.
const CHARACTERS: &str = "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看起发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间知世什两次使身者被高已亲其进此话常与活正感哈呜啊哦喜欢主播买下单链接抢到便宜好吃漂亮加油支持第一弹幕护体前方高能";

/// Texts that a crowd sends at the same time.
const POPULAR: &[&str] =
    &["还有吗", "多少钱", "主播好美", "哈哈", "上链接", "666", "OK", "gg wp", "已拍", "第一", "太可爱了", "what"];

const PUNCTUATION: &[&str] = &["!", "！", "？", "~", "…", "。", "!!", "？！"];
const EMOJI: &[&str] = &["😂", "❤️", "👍🏻", "🎉", "😭😭"];

/// The kinds of texts to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wording {
    /// Fewest and most characters of made-up texts.
    pub chars: (usize, usize),
    /// Recorded texts, used in order; if empty, made-up ones are used.
    pub recorded: Arc<[String]>,
    /// Share of the texts that are near-duplicates, 0–1.
    pub near_duplicates: f64,
}

impl Wording {
    /// Made-up texts of `chars` (fewest, most) characters.
    pub fn of(chars: (usize, usize)) -> Self {
        Self { chars, recorded: Arc::default(), near_duplicates: 0.0 }
    }
}

/// Writes the texts of one sender.
#[derive(Debug)]
pub struct TextWriter {
    characters: Vec<char>,
    seed: u64,
    recorded_next: u64,
}

impl TextWriter {
    /// Writers with different seeds write different texts.
    pub fn new(seed: u64) -> Self {
        Self { characters: CHARACTERS.chars().collect(), seed: 0x9e37_79b9_7f4a_7c15 ^ seed, recorded_next: seed }
    }

    pub fn text(&mut self, wording: &Wording) -> String {
        if wording.near_duplicates > 0.0 && self.chance(wording.near_duplicates) {
            return self.near_duplicate();
        }
        if wording.recorded.is_empty() {
            return self.made_up(wording.chars);
        }
        self.recorded_next += 1;
        wording.recorded[(self.recorded_next % wording.recorded.len() as u64) as usize].clone()
    }

    fn made_up(&mut self, (fewest, most): (usize, usize)) -> String {
        let spread = most.saturating_sub(fewest) as u64 + 1;
        let length = fewest + (self.random() % spread) as usize;
        let mut text = String::with_capacity(length * 3);
        for _ in 0..length {
            let at = self.random() % self.characters.len() as u64;
            text.push(self.characters[at as usize]);
        }
        text
    }

    /// A variation of one of the popular texts, as if typed in a hurry.
    pub fn near_duplicate(&mut self) -> String {
        let base = self.one_of(POPULAR);
        let mut text = match self.random() % 4 {
            0 => base.chars().map(wide).collect(),
            1 => base.to_uppercase(),
            _ => base.to_owned(),
        };
        if self.random().is_multiple_of(3) {
            let last = text.chars().next_back();
            let times = 1 + self.random() as usize % 5;
            text.extend(last.into_iter().cycle().take(times));
        }
        if self.random().is_multiple_of(2) {
            text.push_str(self.one_of(PUNCTUATION));
        }
        if self.random().is_multiple_of(4) {
            text.push_str(self.one_of(EMOJI));
        }
        text
    }

    pub fn chance(&mut self, share: f64) -> bool {
        const OF: u64 = 1 << 20;
        self.random() % OF < (share * OF as f64) as u64
    }

    fn one_of(&mut self, list: &[&'static str]) -> &'static str {
        list[(self.random() % list.len() as u64) as usize]
    }

    /// xorshift64*: the same texts in each run.
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

/// The full-width form of an ASCII character; others do not change.
fn wide(c: char) -> char {
    match c {
        '!'..='~' => char::from_u32(c as u32 - 0x21 + 0xff01).unwrap_or(c),
        ' ' => '\u{3000}',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use volley::policy::text::{TextLimits, normalise};

    #[test]
    fn shares_and_recorded_texts_come_as_they_were_asked_for() {
        let recorded: Arc<[String]> = (0..5).map(|n| format!("line {n}")).collect();
        let wording = Wording { recorded: recorded.clone(), near_duplicates: 0.4, ..Wording::of((3, 9)) };
        let mut writer = TextWriter::new(1);
        let texts: Vec<String> = (0..10_000).map(|_| writer.text(&wording)).collect();
        let of_recording = texts.iter().filter(|text| recorded.contains(text)).count();
        assert!((5_800..6_200).contains(&of_recording), "{of_recording} of 10,000");
        assert_eq!(texts.iter().filter(|text| recorded.contains(text)).collect::<BTreeSet<_>>().len(), 5);
        let made_up = TextWriter::new(2).text(&Wording::of((3, 9)));
        assert!((3..=9).contains(&made_up.chars().count()));
    }

    #[test]
    fn a_near_duplicate_is_written_in_many_ways_and_admitted_by_the_server() {
        let mut writer = TextWriter::new(3);
        let limits = TextLimits { chars_max: 512, bytes_max: 2_048 };
        let texts: BTreeSet<String> = (0..5_000).map(|_| writer.near_duplicate()).collect();
        assert!(texts.len() > 300, "{} ways", texts.len());
        assert!(texts.iter().all(|text| normalise(text, &limits).is_ok()));
    }

    #[test]
    fn two_writers_with_one_seed_write_the_same() {
        let (mut one, mut two) = (TextWriter::new(9), TextWriter::new(9));
        let wording = Wording { near_duplicates: 0.5, ..Wording::of((1, 30)) };
        assert!((0..200).all(|_| one.text(&wording) == two.text(&wording)));
    }
}
