//! The ledger: which comments were sent, which were received, and whether the two agree.
//!
//! A comment reaches a viewer in one of three ways, and frames count each: it is shown (and may stand for equal ones,
//! which its `times` counts), a raise counts it (`by`), or it is shed and counted. In each stretch and rendition the
//! three add up to the comments of the log. A shown comment also has its id.
//!
//! [`book`] is one process's view of one room, O(1) per viewer; [`judge`](mod@judge) joins the views of all processes
//! and finds what is missing. Does not know: sockets, processes, how anything is printed.

pub mod book;
pub mod judge;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use volley::protocol::frame::Outcome;
use volley::protocol::ids::Offset;
use volley::protocol::variant::Rendition;

/// One distinct frame (by its bytes), for all viewers that received it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameFacts {
    /// The position before the frame.
    pub prev: Offset,
    pub last: Offset,
    /// Checksum over the log up to `last`.
    pub digest: u64,
    pub likes: u64,
    /// Comments left out, of all classes.
    pub shed: u64,
    /// Comments that its comments and raises stand for, without the shown ones.
    pub folded: u64,
    /// Its comments: offset, and the number that this run gave it (0: a different client's comment).
    pub events: Vec<(Offset, u64)>,
    /// Offsets of its other events, which the show's owner posted.
    pub posts: Vec<Offset>,
    /// The rendition of the frame.
    pub rendition: Rendition,
    /// Viewers to which it was new.
    pub receipts: u64,
    /// `last` is before `prev`, or events are outside these bounds or out of order.
    pub is_malformed: bool,
    /// For latency: the intended send time of each comment of this run. Not sent to other processes.
    #[serde(skip)]
    pub sent_ns: Vec<u64>,
    /// The same for posts of this run.
    #[serde(skip)]
    pub posted_ns: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckedComment {
    pub number: u64,
    /// Its position in the log.
    pub offset: Offset,
    /// What viewers see of the comment.
    pub outcome: Outcome,
    /// The comment into which it was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<Offset>,
}

/// The offsets after `.0` up to `.1`.
pub type Stretch = (Offset, Offset);

/// One process's evidence about one room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Every distinct frame, in order of first receipt.
    pub frames: Vec<FrameFacts>,
    /// Every acknowledgement of a comment that this process sent.
    pub acks: Vec<AckedComment>,
    /// Comments without an acknowledgement or refusal at the end.
    pub unsettled: u64,
    /// Holes (`prev` beyond a viewer's position), each with its number of viewers.
    #[serde(with = "pairs")]
    pub holes: BTreeMap<Stretch, u64>,
    /// Late frames that filled a part of such a hole.
    #[serde(with = "pairs")]
    pub late: BTreeMap<Stretch, u64>,
    /// Gaps that the server announced.
    #[serde(with = "pairs")]
    pub gaps: BTreeMap<Stretch, u64>,
    /// Positions at which viewers started.
    #[serde(with = "pairs")]
    pub starts: BTreeMap<Offset, u64>,
    /// Final positions of the viewers that were connected to the end.
    #[serde(with = "pairs")]
    pub ends_live: BTreeMap<Offset, u64>,
    /// Last positions of the viewers that were lost during the run.
    #[serde(with = "pairs")]
    pub ends_lost: BTreeMap<Offset, u64>,
    /// Comments delivered, duplicates not counted.
    pub delivered: u64,
    /// Shed comments, as counted by the frames that viewers took as new.
    pub shed: u64,
    /// Comments that were merged into others, as counted by the same frames.
    pub folded: u64,
    /// Comments delivered to a viewer that was already past them.
    pub duplicates: u64,
    /// Messages that did not continue the viewer's position.
    pub order_violations: u64,
    /// The first likes total seen.
    pub likes_first: Option<u64>,
    /// The highest likes total seen.
    pub likes_last: u64,
    /// The log's incarnation in the first welcome; later differences are counted in `epoch_changes`.
    pub epoch: Option<u64>,
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

/// Serialises maps whose keys JSON does not allow as lists of pairs.
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
