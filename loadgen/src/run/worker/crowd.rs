//! One worker's viewers of one group of rooms: which of them sends next, and what is counted by group.
//!
//! Does not know: sockets, rooms.

use super::viewer::Viewer;
use crate::run::messages::GroupResult;
use crate::run::timing::Histograms;
use std::ops::Range;

pub(super) struct GroupShare {
    /// Indices into the worker's viewers.
    pub(super) viewers: Range<usize>,
    pub(super) histograms: Histograms,
    pub(super) result: GroupResult,
    speaker: usize,
}

impl GroupShare {
    /// Each worker begins at a different viewer, so that they do not all send in the same room.
    pub(super) fn new(viewers: Range<usize>, worker: usize, workers: usize) -> Self {
        let speaker = viewers.start + viewers.len() * worker / workers.max(1);
        Self { speaker, viewers, histograms: Histograms::new(), result: GroupResult::default() }
    }

    /// The next sender. Viewers take turns, and so do the rooms if there are many.
    pub(super) fn next_speaker(&mut self) -> usize {
        self.speaker = if self.speaker + 1 < self.viewers.end { self.speaker + 1 } else { self.viewers.start };
        self.speaker
    }

    pub(super) fn into_result(self, viewers: &[Viewer]) -> GroupResult {
        let said = viewers[self.viewers.clone()].iter().map(|viewer| viewer.said).filter(|(all, _)| *all > 0);
        let speakers = said.map(|(all, shown)| (all.into(), shown.into())).collect();
        GroupResult { latencies: self.histograms.counts(), speakers, ..self.result }
    }
}
