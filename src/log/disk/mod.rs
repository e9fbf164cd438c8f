//! The durable log of one node, on SQLite.
//!
//! A directory holds it: `volley.db` (with `volley.db-wal` and `volley.db-shm` beside it while it is in use), the side file
//! `volley.heads` ([`heads`]), and `volley.lock`, which the owning process holds locked.
//!
//! One storage thread ([`writer`]) owns the only connection that writes. Appends of all rooms go to it through one bounded
//! queue; it waits until the burst of a tick's batches is over and commits it as one transaction ([`group`]), one sync of the device
//! for all rooms, while the next group gathers behind it. Only then do the deliveries go to the rooms. Reads of history go past it,
//! through connections of their own ([`readers`]).
//!
//! # What a failure means
//!
//! *Delivered* means: the transaction is in the write-ahead log (WAL) and, with `fsync`, the device has said that it has it.
//! *Failed* means: it is not in the log, and will not be after a crash either. The second takes care. SQLite's commit in
//! WAL mode writes the transaction's pages as frames behind the last valid frame, the last one with a commit mark, then
//! syncs, and only after that moves the end of the log (in the index that all connections share). Each frame carries a checksum
//! that continues the one of the frame before it; recovery after a crash takes frames as long as the checksums chain, up to the
//! last commit mark. So:
//!
//! - An error before `COMMIT`: nothing with a commit mark was written. Rolled back; surely not in the log.
//! - `COMMIT` fails because the disk is full: the frame with the commit mark is the last one that is written, and it was not written
//!   whole. Surely not in the log. The batch is answered at once, the next one tries again: the log heals by itself.
//! - `COMMIT` fails otherwise, above all in the sync: the frames may all be in the file, marks included. The running process
//!   does not see them (the log's end did not move), but after a crash recovery would: the batch is *in doubt*. A second sync that succeeds
//!   would prove nothing, since after a failed one Linux takes the pages for written. So nothing may be built upon these frames, and they must
//!   not stay. The storage thread commits something harmless on the same connection: it goes to the same place in the WAL, over
//!   the first frame in doubt, and what stands behind it no longer chains. Once *that* commit is synced, the batch is surely not
//!   in the log, and only then is it answered. Until then the answer is held and new appends are refused as unavailable. Should the process die
//!   before, nobody was told anything, and recovery may find the batch or not.
//!
//! - A checkpoint (copying frames into the database file) fails: the WAL still has everything, but SQLite remembers pages as copied whose
//!   sync may be what failed. All connections are closed and set up anew, which makes it forget; the next checkpoint copies all of
//!   them again. For the same reason a close never checkpoints (`SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE`).
//!
//! What is damaged, cut off or older than it was is found at the start ([`recovery`]); the room that it happened to begins a new
//! epoch, so that no subscriber takes what follows for what it has.
//!
//! Does not know: rooms' rules, frames, sockets, configuration files.

mod directory;
mod files;
mod group;
mod heads;
mod ids;
pub mod inspect;
mod readers;
pub mod recovery;
mod retention;
mod room;
mod row;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

pub use directory::DiskError;

use super::{AppendError, Base, Head, Limit, Log, OpenError, Opened, ReadError, Record, Retention, Sink, Ticket};
use crate::clock;
use crate::health::{Health, thread};
use crate::limits::{LOG_QUEUE_BYTES_MAX, LOG_QUEUE_MAX};
use crate::metrics::LogMetrics;
use crate::protocol::event::Event;
use crate::protocol::ids::{Offset, RoomId};
use crossbeam::channel::{Sender, TrySendError, bounded};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use directory::Directory;
use files::Watch;
use parking_lot::Mutex;
use readers::Readers;
use room::{OpenRoom, RetainOrder};
use row::RoomRow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// When an append counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The device has it: survives a power loss.
    Fsync,
    /// The operating system has it: survives the death of the process, not a power loss.
    Write,
}

/// How the log is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it lives. Made if it is not there; its parent has to be.
    pub directory: PathBuf,
    /// When an append counts as done.
    pub durability: Durability,
    /// Rooms that are open at one time.
    pub open_max: usize,
    /// Rooms that are stored. When they are as many, closed ones that are empty or expired make place for new ones.
    pub stored_max: usize,
    /// How long closed rooms keep an event; a closed room with nothing younger goes entirely.
    pub age_ms: u64,
    /// The write-ahead log is copied into the database when about so much was written to it.
    pub checkpoint_bytes: usize,
    /// A commit begins once nothing more came for about so long: the batches of one tick come in a burst, and share it. It does not
    /// wait for that when every open room's batch is there.
    pub quiet_us: u64,
    /// A commit begins at the earliest so long after the one before it began, and does not wait longer than this for the end of a burst.
    pub pace_us: u64,
    /// A SQLite VFS other than the default, for tests.
    pub vfs: Option<String>,
    /// Where the log reports that it fails.
    pub health: Health,
}

/// What [`Options::checkpoint_bytes`] should be: reading so much again after a crash stays far below a second, and one copy
/// serves some hundred commits.
pub const CHECKPOINT_BYTES: usize = 32 << 20;

/// What [`Options::quiet_us`] should be: a shard hands over the batches of its rooms some microseconds apart. Half of it was enough
/// where nothing else ran, and twice as much brought nothing (`benches/disk_log.rs` has all three).
pub const QUIET_US: u64 = 500;

/// What [`Options::pace_us`] should be. Rooms tick together, so one commit per tick is the rule, and this is for what comes out
/// of step: ticks of a few milliseconds, shards that are late, what a slow commit has pushed aside. Without it commits then follow
/// each other without rest.
pub const PACE_US: u64 = 10_000;

/// See the module's page. Ends in good order when it is dropped or [`DiskLog::stop`]ped.
pub struct DiskLog {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the log is.
    _directory: Directory,
}

/// What callers and the storage thread share.
struct Shared {
    rooms: DashMap<RoomId, Place>,
    count: AtomicUsize,
    open_max: usize,
    queue: Sender<Command>,
    /// Bytes of events in the queue, about.
    queued_bytes: AtomicUsize,
    /// The fate of a batch is open: nothing more is taken until it is known.
    is_in_doubt: AtomicBool,
    is_stopping: AtomicBool,
    readers: Readers,
    metrics: LogMetrics,
}

enum Place {
    /// Its row is being read or made.
    Opening,
    Open(Arc<OpenRoom>),
}

/// What the storage thread is asked to do.
enum Command {
    Append {
        room: Arc<OpenRoom>,
        ticket: Ticket,
        events: Vec<Event>,
        now_ms: u64,
        bytes: usize,
    },
    /// The order itself is with the room.
    Retain {
        room: Arc<OpenRoom>,
    },
    Open(Open),
    /// Nothing: only look whether the log is to be stopped.
    Wake,
}

/// How an opening went: what the caller is told, and the room's row.
type Answer = Result<Box<(Opened, RoomRow)>, OpenError>;

/// A room to be opened, and who waits for it.
#[derive(Clone)]
struct Open {
    name: RoomId,
    now_ms: u64,
    reply: Sender<Answer>,
}

impl Open {
    fn answer(self, answer: Answer) {
        // Who asked waits for it; only a panic there could have ended that.
        let _ = self.reply.send(answer);
    }
}

impl DiskLog {
    /// Opens the log: takes the directory, recovers what a crash left, checks every record and heals what is damaged.
    ///
    /// # Errors
    /// [`DiskError`]; then nothing was changed that could not be changed again.
    pub fn start(options: &Options) -> Result<Self, DiskError> {
        let directory = Directory::claim(&options.directory)?;
        let (stored, report) = recovery::recover(&directory, options)?;
        report.log();
        let (queue, commands) = bounded(LOG_QUEUE_MAX);
        let metrics = LogMetrics::new();
        metrics.healed.increment(report.healed() as u64);
        let shared = Arc::new(Shared {
            rooms: DashMap::new(),
            count: AtomicUsize::new(0),
            open_max: options.open_max,
            queue,
            queued_bytes: AtomicUsize::new(0),
            is_in_doubt: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            readers: Readers::new(directory.database(), options.vfs.clone()),
            metrics,
        });
        let watch = Watch::new(
            directory.database(),
            directory.heads(),
            directory.beside("-wal"),
            directory.beside("-shm"),
            schema::WAL_BYTES_KEPT,
        );
        let writer = writer::Writer::new(stored, watch, shared.clone(), commands, directory.database(), options);
        let thread = thread::vital(&options.health, "log", move || writer.run())
            .map_err(|error| directory.error("start the storage thread", &error))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), _directory: directory })
    }

    /// Stores what was taken, copies the write-ahead log into the database, and ends the storage thread. Appends after this are
    /// refused.
    pub fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            // A full queue keeps it awake by itself; in a pause of settling it has to be called.
            let _ = self.shared.queue.try_send(Command::Wake);
            thread.thread().unpark();
            // A panic ends the process where it happens.
            let _ = thread.join();
        }
    }

    fn room(&self, room: &RoomId) -> Option<Arc<OpenRoom>> {
        match &*self.shared.rooms.get(room)? {
            Place::Open(open) => Some(Arc::clone(open)),
            Place::Opening => None,
        }
    }

    fn forget(&self, room: &RoomId) {
        // The count falls under the entry's lock: who finds the name free must also find its place free.
        let give_back = |_: &RoomId, _: &Place| self.shared.count.fetch_sub(1, Ordering::AcqRel) > 0;
        if let Some((_, Place::Open(open))) = self.shared.rooms.remove_if(room, give_back) {
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
                entry.insert(Place::Opening);
            }
        }
        let (reply, answer) = bounded(1);
        let open = Open { name: room.clone(), now_ms: clock::wall_ms(), reply };
        let sent = shared.queue.send(Command::Open(open)).map_err(|_| OpenError::Unavailable);
        let answered = sent.and_then(|()| answer.recv().unwrap_or(Err(OpenError::Unavailable)));
        match answered {
            Ok(answer) => {
                let (opened, row) = *answer;
                shared.rooms.insert(room.clone(), Place::Open(Arc::new(OpenRoom::new(row, sink))));
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
            let command = Command::Append { room: open.clone(), ticket, events, now_ms, bytes };
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
        // Who is up to date needs no database.
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
            // A log that was just opened had nothing but the wall clock to tell its time by.
            let now_ms = now_ms.min(clock::patient_ms());
            open.order_retention(RetainOrder { retention: *retention, now_ms, base });
            // When the queue is full, the room's next append finds the order.
            let _ = self.shared.queue.try_send(Command::Retain { room: open });
        }
    }

    fn close(&self, room: &RoomId) {
        self.forget(room);
    }
}

/// What an event takes in the queue, about.
fn size_hint(event: &Event) -> usize {
    size_of::<Event>()
        + match event {
            Event::Likes { .. } => 0,
            Event::Votes(votes) => votes.ballots.len() * 64,
            Event::Post(_) => 2_048,
            Event::Comment(comment) => comment.text.len() + comment.ext.as_ref().map_or(0, |_| 512),
        }
}
