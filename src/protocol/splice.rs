//! Messages with a large tail that many connections share: the tail is encoded and compressed once, and each copy gets a
//! short opening of its own.
//!
//! Splicing works because both encodings write a map as a header and its fields one after the other. It works for
//! compressed messages because those are DEFLATE blocks one after the other: the opening goes into a stored block before
//! the blocks of the tail.
//!
//! Does not know: which messages are spliced, or which fields stand where.

use super::deflate;
use super::encode;
use super::variant::{Encoding, Framing, Variant};
use super::websocket;
use serde::Serialize;

/// The map `fields` as the end of a message, and how many fields [`opening`] has to announce for it. The map must have at
/// most 15 fields.
pub fn tail<T: Serialize>(fields: &T, encoding: Encoding) -> (u8, Vec<u8>) {
    let mut bytes = encode::value(fields, encoding);
    match encoding {
        Encoding::Json => {
            bytes[0] = b','; // instead of its "{"
            bytes.push(b'}');
            (0, bytes)
        }
        Encoding::Msgpack => {
            // A map of up to 15 fields begins with one byte, 0x80 | fields.
            let header = bytes.remove(0);
            debug_assert_eq!(header & 0xf0, 0x80, "a map of up to 15 fields");
            (header & 0x0f, bytes)
        }
    }
}

/// The message `name` up to its tail. `fields` and the `tail_fields` of the tail together must be at most 15.
pub fn opening<T: Serialize>(name: &str, fields: &T, tail_fields: u8, encoding: Encoding) -> Vec<u8> {
    let fields = encode::value(fields, encoding);
    let mut out = Vec::with_capacity(fields.len() + name.len() + 8);
    match encoding {
        Encoding::Json => {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(&fields[..fields.len() - 1]); // without its "}"
        }
        Encoding::Msgpack => {
            debug_assert!(name.len() < 32, "a string of up to 31 bytes begins with one byte");
            out.extend_from_slice(&[0x81, 0xa0 | name.len() as u8]);
            out.extend_from_slice(name.as_bytes());
            out.push(0x80 | ((fields[0] & 0x0f) + tail_fields));
            out.extend_from_slice(&fields[1..]);
        }
    }
    out
}

/// Everything of a framed message that stands before its tail of `tail_bytes`, with capacity for `spare` bytes more.
/// `deflated` says that the tail is DEFLATE blocks.
pub fn head(opening: &[u8], tail_bytes: usize, variant: Variant, deflated: bool, spare: usize) -> Vec<u8> {
    let length = if deflated { deflate::stored_len(opening.len()) } else { opening.len() };
    let mut out = match variant.framing {
        Framing::WebSocket => websocket::data_header(length + tail_bytes, variant.encoding, deflated, length + spare),
    };
    if deflated {
        deflate::store(opening, &mut out);
    } else {
        out.extend_from_slice(opening);
    }
    out
}
