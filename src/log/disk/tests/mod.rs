//! The disk log against the contract of every log, and against the promises of a durable one.

mod bursts;
mod damage;
mod deletion;
mod faults;
mod faulty;
mod upkeep;

use super::*;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

/// A directory for one test, which is removed after it.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("volley-log-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn options(&self) -> Options {
        Options {
            directory: self.0.join("data"),
            durability: Durability::Fsync,
            open_max: 100,
            stored_max: 1_000,
            age_ms: u64::MAX,
            checkpoint_bytes: CHECKPOINT_BYTES,
            quiet_us: QUIET_US,
            pace_us: PACE_US,
            vfs: None,
            health: Default::default(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A log that owns its directory, because the suite receives a log only.
struct Alone {
    // Dropped before its directory.
    log: DiskLog,
    _scratch: Scratch,
}

impl Log for Alone {
    fn open(&self, room: &RoomId, sink: Arc<dyn Sink>) -> Result<Opened, OpenError> {
        self.log.open(room, sink)
    }
    fn append(&self, room: &RoomId, ticket: Ticket, events: Vec<Event>, now_ms: u64) -> Result<(), AppendError> {
        self.log.append(room, ticket, events, now_ms)
    }
    fn read(&self, room: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError> {
        self.log.read(room, after, limit)
    }
    fn head(&self, room: &RoomId) -> Result<Option<Head>, ReadError> {
        self.log.head(room)
    }
    fn nudge(&self, room: &RoomId) {
        self.log.nudge(room);
    }
    fn retain(&self, room: &RoomId, retention: &Retention, now_ms: u64, base: Base) {
        self.log.retain(room, retention, now_ms, base);
    }
    fn close(&self, room: &RoomId) {
        self.log.close(room);
    }
}

fn make(rooms_max: usize) -> Arc<dyn Log> {
    let scratch = Scratch::new();
    let log = DiskLog::start(&Options { open_max: rooms_max, ..scratch.options() }).unwrap();
    Arc::new(Alone { log, _scratch: scratch })
}

crate::log::suite::log_suite!(make);
crate::log::suite::durable::durable_suite!(make_again);

/// Opens the same directory at each call, as after a restart of the process.
fn make_again() -> impl Fn() -> Arc<dyn Log> {
    let scratch = Scratch::new();
    move || Arc::new(DiskLog::start(&scratch.options()).unwrap())
}
