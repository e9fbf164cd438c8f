//! Who has said something here before: what makes a comment somebody's first.
//!
//! Bounded: the author who was new longest ago is forgotten, and would be new again. It follows from the log alone.
//!
//! Does not know: comments, what being first is good for.

use crate::limits::SPEAKERS_MAX;
use crate::log::digest::fnv1a;
use std::collections::{HashSet, VecDeque};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    /// Hashes of user ids: two with the same are one, which costs one of them a bonus.
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Speakers {
    /// Whether the room knows a comment of this user.
    pub(super) fn has(&self, user: &str) -> bool {
        self.known.contains(&fnv1a(user.as_bytes()))
    }

    /// Remembers a user.
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
    fn whoever_spoke_is_known_until_too_many_others_did() {
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
