//! What a tick says to whom, and where it leaves everybody.
//!
//! Does not know: how it is decided, bytes, connections.

use crate::log::digest;
use crate::protocol::frame::{Frame, FrameEvent};
use crate::protocol::ids::{Digest, Offset};

/// The room as its subscribers know it: where the last frame left them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed {
    /// The position that the next frame continues.
    pub last: Offset,
    /// Checksum over the log up to `last`.
    pub digest: Digest,
    /// Likes up to `last`.
    pub likes: u64,
    /// As last told.
    pub online: u64,
    /// The last frame's wall clock; 0 before the first.
    pub at_ms: u64,
}

/// Which renditions besides the viewer's somebody gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The light one.
    pub lite: bool,
    /// The console's.
    pub full: bool,
}

/// One tick of the room, as each rendition tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// What most people get.
    pub viewer: Frame,
    /// Only if it was wanted.
    pub lite: Option<Frame>,
    /// Only if it was wanted.
    pub full: Option<Frame>,
    /// What is guaranteed of it, for those who are not sent it.
    pub kept: Vec<FrameEvent>,
}

/// What the subscribers know, and what they are to be told next.
#[derive(Debug)]
pub(super) struct News {
    pub(super) framed: Framed,
    /// Something was applied that the next tick tells: anything but likes and votes.
    pub(super) is_fresh: bool,
    /// When a frame of counters alone may go out again.
    pub(super) counters_from_us: u64,
}

impl Default for News {
    fn default() -> Self {
        let framed = Framed { last: 0, digest: digest::EMPTY, likes: 0, online: 0, at_ms: 0 };
        Self { framed, is_fresh: false, counters_from_us: 0 }
    }
}

impl News {
    /// From when on a tick makes a frame only because counters (`online`, likes, tallies) differ from what was told, in a
    /// room that is at `last`; `None`: they do not differ.
    pub(super) fn counters_due_us(&self, last: Offset, online: u64) -> Option<u64> {
        (online != self.framed.online || last != self.framed.last).then_some(self.counters_from_us)
    }

    /// A frame leaves the subscribers at `framed`; the next one of counters alone waits until `counters_from_us`.
    pub(super) fn told(&mut self, framed: Framed, counters_from_us: u64) {
        *self = Self { framed, is_fresh: false, counters_from_us };
    }
}
