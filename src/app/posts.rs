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
    place: OwnedSemaphorePermit,
}

impl Asker {
    /// The room that it is about.
    pub(super) fn room(&self) -> &Arc<RoomHandle> {
        &self.held.room
    }

    /// Answers.
    pub(super) fn answer(self, result: Result<Posted, PostError>) {
        let Self { answer, held, metrics, place } = self;
        metrics.answered(result.is_ok());
        // First, so that the next request finds the place free.
        drop((held, place));
        // Whoever asked may have left.
        let _ = answer.send(result);
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

/// The rooms as the HTTP side posts to them. Cheap to clone.
#[derive(Clone)]
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

    fn held(&self, room: Arc<RoomHandle>) -> Held {
        Held { registry: self.registry.clone(), room }
    }

    fn send(&self, held: Held, place: OwnedSemaphorePermit, request: PostRequest) -> PostFuture {
        if self.shutdown.has_begun() {
            return self.refuse(PostFailure::Draining);
        }
        let home = held.room.home;
        let (answer, answered) = oneshot::channel();
        let from = Asker { answer, held, metrics: self.metrics.clone(), place };
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
        let Ok(room) = self.registry.claim(room) else { return self.refuse(PostFailure::RoomsFull) };
        let held = self.held(room);
        match self.places.clone().try_acquire_owned() {
            Ok(place) => self.send(held, place, request),
            Err(_) => self.refuse(PostFailure::Full),
        }
    }

    fn announce(&self, room: &Arc<RoomHandle>, request: PostRequest) -> Option<PostFuture> {
        let held = self.registry.hold(room).then(|| self.held(room.clone()))?;
        let mailroom = self.clone();
        Some(Box::pin(async move {
            // A place is free again a moment after the answer that it was for: who waits gets it.
            match mailroom.announced.clone().acquire_owned().await {
                Ok(place) => mailroom.send(held, place, request).await,
                Err(_) => mailroom.refuse(PostFailure::Draining).await,
            }
        }))
    }
}
