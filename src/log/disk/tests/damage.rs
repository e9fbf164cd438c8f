//! A damaged or edited log: a start keeps its valid beginning or refuses it, and never invents records.

use super::faulty::{Faults, VFS};
use super::*;
use crate::log::Head;
use crate::log::suite::rig::{Collector, all, base, comment, head, numbered, room, settle};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;

/// Each room's head and records before the damage.
type Rooms = BTreeMap<RoomId, (Head, Vec<Record>)>;

/// Four rooms, one of them trimmed, with events that fill pages and events that overflow them.
fn filled(scratch: &Scratch) -> Rooms {
    let log = DiskLog::start(&scratch.options()).unwrap();
    let mut rooms = Rooms::new();
    for n in 0..4 {
        let (name, sink) = (room(&format!("room-{n}")), Collector::new(usize::MAX));
        log.open(&name, sink.clone()).unwrap();
        for ticket in 0..6 {
            let said = |m: usize| Event::Comment(comment("user", &"text ".repeat(1 + m * 29 % 400)));
            log.append(&name, ticket, (0..10).map(said).collect(), ticket).unwrap();
            sink.next(&log, &name);
        }
        if n == 3 {
            let keep = Retention { age_ms: u64::MAX, events: 40, bytes: usize::MAX };
            log.retain(&name, &keep, 9, base(35));
            settle(&log, &name, &sink);
        }
        let head = head(&log, &name);
        rooms.insert(name.clone(), (head, all(&log, &name, head.first - 1)));
    }
    rooms
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        // The index of the write-ahead log is shared memory, not data.
        if !file.file_name().to_str().unwrap().ends_with("-shm") {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// Asserts that the log has only records that were written, and that each shortened room has a new epoch. Returns the
/// number of unchanged rooms.
fn assert_honest(log: &DiskLog, before: &Rooms, what: &str) -> usize {
    let mut same = 0;
    for (name, (was, records)) in before {
        let Some(head) = log.head(name).unwrap_or_else(|error| panic!("{what}: {name}: {error}")) else { continue };
        let found = all(log, name, head.first - 1);
        let skipped = (head.first - was.first.min(head.first)) as usize;
        assert!(skipped <= 1, "{what}: {name} begins at {} and not at {}", head.first, was.first);
        assert!(records[skipped..].starts_with(&found), "{what}: {name} has records that were never written");
        assert_eq!(found.len() as u64, head.last + 1 - head.first, "{what}: {name} has a hole");
        if head == *was {
            same += 1;
        } else {
            assert_ne!(head.epoch, was.epoch, "{what}: {name} lost records and keeps its epoch");
        }
    }
    same
}

/// Opens a damaged directory and returns the number of unchanged rooms; `None` if it was refused.
fn open(options: &Options, before: &Rooms, what: &str) -> Option<usize> {
    match DiskLog::start(options) {
        Ok(log) => {
            let same = assert_honest(&log, before, what);
            // Every room takes events again.
            for name in before.keys() {
                let sink = Collector::new(usize::MAX);
                let opened = log.open(name, sink.clone()).unwrap();
                log.append(name, 1, numbered(1..2), 1).unwrap();
                assert_eq!(sink.next(&log, name).1[0].offset, opened.head.last + 1, "{what}");
            }
            Some(same)
        }
        Err(DiskError::Foreign(_) | DiskError::Newer { .. } | DiskError::Damaged { .. }) => None,
        Err(other) => panic!("{what}: {other}"),
    }
}

#[test]
fn one_flipped_bit_costs_one_room_its_tail_and_invents_nothing() {
    let scratch = Scratch::new();
    let before = filled(&scratch);
    let whole = std::fs::read(scratch.options().directory.join("volley.db")).unwrap();
    let options = Options { directory: scratch.0.join("copy"), durability: Durability::Write, ..scratch.options() };
    let mut random = StdRng::seed_from_u64(1);
    let (mut refused, mut untouched, mut one, mut more) = (0, 0, 0, 0);
    for round in 0..120 {
        let (at, bit) = (random.random_range(0..whole.len()), random.random_range(0..8));
        copy(&scratch.options().directory, &options.directory);
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        std::fs::write(options.directory.join("volley.db"), bytes).unwrap();
        match open(&options, &before, &format!("bit {bit} of byte {at}")) {
            None => refused += 1,
            Some(4) => untouched += 1,
            Some(3) => one += 1,
            Some(_) => more += 1,
        }
        if round % 10 == 0 && refused == 0 {
            let (_, report) = recovery::recover(&Directory::claim(&options.directory).unwrap(), &options).unwrap();
            assert_eq!(report.healed(), 0, "a repaired log has no damage");
        }
    }
    assert!(one > 20, "many bits are text of one room: {one}");
    assert!(refused <= 3 && more <= 5, "refused {refused}, untouched {untouched}, more than one room {more}");
}

#[test]
fn a_cut_database_keeps_its_readable_rooms() {
    let scratch = Scratch::new();
    let before = filled(&scratch);
    let whole = std::fs::read(scratch.options().directory.join("volley.db")).unwrap();
    let options = Options { directory: scratch.0.join("copy"), durability: Durability::Write, ..scratch.options() };
    let mut kept = 0;
    for cut in (0..whole.len()).step_by(9_500) {
        copy(&scratch.options().directory, &options.directory);
        std::fs::write(options.directory.join("volley.db"), &whole[..cut]).unwrap();
        kept += open(&options, &before, &format!("cut at {cut}")).unwrap_or(0);
    }
    assert!(kept > 0, "no cut left a whole room");
}

#[test]
fn a_lost_write_ahead_log_is_noticed_in_its_rooms() {
    let scratch = Scratch::new();
    let mut before = filled(&scratch);
    let log = DiskLog::start(&scratch.options()).unwrap();
    let (name, sink) = (room("room-1"), Collector::new(usize::MAX));
    log.open(&name, sink.clone()).unwrap();
    for ticket in 0..5 {
        log.append(&name, ticket, numbered(0..30), 1).unwrap();
        sink.next(&log, &name);
    }
    before.insert(name.clone(), (head(&log, &name), all(&log, &name, 0)));
    // As a SIGKILL leaves it.
    let killed = scratch.0.join("killed");
    copy(&scratch.options().directory, &killed);
    drop(log);
    let options = Options { directory: scratch.0.join("copy"), ..scratch.options() };
    let wal = std::fs::read(killed.join("volley.db-wal")).unwrap();
    copy(&killed, &options.directory);
    assert_eq!(open(&options, &before, "killed"), Some(4), "nothing is lost");
    let mut shorter = 0;
    for cut in (0..wal.len()).step_by(9_000) {
        copy(&killed, &options.directory);
        std::fs::write(options.directory.join("volley.db-wal"), &wal[..cut]).unwrap();
        assert_eq!(open(&options, &before, &format!("log cut at {cut}")), Some(3), "cut at {cut}");
        shorter += 1;
    }
    assert!(shorter > 5);
    for at in (40..wal.len()).step_by(9_001) {
        copy(&killed, &options.directory);
        let mut bytes = wal.clone();
        bytes[at] ^= 4;
        std::fs::write(options.directory.join("volley.db-wal"), bytes).unwrap();
        let same = open(&options, &before, &format!("log flipped at {at}"));
        assert_eq!(same, Some(3), "flipped at {at}");
    }
    copy(&killed, &options.directory);
    std::fs::remove_file(options.directory.join("volley.db-wal")).unwrap();
    assert_eq!(open(&options, &before, "no log"), Some(3));
}

#[test]
fn a_healed_log_whose_healing_is_lost_does_not_go_back_to_its_first_epoch() {
    let scratch = Scratch::new();
    let mut before = filled(&scratch);
    let log = DiskLog::start(&scratch.options()).unwrap();
    let (name, sink) = (room("room-1"), Collector::new(usize::MAX));
    log.open(&name, sink.clone()).unwrap();
    log.append(&name, 1, numbered(0..30), 1).unwrap();
    sink.next(&log, &name);
    before.insert(name.clone(), (head(&log, &name), all(&log, &name, 0)));
    let killed = Options { directory: scratch.0.join("killed"), ..scratch.options() };
    copy(&scratch.options().directory, &killed.directory);
    drop(log);
    let wal = |options: &Options| options.directory.join("volley.db-wal");
    std::fs::write(wal(&killed), []).unwrap();
    let healed = DiskLog::start(&killed).unwrap();
    assert_eq!(assert_honest(&healed, &before, "healed"), 3);
    let again = Options { directory: scratch.0.join("again"), ..scratch.options() };
    copy(&killed.directory, &again.directory);
    drop(healed);
    std::fs::write(wal(&again), []).unwrap();
    assert_eq!(open(&again, &before, "the healing is lost"), Some(3));
}

#[test]
fn an_older_copy_of_the_database_is_noticed() {
    let scratch = Scratch::new();
    let mut before = filled(&scratch);
    let backup = scratch.0.join("backup");
    copy(&scratch.options().directory, &backup);
    let log = DiskLog::start(&scratch.options()).unwrap();
    let (name, sink) = (room("room-2"), Collector::new(usize::MAX));
    log.open(&name, sink.clone()).unwrap();
    log.append(&name, 1, numbered(0..1), 1).unwrap();
    sink.next(&log, &name);
    before.insert(name.clone(), (head(&log, &name), all(&log, &name, 0)));
    drop(log);
    std::fs::copy(backup.join("volley.db"), scratch.options().directory.join("volley.db")).unwrap();
    assert_eq!(open(&scratch.options(), &before, "older"), Some(3), "one room was changed after the copy");
}

#[test]
fn without_the_side_file_every_room_begins_a_new_epoch() {
    for harm in [None, Some(9), Some(32 * 2 + 3)] {
        let scratch = Scratch::new();
        let before = filled(&scratch);
        let path = scratch.options().directory.join("volley.heads");
        let expected = match harm {
            None => {
                std::fs::remove_file(&path).unwrap();
                0
            }
            Some(at) => {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[at] ^= 1;
                std::fs::write(&path, bytes).unwrap();
                if at < 32 { 0 } else { 3 }
            }
        };
        let log = DiskLog::start(&scratch.options()).unwrap();
        assert_eq!(assert_honest(&log, &before, "side file"), expected);
        for (name, (was, records)) in &before {
            assert_eq!(all(&log, name, was.first - 1), *records, "no record is lost");
        }
        let heads: Vec<_> = before.keys().map(|name| head(&log, name)).collect();
        drop(log);
        let log = DiskLog::start(&scratch.options()).unwrap();
        let again: Vec<_> = before.keys().map(|name| head(&log, name)).collect();
        assert_eq!(heads, again, "once");
    }
}

#[test]
fn records_that_are_cut_off_are_kept_in_other_tables() {
    let scratch = Scratch::new();
    let before = filled(&scratch);
    let path = scratch.options().directory.join("volley.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE events SET body = replace(body, 'text', 'lies') WHERE room = 2 AND offset = 30", []).unwrap();
    conn.execute("DELETE FROM events WHERE room = 3 AND offset = 50", []).unwrap();
    conn.execute("UPDATE rooms SET last = last + 7 WHERE id = 1", []).unwrap();
    drop(conn);
    let log = DiskLog::start(&scratch.options()).unwrap();
    assert_eq!(assert_honest(&log, &before, "edited"), 1);
    let last = |name: &str| head(&log, &room(name)).last;
    assert_eq!((last("room-1"), last("room-2"), last("room-0")), (29, 49, 60));
    drop(log);
    let conn = rusqlite::Connection::open(&path).unwrap();
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM damaged_events WHERE room = 2"), 31);
    assert_eq!(count("SELECT count(*) FROM damaged_events WHERE room = 3"), 10);
    assert_eq!(count("SELECT count(*) FROM damaged_rooms"), 3);
}

#[test]
fn an_interrupted_recovery_begins_again() {
    let scratch = Scratch::new();
    let before = filled(&scratch);
    let path = scratch.options().directory.join("volley.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE events SET at_ms = at_ms + 1 WHERE room = 2 AND offset = 30", []).unwrap();
    drop(conn);
    let faults = Faults::watch(&scratch.options().directory);
    let options = Options { vfs: Some(VFS.into()), ..scratch.options() };
    for attempt in 0..3 {
        faults.failing_syncs.store(1, Ordering::SeqCst);
        assert!(matches!(DiskLog::start(&options), Err(DiskError::System { .. })), "attempt {attempt}");
    }
    faults.failing_syncs.store(0, Ordering::SeqCst);
    let log = DiskLog::start(&options).unwrap();
    assert_eq!(assert_honest(&log, &before, "cut off"), 3);
    assert_eq!(head(&log, &room("room-1")).last, 29);
}

#[test]
fn foreign_files_are_refused_and_not_changed() {
    let scratch = Scratch::new();
    filled(&scratch);
    let path = scratch.options().directory.join("volley.db");
    let whole = std::fs::read(&path).unwrap();
    let refusal = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = DiskLog::start(&scratch.options()).err().expect("refused");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "untouched");
        error
    };
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&9_u32.to_be_bytes());
    assert!(matches!(refusal(&newer), DiskError::Newer { found: 9, .. }));
    assert!(matches!(refusal(b"a letter to my aunt"), DiskError::Foreign(_)));
    assert!(matches!(refusal(b""), DiskError::Foreign(_)));
    let mut other = whole.clone();
    other[68] = 0;
    assert!(matches!(refusal(&other), DiskError::Foreign(_)));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(DiskLog::start(&scratch.options()), Err(DiskError::Gone { .. })), "not silently replaced");
    std::fs::write(&path, whole).unwrap();
    let log = DiskLog::start(&scratch.options()).unwrap();
    let locked = DiskLog::start(&scratch.options()).err().expect("locked").to_string();
    assert!(locked.contains(&format!("in use by process {}", std::process::id())), "{locked}");
    drop(log);
    assert!(DiskLog::start(&scratch.options()).is_ok());
}
