//! A post on its way to its room, and the request that waits for the answer.
//!
//! A post keeps its room open, and one of [`POSTS_MAX`](crate::limits::POSTS_MAX) places taken, until it is answered, even when the request was
//! abandoned: the room must exist when the post arrives.
//!
//! Does not know: how a post gets to its room's shard.

use crate::metrics::PostMetrics;
use crate::room::registry::{Registry, RoomHandle};
use crate::room::request::{PostError, PostRequest, Posted};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A claim on a room: the room does not expire while this exists.
pub(super) struct Held {
    registry: Arc<Registry>,
    room: Arc<RoomHandle>,
}

impl Held {
    /// Takes over a claim that the registry has counted.
    pub(super) fn new(registry: Arc<Registry>, room: Arc<RoomHandle>) -> Self {
        Self { registry, room }
    }

    pub(super) fn room(&self) -> &Arc<RoomHandle> {
        &self.room
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.registry.release(&self.room);
    }
}

/// The HTTP request that waits for the answer to a post.
pub struct PostSender {
    answer: oneshot::Sender<Result<Posted, PostError>>,
    held: Held,
    metrics: PostMetrics,
    place: OwnedSemaphorePermit,
}

impl PostSender {
    pub(super) fn new(
        answer: oneshot::Sender<Result<Posted, PostError>>,
        held: Held,
        metrics: PostMetrics,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { answer, held, metrics, place }
    }

    /// The room that the post is for.
    pub(super) fn room(&self) -> &Arc<RoomHandle> {
        self.held.room()
    }

    /// Answers the request and gives its place and its claim back.
    pub(super) fn answer(self, result: Result<Posted, PostError>) {
        let Self { answer, held, metrics, place } = self;
        metrics.answered(result.is_ok());
        // First, so that the next request finds the place free.
        drop((held, place));
        // The request may have been abandoned.
        let _ = answer.send(result);
    }
}

/// A post on its way to its room.
pub struct PostMail {
    pub(super) from: PostSender,
    pub(super) request: PostRequest,
}

/// The posts that rooms of one shard have taken and not answered yet, by ticket. Bounded by
/// [`POSTS_MAX`](crate::limits::POSTS_MAX) and [`ANNOUNCE_IN_FLIGHT`](crate::limits::ANNOUNCE_IN_FLIGHT).
#[derive(Default)]
pub(super) struct PendingPosts {
    waiting: HashMap<u64, PostSender>,
    tickets: u64,
}

impl PendingPosts {
    /// Keeps the sender until its ticket, which is returned, is answered.
    pub(super) fn admit(&mut self, sender: PostSender) -> u64 {
        self.tickets += 1;
        self.waiting.insert(self.tickets, sender);
        self.tickets
    }

    /// Answers the post with this ticket.
    pub(super) fn answer(&mut self, ticket: u64, result: Result<Posted, PostError>) {
        if let Some(sender) = self.waiting.remove(&ticket) {
            sender.answer(result);
        }
    }
}
