//! What was said, what was received, and whether the two agree.
//!
//! A comment reaches a viewer in one of three ways, and a frame counts each: it is shown (and may stand for equal ones, which its
//! `times` counts), a raise counts it (`by`), or it is shed and counted. In each stretch the three add up to the comments
//! of the log, in every rendition; what is shown is told by its id besides.
//!
//! [`book`] is one process's view of one room, O(1) per viewer; [`judge`](mod@judge) joins the views of all
//! processes and says what is missing. Does not know: sockets, processes, how anything is printed.

pub mod book;
pub mod judge;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use volley::protocol::encode::Rendition;
use volley::protocol::ids::Offset;
use volley::protocol::message::Outcome;

/// One distinct frame (distinct by its bytes), however many viewers received it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameFacts {
    /// The position that it continues.
    pub prev: Offset,
    /// The position after it.
    pub last: Offset,
    /// Checksum over the log up to `last`.
    pub digest: u64,
    pub likes: u64,
    /// Comments left out, of all classes.
    pub shed: u64,
    /// Comments that its comments and raises stand for besides those that it shows.
    pub folded: u64,
    /// Its comments: offset, and our number for it (0: somebody else's).
    pub events: Vec<(Offset, u64)>,
    /// Where its other events are: what the show's owner posted.
    pub posts: Vec<Offset>,
    /// Of which rendition it is.
    pub rendition: Rendition,
    /// Viewers that took it as new.
    pub receipts: u64,
    /// `last` before `prev`, or events outside of them or not ascending.
    pub is_malformed: bool,
    /// For latency: when each of our comments should have left. Stays in the process.
    #[serde(skip)]
    pub sent_ns: Vec<u64>,
    /// The same of our posts.
    #[serde(skip)]
    pub posted_ns: Vec<u64>,
}

/// An acknowledged comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckedComment {
    /// Our number for it.
    pub number: u64,
    /// Where it is in the log.
    pub offset: Offset,
    /// What viewers see of it.
    pub outcome: Outcome,
    /// What it was folded into, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<Offset>,
}

/// A stretch of offsets, after `.0` up to `.1`.
pub type Stretch = (Offset, Offset);

/// One process's evidence about one room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Every distinct frame, in order of first receipt.
    pub frames: Vec<FrameFacts>,
    /// Every acknowledgement of a comment that this process sent.
    pub acks: Vec<AckedComment>,
    /// Comments sent and neither acknowledged nor refused, at the end.
    pub unsettled: u64,
    /// Holes that viewers found (`prev` beyond their position), each with how many viewers.
    #[serde(with = "pairs")]
    pub holes: BTreeMap<Stretch, u64>,
    /// Frames that came after all, into such a hole.
    #[serde(with = "pairs")]
    pub late: BTreeMap<Stretch, u64>,
    /// Gaps that the server announced.
    #[serde(with = "pairs")]
    pub gaps: BTreeMap<Stretch, u64>,
    /// Positions at which viewers started.
    #[serde(with = "pairs")]
    pub starts: BTreeMap<Offset, u64>,
    /// Positions of the viewers that were connected to the end.
    #[serde(with = "pairs")]
    pub ends_live: BTreeMap<Offset, u64>,
    /// Positions of the viewers that were lost on the way.
    #[serde(with = "pairs")]
    pub ends_lost: BTreeMap<Offset, u64>,
    /// Comments delivered, duplicates not counted.
    pub delivered: u64,
    /// Shed comments, as counted by the frames that viewers took as new.
    pub shed: u64,
    /// Comments that were folded into others, as counted by the same.
    pub folded: u64,
    /// Comments delivered to a viewer that had been past them.
    pub duplicates: u64,
    /// Messages that did not continue the viewer's position.
    pub order_violations: u64,
    /// The first likes total seen.
    pub likes_first: Option<u64>,
    /// The highest likes total seen.
    pub likes_last: u64,
    /// The log's incarnation as the first welcome named it; a different one later is counted in `epoch_changes`.
    pub epoch: Option<u64>,
    /// Welcomes with another epoch.
    pub epoch_changes: u64,
}

impl Evidence {
    /// The newest offset that this process knows of.
    pub fn newest(&self) -> Offset {
        let frames = self.frames.iter().map(|f| f.last);
        let acks = self.acks.iter().map(|a| a.offset);
        frames.chain(acks).chain(self.starts.last_key_value().map(|(at, _)| *at)).max().unwrap_or(0)
    }
}

/// Maps with keys that JSON cannot have, as lists of pairs.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
    use std::collections::BTreeMap;

    pub(super) fn serialize<K: Serialize + Ord, S: Serializer>(
        map: &BTreeMap<K, u64>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, D>(d: D) -> Result<BTreeMap<K, u64>, D::Error>
    where
        K: DeserializeOwned + Ord,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, u64)>::deserialize(d)?.into_iter().collect())
    }
}
