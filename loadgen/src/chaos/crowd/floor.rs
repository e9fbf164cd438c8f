//! The crowd's thread: its sockets, reconnects, and the schedule of sends.
//!
//! Does not know: what a message means, which fault is on.

use super::{CrowdOrder, CrowdPlan, CrowdShown, Habits, WAKER};
use crate::chaos::client::{Client, ClientCounts, Desk, Wish};
use crate::chaos::dice::Dice;
use crate::chaos::record::Recorder;
use crate::clock::now_ns;
use crate::run::wording::TextWriter as Words;
use crate::wire::line::{Bytes, Dial, Line, LineError, Masker, READ_BYTES, Received, Stage};
use crate::wire::upgrade::Upgrade;
use crate::wire::ws::{self, Kind};
use mio::{Events, Poll, Token};
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use volley::policy::text::{TextLimits, normalise};

/// Bytes that may wait for one socket; a client with more is disconnected.
const UNSENT_BYTES_MAX: usize = 256 * 1024;
/// The longest time from the first packet to the welcome.
const HANDSHAKE_NS_MAX: u64 = 10_000_000_000;
/// The first and the longest back-off after a lost connection. It doubles per failure; the client waits a random part
/// of it, at least half.
const BACKOFF_NS: (u64, u64) = (50_000_000, 1_000_000_000);
/// How long slow clients do not read: until they are behind by ten frames, and a second more.
const LULL_NS: u64 = 8_000_000_000;
/// How long slow clients then read: longer than the server needs to give them their rendition back.
const READING_NS: u64 = 14_000_000_000;
/// Receive buffer of slow clients in bytes: small, so that the server notices the stall.
const SLOW_RCVBUF_BYTES: usize = 4_096;
/// Sends in one cycle, so that a burst does not keep the sockets waiting.
const SENDS_PER_CYCLE: u64 = 256;

/// A client's connection, and the time of its next one.
#[derive(Debug)]
struct Seat {
    line: Line,
    since_ns: u64,
    /// When to connect; `u64::MAX`: never.
    due_ns: u64,
    failures: u32,
    close_code: Option<u16>,
}

impl Seat {
    fn new() -> Self {
        Self { line: Line::new(UNSENT_BYTES_MAX), since_ns: 0, due_ns: 0, failures: 0, close_code: None }
    }
}

/// A steady rate of events.
#[derive(Clone, Copy, Debug, Default)]
struct Beat {
    per_s: f64,
    since_ns: u64,
    done: u64,
}

impl Beat {
    fn set(&mut self, per_s: f64, now: u64) {
        *self = Self { per_s, since_ns: now, done: 0 };
    }

    /// The number of events that are due now, which then count as done.
    fn due(&mut self, now: u64) -> u64 {
        let all = (now.saturating_sub(self.since_ns) as f64 * self.per_s / 1e9) as u64;
        let due = all.saturating_sub(self.done).min(SENDS_PER_CYCLE);
        self.done += due;
        due
    }
}

pub(super) struct CrowdThread {
    server: SocketAddr,
    rooms: Vec<String>,
    clients: Vec<Client>,
    seats: Vec<Seat>,
    recorder: Recorder,
    poll: Poll,
    inbox: Receiver<CrowdOrder>,
    shown: Arc<CrowdShown>,
    counts: ClientCounts,
    upgrade: Upgrade,
    dice: Dice,
    buffer: Vec<u8>,
    comments: Beat,
    likes: Beat,
    cuts: Beat,
    votes: Beat,
    habits: Habits,
    words: Words,
    /// Whether slow clients are in a lull, and until when.
    lull: (bool, u64),
    is_leaving: bool,
    masker: Masker,
}

impl CrowdThread {
    pub(super) fn new(
        plan: &CrowdPlan,
        recorder: Recorder,
        poll: Poll,
        inbox: Receiver<CrowdOrder>,
        shown: Arc<CrowdShown>,
    ) -> Self {
        let mut dice = Dice::new(plan.seed);
        let clients = (0..plan.clients).map(|n| {
            let client = Client::new(format!("{}{n}", plan.name), dice.key(), n % plan.rooms.len());
            client.asking_for(plan.habits.asks(plan.clients - n - 1))
        });
        Self {
            server: plan.server,
            rooms: plan.rooms.clone(),
            clients: clients.collect(),
            seats: (0..plan.clients).map(|_| Seat::new()).collect(),
            recorder,
            poll,
            inbox,
            shown,
            counts: ClientCounts::default(),
            upgrade: Upgrade::new(&plan.server.to_string(), "volley.v1.json"),
            dice,
            buffer: vec![0; READ_BYTES],
            comments: Beat::default(),
            likes: Beat::default(),
            cuts: Beat::default(),
            votes: Beat::default(),
            habits: plan.habits,
            words: Words::new(plan.seed),
            lull: (false, 0),
            is_leaving: false,
            masker: Masker::default(),
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            let now = now_ns();
            self.orders(now);
            if self.is_leaving {
                break;
            }
            self.connect_due(now);
            self.lull(now);
            self.speak(now);
            self.show();
            if let Err(error) = self.poll.poll(&mut events, Some(Duration::from_millis(2)))
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                let at = event.token().0;
                if event.is_writable() {
                    self.writable(at);
                }
                if self.lull.0 && at < self.habits.slow {
                    continue; // It is read after the lull. Its bytes are still there, only this event is lost.
                }
                if event.is_readable() || event.is_error() || event.is_read_closed() {
                    self.readable(at);
                }
            }
        }
        for at in 0..self.clients.len() {
            if self.seats[at].line.stage() == Stage::Open {
                self.send(at, Kind::Close, &1000u16.to_be_bytes());
                self.hang_up(at, Some(1000));
            }
        }
        self.show();
        Ok(())
    }

    fn orders(&mut self, now: u64) {
        while let Ok(order) = self.inbox.try_recv() {
            match order {
                CrowdOrder::Pace { comments, likes, cuts } => {
                    self.comments.set(comments, now);
                    self.likes.set(likes, now);
                    self.cuts.set(cuts, now);
                    let is_silent = comments == 0.0 && likes == 0.0;
                    self.votes.set(if is_silent { 0.0 } else { self.habits.votes_per_s }, now);
                    // In the silence before the end all clients read.
                    self.lull = (false, if is_silent { u64::MAX } else { 0 });
                    self.read_slow();
                }
                CrowdOrder::Leave => self.is_leaving = true,
            }
        }
    }

    fn show(&self) {
        let live = self.clients.iter().filter(|client| client.is_live()).count();
        self.shown.live.store(live, Ordering::Relaxed);
        self.shown.open.store(self.clients.iter().map(Client::open).sum(), Ordering::Relaxed);
        let is_banished = |seat: &&Seat| seat.due_ns == u64::MAX && seat.line.stage() == Stage::Away;
        let banished = self.seats.iter().filter(is_banished).count();
        self.shown.banished.store(banished, Ordering::Relaxed);
        *self.shown.counts.lock().unwrap_or_else(PoisonError::into_inner) = self.counts;
    }

    /// The client at `at`, and its environment.
    fn desk(&mut self, at: usize) -> (&mut Client, Desk<'_>) {
        let desk = Desk { recorder: &self.recorder, counts: &mut self.counts, rooms: &self.rooms };
        (&mut self.clients[at], desk)
    }

    fn connect_due(&mut self, now: u64) {
        for at in 0..self.seats.len() {
            let seat = &self.seats[at];
            match seat.line.stage() {
                Stage::Away if seat.due_ns <= now => self.connect(at, now),
                Stage::Connecting | Stage::Upgrading if now > seat.since_ns + HANDSHAKE_NS_MAX => {
                    self.hang_up(at, None);
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self, at: usize, now: u64) {
        let seat = &mut self.seats[at];
        seat.since_ns = now;
        let mut begun = seat.line.connect(&Dial::to(self.server), self.poll.registry(), Token(at));
        if at < self.habits.slow
            && let Some(socket) = seat.line.socket()
        {
            begun = begun.and_then(|()| socket.set_recv_buffer_size(SLOW_RCVBUF_BYTES));
        }
        if begun.is_err() {
            self.hang_up(at, None);
        }
    }

    fn writable(&mut self, at: usize) {
        let line = &mut self.seats[at].line;
        if line.stage() != Stage::Connecting {
            let flushed = line.flush();
            return self.sent(at, flushed);
        }
        if line.connected().is_err() {
            return self.hang_up(at, None);
        }
        let now = now_ns();
        let (client, desk) = self.desk(at);
        let query = client.attempt(now, &desk);
        let guest = format!(", volley.guest.{}", client.key);
        let room = client.room;
        let request = self.upgrade.request_with(&self.rooms[room], &query, &guest);
        let sent = self.seats[at].line.send(&request);
        self.sent(at, sent);
    }

    fn send(&mut self, at: usize, kind: Kind, payload: &[u8]) {
        let sent = self.seats[at].line.send(self.masker.frame(kind, payload));
        self.sent(at, sent);
    }

    /// If the server reads so little that the limit is reached, the client disconnects. Any other error shows when the
    /// socket is read, because messages before the end must still be handled.
    fn sent(&mut self, at: usize, sent: io::Result<()>) {
        if sent.is_err_and(|error| error.kind() == ErrorKind::OutOfMemory) {
            self.hang_up(at, None);
        }
    }

    fn readable(&mut self, at: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        // Reads up to the end of the stream: an end that arrives together with the last bytes raises no event of its
        // own.
        loop {
            match self.seats[at].line.read(&mut buffer, READ_BYTES) {
                Received::Bytes(bytes) => self.bytes(at, bytes),
                Received::Nothing => break,
                Received::End | Received::Broken(_) => {
                    let code = self.seats[at].close_code;
                    self.hang_up(at, code);
                }
            }
        }
        self.buffer = buffer;
    }

    fn bytes(&mut self, at: usize, mut bytes: Bytes<'_>) {
        loop {
            match self.seats[at].line.next(&mut bytes, &self.upgrade) {
                Ok(Some(frame)) => {
                    self.frame(at, frame.kind, frame.payload);
                    if self.seats[at].line.stage() == Stage::Away {
                        return;
                    }
                }
                Ok(None) => return self.seats[at].line.keep(&bytes),
                Err(error) => {
                    self.counts.unreadable += u64::from(matches!(error, LineError::Frame(_)));
                    return self.hang_up(at, None);
                }
            }
        }
    }

    fn frame(&mut self, at: usize, kind: Kind, payload: &[u8]) {
        match kind {
            Kind::Ping => self.send(at, Kind::Pong, payload),
            Kind::Pong => {}
            Kind::Close => {
                let code = ws::close_code(payload);
                self.seats[at].close_code = Some(code);
                self.send(at, Kind::Close, payload.get(..2).unwrap_or(&[]));
                self.hang_up(at, Some(code));
            }
            Kind::Text | Kind::Binary => {
                let (client, mut desk) = self.desk(at);
                match client.hear(payload, &mut desk) {
                    Wish::None => {}
                    Wish::Again => {
                        let again = client.again(&mut desk);
                        self.seats[at].failures = 0;
                        again.iter().for_each(|text| self.send(at, Kind::Text, text.as_bytes()));
                    }
                    Wish::ComeBack(after_ms) => {
                        // The server's hints already spread the crowd; a small random part separates equal hints.
                        let more = self.dice.below(20_000_000);
                        self.seats[at].due_ns = now_ns() + after_ms * 1_000_000 + more;
                    }
                }
            }
        }
    }

    /// The connection ended, with or without a code. Decides when to reconnect.
    fn hang_up(&mut self, at: usize, code: Option<u16>) {
        let (client, mut desk) = self.desk(at);
        client.closed(code, &mut desk);
        let now = now_ns();
        let seat = &mut self.seats[at];
        seat.line.hang_up(self.poll.registry());
        let was_told = seat.due_ns > now;
        seat.close_code = None;
        if code.is_some_and(|code| (4500..5000).contains(&code) || code == 1000) {
            seat.due_ns = u64::MAX;
        } else if !was_told {
            let most = (BACKOFF_NS.0 << seat.failures.min(5)).min(BACKOFF_NS.1);
            seat.failures += 1;
            seat.due_ns = now + self.dice.between(most / 2, most);
        }
    }

    fn speak(&mut self, now: u64) {
        for _ in 0..self.comments.due(now) {
            if let Some(at) = self.somebody() {
                let text = self.near_duplicate();
                let (client, mut desk) = self.desk(at);
                if let Some(text) = client.say(text, &mut desk) {
                    self.send(at, Kind::Text, text.as_bytes());
                }
            }
        }
        for _ in 0..self.likes.due(now) {
            if let Some(at) = self.somebody() {
                let count = self.dice.between(1, 10);
                let (client, desk) = self.desk(at);
                if let Some(text) = client.like(count, &desk) {
                    self.send(at, Kind::Text, text.as_bytes());
                }
            }
        }
        for _ in 0..self.votes.due(now) {
            if let Some(at) = self.somebody() {
                let number = self.dice.below(1 << 20);
                let (client, mut desk) = self.desk(at);
                if let Some(text) = client.vote(number, &mut desk) {
                    self.send(at, Kind::Text, text.as_bytes());
                }
            }
        }
        for _ in 0..self.cuts.due(now) {
            if let Some(at) = self.somebody() {
                self.hang_up(at, None);
            }
        }
    }

    /// A near-duplicate text, as the server stores it.
    fn near_duplicate(&mut self) -> Option<String> {
        if self.habits.near_duplicates == 0.0 || !self.words.chance(self.habits.near_duplicates) {
            return None;
        }
        let limits = TextLimits { chars_max: 512, bytes_max: 2_048 };
        normalise(&self.words.near_duplicate(), &limits).ok().map(Cow::into_owned)
    }

    /// Slow clients alternate: they stop reading for a while, then read everything and keep up for a while.
    fn lull(&mut self, now: u64) {
        if self.habits.slow == 0 || now < self.lull.1 {
            return;
        }
        let was_reading = !self.lull.0;
        self.lull = (was_reading, now + if was_reading { LULL_NS } else { READING_NS });
        if !was_reading {
            self.read_slow();
        }
    }

    fn read_slow(&mut self) {
        (0..self.habits.slow.min(self.seats.len())).for_each(|at| self.readable(at));
    }

    /// A random live client; `None` if a few attempts find none.
    fn somebody(&mut self) -> Option<usize> {
        let pick = |dice: &mut Dice| dice.below(self.clients.len() as u64) as usize;
        (0..8).map(|_| pick(&mut self.dice)).find(|at| self.clients[*at].is_live())
    }
}
