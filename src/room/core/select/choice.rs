//! The choice among more events than the budget allows: by class first, then by turns, so that each person's first
//! event comes before any person's second.
//!
//! It depends on whole numbers and the order of the log alone.
//!
//! Does not know: time, equal texts, frames.

use super::candidate::{Candidate, EventPart};
use super::telling::Note;
use crate::policy::text::skeleton::Skeletons;
use crate::protocol::frame::{FrameEvent, What};
use crate::protocol::kind::Kind;
use crate::protocol::settings::RoomSettings;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// The number of turns by which a user's first comment in the room comes earlier.
const FIRST_BONUS: i64 = 2;

/// The turns of each person in the window.
#[derive(Clone, Debug, Default)]
pub(super) struct People {
    shown: HashMap<Arc<str>, u32>,
    /// The events of each person at this log time.
    here: HashMap<Arc<str>, u32>,
    order: Vec<u32>,
}

impl People {
    /// Call when a window begins.
    pub(super) fn begin(&mut self) {
        self.shown.clear();
    }

    /// Counts a shown event as a turn of its person.
    pub(super) fn charge(&mut self, event: &FrameEvent) {
        if let Some(id) = person(event) {
            match self.shown.get_mut(id) {
                Some(count) => *count += 1,
                None => drop(self.shown.insert(id.clone(), 1)),
            }
        }
    }

    /// Marks the first `allowed` of `candidates` as shown. `places` has the candidate of each of the log time's
    /// `events`; the bonus of each is written into `notes`.
    pub(super) fn choose(
        &mut self,
        events: &[FrameEvent],
        notes: &mut [Note],
        places: &[EventPart],
        candidates: &mut [Candidate],
        settings: &RoomSettings,
        allowed: usize,
    ) {
        let mut bonuses = Bonuses::new(settings);
        self.here.clear();
        for ((event, note), place) in events.iter().zip(notes).zip(places) {
            let EventPart::Of(candidate) = place else { continue };
            let candidate = &mut candidates[*candidate as usize];
            if candidate.is_guaranteed() {
                continue;
            }
            let mut turn = 0;
            if let Some(id) = person(event) {
                let here = self.here.entry(id.clone()).or_default();
                turn = i64::from(*here) + i64::from(self.shown.get(id).copied().unwrap_or(0));
                *here += 1;
            }
            // A phrase sent by several people takes the turn of whichever of them has been shown least.
            let first = if event.as_comment().is_some_and(|shown| shown.comment.first) { FIRST_BONUS } else { 0 };
            let bonus = bonuses.of(event);
            note.bonus = Some(bonus);
            candidate.turn = candidate.turn.min(turn - first - i64::from(bonus));
        }
        self.order.clear();
        let ranked = |index: &u32| !candidates[*index as usize].is_guaranteed();
        self.order.extend((0..candidates.len() as u32).filter(ranked));
        if allowed < self.order.len() {
            let rank = |index: &u32| {
                let Candidate { class, is_comment, turn, times, entry, .. } = candidates[*index as usize];
                (class, !is_comment, turn, Reverse(times), entry)
            };
            self.order.select_nth_unstable_by_key(allowed, rank);
        }
        for index in self.order.iter().take(allowed) {
            candidates[*index as usize].shown = true;
        }
    }
}

/// The person behind the event, if there is one.
fn person(event: &FrameEvent) -> Option<&Arc<str>> {
    match &event.what {
        What::Comment(shown) => Some(&shown.comment.user.id),
        What::Kind(Kind::Gift(gift)) => Some(&gift.user.id),
        What::Kind(Kind::Enter(enter)) => Some(&enter.user.id),
        What::Kind(_) | What::Raise(_) | What::Unknown => None,
    }
}

/// The bonus of a comment for its text.
struct Bonuses<'a> {
    settings: &'a RoomSettings,
    words: Vec<String>,
    skeletons: Skeletons,
}

impl<'a> Bonuses<'a> {
    fn new(settings: &'a RoomSettings) -> Self {
        let mut skeletons = Skeletons::default();
        let words = settings.words.iter().map(|word| skeletons.folded(word).to_owned());
        let words = words.filter(|word| !word.is_empty()).collect();
        Self { settings, words, skeletons }
    }

    fn of(&mut self, event: &FrameEvent) -> u16 {
        let Some(shown) = event.as_comment() else { return 0 };
        if shown.comment.deleted {
            return shown.comment.left.as_ref().map_or(0, |left| left.bonus);
        }
        let text = &*shown.comment.text;
        let mut bonus = 0;
        if self.settings.question_bonus > 0 && is_question(text) {
            bonus += u16::from(self.settings.question_bonus);
        }
        if self.settings.word_bonus > 0 && !self.words.is_empty() {
            let folded = self.skeletons.folded(text);
            if self.words.iter().any(|word| folded.contains(&**word)) {
                bonus += u16::from(self.settings.word_bonus);
            }
        }
        bonus
    }
}

/// Whether a comment is a question: it has a question mark, or the word that makes a Chinese sentence a question.
fn is_question(text: &str) -> bool {
    text.contains(['?', '？', '؟', '吗']) || text.ends_with(['呢', '么'])
}
