//! The part of the welcome that is the same for all newcomers of one moment, encoded once.
//!
//! Otherwise 15,000 simultaneous joins would encode the snapshot 15,000 times. The message is spliced
//! ([`crate::protocol::splice`]) from a small head per connection and the shared tail.

use crate::protocol::deflate::Deflate;
use crate::protocol::encode;
use crate::protocol::ids::{Epoch, Offset, RoomId, SessionId};
use crate::protocol::message::{ResumeFailure, ServerMessage, Snapshot, Welcome};
use crate::protocol::splice;
use crate::protocol::user::User;
use crate::protocol::variant::{Encoding, Rendition, Variant};
use bytes::Bytes;
use serde::Serialize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The fields of a welcome that do not depend on the newcomer.
#[derive(Debug)]
pub struct WelcomeTail {
    fields: TailFields,
    json: Tail,
    msgpack: Tail,
    encodes: AtomicU32,
}

/// The tail in one encoding.
#[derive(Debug, Default)]
struct Tail {
    /// The bytes after the head, to the message's end.
    encoded: OnceLock<Box<[u8]>>,
    /// The same as DEFLATE blocks, if they are smaller.
    blocks: OnceLock<Option<Box<[u8]>>>,
}

/// The number of fields in the tail.
const TAIL_FIELDS: u8 = 4;

/// In the order of [`crate::protocol::message::Welcome`], from `epoch` on.
#[derive(Debug, Serialize)]
struct TailFields {
    epoch: Epoch,
    last: Offset,
    tick_ms: u64,
    snapshot: Snapshot,
}

/// In the order of [`crate::protocol::message::Welcome`], up to `rendition`.
#[derive(Serialize)]
struct HeadFields<'a> {
    room: &'a RoomId,
    session: SessionId,
    you: &'a User,
    recovered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ResumeFailure>,
    #[serde(skip_serializing_if = "Rendition::is_viewer")]
    rendition: Rendition,
}

impl WelcomeTail {
    /// The tail of one moment; nothing is encoded yet.
    pub fn new(epoch: Epoch, last: Offset, tick_ms: u64, snapshot: Snapshot) -> Self {
        Self {
            fields: TailFields { epoch, last, tick_ms, snapshot },
            json: Tail::default(),
            msgpack: Tail::default(),
            encodes: AtomicU32::new(0),
        }
    }

    /// The position in the welcome.
    pub fn last(&self) -> Offset {
        self.fields.last
    }

    /// The number of connections in the welcome.
    pub fn online(&self) -> u64 {
        self.fields.snapshot.online
    }

    /// The number of times the tail was encoded: at most once per encoding.
    pub fn encodes(&self) -> u32 {
        self.encodes.load(Ordering::Relaxed)
    }

    /// The welcome message of one newcomer as a payload.
    pub fn compose(
        &self,
        variant: impl Into<Variant>,
        room: &RoomId,
        session: SessionId,
        you: &User,
        recovered: bool,
        reason: Option<ResumeFailure>,
    ) -> Vec<u8> {
        let Variant { rendition, encoding, .. } = variant.into();
        let mut out = opening(encoding, &HeadFields { room, session, you, recovered, reason, rendition });
        out.extend_from_slice(self.encoded(encoding));
        out
    }

    /// The same for a newcomer with compression, as a whole WebSocket frame; `None` if the tail is too small to be
    /// compressed, or does not shrink.
    pub fn compose_deflated(
        &self,
        deflate: &Deflate,
        variant: impl Into<Variant>,
        room: &RoomId,
        session: SessionId,
        you: &User,
        reason: Option<ResumeFailure>,
    ) -> Option<Bytes> {
        let variant = variant.into();
        let Variant { rendition, encoding, .. } = variant;
        let blocks = self.tail(encoding).blocks.get_or_init(|| deflate.blocks(self.encoded(encoding)).map(Vec::into));
        let blocks = blocks.as_ref()?;
        let opening = opening(encoding, &HeadFields { room, session, you, recovered: false, reason, rendition });
        let mut out = splice::head(&opening, blocks.len(), variant, true, blocks.len());
        out.extend_from_slice(blocks);
        Some(out.into())
    }

    /// The welcome of a subscriber that gets everything after its position: without events, and with the `likes` at
    /// that position. The board's state is the present one. It is small and encoded for each subscriber, because its
    /// moment and position differ.
    pub fn compose_recovered(
        &self,
        variant: impl Into<Variant>,
        room: &RoomId,
        session: SessionId,
        you: &User,
        likes: u64,
    ) -> Vec<u8> {
        let Variant { rendition, encoding, .. } = variant.into();
        let TailFields { epoch, last, tick_ms, ref snapshot } = self.fields;
        let (room, you) = (room.clone(), you.clone());
        let snapshot = Snapshot { likes, events: Vec::new(), ..snapshot.clone() };
        let welcome =
            Welcome { room, session, you, recovered: true, reason: None, rendition, epoch, last, tick_ms, snapshot };
        encode::payload(&ServerMessage::Welcome(Box::new(welcome)), encoding)
    }

    fn tail(&self, encoding: Encoding) -> &Tail {
        match encoding {
            Encoding::Json => &self.json,
            Encoding::Msgpack => &self.msgpack,
        }
    }

    fn encoded(&self, encoding: Encoding) -> &[u8] {
        self.tail(encoding).encoded.get_or_init(|| {
            self.encodes.fetch_add(1, Ordering::Relaxed);
            splice::tail(&self.fields, encoding).1.into()
        })
    }
}

/// The fields of a welcome before its tail.
fn opening(encoding: Encoding, head: &HeadFields<'_>) -> Vec<u8> {
    // A JSON map does not say how many fields it has; both parts together have 8 to 10.
    splice::opening("welcome", head, TAIL_FIELDS, encoding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::deflate;
    use crate::protocol::ids::Hex64;
    use crate::room::tests::{comment, shown};

    fn both_ways(events: usize, recovered: bool, reason: Option<ResumeFailure>, rendition: Rendition) {
        let snapshot = Snapshot {
            likes: 99_123,
            online: 20_311,
            events: (1..=events).map(|o| shown(o as u64, "\"引号\" \\ 还有吗 😀")).collect(),
            ..Snapshot::default()
        };
        let welcome = Welcome {
            room: RoomId::new("demo").unwrap(),
            session: Hex64(7),
            you: comment("u-1", "").user,
            recovered,
            reason,
            rendition,
            epoch: Hex64(0x1234_5678_9abc_def0),
            last: 812,
            tick_ms: 100,
            snapshot: snapshot.clone(),
        };
        let tail = WelcomeTail::new(welcome.epoch, welcome.last, welcome.tick_ms, snapshot);
        let Welcome { room, session, you, .. } = &welcome;
        let variant = |encoding| Variant::new(encoding, false).with(rendition);
        let json = tail.compose(variant(Encoding::Json), room, *session, you, recovered, reason);
        let msgpack = tail.compose(variant(Encoding::Msgpack), room, *session, you, recovered, reason);

        let message = ServerMessage::Welcome(Box::new(welcome.clone()));
        assert_eq!(serde_json::from_slice::<ServerMessage>(&json).unwrap(), message);
        assert_eq!(rmp_serde::from_slice::<ServerMessage>(&msgpack).unwrap(), message);
        // Compared byte by byte, so a field that is added to `Welcome` and missing here is found even if it is
        // optional.
        assert_eq!(json, encode::payload(&message, Encoding::Json));
        assert_eq!(msgpack, encode::payload(&message, Encoding::Msgpack));

        if recovered {
            return; // Has no events, and is made for each subscriber.
        }
        let deflate = Deflate::new(1_000, || 0);
        for (encoding, payload) in [(Encoding::Json, json), (Encoding::Msgpack, msgpack)] {
            let packed = tail.compose_deflated(&deflate, variant(encoding), room, *session, you, reason);
            assert_eq!(packed.is_some(), events > 10, "below the threshold it stays as it is");
            let Some(packed) = packed else { continue };
            assert_eq!((packed[0] & 0xf0, packed[1]), (0xc0, 126), "final, RSV1, a length of two bytes");
            assert_eq!(deflate::inflate(&packed[4..], payload.len()).unwrap(), payload);
            assert!(packed.len() * 2 < payload.len());
        }
    }

    #[test]
    fn a_spliced_welcome_is_the_same_message_in_both_encodings() {
        both_ways(0, false, None, Rendition::Viewer);
        both_ways(20, true, None, Rendition::Lite);
        both_ways(20, false, None, Rendition::Full);
        both_ways(300, false, Some(ResumeFailure::TooOld), Rendition::Viewer);
        both_ways(300, false, Some(ResumeFailure::TooOld), Rendition::Lite);
    }

    #[test]
    fn a_returners_welcome_has_no_events_and_the_totals_of_its_position() {
        let tail = WelcomeTail::new(
            Hex64(1),
            5,
            100,
            Snapshot { likes: 9, online: 3, unique: 4, events: vec![shown(5, "x")], ..Snapshot::default() },
        );
        let (room, you) = (RoomId::new("r").unwrap(), comment("u", "").user);
        let welcome = tail.compose_recovered(Encoding::Json, &room, Hex64(2), &you, 7);
        let Ok(ServerMessage::Welcome(welcome)) = serde_json::from_slice(&welcome) else { panic!("no welcome") };
        assert!(welcome.recovered && welcome.reason.is_none() && welcome.snapshot.events.is_empty());
        assert_eq!((welcome.last, welcome.epoch, welcome.snapshot.likes, welcome.snapshot.online), (5, Hex64(1), 7, 3));
        assert_eq!(welcome.snapshot.unique, 4, "the rest of the state is told too");
    }

    #[test]
    fn the_tail_is_encoded_once_per_encoding_and_only_when_asked_for() {
        let tail = WelcomeTail::new(Hex64(1), 5, 100, Snapshot::default());
        assert_eq!(tail.encodes(), 0);
        let (room, you) = (RoomId::new("r").unwrap(), comment("u", "").user);
        for session in 0..1_000 {
            tail.compose(Encoding::Json, &room, Hex64(session), &you, false, None);
        }
        assert_eq!(tail.encodes(), 1);
        tail.compose(Encoding::Msgpack, &room, Hex64(1), &you, false, None);
        tail.compose_deflated(&Deflate::new(0, || 0), Encoding::Json, &room, Hex64(1), &you, None);
        assert_eq!(tail.encodes(), 2);
    }
}
