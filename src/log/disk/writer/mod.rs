//! The storage thread: gathers commands, commits them as one transaction, answers them, and removes what is too old.
//!
//! Does not know: what an event means; how damage is healed.

mod guard;
mod intake;
mod pace;
mod store;
mod upkeep;
mod wal;

use super::files::FileWatch;
use super::group::GroupCommit;
use super::options::Options;
use super::recovery::Stored;
use super::shared::{LogCommand, LogShared};
use crate::clock;
use crate::health::Pulse;
use crate::log::{AppendError, Delivery, OpenError};
use crossbeam::channel::Receiver;
use guard::FileGuard;
use intake::Intake;
use pace::CommitPace;
use rusqlite::ErrorCode;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::{DiskStore, Failure, code, is_damage};
use upkeep::ClosedRooms;
use wal::WalGauge;

/// A page of the database: what a changed row costs the WAL at least.
const PAGE_BYTES: usize = 4_096;

/// Between two looks at closed rooms.
const MAINTENANCE_US: u64 = 1_000_000;

/// Between two attempts to settle a commit that is in doubt.
const SETTLE_PAUSE: Duration = Duration::from_millis(200);

/// A device that does not answer for this long is not only slow: the storage thread counts as stuck.
const STUCK_US: u64 = 30_000_000;

pub(super) struct StorageThread {
    shared: Arc<LogShared>,
    intake: Intake,
    store: DiskStore,
    files: FileGuard,
    wal: WalGauge,
    closed_rooms: ClosedRooms,
    maintained_us: u64,
    pulse: Pulse,
}

impl StorageThread {
    pub(super) fn new(
        stored: Stored,
        watch: FileWatch,
        shared: Arc<LogShared>,
        queue: Receiver<LogCommand>,
        database: PathBuf,
        options: &Options,
    ) -> Self {
        let now_us = clock::now_us();
        Self {
            shared,
            intake: Intake::new(queue, CommitPace::new(options.quiet_us, options.pace_us)),
            store: DiskStore::new(stored, database, options),
            files: FileGuard::new(watch, options.health.part("the log")),
            wal: WalGauge::new(options.checkpoint_bytes, now_us),
            closed_rooms: ClosedRooms::new(options.age_ms),
            maintained_us: now_us,
            pulse: options.health.pulse("the log's thread", STUCK_US),
        }
    }

    /// Returns when the log is stopped and everything that was taken before is stored.
    pub(super) fn run(mut self) {
        loop {
            self.pulse.beat(clock::now_us());
            let is_stopping = self.shared.is_stopping.load(Ordering::Acquire);
            let group = self.intake.gather(&self.shared, Duration::from_micros(MAINTENANCE_US));
            let was_empty = group.is_empty();
            self.commit(group);
            if was_empty && is_stopping {
                break;
            }
            self.maintain();
        }
        if !self.shared.is_in_doubt.load(Ordering::Acquire) && !self.files.is_lost() {
            self.store.finish();
        }
    }

    /// Stores a group and answers each of its commands.
    fn commit(&mut self, group: Vec<LogCommand>) {
        if group.is_empty() {
            return;
        }
        self.intake.begin(clock::now_us());
        self.look_for_files();
        let queued = group.iter().map(queued_bytes).sum();
        if self.files.is_lost() {
            fail(group);
            self.shared.queued_bytes.fetch_sub(queued, Ordering::AcqRel);
            return;
        }
        if self.store.ids.is_full() && group.iter().any(|command| matches!(command, LogCommand::Open(_))) {
            self.closed_rooms.evict(&mut self.store, &self.shared);
        }
        self.store(group);
        self.shared.queued_bytes.fetch_sub(queued, Ordering::AcqRel);
        self.shared.metrics.queue_depth.set(self.intake.depth() as f64);
    }

    fn store(&mut self, group: Vec<LogCommand>) {
        let began_us = clock::now_us();
        match self.transact(&group) {
            Ok(done) => {
                self.count(&done, began_us);
                self.store.note_heads(&done.heads, !done.created.is_empty());
                done.publish();
            }
            Err(Failure::Sure(error)) if is_damage(&error) && group.len() > 1 => {
                // One by one, so that a damaged room does not fail the others.
                for command in group {
                    self.store(vec![command]);
                }
            }
            Err(Failure::Sure(error)) => {
                self.store.complain("a batch cannot be stored; check the disk and its free space", &error);
                fail(group);
                if code(&error) == Some(ErrorCode::DiskFull) {
                    self.wal.make_due();
                }
            }
            Err(Failure::Doubt(error)) => {
                self.store.complain(
                    "a commit failed and is in doubt; new batches are refused until it is settled; check the disk",
                    &error,
                );
                if self.settle() {
                    fail(group);
                }
            }
        }
    }

    /// One transaction; when it fails, nothing of it is left in memory.
    fn transact(&mut self, group: &[LogCommand]) -> Result<GroupCommit, Failure> {
        let mut done = GroupCommit::new();
        let store = &mut self.store;
        let wrote = group
            .iter()
            .try_for_each(|command| done.write(&store.conn, &mut store.ids, command))
            .and_then(|()| done.flush(&store.conn));
        let committed = match wrote {
            Err(error) => Err(Failure::Sure(error)),
            Ok(()) if done.began => store.commit(),
            Ok(()) => Ok(()),
        };
        match committed {
            Ok(()) => Ok(done),
            Err(failure) => {
                store.roll_back();
                for id in &done.created {
                    store.ids.give_back(*id);
                }
                self.shared.metrics.failures.increment(1);
                tracing::debug!(rooms = ?done.names(), "not stored");
                Err(failure)
            }
        }
    }

    /// Writes over the frames that are in doubt until they are surely not in the log; all answers wait for that.
    /// Returns `false` if the log is stopped before: then no command is answered.
    fn settle(&mut self) -> bool {
        self.shared.is_in_doubt.store(true, Ordering::Release);
        loop {
            self.pulse.beat(clock::now_us());
            if self.store.overwrite_doubt() {
                break;
            }
            self.intake.refuse_opens();
            if self.shared.is_stopping.load(Ordering::Acquire) {
                return false;
            }
            std::thread::park_timeout(SETTLE_PAUSE);
        }
        self.shared.metrics.settled.increment(1);
        self.shared.is_in_doubt.store(false, Ordering::Release);
        tracing::warn!("the commit in doubt is settled: it is not in the log; batches are stored again");
        true
    }

    fn count(&mut self, done: &GroupCommit, began_us: u64) {
        let metrics = &self.shared.metrics;
        metrics.dropped.increment(done.dropped as u64);
        if done.began {
            metrics.commits.increment(1);
            metrics.commit_seconds.record(clock::now_us().saturating_sub(began_us) as f64 / 1e6);
            metrics.events.increment(done.events as u64);
            metrics.bytes.increment(done.bytes as u64);
            metrics.group_events.record(done.events as f64);
            // The events of each room end on a page of their own, and its row is on another page.
            self.wal.grew(done.bytes + done.heads.len() * 2 * PAGE_BYTES);
        }
    }

    /// Keeps the database small and its WAL short, in bounded pieces.
    fn maintain(&mut self) {
        let now_us = clock::now_us();
        let is_time = now_us.saturating_sub(self.maintained_us) > MAINTENANCE_US;
        if is_time || self.store.must_reconnect() {
            self.look_for_files();
        }
        if self.files.is_lost() {
            return;
        }
        if self.store.must_reconnect() && self.store.reconnect(&self.shared.readers) {
            self.files.renew();
        }
        if self.wal.is_due(now_us) {
            let done = self.store.checkpoint();
            self.wal.copied(done, now_us);
        }
        if is_time {
            self.maintained_us = now_us;
            let wrote = self.closed_rooms.sweep(&mut self.store, &self.shared);
            self.wal.grew(wrote);
            self.shared.metrics.stored_rooms.set(self.store.ids.used() as f64);
        }
    }

    fn look_for_files(&mut self) {
        if let Err(what) = self.files.look() {
            self.store.complain(
                "no batch is stored until the log's files are back; restore them, or restart the server",
                &what,
            );
        }
        self.shared.metrics.files_lost.set(f64::from(u8::from(self.files.is_lost())));
    }
}

/// What a command counts in [`LogShared::queued_bytes`].
fn queued_bytes(command: &LogCommand) -> usize {
    if let LogCommand::Append { bytes, .. } = command { *bytes } else { 0 }
}

/// Answers a group whose transaction is surely not in the log.
fn fail(group: Vec<LogCommand>) {
    for command in group {
        match command {
            LogCommand::Append { room, ticket, .. } => {
                room.deliver(Delivery::Failed { ticket, error: AppendError::Unavailable });
            }
            LogCommand::Open(open) => open.answer(Err(OpenError::Unavailable)),
            // The next order comes with the room's next batches.
            LogCommand::Retain { .. } | LogCommand::Wake => {}
        }
    }
}
