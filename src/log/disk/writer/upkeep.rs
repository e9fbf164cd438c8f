//! What the storage thread does by itself: it drops what is too old in closed rooms, and rooms that nobody needs.
//!
//! Does not know: batches, deliveries.

use super::{Failure, Writer, commit};
use crate::clock;
use crate::limits::RETAIN_EVENTS_MAX;
use crate::log::disk::retention;
use crate::log::disk::row::RoomRow;

/// Closed rooms that one look goes through: 100,000 of them in a quarter of an hour, each for a few microseconds.
const SWEEP_ROOMS: usize = 128;

/// Rooms that are looked through for one that can make place for a new one.
const EVICT_ROOMS: usize = 1_024;

impl Writer {
    /// Drops what is too old in some closed rooms, and some events of rooms that are gone.
    pub(super) fn sweep(&mut self) {
        let now_ms = clock::patient_ms();
        let after = self.swept_to;
        let done = self.in_transaction(|writer| {
            let (gone, free) = retention::sweep_doomed(&writer.conn, RETAIN_EVENTS_MAX)?;
            let (rooms, next) = retention::rooms_after(&writer.conn, after, SWEEP_ROOMS)?;
            let mut left = RETAIN_EVENTS_MAX.saturating_sub(gone);
            let age = crate::log::Retention { age_ms: writer.age_ms, events: usize::MAX, bytes: usize::MAX };
            for mut row in rooms {
                if writer.shared.rooms.contains_key(&row.name) {
                    continue;
                }
                if retention::is_expired(&row, writer.age_ms, now_ms) {
                    retention::doom(&writer.conn, row.id)?;
                } else if let Some(base) = row.base.clone() {
                    let some = retention::trim(&writer.conn, &mut row, &age, now_ms, Some(&base), left)?;
                    if some > 0 {
                        row.store(&writer.conn)?;
                        left -= some;
                    }
                }
            }
            Ok((free, next, RETAIN_EVENTS_MAX - left))
        });
        if let Some((free, next, dropped)) = done {
            self.free(free);
            self.swept_to = next.unwrap_or(0);
            self.shared.metrics.dropped.increment(dropped as u64);
            self.wal_bytes += dropped * 64;
        }
    }

    /// The bound on stored rooms is reached: some closed room that is empty or expired goes.
    pub(super) fn make_place(&mut self) {
        let now_ms = clock::patient_ms();
        let after = self.evicted_to;
        let done = self.in_transaction(|writer| {
            let (rooms, next) = retention::rooms_after(&writer.conn, after, EVICT_ROOMS)?;
            let is_closed = |row: &&RoomRow| !writer.shared.rooms.contains_key(&row.name);
            let is_spare = |row: &&RoomRow| row.events == 0 || retention::is_expired(row, writer.age_ms, now_ms);
            for row in rooms.iter().filter(is_closed).filter(is_spare).take(EVICT_ROOMS / 16) {
                retention::doom(&writer.conn, row.id)?;
            }
            let mut free = Vec::new();
            let mut left = RETAIN_EVENTS_MAX;
            while let (gone, Some(id)) = retention::sweep_doomed(&writer.conn, left)? {
                free.push(id);
                left -= gone;
            }
            Ok((free, next))
        });
        if let Some((free, next)) = done {
            self.evicted_to = next.unwrap_or(0);
            for id in free {
                self.free(Some(id));
            }
        }
    }

    /// A transaction whose outcome nobody waits for: when it is in doubt, the next commit writes over it.
    fn in_transaction<T>(&mut self, work: impl FnOnce(&Self) -> rusqlite::Result<T>) -> Option<T> {
        let done = self
            .conn
            .execute_batch("BEGIN IMMEDIATE")
            .and_then(|()| work(self))
            .map_err(Failure::Sure)
            .and_then(|done| commit(&self.conn).map(|()| done));
        match done {
            Ok(done) => Some(done),
            Err(Failure::Sure(error) | Failure::Doubt(error)) => {
                self.roll_back();
                self.complain("the store cannot be tidied up", &error);
                None
            }
        }
    }

    fn free(&mut self, id: Option<i64>) {
        let Some(id) = id else { return };
        if let Err(error) = self.heads.forget(id) {
            self.complain("the side file cannot be written", &error);
        }
        self.ids.give_back(id);
    }
}
