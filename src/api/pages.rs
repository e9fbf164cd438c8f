//! The pages and their files, served from the binary.

use super::error::no_such_page;
use crate::protocol::ids::RoomId;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

/// One embedded file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Path below `web/`.
    pub name: &'static str,
    /// Strong, from the content, in quotes.
    pub etag: &'static str,
    /// The content.
    pub bytes: &'static [u8],
}

impl File {
    /// Everything that is in the binary, sorted by name.
    pub const ALL: &[Self] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

    /// Finds a file by its path below `web/`.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.binary_search_by(|file| file.name.cmp(name)).ok().map(|index| &Self::ALL[index])
    }

    /// The `Content-Type`.
    pub fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next().unwrap_or_default() {
            "html" => "text/html; charset=utf-8",
            "js" | "mjs" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "json" | "map" => "application/json",
            "webmanifest" => "application/manifest+json",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "jpg" | "jpeg" => "image/jpeg",
            "webp" => "image/webp",
            "ico" => "image/x-icon",
            "woff2" => "font/woff2",
            "txt" => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        }
    }
}

pub(super) async fn index(headers: HeaderMap) -> Response {
    send(File::find("index.html"), &headers)
}

/// The decoded path; an error when its percent-encoding is not UTF-8.
pub(super) type Named = Result<Path<String>, PathRejection>;

pub(super) async fn watch(room: Named, headers: HeaderMap) -> Response {
    match room {
        Ok(Path(room)) if RoomId::new(&room).is_ok() => send(File::find("watch.html"), &headers),
        _ => no_such_page(),
    }
}

/// The page's own address, with the same query. Relative, so that it is right below any path that a proxy puts in front.
pub(super) async fn watch_without_slash(room: Named, RawQuery(query): RawQuery) -> Response {
    let Some(room) = room.ok().and_then(|Path(room)| RoomId::new(&room).ok()) else { return no_such_page() };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    // A query that no header can hold was in no address either.
    match HeaderValue::try_from(format!("../{}{query}", room.as_str())) {
        Ok(address) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, address)]).into_response(),
        Err(_) => no_such_page(),
    }
}

/// Files are found by their exact name in a table: no path can lead out of it.
pub(super) async fn asset(path: Named, headers: HeaderMap) -> Response {
    match path {
        Ok(Path(path)) => send(File::find(&format!("assets/{path}")), &headers),
        Err(_) => no_such_page(),
    }
}

/// `no-cache` with a tag: browsers keep the file and ask each time whether it is still good, so that a new
/// server never runs with an old script.
fn send(file: Option<&'static File>, headers: &HeaderMap) -> Response {
    let Some(file) = file else { return no_such_page() };
    let caching = [(CACHE_CONTROL, "no-cache"), (ETAG, file.etag)];
    if has_tag(headers, file.etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, file.content_type())], Bytes::from_static(file.bytes)).into_response()
}

fn has_tag(headers: &HeaderMap, etag: &str) -> bool {
    let asked = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    asked.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        // A proxy that compresses may have weakened it.
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}
