//! `POST /v1/announce`: one announcement into every open room.

use super::events::Desk;
use super::posting::{PostFailure, PostRefused};
use crate::limits::{ANNOUNCE_ANSWER_MS, ANNOUNCE_IN_FLIGHT, POST_ANSWER_MS};
use crate::policy::posts::{Fault, FaultKind};
use crate::protocol::event::Event;
use crate::protocol::kind::Kind;
use crate::room::posting::PostRequest;
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State as Extract};
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How it went, over all rooms.
#[derive(Debug, Default, Serialize)]
struct Tally {
    /// Rooms that have it.
    rooms: usize,
    /// Rooms that do not, or of which nobody knows.
    failed: usize,
    /// Why, and how many each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failures: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn count(&mut self, result: Result<(), PostFailure>) {
        match result {
            Ok(()) => self.rooms += 1,
            Err(failure) => {
                self.failed += 1;
                *self.failures.entry(failure.code()).or_default() += 1;
            }
        }
    }
}

/// Takes one announcement. It goes on when its sender leaves or loses patience; a repetition with the same key is harmless.
pub(super) async fn post(
    Extract(desk): Extract<Arc<Desk>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PostRefused> {
    let request = desk.admit(&headers, query.as_deref(), body).await?;
    if request.epoch.is_some() {
        desk.metrics.bad.increment(1);
        let message = "epoch: each room has its own; an announcement goes to whatever log a room has";
        return Err(PostRefused::BadQuery(message.into()));
    }
    if !matches!(&*request.events, [Event::Post(post)] if matches!(post.kind, Kind::Announcement(_))) {
        desk.metrics.bad.increment(1);
        let message = "announcement must be the one event here; other kinds go to a room".into();
        return Err(Fault { kind: FaultKind::BadPayload, message }.into());
    }
    let Ok(place) = desk.announcing.clone().try_acquire_owned() else {
        desk.metrics.busy.increment(1);
        return Err(PostRefused::AnnouncementRunning);
    };
    let telling = tokio::spawn(async move {
        let tally = tell_all(&desk, &request).await;
        drop(place);
        tally
    });
    match timeout(Duration::from_millis(ANNOUNCE_ANSWER_MS), telling).await {
        Ok(Ok(tally)) => Ok(([(CACHE_CONTROL, "no-store")], Json(tally)).into_response()),
        Ok(Err(_)) | Err(_) => Err(PostFailure::Unknown.into()),
    }
}

/// To every room that is open now, so many at a time.
async fn tell_all(desk: &Desk, request: &PostRequest) -> Tally {
    let mut tally = Tally::default();
    let mut under_way = JoinSet::new();
    for room in (desk.rooms)() {
        if under_way.len() == ANNOUNCE_IN_FLIGHT
            && let Some(result) = under_way.join_next().await
        {
            tally.count(result.unwrap_or(Err(PostFailure::Unknown)));
        }
        // One that has ended meanwhile is no open room.
        if let Some(posting) = desk.posts.announce(&room, request.clone()) {
            under_way.spawn(async move {
                let patience = Duration::from_millis(POST_ANSWER_MS);
                timeout(patience, posting).await.unwrap_or(Err(PostFailure::Unknown)).map(drop)
            });
        }
    }
    while let Some(result) = under_way.join_next().await {
        tally.count(result.unwrap_or(Err(PostFailure::Unknown)));
    }
    tally
}
