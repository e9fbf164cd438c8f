//! Running totals of gifts: what one person gives in one combo counts up.
//!
//! They follow from the log alone, and from a bounded past of it: a combo is over when the log is [`PAUSE_MS`] past its last
//! gift. So whoever plays the records of that time before a position knows every running total at it.
//!
//! Does not know: frames, how a total is shown, clocks.

use crate::log::Record;
use crate::protocol::event::Event;
use crate::protocol::ids::ClientId;
use crate::protocol::kind::{Gift, Kind};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A combo is over when so much of the log's time has passed since its last gift.
pub const PAUSE_MS: u64 = 60_000;

/// Combos that run at one time; beyond it the one that was added to longest ago is over.
pub const COMBOS_MAX: usize = 4_096;

type Name = (Arc<str>, ClientId);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    total: u64,
    at_ms: u64,
    /// Of its newest entry in `order`.
    turn: u64,
}

/// See the module's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Combos {
    running: HashMap<Name, Running>,
    /// Whoever gave, in order; an entry counts only while it is its combo's newest.
    order: VecDeque<(Name, u64)>,
    turns: u64,
}

impl Combos {
    /// Takes the log's next record. For a gift with a combo: the running total, this gift included.
    pub fn apply(&mut self, record: &Record) -> Option<u64> {
        let Event::Post(post) = &record.event else { return None };
        match &post.kind {
            Kind::Gift(gift) => self.give(gift, record.at_ms),
            _ => None,
        }
    }

    /// How many combos may still be running.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    fn give(&mut self, gift: &Gift, at_ms: u64) -> Option<u64> {
        let name = (Arc::clone(&gift.user.id), gift.combo.clone()?);
        self.let_go(at_ms);
        self.turns += 1;
        let turn = self.turns;
        let running = self.running.entry(name.clone()).or_insert(Running { total: 0, at_ms, turn });
        let total = running.total.saturating_add(gift.count);
        *running = Running { total, at_ms, turn };
        self.order.push_back((name, turn));
        self.bound();
        Some(total)
    }

    /// Combos that are over at `at_ms`.
    fn let_go(&mut self, at_ms: u64) {
        while let Some((name, turn)) = self.order.front() {
            match self.running.get(name) {
                Some(running) if running.turn == *turn => {
                    if at_ms.saturating_sub(running.at_ms) <= PAUSE_MS {
                        return;
                    }
                    self.running.remove(name);
                }
                _ => {} // It was added to since.
            }
            self.order.pop_front();
        }
    }

    fn bound(&mut self) {
        while self.running.len() > COMBOS_MAX {
            let Some((name, turn)) = self.order.pop_front() else { return };
            if self.running.get(&name).is_some_and(|running| running.turn == turn) {
                self.running.remove(&name);
            }
        }
        // One long combo leaves an entry with each gift: those that no longer count go when they are the most.
        if self.order.len() > 2 * COMBOS_MAX {
            let Self { running, order, .. } = self;
            order.retain(|(name, turn)| running.get(name).is_some_and(|running| running.turn == *turn));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::Hex64;
    use crate::protocol::kind::Post;
    use crate::room::tests::comment;
    use proptest::prelude::*;

    fn gift(user: &str, combo: Option<&str>, count: u64, at_ms: u64) -> Record {
        let combo = combo.and_then(ClientId::new);
        let gift = Gift { user: comment(user, "").user, name: "Rose".into(), count, value: 1, combo, total: None };
        let event = Event::Post(Box::new(Post { key: None, kind: Kind::Gift(gift) }));
        Record { offset: 1, at_ms, digest: Hex64(0), event }
    }

    #[test]
    fn gifts_of_one_combo_count_up_and_others_are_others() {
        let mut combos = Combos::default();
        let mut give = |user, combo, count, at_ms| combos.apply(&gift(user, combo, count, at_ms));
        assert_eq!(give("a", Some("x"), 1, 1), Some(1));
        assert_eq!(give("a", Some("x"), 10, 2), Some(11));
        assert_eq!(give("b", Some("x"), 2, 3), Some(2), "another user's");
        assert_eq!(give("a", Some("y"), 3, 4), Some(3), "another combo");
        assert_eq!(give("a", None, 5, 5), None);
        assert_eq!(give("a", Some("x"), 1, 6), Some(12));
    }

    #[test]
    fn a_combo_is_over_after_a_pause_of_log_time() {
        let mut combos = Combos::default();
        assert_eq!(combos.apply(&gift("a", Some("x"), 1, 0)), Some(1));
        assert_eq!(combos.apply(&gift("a", Some("x"), 1, PAUSE_MS)), Some(2));
        assert_eq!(combos.apply(&gift("a", Some("x"), 1, 2 * PAUSE_MS)), Some(3), "each gift keeps it going");
        assert_eq!(combos.apply(&gift("a", Some("x"), 1, 3 * PAUSE_MS + 1)), Some(1));
    }

    #[test]
    fn everything_is_bounded() {
        let mut combos = Combos::default();
        for n in 0..3 * COMBOS_MAX as u64 {
            combos.apply(&gift(&format!("u{n}"), Some("x"), 1, 1));
            combos.apply(&gift("long", Some("x"), 1, 1));
            assert!(combos.len() <= COMBOS_MAX && combos.order.len() <= 2 * COMBOS_MAX);
        }
        assert_eq!(combos.apply(&gift("long", Some("x"), 1, 1)), Some(3 * COMBOS_MAX as u64 + 1), "it is the newest");
        assert_eq!(combos.apply(&gift("u0", Some("x"), 1, 1)), Some(1), "the oldest is over");
        assert_eq!(combos.apply(&gift("z", Some("x"), 1, PAUSE_MS + 2)), Some(1));
        assert_eq!((combos.len(), combos.order.len()), (1, 1));
    }

    proptest! {
        /// Against the plain rule: the sum over the gifts since the last pause.
        #[test]
        fn totals_follow_from_the_records_of_the_last_pauses(
            gifts in prop::collection::vec((0_u8..3, 0_u8..2, 1_u64..5, 0_u64..40_000), 1..60)
        ) {
            let mut combos = Combos::default();
            let mut all: Vec<(String, String, u64, u64)> = Vec::new();
            let mut at_ms = 0;
            for (user, combo, count, after_ms) in gifts {
                at_ms += after_ms;
                let (user, combo) = (format!("u{user}"), format!("c{combo}"));
                all.push((user.clone(), combo.clone(), count, at_ms));
                let (mut expected, mut next_ms) = (0, at_ms);
                for (u, c, count, at_ms) in all.iter().rev() {
                    if (u, c) == (&user, &combo) {
                        if next_ms - at_ms > PAUSE_MS {
                            break;
                        }
                        (expected, next_ms) = (expected + count, *at_ms);
                    }
                }
                prop_assert_eq!(combos.apply(&gift(&user, Some(&combo), count, at_ms)), Some(expected));
            }
        }
    }
}
