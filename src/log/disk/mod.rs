//! The durable log of one node, on SQLite.
//!
//! A directory holds it: `volley.db` (with `volley.db-wal` and `volley.db-shm` beside it while it is in use), the side
//! file `volley.heads` ([`heads`]), and `volley.lock`, which the owning process holds locked.
//!
//! One storage thread ([`writer`]) owns the only connection that writes. Appends of all rooms go to it through one
//! bounded queue. It waits until the burst of a tick's batches is over, then commits them as one transaction
//! ([`group`]): one sync of the device for all rooms, while the next group gathers in the queue. The deliveries go to
//! the rooms after that sync. Reads of history do not use this thread, but connections of their own ([`readers`]).
//!
//! # What a failure means
//!
//! *Delivered* means: the transaction is in the write-ahead log (WAL) and, with `fsync`, the device has confirmed it.
//! *Failed* means: it is not in the log, and a crash will not bring it back. The second promise is the harder one. In
//! WAL mode SQLite's commit writes the transaction's pages as frames behind the last valid frame, the last of them with
//! a commit mark. Then it syncs, and only then does it move the end of the log, which is in the index that all
//! connections share. Each frame has a checksum that continues the one of the frame before it. Recovery after a crash
//! accepts frames while the checksums chain, up to the last commit mark. So:
//!
//! - An error before `COMMIT`: no commit mark was written. The transaction is rolled back and is surely not in the log.
//! - `COMMIT` fails because the disk is full: the frame with the commit mark is written last, and it was not written
//!   whole. The transaction is surely not in the log. The batch is answered at once and the next one is tried, so the
//!   log works again as soon as there is space.
//! - `COMMIT` fails otherwise, usually in the sync: all frames may be in the file, marks included. The running process
//!   does not see them, because the log's end did not move, but recovery after a crash would: the batch is *in doubt*.
//!   A second sync that succeeds would prove nothing, because after a failed one Linux treats the pages as written. So
//!   these frames must be overwritten before anything is built upon them. The storage thread commits something harmless
//!   on the same connection: it goes to the same place in the WAL, over the first frame in doubt, and the frames behind
//!   it no longer chain. Once *that* commit is synced, the batch is surely not in the log, and only then is it answered
//!   as failed. Until then its answer is held back and new appends are refused as unavailable. If the process dies
//!   before, no client was told anything, and recovery may find the batch or not.
//! - A checkpoint, which copies frames into the database file, fails: the WAL still has everything, but SQLite may
//!   remember pages as copied although their sync failed. All connections are closed and opened again, which makes it
//!   forget; the next checkpoint copies all pages again. For the same reason a close never checkpoints
//!   (`SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE`).
//!
//! The start ([`recovery`]) finds what is damaged, cut off or older than it was. A room to which that happened begins a
//! new epoch, so that no subscriber mistakes new events for those it already has.
//!
//! Does not know: rooms' rules, frames, sockets, configuration files.

mod directory;
mod files;
mod group;
mod heads;
mod ids;
pub mod inspect;
mod options;
mod readers;
pub mod recovery;
mod retention;
mod room;
mod row;
mod schema;
mod shared;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::config::Durability;
pub use directory::DiskError;
pub use options::{CHECKPOINT_BYTES, Options, PACE_US, QUIET_US};

use super::{AppendError, Base, Head, Limit, Log, OpenError, Opened, ReadError, Record, Retention, Sink, Ticket};
use crate::clock;
use crate::health::thread;
use crate::limits::{LOG_QUEUE_BYTES_MAX, LOG_QUEUE_MAX};
use crate::protocol::event::Event;
use crate::protocol::ids::{Offset, RoomId};
use crossbeam::channel::{TrySendError, bounded};
use dashmap::mapref::entry::Entry;
use directory::Directory;
use files::FileWatch;
use parking_lot::Mutex;
use readers::Readers;
use room::{OpenRoom, RetainOrder};
use shared::{LogCommand, LogShared, OpenRequest, RoomPlace};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use writer::StorageThread;

/// See the module's page. Dropping it is the same as [`DiskLog::stop`].
pub struct DiskLog {
    shared: Arc<LogShared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Keeps the directory locked.
    _directory: Directory,
}

impl DiskLog {
    /// Opens the log: locks the directory, recovers from a crash, checks every record and repairs damage.
    ///
    /// # Errors
    /// [`DiskError`]. A later start can try again from the same state.
    pub fn start(options: &Options) -> Result<Self, DiskError> {
        let directory = Directory::claim(&options.directory)?;
        let (stored, report) = recovery::recover(&directory, options)?;
        report.log();
        let (queue, commands) = bounded(LOG_QUEUE_MAX);
        let readers = Readers::new(directory.database(), options.vfs.clone());
        let shared = Arc::new(LogShared::new(queue, readers, options.open_max));
        shared.metrics.healed.increment(report.healed() as u64);
        let watch = FileWatch::new(
            directory.database(),
            directory.heads(),
            directory.beside("-wal"),
            directory.beside("-shm"),
            schema::WAL_BYTES_KEPT,
        );
        let writer = StorageThread::new(stored, watch, shared.clone(), commands, directory.database(), options);
        let thread = thread::vital(&options.health, "log", move || writer.run())
            .map_err(|error| directory.error("start the storage thread", &error))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), _directory: directory })
    }

    /// Stores all admitted batches, copies the write-ahead log into the database, and ends the storage thread. Later
    /// appends are refused.
    pub fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            // A full queue keeps the thread awake, so the command may be lost. A pause of settling ends by `unpark`.
            let _ = self.shared.queue.try_send(LogCommand::Wake);
            thread.thread().unpark();
            // An error is impossible: a panic of this thread ends the process.
            let _ = thread.join();
        }
    }

    fn room(&self, room: &RoomId) -> Option<Arc<OpenRoom>> {
        match &*self.shared.rooms.get(room)? {
            RoomPlace::Open(open) => Some(Arc::clone(open)),
            RoomPlace::Opening => None,
        }
    }

    fn forget(&self, room: &RoomId) {
        // The count falls under the entry's lock: an opening that finds the name free also finds a place.
        let give_back = |_: &RoomId, _: &RoomPlace| self.shared.count.fetch_sub(1, Ordering::AcqRel) > 0;
        if let Some((_, RoomPlace::Open(open))) = self.shared.rooms.remove_if(room, give_back) {
            open.close();
        }
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Log for DiskLog {
    fn open(&self, room: &RoomId, sink: Arc<dyn Sink>) -> Result<Opened, OpenError> {
        let shared = &self.shared;
        if shared.is_stopping.load(Ordering::Acquire) || shared.is_in_doubt.load(Ordering::Acquire) {
            return Err(OpenError::Unavailable);
        }
        match shared.rooms.entry(room.clone()) {
            Entry::Occupied(_) => return Err(OpenError::AlreadyOpen),
            Entry::Vacant(entry) => {
                let one_more = |count| (count < shared.open_max).then_some(count + 1);
                let counted = shared.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
                counted.map_err(|_| OpenError::Full)?;
                entry.insert(RoomPlace::Opening);
            }
        }
        let (reply, answer) = bounded(1);
        let open = OpenRequest { name: room.clone(), now_ms: clock::wall_ms(), reply };
        let sent = shared.queue.send(LogCommand::Open(open)).map_err(|_| OpenError::Unavailable);
        let answered = sent.and_then(|()| answer.recv().unwrap_or(Err(OpenError::Unavailable)));
        match answered {
            Ok(answer) => {
                let (opened, row) = *answer;
                shared.rooms.insert(room.clone(), RoomPlace::Open(Arc::new(OpenRoom::new(row, sink))));
                Ok(opened)
            }
            Err(error) => {
                self.forget(room);
                Err(error)
            }
        }
    }

    fn append(&self, room: &RoomId, ticket: Ticket, events: Vec<Event>, now_ms: u64) -> Result<(), AppendError> {
        let shared = &self.shared;
        let open = self.room(room).ok_or(AppendError::Closed)?;
        if shared.is_in_doubt.load(Ordering::Acquire) || shared.is_stopping.load(Ordering::Acquire) {
            shared.metrics.refused_unavailable.increment(1);
            return Err(AppendError::Unavailable);
        }
        let bytes = events.iter().map(size_hint).sum();
        let fits = |queued: usize| (queued + bytes <= LOG_QUEUE_BYTES_MAX || queued == 0).then_some(queued + bytes);
        let done = open.admit(|| {
            let counted = shared.queued_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits);
            counted.map_err(|_| AppendError::Overloaded)?;
            let command = LogCommand::Append { room: open.clone(), ticket, events, now_ms, bytes };
            shared.queue.try_send(command).map_err(|error| {
                shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
                match error {
                    TrySendError::Full(_) => AppendError::Overloaded,
                    TrySendError::Disconnected(_) => AppendError::Unavailable,
                }
            })
        });
        match done {
            Err(AppendError::Overloaded) => shared.metrics.refused_overloaded.increment(1),
            Err(AppendError::Unavailable) => shared.metrics.refused_unavailable.increment(1),
            Err(AppendError::Closed) | Ok(()) => {}
        }
        done
    }

    fn read(&self, room: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError> {
        // A reader that is up to date needs no database.
        if let Some(open) = self.room(room)
            && open.row.lock().last == after
        {
            return Ok(Vec::new());
        }
        self.shared.readers.read(room, after, limit)
    }

    fn head(&self, room: &RoomId) -> Result<Option<Head>, ReadError> {
        match self.room(room) {
            Some(open) => Ok(Some(open.row.lock().head())),
            None => self.shared.readers.head(room),
        }
    }

    fn nudge(&self, room: &RoomId) {
        if let Some(open) = self.room(room) {
            open.nudge();
        }
    }

    fn retain(&self, room: &RoomId, retention: &Retention, now_ms: u64, base: Base) {
        if let Some(open) = self.room(room) {
            // The log time of a room that was just opened comes from the wall clock, which may be wrong.
            let now_ms = now_ms.min(clock::patient_ms());
            open.order_retention(RetainOrder { retention: *retention, now_ms, base });
            // If the queue is full, the room's next append executes the order.
            let _ = self.shared.queue.try_send(LogCommand::Retain { room: open });
        }
    }

    fn close(&self, room: &RoomId) {
        self.forget(room);
    }
}

/// About how many bytes an event takes in the queue.
fn size_hint(event: &Event) -> usize {
    size_of::<Event>()
        + match event {
            Event::Likes { .. } => 0,
            Event::Votes(votes) => votes.ballots.len() * 64,
            Event::Post(_) => 2_048,
            Event::Comment(comment) => comment.text.len() + comment.ext.as_ref().map_or(0, |_| 512),
        }
}
