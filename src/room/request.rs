//! A request of the show's owner to a room, its answer, and the knowledge that a room needs to judge it.
//!
//! Does not know: how a request waits for the log.

use crate::protocol::event::Event;
use crate::protocol::ids::{ClientId, Epoch, Offset};
use crate::protocol::kind::Kind;
use crate::room::core::Core;
use crate::room::core::window::{IdKey, Mark, Seen};

/// Events of the show's owner, to be stored all or none. Each is a post, or a comment of a user with a role, and was
/// validated before.
#[derive(Clone, Debug, PartialEq)]
pub struct PostRequest {
    /// In the order of storage; at least one.
    pub events: Vec<Event>,
    /// The wall clock in milliseconds when the request came; 0 if unknown.
    pub now_ms: u64,
    /// The log for which the request is meant, if the request says so.
    pub epoch: Option<Epoch>,
    /// The idempotency key that the first event of this request would have in the other shape of a request (one event,
    /// or a batch). It must not be in use, since one key is one request.
    pub other_shape: Option<ClientId>,
    /// The comments that the request deletes, as far as the log has them; `None` if it deletes none.
    pub targets: Option<Targets>,
}

impl PostRequest {
    /// A request with `events` and no key.
    pub fn of(events: Vec<Event>) -> Self {
        Self { events, now_ms: 0, epoch: None, other_shape: None, targets: None }
    }
}

/// The longest time until the end of an announcement, in milliseconds: 366 days. A later end is a mistake in the
/// request.
const UNTIL_MS_MAX: u64 = 366 * 86_400_000;

/// Whether the end of an announcement is in the future and not too far away. `now_ms` is the time of the request; 0 if
/// unknown.
pub fn is_in_time(event: &Event, now_ms: u64) -> bool {
    let Event::Post(post) = event else { return true };
    let Kind::Announcement(announcement) = &post.kind else { return true };
    now_ms == 0 || announcement.until.is_none_or(|until| until > now_ms && until - now_ms <= UNTIL_MS_MAX)
}

/// The deletions of a request without a comment in the log. The caller looked them up, because a room must not wait for
/// a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// The log that was read; `None` if there was none.
    pub epoch: Option<Epoch>,
    /// Indices of the deletions in the request, from 0, rising.
    pub missing: Vec<usize>,
}

/// The places of stored events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The incarnation of the log.
    pub epoch: Epoch,
    /// The offset of each event. For a retry these are the offsets of the first copies.
    pub offsets: Vec<Offset>,
}

/// Why no event of a request was stored. An event of a retry may be in the log from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The room's tick or the log's queue is full.
    #[error("the room is overloaded")]
    Overloaded {
        /// The time in milliseconds after which a retry may succeed.
        retry_ms: u64,
    },
    /// The log cannot store events now.
    #[error("the log's storage is unavailable")]
    Unavailable,
    /// The key of event number `index` was used for a different event.
    #[error("event {index}: its key was used for a different event; use a new key")]
    Conflict { index: usize },
    /// The key of event number `index` is too old for the room to know: the log may have the event already.
    #[error("event {index}: its key is too old for the room to know; check whether the event is in the room")]
    Stale { index: usize },
    /// The end of announcement number `index` is in the past or too far in the future.
    #[error("event {index}: announcement.until must lie between now ({now_ms}) and a year from now")]
    BadTime {
        index: usize,
        /// The wall clock in milliseconds when the request came.
        now_ms: u64,
    },
    /// Event number `index` deletes a comment that is not there.
    #[error("event {index}: the log has no comment at this offset, or it is deleted already")]
    NotFound { index: usize },
    /// Event number `index` opens a poll that is open already; its votes would be lost.
    #[error("event {index}: a poll of this id is open; close it, and use a new id for the next poll")]
    PollOpen { index: usize },
    /// Event number `index` opens a poll with the id of an earlier one; a late vote for that one would count in it.
    #[error("event {index}: an earlier poll of this room had this id; use a new id for each poll")]
    PollUsed { index: usize },
    /// The room's log is not the one for which the request is meant.
    #[error("epoch: this log is {epoch}; read the room again before you repeat the request")]
    EpochChanged {
        /// The incarnation of the log.
        epoch: Epoch,
    },
    /// Event number `index` closes a poll that is not open.
    #[error("event {index}: no poll of this id is open")]
    NoPoll { index: usize },
}

/// The knowledge of a room that judging a request needs.
pub(super) trait RoomKnowledge {
    /// The incarnation of the log.
    fn epoch(&self) -> Epoch;
    /// Looks up an id or key.
    fn seen(&self, mark: &Mark) -> Seen;
    /// Whether an id or key is known.
    fn knows(&self, key: IdKey) -> bool;
    /// Whether a comment at this offset can be deleted, as far as the room knows.
    fn may_delete(&self, offset: Offset) -> bool;
    /// The id of the open poll.
    fn open_poll(&self) -> Option<&ClientId>;
    /// Whether an earlier poll had this id.
    fn had_poll(&self, id: &ClientId) -> bool;
}

impl RoomKnowledge for Core {
    fn epoch(&self) -> Epoch {
        Self::epoch(self)
    }

    fn seen(&self, mark: &Mark) -> Seen {
        Self::seen(self, mark)
    }

    fn knows(&self, key: IdKey) -> bool {
        Self::knows(self, key)
    }

    fn may_delete(&self, offset: Offset) -> bool {
        (1..=self.last()).contains(&offset) && !self.is_no_comment(offset)
    }

    fn open_poll(&self) -> Option<&ClientId> {
        self.board().open_poll_id()
    }

    fn had_poll(&self, id: &ClientId) -> bool {
        self.board().had_poll(id)
    }
}
