//! All checked clients of a run, on one thread: started, controlled and observed from other threads.
//!
//! Does not know: the rules that are checked, which fault is on.

mod floor;

use super::client::ClientCounts;
use super::record::Recorder;
use floor::CrowdThread;
use mio::{Poll, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use volley::protocol::variant::Rendition;

const WAKER: Token = Token(usize::MAX);

#[derive(Clone, Debug)]
pub struct CrowdPlan {
    pub name: String,
    pub server: SocketAddr,
    /// Rooms; client `n` follows room `n % rooms`.
    pub rooms: Vec<String>,
    pub clients: usize,
    /// The seed of keys, moments and victims.
    pub seed: u64,
    pub habits: Habits,
}

/// What a crowd does in addition to sending distinct comments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Habits {
    /// Share of the comments that are near-duplicates of a few popular texts, 0–1.
    pub near_duplicates: f64,
    /// Votes per second in open polls.
    pub votes_per_s: f64,
    /// The number of clients, the first ones, that repeatedly stop reading for a while.
    pub slow: usize,
    /// The number of clients that ask for `full`, and the number that ask for `lite`: the last ones.
    pub asking: usize,
}

impl Habits {
    /// The rendition that the `n`-th client from the end asks for.
    fn asks(&self, n: usize) -> Option<Rendition> {
        match n {
            _ if n >= 2 * self.asking => None,
            _ if n.is_multiple_of(2) => Some(Rendition::Full),
            _ => Some(Rendition::Lite),
        }
    }
}

/// An order to the crowd's thread.
#[derive(Clone, Copy, Debug)]
enum CrowdOrder {
    /// Per second: comments, messages with likes, and connections that clients cut themselves.
    Pace { comments: f64, likes: f64, cuts: f64 },
    /// All clients close their connections and leave.
    Leave,
}

/// The state of a crowd that other threads can read.
#[derive(Debug, Default)]
struct CrowdShown {
    live: AtomicUsize,
    open: AtomicUsize,
    /// Clients that were told not to reconnect.
    banished: AtomicUsize,
    counts: Mutex<ClientCounts>,
}

#[derive(Debug)]
pub struct Crowd {
    orders: Sender<CrowdOrder>,
    waker: Arc<Waker>,
    shown: Arc<CrowdShown>,
    thread: Option<JoinHandle<io::Result<()>>>,
    clients: usize,
}

impl Crowd {
    /// Connects all clients, which send nothing yet.
    ///
    /// # Errors
    /// The system cannot create a poll or a thread.
    pub fn start(plan: &CrowdPlan, recorder: &Recorder) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let shown = Arc::new(CrowdShown::default());
        let (orders, inbox) = channel();
        let floor = CrowdThread::new(plan, recorder.clone(), poll, inbox, shown.clone());
        let thread = std::thread::Builder::new().name("crowd".into()).spawn(move || floor.run())?;
        Ok(Self { orders, waker, shown, thread: Some(thread), clients: plan.clients })
    }

    /// Sets the rates of comments, likes and connections that clients cut themselves, for the whole crowd.
    pub fn pace(&self, comments: f64, likes: f64, cuts: f64) {
        self.tell(CrowdOrder::Pace { comments, likes, cuts });
    }

    fn tell(&self, order: CrowdOrder) {
        // If the crowd's thread has ended, joining it returns the error.
        let _ = self.orders.send(order);
        let _ = self.waker.wake();
    }

    /// The number of clients that have caught up.
    pub fn live(&self) -> usize {
        self.shown.live.load(Ordering::Relaxed)
    }

    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Whether all clients are live, except those told not to reconnect, and no comment is unanswered.
    pub fn is_settled(&self) -> bool {
        let banished = self.shown.banished.load(Ordering::Relaxed);
        self.live() + banished == self.clients && self.shown.open.load(Ordering::Relaxed) == 0
    }

    /// The counts so far.
    pub fn counts(&self) -> ClientCounts {
        *self.shown.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all clients leave; returns when they have.
    ///
    /// # Errors
    /// The error that ended the crowd's thread.
    pub fn leave(mut self) -> io::Result<ClientCounts> {
        self.tell(CrowdOrder::Leave);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| io::Error::other("the crowd's thread panicked"))??;
        }
        Ok(self.counts())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tell(CrowdOrder::Leave);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    use volley::protocol::encode;
    use volley::protocol::variant::Encoding;

    const WELCOME: &str = r#"{"welcome":{"room":"demo","session":"00000000000000a1","you":{"id":"g-1","name":"guest"},"recovered":false,
        "epoch":"00000000000000e1","last":0,"tick_ms":100,"snapshot":{"likes":0,"online":1,"events":[]}}}"#;

    /// Reads the request, and answers it with the upgrade and a welcome in one write.
    fn let_in(stream: &mut TcpStream) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: volley.v1.json\r\n\r\n"
        )
        .into_bytes();
        answer.extend_from_slice(&encode::framed(WELCOME.as_bytes(), Encoding::Json));
        stream.write_all(&answer).unwrap();
        request
    }

    #[test]
    fn an_end_that_comes_with_the_last_bytes_is_noticed_and_the_guest_reconnects() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = std::env::temp_dir().join(format!("crowd-{}.jsonl", std::process::id()));
        let recorder = Recorder::new(&path).unwrap();
        let plan = CrowdPlan {
            name: "c".into(),
            server: listener.local_addr().unwrap(),
            rooms: vec!["demo".into()],
            clients: 1,
            seed: 1,
            habits: Habits::default(),
        };
        let crowd = Crowd::start(&plan, &recorder).unwrap();
        let guest = |request: &str| {
            let line = request.lines().find(|line| line.contains("volley.guest.")).map(str::to_owned);
            line.expect("the request has a key")
        };
        let (mut first, _) = listener.accept().unwrap();
        let before = guest(&let_in(&mut first));
        drop(first);
        let (mut second, _) = listener.accept().unwrap();
        let request = let_in(&mut second);
        assert_eq!(guest(&request), before);
        assert!(request.starts_with("GET /v1/rooms/demo/ws?epoch=00000000000000e1&after=0 "), "{request}");
        let began = Instant::now();
        while crowd.live() == 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "the client is never live again");
            std::thread::yield_now();
        }
        assert_eq!(crowd.leave().unwrap().welcomes, 2);
        std::fs::remove_file(path).unwrap();
    }
}
