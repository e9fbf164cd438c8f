//! From messages to bytes, once per variant.

use super::message::ServerMessage;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// U+FEFF in UTF-8, which some programs write before a text.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Text frames; subprotocol `volley.v1.json`; the default.
    #[default]
    Json,
    /// Binary frames; subprotocol `volley.v1.msgpack`.
    Msgpack,
}

impl Encoding {
    /// Dense number: 0 or 1.
    pub const fn index(self) -> usize {
        match self {
            Self::Json => 0,
            Self::Msgpack => 1,
        }
    }

    /// The WebSocket subprotocol that asks for it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "volley.v1.json",
            Self::Msgpack => "volley.v1.msgpack",
        }
    }
}

/// How much of the room a subscriber gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rendition {
    /// The viewer's: merged, and chosen within the room's budget.
    #[default]
    Viewer,
    /// For slow connections: the guaranteed lane, the comments that stand for most, counters.
    Lite,
    /// For consoles: every event, each with what became of it.
    Full,
}

impl Rendition {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Lite, Self::Full];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Lite => "lite",
            Self::Full => "full",
        }
    }

    /// Whether it is what everybody gets who asks for nothing.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub fn is_viewer(&self) -> bool {
        *self == Self::Viewer
    }

    /// Dense number, `0..3`: its place in [`Rendition::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Viewer => 0,
            Self::Lite => 1,
            Self::Full => 2,
        }
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rendition| rendition.as_str() == name)
    }
}

/// One (rendition, encoding, compressed or not) triple. A frame is encoded at most once per variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    /// How much.
    pub rendition: Rendition,
    /// How written.
    pub encoding: Encoding,
    /// Whether messages may be compressed (`permessage-deflate`); each of them may go out as it is all the same.
    pub compressed: bool,
}

/// How many variants there are.
pub const VARIANTS: usize = 12;

impl Variant {
    /// All of them, in the order of [`Variant::index`].
    pub const ALL: [Self; VARIANTS] = {
        let mut all = [Self::new(Encoding::Json, false); VARIANTS];
        let mut index = 0;
        while index < VARIANTS {
            let encoding = if index % 2 == 0 { Encoding::Json } else { Encoding::Msgpack };
            all[index] = Self { rendition: Rendition::ALL[index / 4], encoding, compressed: index % 4 > 1 };
            index += 1;
        }
        all
    };

    /// The viewer's rendition, written and sent so.
    pub const fn new(encoding: Encoding, compressed: bool) -> Self {
        Self { rendition: Rendition::Viewer, encoding, compressed }
    }

    /// The same way of writing, another rendition.
    pub const fn with(self, rendition: Rendition) -> Self {
        Self { rendition, ..self }
    }

    /// Dense number, `0..VARIANTS`.
    pub const fn index(self) -> usize {
        self.rendition.index() * 4 + self.encoding.index() + if self.compressed { 2 } else { 0 }
    }
}

impl From<Encoding> for Variant {
    /// Not compressed.
    fn from(encoding: Encoding) -> Self {
        Self::new(encoding, false)
    }
}

/// A message's payload in one encoding.
///
/// # Panics
/// Never for our own message types: all have string keys and finite numbers.
pub fn payload(message: &ServerMessage, encoding: Encoding) -> Vec<u8> {
    value(message, encoding)
}

/// Any serialisable value in one encoding (maps with names, never positional arrays).
///
/// # Panics
/// If `value` cannot be serialised: a map with keys that are not strings, a bug here.
pub fn value<T: Serialize>(value: &T, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Json => serde_json::to_vec(value).expect("our messages serialise to JSON"),
        Encoding::Msgpack => rmp_serde::to_vec_named(value).expect("our messages serialise to MessagePack"),
    }
}

/// A payload as one whole, unmasked WebSocket frame: text for JSON, binary for MessagePack.
pub fn websocket_frame(payload: &[u8], encoding: Encoding) -> Bytes {
    with_header(payload, data(encoding), false)
}

/// DEFLATE blocks ([`super::deflate`]) as one whole, unmasked, compressed WebSocket frame.
pub fn websocket_deflated(blocks: &[u8], encoding: Encoding) -> Bytes {
    with_header(blocks, data(encoding), true)
}

/// A control frame (ping, pong, close), unmasked.
pub fn websocket_control(payload: &[u8], control: Control) -> Bytes {
    with_header(payload, OpCode::Control(control), false)
}

/// A message as one whole WebSocket frame.
pub fn websocket_message(message: &ServerMessage, encoding: Encoding) -> Bytes {
    websocket_frame(&payload(message, encoding), encoding)
}

/// The header of a whole, unmasked WebSocket frame whose payload of `length` bytes follows in pieces; `deflated` if they
/// are DEFLATE blocks.
pub fn websocket_header(length: usize, encoding: Encoding, deflated: bool) -> Vec<u8> {
    header(length, data(encoding), deflated, 0)
}

fn data(encoding: Encoding) -> OpCode {
    OpCode::Data(match encoding {
        Encoding::Json => Data::Text,
        Encoding::Msgpack => Data::Binary,
    })
}

fn with_header(payload: &[u8], opcode: OpCode, rsv1: bool) -> Bytes {
    let mut out = header(payload.len(), opcode, rsv1, payload.len());
    out.extend_from_slice(payload);
    out.into()
}

fn header(length: usize, opcode: OpCode, rsv1: bool, more: usize) -> Vec<u8> {
    let header = FrameHeader { is_final: true, rsv1, rsv2: false, rsv3: false, opcode, mask: None };
    let mut out = Vec::with_capacity(header.len(length as u64) + more);
    header.format(length as u64, &mut out).expect("a Vec takes every write");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variants_number_is_its_place() {
        for (place, variant) in Variant::ALL.into_iter().enumerate() {
            assert_eq!(variant.index(), place);
        }
        assert_eq!(Variant::default(), Variant::ALL[0]);
    }
}
