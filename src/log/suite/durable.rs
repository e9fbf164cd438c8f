//! The contract of a log that outlives its process: more tests, for implementations that can be opened again.
//!
//! An implementation has a function that returns a factory. Each call of the factory opens the *same* log, after the
//! test has dropped the one before.

use super::rig::{Collector, EVERYTHING, all, base, head, numbered, room, said, settle};
use crate::log::{Limit, Log, ReadError, Record, Retention};
use std::sync::Arc;

/// Opens the same log again.
pub(crate) trait Reopen: Fn() -> Arc<dyn Log> {}
impl<F: Fn() -> Arc<dyn Log>> Reopen for F {}

/// One `#[test]` per promise.
macro_rules! durable_suite {
    ($factory:expr) => {
        $crate::log::suite::durable::durable_suite!($factory;
            delivered_records_survive_a_restart,
            a_restart_keeps_base_retention_and_the_chain_of_digests,
            an_empty_room_keeps_its_epoch,
            closed_rooms_can_be_read,
            a_reopened_room_continues_where_it_was,
            batches_in_flight_at_a_close_are_stored,
            any_content_survives_a_restart
        );
    };
    ($factory:expr; $($name:ident),*) => { $(
        #[test]
        fn $name() {
            $crate::log::suite::durable::$name(&$factory());
        }
    )* };
}
pub(crate) use durable_suite;

/// Appends events, waits for each, and returns the delivered records.
fn append(log: &dyn Log, name: &str, sink: &Collector, from: u64, count: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for n in from..from + count {
        log.append(&room(name), n, numbered(n..n + 1), n).unwrap();
        records.extend(sink.next(log, &room(name)).1.iter().cloned());
    }
    records
}

pub(crate) fn delivered_records_survive_a_restart(open: &dyn Reopen) {
    let (log, sink) = (open(), Collector::new(usize::MAX));
    let before = log.open(&room("r"), sink.clone()).unwrap();
    let records = append(&*log, "r", &sink, 0, 5);
    drop(log);
    let log = open();
    assert_eq!(all(&*log, &room("r"), 0), records, "readable before it is open");
    let after = log.open(&room("r"), sink.clone()).unwrap();
    assert_eq!(after.head.epoch, before.head.epoch);
    assert_eq!((after.head.first, after.head.last), (records[0].offset, records[4].offset));
    assert_eq!((after.digest, after.base), (before.digest, None));
    let more = append(&*log, "r", &sink, 5, 1);
    assert!(more[0].offset > records[4].offset);
}

pub(crate) fn a_restart_keeps_base_retention_and_the_chain_of_digests(open: &dyn Reopen) {
    let (log, sink, name) = (open(), Collector::new(usize::MAX), room("r"));
    log.open(&name, sink.clone()).unwrap();
    let records = append(&*log, "r", &sink, 0, 10);
    log.retain(&name, &Retention { events: 3, ..EVERYTHING }, 10, base(records[8].offset));
    settle(&*log, &name, &sink);
    drop(log);
    let log = open();
    let opened = log.open(&name, sink.clone()).unwrap();
    assert_eq!(opened.base, Some(base(records[8].offset)));
    assert_eq!((opened.head.first, opened.digest), (records[7].offset, records[6].digest));
    assert_eq!(all(&*log, &name, records[6].offset), records[7..]);
    assert!(matches!(log.read(&name, 0, Limit::events(1)), Err(ReadError::TooOld { .. })));
    let next = append(&*log, "r", &sink, 10, 1);
    let expected = crate::log::digest::extend(records[9].digest, next[0].offset, &next[0].event);
    assert_eq!(next[0].digest, expected);
}

pub(crate) fn an_empty_room_keeps_its_epoch(open: &dyn Reopen) {
    let log = open();
    let before = log.open(&room("quiet"), Collector::new(1)).unwrap();
    drop(log);
    assert_eq!(open().open(&room("quiet"), Collector::new(1)).unwrap(), before);
}

pub(crate) fn closed_rooms_can_be_read(open: &dyn Reopen) {
    let (log, sink) = (open(), Collector::new(usize::MAX));
    log.open(&room("r"), sink.clone()).unwrap();
    let records = append(&*log, "r", &sink, 0, 3);
    let before = head(&*log, &room("r"));
    log.close(&room("r"));
    assert_eq!(head(&*log, &room("r")), before);
    assert_eq!(all(&*log, &room("r"), records[0].offset), records[1..]);
    assert_eq!(log.head(&room("never")), Ok(None));
    assert_eq!(log.read(&room("never"), 0, Limit::events(1)), Err(ReadError::Unknown));
}

pub(crate) fn a_reopened_room_continues_where_it_was(open: &dyn Reopen) {
    let (log, sink) = (open(), Collector::new(usize::MAX));
    let before = log.open(&room("r"), sink.clone()).unwrap();
    let first = append(&*log, "r", &sink, 0, 2);
    log.close(&room("r"));
    let again = Collector::new(usize::MAX);
    let after = log.open(&room("r"), again.clone()).unwrap();
    assert_eq!((after.head.epoch, after.head.last), (before.head.epoch, first[1].offset));
    let more = append(&*log, "r", &again, 2, 1);
    assert_eq!(all(&*log, &room("r"), first[1].offset), more);
}

pub(crate) fn batches_in_flight_at_a_close_are_stored(open: &dyn Reopen) {
    let (log, sink) = (open(), Collector::new(0));
    log.open(&room("r"), sink.clone()).unwrap();
    for n in 0..3 {
        log.append(&room("r"), n, numbered(n..n + 1), n).unwrap();
    }
    log.close(&room("r"));
    // An opening comes after the batches that were admitted before it.
    let opened = log.open(&room("r"), Collector::new(9)).unwrap();
    assert_eq!(all(&*log, &room("r"), opened.head.first - 1).len(), 3);
}

pub(crate) fn any_content_survives_a_restart(open: &dyn Reopen) {
    use crate::protocol::event::Event;
    let (log, sink) = (open(), Collector::new(usize::MAX));
    log.open(&room("r"), sink.clone()).unwrap();
    let Event::Comment(mut full) = said("\u{0}\u{1f600} \"\\ \u{2028}</script>") else { unreachable!() };
    // Fractions that an inexact parser gets wrong in the last bit.
    let fractions: Vec<f64> = (1..2_000).map(|n| 1.0 / f64::from(n) * 1e-7 + f64::from(n) * 0.1).collect();
    full.ext =
        serde_json::json!({ "f": fractions, "big": u64::MAX, "small": i64::MIN }).as_object().cloned().map(Arc::new);
    log.append(&room("r"), 1, vec![Event::Comment(full)], 1).unwrap();
    let records = sink.next(&*log, &room("r")).1;
    drop(log);
    assert_eq!(all(&*open(), &room("r"), 0), records.to_vec());
}
