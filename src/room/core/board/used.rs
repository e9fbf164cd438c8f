//! Which ids polls had, so that no id is given to a second poll: a vote names its poll by the id alone, and one that is late
//! would count in the next poll of that name.
//!
//! Does not know: what a poll asks, when it ends.

use crate::log::digest::fnv1a;
use crate::protocol::ids::{ClientId, Hex64};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Polls whose ids a room knows; beyond it the oldest may be used again. A poll every five minutes fills it in a week, and no
/// vote is on its way for so long. In a base they take 38 KiB.
pub const USED_POLLS_MAX: usize = 2_048;

/// See the module's page. Hashes of the ids, oldest first: two ids of the owner with one hash are an accident that does not
/// happen, and would only make a new id refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct UsedPolls(VecDeque<Hex64>);

impl UsedPolls {
    /// Those of `ids`, oldest first.
    pub(super) fn of<'a>(ids: impl Iterator<Item = &'a ClientId>) -> Self {
        let mut used = Self::default();
        ids.for_each(|id| used.insert(id));
        used
    }

    pub(super) fn insert(&mut self, id: &ClientId) {
        // The log of an earlier version may have an id twice.
        if self.contains(id) {
            return;
        }
        super::push(&mut self.0, hash(id), USED_POLLS_MAX);
    }

    /// Looks at all of them: a poll is opened seldom.
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
