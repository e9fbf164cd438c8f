//! All checked clients of a run on one thread: started, told what to do, and looked at from outside.
//!
//! Does not know: what is right, which fault is on.

mod floor;

use super::client::Counts;
use super::record::Recorder;
use floor::Floor;
use mio::{Poll, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

const WAKER: Token = Token(usize::MAX);

/// Who takes part.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Begins its clients' names.
    pub name: String,
    /// Where the server is.
    pub server: SocketAddr,
    /// Rooms; client `n` follows room `n % rooms`.
    pub rooms: Vec<String>,
    /// Clients.
    pub clients: usize,
    /// For keys, moments and victims.
    pub seed: u64,
}

/// What a crowd is told.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Comments a second, likes messages a second, and connections cut by the clients themselves a second.
    Pace { comments: f64, likes: f64, cuts: f64 },
    /// All leave in good order.
    Leave,
}

/// What can be seen of a crowd from outside.
#[derive(Debug, Default)]
struct Shown {
    live: AtomicUsize,
    open: AtomicUsize,
    /// Clients that were told not to come back.
    banished: AtomicUsize,
    counts: Mutex<Counts>,
}

/// A crowd at work.
#[derive(Debug)]
pub struct Crowd {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    shown: Arc<Shown>,
    thread: Option<JoinHandle<io::Result<()>>>,
    clients: usize,
}

impl Crowd {
    /// Lets everybody in, in silence.
    ///
    /// # Errors
    /// The system gives no poll or thread.
    pub fn start(plan: &Plan, recorder: &Recorder) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let shown = Arc::new(Shown::default());
        let (orders, inbox) = channel();
        let floor = Floor::new(plan, recorder.clone(), poll, inbox, shown.clone());
        let thread = std::thread::Builder::new().name("crowd".into()).spawn(move || floor.run())?;
        Ok(Self { orders, waker, shown, thread: Some(thread), clients: plan.clients })
    }

    /// From now on so many comments, likes and self-made cuts a second, in all.
    pub fn pace(&self, comments: f64, likes: f64, cuts: f64) {
        self.tell(Order::Pace { comments, likes, cuts });
    }

    fn tell(&self, order: Order) {
        // A crowd that has ended shows it when it is joined.
        let _ = self.orders.send(order);
        let _ = self.waker.wake();
    }

    /// Clients that are in and have caught up.
    pub fn live(&self) -> usize {
        self.shown.live.load(Ordering::Relaxed)
    }

    /// All clients.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Whether everybody is live (who was banished aside) and nothing waits for an answer.
    pub fn is_settled(&self) -> bool {
        let banished = self.shown.banished.load(Ordering::Relaxed);
        self.live() + banished == self.clients && self.shown.open.load(Ordering::Relaxed) == 0
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        *self.shown.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All leave; returns when they have.
    ///
    /// # Errors
    /// What ended the crowd's thread before.
    pub fn leave(mut self) -> io::Result<Counts> {
        self.tell(Order::Leave);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| io::Error::other("the crowd's thread panicked"))??;
        }
        Ok(self.counts())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tell(Order::Leave);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
