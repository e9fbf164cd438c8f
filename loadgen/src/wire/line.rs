//! A client's connection, for the measured run and the chaos scenarios: a socket, the state of its upgrade, an
//! incomplete frame, and bytes that the kernel has not accepted yet.
//!
//! Does not know: when to connect or reconnect, what messages mean.

use super::upgrade::Upgrade;
use super::ws::{self, Kind, Split, WsError};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes of one read: more than a viewer's socket usually holds, so that one read empties it.
pub const READ_BYTES: usize = 64 * 1024;

/// The state of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Away,
    Connecting,
    /// The upgrade is requested, or about to be.
    Upgrading,
    Open,
}

#[derive(Clone, Copy, Debug)]
pub struct Dial {
    pub server: SocketAddr,
    /// The source address; `None`: the kernel chooses it.
    pub source: Option<SocketAddr>,
    /// `SO_RCVBUF`, set before the handshake; `None`: the kernel's default.
    pub rcvbuf_bytes: Option<usize>,
    /// Closing the socket sends a reset, so that no port stays in TIME_WAIT.
    pub resets: bool,
}

impl Dial {
    /// Dials `server` with the kernel's defaults.
    pub fn to(server: SocketAddr) -> Self {
        Self { server, source: None, rcvbuf_bytes: None, resets: false }
    }
}

#[derive(Debug)]
pub enum Received<'b> {
    Bytes(Bytes<'b>),
    /// There is no data now, or no socket.
    Nothing,
    /// The server ended the connection.
    End,
    Broken(io::Error),
}

/// The bytes of a read, after the incomplete frame of earlier reads.
#[derive(Debug)]
pub struct Bytes<'b> {
    /// The bytes after the last frame that was taken.
    rest: &'b [u8],
    /// The number of bytes of this read.
    pub taken: usize,
    /// The socket had fewer bytes than the read had room for.
    pub is_drained: bool,
}

/// Why the server's bytes are not a valid connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The answer to the upgrade, by its cause.
    #[error("{0}")]
    Upgrade(String),
    #[error("bad frame: {0}")]
    Frame(WsError),
}

/// A client's connection. It uses no heap memory while frames arrive whole and all writes succeed.
#[derive(Debug)]
pub struct Line {
    stream: Option<TcpStream>,
    stage: Stage,
    partial: Vec<u8>,
    unsent: Vec<u8>,
    unsent_bytes_max: usize,
}

impl Line {
    /// A connection without a socket. At most `unsent_bytes_max` bytes may wait for the server to read them.
    pub fn new(unsent_bytes_max: usize) -> Self {
        Self { stream: None, stage: Stage::Away, partial: Vec::new(), unsent: Vec::new(), unsent_bytes_max }
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    pub fn socket(&self) -> Option<SockRef<'_>> {
        self.stream.as_ref().map(SockRef::from)
    }

    /// Begins the TCP handshake. The socket becomes writable, with `token`, when it is over.
    ///
    /// # Errors
    /// The system's refusal: no descriptor, no port, no such address.
    pub fn connect(&mut self, dial: &Dial, registry: &Registry, token: Token) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(dial.server), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if dial.resets {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        if let Some(bytes) = dial.rcvbuf_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = dial.source {
            socket.bind(&source.into())?;
        }
        match socket.connect(&dial.server.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        (self.stream, self.stage) = (Some(stream), Stage::Connecting);
        Ok(())
    }

    /// To be called when the socket is writable for the first time: the TCP handshake is over, and the upgrade can be
    /// requested.
    ///
    /// # Errors
    /// No server listens, or the network's error.
    pub fn connected(&mut self) -> io::Result<()> {
        match self.stream.as_ref().map_or(Ok(None), TcpStream::take_error)? {
            Some(error) => Err(error),
            None => {
                self.stage = Stage::Upgrading;
                Ok(())
            }
        }
    }

    /// Sends bytes, and keeps those that the kernel does not accept now.
    ///
    /// # Errors
    /// The connection is broken or closed, or too many bytes are waiting (`OutOfMemory`).
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match stream.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.unsent.len() + rest.len() > self.unsent_bytes_max {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }

    /// To be called when the socket is writable again: sends the bytes that were kept.
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

    /// Reads once, at most `bytes_max` bytes, into a buffer that all connections of a thread share. Take the frames
    /// with [`Line::next`], then return the rest with [`Line::keep`].
    pub fn read<'b>(&mut self, buffer: &'b mut Vec<u8>, bytes_max: usize) -> Received<'b> {
        let Some(stream) = &mut self.stream else { return Received::Nothing };
        let kept = self.partial.len();
        if buffer.len() < kept + bytes_max {
            buffer.resize(kept + bytes_max, 0);
        }
        loop {
            match stream.read(&mut buffer[kept..kept + bytes_max]) {
                Ok(0) => return Received::End,
                Ok(taken) => {
                    buffer[..kept].copy_from_slice(&self.partial);
                    self.partial.clear();
                    let rest = &buffer[..kept + taken];
                    return Received::Bytes(Bytes { rest, taken, is_drained: taken < bytes_max });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Received::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Received::Broken(error),
            }
        }
    }

    /// The next complete frame of the bytes. Before the first frame, checks the answer to `upgrade`.
    ///
    /// # Errors
    /// [`LineError`]: the connection cannot be used any more.
    #[inline]
    pub fn next<'b>(&mut self, bytes: &mut Bytes<'b>, upgrade: &Upgrade) -> Result<Option<Split<'b>>, LineError> {
        if self.stage == Stage::Upgrading {
            let Some(taken) = upgrade.check(bytes.rest).map_err(LineError::Upgrade)? else { return Ok(None) };
            bytes.rest = &bytes.rest[taken..];
            self.stage = Stage::Open;
        }
        let frame = ws::split_agreed(bytes.rest, upgrade.is_compressed()).map_err(LineError::Frame)?;
        if let Some(frame) = &frame {
            bytes.rest = &bytes.rest[frame.bytes..];
        }
        Ok(frame)
    }

    /// Keeps an incomplete frame for the next read.
    pub fn keep(&mut self, bytes: &Bytes<'_>) {
        if !bytes.rest.is_empty() {
            self.partial.extend_from_slice(bytes.rest);
        } else if self.partial.capacity() > 0 {
            self.partial = Vec::new(); // Only connections in the middle of a frame hold memory.
        }
    }

    /// Ends the connection, if there is one.
    pub fn hang_up(&mut self, registry: &Registry) {
        if let Some(mut stream) = self.stream.take() {
            // Dropping the socket deregisters it in any case.
            let _ = registry.deregister(&mut stream);
        }
        self.stage = Stage::Away;
        self.partial = Vec::new();
        self.unsent = Vec::new();
    }
}

/// Encodes client frames, one at a time, in one buffer.
#[derive(Debug)]
pub struct Masker {
    mask: u32,
    bytes: Vec<u8>,
}

impl Default for Masker {
    fn default() -> Self {
        Self { mask: 0x5bd1_e995, bytes: Vec::new() }
    }
}

impl Masker {
    /// The bytes of a frame. Masks only have to differ: they protect proxies from web pages, and neither is involved
    /// here.
    pub fn frame(&mut self, kind: Kind, payload: &[u8]) -> &[u8] {
        self.mask = self.mask.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.bytes.clear();
        ws::write_masked(kind, payload, self.mask.to_be_bytes(), &mut self.bytes);
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::net::TcpListener;
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    use volley::protocol::encode;
    use volley::protocol::variant::Encoding;

    /// A line that has requested its upgrade, and the server's end of it.
    fn rig(unsent_bytes_max: usize) -> (Line, std::net::TcpStream, Upgrade, Poll) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut poll = Poll::new().unwrap();
        let mut line = Line::new(unsent_bytes_max);
        line.connect(&Dial::to(listener.local_addr().unwrap()), poll.registry(), Token(0)).unwrap();
        assert_eq!(line.stage(), Stage::Connecting);
        let (server, _) = listener.accept().unwrap();
        poll.poll(&mut Events::with_capacity(8), None).unwrap();
        line.connected().unwrap();
        (line, server, Upgrade::new("h:1", "volley.v1.json"), poll)
    }

    fn answer(upgrade: &Upgrade) -> Vec<u8> {
        let request = String::from_utf8(upgrade.request("r")).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let head = "HTTP/1.1 101 x\r\nSec-WebSocket-Protocol: volley.v1.json\r\nSec-WebSocket-Accept: ";
        format!("{head}{accept}\r\n\r\n").into_bytes()
    }

    /// Waits for data, and takes every frame of it.
    fn frames(line: &mut Line, upgrade: &Upgrade, bytes_max: usize) -> Result<Vec<Vec<u8>>, LineError> {
        let mut buffer = Vec::new();
        loop {
            match line.read(&mut buffer, bytes_max) {
                Received::Nothing => std::thread::yield_now(),
                Received::Bytes(mut bytes) => {
                    let mut found = Vec::new();
                    while let Some(frame) = line.next(&mut bytes, upgrade)? {
                        found.push(frame.payload.to_vec());
                    }
                    line.keep(&bytes);
                    return Ok(found);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_answer_and_frames_that_come_a_byte_at_a_time_come_out_whole() {
        let (mut line, mut server, upgrade, _poll) = rig(1_024);
        let mut sent = answer(&upgrade);
        for payload in [&b"{}"[..], &[b'x'; 300], b""] {
            sent.extend_from_slice(&encode::framed(payload, Encoding::Json));
        }
        server.write_all(&sent).unwrap();
        let found: Vec<_> = (0..sent.len()).flat_map(|_| frames(&mut line, &upgrade, 1).unwrap()).collect();
        assert_eq!(found, [b"{}".to_vec(), vec![b'x'; 300], Vec::new()]);
        assert_eq!((line.stage(), line.partial.capacity()), (Stage::Open, 0), "nothing is held between frames");
    }

    #[test]
    fn a_refusal_and_a_broken_frame_are_distinguished() {
        let (mut line, mut server, upgrade, _poll) = rig(1_024);
        server.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").unwrap();
        assert_eq!(frames(&mut line, &upgrade, READ_BYTES), Err(LineError::Upgrade("http 503".into())));
        let (mut line, mut server, upgrade, _poll) = rig(1_024);
        server.write_all(&[answer(&upgrade), vec![0x81, 0x80]].concat()).unwrap();
        let error = frames(&mut line, &upgrade, READ_BYTES).unwrap_err();
        assert_eq!(error.to_string(), "bad frame: masked frame from a server");
    }

    #[test]
    fn unsent_bytes_wait_within_a_bound_and_leave_in_order() {
        let (mut line, mut server, ..) = rig(100_000);
        let (mut sent, mut n) = (0, 0u32);
        while line.unsent.is_empty() {
            line.send(&[n as u8; 50_000]).unwrap();
            (sent, n) = (sent + 50_000, n + 1);
        }
        while line.send(&[n as u8; 50_000]).is_ok() {
            (sent, n) = (sent + 50_000, n + 1);
        }
        assert!(line.unsent.len() > 50_000 && line.unsent.len() <= 100_000);
        server.set_nonblocking(true).unwrap();
        let (mut heard, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        while heard.len() < sent {
            line.flush().unwrap();
            if let Ok(taken) = server.read(&mut buffer) {
                heard.extend_from_slice(&buffer[..taken]);
            }
        }
        assert!(heard.chunks(50_000).enumerate().all(|(n, chunk)| chunk.iter().all(|byte| *byte == n as u8)));
    }

    #[test]
    fn an_end_is_reported_and_nothing_is_sent_after_hanging_up() {
        let (mut line, server, _, poll) = rig(1_024);
        drop(server);
        let mut buffer = Vec::new();
        while matches!(line.read(&mut buffer, READ_BYTES), Received::Nothing) {}
        assert!(matches!(line.read(&mut buffer, READ_BYTES), Received::End));
        line.hang_up(poll.registry());
        assert_eq!(line.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
        assert!(matches!(line.read(&mut buffer, READ_BYTES), Received::Nothing));
    }
}
