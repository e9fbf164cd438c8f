//! About how much the write-ahead log (WAL) holds, and when it is copied into the database.
//!
//! Does not know: SQLite, the clock.

/// A WAL that is not empty is copied after this long in any case.
const CHECKPOINT_US: u64 = 30_000_000;

pub(super) struct WalGauge {
    bytes: usize,
    /// Copied when it holds about this much.
    limit_bytes: usize,
    /// When it was last copied, or that was tried.
    copied_us: u64,
}

impl WalGauge {
    pub(super) fn new(limit_bytes: usize, now_us: u64) -> Self {
        Self { bytes: 0, limit_bytes, copied_us: now_us }
    }

    pub(super) fn grew(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) fn is_due(&self, now_us: u64) -> bool {
        let is_old = self.bytes > 0 && now_us.saturating_sub(self.copied_us) > CHECKPOINT_US;
        self.bytes >= self.limit_bytes || is_old
    }

    /// The disk is full: copying frees space in the WAL for the next batch.
    pub(super) fn make_due(&mut self) {
        self.copied_us = 0;
        self.bytes = self.bytes.max(1);
    }

    /// A copy was tried. `done`: whether all of it was copied, or that it failed.
    pub(super) fn copied(&mut self, done: Result<bool, ()>, now_us: u64) {
        self.copied_us = now_us;
        self.bytes = match done {
            Ok(true) => 0,
            // A reader held some of it: tried again soon.
            Ok(false) => self.bytes / 2,
            Err(()) => 1,
        };
    }
}
