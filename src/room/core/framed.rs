//! The frames of a tick, and the state in which they leave the subscribers.
//!
//! Does not know: how the content of a frame is chosen, bytes, connections.

use crate::log::digest;
use crate::protocol::frame::{Frame, FrameEvent};
use crate::protocol::ids::{Digest, Offset};

/// The room as its subscribers know it after the last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed {
    /// The position that the next frame continues.
    pub last: Offset,
    /// Checksum over the log up to `last`.
    pub digest: Digest,
    /// Likes up to `last`.
    pub likes: u64,
    /// The connections in the last frame.
    pub online: u64,
    /// The last frame's wall clock in milliseconds; 0 before the first frame.
    pub at_ms: u64,
}

/// The renditions in use besides the viewer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub lite: bool,
    pub full: bool,
}

/// One tick of the room in each rendition.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    pub viewer: Frame,
    pub lite: Option<Frame>,
    pub full: Option<Frame>,
    /// The guaranteed events, for subscribers that miss the frame.
    pub kept: Vec<FrameEvent>,
}

/// The state that the subscribers know, and whether there is something new for them.
#[derive(Debug)]
pub(super) struct News {
    pub(super) framed: Framed,
    /// Whether a record was applied that the next tick tells at once: any event but likes and votes.
    pub(super) is_fresh: bool,
    /// The earliest time for a frame that has only counters.
    pub(super) counters_from_us: u64,
}

impl Default for News {
    fn default() -> Self {
        let framed = Framed { last: 0, digest: digest::EMPTY, likes: 0, online: 0, at_ms: 0 };
        Self { framed, is_fresh: false, counters_from_us: 0 }
    }
}

impl News {
    /// The time from which a tick makes a frame only because counters (`online`, likes, tallies) have changed; `None`
    /// if they have not. The room is at `last`.
    pub(super) fn counters_due_us(&self, last: Offset, online: u64) -> Option<u64> {
        (online != self.framed.online || last != self.framed.last).then_some(self.counters_from_us)
    }

    /// Call when a frame is made: it leaves the subscribers at `framed`.
    pub(super) fn told(&mut self, framed: Framed, counters_from_us: u64) {
        *self = Self { framed, is_fresh: false, counters_from_us };
    }
}
