//! `POST /v1/rooms/{room}/events`: what only the show's owner can make happen, one event or a batch.

use super::intake;
use super::pages::Named;
use super::posting::{PostFailure, PostRefused};
use super::{Key, Posts};
use crate::limits::POST_ANSWER_MS;
use crate::metrics::PostRefusals;
use crate::protocol::event::Event;
use crate::protocol::ids::RoomId;
use crate::room::posting::Posted;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State as Extract};
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// What posts and announcements share.
pub(super) struct Desk {
    pub(super) posts: Arc<dyn Posts>,
    pub(super) rooms: super::ListRooms,
    pub(super) metrics: PostRefusals,
    /// One place: who announces.
    pub(super) announcing: Arc<Semaphore>,
    key: Arc<Key>,
}

impl Desk {
    pub(super) fn new(posts: Arc<dyn Posts>, rooms: super::ListRooms, key: Arc<Key>) -> Self {
        Self { posts, rooms, key, metrics: PostRefusals::new(), announcing: Arc::new(Semaphore::new(1)) }
    }

    /// Reads a request's events, if it may bring any. The key comes first: without it, nobody learns what would be right.
    pub(super) async fn admit(&self, headers: &HeaderMap, body: Body) -> Result<Vec<Event>, PostRefused> {
        self.key.check(headers).inspect_err(|_| self.metrics.key.increment(1))?;
        intake::events(headers, body).await.inspect_err(|_| self.metrics.bad.increment(1))
    }
}

/// Takes one event or a batch, all or none, and answers where they are.
pub(super) async fn post(
    Extract(desk): Extract<Arc<Desk>>,
    named: Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PostRefused> {
    let events = desk.admit(&headers, body).await?;
    let Path(name) = named.map_err(|_| PostRefused::BadRoom)?;
    let posting = desk.posts.post(&RoomId::new(&name)?, events);
    let patience = Duration::from_millis(POST_ANSWER_MS);
    let posted = timeout(patience, posting).await.unwrap_or(Err(PostFailure::Unknown))?;
    Ok(answer(&posted))
}

fn answer(posted: &Posted) -> Response {
    let events: Vec<Value> = posted.offsets.iter().map(|offset| json!({ "offset": offset })).collect();
    let body = json!({ "epoch": posted.epoch, "events": events });
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
