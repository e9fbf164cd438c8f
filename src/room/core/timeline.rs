//! The settings in force at each log time: the last changes, so that a page of the past shows a stretch as it was shown
//! live.
//!
//! A change takes effect with the log time after its own: one log time has one set of settings. Only the owner's
//! changes are kept and saved. Below them are the settings of the configuration.
//!
//! Does not know: the meaning of the settings.

use crate::protocol::settings::{RoomSettings, SettingsPatch};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// The number of remembered changes. An older stretch is shown with the oldest known settings.
const CHANGES_MAX: usize = 64;

/// Bytes of remembered changes, as JSON: enough for all 64 unless they contain lists of words.
const CHANGES_BYTES_MAX: usize = 32 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsTimeline {
    /// The initial settings.
    configured: RoomSettings,
    /// By rising time; never empty.
    changes: VecDeque<Change>,
    bytes: usize,
}

/// Settings in force after a log time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    since_ms: u64,
    /// All changes of the owner so far.
    patch: SettingsPatch,
    /// The size of the patch as JSON.
    bytes: usize,
    settings: Arc<RoomSettings>,
}

/// A change in a base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedChange {
    since_ms: u64,
    patch: SettingsPatch,
}

impl SettingsTimeline {
    /// A timeline with `settings` in force from the beginning.
    pub fn new(settings: RoomSettings) -> Self {
        let mut timeline = Self { configured: settings, changes: VecDeque::new(), bytes: 0 };
        timeline.put(0, SettingsPatch::default());
        timeline
    }

    /// Changes the settings by `patch`, with effect after the log time `at_ms`.
    pub fn change(&mut self, at_ms: u64, patch: &SettingsPatch) {
        let mut all = self.changes[self.changes.len() - 1].patch.clone();
        add(&mut all, patch);
        self.put(at_ms, all);
    }

    fn put(&mut self, since_ms: u64, patch: SettingsPatch) {
        // Several changes in one log time are one change.
        if let Some(known) = self.changes.pop_back_if(|known| known.since_ms == since_ms) {
            self.bytes -= known.bytes;
        }
        let mut settings = self.configured.clone();
        settings.change(&patch);
        let bytes = serde_json::to_vec(&patch).map_or(0, |json| json.len());
        self.bytes += bytes;
        self.changes.push_back(Change { since_ms, patch, bytes, settings: settings.into() });
        while self.changes.len() > 1 && (self.changes.len() > CHANGES_MAX || self.bytes > CHANGES_BYTES_MAX) {
            self.bytes -= self.changes.pop_front().map_or(0, |gone| gone.bytes);
        }
    }

    /// The settings in force at the log time `at_ms`.
    pub fn at(&self, at_ms: u64) -> &Arc<RoomSettings> {
        let in_force = self.changes.iter().rev().find(|change| change.since_ms < at_ms);
        &in_force.unwrap_or(&self.changes[0]).settings
    }

    /// The settings in force from the next log time on.
    pub fn newest(&self) -> &Arc<RoomSettings> {
        &self.changes[self.changes.len() - 1].settings
    }

    /// The changes for a base.
    pub(super) fn save(&self) -> Vec<SavedChange> {
        let save = |change: &Change| SavedChange { since_ms: change.since_ms, patch: change.patch.clone() };
        self.changes.iter().map(save).collect()
    }

    /// The timeline of a base, with the settings that the room begins with now.
    pub(super) fn restore(settings: RoomSettings, saved: Vec<SavedChange>) -> Self {
        let mut timeline = Self::new(settings);
        if !saved.is_empty() {
            (timeline.changes, timeline.bytes) = (VecDeque::new(), 0); // The saved changes say whether the beginning is known.
        }
        for SavedChange { since_ms, patch } in saved {
            timeline.put(since_ms, patch);
        }
        timeline
    }
}

/// The change that `all` and then `patch` make together.
fn add(all: &mut SettingsPatch, patch: &SettingsPatch) {
    // Each setting is named, so that the compiler shows a new setting that is missing here.
    let SettingsPatch {
        budget,
        tick_ms,
        slow_ms,
        merge,
        allowed,
        text_max,
        mute_all,
        classes,
        question_bonus,
        word_bonus,
        words,
    } = patch.clone();
    all.budget = budget.or(all.budget);
    all.tick_ms = tick_ms.or(all.tick_ms);
    all.slow_ms = slow_ms.or(all.slow_ms);
    all.merge = merge.or(all.merge);
    all.allowed = allowed.or(all.allowed.take());
    all.text_max = text_max.or(all.text_max);
    all.mute_all = mute_all.or(all.mute_all);
    all.classes.extend(classes);
    all.question_bonus = question_bonus.or(all.question_bonus);
    all.word_bonus = word_bonus.or(all.word_bonus);
    all.words = words.or(all.words.take());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::settings::{Class, Classed};

    fn begun() -> SettingsTimeline {
        SettingsTimeline::new(RoomSettings::new(Some(1), 100))
    }

    fn budget(budget: u32) -> SettingsPatch {
        SettingsPatch { budget: Some(budget), ..SettingsPatch::default() }
    }

    #[test]
    fn a_change_is_in_force_from_the_next_log_time_on() {
        let mut timeline = begun();
        timeline.change(10, &budget(2));
        timeline.change(10, &budget(3));
        timeline.change(20, &budget(4));
        let at = |at_ms| timeline.at(at_ms).budget.unwrap();
        assert_eq!([1, 10, 11, 20, 21, 99].map(at), [1, 1, 3, 3, 4, 4]);
        assert_eq!(timeline.newest().budget, Some(4));
    }

    #[test]
    fn changes_add_up() {
        let mut timeline = begun();
        timeline.change(1, &SettingsPatch { slow_ms: Some(9), ..budget(2) });
        let classes = [(Classed::Guest, Class::Low)].into();
        timeline.change(1, &SettingsPatch { mute_all: Some(true), classes, ..SettingsPatch::default() });
        timeline.change(2, &SettingsPatch { budget: Some(0), ..SettingsPatch::default() });
        let newest = timeline.newest();
        assert_eq!((newest.budget, newest.slow_ms, newest.mute_all), (None, 9, true));
        assert_eq!(newest.class(Classed::Guest), Class::Low);
        assert_eq!(timeline.at(2).budget, Some(2));
    }

    #[test]
    fn old_changes_are_forgotten() {
        let mut timeline = begun();
        (1..=1_000).for_each(|at_ms| timeline.change(at_ms, &budget(at_ms as u32)));
        assert_eq!(timeline.changes.len(), CHANGES_MAX);
        assert_eq!(timeline.at(1_001).budget, Some(1_000));
        assert_eq!(timeline.at(1).budget, timeline.changes[0].settings.budget);
    }

    #[test]
    fn long_changes_are_bounded_by_bytes() {
        let mut timeline = begun();
        for n in 0..200_u64 {
            let words = (0..32).map(|_| "词".repeat(32).into()).collect();
            timeline.change(n + 1, &SettingsPatch { words: Some(words), ..budget(n as u32 + 1) });
            let saved = serde_json::to_vec(&timeline.save()).unwrap().len();
            assert!(saved <= CHANGES_BYTES_MAX + 64 * CHANGES_MAX, "{saved} bytes");
        }
        assert!(timeline.changes.len() > 5, "only {} are kept", timeline.changes.len());
        assert_eq!(timeline.newest().budget, Some(200));
    }

    #[test]
    fn a_restored_timeline_is_the_same_over_the_present_configuration() {
        let mut timeline = begun();
        (1..=100).for_each(|at_ms| timeline.change(at_ms, &budget(at_ms as u32)));
        let json = serde_json::to_vec(&timeline.save()).unwrap();
        let saved: Vec<SavedChange> = serde_json::from_slice(&json).unwrap();
        let restored = SettingsTimeline::restore(RoomSettings::new(Some(1), 100), saved.clone());
        assert_eq!(restored, timeline);
        let other = SettingsTimeline::restore(RoomSettings::new(Some(1), 250), saved);
        assert_eq!((other.newest().budget, other.newest().tick_ms), (Some(100), 250));
        let untouched = SettingsTimeline::restore(RoomSettings::new(Some(7), 250), begun().save());
        assert_eq!(untouched.newest().budget, Some(7), "who changed nothing follows the configuration");
    }
}
