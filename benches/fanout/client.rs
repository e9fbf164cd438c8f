//! The reading process: opens sockets and reads everything from them, cheaply.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Socket, Type};
use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

/// Sockets per source address: far below the 28,000 ephemeral ports, even for two readers at the same time.
const PER_ADDRESS: usize = 5_000;

/// Bytes that do not arrive within this time are lost.
const PATIENCE: Duration = Duration::from_secs(10);

const BUFFER_BYTES: usize = 256 * 1024;

/// `port viewers`: connects, prints `ready`, then reads everything. Commands, one per line:
///
/// - `mark N` begins to count; with N > 0 every socket's bytes are compared with frames of N bytes,
///   otherwise the kernel discards them without a copy (`MSG_TRUNC`). Answers `marked`.
/// - `until N` answers after N bytes, or when no more bytes arrive: `bytes reads elapsed_us cpu_us wrong`. The time is
///   from the mark to the last byte, and `wrong` counts the sockets that received anything but frames.
pub fn main(mut args: impl Iterator<Item = String>) {
    let mut number = || args.next().and_then(|a| a.parse::<usize>().ok()).expect("port, viewers");
    let (port, viewers) = (number(), number());
    super::server::pin(1);
    rlimit::increase_nofile_limit(u64::MAX).expect("RLIMIT_NOFILE can be read");
    let sockets = (0..viewers).map(|n| connect(port as u16, n / PER_ADDRESS)).collect();
    let mut reader = Reader::new(sockets);
    super::server::say("ready");
    let (told, orders) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if told.send(line.unwrap_or_default()).is_err() {
                return;
            }
        }
    });
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(TryRecvError::Empty) => {
                reader.take(Duration::from_millis(10));
                continue;
            }
            Err(TryRecvError::Disconnected) => return,
        };
        let (word, number) = order.split_once(' ').expect("a word and a number");
        let number: u64 = number.parse().expect("a number");
        if word == "mark" {
            reader.mark(number as usize);
            super::server::say("marked");
        } else {
            let began = Instant::now();
            while reader.bytes < number && began.elapsed() < PATIENCE {
                reader.take(Duration::from_millis(10));
            }
            super::server::say(&reader.report());
        }
    }
}

struct Reader {
    poll: Poll,
    events: Events,
    sockets: Vec<TcpStream>,
    buffer: Vec<u8>,
    bytes: u64,
    reads: u64,
    began: Instant,
    last: Instant,
    cpu: Duration,
    /// While bytes are compared: the frame, and the position of each socket in it.
    expected: Vec<u8>,
    at: Vec<usize>,
    wrong: Vec<bool>,
}

impl Reader {
    fn new(mut sockets: Vec<TcpStream>) -> Self {
        let poll = Poll::new().expect("a poll");
        for (n, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(socket, Token(n), Interest::READABLE).expect("registers");
        }
        let (now, count) = (Instant::now(), sockets.len());
        Self {
            poll,
            events: Events::with_capacity(1_024),
            sockets,
            buffer: vec![0; BUFFER_BYTES],
            bytes: 0,
            reads: 0,
            began: now,
            last: now,
            cpu: Duration::ZERO,
            expected: Vec::new(),
            at: vec![0; count],
            wrong: vec![false; count],
        }
    }

    fn mark(&mut self, frame_bytes: usize) {
        self.expected = if frame_bytes > 0 { super::server::frame(frame_bytes).to_vec() } else { Vec::new() };
        self.at.fill(0);
        self.wrong.fill(false);
        (self.bytes, self.reads, self.cpu) = (0, 0, super::server::cpu(false));
        (self.began, self.last) = (Instant::now(), Instant::now());
    }

    fn report(&self) -> String {
        let cpu = super::server::cpu(false) - self.cpu;
        let wrong = self.wrong.iter().filter(|wrong| **wrong).count();
        let elapsed = self.last - self.began;
        format!("{} {} {} {} {wrong}", self.bytes, self.reads, elapsed.as_micros(), cpu.as_micros())
    }

    fn take(&mut self, timeout: Duration) {
        self.poll.poll(&mut self.events, Some(timeout)).expect("polls");
        let compares = !self.expected.is_empty();
        let flags = if compares { RecvFlags::DONTWAIT } else { RecvFlags::DONTWAIT | RecvFlags::TRUNC };
        let before = self.bytes;
        for event in &self.events {
            let n = event.token().0;
            while let Ok((_, taken)) = recv(&self.sockets[n], &mut self.buffer[..], flags) {
                self.reads += 1;
                self.bytes += taken as u64;
                if compares {
                    let is_right = follows(&self.expected, &mut self.at[n], &self.buffer[..taken]);
                    self.wrong[n] |= !is_right;
                }
                if taken < BUFFER_BYTES {
                    break;
                }
            }
        }
        if self.bytes > before {
            self.last = Instant::now();
        }
    }
}

/// Whether `bytes` continue the endless repetition of `frame` at `at`; advances `at`.
fn follows(frame: &[u8], at: &mut usize, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let rest = &frame[*at..];
        let piece = rest.len().min(bytes.len());
        if rest[..piece] != bytes[..piece] {
            return false;
        }
        *at = (*at + piece) % frame.len();
        bytes = &bytes[piece..];
    }
    true
}

fn connect(port: u16, address: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + address as u8), 0));
    socket.bind(&from.into()).expect("binds");
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    socket.connect(&to.into()).expect("the server listens");
    socket.set_nonblocking(true).expect("non-blocking");
    TcpStream::from_std(socket.into())
}
