//! The interface of posting to rooms, its failures, and their answers: one table, documented in `docs/api.md`.

use super::key::KeyError;
use crate::explain;
use crate::limits::{ANNOUNCE_PAUSE_MS, ANNOUNCING_MAX, POST_BODY_MS, POST_BYTES_MAX};
use crate::policy::posts::{Fault, FaultKind};
use crate::protocol::ids::{BadRoomId, RoomId};
use crate::room::registry::RoomHandle;
use crate::room::request::{PostError, PostRequest, Posted};
use axum::http::header::{CACHE_CONTROL, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The result of a post. Dropping the future changes nothing: the events are on their way.
pub type PostFuture = Pin<Box<dyn Future<Output = Result<Posted, PostFailure>> + Send>>;

/// Takes events to rooms; never blocks.
pub trait Posts: Send + Sync {
    /// Posts to one room, which is opened if it is not open.
    fn post(&self, room: &RoomId, request: PostRequest) -> PostFuture;

    /// Posts to an open room; `None` when it is no longer open.
    fn announce(&self, room: &Arc<RoomHandle>, request: PostRequest) -> Option<PostFuture>;
}

/// Why events were not posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostFailure {
    /// The limit of open rooms is reached.
    RoomsFull,
    /// The limit of concurrent posts is reached.
    Full,
    /// The inbox of the room's shard is full.
    Behind,
    /// The process stops.
    Draining,
    /// The room refused.
    Room(PostError),
    /// It is not known whether the events are in the log.
    Unknown,
}

/// A post that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PostRefused {
    Key(KeyError),
    /// The path names no room id.
    BadRoom,
    /// `Idempotency-Key` is not one.
    BadKey(&'static str),
    /// A query parameter is wrong or unknown; the message begins with its name.
    BadQuery(String),
    /// The body is not said to be plain JSON; why.
    NotJson(&'static str),
    /// More than [`POST_BYTES_MAX`].
    TooLarge,
    /// The body did not come in time, or not whole.
    TooSlow,
    /// The body says something that it may not.
    Fault(Fault),
    /// [`ANNOUNCING_MAX`] announcements are under way.
    AnnouncementsRunning,
    /// The room did not take it.
    Failed(PostFailure),
}

impl From<KeyError> for PostRefused {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<BadRoomId> for PostRefused {
    fn from(_: BadRoomId) -> Self {
        Self::BadRoom
    }
}

impl From<PostFailure> for PostRefused {
    fn from(failure: PostFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Fault> for PostRefused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

type Parts = (StatusCode, &'static str, String);

impl PostRefused {
    fn parts(&self) -> Parts {
        let (status, code, message) = match self {
            Self::Key(error @ KeyError::Page) => (StatusCode::FORBIDDEN, "forbidden_origin", error.to_string()),
            Self::Key(error) => (StatusCode::UNAUTHORIZED, "unauthorized", error.to_string()),
            Self::BadRoom => (StatusCode::BAD_REQUEST, "bad_room", BadRoomId.to_string()),
            Self::BadKey(message) => (StatusCode::BAD_REQUEST, "bad_key", (*message).into()),
            Self::BadQuery(message) => (StatusCode::BAD_REQUEST, "bad_payload", message.clone()),
            Self::NotJson(why) => {
                let message = format!("{why}; send -H 'Content-Type: application/json' and plain JSON");
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
            }
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("a body has at most {POST_BYTES_MAX} bytes"))
            }
            Self::TooSlow => {
                let message = format!("the body did not come whole within {} s", POST_BODY_MS / 1_000);
                (StatusCode::REQUEST_TIMEOUT, "timeout", message)
            }
            Self::Fault(Fault { kind, message }) => {
                let (status, code) = match kind {
                    FaultKind::BadPayload => (StatusCode::BAD_REQUEST, "bad_payload"),
                    FaultKind::OutOfRange => (StatusCode::UNPROCESSABLE_ENTITY, "out_of_range"),
                    FaultKind::Empty => (StatusCode::UNPROCESSABLE_ENTITY, "empty"),
                    FaultKind::TooLong => (StatusCode::UNPROCESSABLE_ENTITY, "too_long"),
                };
                (status, code, message.clone())
            }
            Self::AnnouncementsRunning => {
                let message =
                    format!("{ANNOUNCING_MAX} announcements are under way; try again when one has reached all rooms");
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
            }
            Self::Failed(failure) => failure.parts(),
        };
        (status, code, message)
    }

    /// Which event of the batch is to blame, if the room says so.
    fn index(&self) -> Option<usize> {
        match self {
            Self::Failed(PostFailure::Room(
                PostError::Conflict { index }
                | PostError::Stale { index }
                | PostError::BadTime { index, .. }
                | PostError::NotFound { index }
                | PostError::PollOpen { index }
                | PostError::PollUsed { index }
                | PostError::NoPoll { index },
            )) => Some(*index),
            _ => None,
        }
    }

    /// Facts for programs, beside the code.
    fn detail(&self) -> Option<(&'static str, Value)> {
        match self {
            Self::Failed(PostFailure::Room(PostError::EpochChanged { epoch })) => Some(("epoch", json!(epoch))),
            _ => self.index().map(|index| ("index", json!(index))),
        }
    }

    /// Seconds after which a retry may succeed.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::AnnouncementsRunning => Some(5),
            Self::Failed(PostFailure::RoomsFull) => Some(30),
            Self::Failed(PostFailure::Full | PostFailure::Behind | PostFailure::Unknown) => Some(1),
            Self::Failed(PostFailure::Draining | PostFailure::Room(PostError::Unavailable)) => Some(5),
            Self::Failed(PostFailure::Room(PostError::Overloaded { retry_ms })) => {
                Some(retry_ms.div_ceil(1_000).max(1))
            }
            _ => None,
        }
    }

    /// Whether the body, or a part of it, was not read: then nothing can follow on the connection.
    fn leaves_body(&self) -> bool {
        !matches!(self, Self::Fault(_) | Self::Failed(_) | Self::AnnouncementsRunning)
    }
}

impl PostFailure {
    fn parts(&self) -> Parts {
        let busy = |code, message: &str| (StatusCode::SERVICE_UNAVAILABLE, code, message.to_owned());
        let because = |status, code, error: &PostError| (status, code, error.to_string());
        match self {
            Self::RoomsFull => busy("rooms_full", "the limit of open rooms is reached; try again later"),
            Self::Full => busy("overloaded", "the limit of concurrent posts is reached; try again"),
            Self::Behind => busy("overloaded", "the server is overloaded; try again"),
            Self::Draining => busy("draining", "the server restarts; try again in a few seconds"),
            Self::Room(error) => match error {
                PostError::Overloaded { .. } => because(StatusCode::SERVICE_UNAVAILABLE, "overloaded", error),
                PostError::Unavailable => because(StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable", error),
                PostError::Conflict { .. } => because(StatusCode::CONFLICT, "id_conflict", error),
                PostError::Stale { .. } => because(StatusCode::CONFLICT, "stale_id", error),
                PostError::BadTime { .. } => because(StatusCode::UNPROCESSABLE_ENTITY, "bad_time", error),
                PostError::NotFound { .. } => because(StatusCode::NOT_FOUND, "no_such_event", error),
                PostError::PollOpen { .. } => because(StatusCode::CONFLICT, "poll_open", error),
                PostError::PollUsed { .. } => because(StatusCode::CONFLICT, "poll_used", error),
                PostError::EpochChanged { .. } => because(StatusCode::CONFLICT, "epoch_changed", error),
                PostError::NoPoll { .. } => because(StatusCode::CONFLICT, "poll_closed", error),
            },
            Self::Unknown => {
                let message = "no answer came in time, and the events may be in the log; repeat the request with the same Idempotency-Key";
                (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", message.to_owned())
            }
        }
    }

    /// Whether the same request may succeed soon: the server was busy, or the result is not known.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::RoomsFull | Self::Full | Self::Behind | Self::Unknown => true,
            Self::Draining => false,
            Self::Room(error) => matches!(error, PostError::Overloaded { .. } | PostError::Unavailable),
        }
    }

    /// Whether the server is to blame, not the request.
    pub(super) fn is_the_servers(&self) -> bool {
        self.parts().0.is_server_error()
    }

    /// How long to wait before it is asked again.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Room(PostError::Overloaded { retry_ms }) => *retry_ms,
            _ => ANNOUNCE_PAUSE_MS,
        })
    }

    /// Its code, where many rooms' outcomes are counted.
    pub(super) fn code(&self) -> &'static str {
        self.parts().1
    }
}

impl IntoResponse for PostRefused {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let mut error = json!({ "code": code, "message": message });
        if let Some((name, value)) = self.detail() {
            error[name] = value;
        }
        let explain = Extension(explain::Refused { code, message: message.into() });
        let mut response =
            (status, explain, [(CACHE_CONTROL, "no-store")], Json(json!({ "error": error }))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if matches!(self, Self::Key(KeyError::Missing | KeyError::Wrong)) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.leaves_body() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::Hex64;

    const PAGE: &str = include_str!("../../docs/api.md");

    #[test]
    fn every_refusal_is_documented_with_its_status_and_says_when_to_come_back() {
        let fault = |kind| PostRefused::Fault(Fault { kind, message: "gift.count must be".into() });
        let room = |error| PostRefused::Failed(PostFailure::Room(error));
        let all = [
            PostRefused::Key(KeyError::Missing),
            PostRefused::Key(KeyError::Page),
            PostRefused::BadRoom,
            PostRefused::BadKey("Idempotency-Key"),
            PostRefused::NotJson("Content-Type is missing"),
            PostRefused::TooLarge,
            PostRefused::TooSlow,
            fault(FaultKind::BadPayload),
            fault(FaultKind::OutOfRange),
            fault(FaultKind::Empty),
            fault(FaultKind::TooLong),
            PostRefused::AnnouncementsRunning,
            PostRefused::Failed(PostFailure::RoomsFull),
            PostRefused::Failed(PostFailure::Full),
            PostRefused::Failed(PostFailure::Behind),
            PostRefused::Failed(PostFailure::Draining),
            PostRefused::Failed(PostFailure::Unknown),
            room(PostError::Overloaded { retry_ms: 1_001 }),
            room(PostError::Unavailable),
            room(PostError::Conflict { index: 3 }),
            room(PostError::Stale { index: 3 }),
            room(PostError::NotFound { index: 3 }),
            room(PostError::PollOpen { index: 3 }),
            room(PostError::PollUsed { index: 3 }),
            room(PostError::BadTime { index: 3, now_ms: 1 }),
            room(PostError::EpochChanged { epoch: Hex64(1) }),
            PostRefused::BadQuery("epoch is there twice".into()),
            room(PostError::NoPoll { index: 3 }),
        ];
        for refused in &all {
            let (status, code, message) = refused.parts();
            let row = format!("| {} | `{code}` |", status.as_u16());
            let row = PAGE.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{row} is not there"));
            let detail = refused.detail().map_or("–".to_owned(), |(name, _)| format!("`{name}`"));
            assert!(row.ends_with(&format!("| {detail} |")), "{row}");
            assert_eq!(refused.retry_after_s().is_some(), status.is_server_error(), "{row}");
            assert!(!message.is_empty());
        }
        assert_eq!(all[17].retry_after_s(), Some(2), "rounded up");
    }
}
