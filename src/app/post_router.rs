//! The HTTP side's way to the rooms: what the owner of a show posts, and the answer.
//!
//! Does not know: what is posted, or how it is asked for and answered over HTTP.

use super::mail::Mail;
use super::post_mail::{Held, PostMail, PostSender};
use super::tenant::RoomTenant;
use crate::api::{PostFailure, PostFuture, Posts};
use crate::limits::{ANNOUNCE_IN_FLIGHT, POSTS_MAX};
use crate::metrics::PostMetrics;
use crate::protocol::ids::RoomId;
use crate::room::registry::{Registry, RoomHandle};
use crate::room::request::PostRequest;
use crate::shard::handle::Shards;
use crate::shard::message::Message;
use crate::shutdown::Shutdown;
use std::future::ready;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The rooms as the HTTP side posts to them. Cheap to clone.
#[derive(Clone)]
pub(super) struct PostRouter {
    registry: Arc<Registry>,
    shards: Shards<RoomTenant>,
    shutdown: Shutdown,
    places: Arc<Semaphore>,
    announced: Arc<Semaphore>,
    metrics: PostMetrics,
}

impl PostRouter {
    pub(super) fn new(registry: Arc<Registry>, shards: Shards<RoomTenant>, shutdown: Shutdown) -> Self {
        let [places, announced] = [POSTS_MAX, ANNOUNCE_IN_FLIGHT].map(|n| Arc::new(Semaphore::new(n)));
        Self { registry, shards, shutdown, places, announced, metrics: PostMetrics::new() }
    }

    fn held(&self, room: Arc<RoomHandle>) -> Held {
        Held::new(self.registry.clone(), room)
    }

    fn send(&self, held: Held, place: OwnedSemaphorePermit, request: PostRequest) -> PostFuture {
        if self.shutdown.has_begun() {
            return self.refuse(PostFailure::Draining);
        }
        let home = held.room().home;
        let (answer, answered) = oneshot::channel();
        let from = PostSender::new(answer, held, self.metrics.clone(), place);
        let post = PostMail { from, request };
        // Never waits: this is the HTTP side's thread.
        if self.shards.send(home, Message::Mail(Mail::Post(Box::new(post)))).is_err() {
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

impl Posts for PostRouter {
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
        let router = self.clone();
        Some(Box::pin(async move {
            // A place is free a moment after the answer that it was for; the announcement waits for it.
            match router.announced.clone().acquire_owned().await {
                Ok(place) => router.send(held, place, request).await,
                Err(_) => router.refuse(PostFailure::Draining).await,
            }
        }))
    }
}
