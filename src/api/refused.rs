//! Why history is not given: one table of answers for pages and exports.

use crate::explain;
use crate::limits::{EXPORTS_MAX, PAGES_MAX};
use crate::log::ReadError;
use crate::protocol::ids::{BadRoomId, Epoch, Offset};
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

/// A refusal; documented in `docs/api.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HistoryRefused {
    /// The path names no room id.
    BadRoom,
    /// A parameter is wrong; the message begins with its name.
    BadQuery(String),
    /// The room is neither open nor stored.
    NoSuchRoom,
    /// The requested position is older than the retained events.
    TooOld { first: Offset },
    /// The requested position is above the newest.
    Ahead { last: Offset },
    /// The requested epoch is not that of the log.
    EpochChanged { epoch: Epoch },
    /// The client speaks HTTP/1.0, which cannot show that a transfer was incomplete.
    OldHttp,
    /// The limit of concurrent pages is reached.
    PagesFull,
    /// The limit of concurrent exports is reached.
    ExportsFull,
    /// The store failed, or the log moved faster than it could be read.
    Unavailable,
}

impl From<ReadError> for HistoryRefused {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooOld { first } => Self::TooOld { first },
            ReadError::Ahead { last } => Self::Ahead { last },
            ReadError::Unknown => Self::NoSuchRoom,
            ReadError::Unavailable => Self::Unavailable,
        }
    }
}

impl From<BadRoomId> for HistoryRefused {
    fn from(_: BadRoomId) -> Self {
        Self::BadRoom
    }
}

impl HistoryRefused {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let (status, code, message) = match self {
            Self::BadRoom => (StatusCode::BAD_REQUEST, "bad_room", BadRoomId.to_string()),
            Self::BadQuery(message) => (StatusCode::BAD_REQUEST, "bad_payload", message.clone()),
            Self::NoSuchRoom => (StatusCode::NOT_FOUND, "no_such_room", "there is no log of such a room".into()),
            Self::TooOld { first } => {
                (StatusCode::GONE, "too_old", format!("after: the log begins at {first}; leave it out to begin there"))
            }
            Self::Ahead { last } => (StatusCode::CONFLICT, "ahead", format!("after: the log ends at {last}")),
            Self::EpochChanged { epoch } => {
                (StatusCode::CONFLICT, "epoch_changed", format!("epoch: this log is {epoch}; begin anew"))
            }
            Self::OldHttp => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "http_version",
                "an export needs HTTP/1.1: in HTTP/1.0 a transfer that was cut looks whole".into(),
            ),
            Self::PagesFull => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                format!("the limit of {PAGES_MAX} concurrent pages is reached; try again"),
            ),
            Self::ExportsFull => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                format!("the limit of {EXPORTS_MAX} concurrent exports is reached; try again later"),
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "storage_unavailable",
                "the log cannot be read now; try again in some seconds".into(),
            ),
        };
        (status, code, message)
    }

    /// Facts for programs, beside the code.
    fn detail(&self) -> Option<(&'static str, Value)> {
        match self {
            Self::TooOld { first } => Some(("first", json!(first))),
            Self::Ahead { last } => Some(("last", json!(last))),
            Self::EpochChanged { epoch } => Some(("epoch", json!(epoch))),
            _ => None,
        }
    }

    /// Seconds after which a retry may succeed.
    fn retry_after(&self) -> Option<&'static str> {
        match self {
            Self::PagesFull => Some("1"),
            Self::Unavailable => Some("5"),
            Self::ExportsFull => Some("30"),
            _ => None,
        }
    }
}

impl IntoResponse for HistoryRefused {
    fn into_response(self) -> Response {
        let (status, code, message) = self.parts();
        let mut error = json!({ "code": code, "message": message });
        if let Some((name, value)) = self.detail() {
            error[name] = value;
        }
        let explain = Extension(explain::Refused { code, message: message.into() });
        let mut response =
            (status, explain, [(CACHE_CONTROL, "no-store")], Json(json!({ "error": error }))).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
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
    fn every_refusal_is_documented_with_its_status_and_what_comes_with_it() {
        let all = [
            HistoryRefused::BadRoom,
            HistoryRefused::BadQuery("x".to_owned()),
            HistoryRefused::NoSuchRoom,
            HistoryRefused::TooOld { first: 1 },
            HistoryRefused::Ahead { last: 1 },
            HistoryRefused::EpochChanged { epoch: Hex64(1) },
            HistoryRefused::OldHttp,
            HistoryRefused::PagesFull,
            HistoryRefused::ExportsFull,
            HistoryRefused::Unavailable,
        ];
        for refused in &all {
            let (status, code, message) = refused.parts();
            let detail = refused.detail().map_or("–".to_owned(), |(name, _)| format!("`{name}`"));
            let row = format!("| {} | `{code}` |", status.as_u16());
            let row = PAGE.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{row} is not there"));
            assert!(row.ends_with(&format!("| {detail} |")), "{row}");
            assert_eq!(refused.retry_after().is_some(), status.is_server_error() && code != "http_version", "{row}");
            assert!(!message.is_empty());
        }
        // A new refusal does not compile here until it is in the list above.
        match &all[0] {
            HistoryRefused::BadRoom
            | HistoryRefused::BadQuery(_)
            | HistoryRefused::NoSuchRoom
            | HistoryRefused::TooOld { .. } => {}
            HistoryRefused::Ahead { .. }
            | HistoryRefused::EpochChanged { .. }
            | HistoryRefused::OldHttp
            | HistoryRefused::PagesFull => {}
            HistoryRefused::ExportsFull | HistoryRefused::Unavailable => {}
        }
    }
}
