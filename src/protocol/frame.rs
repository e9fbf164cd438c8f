//! What one tick of a room looks like to its subscribers, before and after encoding.

use super::encode::{Encoding, VARIANTS, Variant};
use super::ids::{Digest, Offset};
use super::kind::Tally;
pub use super::local::RoomKey;
pub use super::shown::{FrameEvent, Raise, ShownComment, What};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The log after `prev` up to `last`, as subscribers see it, with absolute counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The position that this frame continues.
    pub prev: Offset,
    /// The position after it.
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
    /// Ordinary comments.
    Normal,
    /// Comments of those whom the room counts less.
    Low,
    /// Gifts, in a room that does not guarantee them.
    Gift,
    /// The application's events, in a room that does not guarantee them.
    Custom,
    /// Arrivals.
    Enter,
}

/// A frame (or heartbeat) as bytes, encoded once per variant in use and shared by all subscribers.
/// This type and [`super::page::EncodedPage`] alone join `room` and `shard`.
#[derive(Debug)]
pub struct EncodedFrame {
    /// The room.
    pub room: RoomKey,
    /// See [`Frame::prev`]; a heartbeat has `prev == last`.
    pub prev: Offset,
    /// See [`Frame::last`].
    pub last: Offset,
    /// When the room handed it over: monotonic microseconds ([`crate::clock::now_us`] as the caller read it).
    pub published_us: u64,
    /// The room's likes up to `last`, for those who are told totals before they get it.
    pub likes: u64,
    /// It takes something back that frames before it show: whoever resumes from now on must not get those.
    pub redacts: bool,
    bytes: [Bytes; VARIANTS],
    /// By encoding; few frames have it.
    kept: Option<Box<[Bytes; 2]>>,
}

impl EncodedFrame {
    /// A frame without bytes; add each variant in use with [`EncodedFrame::set`].
    pub fn new(room: RoomKey, prev: Offset, last: Offset, published_us: u64) -> Self {
        Self { room, prev, last, published_us, likes: 0, redacts: false, bytes: Default::default(), kept: None }
    }

    /// Puts in the bytes of one variant: whole WebSocket frames, header included
    /// (see [`super::encode::websocket_frame`]).
    pub fn set(&mut self, variant: Variant, websocket_frame: Bytes) {
        self.bytes[variant.index()] = websocket_frame;
    }

    /// The bytes of one variant; empty if it was not in use when the frame was made.
    pub fn get(&self, variant: Variant) -> &Bytes {
        &self.bytes[variant.index()]
    }

    /// Puts in what somebody gets who is not sent this frame: a [`super::message::Gap`] of its stretch with the guaranteed events.
    pub fn keep(&mut self, encoding: Encoding, websocket_frame: Bytes) {
        self.kept.get_or_insert_default()[encoding.index()] = websocket_frame;
    }

    /// What was put in with [`EncodedFrame::keep`]; empty: nothing of it is guaranteed, or nobody reads that encoding.
    pub fn kept(&self, encoding: Encoding) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        self.kept.as_ref().map_or(&NOTHING, |kept| &kept[encoding.index()])
    }

    /// Whether anything was put in with [`EncodedFrame::keep`].
    pub fn keeps(&self) -> bool {
        self.kept.is_some()
    }
}
