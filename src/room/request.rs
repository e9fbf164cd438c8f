//! What the show's owner asks of a room, what is answered, and what the room has to know for it.
//!
//! Does not know: how a request waits for the log.

use crate::protocol::event::Event;
use crate::protocol::ids::{ClientId, Epoch, Offset};
use crate::protocol::kind::Kind;
use crate::room::core::Core;
use crate::room::core::window::{IdKey, Mark, Seen};

/// Events of the show's owner, to be stored all or none. Each is a post or a comment of somebody with a role, valid as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PostRequest {
    /// In the order in which they shall stand; at least one.
    pub events: Vec<Event>,
    /// The wall clock in milliseconds when the request came; 0 says nothing.
    pub now_ms: u64,
    /// The log that is meant, if the request says so.
    pub epoch: Option<Epoch>,
    /// The idempotency key under which the first event of a request of the other shape (one event, or a batch) would be
    /// stored: it must not be in use, since one key is one request.
    pub other_shape: Option<ClientId>,
    /// What is known of the comments that the request deletes; `None` when it deletes none.
    pub targets: Option<Targets>,
}

impl PostRequest {
    /// These events, without a key.
    pub fn of(events: Vec<Event>) -> Self {
        Self { events, now_ms: 0, epoch: None, other_shape: None, targets: None }
    }
}

/// How far away the end of an announcement may be, in milliseconds: a year and a day. What lies further was computed wrong.
const UNTIL_MS_MAX: u64 = 366 * 86_400_000;

/// Whether `event`, asked for at `now_ms` (0: nobody said when), is to stand until a moment that can be meant.
pub fn is_in_time(event: &Event, now_ms: u64) -> bool {
    let Event::Post(post) = event else { return true };
    let Kind::Announcement(announcement) = &post.kind else { return true };
    now_ms == 0 || announcement.until.is_none_or(|until| until > now_ms && until - now_ms <= UNTIL_MS_MAX)
}

/// Which deletions of a request have no comment to delete, as the log says. Whoever looked may wait for a device; the room
/// may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// The log that was looked at; `None` when there was none.
    pub epoch: Option<Epoch>,
    /// Events of the request, from 0, rising.
    pub missing: Vec<usize>,
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
    /// Event number `index` is for newcomers until a moment that is over, or so far away that it cannot be meant.
    #[error("event {index}: announcement.until must lie between now ({now_ms}) and a year from now")]
    BadTime {
        /// Which event, from 0.
        index: usize,
        /// The wall clock in milliseconds when the request came.
        now_ms: u64,
    },
    /// Event number `index` is about a comment that is not there.
    #[error("event {index}: the log has no comment at this offset, or it is deleted already")]
    NotFound {
        /// Which event, from 0.
        index: usize,
    },
    /// Event number `index` opens a poll that is open: its votes would be lost.
    #[error("event {index}: a poll of this id is open; close it, and give the next poll an id of its own")]
    PollOpen {
        /// Which event, from 0.
        index: usize,
    },
    /// Event number `index` opens a poll with the id of an earlier one: a late vote for that one would count in it.
    #[error("event {index}: an earlier poll of this room had this id; give each poll an id of its own")]
    PollUsed {
        /// Which event, from 0.
        index: usize,
    },
    /// The log is not the one that the request means.
    #[error("epoch: this log is {epoch}; look at the room again before you repeat the request")]
    EpochChanged {
        /// The log's incarnation.
        epoch: Epoch,
    },
    /// Event number `index` closes a poll that is not open.
    #[error("event {index}: no poll of this id is open")]
    NoPoll {
        /// Which event, from 0.
        index: usize,
    },
}

/// What a request needs to know of the room's log.
pub(super) trait RoomKnowledge {
    /// The log's incarnation.
    fn epoch(&self) -> Epoch;
    /// What is known of an id or key.
    fn seen(&self, mark: &Mark) -> Seen;
    /// Whether something with this id or key is known.
    fn knows(&self, key: IdKey) -> bool;
    /// Whether a comment at this offset can be deleted, as far as the room can tell.
    fn may_delete(&self, offset: Offset) -> bool;
    /// The poll that takes votes.
    fn open_poll(&self) -> Option<&ClientId>;
    /// Whether a poll of this id was opened before.
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
