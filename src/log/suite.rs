//! The contract of [`Log`] as tests: every implementation runs all of them.
//!
//! An implementation gives a factory (`rooms_max` → an empty log) and writes `log_suite!(factory);`. Deliveries may come within
//! the call or later from another thread: the tests wait for them, with a deadline.

use super::{AppendError, Delivery, Head, Log, OpenError, ReadError, Record, Retention, Sink};
use crate::limits::{LOG_DELIVERIES_MAX, RETAIN_EVENTS_MAX};
use crate::protocol::event::{Comment, Event, Style, User};
use crate::protocol::ids::RoomId;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Makes an empty log for at most so many rooms.
pub(crate) trait Factory: Fn(usize) -> Arc<dyn Log> {}
impl<F: Fn(usize) -> Arc<dyn Log>> Factory for F {}

/// One `#[test]` per promise.
macro_rules! log_suite {
    ($factory:expr) => {
        $crate::log::suite::log_suite!($factory;
            offsets_follow_the_order_of_the_appends,
            a_batch_is_delivered_whole_with_its_ticket,
            an_empty_batch_is_answered_and_changes_nothing,
            a_range_is_exact_and_limited,
            a_range_from_the_dropped_past_is_too_old,
            a_range_from_the_future_is_ahead,
            retention_by_events_keeps_the_newest,
            retention_by_age_drops_what_is_older,
            retention_by_bytes_bounds_the_room,
            retention_works_in_bounded_pieces,
            head_tells_what_is_retained,
            rooms_are_bounded_and_open_once,
            rooms_do_not_see_each_other,
            a_closed_room_refuses_and_delivers_no_more,
            epochs_of_rooms_differ,
            a_full_sink_gets_everything_later_in_order,
            too_much_in_flight_is_refused_and_never_delivered,
            readers_beside_an_appender_see_whole_ranges,
            the_content_comes_back_as_it_went_in
        );
    };
    ($factory:expr; $($name:ident),*) => { $(
        #[test]
        fn $name() {
            $crate::log::suite::$name(&$factory);
        }
    )* };
}
pub(crate) use log_suite;

/// A sink of a given capacity that a test empties.
#[derive(Default)]
struct Collector {
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
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity: Mutex::new(capacity), ..Self::default() })
    }

    fn widen(&self) {
        *self.capacity.lock() = usize::MAX;
    }

    /// The next delivery that succeeded; calls the log now and then, as an actor does.
    fn next(&self, log: &dyn Log, room: &RoomId) -> (Option<u64>, Arc<[Record]>) {
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
            log.head(room);
        }
    }

    /// Nothing more comes (as far as a short wait can tell).
    fn assert_quiet(&self, log: &dyn Log, room: &RoomId) {
        log.head(room);
        let mut queue = self.queue.lock();
        if queue.is_empty() {
            self.arrived.wait_for(&mut queue, Duration::from_millis(20));
        }
        assert!(queue.is_empty(), "an unexpected delivery: {:?}", queue.front());
    }
}

fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

fn said(text: &str) -> Event {
    let user = User { id: "u".into(), name: "U".into(), role: Default::default() };
    Event::Comment(Comment { user, id: None, text: text.into(), style: Style::default(), media_ms: None, ext: None })
}

fn numbered(range: std::ops::Range<u64>) -> Vec<Event> {
    range.map(|add| Event::Likes { add }).collect()
}

fn number(record: &Record) -> u64 {
    match record.event {
        Event::Likes { add } => add,
        Event::Comment(_) => panic!("not a number"),
    }
}

const EVERYTHING: Retention = Retention { age_ms: u64::MAX, events: usize::MAX, bytes: usize::MAX };

/// A log with one open room and `count` events, appended one batch each at `now_ms` = their number.
fn filled(make: &dyn Factory, count: u64) -> (Arc<dyn Log>, RoomId, Arc<Collector>, Vec<Record>) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let mut records = Vec::new();
    for n in 0..count {
        log.append(&room, n, numbered(n..n + 1), n).unwrap();
        records.extend(sink.next(&*log, &room).1.iter().cloned());
    }
    (log, room, sink, records)
}

pub(crate) fn offsets_follow_the_order_of_the_appends(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    let head = log.open(&room, sink.clone()).unwrap();
    let (mut last, mut expected) = (head.last, 0);
    for ticket in 0..200 {
        log.append(&room, ticket, numbered(expected..expected + ticket % 7), 1).unwrap();
        let (answered, records) = sink.next(&*log, &room);
        assert_eq!(answered, Some(ticket));
        for record in records.iter() {
            assert!(record.offset > last, "{} after {last}", record.offset);
            assert_eq!(number(record), expected);
            (last, expected) = (record.offset, expected + 1);
        }
    }
    assert_eq!(log.head(&room).unwrap().last, last);
    sink.assert_quiet(&*log, &room);
}

pub(crate) fn a_batch_is_delivered_whole_with_its_ticket(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    log.append(&room, 77, numbered(0..500), 1).unwrap();
    let (ticket, records) = sink.next(&*log, &room);
    assert_eq!((ticket, records.len()), (Some(77), 500));
    assert_eq!(log.read(&room, 0, usize::MAX).unwrap(), records.to_vec(), "what is delivered is what is read");
}

pub(crate) fn an_empty_batch_is_answered_and_changes_nothing(make: &dyn Factory) {
    let (log, room, sink, _) = filled(make, 3);
    let before = log.head(&room);
    log.append(&room, 9, vec![], 1).unwrap();
    let (ticket, records) = sink.next(&*log, &room);
    assert_eq!((ticket, records.len()), (Some(9), 0));
    assert_eq!(log.head(&room), before);
}

pub(crate) fn a_range_is_exact_and_limited(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let mut all = Vec::new();
    for ticket in 0..20 {
        log.append(&room, ticket, numbered(0..ticket % 5), 1).unwrap();
        all.extend(sink.next(&*log, &room).1.iter().cloned());
    }
    let positions = std::iter::once(0).chain(all.iter().map(|record| record.offset));
    for (skipped, after) in positions.enumerate() {
        for limit in [0, 1, 2, 3, 7, 1_000] {
            let expected: Vec<_> = all[skipped..].iter().take(limit).cloned().collect();
            assert_eq!(log.read(&room, after, limit).unwrap(), expected, "after {after}, limit {limit}");
        }
    }
}

pub(crate) fn a_range_from_the_dropped_past_is_too_old(make: &dyn Factory) {
    let (log, room, _, records) = filled(make, 10);
    log.retain(&room, &Retention { events: 4, ..EVERYTHING }, 10);
    let first = records[6].offset;
    assert_eq!(log.read(&room, records[4].offset, 10), Err(ReadError::TooOld { first }));
    assert_eq!(log.read(&room, 0, 0), Err(ReadError::TooOld { first }), "also when nothing is asked for");
    assert_eq!(log.read(&room, records[5].offset, 10).unwrap(), records[6..], "nothing after it is gone");
}

pub(crate) fn a_range_from_the_future_is_ahead(make: &dyn Factory) {
    let (log, room, _, records) = filled(make, 3);
    let last = records[2].offset;
    assert_eq!(log.read(&room, last, 10).unwrap(), vec![]);
    assert_eq!(log.read(&room, last + 1, 10), Err(ReadError::Ahead { last }));
    assert_eq!(log.read(&room, u64::MAX, 10), Err(ReadError::Ahead { last }));
}

pub(crate) fn retention_by_events_keeps_the_newest(make: &dyn Factory) {
    let (log, room, sink, records) = filled(make, 10);
    // A batch that is dropped in part.
    log.append(&room, 1, numbered(0..10), 10).unwrap();
    let batch = sink.next(&*log, &room).1;
    assert_eq!(log.retain(&room, &Retention { events: 12, ..EVERYTHING }, 10), 8);
    assert_eq!(log.retain(&room, &Retention { events: 12, ..EVERYTHING }, 10), 0);
    assert_eq!(log.read(&room, records[7].offset, 2).unwrap(), records[8..]);
    assert_eq!(log.retain(&room, &Retention { events: 3, ..EVERYTHING }, 10), 9);
    assert_eq!(log.read(&room, batch[6].offset, 99).unwrap(), batch[7..]);
    assert_eq!(log.retain(&room, &Retention { events: 0, ..EVERYTHING }, 10), 3);
    assert_eq!(log.read(&room, batch[9].offset, 99).unwrap(), vec![]);
}

pub(crate) fn retention_by_age_drops_what_is_older(make: &dyn Factory) {
    let (log, room, _, records) = filled(make, 10); // Event n is of time n.
    let keep = |age_ms| Retention { age_ms, ..EVERYTHING };
    assert_eq!(log.retain(&room, &keep(5), 9), 4, "those of time 0 to 3 are older than 5");
    assert_eq!(log.head(&room).unwrap().first, records[4].offset);
    assert_eq!(log.retain(&room, &keep(5), 2), 0, "a wall clock that jumps back drops nothing");
    assert_eq!(log.retain(&room, &keep(5), 1_000), 6);
}

pub(crate) fn retention_by_bytes_bounds_the_room(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let text = "x".repeat(1_000);
    for ticket in 0..50 {
        log.append(&room, ticket, vec![said(&text); 2], 1).unwrap();
        sink.next(&*log, &room);
    }
    log.retain(&room, &Retention { bytes: 20_000, ..EVERYTHING }, 1);
    let kept = log.read(&room, log.head(&room).unwrap().first - 1, 999).unwrap().len();
    assert!((8..=20).contains(&kept), "{kept} events of a little over 1,000 bytes are in 20,000");
    log.retain(&room, &Retention { bytes: 0, ..EVERYTHING }, 1);
    let Head { first, last, .. } = log.head(&room).unwrap();
    assert_eq!((first, last), (last + 1, last), "nothing is left, and the count came out even");
}

pub(crate) fn retention_works_in_bounded_pieces(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let count = RETAIN_EVENTS_MAX as u64 * 2 + 1;
    log.append(&room, 1, numbered(0..count), 1).unwrap();
    sink.next(&*log, &room);
    let nothing = Retention { events: 0, ..EVERYTHING };
    let pieces: Vec<_> = (0..4).map(|_| log.retain(&room, &nothing, 1)).collect();
    assert_eq!(pieces, [RETAIN_EVENTS_MAX, RETAIN_EVENTS_MAX, 1, 0]);
}

pub(crate) fn head_tells_what_is_retained(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    assert_eq!(log.head(&room), None);
    let Head { epoch, first, last } = log.open(&room, sink.clone()).unwrap();
    assert_eq!((first, last), (1, 0), "a new room is empty");
    log.append(&room, 1, numbered(0..3), 1).unwrap();
    let records = sink.next(&*log, &room).1;
    let expected = Head { epoch, first: records[0].offset, last: records[2].offset };
    assert_eq!(log.head(&room), Some(expected));
    log.retain(&room, &Retention { events: 0, ..EVERYTHING }, 1);
    assert_eq!(log.head(&room), Some(Head { first: expected.last + 1, ..expected }));
}

pub(crate) fn rooms_are_bounded_and_open_once(make: &dyn Factory) {
    let log = make(2);
    let sink = || Collector::new(usize::MAX);
    log.open(&room("a"), sink()).unwrap();
    log.open(&room("b"), sink()).unwrap();
    assert_eq!(log.open(&room("a"), sink()), Err(OpenError::AlreadyOpen));
    assert_eq!(log.open(&room("c"), sink()), Err(OpenError::Full));
    log.close(&room("a"));
    log.close(&room("a"));
    log.open(&room("c"), sink()).unwrap();
    assert_eq!(log.open(&room("d"), sink()), Err(OpenError::Full));
}

pub(crate) fn rooms_do_not_see_each_other(make: &dyn Factory) {
    let log = make(2);
    let (a, b) = (Collector::new(usize::MAX), Collector::new(usize::MAX));
    log.open(&room("a"), a.clone()).unwrap();
    log.open(&room("b"), b.clone()).unwrap();
    log.append(&room("a"), 1, numbered(5..6), 1).unwrap();
    assert_eq!(number(&a.next(&*log, &room("a")).1[0]), 5);
    b.assert_quiet(&*log, &room("b"));
    assert_eq!(log.read(&room("b"), 0, 9).unwrap(), vec![]);
    assert_eq!(log.append(&room("nobody"), 1, numbered(5..6), 1), Err(AppendError::Closed));
}

pub(crate) fn a_closed_room_refuses_and_delivers_no_more(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(0));
    log.open(&room, sink.clone()).unwrap();
    log.append(&room, 1, numbered(0..1), 1).unwrap();
    log.close(&room);
    sink.widen();
    assert_eq!(log.append(&room, 2, numbered(0..1), 1), Err(AppendError::Closed));
    assert_eq!(log.read(&room, 0, 1), Err(ReadError::Closed));
    assert_eq!(log.head(&room), None);
    assert_eq!(log.retain(&room, &EVERYTHING, 1), 0);
    sink.assert_quiet(&*log, &room);
}

pub(crate) fn epochs_of_rooms_differ(make: &dyn Factory) {
    let log = make(100);
    let mut epochs: Vec<_> =
        (0..100).map(|n| log.open(&room(&format!("r{n}")), Collector::new(9)).unwrap().epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), 100);
}

pub(crate) fn a_full_sink_gets_everything_later_in_order(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(1));
    log.open(&room, sink.clone()).unwrap();
    for ticket in 0..LOG_DELIVERIES_MAX as u64 {
        log.append(&room, ticket, numbered(ticket..ticket + 1), 1).unwrap();
    }
    // The sink has room for one at a time.
    for ticket in 0..LOG_DELIVERIES_MAX as u64 {
        let (answered, records) = sink.next(&*log, &room);
        assert_eq!((answered, number(&records[0])), (Some(ticket), ticket));
    }
    sink.assert_quiet(&*log, &room);
}

pub(crate) fn too_much_in_flight_is_refused_and_never_delivered(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(0));
    log.open(&room, sink.clone()).unwrap();
    let mut taken = Vec::new();
    let refused = (0..1_000).find(|ticket| match log.append(&room, *ticket, numbered(*ticket..*ticket + 1), 1) {
        Ok(()) => {
            taken.push(*ticket);
            false
        }
        Err(error) => {
            assert_eq!(error, AppendError::Overloaded);
            true
        }
    });
    assert!(refused.is_some(), "1,000 batches in flight");
    assert!(taken.len() >= LOG_DELIVERIES_MAX, "only {} were taken", taken.len());
    sink.widen();
    for ticket in taken {
        assert_eq!(sink.next(&*log, &room).0, Some(ticket));
    }
    sink.assert_quiet(&*log, &room);
    log.append(&room, 5_000, vec![], 1).unwrap();
    assert_eq!(sink.next(&*log, &room).0, Some(5_000), "after that it goes on");
}

pub(crate) fn readers_beside_an_appender_see_whole_ranges(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = || {
            let mut reads = 0_u32;
            while !done.load(Ordering::Acquire) || reads == 0 {
                let Some(head) = log.head(&room) else { panic!("the room is open") };
                match log.read(&room, head.first - 1, 300) {
                    Ok(records) => {
                        let numbers: Vec<_> = records.iter().map(number).collect();
                        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole in {numbers:?}");
                        reads += u32::from(!records.is_empty());
                    }
                    Err(ReadError::TooOld { first }) => assert!(first > head.first, "too old for no reason"),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        scope.spawn(read);
        scope.spawn(read);
        for n in 0..400 {
            log.append(&room, n, numbered(n * 10..n * 10 + 10), n).unwrap();
            sink.next(&*log, &room);
            log.retain(&room, &Retention { events: 500, ..EVERYTHING }, n);
        }
        done.store(true, Ordering::Release);
    });
}

pub(crate) fn the_content_comes_back_as_it_went_in(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let Event::Comment(mut full) = said("还有吗 😀 \" \\ </script>") else { unreachable!() };
    full.id = crate::protocol::ids::ClientId::new("c-1");
    full.user.role = crate::protocol::event::Role::Host;
    full.style = Style { mode: crate::protocol::event::Mode::Top, color: 0, size: 36 };
    full.media_ms = Some(u64::MAX);
    let ext = serde_json::json!({"n": 1.5, "list": [1, null, {"deep": true}], "": "empty key"});
    full.ext = ext.as_object().cloned().map(Arc::new);
    let events = vec![Event::Comment(full), said("plain"), Event::Likes { add: u64::MAX }];
    log.append(&room, 1, events.clone(), 1).unwrap();
    let delivered: Vec<_> = sink.next(&*log, &room).1.iter().map(|record| record.event.clone()).collect();
    assert_eq!(delivered, events);
    let read: Vec<_> = log.read(&room, 0, 9).unwrap().into_iter().map(|record| record.event).collect();
    assert_eq!(read, events);
}
