//! The log: a room's ordered, append-only record of events, and the single source of truth.
//!
//! Does not know: rooms' rules, frames, sockets, configuration files.

pub mod digest;
pub mod disk;
pub mod memory;
pub mod outbox;
#[cfg(test)]
pub mod suite;

use crate::protocol::event::{Comment, Event, Left, Style};
use crate::protocol::ids::{Digest, Epoch, Offset, RoomId};
use crate::protocol::kind::{Delete, Kind};
use bytes::Bytes;
use std::sync::Arc;

/// One event in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its position.
    pub offset: Offset,
    /// When its batch was appended, as the room says: milliseconds since the Unix epoch, in a time that follows the monotonic
    /// clock. All records of a batch have the same, and it rises from batch to batch of a room: it names the tick.
    pub at_ms: u64,
    /// Checksum over the room's log up to and with this record ([`digest::extend`]), as it was when it was appended:
    /// of a comment that was deleted since, it does not follow from what is left of it.
    pub digest: Digest,
    /// What happened.
    pub event: Event,
}

/// What stays of a comment that was deleted: whose it was, its id, so that a retry of it is known, and what is `left` of it.
pub fn deleted(comment: &Comment, left: Left) -> Comment {
    let Comment { user, id, first, posted, .. } = comment.clone();
    let left = (left != Left::default()).then(|| Box::new(left));
    let (text, style) = ("".into(), Style::default());
    Comment { user, id, text, style, media_ms: None, ext: None, first, deleted: true, posted, left }
}

/// The comments that `event` deletes, with what stays of each.
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

/// Names one append of one room on this node; chosen by the room's actor.
pub type Ticket = u64;

/// What the log tells a room's actor: every appended batch of the room, in order, exactly once.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A batch is in the log, durable as configured.
    Appended {
        /// The append that it answers; `None` when another node appended it.
        ticket: Option<Ticket>,
        /// The batch, with its offsets, in order.
        records: Arc<[Record]>,
    },
    /// A batch of ours is surely not in the log.
    Failed {
        /// The append that it answers.
        ticket: Ticket,
        /// Why.
        error: AppendError,
    },
}

/// Where deliveries go: the room's actor, by way of a bounded queue.
pub trait Sink: Send + Sync {
    /// Takes one delivery and wakes the actor.
    ///
    /// # Errors
    /// Gives the delivery back when the queue is full; the log keeps it and tries again in order.
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery>;
}

/// A room's log as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Incarnation.
    pub epoch: Epoch,
    /// First retained offset; `last + 1` when nothing is retained.
    pub first: Offset,
    /// Newest offset; 0 when nothing was ever appended.
    pub last: Offset,
}

/// The room's own summary of its log up to an offset, kept beside the log: with it the records that it covers are
/// no longer needed to continue. The log does not look into `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The newest record that it covers.
    pub offset: Offset,
    /// What the room wrote; at most [`crate::limits::BASE_BYTES_MAX`].
    pub state: Bytes,
}

/// An opened room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The log as it stands.
    pub head: Head,
    /// The digest before the first retained record.
    pub digest: Digest,
    /// The newest base that was given with [`Log::retain`], if there is one.
    pub base: Option<Base>,
}

/// How much one read returns at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Records.
    pub events: usize,
    /// Bytes, as the implementation counts them; exceeded only by a first record that is larger by itself.
    pub bytes: usize,
}

impl Limit {
    /// So many records, whatever their size.
    pub const fn events(events: usize) -> Self {
        Self { events, bytes: usize::MAX }
    }
}

/// What a room's log keeps; whatever exceeds one of them goes, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age in milliseconds.
    pub age_ms: u64,
    /// Events.
    pub events: usize,
    /// Bytes of events, as the implementation counts them.
    pub bytes: usize,
}

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much is in flight; try again next tick.
    #[error("the log has too many batches in flight")]
    Overloaded,
    /// The store failed; the batch is surely not in it.
    #[error("the log's storage is unavailable")]
    Unavailable,
    /// The room is not open.
    #[error("the room's log is not open")]
    Closed,
}

/// Why a range could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Events after the position are gone.
    #[error("the log begins at {first}")]
    TooOld {
        /// First retained offset.
        first: Offset,
    },
    /// The position is ahead of the log.
    #[error("the log ends at {last}")]
    Ahead {
        /// Newest offset.
        last: Offset,
    },
    /// The log does not have that room.
    #[error("the log does not have that room")]
    Unknown,
    /// The store failed.
    #[error("the log's storage is unavailable")]
    Unavailable,
}

/// Why a room's log could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bound on rooms is reached.
    #[error("the log holds as many rooms as it may")]
    Full,
    /// It is open already.
    #[error("the room's log is open already")]
    AlreadyOpen,
    /// The store failed.
    #[error("the log's storage is unavailable")]
    Unavailable,
}

/// The contract of every log. One test suite (`suite`) runs on all implementations.
///
/// `open`, `read` and `head` may wait for a device: call them from a thread that may. The others return at once.
pub trait Log: Send + Sync {
    /// Opens (and if need be creates) a room's log; its deliveries go to `sink` from now on. When this returns, the
    /// room's epoch is as durable as an append.
    ///
    /// # Errors
    /// [`OpenError`].
    fn open(&self, room: &RoomId, sink: Arc<dyn Sink>) -> Result<Opened, OpenError>;

    /// Appends a batch: all or nothing. Comments that one of its events deletes ([`deletes`]) are from then on read as
    /// [`deleted`], with the digests that they had; only what was delivered before, and in this batch, still has its text. One that was deleted
    /// before stays as it is. Returns at once; the outcome is a [`Delivery`] with `ticket`,
    /// perhaps before this returns. `at_ms` is
    /// the batch's time ([`Record::at_ms`]) if it is later than the one before it; else it is the millisecond after that.
    ///
    /// # Errors
    /// [`AppendError`] when the batch was refused: then no delivery follows.
    fn append(&self, room: &RoomId, ticket: Ticket, events: Vec<Event>, at_ms: u64) -> Result<(), AppendError>;

    /// The records after `after`, oldest first, as many as `limit` allows; also of a room that is not open, if the
    /// store has it. Only what was delivered or is about to be.
    ///
    /// # Errors
    /// [`ReadError`]. Never a partial range that looks whole.
    fn read(&self, room: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError>;

    /// The room's log as it stands; `None` when the log does not have it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    fn head(&self, room: &RoomId) -> Result<Option<Head>, ReadError>;

    /// Offers the room's sink the deliveries that it could not take before.
    fn nudge(&self, room: &RoomId);

    /// Keeps `base`, and drops what `retention` does not keep, oldest first, in bounded pieces, now or soon. What
    /// `base` does not cover is never dropped. `now_ms` is the time by which the records' ages count.
    fn retain(&self, room: &RoomId, retention: &Retention, now_ms: u64, base: Base);

    /// The room is idle: no more deliveries; batches whose delivery has not come are still stored. A store that cannot
    /// outlive the process forgets the room, and a later open begins a new epoch.
    fn close(&self, room: &RoomId);
}
