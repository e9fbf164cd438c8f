//! The viewers and the publishers' connections: opened, let in, read.

use super::frames::Frames;
use super::latency::{Latencies, stamps};
use super::speaks::{Meaning, PEEK_BYTES, Phase, READY, Role, Speaks};
use super::units::Kind;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Sockets per source address: far below the 28,000 ephemeral ports.
const PER_ADDRESS: usize = 5_000;
/// Concurrent handshakes: no peer's listen backlog is shorter.
const HANDSHAKES_MAX: usize = 64;
/// Viewers whose messages are parsed, for latencies and for the number of comments in frames.
const SAMPLE: usize = 50;
/// Bytes of one read.
const CHUNK_BYTES: usize = 256 << 10;
/// The most bytes that may be left from the previous read.
const HELD_BYTES_MAX: usize = 1 << 20;

/// One connection.
struct Conn {
    socket: TcpStream,
    role: Role,
    phase: Phase,
    is_sample: bool,
    /// Bytes of the current message that are skipped.
    skip: usize,
    /// The beginning of an incomplete unit.
    held: Vec<u8>,
    /// Volley's position.
    last: u64,
}

/// Totals received by all viewers.
#[derive(Default)]
pub struct Tally {
    pub deliveries: u64,
    pub bytes: u64,
    /// Viewers that the peer has cut off.
    pub lost: u64,
    /// Announced gaps.
    pub gaps: u64,
    /// Frames that do not continue their viewer's position, without an announced gap.
    pub holes: u64,
    pub latencies: Latencies,
    frames: Frames,
    /// Length of the newest frame or message that was read whole.
    pub newest_bytes: usize,
    ready: usize,
    why_lost: Option<String>,
}

/// All connections to one peer.
pub struct Crowd {
    speaks: Speaks,
    port: u16,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    conns: Vec<Conn>,
    sample_every: usize,
    start: Instant,
    pub tally: Tally,
}

impl Crowd {
    /// For `viewers` in all.
    ///
    /// # Errors
    /// No poll.
    pub fn new(speaks: Speaks, port: u16, viewers: usize) -> Result<Self, String> {
        Ok(Self {
            speaks,
            port,
            poll: Poll::new().map_err(|e| format!("no poll: {e}"))?,
            events: Events::with_capacity(1_024),
            buffer: vec![0; HELD_BYTES_MAX + CHUNK_BYTES],
            conns: Vec::with_capacity(viewers),
            sample_every: (viewers / SAMPLE).max(1),
            start: Instant::now(),
            tally: Tally::default(),
        })
    }

    /// Nanoseconds since this crowd began.
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Connects `count` more viewers.
    ///
    /// # Errors
    /// Refused, cut off, or not done in time.
    pub fn connect(&mut self, role: Role, count: usize, within: Duration) -> Result<(), String> {
        let (goal, until) = (self.conns.len() + count, Instant::now() + within);
        while self.tally.ready < goal {
            while self.conns.len() < goal && self.conns.len() - self.tally.ready < HANDSHAKES_MAX {
                self.open(role)?;
            }
            self.turn(Duration::from_millis(5))?;
            if let Some(why) = self.tally.why_lost.take() {
                return Err(format!("{} of {goal} were let in, then one was lost: {why}", self.tally.ready));
            }
            if Instant::now() > until {
                return Err(format!("only {} of {goal} were let in within {} s", self.tally.ready, within.as_secs()));
            }
        }
        Ok(())
    }

    fn open(&mut self, role: Role) -> Result<(), String> {
        let n = self.conns.len();
        let socket = connect(self.port, n / PER_ADDRESS).map_err(|e| format!("connection {n}: {e}"))?;
        let mut socket = TcpStream::from_std(socket);
        let opening = self.speaks.opening(role, self.port);
        send(&socket, &opening, SendFlags::NOSIGNAL).map_err(|e| format!("connection {n}: {e}"))?;
        let registry = self.poll.registry();
        registry.register(&mut socket, Token(n), Interest::READABLE).map_err(|e| format!("connection {n}: {e}"))?;
        let is_sample = role == Role::Viewer && n.is_multiple_of(self.sample_every);
        self.conns.push(Conn { socket, role, phase: 0, is_sample, skip: 0, held: Vec::new(), last: 0 });
        Ok(())
    }

    /// The publishers' sockets.
    pub fn publishers(&self) -> impl Iterator<Item = &TcpStream> {
        let first = self.conns.iter().rev().take_while(|conn| conn.role == Role::Publisher).count();
        self.conns[self.conns.len() - first..].iter().map(|conn| &conn.socket)
    }

    /// Reads everything that arrives within `wait`.
    ///
    /// # Errors
    /// The poll fails, or the peer does not speak the protocol.
    pub fn turn(&mut self, wait: Duration) -> Result<(), String> {
        let Self { speaks, poll, events, buffer, conns, tally, start, .. } = self;
        match poll.poll(events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(format!("the poll: {error}")),
            _ => {}
        }
        for event in events.iter() {
            let conn = &mut conns[event.token().0];
            if let Err(why) = conn.read(*speaks, buffer, tally, *start) {
                tally.lost += 1;
                let _ = poll.registry().deregister(&mut conn.socket);
                let _ = conn.socket.shutdown(std::net::Shutdown::Both);
                tally.why_lost = Some(why);
            }
        }
        Ok(())
    }

    /// Why the newest lost viewer was lost.
    pub fn why_lost(&mut self) -> Option<String> {
        self.tally.why_lost.take()
    }
}

fn connect(port: u16, address: usize) -> std::io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + address as u8), 0)).into())?;
    socket.connect(&SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port).into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Conn {
    /// Reads until there is no more. An error ends the connection.
    fn read(&mut self, speaks: Speaks, buffer: &mut [u8], tally: &mut Tally, start: Instant) -> Result<(), String> {
        loop {
            let read = match recv(&self.socket, &mut buffer[HELD_BYTES_MAX..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err("the peer hung up".into()),
                Ok((read, _)) => read,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            if self.role == Role::Viewer {
                tally.bytes += read as u64;
            }
            let begin = HELD_BYTES_MAX.checked_sub(self.held.len()).ok_or("a unit of more than a MiB")?;
            buffer[begin..HELD_BYTES_MAX].copy_from_slice(&self.held);
            self.held.clear();
            self.take(speaks, &buffer[begin..HELD_BYTES_MAX + read], tally, start)?;
            if read < CHUNK_BYTES {
                return Ok(()); // Edge-triggered: bytes that arrive from now on raise a new event.
            }
        }
    }

    fn take(&mut self, speaks: Speaks, mut rest: &[u8], tally: &mut Tally, start: Instant) -> Result<(), String> {
        loop {
            let skipped = self.skip.min(rest.len());
            (self.skip, rest) = (self.skip - skipped, &rest[skipped..]);
            if rest.is_empty() {
                return Ok(());
            }
            let Some(unit) = speaks.split(self.phase, rest)? else { break };
            let wanted = if self.is_sample || self.phase != READY { unit.body } else { unit.body.min(PEEK_BYTES) };
            if rest.len() - unit.header < wanted {
                break;
            }
            let body = &rest[unit.header..unit.header + wanted];
            self.unit(speaks, unit.kind, body, unit.body, tally, start)?;
            let taken = (unit.header + unit.body).min(rest.len());
            (self.skip, rest) = (unit.header + unit.body - taken, &rest[taken..]);
        }
        self.held.extend_from_slice(rest);
        Ok(())
    }

    fn unit(
        &mut self,
        speaks: Speaks,
        kind: Kind,
        body: &[u8],
        bytes: usize,
        tally: &mut Tally,
        start: Instant,
    ) -> Result<(), String> {
        let meaning = speaks.meaning(self.role, self.phase, kind, body);
        let is_viewer = self.role == Role::Viewer;
        match meaning {
            Meaning::Comment if is_viewer => {
                tally.deliveries += 1;
                self.sample(body, tally, start);
            }
            Meaning::Frame { prev, last } if is_viewer => {
                tally.holes += u64::from(self.last != 0 && prev != self.last);
                self.last = last;
                tally.deliveries += tally.frames.seen(prev, last, bytes, self.is_sample.then_some(body));
                self.sample(body, tally, start);
            }
            Meaning::Gap { to } if is_viewer => {
                tally.gaps += 1;
                self.last = to;
            }
            Meaning::Next(answer) => {
                self.phase += 1;
                self.answer(&answer)?;
            }
            Meaning::Ready => {
                self.phase = READY;
                tally.ready += 1;
            }
            Meaning::Reply(answer) => self.answer(&answer)?,
            Meaning::Over(why) => return Err(why),
            Meaning::Comment | Meaning::Frame { .. } | Meaning::Gap { .. } | Meaning::Nothing => {}
        }
        Ok(())
    }

    fn answer(&self, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map_err(|e| e.to_string())?;
        if sent == bytes.len() { Ok(()) } else { Err("an answer was not taken whole".into()) }
    }

    fn sample(&self, body: &[u8], tally: &mut Tally, start: Instant) {
        if !self.is_sample {
            return;
        }
        tally.newest_bytes = body.len();
        let now_ns = start.elapsed().as_nanos() as u64;
        stamps(body).for_each(|due_ns| tally.latencies.add(due_ns, now_ns));
    }
}
