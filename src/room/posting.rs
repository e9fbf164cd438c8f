//! What the show's owner posts, and votes: gathered for the tick, answered when the log has them.
//!
//! Does not know: who asks and over what, the log, clocks.

use crate::protocol::event::Event;
use crate::protocol::ids::{Epoch, Offset};

/// Events of the show's owner, to be stored all or none. Each is a post or a comment of somebody with a role, valid as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PostRequest {
    /// Whoever asks knows the answer by it.
    pub ticket: u64,
    /// In the order in which they shall stand; at least one.
    pub events: Vec<Event>,
}

/// Events that are in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The log's incarnation.
    pub epoch: Epoch,
    /// Where each event is: of a retry, where the first one is.
    pub offsets: Vec<Offset>,
}

/// Why events were not taken: none of them is in the log, unless its key brought it there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// There is too much in the room's tick, or in the log's queue.
    #[error("the room is overloaded")]
    Overloaded {
        /// When a retry may succeed.
        retry_ms: u64,
    },
    /// The log cannot take them now.
    #[error("the log's storage is unavailable")]
    Unavailable,
    /// The key of event number `index` came with another content before.
    #[error("event {index}: its key was used for another event")]
    Conflict {
        /// Which event, from 0.
        index: usize,
    },
    /// The key of event number `index` is older than what the room remembers: it may be in the log already.
    #[error("event {index}: its key is older than the room remembers")]
    Stale {
        /// Which event, from 0.
        index: usize,
    },
    /// Event number `index` is about a comment that is not there.
    #[error("event {index}: there is no such comment")]
    NotFound {
        /// Which event, from 0.
        index: usize,
    },
}
