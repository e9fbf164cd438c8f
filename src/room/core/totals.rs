//! The counts of a room over its log.
//!
//! Does not know: why an event is shown or not.

use super::select::Fate;
use crate::protocol::frame::ShedClass;
use serde::{Deserialize, Serialize};

/// Counts of the log up to an offset. Later records do not contain them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) likes: u64,
    pub(super) comments: u64,
    /// Events left out of frames.
    pub(super) shed: u64,
    #[serde(default)]
    pub(super) merged: u64,
}

/// Events that were left out or folded since the core was made, by [`crate::protocol::frame::ShedClass`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByClass {
    pub shed: [u64; 5],
    pub merged: [u64; 5],
}

/// The totals over the log, and the counts of this process.
#[derive(Debug, Default)]
pub(super) struct LogCounts {
    pub(super) totals: Totals,
    pub(super) by_class: ByClass,
}

impl LogCounts {
    /// Counts an event that is left out or folded, under the class `counted`.
    pub(super) fn count(&mut self, fate: Fate, counted: ShedClass) {
        let (total, by_class) = match fate {
            Fate::Shown => return,
            Fate::Merged { .. } => (&mut self.totals.merged, &mut self.by_class.merged),
            Fate::Shed => (&mut self.totals.shed, &mut self.by_class.shed),
        };
        *total += 1;
        by_class[counted as usize] += 1;
    }
}
