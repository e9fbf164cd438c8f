//! Deleted comments on the disk: the file no longer has their text, and no check takes them for damage.

use super::*;
use crate::log::disk::inspect::Inspector;
use crate::log::suite::rig::{Collector, all, comment, delete, head, room};

/// A text that no file contains by chance.
const SECRET: &str = "xylophone-quartz-seventeen";

/// Appends a short and a long secret comment, at offsets 21 and 22, between other comments. The long one overflows its
/// page.
fn fill(log: &DiskLog) {
    let (name, sink) = (room("r"), Collector::new(usize::MAX));
    log.open(&name, sink.clone()).unwrap();
    let batches = [
        (0..20).map(|n| Event::Comment(comment("u", &format!("before {n}")))).collect(),
        vec![Event::Comment(comment("u", SECRET)), Event::Comment(comment("u", &SECRET.repeat(78)))],
        (0..20).map(|n| Event::Comment(comment("u", &format!("after {n}")))).collect(),
    ];
    for (ticket, batch) in (1..).zip(batches) {
        log.append(&name, ticket, batch, ticket).unwrap();
        sink.next(log, &name);
    }
    log.close(&name);
}

/// Deletes the two secret comments.
fn delete_in(log: &DiskLog) -> Vec<Record> {
    let (name, sink) = (room("r"), Collector::new(usize::MAX));
    log.open(&name, sink.clone()).unwrap();
    log.append(&name, 9, vec![delete(21), delete(22)], 9).unwrap();
    sink.next(log, &name);
    all(log, &name, 0)
}

fn holds_secret(path: &std::path::Path) -> bool {
    std::fs::read(path).unwrap().windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes())
}

#[test]
fn the_text_is_nowhere_in_the_database_once_the_log_has_ended() {
    for was_copied in [false, true] {
        let scratch = Scratch::new();
        let directory = scratch.options().directory;
        let (database, wal) = (directory.join("volley.db"), directory.join("volley.db-wal"));
        let mut log = DiskLog::start(&scratch.options()).unwrap();
        fill(&log);
        if was_copied {
            drop(log);
            assert!(holds_secret(&database), "the text is where the test searches for it");
            log = DiskLog::start(&scratch.options()).unwrap();
        }
        delete_in(&log);
        drop(log);
        assert!(!holds_secret(&database), "copied before: {was_copied}");
        assert!(!wal.exists() || !holds_secret(&wal));
    }
}

#[test]
fn a_deleted_comment_is_no_damage_to_a_start_nor_to_a_look() {
    let scratch = Scratch::new();
    let log = DiskLog::start(&scratch.options()).unwrap();
    fill(&log);
    let before = delete_in(&log);
    let was = head(&log, &room("r"));
    let look = || Inspector::open(&scratch.options().directory).unwrap().next(true).unwrap().unwrap();
    assert_eq!(look().damage, None, "beside the server");
    drop(log);
    let info = look();
    assert_eq!(info.damage, None);
    let log = DiskLog::start(&scratch.options()).unwrap();
    assert_eq!(
        (head(&log, &room("r")), all(&log, &room("r"), 0)),
        (was, before.clone()),
        "the same epoch, the same records"
    );
    drop(log);
    // The room counts the bytes of its rows.
    let conn = schema::reader(&scratch.options().directory.join("volley.db"), None).unwrap();
    let counted: usize = conn
        .query_row("SELECT sum(octet_length(body)) FROM events", [], |row| row.get::<_, i64>(0))
        .map(|bytes| usize::try_from(bytes).unwrap() + row::cost(0) * before.len())
        .unwrap();
    assert_eq!(info.bytes, counted);
}

#[test]
fn a_comment_emptied_outside_of_volley_is_damage() {
    let scratch = Scratch::new();
    let log = DiskLog::start(&scratch.options()).unwrap();
    fill(&log);
    delete_in(&log);
    drop(log);
    let database = scratch.options().directory.join("volley.db");
    let conn = schema::writer(&database, None, true).unwrap();
    let body: String = conn.query_row("SELECT body FROM events WHERE offset = 21", [], |row| row.get(0)).unwrap();
    conn.execute("UPDATE events SET body = ?1 WHERE offset = 5", [body]).unwrap();
    schema::checkpoint(&conn, "TRUNCATE").unwrap();
    drop(conn);
    let info = Inspector::open(&scratch.options().directory).unwrap().next(true).unwrap().unwrap();
    assert!(info.damage.is_some_and(|damage| damage.contains("offset 5")));
    let log = DiskLog::start(&scratch.options()).unwrap();
    assert_eq!(head(&log, &room("r")).last, 4, "its valid beginning is kept");
}
