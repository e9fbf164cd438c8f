//! One connection: its socket, its WebSocket state, and where its output stands.

use super::inspect::Inspect;
use super::lag::Lag;
use super::tenant::Caps;
use crate::protocol::codes::Close;
use crate::protocol::encode::Encoding;
use rustix::fd::OwnedFd;
use std::io::{self, Read, Write};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

/// No room, no slot.
pub(super) const NONE: u32 = u32::MAX;

/// A connection as its shard keeps it. No buffer while idle.
pub(super) struct Conn<S> {
    pub fd: OwnedFd,
    pub generation: u32,
    pub encoding: Encoding,
    pub caps: Caps,
    ws: WebSocketContext,
    pub inspect: Inspect,
    /// `None` once it closes.
    pub session: Option<S>,
    /// Index of its room on this shard, or [`NONE`].
    pub room: u32,
    /// Its place among the room's caught-up slots, or [`NONE`].
    pub slot: u32,
    /// Set while its socket is blocked.
    pub lag: Option<Box<Lag>>,
    /// When anything was last read from it.
    pub heard_us: u64,
    /// When the message that is open was begun; 0: none is.
    pub open_since_us: u64,
    /// Gaps announced since `gaps_since_us`.
    pub gaps: u32,
    pub gaps_since_us: u64,
    /// What the wheel already holds for it.
    pub hints: Hints,
}

/// One bit per kind of hint that is in the wheel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hints {
    pub stall: bool,
    pub blocked: bool,
}

/// What came in.
pub(super) enum Incoming {
    /// A whole text or binary message, or a ping (already answered into the output) or pong.
    Message(Message),
    /// The peer closes; the answer is in the output.
    PeerClosed,
}

impl<S> Conn<S> {
    pub(super) fn new(fd: OwnedFd, generation: u32, encoding: Encoding, caps: Caps, now_us: u64) -> Self {
        let size = Some(caps.message_bytes_max as usize);
        let config = WebSocketConfig::default()
            .read_buffer_size(0)
            .write_buffer_size(0)
            .max_write_buffer_size(usize::MAX)
            .max_message_size(size)
            .max_frame_size(size);
        Self {
            fd,
            generation,
            encoding,
            caps,
            ws: WebSocketContext::new(Role::Server, Some(config)),
            inspect: Inspect::default(),
            session: None,
            room: NONE,
            slot: NONE,
            lag: None,
            heard_us: now_us,
            open_since_us: 0,
            gaps: 0,
            gaps_since_us: 0,
            hints: Hints::default(),
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.session.is_none()
    }

    /// Takes bytes from `input` until a message is whole or nothing is left. What the WebSocket library wants sent
    /// (a pong, a close answer) is appended to `output` and belongs *before* any reply to the message.
    ///
    /// # Errors
    /// The code to close with.
    pub(super) fn receive(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        now_us: u64,
    ) -> Result<Option<Incoming>, Close> {
        while !input.is_empty() {
            let taken = self.inspect.next(input, &self.caps, now_us)?;
            let (piece, rest) = input.split_at(taken);
            *input = rest;
            let mut shim = Shim { input: piece, output };
            match self.ws.read(&mut shim) {
                Ok(message) => {
                    // Without this the pong would leave with the next read, after the reply to a later message.
                    match self.ws.flush(&mut shim) {
                        // The answer to a close frame is written, and with it the connection is over.
                        Ok(()) | Err(Error::ConnectionClosed) => {}
                        Err(error) => return Err(verdict(&error)),
                    }
                    return Ok(Some(match message {
                        Message::Close(_) => Incoming::PeerClosed,
                        message => Incoming::Message(message),
                    }));
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(Some(Incoming::PeerClosed)),
                Err(error) => return Err(verdict(&error)),
            }
        }
        Ok(None)
    }
}

/// The close code for what the WebSocket library found.
fn verdict(error: &Error) -> Close {
    match error {
        Error::Capacity(_) => Close::TooBig,
        Error::Utf8(_) => Close::InvalidText,
        _ => Close::Protocol,
    }
}

/// The socket as the WebSocket library sees it: what was read already, and a place for what it wants to write.
struct Shim<'a> {
    input: &'a [u8],
    output: &'a mut Vec<u8>,
}

impl Read for Shim<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Shim<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
