//! Decides when a room tells its log what to keep. In a small room every batch is one comment, so it does not tell with
//! each batch.
//!
//! Telling costs a log more than a comment does: a base to write, and a look at the oldest record. So a room tells
//! after a number of records or a time that are a small part of what the log keeps.
//!
//! Does not know: how a log drops records, when a room runs.

use crate::log::{Log, Retention};
use crate::protocol::ids::{Offset, RoomId};
use crate::room::core::Core;

/// The number of records after which the log is told at the latest: about one busy tick. A replay after a crash reads
/// up to this many more.
const RECORDS_MAX: u64 = 256;

/// The minimum size of a record, about; with it a log that is bounded by bytes is told in time.
const RECORD_BYTES: u64 = 256;

/// The maximum time between two tellings in a quiet room.
const PAUSE_US_MAX: u64 = 60_000_000;

/// The log may keep this part (1/64) more than its bounds.
const PARTS: u64 = 64;

#[derive(Debug)]
pub(super) struct Upkeep {
    retention: Retention,
    records: u64,
    pause_us: u64,
    told: Offset,
    told_us: u64,
}

impl Upkeep {
    /// For a room that opens at `now_us`.
    pub(super) fn new(retention: Retention, now_us: u64) -> Self {
        let Retention { age_ms, events, bytes } = retention;
        let records = (events as u64 / PARTS).min(bytes as u64 / PARTS / RECORD_BYTES).clamp(1, RECORDS_MAX);
        let pause_us = (age_ms / PARTS).saturating_mul(1_000).min(PAUSE_US_MAX);
        Self { retention, records, pause_us, told: 0, told_us: now_us }
    }

    /// Tells the log if it is due. `log_ms` is the log's own time, so the age of an event does not depend on a wall
    /// clock.
    pub(super) fn tell(&mut self, log: &dyn Log, room: &RoomId, core: &Core, now_us: u64, log_ms: u64) {
        // While a poll is open there must be no newer base: a replay needs the poll's opening and all votes.
        if !core.board().has_open_poll() && self.is_due(core.last(), now_us) {
            log.retain(room, &self.retention, log_ms, core.base());
        }
    }

    /// Whether it is due; if so, it counts as done.
    fn is_due(&mut self, last: Offset, now_us: u64) -> bool {
        // Only the age limit needs the telling after a time, and an empty log has no age.
        let waited = last > 0 && now_us.saturating_sub(self.told_us) >= self.pause_us;
        let is_due = waited || last.saturating_sub(self.told) >= self.records;
        if is_due {
            (self.told, self.told_us) = (last, now_us);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Retention = Retention { age_ms: u64::MAX, events: 1_000_000, bytes: 1 << 30 };

    /// The number of tellings over `records` batches of one record each, `step_us` apart.
    fn tellings(retention: Retention, records: u64, step_us: u64) -> usize {
        let mut upkeep = Upkeep::new(retention, 0);
        (1..=records).filter(|last| upkeep.is_due(*last, last * step_us)).count()
    }

    #[test]
    fn a_log_is_told_after_a_small_part_of_what_it_keeps() {
        assert_eq!(tellings(PLENTY, 10 * RECORDS_MAX, 1), 10);
        assert_eq!(tellings(Retention { events: 10, ..PLENTY }, 100, 1), 100, "of ten none may be too much");
        assert_eq!(tellings(Retention { bytes: 1 << 20, ..PLENTY }, 640, 1), 10, "64 of these may be 16 KiB");
    }

    #[test]
    fn a_quiet_room_is_told_by_the_clock_and_an_empty_one_never() {
        assert_eq!(tellings(PLENTY, 60, PAUSE_US_MAX / 6), 10);
        assert_eq!(tellings(Retention { age_ms: 64_000, ..PLENTY }, 60, 500_000), 30, "a second too much of 64");
        assert!(!Upkeep::new(PLENTY, 0).is_due(0, u64::MAX));
    }
}
