//! Numbers of stored rooms, and their epochs.
//!
//! Numbers are small and used again, so that the side file of heads, which has an entry per number, stays small too.
//!
//! Does not know: names.

use crate::protocol::ids::{Epoch, Hex64};

/// See the module's page.
#[derive(Debug)]
pub(super) struct Ids {
    /// Below `next`, and not in use.
    free: Vec<i64>,
    next: i64,
    used: usize,
    max: usize,
}

impl Ids {
    /// None in use; at most `max` at one time.
    pub(super) fn new(max: usize) -> Self {
        Self { free: Vec::new(), next: 1, used: 0, max }
    }

    /// Notes a number that is in use; they come in rising order.
    pub(super) fn note(&mut self, id: i64) {
        // A gap larger than the bound can only come from damage; its numbers are not missed.
        let gap = self.next.max(id - self.max as i64)..id;
        let space = self.max.saturating_sub(self.free.len());
        self.free.extend(gap.take(space));
        self.next = self.next.max(id + 1);
        self.used += 1;
    }

    /// A number for a new room; `None` when all are in use.
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

    /// The number is in use no more, or never was.
    pub(super) fn give_back(&mut self, id: i64) {
        self.free.push(id);
        self.used = self.used.saturating_sub(1);
    }

    /// How many are in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn is_full(&self) -> bool {
        self.used >= self.max
    }

    /// A new one, at random: clients of any other incarnation must not take it for theirs.
    #[expect(clippy::unused_self, reason = "one place for both")]
    pub(super) fn epoch(&self) -> Epoch {
        Hex64(rand::random())
    }
}
