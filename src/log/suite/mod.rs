//! The contract of [`Log`] as tests, which every implementation runs.
//!
//! An implementation has a factory (`rooms_max` → an empty log) and writes `log_suite!(factory);`. Deliveries may come
//! during the call, or later from another thread: the tests wait for them, with a deadline.

mod deletion;
pub(crate) mod durable;
mod retention;
pub(crate) mod rig;

pub(crate) use deletion::*;
pub(crate) use retention::*;
pub(crate) use rig::comment;

use super::{AppendError, Limit, OpenError, ReadError, Retention, digest};
use crate::limits::LOG_DELIVERIES_MAX;
use crate::protocol::event::{Event, Style};
use rig::{Collector, EVERYTHING, Factory, all, base, filled, head, number, numbered, room, said};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One `#[test]` per promise.
macro_rules! log_suite {
    ($factory:expr) => {
        $crate::log::suite::log_suite!($factory;
            offsets_follow_the_order_of_the_appends,
            a_batch_is_delivered_whole_with_its_ticket,
            an_empty_batch_is_answered_and_changes_nothing,
            a_range_is_exact_and_limited,
            a_range_is_bounded_by_bytes_and_never_empty,
            a_range_from_the_dropped_past_is_too_old,
            a_range_from_the_future_is_ahead,
            retention_by_events_keeps_the_newest,
            retention_by_age_removes_older_records,
            retention_by_bytes_bounds_the_room,
            retention_works_in_bounded_pieces,
            records_that_no_base_covers_are_kept,
            log_times_rise_with_each_batch,
            digests_chain_from_the_beginning,
            head_has_the_retained_bounds,
            rooms_are_bounded_and_open_once,
            rooms_do_not_see_each_other,
            a_closed_room_refuses_and_delivers_no_more,
            epochs_of_rooms_differ,
            a_full_sink_gets_everything_later_in_order,
            too_much_in_flight_is_refused_and_never_delivered,
            readers_beside_an_appender_see_whole_ranges,
            content_is_read_as_it_was_appended,
            a_deleted_comment_is_read_without_its_text,
            a_deletion_removes_all_comments_that_it_names,
            a_deletion_of_other_events_changes_nothing
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

pub(crate) fn offsets_follow_the_order_of_the_appends(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    let (mut last, mut expected) = (log.open(&room, sink.clone()).unwrap().head.last, 0);
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
    assert_eq!(head(&*log, &room).last, last);
    sink.assert_quiet(&*log, &room);
}

pub(crate) fn a_batch_is_delivered_whole_with_its_ticket(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    log.append(&room, 77, numbered(0..500), 1).unwrap();
    let (ticket, records) = sink.next(&*log, &room);
    assert_eq!((ticket, records.len()), (Some(77), 500));
    assert_eq!(all(&*log, &room, 0), records.to_vec(), "what is delivered is what is read");
}

pub(crate) fn an_empty_batch_is_answered_and_changes_nothing(make: &dyn Factory) {
    let (log, room, sink, _) = filled(make, 3);
    let before = head(&*log, &room);
    log.append(&room, 9, vec![], 1).unwrap();
    let (ticket, records) = sink.next(&*log, &room);
    assert_eq!((ticket, records.len()), (Some(9), 0));
    assert_eq!(head(&*log, &room), before);
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
            assert_eq!(log.read(&room, after, Limit::events(limit)).unwrap(), expected, "after {after}, limit {limit}");
        }
    }
}

pub(crate) fn a_range_is_bounded_by_bytes_and_never_empty(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let text = "x".repeat(1_000);
    log.append(&room, 1, vec![said(&text); 30], 1).unwrap();
    let records = sink.next(&*log, &room).1;
    let count = |bytes| log.read(&room, 0, Limit { events: 99, bytes }).unwrap().len();
    assert_eq!((count(0), count(1)), (1, 1), "a first record that is too large is returned all the same");
    assert!((5..=10).contains(&count(10_000)), "{} records of a little over 1,000 bytes", count(10_000));
    assert_eq!(log.read(&room, records[28].offset, Limit { events: 99, bytes: 0 }).unwrap(), records[29..]);
    assert_eq!(log.read(&room, records[29].offset, Limit { events: 99, bytes: 0 }).unwrap(), vec![]);
}

pub(crate) fn a_range_from_the_future_is_ahead(make: &dyn Factory) {
    let (log, room, _, records) = filled(make, 3);
    let last = records[2].offset;
    let read = |after| log.read(&room, after, Limit::events(10));
    assert_eq!(read(last).unwrap(), vec![]);
    assert_eq!(read(last + 1), Err(ReadError::Ahead { last }));
    assert_eq!(read(u64::MAX), Err(ReadError::Ahead { last }));
}

pub(crate) fn log_times_rise_with_each_batch(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let mut times = Vec::new();
    for (ticket, now_ms) in [(1, 5_000), (2, 1_000), (3, 5_000), (4, 7_000)] {
        log.append(&room, 100 + ticket, vec![], now_ms + 50_000).unwrap();
        assert_eq!(sink.next(&*log, &room).1.len(), 0, "an empty batch has no time");
        log.append(&room, ticket, numbered(0..2), now_ms).unwrap();
        times.extend(sink.next(&*log, &room).1.iter().map(|record| record.at_ms));
    }
    assert_eq!(times, [5_000, 5_000, 5_001, 5_001, 5_002, 5_002, 7_000, 7_000]);
}

pub(crate) fn digests_chain_from_the_beginning(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    let mut digest = log.open(&room, sink.clone()).unwrap().digest;
    assert_eq!(digest, digest::EMPTY);
    for ticket in 0..5 {
        log.append(&room, ticket, vec![said("x"), Event::Likes { add: ticket }], 1).unwrap();
        for record in sink.next(&*log, &room).1.iter() {
            digest = digest::extend(digest, record.offset, &record.event);
            assert_eq!(record.digest, digest);
        }
    }
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
    assert_eq!(all(&*log, &room("b"), 0), vec![]);
    assert_eq!(log.append(&room("nobody"), 1, numbered(5..6), 1), Err(AppendError::Closed));
}

pub(crate) fn a_closed_room_refuses_and_delivers_no_more(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(0));
    log.open(&room, sink.clone()).unwrap();
    log.append(&room, 1, numbered(0..1), 1).unwrap();
    log.close(&room);
    sink.widen();
    assert_eq!(log.append(&room, 2, numbered(0..1), 1), Err(AppendError::Closed));
    log.retain(&room, &EVERYTHING, 1, base(0));
    log.nudge(&room);
    sink.assert_quiet(&*log, &room);
}

pub(crate) fn epochs_of_rooms_differ(make: &dyn Factory) {
    let log = make(100);
    let mut epochs: Vec<_> =
        (0..100).map(|n| log.open(&room(&format!("r{n}")), Collector::new(9)).unwrap().head.epoch).collect();
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
    // The sink has room for one delivery at a time.
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
    assert_eq!(sink.next(&*log, &room).0, Some(5_000), "later batches are admitted");
}

pub(crate) fn readers_beside_an_appender_see_whole_ranges(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = || {
            let mut reads = 0_u32;
            while !done.load(Ordering::Acquire) || reads == 0 {
                let head = head(&*log, &room);
                match log.read(&room, head.first - 1, Limit::events(300)) {
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
            log.retain(&room, &Retention { events: 500, ..EVERYTHING }, n, base(head(&*log, &room).last));
        }
        done.store(true, Ordering::Release);
    });
}

pub(crate) fn content_is_read_as_it_was_appended(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let Event::Comment(mut full) = said("还有吗 😀 \" \\ </script>") else { unreachable!() };
    full.id = crate::protocol::ids::ClientId::new("c-1");
    full.user.role = crate::protocol::user::Role::Host;
    full.style = Style { mode: crate::protocol::event::Mode::Top, color: 0, size: 36 };
    full.media_ms = Some(u64::MAX);
    let ext = serde_json::json!({"n": 1.5, "list": [1, null, {"deep": true}], "": "empty key"});
    full.ext = ext.as_object().cloned().map(Arc::new);
    let events = vec![Event::Comment(full), said("plain"), Event::Likes { add: u64::MAX }];
    log.append(&room, 1, events.clone(), 1).unwrap();
    let delivered: Vec<_> = sink.next(&*log, &room).1.iter().map(|record| record.event.clone()).collect();
    assert_eq!(delivered, events);
    let read: Vec<_> = all(&*log, &room, 0).into_iter().map(|record| record.event).collect();
    assert_eq!(read, events);
}
