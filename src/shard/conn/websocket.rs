//! Inbound WebSocket: makes messages of bytes.
//!
//! The library's sans-io context reads uncompressed messages. A compressed message is gathered here, and inflated
//! within the message limit once it is whole. [`Inspect`] judges sizes, fragments and the rate of control frames before
//! both.
//!
//! Does not know: sockets, the tenant, the destination of its output.

use super::framing::{Incoming, Inflated, Transport};
use super::inspect::{Inspect, Packed, Piece};
use crate::protocol::codes::Close;
use crate::protocol::deflate::{self, InflateError};
use crate::protocol::websocket;
use crate::shard::tenant::Caps;
use bytes::Bytes;
use std::io::{self, Read, Write};
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

/// The inbound state of one WebSocket connection. No buffer between messages.
#[derive(Default)]
pub(in crate::shard) struct WebSocket {
    /// Reads a message while one is open. Between messages a reader has no state worth keeping, so a silent viewer does
    /// without its 300 bytes, and an active viewer without the buffer of its last message.
    reader: Option<Box<MessageReader>>,
    inspect: Inspect,
}

impl Transport for WebSocket {
    fn receive(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        caps: &Caps,
        inflated: &mut Inflated,
        now_us: u64,
    ) -> Result<Option<Incoming>, Close> {
        let mut reader = self.reader.take().unwrap_or_else(|| MessageReader::new(caps));
        let received = self.receive_by(&mut reader, input, output, caps, inflated, now_us);
        if self.inspect.is_open() {
            self.reader = Some(reader);
        }
        received
    }

    fn is_open(&self) -> bool {
        self.inspect.is_open()
    }

    fn close(code: Close) -> Bytes {
        websocket::close(code)
    }

    fn keep_alive() -> Bytes {
        websocket::ping()
    }
}

impl WebSocket {
    fn receive_by(
        &mut self,
        reader: &mut MessageReader,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        caps: &Caps,
        inflated: &mut Inflated,
        now_us: u64,
    ) -> Result<Option<Incoming>, Close> {
        while !input.is_empty() {
            let taken = match self.inspect.next(input, caps, now_us)? {
                Piece::Plain(taken) => taken,
                Piece::Packed(packed) => {
                    let (piece, rest) = input.split_at(packed.taken);
                    *input = rest;
                    match reader.take_packed(&packed, piece, caps, inflated)? {
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
                    // Without this the pong would leave with the next read, behind the reply to a later message.
                    match reader.ws.flush(&mut shim) {
                        // The answer to a close frame is written, and the connection is over.
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

/// Reads one message: an uncompressed one with the WebSocket library, a compressed one with its own buffer.
struct MessageReader {
    ws: WebSocketContext,
    packed: Option<Parcel>,
}

/// The payload of a compressed message that is not whole yet. The whole message is inflated by the shard's one
/// inflater.
#[derive(Debug, Default)]
struct Parcel {
    /// Unmasked; bounded by the sizes that [`Inspect`] accepts.
    payload: Vec<u8>,
    is_text: bool,
    mask: [u8; 4],
    /// Payload bytes of the current frame so far.
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

impl MessageReader {
    /// A reader at the beginning of a message, without buffers.
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

    /// Adds a piece of a compressed message; returns the message when it is whole.
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

/// The close code for an error of the WebSocket library.
fn verdict(error: &Error) -> Close {
    match error {
        Error::Capacity(_) => Close::TooBig,
        Error::Utf8(_) => Close::InvalidText,
        _ => Close::Protocol,
    }
}

/// A socket for the WebSocket library: bytes that were read already, and a buffer for its answers.
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
    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

    const CAPS: Caps = Caps {
        message_bytes_max: 4_096,
        fragments_max: 16,
        backlog_bytes_max: 4_096,
        any_type: false,
        compressed: true,
    };

    /// A masked frame (with the mask 0, which changes nothing).
    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { is_final, rsv1: false, rsv2: false, rsv3: false, opcode, mask: Some([0; 4]) };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        bytes
    }

    /// The messages of `stream`, fed in pieces of `step` bytes, and the answers.
    fn feed(socket: &mut WebSocket, stream: &[u8], step: usize) -> (Vec<Message>, Vec<u8>) {
        let (mut messages, mut output) = (Vec::new(), Vec::new());
        for mut input in stream.chunks(step) {
            while let Some(Incoming::Message(message)) =
                socket.receive(&mut input, &mut output, &CAPS, &mut Inflated::default(), 0).unwrap()
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
            let mut socket = WebSocket::default();
            let (messages, output) = feed(&mut socket, &stream, step);
            assert_eq!(messages, expected, "pieces of {step}");
            assert_eq!(output, [0x8a, 3, b'n', b'o', b'w'], "one pong, pieces of {step}");
            assert!(socket.reader.is_none(), "pieces of {step}");
        }
    }

    #[test]
    fn an_open_message_keeps_its_state_until_it_ends() {
        let mut socket = WebSocket::default();
        assert!(socket.reader.is_none(), "a viewer that says nothing costs no WebSocket state");
        let (messages, _) = feed(&mut socket, &frame(OpCode::Data(Data::Text), false, b"to be "), 100);
        assert!(messages.is_empty() && socket.reader.is_some());
        let (messages, _) = feed(&mut socket, &frame(OpCode::Data(Data::Continue), true, b"continued"), 100);
        assert_eq!(messages, [Message::text("to be continued")]);
        assert!(socket.reader.is_none());
    }
}
