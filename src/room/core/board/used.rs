//! The ids of earlier polls. A vote names its poll only by id, so a late vote would count in a later poll with the same
//! id; no id is used twice.
//!
//! Does not know: the content or the end of a poll.

use super::bounded::push;
use crate::log::digest::fnv1a;
use crate::protocol::ids::{ClientId, Hex64};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Poll ids that a room knows. Beyond it the oldest id can be used again. With a poll every five minutes this takes a
/// week, much longer than a vote can be on its way. They take 38 KiB in a base.
pub const USED_POLLS_MAX: usize = 2_048;

/// Hashes of the ids, oldest first. If two ids of the owner have the same hash, which is very unlikely, the new one is
/// refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct UsedPolls(VecDeque<Hex64>);

impl UsedPolls {
    /// The hashes of `ids`, oldest first.
    pub(super) fn of<'a>(ids: impl Iterator<Item = &'a ClientId>) -> Self {
        let mut used = Self::default();
        ids.for_each(|id| used.insert(id));
        used
    }

    pub(super) fn insert(&mut self, id: &ClientId) {
        // A log of an earlier version may have an id twice.
        if self.contains(id) {
            return;
        }
        push(&mut self.0, hash(id), USED_POLLS_MAX);
    }

    /// Compares with all ids: a poll is rarely opened.
    pub(super) fn contains(&self, id: &ClientId) -> bool {
        self.0.contains(&hash(id))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn hash(id: &ClientId) -> Hex64 {
    Hex64(fnv1a(id.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ClientId {
        ClientId::new(&format!("poll-{n}")).unwrap()
    }

    #[test]
    fn the_newest_ids_are_known_and_the_oldest_goes() {
        let mut used = UsedPolls::default();
        (0..USED_POLLS_MAX).for_each(|n| used.insert(&id(n)));
        used.insert(&id(5));
        assert!((0..USED_POLLS_MAX).all(|n| used.contains(&id(n))) && !used.contains(&id(USED_POLLS_MAX)));
        used.insert(&id(USED_POLLS_MAX));
        assert!(!used.contains(&id(0)) && used.contains(&id(1)) && used.contains(&id(USED_POLLS_MAX)));
        let json = serde_json::to_vec(&used).unwrap();
        assert!(json.len() <= 39 * 1_024, "{} bytes", json.len());
        assert_eq!(serde_json::from_slice::<UsedPolls>(&json).unwrap(), used);
    }
}
