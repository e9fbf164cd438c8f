//! A log on a simulated disk: the simulation decides when it answers, and it survives the process.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use volley::log::{
    AppendError, Base, Delivery, Head, Limit, Log, OpenError, Opened, ReadError, Record, Retention, Sink, Ticket,
    digest,
};
use volley::protocol::event::Event;
use volley::protocol::ids::{Digest, Epoch, Hex64, Offset, RoomId};

/// Bugs of a log, each of which the simulation must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A crash loses the newest batch and keeps the epoch.
    LosesItsTail,
    /// An append is reported as failed, but stored.
    StoresWhatFailed,
    /// A crash leaves a part of a batch.
    TearsBatches,
    /// A crash begins a new epoch.
    ForgetsItsEpoch,
    /// Swaps two records of a batch after it was delivered.
    Reorders,
    /// Forgets the base, and with it the likes that retention dropped.
    ForgetsItsBase,
}

/// One room's log.
pub struct Disk {
    state: Mutex<State>,
    bug: Option<Bug>,
}

struct State {
    epoch: Epoch,
    /// What survives a crash: every record; retention only moves `first`.
    stored: Vec<Record>,
    first: usize,
    base: Option<Base>,
    /// Gone with the process.
    sink: Option<Arc<dyn Sink>>,
    queue: VecDeque<(Ticket, Vec<Event>, u64)>,
    committed: VecDeque<Delivery>,
    refuses: bool,
    at_ms: u64,
    /// The first retained offset at the room's last opening: the ids of comments before it are no longer known.
    opened_at: Offset,
}

impl Disk {
    pub fn new(epoch: u64, bug: Option<Bug>) -> Arc<Self> {
        let state = State {
            epoch: Hex64(epoch),
            stored: Vec::new(),
            first: 0,
            base: None,
            sink: None,
            queue: VecDeque::new(),
            committed: VecDeque::new(),
            refuses: false,
            at_ms: 0,
            opened_at: 0,
        };
        Arc::new(Self { state: Mutex::new(state), bug })
    }

    /// Everything that was ever stored.
    pub fn all(&self) -> Vec<Record> {
        self.state.lock().stored.clone()
    }

    /// Whether the last opening of the room could read this record, so that its id is known.
    pub fn was_readable(&self, offset: Offset) -> bool {
        offset >= self.state.lock().opened_at
    }

    /// Lets appends be refused or admitted.
    pub fn refuse(&self, refuses: bool) {
        self.state.lock().refuses = refuses;
    }

    /// Stores the oldest waiting batch; its delivery waits. Returns whether there was one.
    pub fn commit(&self) -> bool {
        let mut state = self.state.lock();
        let Some((ticket, events, now_ms)) = state.queue.pop_front() else { return false };
        let records = state.store(events, now_ms);
        if self.bug == Some(Bug::Reorders) && records.len() > 1 {
            let last = state.stored.len() - 1;
            let event = state.stored[last].event.clone();
            state.stored[last].event = state.stored[last - 1].event.clone();
            state.stored[last - 1].event = event;
        }
        state.committed.push_back(Delivery::Appended { ticket: Some(ticket), records });
        true
    }

    /// Fails the oldest waiting batch.
    pub fn fail(&self) {
        let mut state = self.state.lock();
        let Some((ticket, events, now_ms)) = state.queue.pop_front() else { return };
        if self.bug == Some(Bug::StoresWhatFailed) {
            state.store(events, now_ms);
        }
        state.committed.push_back(Delivery::Failed { ticket, error: AppendError::Unavailable });
    }

    /// Delivers the oldest answer to the room.
    pub fn deliver(&self) {
        let mut state = self.state.lock();
        let (Some(sink), Some(delivery)) = (state.sink.clone(), state.committed.pop_front()) else { return };
        if let Err(back) = sink.deliver(delivery) {
            state.committed.push_front(back);
        }
    }

    /// Ends the process: waiting batches are lost, and unanswered ones are stored or not.
    pub fn crash(&self) {
        let mut state = self.state.lock();
        state.sink = None;
        state.committed.clear();
        state.refuses = false;
        if self.bug == Some(Bug::TearsBatches)
            && let Some((_, mut events, now_ms)) = state.queue.pop_front()
        {
            events.truncate(events.len().div_ceil(2));
            state.store(events, now_ms);
        }
        state.queue.clear();
        match self.bug {
            Some(Bug::LosesItsTail) => drop(state.stored.pop()),
            Some(Bug::ForgetsItsEpoch) => state.epoch.0 += 1,
            Some(Bug::ForgetsItsBase) => state.base = None,
            _ => {}
        }
    }
}

impl State {
    fn last(&self) -> Offset {
        self.stored.last().map_or(0, |record| record.offset)
    }

    fn digest(&self) -> Digest {
        self.stored.last().map_or(digest::EMPTY, |record| record.digest)
    }

    fn store(&mut self, events: Vec<Event>, now_ms: u64) -> Arc<[Record]> {
        self.at_ms = now_ms.max(self.at_ms + 1);
        let begin = self.stored.len();
        for event in events {
            let offset = self.last() + 1;
            let digest = digest::extend(self.digest(), offset, &event);
            self.stored.push(Record { offset, at_ms: self.at_ms, digest, event });
        }
        self.stored[begin..].into()
    }

    fn head(&self) -> Head {
        let first = self.stored.get(self.first).map_or(self.last() + 1, |record| record.offset);
        Head { epoch: self.epoch, first, last: self.last() }
    }
}

impl Log for Disk {
    fn open(&self, _: &RoomId, sink: Arc<dyn Sink>) -> Result<Opened, OpenError> {
        let mut state = self.state.lock();
        state.sink = Some(sink);
        state.opened_at = state.head().first;
        let before = state.first.min(state.stored.len()).checked_sub(1);
        let digest = before.map_or(digest::EMPTY, |before| state.stored[before].digest);
        Ok(Opened { head: state.head(), digest, base: state.base.clone() })
    }

    fn append(&self, _: &RoomId, ticket: Ticket, events: Vec<Event>, now_ms: u64) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        if state.refuses {
            return Err(AppendError::Overloaded);
        }
        state.queue.push_back((ticket, events, now_ms));
        Ok(())
    }

    fn read(&self, _: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError> {
        let state = self.state.lock();
        let Head { first, last, .. } = state.head();
        if after > last {
            return Err(ReadError::Ahead { last });
        }
        if after + 1 < first {
            return Err(ReadError::TooOld { first });
        }
        let begin = state.stored.partition_point(|record| record.offset <= after);
        Ok(state.stored[begin..].iter().take(limit.events).cloned().collect())
    }

    fn head(&self, _: &RoomId) -> Result<Option<Head>, ReadError> {
        Ok(Some(self.state.lock().head()))
    }

    fn nudge(&self, _: &RoomId) {}

    fn retain(&self, _: &RoomId, retention: &Retention, _: u64, base: Base) {
        let mut state = self.state.lock();
        let covered = state.stored.partition_point(|record| record.offset <= base.offset);
        let wished = state.stored.len().saturating_sub(retention.events);
        state.first = state.first.max(wished.min(covered));
        state.base = Some(base);
    }

    fn close(&self, _: &RoomId) {
        self.state.lock().sink = None;
    }
}
