//! A stretch of a room's past as one frame message: encoded once, sent to everybody who comes back to that position.
//!
//! What happened in the stretch never changes and is shared; the totals are those of the moment in which a copy leaves,
//! so that they never fall for its reader. So a page is two pieces: an opening per copy, and the shared rest. Splicing
//! works because both encodings write a map as a header and its fields one after the other.

use super::encode::{self, Encoding};
use super::frame::{FrameEvent, ShedClass};
use super::ids::{Digest, Offset};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;

/// See the module's page.
#[derive(Clone, Debug)]
pub struct EncodedPage {
    /// See [`super::frame::Frame::prev`].
    pub prev: Offset,
    /// See [`super::frame::Frame::last`].
    pub last: Offset,
    at: u64,
    digest: Digest,
    encoding: Encoding,
    /// Fields in the rest.
    fields: u8,
    rest: Bytes,
}

/// In the order of [`super::frame::Frame`], up to `online`.
#[derive(Serialize)]
struct Opening {
    prev: Offset,
    last: Offset,
    at: u64,
    digest: Digest,
    likes: u64,
    online: u64,
}

/// In the order of [`super::frame::Frame`], from `events` on.
#[derive(Serialize)]
struct Rest<'a> {
    events: &'a [FrameEvent],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shed: &'a BTreeMap<ShedClass, u64>,
}

/// A page before it is encoded: a [`super::frame::Frame`] without totals.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// The position that it continues.
    pub prev: Offset,
    /// The position after it.
    pub last: Offset,
    /// Wall clock of its newest event.
    pub at: u64,
    /// Checksum over the log up to `last`.
    pub digest: Digest,
    /// The shown events, in log order.
    pub events: Vec<FrameEvent>,
    /// How many events were left out, by class.
    pub shed: BTreeMap<ShedClass, u64>,
}

impl EncodedPage {
    /// Encodes the part that all copies share.
    pub fn new(stretch: &Stretch, encoding: Encoding) -> Self {
        let Stretch { prev, last, at, digest, events, shed } = stretch;
        let encoded = encode::value(&Rest { events, shed }, encoding);
        let (fields, rest) = match encoding {
            Encoding::Json => {
                let mut rest = encoded;
                rest[0] = b','; // instead of its "{"
                rest.push(b'}');
                (0, Bytes::from(rest))
            }
            // A map of up to 15 fields begins with one byte, 0x80 | fields: here are at most 8.
            Encoding::Msgpack => (encoded[0] & 0x0f, Bytes::from(encoded).slice(1..)),
        };
        Self { prev: *prev, last: *last, at: *at, digest: *digest, encoding, fields, rest }
    }

    /// One copy, as a whole WebSocket frame in two pieces: with these totals.
    pub fn copy(&self, likes: u64, online: u64) -> [Bytes; 2] {
        let Self { prev, last, at, digest, encoding, fields, .. } = *self;
        let opening = encode::value(&Opening { prev, last, at, digest, likes, online }, encoding);
        let mut body = Vec::with_capacity(opening.len() + 16);
        match encoding {
            Encoding::Json => {
                body.extend_from_slice(br#"{"frame":"#);
                body.extend_from_slice(&opening[..opening.len() - 1]); // without its "}"
            }
            Encoding::Msgpack => {
                body.extend_from_slice(b"\x81\xa5frame");
                body.push(0x80 | ((opening[0] & 0x0f) + fields));
                body.extend_from_slice(&opening[1..]);
            }
        }
        let mut head = encode::websocket_header(body.len() + self.rest.len(), encoding);
        head.extend_from_slice(&body);
        [head.into(), self.rest.clone()]
    }

    /// Bytes that it holds.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Never: an empty page has its field names.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::{Comment, Style, User};
    use crate::protocol::frame::Frame;
    use crate::protocol::ids::Hex64;
    use crate::protocol::message::ServerMessage;

    #[test]
    fn a_spliced_page_is_the_same_frame_byte_by_byte() {
        for (count, shed) in [(0, 0), (1, 0), (3, 7), (300, 1 << 40)] {
            let event = |offset| {
                let user = User { id: "u".into(), name: "n".into(), role: Default::default() };
                let text = "\"引号\" \\ 还有吗 😀".into();
                let comment = Comment { user, id: None, text, style: Style::default(), media_ms: None, ext: None };
                FrameEvent { offset, comment: Some(comment) }
            };
            let events: Vec<_> = (1..=count).map(event).collect();
            let shed: BTreeMap<_, _> = (shed > 0).then_some((ShedClass::Normal, shed)).into_iter().collect();
            let stretch = Stretch { prev: 812, last: 90_000, at: 1_732_146_000_123, digest: Hex64(7), events, shed };
            for encoding in [Encoding::Json, Encoding::Msgpack] {
                let page = EncodedPage::new(&stretch, encoding);
                for (likes, online) in [(0, 0), (99, 1 << 30)] {
                    let Stretch { prev, last, at, digest, events, shed } = stretch.clone();
                    let frame = Frame { prev, last, at, digest, likes, online, events, shed };
                    let whole = encode::websocket_message(&ServerMessage::Frame(frame), encoding);
                    assert_eq!(page.copy(likes, online).concat(), whole, "{encoding:?}");
                }
            }
        }
    }
}
