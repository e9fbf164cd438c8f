//! A log on disk whose files were changed.
//!
//! Promises: the log opens or is refused; each room that it has is a beginning of what was written.
//!
//! The input is a list of changes of eight bytes each: the file, the kind of change, the place, and a byte or two. They
//! are applied to a copy of one small log of three rooms, as a SIGKILL left it, with its write-ahead log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use volley::log::disk::{CHECKPOINT_BYTES, DiskLog, Durability, Options, PACE_US, QUIET_US};
use volley::log::{Delivery, Head, Limit, Log, Record, Sink};
use volley::protocol::event::{Comment, Event};
use volley::protocol::ids::RoomId;
use volley::protocol::user::User;

const FILES: [&str; 3] = ["volley.db", "volley.db-wal", "volley.heads"];

/// The log before it is damaged.
struct Whole {
    files: Vec<Vec<u8>>,
    rooms: Vec<(RoomId, Head, Vec<Record>)>,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(make);

struct Done(SyncSender<()>);

impl Sink for Done {
    fn deliver(&self, _: Delivery) -> Result<(), Delivery> {
        let _ = self.0.send(());
        Ok(())
    }
}

/// A directory for one run, which is removed after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("volley-fuzz-log-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(directory: &Path) -> Options {
    Options {
        directory: directory.into(),
        durability: Durability::Write,
        open_max: 10,
        stored_max: 100,
        age_ms: u64::MAX,
        checkpoint_bytes: CHECKPOINT_BYTES,
        quiet_us: QUIET_US,
        pace_us: PACE_US,
        vfs: None,
        health: Default::default(),
    }
}

fn everything(log: &DiskLog, room: &RoomId) -> Option<(Head, Vec<Record>)> {
    let head = log.head(room).expect("it was checked")?;
    let limit = Limit { events: usize::MAX, bytes: usize::MAX };
    Some((head, log.read(room, head.first - 1, limit).expect("it was checked")))
}

fn make() -> Whole {
    let scratch = Scratch::new();
    let log = DiskLog::start(&options(&scratch.0)).expect("starts");
    let rooms: Vec<RoomId> = ["a", "b", "c"].map(|name| RoomId::new(name).expect("a name")).into();
    let (sender, done) = sync_channel(10);
    let sink = Arc::new(Done(sender));
    for (n, room) in rooms.iter().enumerate() {
        log.open(room, sink.clone()).expect("opens");
        for ticket in 0..3 {
            let user = User { id: "u".into(), name: "U".into(), role: Default::default() };
            let text = "words ".repeat(1 + n * 200 + ticket);
            let comment = Comment::new(user, text);
            let events = vec![Event::Comment(comment), Event::Likes { add: 1 }];
            log.append(room, ticket as u64, events, 1).expect("taken");
            done.recv().expect("delivered");
        }
    }
    let files = FILES.map(|name| fs::read(scratch.0.join(name)).expect("a file")).into();
    let rooms = rooms.into_iter().map(|room| {
        let (head, records) = everything(&log, &room).expect("there");
        (room, head, records)
    });
    Whole { files, rooms: rooms.collect() }
}

/// Applies the changes, opens the log twice, and compares.
pub fn recover(data: &[u8]) {
    let whole = &*WHOLE;
    let mut files = whole.files.clone();
    for change in data.chunks_exact(8).take(64) {
        let file = &mut files[usize::from(change[0]) % FILES.len()];
        let at = u32::from_le_bytes(change[2..6].try_into().expect("four bytes")) as usize % (file.len() + 1);
        match change[1] % 4 {
            0 => file.truncate(at),
            1 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (change[6] % 8)),
            2 => file.iter_mut().skip(at).take(2).zip(&change[6..]).for_each(|(byte, new)| *byte = *new),
            _ => file.iter_mut().skip(at).take(usize::from(change[6]) * 16).for_each(|byte| *byte = change[7]),
        }
    }
    let scratch = Scratch::new();
    for (name, bytes) in FILES.iter().zip(&files) {
        fs::write(scratch.0.join(name), bytes).expect("written");
    }
    let Ok(log) = DiskLog::start(&options(&scratch.0)) else { return };
    let mut first = Vec::new();
    for (room, head, records) in &whole.rooms {
        let found = everything(&log, room);
        if let Some((now, kept)) = &found {
            let at = records.iter().position(|record| record.offset == now.first).unwrap_or(records.len());
            assert!(records[at..].starts_with(kept), "room {room} has records that were never written");
            assert!(now == head || now.epoch != head.epoch, "room {room} lost records and keeps its epoch");
        }
        first.push(found);
    }
    drop(log);
    let log = DiskLog::start(&options(&scratch.0)).expect("a repaired log opens");
    let again: Vec<_> = whole.rooms.iter().map(|(room, ..)| everything(&log, room)).collect();
    assert_eq!(first, again, "a repaired log does not change at the next start");
}
