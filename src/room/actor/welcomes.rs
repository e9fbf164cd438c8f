//! The welcomes of one moment: newcomers that join between two frames share their bytes.
//!
//! Does not know: what a welcome says, who joins.

use crate::limits::WELCOMES_MAX;
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;

/// At most [`WELCOMES_MAX`] tails, by how many events they show; the oldest makes room for a new one.
#[derive(Default)]
pub(super) struct Welcomes {
    tails: Vec<(usize, Arc<WelcomeTail>)>,
}

impl Welcomes {
    /// Call when a frame goes out or the tick changes: the tails tell both.
    pub(super) fn clear(&mut self) {
        self.tails.clear();
    }

    /// The tail with `events` events, made by `make` if there is none. A tail is used until its `online` is off by more than
    /// a sixteenth (below 16 each connection counts).
    pub(super) fn get(&mut self, events: usize, online: u64, make: impl FnOnce() -> WelcomeTail) -> Arc<WelcomeTail> {
        self.tails.retain(|(_, tail)| online.abs_diff(tail.online()) * 16 <= tail.online());
        if let Some((_, tail)) = self.tails.iter().find(|(known, _)| *known == events) {
            return tail.clone();
        }
        if self.tails.len() == WELCOMES_MAX {
            self.tails.remove(0);
        }
        let tail = Arc::new(make());
        self.tails.push((events, tail.clone()));
        tail
    }
}
