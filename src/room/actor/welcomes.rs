//! The welcomes of one moment: newcomers that join between two frames share their bytes.
//!
//! Does not know: the content of a welcome, newcomers.

use crate::limits::WELCOMES_MAX;
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;

/// At most [`WELCOMES_MAX`] tails, by their number of events; the oldest is removed for a new one.
#[derive(Default)]
pub(super) struct Welcomes {
    tails: Vec<(usize, Arc<WelcomeTail>)>,
}

impl Welcomes {
    /// Call when a frame goes out or the tick changes, because both are in the tails.
    pub(super) fn clear(&mut self) {
        self.tails.clear();
    }

    /// The tail with `events` events; `make` makes it if there is none. A tail is used until the number of connections
    /// differs from its own by more than a sixteenth (below 16: by 1).
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
