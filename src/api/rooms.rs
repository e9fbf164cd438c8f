//! The room list: the top for everybody, all of it for operators.

use super::ApiState;
use crate::clock;
use crate::room::registry::RoomHandle;
use axum::extract::State as Extract;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rooms in the public list. The page shows a screenful; a hundred is several.
const TOP_MAX: usize = 100;

/// How old the public list may be. Sorting 10,000 rooms takes about a millisecond: once in this time, and
/// not once per visitor.
const LIST_AGE_US_MAX: u64 = 500_000;

#[derive(Serialize)]
struct RoomList<R> {
    rooms: Vec<R>,
    total: usize,
}

/// The public facts about a room.
#[derive(Serialize)]
struct Summary<'a> {
    room: &'a str,
    online: u64,
    likes: u64,
    comments: u64,
    last: u64,
}

/// All that is known of a room.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    shed: u64,
    merged: u64,
    frames: u64,
    claims: usize,
    home: u16,
}

fn summary(room: &RoomHandle) -> Summary<'_> {
    let figures = &room.figures;
    Summary {
        room: room.id.as_str(),
        online: room.online(),
        likes: figures.likes.load(Ordering::Relaxed),
        comments: figures.comments.load(Ordering::Relaxed),
        last: figures.last.load(Ordering::Relaxed),
    }
}

/// The public list as it was made last.
#[derive(Default)]
pub(super) struct List {
    made: Mutex<Option<(u64, Bytes)>>,
}

/// The rooms with most viewers.
pub(super) fn top(state: &ApiState, list: &List) -> Response {
    let now_us = clock::now_us();
    // Held while the list is made, so that concurrent requests get the same one.
    let mut made = list.made.lock();
    let body = match &*made {
        Some((at_us, body)) if now_us - at_us < LIST_AGE_US_MAX => body.clone(),
        _ => {
            let body = top_json(&(state.rooms)());
            *made = Some((now_us, body.clone()));
            body
        }
    };
    drop(made);
    json(body)
}

fn top_json(all: &[Arc<RoomHandle>]) -> Bytes {
    let total = all.len();
    let mut rooms: Vec<Summary<'_>> = all.iter().map(|room| summary(room)).collect();
    sort(&mut rooms, |room| room);
    rooms.truncate(TOP_MAX);
    to_json(&RoomList { rooms, total })
}

/// Every room with every figure.
pub(super) async fn all(Extract(state): Extract<Arc<ApiState>>) -> Response {
    let all = (state.rooms)();
    let mut rooms: Vec<Detail<'_>> = all
        .iter()
        .map(|room| Detail {
            summary: summary(room),
            shed: room.figures.shed.load(Ordering::Relaxed),
            merged: room.figures.merged.load(Ordering::Relaxed),
            frames: room.figures.frames.load(Ordering::Relaxed),
            claims: room.claims.load(Ordering::Relaxed),
            home: room.home,
        })
        .collect();
    sort(&mut rooms, |room| &room.summary);
    let total = rooms.len();
    json(to_json(&RoomList { rooms, total }))
}

/// Most viewers first; equal ones by name, so that the list does not flicker.
fn sort<'a, R>(rooms: &mut [R], summary: impl Fn(&R) -> &Summary<'a>) {
    rooms.sort_unstable_by_key(|room| (Reverse(summary(room).online), summary(room).room));
}

fn to_json(answer: &impl Serialize) -> Bytes {
    serde_json::to_vec(answer).expect("names and numbers serialise").into()
}

fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::RoomId;
    use crate::protocol::local::RoomKey;
    use crate::protocol::variant::Variant;

    fn room(number: u64, online: usize) -> Arc<RoomHandle> {
        let handle = RoomHandle::new(RoomKey(number), RoomId::new(&format!("r{number:03}")).unwrap(), 0, 1);
        (0..online).for_each(|_| handle.arrive(0, Variant::ALL[0]));
        Arc::new(handle)
    }

    #[test]
    fn the_list_shows_the_fullest_rooms_and_counts_all() {
        let all: Vec<_> = (0..130).map(|n| room(n, usize::from(n == 77) * 3 + usize::from(n == 5))).collect();
        let json: serde_json::Value = serde_json::from_slice(&top_json(&all)).unwrap();
        assert_eq!(json["total"], 130);
        let rooms = json["rooms"].as_array().unwrap();
        assert_eq!(rooms.len(), TOP_MAX);
        let names: Vec<_> = rooms.iter().take(3).map(|room| room["room"].as_str().unwrap()).collect();
        assert_eq!(names, ["r077", "r005", "r000"]);
        assert_eq!(rooms[0], serde_json::json!({"room":"r077","online":3,"likes":0,"comments":0,"last":0}));
    }
}
