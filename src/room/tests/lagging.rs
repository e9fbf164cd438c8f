//! A log that delivers when the test orders it, like a disk or a cluster, and that outlives the actors of its rooms.

use crate::log::memory::MemoryLog;
use crate::log::{
    AppendError, Base, Delivery, Head, Limit, Log, OpenError, Opened, ReadError, Record, Retention, Sink, Ticket,
    digest,
};
use crate::protocol::event::Event;
use crate::protocol::ids::{Offset, RoomId};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One room's log. Batches are held until released, unless the log is set to be instant.
pub(super) struct LaggingLog {
    memory: MemoryLog,
    relay: Arc<Relay>,
    state: Mutex<State>,
    pub(super) reads: AtomicUsize,
}

#[derive(Default)]
struct State {
    is_instant: bool,
    refuses: Option<AppendError>,
    held: VecDeque<Held>,
    room: Option<RoomId>,
    base: Option<Base>,
}

struct Held {
    ticket: Ticket,
    events: Vec<Event>,
    now_ms: u64,
}

/// Stands between the memory log, which stays open, and the present actor.
#[derive(Default)]
struct Relay(Mutex<Option<Arc<dyn Sink>>>);

impl Sink for Relay {
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        let sink = self.0.lock().clone();
        sink.map_or(Ok(()), |sink| sink.deliver(delivery))
    }
}

impl LaggingLog {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryLog::new(1, 7),
            relay: Arc::default(),
            state: Mutex::default(),
            reads: AtomicUsize::new(0),
        })
    }

    /// Every append is delivered before it returns.
    pub(super) fn instant() -> Arc<Self> {
        let log = Self::new();
        log.state.lock().is_instant = true;
        log
    }

    /// Every append is refused with this error, until it is changed.
    pub(super) fn refuse(&self, error: Option<AppendError>) {
        self.state.lock().refuses = error;
    }

    pub(super) fn held(&self) -> usize {
        self.state.lock().held.len()
    }

    /// Delivers the oldest held batch. Returns whether there was one.
    pub(super) fn release(&self) -> bool {
        let (held, room) = self.take_held();
        let Some(Held { ticket, events, now_ms }) = held else { return false };
        self.memory.append(&room, ticket, events, now_ms).unwrap();
        true
    }

    /// The oldest held batch failed.
    pub(super) fn fail(&self, error: AppendError) {
        let ticket = self.take_held().0.expect("a held batch").ticket;
        self.relay.deliver(Delivery::Failed { ticket, error }).unwrap();
    }

    /// Another node appends a batch.
    pub(super) fn foreign(&self, events: Vec<Event>) {
        // The memory log has no other nodes: it answers with a ticket that no actor used.
        let room = self.state.lock().room.clone().unwrap();
        self.memory.append(&room, Ticket::MAX, events, 0).unwrap();
    }

    fn take_held(&self) -> (Option<Held>, RoomId) {
        let mut state = self.state.lock();
        (state.held.pop_front(), state.room.clone().expect("an open room"))
    }
}

impl Log for LaggingLog {
    fn open(&self, room: &RoomId, sink: Arc<dyn Sink>) -> Result<Opened, OpenError> {
        *self.relay.0.lock() = Some(sink);
        let mut state = self.state.lock();
        state.room = Some(room.clone());
        let Some(head) = self.memory.head(room).unwrap() else { return self.memory.open(room, self.relay.clone()) };
        // Only the base's successor has the digest of the dropped records.
        Ok(Opened { head, digest: digest::EMPTY, base: state.base.clone() })
    }

    fn append(&self, room: &RoomId, ticket: Ticket, events: Vec<Event>, now_ms: u64) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        if let Some(error) = state.refuses {
            return Err(error);
        }
        if state.is_instant {
            drop(state);
            return self.memory.append(room, ticket, events, now_ms);
        }
        state.held.push_back(Held { ticket, events, now_ms });
        Ok(())
    }

    fn read(&self, room: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.memory.read(room, after, limit)
    }

    fn head(&self, room: &RoomId) -> Result<Option<Head>, ReadError> {
        self.memory.head(room)
    }

    fn nudge(&self, room: &RoomId) {
        self.memory.nudge(room);
    }

    fn retain(&self, room: &RoomId, retention: &Retention, now_ms: u64, base: Base) {
        self.state.lock().base = Some(base.clone());
        self.memory.retain(room, retention, now_ms, base);
    }

    fn close(&self, _: &RoomId) {
        *self.relay.0.lock() = None;
    }
}
