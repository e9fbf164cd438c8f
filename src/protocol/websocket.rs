//! Unmasked WebSocket frames, as the server sends them: every message is one frame.
//!
//! Does not know: messages, sockets, or how received frames are read.

use super::codes::Close;
use super::variant::Encoding;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// A payload as one frame: text for JSON, binary for MessagePack. `deflated` marks a payload of DEFLATE blocks.
pub fn data(payload: &[u8], encoding: Encoding, deflated: bool) -> Bytes {
    let mut out = data_header(payload.len(), encoding, deflated, payload.len());
    out.extend_from_slice(payload);
    out.into()
}

/// The header of a frame whose payload of `length` bytes follows, with capacity for `spare` bytes of it.
pub fn data_header(length: usize, encoding: Encoding, deflated: bool, spare: usize) -> Vec<u8> {
    let data = match encoding {
        Encoding::Json => Data::Text,
        Encoding::Msgpack => Data::Binary,
    };
    header(length, OpCode::Data(data), deflated, spare)
}

/// A control frame. The payload must have at most 125 bytes (RFC 6455, 5.5).
pub fn control(payload: &[u8], control: Control) -> Bytes {
    let mut out = header(payload.len(), OpCode::Control(control), false, payload.len());
    out.extend_from_slice(payload);
    out.into()
}

/// A close frame with the code and its reason.
pub fn close(code: Close) -> Bytes {
    let mut payload = code.code().to_be_bytes().to_vec();
    payload.extend_from_slice(code.reason().as_bytes());
    control(&payload, Control::Close)
}

/// An empty ping, which every client answers.
pub fn ping() -> Bytes {
    control(b"", Control::Ping)
}

fn header(length: usize, opcode: OpCode, rsv1: bool, spare: usize) -> Vec<u8> {
    let header = FrameHeader { is_final: true, rsv1, rsv2: false, rsv3: false, opcode, mask: None };
    let mut out = Vec::with_capacity(header.len(length as u64) + spare);
    header.format(length as u64, &mut out).expect("a Vec takes every write");
    out
}
