//! The storage thread: gathers what is asked for, commits it, tells everybody, tidies up.
//!
//! Does not know: what an event means; how damage is healed.

mod pace;
mod upkeep;

use super::files::Watch;
use super::group::Written;
use super::heads::Heads;
use super::ids::Ids;
use super::recovery::Stored;
use super::{Command, Durability, Options, Shared, schema};
use crate::clock;
use crate::health::{Part, Pulse};
use crate::limits::{LOG_GROUP_BYTES_MAX, LOG_GROUP_MAX};
use crate::log::{AppendError, Delivery, OpenError};
use crossbeam::channel::Receiver;
use pace::Pace;
use rusqlite::{Connection, ErrorCode};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A WAL that is not empty is copied after this long in any case.
const CHECKPOINT_US: u64 = 30_000_000;

/// A page of the database: what a changed row costs the WAL at least.
const PAGE_BYTES: usize = 4_096;

/// Between two looks at closed rooms, and between two tries to settle what is in doubt.
const MAINTENANCE_US: u64 = 1_000_000;
const SETTLE_PAUSE: Duration = Duration::from_millis(200);

/// A device that does not answer for this long is not only slow: the storage thread counts as stuck.
const STUCK_US: u64 = 30_000_000;

/// At most one line a second says that the store fails.
const COMPLAIN_US: u64 = 1_000_000;

/// See the module's page.
pub(super) struct Writer {
    conn: Connection,
    heads: Heads,
    ids: Ids,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    /// Taken out of the queue while something was in doubt, and not yet done.
    backlog: VecDeque<Command>,
    database: PathBuf,
    watch: Watch,
    health: Part,
    /// The files are not where they were: nothing is taken until they are.
    is_lost: bool,
    vfs: Option<String>,
    is_synced: bool,
    age_ms: u64,
    checkpoint_bytes: usize,
    pace: Pace,
    /// About what the WAL holds.
    wal_bytes: usize,
    checkpoint_us: u64,
    maintenance_us: u64,
    complained_us: Option<u64>,
    /// The closed rooms up to this number were looked at.
    swept_to: i64,
    evicted_to: i64,
    /// SQLite's memory of what is copied cannot be trusted.
    must_reconnect: bool,
    pulse: Pulse,
}

/// What gathers for a transaction.
#[derive(Default)]
struct Group {
    commands: Vec<Command>,
    appends: usize,
    bytes: usize,
}

impl Group {
    /// Says whether there is place for another one.
    fn add(&mut self, command: Command) -> bool {
        if let Command::Append { bytes, .. } = &command {
            self.appends += 1;
            self.bytes += bytes;
        }
        self.commands.push(command);
        self.bytes < LOG_GROUP_BYTES_MAX && self.commands.len() < LOG_GROUP_MAX
    }
}

/// Why a transaction is not in the log.
enum Failure {
    /// It surely is not.
    Sure(rusqlite::Error),
    /// It may be, after a crash.
    Doubt(rusqlite::Error),
}

impl Writer {
    pub(super) fn new(
        stored: Stored,
        watch: Watch,
        shared: Arc<Shared>,
        commands: Receiver<Command>,
        database: PathBuf,
        options: &Options,
    ) -> Self {
        let Stored { conn, heads, ids } = stored;
        Self {
            conn,
            heads,
            ids,
            shared,
            commands,
            backlog: VecDeque::new(),
            database,
            watch,
            health: options.health.part("the log"),
            is_lost: false,
            vfs: options.vfs.clone(),
            is_synced: options.durability == Durability::Fsync,
            age_ms: options.age_ms,
            checkpoint_bytes: options.checkpoint_bytes,
            pace: Pace::new(options.quiet_us, options.pace_us),
            wal_bytes: 0,
            checkpoint_us: clock::now_us(),
            maintenance_us: clock::now_us(),
            complained_us: None,
            swept_to: 0,
            evicted_to: 0,
            must_reconnect: false,
            pulse: options.health.pulse("the log's thread", STUCK_US),
        }
    }

    /// Until the log is stopped; then what was taken before is stored.
    pub(super) fn run(mut self) {
        loop {
            self.pulse.beat(clock::now_us());
            let is_stopping = self.shared.is_stopping.load(Ordering::Acquire);
            let group = self.gather();
            let was_empty = group.is_empty();
            self.commit(group);
            if was_empty && is_stopping {
                break;
            }
            self.tidy();
        }
        self.finish();
    }

    /// What the next transaction does. Waits for something to do, but not beyond the next look at closed rooms.
    fn gather(&mut self) -> Vec<Command> {
        let mut group = Group::default();
        while let Some(command) = self.backlog.pop_front() {
            if !group.add(command) {
                return self.full(group);
            }
        }
        if group.commands.is_empty() {
            let idle_us = if self.shared.is_stopping.load(Ordering::Acquire) { 0 } else { MAINTENANCE_US };
            match self.commands.recv_timeout(Duration::from_micros(idle_us)) {
                // The first of a group always has a place in it.
                Ok(command) => drop(group.add(command)),
                Err(_) => return group.commands,
            }
        }
        self.pace.came(clock::now_us());
        loop {
            let before = group.commands.len();
            while let Ok(command) = self.commands.try_recv() {
                if !group.add(command) {
                    return self.full(group);
                }
            }
            let now_us = clock::now_us();
            if group.commands.len() > before {
                self.pace.came(now_us);
            }
            // A room has one batch on its way at most.
            let is_all = group.appends >= self.shared.count.load(Ordering::Acquire);
            match self.pace.wait_us(now_us, is_all) {
                0 => return group.commands,
                // Asleep, not at the queue: there each batch of the burst would have to wake us.
                wait_us => std::thread::park_timeout(Duration::from_micros(wait_us)),
            }
        }
    }

    fn full(&self, group: Group) -> Vec<Command> {
        self.shared.metrics.groups_full.increment(1);
        group.commands
    }

    /// Stores a group and tells everybody what became of it.
    fn commit(&mut self, group: Vec<Command>) {
        if group.is_empty() {
            return;
        }
        self.pace.begin(clock::now_us());
        self.look_for_files();
        if self.is_lost {
            let queued = group.iter().map(queued_bytes).sum();
            fail(group);
            self.shared.queued_bytes.fetch_sub(queued, Ordering::AcqRel);
            return;
        }
        if self.ids.is_full() && group.iter().any(|command| matches!(command, Command::Open(_))) {
            self.make_place();
        }
        let queued = group.iter().map(queued_bytes).sum();
        self.store(group);
        self.shared.queued_bytes.fetch_sub(queued, Ordering::AcqRel);
        self.shared.metrics.queue_depth.set(self.commands.len() as f64);
    }

    fn store(&mut self, group: Vec<Command>) {
        let began_us = clock::now_us();
        match self.transact(&group) {
            Ok(written) => {
                self.count(&written, began_us);
                for row in &written.heads {
                    if let Err(error) = self.heads.note(row.id, row.epoch, row.last) {
                        self.complain("the side file cannot be written", &error);
                        break;
                    }
                }
                if self.is_synced
                    && !written.created.is_empty()
                    && let Err(error) = self.heads.sync()
                {
                    self.complain("the side file cannot be synced", &error);
                }
                written.publish();
            }
            Err(Failure::Sure(error)) if is_damage(&error) && group.len() > 1 => {
                // One room's damage is that room's alone.
                for command in group {
                    self.store(vec![command]);
                }
            }
            Err(Failure::Sure(error)) => {
                self.complain("a batch cannot be stored", &error);
                fail(group);
                if code(&error) == Some(ErrorCode::DiskFull) {
                    // What is copied out of the WAL makes its space free for the next batch.
                    self.checkpoint_us = 0;
                    self.wal_bytes = self.wal_bytes.max(1);
                }
            }
            Err(Failure::Doubt(error)) => {
                self.complain("a commit failed and is in doubt; nothing is taken until it is settled", &error);
                if self.settle() {
                    fail(group);
                }
            }
        }
    }

    /// One transaction; when it fails, nothing of it is left in memory.
    fn transact(&mut self, group: &[Command]) -> Result<Written, Failure> {
        let mut written = Written::new();
        let wrote = group
            .iter()
            .try_for_each(|command| written.write(&self.conn, &mut self.ids, command))
            .and_then(|()| written.flush(&self.conn));
        let done = match wrote {
            Err(error) => Err(Failure::Sure(error)),
            Ok(()) if written.began => commit(&self.conn),
            Ok(()) => Ok(()),
        };
        match done {
            Ok(()) => Ok(written),
            Err(failure) => {
                self.roll_back();
                for id in &written.created {
                    self.ids.give_back(*id);
                }
                self.shared.metrics.failures.increment(1);
                tracing::debug!(rooms = ?written.names(), "not stored");
                Err(failure)
            }
        }
    }

    /// SQLite rolls back by itself after most errors of a commit.
    fn roll_back(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            self.complain("a transaction cannot be rolled back", &error);
        }
    }

    /// Writes over the frames that are in doubt (see the module's page of the log), until that is certain. Holds all
    /// answers; only when the log is stopped does it give up, and then nobody is told anything. Says whether it is certain.
    fn settle(&mut self) -> bool {
        self.shared.is_in_doubt.store(true, Ordering::Release);
        loop {
            self.pulse.beat(clock::now_us());
            let done = self
                .conn
                .execute_batch("BEGIN IMMEDIATE; UPDATE meta SET value = value + 1 WHERE name = 'settled';")
                .map_err(Failure::Doubt)
                .and_then(|()| commit(&self.conn));
            let Err(Failure::Sure(error) | Failure::Doubt(error)) = done else { break };
            self.roll_back();
            self.complain("a failed commit is still in doubt", &error);
            self.refuse_opens();
            if self.shared.is_stopping.load(Ordering::Acquire) {
                return false;
            }
            std::thread::park_timeout(SETTLE_PAUSE);
        }
        self.shared.metrics.settled.increment(1);
        self.shared.is_in_doubt.store(false, Ordering::Release);
        tracing::warn!("the commit in doubt is settled: it is not in the log");
        true
    }

    /// Who waits for a room to open is not kept waiting for a broken device.
    fn refuse_opens(&mut self) {
        let waiting = std::mem::take(&mut self.backlog).into_iter().chain(self.commands.try_iter());
        let mut kept = VecDeque::new();
        for command in waiting {
            match command {
                Command::Open(open) => open.answer(Err(OpenError::Unavailable)),
                other => kept.push_back(other),
            }
        }
        self.backlog = kept;
    }

    fn count(&mut self, written: &Written, began_us: u64) {
        let metrics = &self.shared.metrics;
        metrics.dropped.increment(written.dropped as u64);
        if written.began {
            metrics.commits.increment(1);
            metrics.commit_seconds.record(clock::now_us().saturating_sub(began_us) as f64 / 1e6);
            metrics.events.increment(written.events as u64);
            metrics.bytes.increment(written.bytes as u64);
            metrics.group_events.record(written.events as f64);
            // Each room's events end on a page of their own, and its row stands on another.
            self.wal_bytes += written.bytes + written.heads.len() * 2 * PAGE_BYTES;
        }
    }

    /// What keeps the store small and its WAL short; never more than a bounded piece.
    fn tidy(&mut self) {
        let now_us = clock::now_us();
        let is_time = now_us.saturating_sub(self.maintenance_us) > MAINTENANCE_US;
        if is_time || self.must_reconnect {
            self.look_for_files();
        }
        if self.is_lost {
            return;
        }
        if self.must_reconnect {
            self.reconnect();
        }
        let is_due = self.wal_bytes > 0 && now_us.saturating_sub(self.checkpoint_us) > CHECKPOINT_US;
        if self.wal_bytes >= self.checkpoint_bytes || is_due {
            self.checkpoint();
        }
        if is_time {
            self.maintenance_us = now_us;
            self.sweep();
            self.shared.metrics.stored_rooms.set(self.ids.used() as f64);
        }
    }

    fn checkpoint(&mut self) {
        self.checkpoint_us = clock::now_us();
        match schema::checkpoint(&self.conn, "PASSIVE") {
            // A reader held some of it: soon again.
            Ok(is_all) => self.wal_bytes = if is_all { 0 } else { self.wal_bytes / 2 },
            Err(error) => {
                self.complain("the write-ahead log cannot be copied into the database", &error);
                self.wal_bytes = 1;
                self.must_reconnect = code(&error) != Some(ErrorCode::DiskFull);
            }
        }
        if let Err(error) = self.heads.sync() {
            self.complain("the side file cannot be synced", &error);
        }
    }

    /// Closes everything and sets it up anew, so that SQLite reads the whole WAL again.
    fn reconnect(&mut self) {
        self.shared.readers.pause();
        // The old connection has to be gone before the new one comes, or they would share what is to be forgotten.
        let closed = Connection::open_in_memory().map(|empty| std::mem::replace(&mut self.conn, empty));
        drop(closed);
        match schema::writer(&self.database, self.vfs.as_deref(), self.is_synced) {
            Ok(conn) => {
                self.conn = conn;
                self.watch.renew();
                self.must_reconnect = false;
            }
            Err(error) => self.complain("the database cannot be opened again", &error),
        }
        self.shared.readers.resume();
    }

    /// The last act: everything into the database, so that the one file is all there is.
    fn finish(&mut self) {
        if self.shared.is_in_doubt.load(Ordering::Acquire) || self.is_lost {
            return;
        }
        if let Err(error) = schema::checkpoint(&self.conn, "TRUNCATE") {
            self.complain("the write-ahead log cannot be copied into the database", &error);
        }
        if let Err(error) = self.heads.sync() {
            self.complain("the side file cannot be synced", &error);
        }
    }

    /// What is stored in files that are not there any more would be acknowledged and lost. A few system calls per commit, which
    /// waits for a device.
    fn look_for_files(&mut self) {
        match self.watch.look() {
            Ok(()) if self.is_lost => {
                self.is_lost = false;
                self.health.recover();
                tracing::warn!("the log's files are back; comments are taken again");
            }
            Ok(()) => {}
            Err(what) => {
                self.complain("nothing is stored until the log's files are back, or the server is started anew", &what);
                self.health.fail(what);
                self.is_lost = true;
            }
        }
        self.shared.metrics.files_lost.set(f64::from(u8::from(self.is_lost)));
    }

    fn complain(&mut self, what: &str, error: &dyn std::fmt::Display) {
        let now_us = clock::now_us();
        if self.complained_us.is_none_or(|us| now_us.saturating_sub(us) >= COMPLAIN_US) {
            self.complained_us = Some(now_us);
            tracing::error!(%error, database = %self.database.display(), "{what}");
        }
    }
}

/// Ends the transaction, and tells the ways apart in which that can fail.
fn commit(conn: &Connection) -> Result<(), Failure> {
    conn.execute_batch("COMMIT").map_err(|error| match code(&error) {
        // The frame with the commit mark is the last to be written, and the write that failed is the last that was tried.
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => Failure::Sure(error),
        _ => Failure::Doubt(error),
    })
}

/// What a command counts in [`Shared::queued_bytes`].
fn queued_bytes(command: &Command) -> usize {
    if let Command::Append { bytes, .. } = command { *bytes } else { 0 }
}

/// The batches are surely not in the log.
fn fail(group: Vec<Command>) {
    for command in group {
        match command {
            Command::Append { room, ticket, .. } => {
                room.deliver(Delivery::Failed { ticket, error: AppendError::Unavailable });
            }
            Command::Open(open) => open.answer(Err(OpenError::Unavailable)),
            // The next order comes with the room's next batches.
            Command::Retain { .. } | Command::Wake => {}
        }
    }
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
