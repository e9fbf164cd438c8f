//! One connection: its socket, its WebSocket state, and where its output stands.

use super::inspect::{Inspect, Packed, Piece};
use super::lag::Lag;
use super::pace::Pace;
use super::report::Inflated;
use super::tenant::Caps;
use crate::protocol::codes::Close;
use crate::protocol::deflate::{self, InflateError};
use crate::protocol::encode::Encoding;
use bytes::Bytes;
use rustix::fd::OwnedFd;
use std::io::{self, Read, Write};
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
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
    /// What reads a message while one is open. Between messages it would be as good as new, so a silent viewer does
    /// without its 300 bytes, and one that spoke without the buffer of what it said.
    reader: Option<Box<Reader>>,
    pub inspect: Inspect,
    /// `None` once it closes.
    pub session: Option<S>,
    /// Index of its room on this shard, or [`NONE`].
    pub room: u32,
    /// Its place among the room's caught-up slots, or [`NONE`].
    pub slot: u32,
    /// Set while its socket is blocked.
    pub lag: Option<Box<Lag>>,
    /// Set for one that lagged, slid or asked for another rendition.
    pub pace: Option<Box<Pace>>,
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
    pub pace: bool,
}

/// Reads one message: the WebSocket library one that came as it is, we one that came compressed.
struct Reader {
    ws: WebSocketContext,
    packed: Option<Parcel>,
}

/// A compressed message on its way in: inflated only when it is whole, by the shard's one inflater.
#[derive(Debug, Default)]
struct Parcel {
    /// Without masks; bounded by what [`Inspect`] lets through.
    payload: Vec<u8>,
    is_text: bool,
    mask: [u8; 4],
    /// Bytes of the current frame so far.
    at: usize,
}

impl Parcel {
    fn add(&mut self, bytes: &[u8]) {
        let begin = self.payload.len();
        self.payload.extend_from_slice(bytes);
        for (n, byte) in self.payload[begin..].iter_mut().enumerate() {
            *byte ^= self.mask[(self.at + n) % 4];
        }
        self.at += bytes.len();
    }
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
        Self {
            fd,
            generation,
            encoding,
            caps,
            reader: None,
            inspect: Inspect::default(),
            session: None,
            room: NONE,
            slot: NONE,
            lag: None,
            pace: None,
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
        inflated: &mut Inflated,
        now_us: u64,
    ) -> Result<Option<Incoming>, Close> {
        let mut reader = self.reader.take().unwrap_or_else(|| Reader::new(&self.caps));
        let received = self.receive_by(&mut reader, input, output, inflated, now_us);
        if self.inspect.is_open() {
            self.reader = Some(reader);
        }
        received
    }

    fn receive_by(
        &mut self,
        reader: &mut Reader,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        inflated: &mut Inflated,
        now_us: u64,
    ) -> Result<Option<Incoming>, Close> {
        while !input.is_empty() {
            let taken = match self.inspect.next(input, &self.caps, now_us)? {
                Piece::Plain(taken) => taken,
                Piece::Packed(packed) => {
                    let (piece, rest) = input.split_at(packed.taken);
                    *input = rest;
                    match reader.take_packed(&packed, piece, &self.caps, inflated)? {
                        Some(message) => return Ok(Some(Incoming::Message(message))),
                        None => continue,
                    }
                }
            };
            let (piece, rest) = input.split_at(taken);
            *input = rest;
            let mut shim = Shim { input: piece, output };
            match reader.ws.read(&mut shim) {
                Ok(message) => {
                    // Without this the pong would leave with the next read, after the reply to a later message.
                    match reader.ws.flush(&mut shim) {
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

impl Reader {
    /// At the beginning of a message, without buffers.
    fn new(caps: &Caps) -> Box<Self> {
        let size = Some(caps.message_bytes_max as usize);
        let config = WebSocketConfig::default()
            .read_buffer_size(0)
            .write_buffer_size(0)
            .max_write_buffer_size(usize::MAX)
            .max_message_size(size)
            .max_frame_size(size);
        Box::new(Self { ws: WebSocketContext::new(Role::Server, Some(config)), packed: None })
    }

    /// A piece of a compressed message; returns that when it is whole.
    fn take_packed(
        &mut self,
        packed: &Packed,
        piece: &[u8],
        caps: &Caps,
        inflated: &mut Inflated,
    ) -> Result<Option<Message>, Close> {
        if let Some(begun) = packed.begun {
            let parcel = self.packed.get_or_insert_default();
            (parcel.mask, parcel.at) = (begun.mask, 0);
            parcel.is_text = begun.is_text.unwrap_or(parcel.is_text);
        }
        if let Some(parcel) = &mut self.packed {
            parcel.add(&piece[packed.header..]);
        }
        let Some(parcel) = self.packed.take_if(|_| packed.is_last) else { return Ok(None) };
        inflated.messages += 1;
        inflated.bytes_in += parcel.payload.len() as u64;
        let bytes = deflate::inflate(&parcel.payload, caps.message_bytes_max as usize).map_err(|error| {
            inflated.refused += 1;
            match error {
                InflateError::TooBig => Close::TooBig,
                InflateError::Broken => Close::InvalidText,
            }
        })?;
        inflated.bytes_out += bytes.len() as u64;
        let bytes = Bytes::from(bytes);
        Ok(Some(if parcel.is_text {
            Message::Text(Utf8Bytes::try_from(bytes).map_err(|_| Close::InvalidText)?)
        } else {
            Message::Binary(bytes)
        }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

    const CAPS: Caps = Caps {
        message_bytes_max: 4_096,
        fragments_max: 16,
        backlog_bytes_max: 4_096,
        any_type: false,
        compressed: true,
    };

    fn conn() -> Conn<()> {
        Conn::new(File::open("/dev/null").unwrap().into(), 0, Encoding::Json, CAPS, 0)
    }

    /// A masked frame (with the mask 0, which changes nothing).
    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { is_final, rsv1: false, rsv2: false, rsv3: false, opcode, mask: Some([0; 4]) };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        bytes
    }

    /// What comes of `stream` in pieces of `step` bytes, and what is answered.
    fn feed(conn: &mut Conn<()>, stream: &[u8], step: usize) -> (Vec<Message>, Vec<u8>) {
        let (mut messages, mut output) = (Vec::new(), Vec::new());
        for mut input in stream.chunks(step) {
            while let Some(Incoming::Message(message)) =
                conn.receive(&mut input, &mut output, &mut Inflated::default(), 0).unwrap()
            {
                messages.push(message);
            }
        }
        (messages, output)
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut_and_nothing_is_kept_between_them() {
        let stream = [
            frame(OpCode::Data(Data::Text), true, b"whole"),
            frame(OpCode::Data(Data::Text), false, "弹".as_bytes()),
            frame(OpCode::Control(Control::Ping), true, b"now"),
            frame(OpCode::Data(Data::Continue), true, "幕".as_bytes()),
            frame(OpCode::Data(Data::Text), true, &[b'x'; 300]),
        ]
        .concat();
        let mut packed = frame(OpCode::Data(Data::Text), true, &[0x2a, 0x49, 0xad, 0x28, 0x01, 0x00]);
        packed[0] |= 0x40;
        let stream = [stream, packed].concat();
        let expected = [
            Message::text("whole"),
            Message::Ping("now".into()),
            Message::text("弹幕"),
            Message::text("x".repeat(300)),
            Message::text("text"),
        ];
        for step in 1..stream.len() {
            let mut conn = conn();
            let (messages, output) = feed(&mut conn, &stream, step);
            assert_eq!(messages, expected, "pieces of {step}");
            assert_eq!(output, [0x8a, 3, b'n', b'o', b'w'], "one pong, pieces of {step}");
            assert!(conn.reader.is_none(), "pieces of {step}");
        }
    }

    #[test]
    fn an_open_message_keeps_its_state_until_it_ends() {
        let mut conn = conn();
        assert!(conn.reader.is_none(), "a viewer that says nothing costs no WebSocket state");
        let (messages, _) = feed(&mut conn, &frame(OpCode::Data(Data::Text), false, b"to be "), 100);
        assert!(messages.is_empty() && conn.reader.is_some());
        let (messages, _) = feed(&mut conn, &frame(OpCode::Data(Data::Continue), true, b"continued"), 100);
        assert_eq!(messages, [Message::text("to be continued")]);
        assert!(conn.reader.is_none());
    }
}
