//! The viewers of one group of rooms, as one worker has them: who speaks next, and what is counted by group.
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
    /// Worker `worker` of `workers` begins that far round, so that not all of them speak in the same room.
    pub(super) fn new(viewers: Range<usize>, worker: usize, workers: usize) -> Self {
        let speaker = viewers.start + viewers.len() * worker / workers.max(1);
        Self { speaker, viewers, histograms: Histograms::new(), result: GroupResult::default() }
    }

    /// Whose turn to speak it is: one after the other, which with many rooms is also one room after the other.
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
