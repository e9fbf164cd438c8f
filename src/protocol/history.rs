//! A room's log as the history API shows it: every event, with its position and its time.
//!
//! A frame shows viewers a selection with counters; these are the log's own events, so likes are among them.

use super::event::Event;
use super::ids::{Epoch, Offset};
use serde::{Deserialize, Serialize};

/// One event of the log: the offset and the event under its kind's name, as in frames, and when it was appended.
/// `E` is [`Event`] for who reads, a reference to one for who writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent<E = Event> {
    /// Position in the room's log.
    pub offset: Offset,
    /// When it was appended: wall clock in milliseconds since the Unix epoch; never falls within a room.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: E,
}

/// A stretch of a room's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage<E = Event> {
    /// Identity of the log.
    pub epoch: Epoch,
    /// First retained offset; `last + 1` when nothing is retained.
    pub first: Offset,
    /// Newest offset.
    pub last: Offset,
    /// Oldest first, none left out.
    pub events: Vec<LoggedEvent<E>>,
    /// The `after` of the next page; absent when there was no more.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub next: Option<Offset>,
}
