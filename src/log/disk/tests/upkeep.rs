//! Automatic removal: events and rooms that are too old, and rooms that give their place to new ones.

use super::*;
use crate::log::disk::row::RoomRow;
use crate::log::suite::rig::{Collector, all, base, head, numbered, room, settle};
use std::time::{Duration, Instant};

fn put(log: &DiskLog, name: &str, now_ms: u64, count: u64) {
    let sink = Collector::new(usize::MAX);
    log.open(&room(name), sink.clone()).unwrap();
    log.append(&room(name), 1, numbered(0..count), now_ms).unwrap();
    sink.next(log, &room(name));
    let keep = Retention { age_ms: u64::MAX, events: usize::MAX, bytes: usize::MAX };
    log.retain(&room(name), &keep, now_ms, base(count));
    settle(log, &room(name), &sink);
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn closed_rooms_lose_old_events_and_are_removed_when_they_are_empty() {
    let scratch = Scratch::new();
    let now_ms = clock::wall_ms();
    let log = DiskLog::start(&Options { age_ms: 3_600_000, ..scratch.options() }).unwrap();
    // A closed room has two batches of different age: only the older one is removed.
    let sink = Collector::new(usize::MAX);
    log.open(&room("mixed"), sink.clone()).unwrap();
    for (ticket, at_ms) in [(1, now_ms - 7_200_000), (2, now_ms)] {
        log.append(&room("mixed"), ticket, numbered(0..5), at_ms).unwrap();
        sink.next(&log, &room("mixed"));
    }
    let keep = Retention { age_ms: u64::MAX, events: usize::MAX, bytes: usize::MAX };
    log.retain(&room("mixed"), &keep, now_ms, base(10));
    settle(&log, &room("mixed"), &sink);
    put(&log, "open", now_ms - 7_200_000, 5);
    log.close(&room("mixed"));
    eventually("the old batch is gone", || head(&log, &room("mixed")).first == 6);
    assert_eq!(all(&log, &room("mixed"), 5).len(), 5);
    assert_eq!(all(&log, &room("open"), 0).len(), 5, "an open room is trimmed by its owner only");
    drop(log);

    // A room that was last open long ago is removed with all its events.
    put(&DiskLog::start(&scratch.options()).unwrap(), "old", now_ms - 7_200_000, 5);
    let path = scratch.options().directory.join("volley.db");
    let conn = schema::writer(&path, None, true).unwrap();
    let mut old = RoomRow::by_name(&conn, &room("old")).unwrap().unwrap();
    let epoch = old.epoch;
    old.opened_ms = now_ms - 7_200_000;
    old.store(&conn).unwrap();
    drop(conn);
    let log = DiskLog::start(&Options { age_ms: 3_600_000, ..scratch.options() }).unwrap();
    eventually("the old room is gone", || log.head(&room("old")).unwrap().is_none());
    let opened = log.open(&room("old"), Collector::new(9)).unwrap();
    assert_ne!(opened.head.epoch, epoch, "a new room of the same name has a different log");
    assert_eq!((opened.head.first, opened.head.last), (1, 0));
}

#[test]
fn a_full_log_evicts_only_empty_closed_rooms() {
    let scratch = Scratch::new();
    let log = DiskLog::start(&Options { stored_max: 3, ..scratch.options() }).unwrap();
    put(&log, "full", 1, 5);
    log.close(&room("full"));
    put(&log, "busy", 1, 5);
    log.open(&room("empty"), Collector::new(9)).unwrap();
    assert_eq!(log.open(&room("new"), Collector::new(9)), Err(OpenError::Full), "an open room stays");
    log.close(&room("empty"));
    log.open(&room("new"), Collector::new(9)).unwrap();
    assert_eq!(log.head(&room("empty")), Ok(None));
    assert_eq!(all(&log, &room("full"), 0).len(), 5);
    assert_eq!(log.open(&room("newer"), Collector::new(9)), Err(OpenError::Full));
    drop(log);
    let log = DiskLog::start(&Options { stored_max: 3, ..scratch.options() }).unwrap();
    assert_eq!(all(&log, &room("full"), 0).len(), 5, "after a restart it is the same");
    log.open(&room("newer"), Collector::new(9)).unwrap();
    assert_eq!(log.head(&room("new")), Ok(None), "it was empty and closed");
}

#[test]
fn numbers_of_rooms_are_used_again() {
    let mut ids = ids::Ids::new(3);
    ids.note(2);
    ids.note(4);
    assert_eq!((ids.used(), ids.is_full()), (2, false));
    let taken = ids.take().unwrap();
    assert!([1, 3].contains(&taken), "a gap before a new number");
    assert_eq!(ids.take(), None, "three at most");
    ids.give_back(4);
    assert!(ids.take().unwrap() <= 4);
}
