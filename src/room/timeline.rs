//! Which settings were in force when: the last changes, so that a stretch of the past is shown as it was shown live.
//!
//! A change takes effect with the log time after its own: one log time, one set of settings.
//!
//! Does not know: what the settings mean.

use crate::protocol::settings::RoomSettings;
use std::collections::VecDeque;
use std::sync::Arc;

/// Changes that are remembered; of older stretches the oldest known settings are believed.
const CHANGES_MAX: usize = 64;

/// See the module's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Rising: from after which log time on, and what.
    changes: VecDeque<(u64, Arc<RoomSettings>)>,
}

impl Timeline {
    /// `settings` have been in force for ever.
    pub fn new(settings: RoomSettings) -> Self {
        Self { changes: VecDeque::from([(0, Arc::new(settings))]) }
    }

    /// After the log time `at_ms`, `settings` are in force.
    pub fn change(&mut self, at_ms: u64, settings: RoomSettings) {
        match self.changes.back_mut() {
            // Several changes in one log time: the last one counts.
            Some((since, known)) if *since == at_ms => *known = Arc::new(settings),
            _ => self.changes.push_back((at_ms, Arc::new(settings))),
        }
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
    }

    /// What is in force at the log time `at_ms`.
    pub fn at(&self, at_ms: u64) -> &Arc<RoomSettings> {
        let in_force = self.changes.iter().rev().find(|(since, _)| *since < at_ms);
        &in_force.unwrap_or(&self.changes[0]).1
    }

    /// What will be in force with the next log time.
    pub fn newest(&self) -> &Arc<RoomSettings> {
        &self.changes[self.changes.len() - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(budget: u32) -> RoomSettings {
        RoomSettings::new(Some(budget), 100)
    }

    #[test]
    fn a_change_is_in_force_from_the_next_log_time_on() {
        let mut timeline = Timeline::new(budget(1));
        timeline.change(10, budget(2));
        timeline.change(10, budget(3));
        timeline.change(20, budget(4));
        let at = |at_ms| timeline.at(at_ms).budget.unwrap();
        assert_eq!([1, 10, 11, 20, 21, 99].map(at), [1, 1, 3, 3, 4, 4]);
        assert_eq!(timeline.newest().budget, Some(4));
    }

    #[test]
    fn old_changes_are_forgotten() {
        let mut timeline = Timeline::new(budget(1));
        (1..=1_000).for_each(|at_ms| timeline.change(at_ms, budget(at_ms as u32)));
        assert_eq!(timeline.changes.len(), CHANGES_MAX);
        assert_eq!(timeline.at(1_001).budget, Some(1_000));
        assert_eq!(timeline.at(1).budget, timeline.changes[0].1.budget);
    }
}
