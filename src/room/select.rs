//! What of a tick's comments the viewers are shown.
//!
//! The choice is first come, first shown: up to the frame's budget in log order, the rest is shed and
//! counted. It stays in the log; history and resume have it.
//!
//! Does not know: the log, counters, bytes.

use crate::protocol::event::Comment;
use crate::protocol::frame::{FrameEvent, ShedClass};
use crate::protocol::ids::Offset;
use crate::protocol::message::Outcome;
use std::collections::BTreeMap;

/// The open tick's choice.
#[derive(Debug)]
pub struct Selection {
    events_max: usize,
    shown: Vec<FrameEvent>,
    shed: u64,
}

impl Selection {
    /// An empty choice of at most `events_max` comments.
    pub fn new(events_max: usize) -> Self {
        Self { events_max, shown: Vec::new(), shed: 0 }
    }

    /// Decides about the next comment of the log.
    pub fn offer(&mut self, offset: Offset, comment: &Comment) -> Outcome {
        if self.shown.len() < self.events_max {
            self.shown.push(FrameEvent { offset, comment: Some(comment.clone()) });
            Outcome::Shown
        } else {
            self.shed += 1;
            Outcome::Shed
        }
    }

    /// Ends the tick: the shown events, and how many were left out by class.
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
        let outcomes: Vec<_> = (1..=5).map(|offset| selection.offer(offset, &comment("u", "x"))).collect();
        assert_eq!(outcomes, [Outcome::Shown, Outcome::Shown, Outcome::Shed, Outcome::Shed, Outcome::Shed]);
        let (shown, shed) = selection.take();
        assert_eq!(shown.iter().map(|e| e.offset).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(shed, BTreeMap::from([(ShedClass::Normal, 3)]));
        assert_eq!(selection.take(), (vec![], BTreeMap::new()), "a new tick begins empty");
    }

    #[test]
    fn a_recycled_list_never_replaces_a_begun_one() {
        let mut selection = Selection::new(2);
        selection.offer(1, &comment("u", "x"));
        selection.recycle(Vec::with_capacity(100));
        assert_eq!(selection.take().0.len(), 1);
    }
}
