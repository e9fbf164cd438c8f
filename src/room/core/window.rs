//! The comment ids that the room has seen, so that a retry is harmless.
//!
//! The state follows from the log alone: it changes with each comment with an id, and uses the log's time. It has two
//! tiers, each bounded by count and by age. Newer ids are kept with the fate of their comments, so a retry gets the
//! answer of the first copy. Of older ids only the highest number of each *run* is kept (a run is the ids of one author
//! that differ only in a number at the end, such as `c1`, `c2`, …). An id that is not above that number may be a retry,
//! and is refused. A replay of the newest `2 × ids_max` comments rebuilds both tiers.
//!
//! Does not know: the log, connections, clocks.

use super::select::Fate;
use crate::faults::spoil;
use crate::log::digest::fnv1a;
use crate::protocol::event::{Comment, Event};
use crate::protocol::ids::{ClientId, Offset};
use crate::protocol::kind::Post;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};

/// A key for an author's id: a 128-bit hash, so that a user cannot construct a collision with another user's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdKey(u128);

/// The part of a comment by which the room recognises retries: the key of its id, its run, and the hash of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The key of author and id.
    pub key: IdKey,
    /// The key of author and id without the number at the end, and that number; `None` without a number.
    run: Option<(IdKey, u64)>,
    /// The hash of the normalised text, or of a post's content.
    pub text: u64,
}

impl Mark {
    /// The mark of a comment; `None` if it has no id. This computes two hashes, so keep it if it is needed again.
    pub fn of(comment: &Comment) -> Option<Self> {
        comment.id.as_ref().map(|id| match comment.posted {
            None => Self::new(&comment.user.id, id, &comment.text),
            Some(sum) => Self::with(OWNER, id, sum.0),
        })
    }

    /// The mark of an owner's post; `None` if it has no key.
    pub fn of_post(post: &Post) -> Option<Self> {
        post.key.as_ref().map(|key| Self::with(OWNER, &key.id, key.sum.0))
    }

    /// The key for the owner's idempotency key `id`.
    pub fn owners_key(id: &ClientId) -> IdKey {
        key(b'i', OWNER, id.as_str())
    }

    /// The mark of an event with an id or a key.
    pub fn of_event(event: &Event) -> Option<Self> {
        match event {
            Event::Comment(comment) => Self::of(comment),
            Event::Post(post) => Self::of_post(post),
            Event::Likes { .. } | Event::Votes(_) => None,
        }
    }

    /// The mark of `author`'s comment `id` with the text `text`.
    pub fn new(author: &str, id: &ClientId, text: &str) -> Self {
        Self::with(author, id, fnv1a(text.as_bytes()))
    }

    fn with(author: &str, id: &ClientId, text: u64) -> Self {
        let id = id.as_str();
        let prefix = id.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = id[prefix.len()..].parse().ok();
        let run = number.map(|number| (key(b'r', author, prefix), number));
        Self { key: key(b'i', author, id), run, text }
    }
}

/// The author of posts with an idempotency key. No user can have this id.
const OWNER: &str = "\0owner";

fn key(kind: u8, author: &str, id: &str) -> IdKey {
    let mut hash = Sha256::new();
    hash.update([kind]);
    hash.update((author.len() as u64).to_le_bytes());
    hash.update(author);
    hash.update(id);
    let bytes: [u8; 32] = hash.finalize().into();
    IdKey(u128::from_le_bytes(std::array::from_fn(|i| bytes[i])))
}

/// The result of looking up an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The id is unknown.
    New,
    /// The log has the id with the same text.
    Same {
        offset: Offset,
        /// The fate of that comment.
        fate: Fate,
    },
    /// The log has the id with a different text.
    Conflict { offset: Offset },
    /// The id's number is not above the highest forgotten one of its run, so the log may have it or not.
    Stale,
}

#[derive(Debug)]
pub struct Window {
    ids_max: usize,
    age_ms: u64,
    known: HashMap<IdKey, Known>,
    newer: VecDeque<Entry>,
    floors: HashMap<IdKey, u64>,
    older: VecDeque<Entry>,
    /// The log's time of the newest id, and the sum of the times between ids, each counted as at most [`PAUSE_MS_MAX`].
    at_ms: u64,
    passed_ms: u64,
}

/// The maximum by which a pause between two ids ages them. Without it, a log that is opened with a wrong clock, or with
/// a corrected one, would forget every id at once, before cut-off clients have sent their comments again.
const PAUSE_MS_MAX: u64 = 3_600_000;

#[derive(Clone, Copy, Debug)]
struct Known {
    offset: Offset,
    text: u64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: IdKey,
    run: Option<(IdKey, u64)>,
    /// In the time of [`Window::passed_ms`].
    at_ms: u64,
}

impl Window {
    /// An empty window with `ids_max` ids per tier, kept for `age_ms` per tier.
    pub fn new(ids_max: usize, age_ms: u64) -> Self {
        let (known, newer) = (HashMap::new(), VecDeque::new());
        let (floors, older) = (HashMap::new(), VecDeque::new());
        Self { ids_max, age_ms, known, newer, floors, older, at_ms: 0, passed_ms: 0 }
    }

    /// Looks up the id of `mark`.
    pub fn seen(&self, mark: &Mark) -> Seen {
        let seen = match self.known.get(&mark.key) {
            Some(known) if known.text == mark.text => Seen::Same { offset: known.offset, fate: known.fate },
            Some(known) => Seen::Conflict { offset: known.offset },
            None => match mark.run.and_then(|(run, number)| Some(number <= *self.floors.get(&run)?)) {
                Some(true) => Seen::Stale,
                Some(false) | None => Seen::New,
            },
        };
        spoil!(retry_stored_twice, seen, Seen::New)
    }

    /// Whether the id is remembered, with any text.
    pub fn knows(&self, key: IdKey) -> bool {
        self.known.contains_key(&key)
    }

    /// Remembers a new id: the log has its comment at `offset` and at the time `at_ms`.
    pub fn insert(&mut self, mark: &Mark, offset: Offset, fate: Fate, at_ms: u64) {
        self.passed_ms += at_ms.saturating_sub(std::mem::replace(&mut self.at_ms, at_ms)).min(PAUSE_MS_MAX);
        let at_ms = self.passed_ms;
        self.known.insert(mark.key, Known { offset, text: mark.text, fate });
        self.newer.push_back(Entry { key: mark.key, run: mark.run, at_ms });
        let goes = |entry: &Entry, count: usize, age_ms: u64| {
            count > self.ids_max || at_ms.saturating_sub(entry.at_ms) > age_ms
        };
        while let Some(entry) = self.newer.front().copied()
            && goes(&entry, self.newer.len(), self.age_ms)
        {
            self.newer.pop_front();
            self.known.remove(&entry.key);
            if let Some((run, number)) = entry.run {
                let floor = self.floors.entry(run).or_insert(number);
                *floor = number.max(*floor);
                self.older.push_back(entry);
            }
        }
        while let Some(entry) = self.older.front().copied()
            && goes(&entry, self.older.len(), self.age_ms.saturating_mul(2))
        {
            self.older.pop_front();
            // A run is forgotten only with its highest number.
            if let Some((run, number)) = entry.run
                && self.floors.get(&run) == Some(&number)
            {
                self.floors.remove(&run);
            }
        }
    }

    /// Corrects the fate of a remembered comment.
    pub fn decide(&mut self, key: IdKey, fate: Fate) {
        if let Some(known) = self.known.get_mut(&key) {
            known.fate = fate;
        }
    }

    /// The number of remembered ids, and of runs with a floor.
    pub fn len(&self) -> (usize, usize) {
        (self.known.len(), self.floors.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(author: &str, id: &str, text: &str) -> Mark {
        Mark::new(author, &ClientId::new(id).unwrap(), text)
    }

    fn filled(ids_max: usize, count: u64) -> Window {
        let mut window = Window::new(ids_max, 1_000);
        (1..=count).for_each(|n| window.insert(&mark("a", &format!("c{n}"), "x"), n, Fate::Shown, n));
        window
    }

    #[test]
    fn a_retry_gets_the_answer_of_the_first_copy() {
        let mut window = Window::new(9, 1_000);
        assert_eq!(window.seen(&mark("a", "c1", "hi")), Seen::New);
        window.insert(&mark("a", "c1", "hi"), 7, Fate::Shed, 0);
        assert_eq!(window.seen(&mark("a", "c1", "hi")), Seen::Same { offset: 7, fate: Fate::Shed });
        assert_eq!(window.seen(&mark("a", "c1", "ho")), Seen::Conflict { offset: 7 });
        assert_eq!(window.seen(&mark("b", "c1", "hi")), Seen::New, "another author's");
        assert_eq!(window.seen(&mark("a", "c2", "hi")), Seen::New);
    }

    #[test]
    fn an_author_cannot_slide_into_the_id() {
        assert_ne!(mark("ab", "c", "x").key, mark("a", "bc", "x").key);
        assert_ne!(mark("a", "c", "x").key, mark("a", "c1", "x").run.unwrap().0, "an id is not a run");
    }

    #[test]
    fn numbers_below_the_floor_are_stale_and_those_above_are_new() {
        let window = filled(3, 10); // 8, 9, 10 are remembered; 5, 6, 7 are forgotten; the floor is 7.
        assert_eq!(window.seen(&mark("a", "c8", "x")), Seen::Same { offset: 8, fate: Fate::Shown });
        for stale in ["c7", "c5", "c1", "c0", "c007"] {
            assert_eq!(window.seen(&mark("a", stale, "x")), Seen::Stale, "{stale}");
        }
        for new in ["c11", "d1", "c", "c99999999999999999999999", "1"] {
            assert_eq!(window.seen(&mark("a", new, "x")), Seen::New, "{new}");
        }
        assert_eq!(window.seen(&mark("b", "c1", "x")), Seen::New, "another author's run");
    }

    #[test]
    fn a_low_number_is_new_while_no_id_is_forgotten() {
        let mut window = Window::new(9, 1_000);
        window.insert(&mark("a", "c2", "x"), 1, Fate::Shown, 0);
        assert_eq!(window.seen(&mark("a", "c1", "x")), Seen::New);
    }

    #[test]
    fn both_tiers_are_bounded_by_count() {
        let mut window = filled(3, 1_000);
        assert_eq!(window.len(), (3, 1));
        for n in 0..1_000 {
            window.insert(&mark(&format!("u{n}"), "c1", "x"), 2_000 + n, Fate::Shown, 1_000);
        }
        assert_eq!(window.len(), (3, 3));
        assert_eq!((window.newer.len(), window.older.len()), (3, 3));
        assert_eq!(window.seen(&mark("a", "c1", "x")), Seen::New, "its run was forgotten");
    }

    #[test]
    fn both_tiers_are_bounded_by_the_logs_time() {
        let mut window = Window::new(100, 1_000);
        window.insert(&mark("a", "c1", "x"), 1, Fate::Shown, 0);
        window.insert(&mark("b", "c1", "x"), 2, Fate::Shown, 1_001);
        assert_eq!(window.seen(&mark("a", "c1", "x")), Seen::Stale);
        window.insert(&mark("b", "c2", "x"), 3, Fate::Shown, 2_001);
        assert_eq!(window.seen(&mark("a", "c1", "x")), Seen::New);
    }

    #[test]
    fn a_clock_that_was_wrong_at_a_start_forgets_no_id() {
        let mut window = Window::new(100, 86_400_000);
        let year_ms = 31_536_000_000;
        for (offset, at_ms) in (1..).zip([0, 1_000, 56 * year_ms, 56 * year_ms + 1_000, 8_000 * year_ms]) {
            window.insert(&mark("a", &format!("c{offset}"), "x"), offset, Fate::Shown, at_ms);
        }
        for offset in 1..=5 {
            let seen = window.seen(&mark("a", &format!("c{offset}"), "x"));
            assert_eq!(seen, Seen::Same { offset, fate: Fate::Shown }, "a retry of c{offset}");
        }
    }

    #[test]
    fn replaying_the_newest_rebuilds_it() {
        let all: Vec<_> = (0..5_000_u64)
            .map(|n| (mark(&format!("u{}", n * n % 37), &format!("c{}", n / 5), "x"), n + 1, n * 3))
            .collect();
        let play = |from: usize| {
            let mut window = Window::new(100, 100_000);
            all[from..].iter().for_each(|(mark, offset, at_ms)| window.insert(mark, *offset, Fate::Shown, *at_ms));
            window
        };
        let (whole, rebuilt) = (play(0), play(5_000 - 200));
        for (mark, ..) in &all {
            assert_eq!(whole.seen(mark), rebuilt.seen(mark));
        }
    }
}
