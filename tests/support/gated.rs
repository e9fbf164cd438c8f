//! A log whose test decides when its device answers, and that counts requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use volley::log::memory::MemoryLog;
use volley::log::{AppendError, Base, Head, Limit, Log, OpenError, Opened, ReadError, Record, Retention, Sink, Ticket};
use volley::protocol::event::Event;
use volley::protocol::ids::{Offset, RoomId};

/// The state of the simulated device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Answers at once.
    Open,
    /// Waits until the test changes the state.
    Shut,
    /// Answers with an error.
    Broken,
}

#[derive(Default)]
struct State {
    opens: BTreeMap<String, Gate>,
    reads: BTreeMap<String, Gate>,
    /// The number of reads that pass a gate before it is shut.
    credit: Option<usize>,
    read: usize,
    waiting: usize,
}

/// The memory log behind gates.
pub struct Gated {
    memory: MemoryLog,
    state: Mutex<State>,
    changed: Condvar,
}

impl Gated {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { memory: MemoryLog::new(100, 7), state: Mutex::default(), changed: Condvar::new() })
    }

    /// Sets the gate before the opening of `room`.
    pub fn opening(&self, room: &str, gate: Gate) {
        self.state.lock().unwrap().opens.insert(room.into(), gate);
        self.changed.notify_all();
    }

    /// Sets the gate before reads of `room`.
    pub fn reading(&self, room: &str, gate: Gate) {
        self.state.lock().unwrap().reads.insert(room.into(), gate);
        self.changed.notify_all();
    }

    /// Lets a number of reads of any room pass, and then shuts the gate of `room`.
    pub fn reading_only(&self, room: &str, count: usize) {
        self.state.lock().unwrap().credit = Some(count);
        self.reading(room, Gate::Shut);
    }

    /// The number of requested reads.
    pub fn reads(&self) -> usize {
        self.state.lock().unwrap().read
    }

    /// Callers that wait at a gate.
    pub fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }

    /// Passes a gate; returns whether the device answers.
    fn pass(&self, gate: impl Fn(&State) -> Gate, is_read: bool) -> bool {
        let mut state = self.state.lock().unwrap();
        state.read += usize::from(is_read);
        state.waiting += 1;
        let answers = loop {
            match gate(&state) {
                Gate::Open => break true,
                Gate::Broken => break false,
                Gate::Shut => {
                    if is_read && let Some(credit) = state.credit.filter(|credit| *credit > 0) {
                        state.credit = Some(credit - 1);
                        break true;
                    }
                    state = self.changed.wait(state).unwrap();
                }
            }
        };
        state.waiting -= 1;
        answers
    }
}

impl Log for Gated {
    fn open(&self, room: &RoomId, sink: Arc<dyn Sink>) -> Result<Opened, OpenError> {
        let gate = |state: &State| state.opens.get(room.as_str()).copied().unwrap_or(Gate::Open);
        if self.pass(gate, false) { self.memory.open(room, sink) } else { Err(OpenError::Unavailable) }
    }

    fn append(&self, room: &RoomId, ticket: Ticket, events: Vec<Event>, now_ms: u64) -> Result<(), AppendError> {
        self.memory.append(room, ticket, events, now_ms)
    }

    fn read(&self, room: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError> {
        let gate = |state: &State| state.reads.get(room.as_str()).copied().unwrap_or(Gate::Open);
        if self.pass(gate, true) { self.memory.read(room, after, limit) } else { Err(ReadError::Unavailable) }
    }

    fn head(&self, room: &RoomId) -> Result<Option<Head>, ReadError> {
        self.memory.head(room)
    }

    fn nudge(&self, room: &RoomId) {
        self.memory.nudge(room);
    }

    fn retain(&self, room: &RoomId, retention: &Retention, now_ms: u64, base: Base) {
        self.memory.retain(room, retention, now_ms, base);
    }

    fn close(&self, room: &RoomId) {
        self.memory.close(room);
    }
}
