//! Running totals of gifts: the sum of one user's gifts in one combo.
//!
//! The totals follow from the log alone: a combo is over when the log is [`PAUSE_MS`] past its last gift. The node that
//! takes a gift writes the total into its record, so a reader that starts in the middle of a combo knows it too. If a
//! gift of another node comes in between, that total is one gift too low and the counted one is higher; the higher
//! total is used.
//!
//! Does not know: frames, clocks.

use crate::log::Record;
use crate::protocol::event::Event;
use crate::protocol::ids::ClientId;
use crate::protocol::kind::{Gift, Kind};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The log time after its last gift at which a combo is over.
pub const PAUSE_MS: u64 = 60_000;

/// Combos at one time. Beyond it, the combo without a gift for the longest time is over.
pub const COMBOS_MAX: usize = 4_096;

type Name = (Arc<str>, ClientId);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    total: u64,
    at_ms: u64,
    /// The number of its newest entry in `order`.
    turn: u64,
}

impl Running {
    fn is_over(&self, at_ms: u64) -> bool {
        at_ms.saturating_sub(self.at_ms) > PAUSE_MS
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Combos {
    running: HashMap<Name, Running>,
    /// Gifts in order. An entry counts only while it is the newest of its combo.
    order: VecDeque<(Name, u64)>,
    turns: u64,
    cut: u64,
}

impl Combos {
    /// Takes the log's next record. Returns the running total if it is a gift with a combo.
    pub fn apply(&mut self, record: &Record) -> Option<u64> {
        let Event::Post(post) = &record.event else { return None };
        match &post.kind {
            Kind::Gift(gift) => self.give(gift, record.at_ms),
            _ => None,
        }
    }

    /// Writes running totals into the gifts of a batch that goes to the log at its time `at_ms`.
    pub fn stamp(&self, events: &mut [Event], at_ms: u64) {
        let mut ahead: HashMap<Name, u64> = HashMap::new();
        for event in events {
            let Event::Post(post) = event else { continue };
            let Kind::Gift(gift) = &mut post.kind else { continue };
            gift.total = gift.combo.clone().map(|combo| {
                let name = (Arc::clone(&gift.user.id), combo);
                let before = self.running.get(&name).filter(|running| !running.is_over(at_ms));
                let before = before.map_or(0, |running| running.total);
                let total = ahead.entry(name).or_insert(before);
                *total = total.saturating_add(gift.count);
                *total
            });
        }
    }

    /// Combos that may still be running.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Combos ended by [`COMBOS_MAX`] since the last call.
    pub fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.cut)
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    fn give(&mut self, gift: &Gift, at_ms: u64) -> Option<u64> {
        let name = (Arc::clone(&gift.user.id), gift.combo.clone()?);
        self.let_go(at_ms);
        self.turns += 1;
        let turn = self.turns;
        let running = self.running.entry(name.clone()).or_insert(Running { total: 0, at_ms, turn });
        let total = running.total.saturating_add(gift.count).max(gift.total.unwrap_or(0));
        *running = Running { total, at_ms, turn };
        self.order.push_back((name, turn));
        self.bound();
        Some(total)
    }

    /// Removes combos that are over at `at_ms`.
    fn let_go(&mut self, at_ms: u64) {
        while let Some((name, turn)) = self.order.front() {
            match self.running.get(name) {
                Some(running) if running.turn == *turn => {
                    if !running.is_over(at_ms) {
                        return;
                    }
                    self.running.remove(name);
                }
                _ => {} // A later entry counts.
            }
            self.order.pop_front();
        }
    }

    fn bound(&mut self) {
        while self.running.len() > COMBOS_MAX {
            let Some((name, turn)) = self.order.pop_front() else { return };
            if self.running.get(&name).is_some_and(|running| running.turn == turn) {
                self.running.remove(&name);
                self.cut += 1;
            }
        }
        // A long combo leaves an entry for each gift. When most entries no longer count, they are removed.
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

    fn total(event: &Event) -> Option<u64> {
        match event {
            Event::Post(post) => {
                if let Kind::Gift(gift) = &post.kind {
                    gift.total
                } else {
                    None
                }
            }
            _ => None,
        }
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
    fn what_goes_to_the_log_together_is_stamped_as_it_will_be_counted() {
        let mut combos = Combos::default();
        combos.apply(&gift("a", Some("x"), 4, 1));
        combos.apply(&gift("b", Some("x"), 9, 1));
        let batch = [("a", Some("x")), ("a", None), ("a", Some("x")), ("a", Some("y"))];
        let stamped = |combos: &Combos, at_ms| {
            let mut events: Vec<_> = batch.iter().map(|(user, combo)| gift(user, *combo, 2, at_ms).event).collect();
            combos.stamp(&mut events, at_ms);
            events
        };
        let totals = |events: &[Event]| events.iter().map(total).collect::<Vec<_>>();
        assert_eq!(
            totals(&stamped(&combos, PAUSE_MS + 2)),
            [Some(2), None, Some(4), Some(2)],
            "the pause was too long"
        );
        let events = stamped(&combos, PAUSE_MS + 1);
        assert_eq!(totals(&events), [Some(6), None, Some(8), Some(2)]);
        let mut elsewhere = Combos::default();
        for event in events {
            let record = Record { offset: 1, at_ms: PAUSE_MS + 1, digest: Hex64(0), event };
            assert_eq!(combos.apply(&record), total(&record.event));
            assert_eq!(elsewhere.apply(&record), total(&record.event), "a reader that starts here knows it too");
        }
    }

    #[test]
    fn a_total_that_another_nodes_gift_overtook_does_not_hold() {
        let mut combos = Combos::default();
        let mut apply = |stamp| {
            let mut record = gift("a", Some("x"), 1, 1);
            combos.stamp(std::slice::from_mut(&mut record.event), 1);
            if let (Some(stamp), Event::Post(post)) = (stamp, &mut record.event)
                && let Kind::Gift(gift) = &mut post.kind
            {
                gift.total = Some(stamp);
            }
            combos.apply(&record)
        };
        assert_eq!([apply(None), apply(None), apply(Some(2)), apply(None)], [Some(1), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn everything_is_bounded() {
        let mut combos = Combos::default();
        for n in 0..3 * COMBOS_MAX as u64 {
            combos.apply(&gift(&format!("u{n}"), Some("x"), 1, 1));
            combos.apply(&gift("long", Some("x"), 1, 1));
            assert!(combos.len() <= COMBOS_MAX && combos.order.len() <= 2 * COMBOS_MAX);
        }
        assert_eq!(combos.take_cut(), 2 * COMBOS_MAX as u64 + 1, "all but the bound, and the long one");
        assert_eq!(combos.apply(&gift("long", Some("x"), 1, 1)), Some(3 * COMBOS_MAX as u64 + 1), "it is the newest");
        assert_eq!(combos.apply(&gift("u0", Some("x"), 1, 1)), Some(1), "the oldest is over");
        assert_eq!(combos.apply(&gift("z", Some("x"), 1, PAUSE_MS + 2)), Some(1));
        assert_eq!((combos.len(), combos.order.len()), (1, 1));
    }

    proptest! {
        /// Compares with the plain rule: the sum over the gifts since the last pause.
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
