//! What one tick of a room looks like to its subscribers, before and after encoding.

use super::ids::{Digest, Offset};
use super::kind::Tally;
pub use super::local::RoomKey;
pub use super::shown::{FrameEvent, Outcome, Raise, ShownComment, What};
use super::variant::{Encoding, VARIANTS, Variant};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The log after `prev` up to `last`, as subscribers see it, with absolute counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The position that this frame continues.
    pub prev: Offset,
    pub last: Offset,
    /// Wall clock of the tick, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Checksum over the log up to `last`.
    pub digest: Digest,
    /// Likes since the epoch began; never falls.
    pub likes: u64,
    /// Connections that watch the room.
    pub online: u64,
    /// People who have watched the room, about; in frames that tell a new estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<u64>,
    /// The shown events, in log order; then what has grown.
    pub events: Vec<FrameEvent>,
    /// Polls that were voted in, opened or closed: as they stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tallies: Vec<Tally>,
    /// How many comments were folded into others, by class. Empty: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub merged: BTreeMap<ShedClass, u64>,
    /// How many events were left out, by class. Empty: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shed: BTreeMap<ShedClass, u64>,
}

/// Which events were left out: comments by their class, others by their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShedClass {
    Normal,
    /// Comments of the class `low`.
    Low,
    /// Gifts, in a room that does not guarantee them.
    Gift,
    /// The application's events, in a room that does not guarantee them.
    Custom,
    Enter,
}

/// A frame (or heartbeat) as bytes, encoded once per variant in use and shared by all subscribers.
/// This type and [`super::page::EncodedPage`] alone join `room` and `shard`.
#[derive(Debug)]
pub struct EncodedFrame {
    pub room: RoomKey,
    /// See [`Frame::prev`]; a heartbeat has `prev == last`.
    pub prev: Offset,
    pub last: Offset,
    /// When the room handed it over: monotonic microseconds ([`crate::clock::now_us`] as the caller read it).
    pub published_us: u64,
    /// The room's likes up to `last`, for subscribers that are told totals before they get this frame.
    pub likes: u64,
    /// The comments that this frame deletes. Earlier frames show them, so a client that resumes must not get those frames.
    pub redacts: Vec<Offset>,
    bytes: [Bytes; VARIANTS],
    kept: Option<Box<Kept>>,
}

/// What a subscriber gets instead of a frame that it missed.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    bytes: [Bytes; 2],
    /// The comments in it, which may be taken back later.
    comments: Vec<Offset>,
}

impl Kept {
    /// A [`super::message::Gap`] with the guaranteed events, in its framing; empty if no subscriber used that encoding.
    pub fn bytes(&self, encoding: Encoding) -> &Bytes {
        &self.bytes[encoding.index()]
    }

    pub fn len(&self) -> usize {
        self.bytes.iter().map(Bytes::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it shows one of `comments`.
    pub fn shows(&self, comments: &[Offset]) -> bool {
        self.comments.iter().any(|own| comments.contains(own))
    }
}

impl EncodedFrame {
    /// A frame without bytes; add each variant in use with [`EncodedFrame::set`].
    pub fn new(room: RoomKey, prev: Offset, last: Offset, published_us: u64) -> Self {
        Self { room, prev, last, published_us, likes: 0, redacts: Vec::new(), bytes: Default::default(), kept: None }
    }

    /// Puts in the bytes of one variant: whole WebSocket frames, header included
    /// (see [`super::encode::framed`]).
    pub fn set(&mut self, variant: Variant, framed: Bytes) {
        self.bytes[variant.index()] = framed;
    }

    /// The bytes of one variant; empty if it was not in use when the frame was made.
    pub fn get(&self, variant: Variant) -> &Bytes {
        &self.bytes[variant.index()]
    }

    /// Sets what a subscriber gets that misses this frame: a [`super::message::Gap`] of its stretch with the guaranteed
    /// events, `comments` among them.
    pub fn keep(&mut self, encoding: Encoding, framed: Bytes, comments: &[Offset]) {
        let kept = self.kept.get_or_insert_default();
        kept.bytes[encoding.index()] = framed;
        kept.comments = comments.to_vec();
    }

    /// What [`EncodedFrame::keep`] set; `None` if the frame has no guaranteed events.
    pub fn kept(&self) -> Option<&Kept> {
        self.kept.as_deref()
    }
}
