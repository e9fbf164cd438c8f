//! Removes old events from closed rooms, and closed rooms that are empty or expired.
//!
//! Does not know: batches, deliveries.

use super::store::DiskStore;
use crate::clock;
use crate::limits::RETAIN_EVENTS_MAX;
use crate::log::Retention;
use crate::log::disk::retention;
use crate::log::disk::row::RoomRow;
use crate::log::disk::shared::LogShared;

/// Closed rooms that one look goes through: 100,000 of them in a quarter of an hour, each for a few microseconds.
const SWEEP_ROOMS: usize = 128;

/// Stored rooms that are examined for rooms to evict when the bound on them is reached.
const EVICT_ROOMS: usize = 1_024;

/// What an event that is removed costs the WAL, about.
const REMOVED_EVENT_BYTES: usize = 64;

pub(super) struct ClosedRooms {
    /// How long closed rooms keep an event.
    age_ms: u64,
    /// The room number up to which closed rooms were swept in this round.
    swept_to: i64,
    /// The same for the search for rooms to evict.
    evicted_to: i64,
}

impl ClosedRooms {
    pub(super) fn new(age_ms: u64) -> Self {
        Self { age_ms, swept_to: 0, evicted_to: 0 }
    }

    /// Removes old events of some closed rooms, and some events of rooms that are gone. Returns the bytes, about, that
    /// this wrote to the WAL.
    pub(super) fn sweep(&mut self, store: &mut DiskStore, shared: &LogShared) -> usize {
        let now_ms = clock::patient_ms();
        let done = store.in_transaction(|conn| {
            let (gone, free) = retention::sweep_doomed(conn, RETAIN_EVENTS_MAX)?;
            let (rooms, next) = retention::rooms_after(conn, self.swept_to, SWEEP_ROOMS)?;
            let mut left = RETAIN_EVENTS_MAX.saturating_sub(gone);
            let age = Retention { age_ms: self.age_ms, events: usize::MAX, bytes: usize::MAX };
            for mut row in rooms {
                if shared.rooms.contains_key(&row.name) {
                    continue;
                }
                if retention::is_expired(&row, self.age_ms, now_ms) {
                    retention::doom(conn, row.id)?;
                } else if let Some(base) = row.base.clone() {
                    let some = retention::trim(conn, &mut row, &age, now_ms, Some(&base), left)?;
                    if some > 0 {
                        row.store(conn)?;
                        left -= some;
                    }
                }
            }
            Ok((free, next, RETAIN_EVENTS_MAX - left))
        });
        let Some((free, next, removed)) = done else { return 0 };
        if let Some(id) = free {
            store.free(id);
        }
        self.swept_to = next.unwrap_or(0);
        shared.metrics.dropped.increment(removed as u64);
        removed * REMOVED_EVENT_BYTES
    }

    /// Removes some closed rooms that are empty or expired, because the bound on stored rooms is reached.
    pub(super) fn evict(&mut self, store: &mut DiskStore, shared: &LogShared) {
        let now_ms = clock::patient_ms();
        let done = store.in_transaction(|conn| {
            let (rooms, next) = retention::rooms_after(conn, self.evicted_to, EVICT_ROOMS)?;
            let is_closed = |row: &&RoomRow| !shared.rooms.contains_key(&row.name);
            let is_spare = |row: &&RoomRow| row.events == 0 || retention::is_expired(row, self.age_ms, now_ms);
            for row in rooms.iter().filter(is_closed).filter(is_spare).take(EVICT_ROOMS / 16) {
                retention::doom(conn, row.id)?;
            }
            let mut free = Vec::new();
            let mut left = RETAIN_EVENTS_MAX;
            while let (gone, Some(id)) = retention::sweep_doomed(conn, left)? {
                free.push(id);
                left -= gone;
            }
            Ok((free, next))
        });
        if let Some((free, next)) = done {
            self.evicted_to = next.unwrap_or(0);
            for id in free {
                store.free(id);
            }
        }
    }
}
