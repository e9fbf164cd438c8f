//! Thousands of plain viewers on one thread that misbehave together: they are cut at once, stop reading, read a byte
//! per second, stay silent, or vanish. Each checks that its frames have no hole; no history is recorded.
//!
//! Does not know: histories, how the server should react.

mod floor;

pub use floor::SLOW_RCVBUF_BYTES;

use floor::MassThread;
use mio::Poll;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    Reads,
    /// Reads, but stops while [`Mass::stall`] is on.
    Stalls,
    /// Reads one byte a second.
    Drips,
    Mute,
    /// Leaves as soon as it is welcomed, and connects to the next of the rooms.
    Churns,
    /// As `Churns`, but each time into a new room.
    Wanders,
}

#[derive(Clone, Debug)]
pub struct MassPlan {
    pub server: SocketAddr,
    pub rooms: Vec<String>,
    /// The number of viewers per habit.
    pub viewers: Vec<(Habit, usize)>,
    /// Connects per second, at the start and while churning.
    pub connect_per_s: f64,
    pub seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum MassOrder {
    Cut { habit: Habit, jitter: bool },
    Stall(bool),
    Vanish(Habit),
    Mark,
    Leave,
}

/// The state of a mass that other threads can read.
#[derive(Clone, Debug, Default)]
pub struct MassShown {
    /// Live viewers: those that only read, and the others.
    pub live: [usize; 2],
    pub open: usize,
    pub welcomes: u64,
    pub frames: u64,
    /// Stretches that were neither delivered nor announced, or delivered twice.
    pub holes: u64,
    pub gaps: u64,
    /// Resumes that the server answered with a gap.
    pub not_recovered: u64,
    /// Ended connections, by close code or other cause.
    pub ends: BTreeMap<String, u64>,
    /// The longest time without a message of a viewer that only reads, since the last mark.
    pub pause_max_ms: u64,
    /// Latency of frames at viewers that only read, since the last mark: median and p99.
    pub latency_ms: [u64; 2],
}

/// A mass at work; all leave when it is dropped.
#[derive(Debug)]
pub struct Mass {
    orders: Sender<MassOrder>,
    shown: Arc<Mutex<MassShown>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Mass {
    /// Begins to connect the viewers.
    ///
    /// # Errors
    /// The system cannot create a poll or a thread.
    pub fn start(plan: MassPlan) -> io::Result<Self> {
        let shown = Arc::new(Mutex::new(MassShown::default()));
        let (orders, inbox) = channel();
        let poll = Poll::new()?;
        let floor = MassThread::new(plan, poll, inbox, shown.clone());
        let thread = std::thread::Builder::new().name("mass".into()).spawn(move || floor.run())?;
        Ok(Self { orders, shown, thread: Some(thread) })
    }

    pub fn shown(&self) -> MassShown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, order: MassOrder) {
        // If the mass's thread has ended, its state no longer changes, which the scenario notices.
        let _ = self.orders.send(order);
    }

    /// Cuts all viewers with this habit at once; they reconnect with the SDK's jitter or at the same moment.
    pub fn cut(&self, habit: Habit, jitter: bool) {
        self.tell(MassOrder::Cut { habit, jitter });
    }

    /// Viewers that stall stop reading, or read again.
    pub fn stall(&self, on: bool) {
        self.tell(MassOrder::Stall(on));
    }

    /// From now on the kernel drops every packet to viewers with this habit, and they send nothing.
    pub fn vanish(&self, habit: Habit) {
        self.tell(MassOrder::Vanish(habit));
    }

    /// Pauses and latencies count from here.
    pub fn mark(&self) {
        self.tell(MassOrder::Mark);
    }
}

impl Drop for Mass {
    fn drop(&mut self) {
        self.tell(MassOrder::Leave);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
