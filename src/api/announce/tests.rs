use super::*;
use crate::api::PostFuture;
use crate::protocol::ids::RoomId;
use crate::protocol::kind::{Announcement, Level, Post};
use crate::room::registry::Registry;
use crate::room::request::Posted;
use parking_lot::Mutex;
use std::future::{pending, ready};

/// Rooms that answer their next attempts as written down, and then well; or never.
struct Scripted {
    registry: Registry,
    attempts: Mutex<BTreeMap<String, usize>>,
    answers: Mutex<BTreeMap<String, VecDeque<PostFailure>>>,
    silent: Mutex<Vec<String>>,
    opens_later: Mutex<Vec<String>>,
}

impl Scripted {
    fn new(rooms: &[&str]) -> Self {
        let registry = Registry::new(1, 100);
        rooms.iter().for_each(|room| drop(registry.claim(&RoomId::new(room).unwrap()).unwrap()));
        let (attempts, answers) = Default::default();
        Self { registry, attempts, answers, silent: Mutex::default(), opens_later: Mutex::default() }
    }

    fn answers(&self, room: &str, failures: &[PostFailure]) {
        self.answers.lock().insert(room.into(), failures.to_vec().into());
    }

    async fn told(&self, patience_ms: u64) -> Reach {
        let kind = Kind::Announcement(Announcement { text: "x".into(), level: Level::Urgent, until: None });
        let request = PostRequest::of(vec![Event::Post(Box::new(Post { key: None, kind }))]);
        let rooms = || self.registry.list();
        tell_all(self, &rooms, &PostRefusals::new(), &request, Duration::from_millis(patience_ms)).await
    }
}

impl Posts for Scripted {
    fn post(&self, _: &RoomId, _: PostRequest) -> PostFuture {
        unreachable!("nobody posts to one room here")
    }

    fn announce(&self, room: &Arc<RoomHandle>, _: PostRequest) -> Option<PostFuture> {
        let name = room.id.to_string();
        *self.attempts.lock().entry(name.clone()).or_default() += 1;
        if let Some(later) = self.opens_later.lock().pop() {
            self.registry.claim(&RoomId::new(&later).unwrap()).unwrap();
        }
        if name == "gone" {
            return None;
        }
        if self.silent.lock().contains(&name) {
            return Some(Box::pin(pending()));
        }
        let failure = self.answers.lock().get_mut(&name).and_then(VecDeque::pop_front);
        Some(Box::pin(ready(match failure {
            Some(failure) => Err(failure),
            None => Ok(Posted { epoch: Hex64(1), offsets: vec![1] }),
        })))
    }
}

const BUSY: PostFailure = PostFailure::Room(PostError::Overloaded { retry_ms: 1 });
const CONFLICT: PostFailure = PostFailure::Room(PostError::Conflict { index: 0 });

#[tokio::test]
async fn rooms_that_are_busy_are_asked_again_and_those_that_open_meanwhile_are_told_too() {
    let rooms = Scripted::new(&["a", "b", "c", "gone"]);
    rooms.answers("b", &[BUSY, PostFailure::Full, PostFailure::Behind, PostFailure::Unknown]);
    rooms.answers("c", &[PostFailure::Room(PostError::Unavailable)]);
    *rooms.opens_later.lock() = vec!["late".into(), "later".into()];
    let tally = rooms.told(20_000).await;
    assert_eq!(tally, Reach { rooms: 5, ..Reach::default() });
    let attempts: Vec<_> = rooms.attempts.lock().clone().into_iter().collect();
    let expected = [("a", 1), ("b", 5), ("c", 2), ("gone", 1), ("late", 1), ("later", 1)];
    assert_eq!(attempts, expected.map(|(room, count)| (room.to_owned(), count)));
    assert_eq!(tally.answer(&ClientId::new("k").unwrap()).status(), StatusCode::OK);
}

#[tokio::test]
async fn what_did_not_get_everywhere_says_so_with_numbers_names_and_a_key() {
    let rooms = Scripted::new(&["a", "busy", "conflict", "silent"]);
    rooms.answers("busy", &[BUSY; 1_000]);
    rooms.answers("conflict", &[CONFLICT]);
    *rooms.silent.lock() = vec!["silent".into()];
    let mut tally = rooms.told(300).await;
    assert_eq!((tally.rooms, tally.failed), (1, 3));
    let failures = [("id_conflict", 1), ("outcome_unknown", 1), ("overloaded", 1)];
    assert_eq!(tally.failures, failures.into());
    tally.failed_rooms.sort();
    assert_eq!(tally.failed_rooms, ["busy", "conflict", "silent"]);
    assert!(rooms.attempts.lock()["busy"] > 1 && rooms.attempts.lock()["conflict"] == 1);
    let response = tally.answer(&ClientId::new("k-1").unwrap());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(RETRY_AFTER));
    let body = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["error"]["code"], &body["idempotency_key"]), (&json!("not_everywhere"), &json!("k-1")));
    assert_eq!((&body["rooms"], &body["failed"]), (&json!(1), &json!(3)));

    let rooms = Scripted::new(&["a"]);
    rooms.answers("a", &[CONFLICT]);
    assert_eq!(rooms.told(300).await.answer(&ClientId::new("k").unwrap()).status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_node_that_drains_is_not_asked_again() {
    let rooms = Scripted::new(&["a"]);
    rooms.answers("a", &[PostFailure::Draining]);
    let tally = rooms.told(20_000).await;
    assert_eq!((tally.failed, rooms.attempts.lock()["a"]), (1, 1));
    assert_eq!(tally.answer(&ClientId::new("k").unwrap()).status(), StatusCode::SERVICE_UNAVAILABLE);
}
