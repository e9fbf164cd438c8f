//! The numbers of stored rooms, and new epochs.
//!
//! Numbers are small and reused, so that the side file of heads, which has an entry per number, stays small.
//!
//! Does not know: names.

use crate::protocol::ids::{Epoch, Hex64};

#[derive(Debug)]
pub(super) struct Ids {
    /// Numbers below `next` that are not in use.
    free: Vec<i64>,
    next: i64,
    used: usize,
    max: usize,
}

impl Ids {
    /// No number is in use; at most `max` will be at the same time.
    pub(super) fn new(max: usize) -> Self {
        Self { free: Vec::new(), next: 1, used: 0, max }
    }

    /// Marks a number as in use. Numbers must be given in rising order.
    pub(super) fn note(&mut self, id: i64) {
        // A gap larger than the bound can only come from damage. Its numbers need not be found again.
        let gap = self.next.max(id - self.max as i64)..id;
        let space = self.max.saturating_sub(self.free.len());
        self.free.extend(gap.take(space));
        self.next = self.next.max(id + 1);
        self.used += 1;
    }

    /// A number for a new room; `None` if all are in use.
    pub(super) fn take(&mut self) -> Option<i64> {
        if self.is_full() {
            return None;
        }
        self.used += 1;
        self.free.pop().or_else(|| {
            self.next += 1;
            Some(self.next - 1)
        })
    }

    /// Makes a number available that is no longer in use, or was never used.
    pub(super) fn give_back(&mut self, id: i64) {
        self.free.push(id);
        self.used = self.used.saturating_sub(1);
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn is_full(&self) -> bool {
        self.used >= self.max
    }

    /// A random epoch, so that clients never mistake the log for another incarnation of it.
    #[expect(clippy::unused_self, reason = "numbers and epochs come from one place")]
    pub(super) fn epoch(&self) -> Epoch {
        Hex64(rand::random())
    }
}
