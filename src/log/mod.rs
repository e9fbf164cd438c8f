//! The log: a room's ordered, append-only record of events, and the single source of truth.
//!
//! Does not know: rooms' rules, frames, sockets, configuration files.

pub mod digest;
pub mod disk;
pub mod memory;
pub mod outbox;
#[cfg(test)]
pub mod suite;

use crate::protocol::event::{Comment, Event, Style};
use crate::protocol::ids::{Digest, Epoch, Offset, RoomId};
use crate::protocol::kind::Left;
use crate::protocol::kind::{Delete, Kind};
use bytes::Bytes;
use std::sync::Arc;

/// One event and its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub offset: Offset,
    /// When its batch was appended, in the room's log time: milliseconds since the Unix epoch, by a clock that follows
    /// the monotonic one. All records of a batch have the same time, and each batch of a room a later one, so it names
    /// the tick.
    pub at_ms: u64,
    /// Checksum over the room's log up to and including this record ([`digest::extend`]), taken when it was appended.
    /// The digest of a deleted comment cannot be computed from the remaining record.
    pub digest: Digest,
    pub event: Event,
}

/// What the log keeps of a deleted comment: its user, its id, by which a retry is recognised, and what is `left` of it.
pub fn deleted(comment: &Comment, left: Left) -> Comment {
    let Comment { user, id, first, posted, .. } = comment.clone();
    let left = (left != Left::default()).then(|| Box::new(left));
    let (text, style) = ("".into(), Style::default());
    Comment { user, id, text, style, media_ms: None, ext: None, first, deleted: true, posted, left }
}

/// The comments that `event` deletes, each with what is left of it.
pub fn deletes(event: &Event) -> impl Iterator<Item = (Offset, Left)> {
    let delete = match event {
        Event::Post(post) => match &post.kind {
            Kind::Delete(delete) => Some(delete),
            _ => None,
        },
        Event::Comment(_) | Event::Likes { .. } | Event::Votes(_) => None,
    };
    delete.into_iter().flat_map(Delete::takes)
}

/// Identifies one append of one room on this node. The room's actor chooses it.
pub type Ticket = u64;

/// The outcome of an append, for the room's actor: every appended batch of the room, in order, exactly once.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The batch is in the log, and as durable as configured.
    Appended {
        /// The ticket of the append; `None` if another node appended the batch.
        ticket: Option<Ticket>,
        /// The whole batch, in the order of its offsets.
        records: Arc<[Record]>,
    },
    /// A batch of this node is surely not in the log.
    Failed { ticket: Ticket, error: AppendError },
}

/// The receiver of deliveries: the room's actor, through a bounded queue.
pub trait Sink: Send + Sync {
    /// Takes one delivery and wakes the actor.
    ///
    /// # Errors
    /// Gives the delivery back when the queue is full. The log keeps it and offers it again later, in order.
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery>;
}

/// The bounds of a room's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub epoch: Epoch,
    /// First retained offset; `last + 1` when no event is retained.
    pub first: Offset,
    /// Newest offset; 0 when no event was ever appended.
    pub last: Offset,
}

/// The room's own summary of its log up to an offset, stored beside the log. A room that has it can continue without
/// the records that it covers. The log does not interpret `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The offset of the newest record that it covers.
    pub offset: Offset,
    /// Written by the room; at most [`crate::limits::BASE_BYTES_MAX`] bytes.
    pub state: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub head: Head,
    /// The digest before the first retained record.
    pub digest: Digest,
    /// The newest base that [`Log::retain`] received.
    pub base: Option<Base>,
}

/// The most that one read returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub events: usize,
    /// Bytes, as the implementation counts them. A first record that is larger is returned all the same.
    pub bytes: usize,
}

impl Limit {
    /// At most `events` records, without a bound on their bytes.
    pub const fn events(events: usize) -> Self {
        Self { events, bytes: usize::MAX }
    }
}

/// What a room's log keeps. Events beyond any of the three bounds are removed, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age of the oldest event in milliseconds.
    pub age_ms: u64,
    pub events: usize,
    /// Bytes of events, as the implementation counts them.
    pub bytes: usize,
}

/// Why a batch was refused, or why its append failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The limit of [`crate::limits::LOG_DELIVERIES_MAX`] batches of the room, or of the log's queue, is reached. A
    /// later tick may succeed.
    #[error("the log has too many batches in flight; append again at a later tick")]
    Overloaded,
    /// The storage failed; the batch is surely not in the log.
    #[error("the log's storage is unavailable")]
    Unavailable,
    /// The room was never opened, or it is closed.
    #[error("the room's log is not open")]
    Closed,
}

/// Why no records were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Events after the position are no longer retained.
    #[error("the log begins at {first}")]
    TooOld { first: Offset },
    /// The position is ahead of the log.
    #[error("the log ends at {last}")]
    Ahead { last: Offset },
    /// The log has no room of this name.
    #[error("the log has no such room")]
    Unknown,
    #[error("the log's storage is unavailable")]
    Unavailable,
}

/// Why a room's log could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bound on open or on stored rooms is reached.
    #[error("the log's limit of rooms is reached")]
    Full,
    #[error("the room's log is open already")]
    AlreadyOpen,
    #[error("the log's storage is unavailable")]
    Unavailable,
}

/// The contract of every log. One test suite (`suite`) checks every implementation.
///
/// `open`, `read` and `head` may wait for a device: call them from a thread that may block. The others return at once.
pub trait Log: Send + Sync {
    /// Opens a room's log, or creates it; from now on its deliveries go to `sink`. When this returns, the room's epoch
    /// is as durable as an append.
    ///
    /// # Errors
    /// [`OpenError`].
    fn open(&self, room: &RoomId, sink: Arc<dyn Sink>) -> Result<Opened, OpenError>;

    /// Appends a batch: all or nothing. Returns at once; the outcome is a [`Delivery`] with `ticket`, perhaps before
    /// this returns.
    ///
    /// Comments that an event of the batch deletes ([`deletes`]) are read as [`deleted`] from then on, with their first
    /// digests. Earlier deliveries, and that of this batch, still have their texts. A comment that was deleted before
    /// does not change.
    ///
    /// `at_ms` is the batch's time ([`Record::at_ms`]) if it is later than that of the batch before; otherwise the
    /// batch gets the millisecond after that.
    ///
    /// # Errors
    /// [`AppendError`] if the batch is refused: then no delivery follows.
    fn append(&self, room: &RoomId, ticket: Ticket, events: Vec<Event>, at_ms: u64) -> Result<(), AppendError>;

    /// The records after `after`, oldest first, up to `limit`. A stored room need not be open. Returns only records
    /// that were delivered or are about to be.
    ///
    /// # Errors
    /// [`ReadError`]. Never returns a range with a hole.
    fn read(&self, room: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError>;

    /// The current bounds of the room's log; `None` if the log has no such room.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    fn head(&self, room: &RoomId) -> Result<Option<Head>, ReadError>;

    /// Offers the room's sink again the deliveries that it refused.
    fn nudge(&self, room: &RoomId);

    /// Stores `base`, and removes the events that `retention` does not keep, oldest first, in bounded pieces, now or
    /// soon. Events that `base` does not cover are never removed. The records' ages count up to `now_ms`.
    fn retain(&self, room: &RoomId, retention: &Retention, now_ms: u64, base: Base);

    /// Ends the room's deliveries; batches in flight are still stored. A log that does not outlive the process forgets
    /// the room, and a later `open` begins a new epoch.
    fn close(&self, room: &RoomId);
}
