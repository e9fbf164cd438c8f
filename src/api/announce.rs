//! `POST /v1/announce`: one announcement into every open room.
//!
//! Rooms that cannot take it at once are asked again for [`ANNOUNCE_ANSWER_MS`], and rooms that open meanwhile get it too.
//! The number of rooms that are asked at one time is bounded, so that comments keep their places in the log's queue.
//!
//! Does not know: how an event gets to a room.

use super::events::PostDesk;
use super::posting::{PostFailure, PostRefused, Posts};
use crate::limits::{ANNOUNCE_ANSWER_MS, ANNOUNCE_IN_FLIGHT, ANNOUNCE_NAMED_MAX, POST_ANSWER_MS};
use crate::metrics::PostRefusals;
use crate::policy::posts::{Fault, FaultKind};
use crate::protocol::event::Event;
use crate::protocol::ids::{ClientId, Hex64};
use crate::protocol::kind::{Kind, PostKey};
use crate::protocol::local::RoomKey;
use crate::room::registry::RoomHandle;
use crate::room::request::{PostError, PostRequest, is_in_time};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State as Extract};
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The result over all rooms.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Reach {
    rooms: usize,
    /// Rooms that do not have it, or may not have it.
    failed: usize,
    /// The number of failed rooms by error code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failures: BTreeMap<&'static str, usize>,
    /// Which, at most [`ANNOUNCE_NAMED_MAX`] of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_rooms: Vec<String>,
    /// Whether a repetition may reach them.
    #[serde(skip)]
    may_succeed: bool,
}

impl Reach {
    fn failed(&mut self, room: &RoomHandle, failure: PostFailure) {
        self.failed += 1;
        *self.failures.entry(failure.code()).or_default() += 1;
        self.may_succeed |= failure.is_the_servers();
        if self.failed_rooms.len() < ANNOUNCE_NAMED_MAX {
            self.failed_rooms.push(room.id.to_string());
        }
    }

    /// An answer that is 200 only when all rooms have it. Repeating the request with `key` reaches the other rooms.
    fn answer(&self, key: &ClientId) -> Response {
        let headers = [(CACHE_CONTROL, "no-store")];
        if self.failed == 0 {
            return (headers, Json(self)).into_response();
        }
        let (status, message) = if self.may_succeed {
            let message = "some rooms do not have it; repeat it with this Idempotency-Key to reach only those";
            (StatusCode::SERVICE_UNAVAILABLE, message)
        } else {
            (StatusCode::CONFLICT, "some rooms do not have it: see failures")
        };
        let mut body = json!(self);
        body["error"] = json!({ "code": "not_everywhere", "message": message });
        body["idempotency_key"] = Value::from(key.as_str());
        let mut response = (status, headers, Json(body)).into_response();
        if self.may_succeed {
            response.headers_mut().insert(RETRY_AFTER, 5.into());
        }
        response
    }
}

/// Takes one announcement. It goes on when its sender leaves; a repetition with the same key is harmless.
pub(super) async fn post(
    Extract(desk): Extract<Arc<PostDesk>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, PostRefused> {
    let mut request = desk.admit(&headers, query.as_deref(), body).await?;
    let key = check(&mut request).inspect_err(|_| desk.metrics.bad.increment(1))?;
    let Ok(place) = desk.announcing.clone().try_acquire_owned() else {
        desk.metrics.busy.increment(1);
        return Err(PostRefused::AnnouncementsRunning);
    };
    let patience = Duration::from_millis(ANNOUNCE_ANSWER_MS);
    let telling = tokio::spawn(async move {
        let tally = tell_all(&*desk.posts, &*desk.rooms, &desk.metrics, &request, patience).await;
        drop(place);
        tally
    });
    let tally = telling.await.map_err(|_| PostFailure::Unknown)?;
    Ok(tally.answer(&key))
}

/// Whether the request is an announcement that every room can take. Returns its key: one without gets one, so that a room that
/// did not answer can be asked again.
fn check(request: &mut PostRequest) -> Result<ClientId, PostRefused> {
    if request.epoch.is_some() {
        let message = "epoch: each room has its own; an announcement goes to whatever log a room has";
        return Err(PostRefused::BadQuery(message.into()));
    }
    let now_ms = request.now_ms;
    let [event] = &mut *request.events else { return Err(not_one()) };
    if !is_in_time(event, now_ms) {
        return Err(PostFailure::Room(PostError::BadTime { index: 0, now_ms }).into());
    }
    let Event::Post(post) = event else { return Err(not_one()) };
    if !matches!(post.kind, Kind::Announcement(_)) {
        return Err(not_one());
    }
    let key = post.key.get_or_insert_with(|| {
        let id = format!("announce-{}", Hex64(rand::random()));
        PostKey { id: ClientId::new(&id).expect("short and printable"), sum: Hex64(0) }
    });
    Ok(key.id.clone())
}

fn not_one() -> PostRefused {
    let message = "announcement must be the one event here; other kinds go to a room".into();
    Fault { kind: FaultKind::BadPayload, message }.into()
}

/// A room, and what its last attempt came to.
type Attempt = (Arc<RoomHandle>, Result<(), PostFailure>);

/// To every room that is open, or opens while it is under way, within `patience`.
async fn tell_all(
    posts: &dyn Posts,
    rooms: &(dyn Fn() -> Vec<Arc<RoomHandle>> + Send + Sync),
    metrics: &PostRefusals,
    request: &PostRequest,
    patience: Duration,
) -> Reach {
    let mut tally = Reach::default();
    let mut known: HashSet<RoomKey> = HashSet::new();
    let mut next: VecDeque<Arc<RoomHandle>> = VecDeque::new();
    let (mut under_way, mut pauses): (JoinSet<Attempt>, JoinSet<Attempt>) = (JoinSet::new(), JoinSet::new());
    // Every room in one of them; for those that are under way or pause when the time is over.
    let mut open: Open = Open::new();
    let mut over = pin!(sleep(patience));
    loop {
        while under_way.len() < ANNOUNCE_IN_FLIGHT
            && let Some(room) = next.pop_front()
        {
            // A room that has ended meanwhile is no open room.
            if let Some(posting) = posts.announce(&room, request.clone()) {
                open.insert(room.key, (room.clone(), PostFailure::Unknown));
                under_way.spawn(async move {
                    let patience = Duration::from_millis(POST_ANSWER_MS);
                    let result = timeout(patience, posting).await.unwrap_or(Err(PostFailure::Unknown));
                    (room, result.map(drop))
                });
            }
        }
        if under_way.is_empty() && pauses.is_empty() {
            next.extend(rooms().into_iter().filter(|room| known.insert(room.key)));
            if next.is_empty() {
                return tally;
            }
            continue;
        }
        tokio::select! {
            Some(ended) = under_way.join_next() => {
                let Ok((room, result)) = ended else { continue };
                open.remove(&room.key);
                match result {
                    Ok(()) => tally.rooms += 1,
                    Err(failure) if failure.may_pass() => {
                        metrics.announced_again.increment(1);
                        open.insert(room.key, (room.clone(), failure));
                        pauses.spawn(async move {
                            sleep(failure.pause()).await;
                            (room, Err(failure))
                        });
                    }
                    Err(failure) => tally.failed(&room, failure),
                }
            }
            Some(paused) = pauses.join_next() => {
                let Ok((room, _)) = paused else { continue };
                open.remove(&room.key);
                next.push_back(room);
            }
            () = &mut over => break,
        }
    }
    // Tasks that are still there end with their sets; the events of those under way are on their way all the same.
    open.values().for_each(|(room, failure)| tally.failed(room, *failure));
    next.iter().for_each(|room| tally.failed(room, PostFailure::Full)); // These were not asked in time.
    tally
}

/// Rooms without a final answer, each with the failure to report if none comes.
type Open = BTreeMap<RoomKey, (Arc<RoomHandle>, PostFailure)>;

#[cfg(test)]
mod tests;
