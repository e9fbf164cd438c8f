//! What of a tick's comments the viewers are shown.
//!
//! The choice is first come, first shown: of the records of one log time (a batch, which is a tick), up to the budget in
//! log order; the rest is shed and counted, and stays in the log. So the choice follows from the log alone: a replay, a
//! resume and another node choose the same, wherever their frames begin and end.
//!
//! Does not know: the log, counters, bytes.

use crate::protocol::event::Comment;
use crate::protocol::frame::{FrameEvent, ShedClass};
use crate::protocol::ids::Offset;
use crate::protocol::message::Outcome;
use std::collections::BTreeMap;

/// The choice, and what of it no frame has told yet.
#[derive(Clone, Debug)]
pub struct Selection {
    events_max: usize,
    /// The log time that is being chosen from, and how many of it are shown.
    at_ms: u64,
    used: usize,
    shown: Vec<FrameEvent>,
    shed: u64,
}

impl Selection {
    /// An empty choice of at most `events_max` comments per log time.
    pub fn new(events_max: usize) -> Self {
        Self { events_max, at_ms: 0, used: 0, shown: Vec::new(), shed: 0 }
    }

    /// An empty choice goes on inside the log time `at_ms`, of which `used` comments were shown before.
    pub fn resume(&mut self, at_ms: u64, used: usize) {
        (self.at_ms, self.used) = (at_ms, used);
    }

    /// Whether the next comment of the log, of the log time `at_ms`, is shown; uses up its place.
    pub fn admits(&mut self, at_ms: u64) -> bool {
        if self.at_ms != at_ms {
            (self.at_ms, self.used) = (at_ms, 0);
        }
        let admitted = self.used < self.events_max;
        self.used += usize::from(admitted);
        admitted
    }

    /// Decides about the next comment of the log.
    pub fn offer(&mut self, offset: Offset, at_ms: u64, comment: &Comment) -> Outcome {
        if self.admits(at_ms) {
            self.shown.push(FrameEvent::comment(offset, comment.clone()));
            Outcome::Shown
        } else {
            self.shed += 1;
            Outcome::Shed
        }
    }

    /// Ends a frame: the shown events, and how many were left out by class.
    pub fn take(&mut self) -> (Vec<FrameEvent>, BTreeMap<ShedClass, u64>) {
        let shed = std::mem::take(&mut self.shed);
        let by_class = if shed == 0 { BTreeMap::new() } else { BTreeMap::from([(ShedClass::Normal, shed)]) };
        (std::mem::take(&mut self.shown), by_class)
    }

    /// Gives a used list back, so that the next tick need not grow one. Ignored if the next tick has begun.
    pub fn recycle(&mut self, mut used: Vec<FrameEvent>) {
        used.clear();
        if self.shown.is_empty() && used.capacity() > self.shown.capacity() {
            self.shown = used;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::tests::comment;

    #[test]
    fn the_first_of_a_tick_are_shown_and_the_rest_is_counted() {
        let mut selection = Selection::new(2);
        let outcomes: Vec<_> = (1..=5).map(|offset| selection.offer(offset, 1, &comment("u", "x"))).collect();
        assert_eq!(outcomes, [Outcome::Shown, Outcome::Shown, Outcome::Shed, Outcome::Shed, Outcome::Shed]);
        let (shown, shed) = selection.take();
        assert_eq!(shown.iter().map(|e| e.offset).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(shed, BTreeMap::from([(ShedClass::Normal, 3)]));
        assert_eq!(selection.take(), (vec![], BTreeMap::new()), "a new frame begins empty");
    }

    #[test]
    fn the_choice_does_not_depend_on_where_frames_end() {
        let times = [1, 1, 1, 1, 2, 2, 2, 5, 5, 9];
        let choose = |frame_ends: &[usize]| {
            let mut selection = Selection::new(2);
            let decide = |(n, at_ms): (usize, &u64)| {
                if frame_ends.contains(&n) {
                    selection.take();
                }
                selection.offer(n as u64 + 1, *at_ms, &comment("u", "x"))
            };
            times.iter().enumerate().map(decide).collect::<Vec<_>>()
        };
        assert_eq!(choose(&[]), choose(&[1, 2, 3, 5, 8]));
        assert_eq!(choose(&[]).iter().filter(|outcome| **outcome == Outcome::Shown).count(), 7);
    }

    #[test]
    fn a_recycled_list_never_replaces_a_begun_one() {
        let mut selection = Selection::new(2);
        selection.offer(1, 1, &comment("u", "x"));
        selection.recycle(Vec::with_capacity(100));
        assert_eq!(selection.take().0.len(), 1);
    }
}
