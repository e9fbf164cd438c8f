//! From the HTTP side to the rooms' homes and back: what the show's owner posts, and who waits for the answer.
//!
//! A post holds its room open, and one of [`POSTS_MAX`] places, until it is answered, also when its sender has left: what is on
//! its way to a room must find it there.
//!
//! Does not know: what is posted, or how it is asked for and answered over HTTP.

use super::mail::Mail;
use super::tenant::Node;
use crate::api::{PostFailure, PostFuture, Posts};
use crate::limits::{ANNOUNCE_IN_FLIGHT, POSTS_MAX};
use crate::metrics::PostMetrics;
use crate::protocol::ids::RoomId;
use crate::room::posting::{PostError, PostRequest, Posted};
use crate::room::registry::{Registry, RoomHandle};
use crate::shard::handle::Shards;
use crate::shard::message::Message;
use crate::shutdown::Shutdown;
use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// A room that does not expire while this is there.
struct Held {
    registry: Arc<Registry>,
    room: Arc<RoomHandle>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.registry.release(&self.room);
    }
}

/// Who waits for the answer to a post.
pub struct Asker {
    answer: oneshot::Sender<Result<Posted, PostError>>,
    held: Held,
    metrics: PostMetrics,
    _place: OwnedSemaphorePermit,
}

impl Asker {
    /// The room that it is about.
    pub(super) fn room(&self) -> &Arc<RoomHandle> {
        &self.held.room
    }

    /// Answers.
    pub(super) fn answer(self, result: Result<Posted, PostError>) {
        self.metrics.answered(result.is_ok());
        // Whoever asked may have left.
        let _ = self.answer.send(result);
    }
}

/// A post on its way to its room.
pub struct Letter {
    /// Who waits.
    pub(super) from: Asker,
    /// What is posted.
    pub(super) request: PostRequest,
}

/// Those whose posts the rooms of one shard have, by ticket. Bounded by [`POSTS_MAX`] and [`ANNOUNCE_IN_FLIGHT`].
#[derive(Default)]
pub(super) struct Askers {
    waiting: HashMap<u64, Asker>,
    tickets: u64,
}

impl Askers {
    /// Lets one wait; returns the ticket.
    pub(super) fn admit(&mut self, asker: Asker) -> u64 {
        self.tickets += 1;
        self.waiting.insert(self.tickets, asker);
        self.tickets
    }

    /// Answers the one with this ticket.
    pub(super) fn answer(&mut self, ticket: u64, result: Result<Posted, PostError>) {
        if let Some(asker) = self.waiting.remove(&ticket) {
            asker.answer(result);
        }
    }
}

/// The rooms as the HTTP side posts to them.
pub(super) struct Mailroom {
    registry: Arc<Registry>,
    shards: Shards<Node>,
    shutdown: Shutdown,
    places: Arc<Semaphore>,
    announced: Arc<Semaphore>,
    metrics: PostMetrics,
}

impl Mailroom {
    pub(super) fn new(registry: Arc<Registry>, shards: Shards<Node>, shutdown: Shutdown) -> Self {
        let [places, announced] = [POSTS_MAX, ANNOUNCE_IN_FLIGHT].map(|n| Arc::new(Semaphore::new(n)));
        Self { registry, shards, shutdown, places, announced, metrics: PostMetrics::new() }
    }

    fn send(&self, room: Arc<RoomHandle>, places: &Arc<Semaphore>, request: PostRequest) -> PostFuture {
        let held = Held { registry: self.registry.clone(), room };
        if self.shutdown.has_begun() {
            return self.refuse(PostFailure::Draining);
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            return self.refuse(PostFailure::Full);
        };
        let home = held.room.home;
        let (answer, answered) = oneshot::channel();
        let from = Asker { answer, held, metrics: self.metrics.clone(), _place: place };
        let letter = Letter { from, request };
        // Never waits: this is the HTTP side's thread.
        if self.shards.send(home, Message::Mail(Mail::Post(Box::new(letter)))).is_err() {
            return self.refuse(PostFailure::Behind);
        }
        Box::pin(async move {
            match answered.await {
                Ok(result) => result.map_err(PostFailure::Room),
                // The shard has ended with it.
                Err(_) => Err(PostFailure::Unknown),
            }
        })
    }

    fn refuse(&self, failure: PostFailure) -> PostFuture {
        self.metrics.answered(false);
        Box::pin(ready(Err(failure)))
    }
}

impl Posts for Mailroom {
    fn post(&self, room: &RoomId, request: PostRequest) -> PostFuture {
        match self.registry.claim(room) {
            Ok(room) => self.send(room, &self.places, request),
            Err(_) => self.refuse(PostFailure::RoomsFull),
        }
    }

    fn announce(&self, room: &Arc<RoomHandle>, request: PostRequest) -> Option<PostFuture> {
        self.registry.hold(room).then(|| self.send(room.clone(), &self.announced, request))
    }
}
