//! Thousands of plain viewers on one thread, that misbehave together: cut at once, stop reading, read a byte a second,
//! say nothing, vanish. Each checks for itself that what it is sent has no hole; nothing is written down.
//!
//! Does not know: histories, what the server should do about it.

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

/// How a viewer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Reads all the time.
    Reads,
    /// Reads, but stops while [`Mass::stall`] is on.
    Stalls,
    /// Reads one byte a second.
    Drips,
    /// Connects and says nothing.
    Mute,
    /// Leaves as soon as it is in, and comes back to the next of the rooms.
    Churns,
    /// The same, each time to a room that is new.
    Wanders,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct MassPlan {
    pub server: SocketAddr,
    pub rooms: Vec<String>,
    /// Habits, and how many have each.
    pub viewers: Vec<(Habit, usize)>,
    /// Connects a second at the start, and when churning.
    pub connect_per_s: f64,
    /// For moments.
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

/// What is seen from outside.
#[derive(Clone, Debug, Default)]
pub struct MassShown {
    /// Viewers that are in, by whether they only read.
    pub live: [usize; 2],
    /// Sockets that are open.
    pub open: usize,
    pub welcomes: u64,
    pub frames: u64,
    /// Stretches that were not delivered and not announced, or delivered twice.
    pub holes: u64,
    /// Announced gaps.
    pub gaps: u64,
    /// Resumes that the server could not make whole, and said so.
    pub not_recovered: u64,
    /// Ends by close code, or by what else ended it.
    pub ends: BTreeMap<String, u64>,
    /// Longest time without a message for a viewer that only reads, since the last mark.
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
    /// Begins to let them in.
    ///
    /// # Errors
    /// The system gives no poll or thread.
    pub fn start(plan: MassPlan) -> io::Result<Self> {
        let shown = Arc::new(Mutex::new(MassShown::default()));
        let (orders, inbox) = channel();
        let poll = Poll::new()?;
        let floor = MassThread::new(plan, poll, inbox, shown.clone());
        let thread = std::thread::Builder::new().name("mass".into()).spawn(move || floor.run())?;
        Ok(Self { orders, shown, thread: Some(thread) })
    }

    /// As it is now.
    pub fn shown(&self) -> MassShown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, order: MassOrder) {
        // A mass that has ended shows nothing new, which its scenario sees.
        let _ = self.orders.send(order);
    }

    /// Cuts everybody with this habit at once; they come back, with the SDK's jitter or in the same moment.
    pub fn cut(&self, habit: Habit, jitter: bool) {
        self.tell(MassOrder::Cut { habit, jitter });
    }

    /// Those who stall stop reading, or read again.
    pub fn stall(&self, on: bool) {
        self.tell(MassOrder::Stall(on));
    }

    /// From now on the kernel drops every packet that comes for those with this habit, and they say nothing.
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
