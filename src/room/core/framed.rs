//! What a tick says to whom, and where it leaves everybody.
//!
//! Does not know: how it is decided, bytes, connections.

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
