//! From messages to bytes, once per variant: first the payload in its encoding, then its framing.
//!
//! Does not know: which variants are in use, or who is sent the bytes.

use super::deflate::Deflate;
use super::message::ServerMessage;
use super::variant::{Encoding, Framing, Variant};
use super::websocket;
use bytes::Bytes;
use serde::Serialize;

/// U+FEFF in UTF-8, which some programs write before a text.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A message as a payload.
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

/// A payload in its framing, uncompressed.
pub fn framed(payload: &[u8], variant: impl Into<Variant>) -> Bytes {
    let Variant { encoding, framing, .. } = variant.into();
    match framing {
        Framing::WebSocket => websocket::data(payload, encoding, false),
    }
}

/// A payload, compressed and in its framing. `None` if it is below the threshold or would not shrink: then it is sent
/// with [`framed`].
pub fn deflated(payload: &[u8], variant: impl Into<Variant>, deflate: &Deflate) -> Option<Bytes> {
    let Variant { encoding, framing, .. } = variant.into();
    let blocks = deflate.blocks(payload)?;
    Some(match framing {
        Framing::WebSocket => websocket::data(&blocks, encoding, true),
    })
}

/// A message in its framing, uncompressed.
pub fn message(message: &ServerMessage, variant: impl Into<Variant>) -> Bytes {
    let variant = variant.into();
    framed(&payload(message, variant.encoding), variant)
}
