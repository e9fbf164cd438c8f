//! One viewer: a socket, its handshake, its place in the room.
//!
//! Does not know: other viewers, what messages mean.

use crate::run::ledger::book::Place;
use crate::run::messages::WorkerPlan;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

/// How far a viewer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not begun.
    Waiting,
    /// TCP handshake.
    Connecting,
    /// The upgrade is sent.
    Upgrading,
    /// Upgraded; the welcome has not come.
    Upgraded,
    /// In the room.
    Live,
    /// Our close frame is sent.
    Closing,
    /// Gone.
    Gone,
}

/// One viewer. About 200 bytes; nothing on the heap while whole frames come and all writes go through.
#[derive(Debug)]
pub struct Viewer {
    /// The socket.
    pub stream: Option<TcpStream>,
    /// How far it is.
    pub state: State,
    /// Whether it stops reading in the stall.
    pub stalls: bool,
    /// Index of its group of rooms.
    pub group: usize,
    /// Index of its room.
    pub room: usize,
    /// Where it is in its room.
    pub place: Place,
    /// When its connection began.
    pub since_ns: u64,
    /// Likes that left on it.
    pub likes: u64,
    /// Its comments that were acknowledged, and those of them that were shown.
    pub said: (u32, u32),
    /// The code of the server's close frame, when one came.
    pub close_code: Option<u16>,
    /// The begin of a frame whose end has not come.
    pub partial: Vec<u8>,
    /// Bytes that the kernel did not take yet.
    unsent: Vec<u8>,
}

/// Bytes that may wait for one viewer's socket: 30 comments. A server that does not read for so long
/// makes the sends fail, and they are counted.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

impl Viewer {
    /// Viewer number `index` of all, who watches room `room` of group `group`.
    pub fn new(index: usize, group: usize, room: usize, plan: &WorkerPlan) -> Self {
        // Evenly spread: the viewers at which the running share passes a whole number.
        let passed = |i: usize| (i as f64 * plan.stall_share).floor();
        Self {
            stream: None,
            state: State::Waiting,
            stalls: passed(index + 1) > passed(index),
            group,
            room,
            place: Place::default(),
            since_ns: 0,
            likes: 0,
            said: (0, 0),
            close_code: None,
            partial: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// Starts the TCP handshake of viewer number `index`.
    ///
    /// # Errors
    /// The system's refusal: no descriptor, no port, no such address.
    pub fn connect(&mut self, index: usize, plan: &WorkerPlan, now_ns: u64) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(plan.server), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if self.stalls {
            socket.set_recv_buffer_size(plan.stall_rcvbuf_bytes)?;
        }
        if let Some(source) = source_address(index, plan) {
            socket.bind(&source.into())?;
        }
        match socket.connect(&plan.server.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        self.stream = Some(TcpStream::from_std(socket.into()));
        self.state = State::Connecting;
        self.since_ns = now_ns;
        Ok(())
    }

    /// Sends bytes; keeps what the kernel does not take now.
    ///
    /// # Errors
    /// The connection is broken, or too much is waiting already.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match stream.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.unsent.len() + rest.len() > UNSENT_BYTES_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }

    /// The socket takes bytes again.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.send(&unsent)
    }

    /// Whether it holds a socket that has not come into the room yet.
    pub fn is_on_the_way(&self) -> bool {
        matches!(self.state, State::Connecting | State::Upgrading | State::Upgraded)
    }
}

/// A server that counts connections per address sees many addresses, as it would outside.
/// 127.0.0.1, 127.0.0.2 and so on. An explicit address costs no port of the others: each has its own 28,000.
fn source_address(index: usize, plan: &WorkerPlan) -> Option<SocketAddr> {
    let SocketAddr::V4(server) = plan.server else { return None };
    if plan.sockets_per_address == 0 || !server.ip().is_loopback() {
        return None;
    }
    let number = u32::try_from(index / plan.sockets_per_address).ok()?;
    let address = u32::from(Ipv4Addr::LOCALHOST).checked_add(number)?;
    Some(SocketAddr::from((Ipv4Addr::from(address), 0)))
}
