//! A gateway on free ports, whose rooms and hand-over only record calls, and a client that writes raw bytes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use volley::api::{self, HealthReport, Listening, PostFailure, PostFuture};
use volley::config::Config;
use volley::gateway::{Gateway, GatewayState, HandOver, Permits, Rooms, RoomsFull, Upgraded};
use volley::policy::auth::{Authenticator, Guests};
use volley::protocol::ids::RoomId;
use volley::protocol::local::RoomKey;
use volley::room::registry::RoomHandle;
use volley::room::request::PostRequest;
use volley::shutdown::Shutdown;

pub const PATIENCE: Duration = Duration::from_secs(10);

/// Rooms up to a bound; counts claims.
pub struct TestRooms {
    pub rooms_max: usize,
    pub open: Mutex<Vec<Arc<RoomHandle>>>,
}

impl Rooms for TestRooms {
    fn claim(&self, id: &RoomId) -> Result<Arc<RoomHandle>, RoomsFull> {
        let mut open = self.open.lock().unwrap();
        let room = match open.iter().find(|room| room.id == *id) {
            Some(room) => room.clone(),
            None if open.len() >= self.rooms_max => return Err(RoomsFull),
            None => {
                let room = Arc::new(RoomHandle::new(RoomKey(open.len() as u64), id.clone(), 0, 1));
                open.push(room.clone());
                room
            }
        };
        room.claims.fetch_add(1, Ordering::SeqCst);
        Ok(room)
    }

    fn has_place(&self, id: &RoomId) -> bool {
        let open = self.open.lock().unwrap();
        open.len() < self.rooms_max || open.iter().any(|room| room.id == *id)
    }

    fn release(&self, room: &RoomHandle) {
        room.claims.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Keeps the upgraded sockets, or refuses them like a full inbox.
#[derive(Default)]
pub struct TestShard {
    pub full: AtomicBool,
    pub kept: Mutex<Vec<Upgraded>>,
}

impl HandOver for TestShard {
    fn hand_over(&self, upgraded: Upgraded) -> Result<(), Upgraded> {
        if self.full.load(Ordering::SeqCst) {
            return Err(upgraded);
        }
        let mut upgraded = upgraded;
        upgraded.stream.write_all(&upgraded.answer).unwrap();
        self.kept.lock().unwrap().push(upgraded);
        Ok(())
    }
}

/// Takes nothing.
struct NoPosts;

impl api::Posts for NoPosts {
    fn post(&self, _: &RoomId, _: PostRequest) -> PostFuture {
        Box::pin(std::future::ready(Err(PostFailure::Full)))
    }
    fn announce(&self, _: &Arc<RoomHandle>, _: PostRequest) -> Option<PostFuture> {
        None
    }
}

pub struct Server {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub rooms: Arc<TestRooms>,
    pub shard: Arc<TestShard>,
    pub permits: Permits,
    pub shutdown: Shutdown,
    pub listening: Listening,
    pub stuck: Arc<AtomicBool>,
    /// The number of public sides that have returned.
    pub ended: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

/// The default configuration on free ports, with a deadline that a test can wait for.
pub fn config() -> Config {
    let mut config = Config::default();
    config.addresses.listen.set_port(0);
    config.addresses.admin.set_port(0);
    config.admission.handshake_ms = 400;
    config
}

impl Server {
    pub fn start(config: &Config) -> Self {
        Self::start_with(config, Arc::new(Guests))
    }

    pub fn start_with(config: &Config, auth: Arc<dyn Authenticator>) -> Self {
        let gateway = Gateway::bind(config).unwrap();
        let (public, admin) = (gateway.public.address(), gateway.admin.address());
        let rooms = Arc::new(TestRooms { rooms_max: config.room.rooms_max, open: Mutex::default() });
        let shard = Arc::<TestShard>::default();
        let permits = Permits::configured(config, 10_000);
        let (shutdown, listening, stuck) = (Shutdown::default(), Listening::default(), Arc::<AtomicBool>::default());
        let ended = Arc::<AtomicUsize>::default();
        let (open, sick) = (rooms.clone(), stuck.clone());
        let resources = Arc::new(api::ApiState {
            rooms: Arc::new(move || open.open.lock().unwrap().clone()),
            verdicts: Box::new(|| vec![("comment", "admitted", 7), ("like", "rate_limited", 2)]),
            health: Box::new(move || match sick.load(Ordering::SeqCst) {
                true => HealthReport::Failing("shard 0 has not moved for 9 s".into()),
                false => HealthReport::Working,
            }),
            log: Arc::new(volley::log::memory::MemoryLog::new(1, 1)),
            posts: Arc::new(NoPosts),
            key: Arc::new(api::AdminKey::new(None)),
            exporter: volley::metrics::install().unwrap(),
            shutdown: shutdown.clone(),
            listening: listening.clone(),
        });
        let state = GatewayState {
            rooms: rooms.clone(),
            auth,
            hand_over: shard.clone(),
            shutdown: shutdown.clone(),
            permits: permits.clone(),
            health: Default::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (pages, done) = (api::public(resources.clone(), api::Site::of(config)), ended.clone());
        runtime.spawn(async move {
            gateway.public.serve(state, pages).await.unwrap();
            done.fetch_add(1, Ordering::SeqCst);
        });
        runtime.spawn(gateway.admin.serve(api::admin(resources)));
        Self { public, admin, rooms, shard, permits, shutdown, listening, stuck, ended, _runtime: runtime }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.public)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    pub fn ask_admin(&self, path: &str) -> Answer {
        let mut client = Client::connect(self.admin);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        client.answer()
    }

    /// Asserts that the server still works.
    pub fn assert_well(&self, after: &str) {
        let answer = self.ask("GET /v1/rooms HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(answer.status, 200, "after {after}: {answer:?}");
    }
}

/// Waits until `done` returns true.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A proper upgrade request for `target`, with extra header lines.
pub fn upgrade(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: good.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

pub struct Client {
    pub stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines in lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The code of the error in the body.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn message(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Writes bytes; the server may close meanwhile.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The next answer with its body.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET").unwrap()
    }

    /// The next answer; an answer to HEAD has no body.
    pub fn answer_to(&mut self, method: &str) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_some()?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_lowercase();
        self.read.drain(..end);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let length = if method == "HEAD" || status == 304 { 0 } else { length };
        while self.read.len() < length {
            self.read_some()?;
        }
        answer.body = String::from_utf8_lossy(&self.read.drain(..length).collect::<Vec<_>>()).into_owned();
        Ok(answer)
    }

    fn read_some(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed after {:?}", self.read))),
            n => {
                self.read.extend_from_slice(&buffer[..n]);
                Ok(())
            }
        }
    }

    /// Everything until the server closes, in order or by a reset.
    pub fn rest(mut self) -> Vec<u8> {
        loop {
            match self.read_some() {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("not closed within {PATIENCE:?}");
                }
                Err(_) => return self.read,
            }
        }
    }
}

impl Client {
    pub fn from_stream(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }
}
