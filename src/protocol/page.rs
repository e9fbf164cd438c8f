//! A stretch of a room's past as one frame message: encoded once, sent to everybody who comes back to that position.
//!
//! What happened in the stretch never changes and is shared; the totals are those of the moment in which a copy leaves,
//! so that they never fall for its reader. So a page is spliced ([`super::splice`]): an opening per copy, and the shared rest.

use super::deflate::Deflate;
use super::frame::{FrameEvent, ShedClass};
use super::ids::{Digest, Offset};
use super::kind::Tally;
use super::splice;
use super::variant::Variant;
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct EncodedPage {
    pub prev: Offset,
    pub last: Offset,
    at: u64,
    digest: Digest,
    variant: Variant,
    fields: u8,
    /// Whether the rest is DEFLATE blocks.
    deflated: bool,
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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tallies: &'a [Tally],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    merged: &'a BTreeMap<ShedClass, u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shed: &'a BTreeMap<ShedClass, u64>,
}

/// A page before it is encoded: a [`super::frame::Frame`] without totals.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// The position that it continues.
    pub prev: Offset,
    pub last: Offset,
    /// Wall clock of its newest event.
    pub at: u64,
    /// Checksum over the log up to `last`.
    pub digest: Digest,
    /// The shown events, in log order; then what has grown.
    pub events: Vec<FrameEvent>,
    /// Polls that moved in the stretch, as they stood when the page was made.
    pub tallies: Vec<Tally>,
    /// How many comments were folded into others, by class.
    pub merged: BTreeMap<ShedClass, u64>,
    /// How many events were left out, by class.
    pub shed: BTreeMap<ShedClass, u64>,
}

impl EncodedPage {
    /// Encodes the part that all copies share.
    pub fn new(stretch: &Stretch, variant: Variant, deflate: &Deflate) -> Self {
        let Stretch { prev, last, at, digest, events, tallies, merged, shed } = stretch;
        // At most 10 fields with those of the opening.
        let (fields, rest) = splice::tail(&Rest { events, tallies, merged, shed }, variant.encoding);
        let blocks = if variant.compressed { deflate.blocks(&rest) } else { None };
        let (deflated, rest) = (blocks.is_some(), blocks.unwrap_or(rest).into());
        Self { prev: *prev, last: *last, at: *at, digest: *digest, variant, fields, deflated, rest }
    }

    /// One copy, as a whole WebSocket frame in two pieces: with these totals.
    pub fn copy(&self, likes: u64, online: u64) -> [Bytes; 2] {
        let Self { prev, last, at, digest, variant, fields, deflated, .. } = *self;
        let opening = Opening { prev, last, at, digest, likes, online };
        let opening = splice::opening("frame", &opening, fields, variant.encoding);
        let head = splice::head(&opening, self.rest.len(), variant, deflated, 0);
        [head.into(), self.rest.clone()]
    }

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
    use crate::protocol::event::Comment;
    use crate::protocol::frame::Frame;
    use crate::protocol::ids::{ClientId, Hex64};
    use crate::protocol::message::ServerMessage;
    use crate::protocol::user::User;
    use crate::protocol::variant::Encoding;
    use crate::protocol::{deflate, encode};

    /// What a compressed WebSocket frame holds.
    fn inflated(frame: &[u8]) -> Vec<u8> {
        assert_eq!(frame[0] & 0xf0, 0xc0, "final, RSV1");
        let header = [2, 4, 10][usize::from(frame[1].saturating_sub(125))];
        deflate::inflate(&frame[header..], 1 << 20).unwrap()
    }

    #[test]
    fn a_spliced_page_is_the_same_frame_byte_by_byte() {
        let deflate = Deflate::new(1_000, || 0);
        for (count, shed) in [(0, 0), (1, 0), (3, 7), (300, 1 << 40)] {
            let event = |offset| {
                let user = User { id: "u".into(), name: "n".into(), role: Default::default() };
                let text = "\"引号\" \\ 还有吗 😀";
                let comment = Comment::new(user, text);
                FrameEvent::comment(offset, comment)
            };
            let events: Vec<_> = (1..=count).map(event).collect();
            let shed: BTreeMap<_, _> = (shed > 0).then_some((ShedClass::Normal, shed)).into_iter().collect();
            let merged = shed.clone();
            let tally = Tally { id: ClientId::new("p1").unwrap(), votes: vec![count, 2], open: true };
            let tallies = if count > 1 { vec![tally] } else { Vec::new() };
            let (prev, last, at, digest) = (812, 90_000, 1_732_146_000_123, Hex64(7));
            let stretch = Stretch { prev, last, at, digest, events, tallies, merged, shed };
            for encoding in [Encoding::Json, Encoding::Msgpack] {
                let page = EncodedPage::new(&stretch, encoding.into(), &deflate);
                let packed = EncodedPage::new(&stretch, Variant::new(encoding, true), &deflate);
                for (likes, online) in [(0, 0), (99, 1 << 30)] {
                    let Stretch { prev, last, at, digest, events, tallies, merged, shed } = stretch.clone();
                    let unique = None;
                    let frame = Frame { prev, last, at, digest, likes, online, unique, events, tallies, merged, shed };
                    let message = ServerMessage::Frame(frame);
                    let whole = encode::message(&message, encoding);
                    assert_eq!(page.copy(likes, online).concat(), whole, "{encoding:?}");
                    let copy = packed.copy(likes, online).concat();
                    if count < 300 {
                        assert_eq!(copy, whole, "below the threshold");
                    } else {
                        assert_eq!(inflated(&copy), encode::payload(&message, encoding), "{encoding:?}");
                        assert!(copy.len() * 4 < whole.len(), "{} of {}", copy.len(), whole.len());
                    }
                }
            }
        }
    }
}
