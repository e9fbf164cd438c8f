//! The users with a comment in this room, to recognise a user's first comment.
//!
//! Bounded: the user that came first is forgotten first, and would count as new again. The state follows from the log
//! alone.
//!
//! Does not know: comments, the use of being first.

use crate::limits::SPEAKERS_MAX;
use crate::log::digest::fnv1a;
use std::collections::{HashSet, VecDeque};

#[derive(Debug, Default)]
pub(super) struct Speakers {
    /// Hashes of user ids. Two users with one hash count as one, and one of them loses a bonus.
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Speakers {
    /// Whether the room knows a comment of this user.
    pub(super) fn has(&self, user: &str) -> bool {
        self.known.contains(&fnv1a(user.as_bytes()))
    }

    /// Remembers a user with a comment.
    pub(super) fn insert(&mut self, user: &str) {
        let hash = fnv1a(user.as_bytes());
        if !self.known.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > SPEAKERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speaker_is_known_until_too_many_others_came() {
        let mut speakers = Speakers::default();
        assert!(!speakers.has("u0"));
        (0..SPEAKERS_MAX).for_each(|n| speakers.insert(&format!("u{n}")));
        speakers.insert("u0");
        assert!(speakers.has("u0") && speakers.has("u1"));
        speakers.insert("another");
        assert!(!speakers.has("u0"), "the oldest, however often they spoke");
        assert!(speakers.has("u1") && speakers.has("another"));
        assert_eq!((speakers.known.len(), speakers.order.len()), (SPEAKERS_MAX, SPEAKERS_MAX));
    }
}
