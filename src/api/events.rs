//! `POST /v1/rooms/{room}/events`: what only the show's owner can make happen, one event or a batch.

use super::archive::Archive;
use super::pages::Named;
use super::posting::{PostFailure, PostRefused};
use super::{AdminKey, Posts, intake, targets};
use crate::limits::{ANNOUNCING_MAX, POST_ANSWER_MS};
use crate::metrics::PostRefusals;
use crate::protocol::ids::RoomId;
use crate::room::request::{PostError, PostRequest, Posted};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Shared by posts and announcements.
pub(super) struct PostDesk {
    pub(super) posts: Arc<dyn Posts>,
    pub(super) rooms: super::ListRooms,
    pub(super) metrics: PostRefusals,
    /// One place per concurrent announcement.
    pub(super) announcing: Arc<Semaphore>,
    archive: Archive,
    key: Arc<AdminKey>,
}

impl PostDesk {
    pub(super) fn new(state: &super::ApiState) -> Self {
        Self {
            posts: state.posts.clone(),
            rooms: state.rooms.clone(),
            metrics: PostRefusals::new(),
            announcing: Arc::new(Semaphore::new(ANNOUNCING_MAX)),
            // Has places of its own, so that a deletion does not wait for readers of the history.
            archive: Archive::new(state.log.clone()),
            key: state.key.clone(),
        }
    }

    /// Reads a request. The key is checked first: without it, a client learns nothing about the rest.
    pub(super) async fn admit(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        body: Body,
    ) -> Result<PostRequest, PostRefused> {
        self.key.check(headers).inspect_err(|_| self.metrics.key.increment(1))?;
        intake::request(headers, query, body).await.inspect_err(|_| self.metrics.bad.increment(1))
    }
}

/// Takes one event or a batch, all or none, and answers where they are.
pub(super) async fn post(
    Extract(desk): Extract<Arc<PostDesk>>,
    named: Named,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PostRefused> {
    let mut request = desk.admit(&headers, query.as_deref(), body).await?;
    let Path(name) = named.map_err(|_| PostRefused::BadRoom)?;
    let room = RoomId::new(&name)?;
    let patience = Duration::from_millis(POST_ANSWER_MS);
    // Nothing has happened yet: a log that does not answer is unavailable, not unknown.
    let looking = timeout(patience, targets::look(&desk.archive, &room, &request.events));
    request.targets = looking.await.unwrap_or(Err(PostFailure::Room(PostError::Unavailable)))?;
    let posting = desk.posts.post(&room, request);
    let posted = timeout(patience, posting).await.unwrap_or(Err(PostFailure::Unknown))?;
    Ok(answer(&posted))
}

fn answer(posted: &Posted) -> Response {
    let events: Vec<Value> = posted.offsets.iter().map(|offset| json!({ "offset": offset })).collect();
    let body = json!({ "epoch": posted.epoch, "events": events });
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
