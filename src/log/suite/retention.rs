//! Retention: which events a log keeps and which it removes.

use super::rig::{
    Collector, EVERYTHING, Factory, all, base, filled, head, numbered, retain, retained, room, said, settle,
};
use crate::limits::RETAIN_EVENTS_MAX;
use crate::log::{Head, Limit, ReadError, Retention};

pub(crate) fn retention_by_events_keeps_the_newest(make: &dyn Factory) {
    let (log, room, sink, records) = filled(make, 10);
    // This batch is removed in part.
    log.append(&room, 1, numbered(0..10), 10).unwrap();
    let batch = sink.next(&*log, &room).1;
    let keep = |events| retain(&*log, &room, &sink, &Retention { events, ..EVERYTHING }, 10);
    assert_eq!((keep(12), keep(12)), (8, 0));
    assert_eq!(log.read(&room, records[7].offset, Limit::events(2)).unwrap(), records[8..]);
    assert_eq!(keep(3), 9);
    assert_eq!(all(&*log, &room, batch[6].offset), batch[7..]);
    assert_eq!(keep(0), 3);
    assert_eq!(all(&*log, &room, batch[9].offset), vec![]);
}

pub(crate) fn retention_by_age_removes_older_records(make: &dyn Factory) {
    let (log, room, sink, records) = filled(make, 10); // Event n is of time n.
    let keep = |age_ms, now_ms| retain(&*log, &room, &sink, &Retention { age_ms, ..EVERYTHING }, now_ms);
    assert_eq!(keep(5, 9), 4, "those of time 0 to 3 are older than 5");
    assert_eq!(head(&*log, &room).first, records[4].offset);
    assert_eq!(keep(5, 2), 0, "a wall clock that jumps back drops nothing");
    assert_eq!(keep(5, 1_000), 6);
}

pub(crate) fn retention_by_bytes_bounds_the_room(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let text = "x".repeat(1_000);
    for ticket in 0..50 {
        log.append(&room, ticket, vec![said(&text); 2], 1).unwrap();
        sink.next(&*log, &room);
    }
    retain(&*log, &room, &sink, &Retention { bytes: 20_000, ..EVERYTHING }, 1);
    let kept = retained(&*log, &room);
    assert!((8..=20).contains(&kept), "{kept} events of a little over 1,000 bytes are in 20,000");
    retain(&*log, &room, &sink, &Retention { bytes: 0, ..EVERYTHING }, 1);
    let Head { first, last, .. } = head(&*log, &room);
    assert_eq!((first, last), (last + 1, last), "no record is left, and the count is exact");
}

pub(crate) fn retention_works_in_bounded_pieces(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let count = RETAIN_EVENTS_MAX as u64 * 2 + 1;
    log.append(&room, 1, numbered(0..count), 1).unwrap();
    sink.next(&*log, &room);
    let nothing = Retention { events: 0, ..EVERYTHING };
    let first = retain(&*log, &room, &sink, &nothing, 1);
    assert!((1..=RETAIN_EVENTS_MAX).contains(&first), "{first} were removed at once");
    let mut left = count as usize - first;
    while left > 0 {
        let piece = retain(&*log, &room, &sink, &nothing, 1);
        assert!((1..=RETAIN_EVENTS_MAX).contains(&piece), "{piece} were removed at once");
        left -= piece;
    }
    assert_eq!(retain(&*log, &room, &sink, &nothing, 1), 0);
}

pub(crate) fn records_that_no_base_covers_are_kept(make: &dyn Factory) {
    let (log, room, sink, records) = filled(make, 10);
    let nothing = Retention { age_ms: 0, events: 0, bytes: 0 };
    log.retain(&room, &nothing, 1_000, base(records[5].offset));
    settle(&*log, &room, &sink);
    assert_eq!(head(&*log, &room).first, records[6].offset);
    assert_eq!(all(&*log, &room, records[5].offset), records[6..]);
}

pub(crate) fn head_has_the_retained_bounds(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    assert_eq!(log.head(&room), Ok(None));
    let Head { epoch, first, last } = log.open(&room, sink.clone()).unwrap().head;
    assert_eq!((first, last), (1, 0), "a new room is empty");
    log.append(&room, 1, numbered(0..3), 1).unwrap();
    let records = sink.next(&*log, &room).1;
    let expected = Head { epoch, first: records[0].offset, last: records[2].offset };
    assert_eq!(head(&*log, &room), expected);
    retain(&*log, &room, &sink, &Retention { events: 0, ..EVERYTHING }, 1);
    assert_eq!(head(&*log, &room), Head { first: expected.last + 1, ..expected });
}

pub(crate) fn a_range_from_the_dropped_past_is_too_old(make: &dyn Factory) {
    let (log, room, sink, records) = filled(make, 10);
    retain(&*log, &room, &sink, &Retention { events: 4, ..EVERYTHING }, 10);
    let first = records[6].offset;
    let read = |after, events| log.read(&room, after, Limit::events(events));
    assert_eq!(read(records[4].offset, 10), Err(ReadError::TooOld { first }));
    assert_eq!(read(0, 0), Err(ReadError::TooOld { first }), "even if no record is requested");
    assert_eq!(read(records[5].offset, 10).unwrap(), records[6..], "nothing after it is gone");
}
