//! What the callers of a disk log and its storage thread share: the open rooms, the queue of commands, and flags.
//!
//! Does not know: SQLite connections, when a commit begins.

use super::readers::Readers;
use super::room::OpenRoom;
use super::row::RoomRow;
use crate::log::{OpenError, Opened, Ticket};
use crate::metrics::LogMetrics;
use crate::protocol::event::Event;
use crate::protocol::ids::RoomId;
use crossbeam::channel::Sender;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

pub(super) struct LogShared {
    pub(super) rooms: DashMap<RoomId, RoomPlace>,
    /// Entries of `rooms`, at most `open_max`.
    pub(super) count: AtomicUsize,
    pub(super) open_max: usize,
    pub(super) queue: Sender<LogCommand>,
    /// Bytes of the events in the queue, about.
    pub(super) queued_bytes: AtomicUsize,
    /// A commit is in doubt: new batches are refused until it is settled.
    pub(super) is_in_doubt: AtomicBool,
    pub(super) is_stopping: AtomicBool,
    pub(super) readers: Readers,
    pub(super) metrics: LogMetrics,
}

impl LogShared {
    pub(super) fn new(queue: Sender<LogCommand>, readers: Readers, open_max: usize) -> Self {
        Self {
            rooms: DashMap::new(),
            count: AtomicUsize::new(0),
            open_max,
            queue,
            queued_bytes: AtomicUsize::new(0),
            is_in_doubt: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            readers,
            metrics: LogMetrics::new(),
        }
    }
}

pub(super) enum RoomPlace {
    /// The storage thread reads or creates the room's row.
    Opening,
    Open(Arc<OpenRoom>),
}

/// What a caller asks of the storage thread.
pub(super) enum LogCommand {
    Append {
        room: Arc<OpenRoom>,
        ticket: Ticket,
        events: Vec<Event>,
        now_ms: u64,
        bytes: usize,
    },
    /// The room holds the order itself.
    Retain {
        room: Arc<OpenRoom>,
    },
    Open(OpenRequest),
    /// Does nothing, but wakes the thread to see that the log is being stopped.
    Wake,
}

/// The outcome of an opening: the caller's answer, and the room's row.
pub(super) type OpenOutcome = Result<Box<(Opened, RoomRow)>, OpenError>;

/// A room to be opened, and the channel to the caller that waits for it.
#[derive(Clone)]
pub(super) struct OpenRequest {
    pub(super) name: RoomId,
    pub(super) now_ms: u64,
    pub(super) reply: Sender<OpenOutcome>,
}

impl OpenRequest {
    pub(super) fn answer(self, outcome: OpenOutcome) {
        // The caller waits for it, unless it has panicked.
        let _ = self.reply.send(outcome);
    }
}
