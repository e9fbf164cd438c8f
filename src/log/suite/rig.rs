//! A sink that a test empties, and short helpers for the tests of the contract.

use crate::log::{AppendError, Base, Delivery, Head, Limit, Log, Record, Retention, Sink};
use crate::protocol::event::{Comment, Event};
use crate::protocol::ids::{Offset, RoomId};
use crate::protocol::kind::{Delete, Kind, Post};
use crate::protocol::user::User;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Creates an empty log for at most the given number of rooms.
pub(crate) trait Factory: Fn(usize) -> Arc<dyn Log> {}
impl<F: Fn(usize) -> Arc<dyn Log>> Factory for F {}

/// A sink of a given capacity that a test empties.
#[derive(Default)]
pub(crate) struct Collector {
    queue: Mutex<VecDeque<Delivery>>,
    arrived: Condvar,
    capacity: Mutex<usize>,
}

impl Sink for Collector {
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        let mut queue = self.queue.lock();
        if queue.len() >= *self.capacity.lock() {
            return Err(delivery);
        }
        queue.push_back(delivery);
        self.arrived.notify_one();
        Ok(())
    }
}

impl Collector {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity: Mutex::new(capacity), ..Self::default() })
    }

    pub(crate) fn widen(&self) {
        *self.capacity.lock() = usize::MAX;
    }

    /// The next delivery, which must be of a stored batch. Nudges the log from time to time, as an actor does.
    pub(crate) fn next(&self, log: &dyn Log, room: &RoomId) -> (Option<u64>, Arc<[Record]>) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut queue = self.queue.lock();
            if queue.is_empty() {
                self.arrived.wait_for(&mut queue, Duration::from_millis(5));
            }
            match queue.pop_front() {
                Some(Delivery::Appended { ticket, records }) => return (ticket, records),
                Some(Delivery::Failed { ticket, error }) => panic!("append {ticket} failed: {error}"),
                None => assert!(Instant::now() < deadline, "no delivery within 10 s"),
            }
            drop(queue);
            log.nudge(room);
        }
    }

    /// The outcome of the next append: its ticket, and its records or its error.
    pub(crate) fn outcome(&self) -> (u64, Result<Arc<[Record]>, AppendError>) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut queue = self.queue.lock();
        loop {
            match queue.pop_front() {
                Some(Delivery::Appended { ticket, records }) => return (ticket.expect("ours"), Ok(records)),
                Some(Delivery::Failed { ticket, error }) => return (ticket, Err(error)),
                None => assert!(Instant::now() < deadline, "no outcome within 10 s"),
            }
            self.arrived.wait_for(&mut queue, Duration::from_millis(50));
        }
    }

    /// Asserts that no delivery comes within a short wait.
    pub(crate) fn assert_quiet(&self, log: &dyn Log, room: &RoomId) {
        log.nudge(room);
        let mut queue = self.queue.lock();
        if queue.is_empty() {
            self.arrived.wait_for(&mut queue, Duration::from_millis(20));
        }
        assert!(queue.is_empty(), "an unexpected delivery: {:?}", queue.front());
    }
}

/// A log with one open room and `count` events, appended one batch each at `now_ms` = their number.
pub(crate) fn filled(make: &dyn Factory, count: u64) -> (Arc<dyn Log>, RoomId, Arc<Collector>, Vec<Record>) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let mut records = Vec::new();
    for n in 0..count {
        log.append(&room, n, numbered(n..n + 1), n).unwrap();
        records.extend(sink.next(&*log, &room).1.iter().cloned());
    }
    (log, room, sink, records)
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

pub(crate) fn comment(user: &str, text: &str) -> Comment {
    let user = User { id: user.into(), name: "U".into(), role: Default::default() };
    Comment::new(user, text)
}

/// The deletion of a comment.
pub(crate) fn delete(offset: Offset) -> Event {
    Event::Post(Box::new(Post { key: None, kind: Kind::Delete(Delete::new(offset)) }))
}

pub(crate) fn said(text: &str) -> Event {
    Event::Comment(comment("u", text))
}

pub(crate) fn all(log: &dyn Log, room: &RoomId, after: Offset) -> Vec<Record> {
    log.read(room, after, Limit::events(usize::MAX)).unwrap()
}

pub(crate) fn head(log: &dyn Log, room: &RoomId) -> Head {
    log.head(room).unwrap().expect("the log has the room")
}

/// Retains with a base that covers every delivered record, waits until that is done, and returns the number of removed
/// records.
pub(crate) fn retain(log: &dyn Log, room: &RoomId, sink: &Collector, retention: &Retention, now_ms: u64) -> usize {
    let before = retained(log, room);
    log.retain(room, retention, now_ms, base(head(log, room).last));
    settle(log, room, sink);
    before - retained(log, room)
}

/// Waits until earlier requests are done: the log answers in order, so the answer to an empty append comes after them.
pub(crate) fn settle(log: &dyn Log, room: &RoomId, sink: &Collector) {
    log.append(room, 1 << 40, vec![], 0).unwrap();
    assert_eq!(sink.next(log, room).0, Some(1 << 40));
}

pub(crate) fn retained(log: &dyn Log, room: &RoomId) -> usize {
    all(log, room, head(log, room).first - 1).len()
}

pub(crate) fn base(offset: Offset) -> Base {
    Base { offset, state: bytes::Bytes::copy_from_slice(&offset.to_le_bytes()) }
}

pub(crate) fn numbered(range: std::ops::Range<u64>) -> Vec<Event> {
    range.map(|add| Event::Likes { add }).collect()
}

pub(crate) fn number(record: &Record) -> u64 {
    match record.event {
        Event::Likes { add } => add,
        Event::Comment(_) | Event::Votes(_) | Event::Post(_) => panic!("not a number"),
    }
}

pub(crate) const EVERYTHING: Retention = Retention { age_ms: u64::MAX, events: usize::MAX, bytes: usize::MAX };
