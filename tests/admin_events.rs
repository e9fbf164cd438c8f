//! Events that the show's owner posts: every viewer sees them, and the log has them once.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::gated::{Gate, Gated};
use support::poster::{post, taken};
use support::viewer::{number, text};
use support::{Client, Server};
use volley::config::Data;

fn quick() -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    })
}

fn person() -> Value {
    json!({"id": "u-7", "name": "小明", "role": "vip"})
}

/// Reads frames until one has the event at `offset`; returns all events by offset, with kind and body.
fn until(client: &mut Client, offset: u64) -> BTreeMap<u64, (String, Value)> {
    let (mut seen, began) = (BTreeMap::new(), Instant::now());
    while seen.last_key_value().is_none_or(|(last, _)| *last < offset) {
        // Frames with counters never end, so frames alone are no progress.
        assert!(began.elapsed() < support::PATIENCE, "{offset} was never shown; seen so far: {seen:?}");
        for event in client.next("frame")["events"].as_array().expect("events") {
            let fields = event.as_object().expect("an event");
            let kind =
                fields.keys().find(|key| !["offset", "outcome", "into"].contains(&key.as_str())).expect("a kind");
            if kind != "raise" {
                seen.insert(number(event, "offset"), (kind.clone(), fields[kind].clone()));
            }
        }
    }
    seen
}

/// Everything in a room's log, as text.
fn history(server: &Server, room: &str) -> String {
    let (status, body) = server.get(server.public, &format!("/v1/rooms/{room}/events?limit=1000"));
    assert_eq!(status, 200, "{body}");
    body
}

fn last(server: &Server, room: &str) -> u64 {
    number(&serde_json::from_str(&history(server, room)).expect("JSON"), "last")
}

/// The wall clock plus an offset, in milliseconds.
fn in_ms(ms: u64) -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64 + ms
}

fn every_kind() -> Vec<Value> {
    vec![
        json!({"gift": {"user": person(), "name": "玫瑰", "count": 99, "value": 100, "combo": "c1"}}),
        json!({"announcement": {"text": "back at five", "level": "urgent", "until": in_ms(3_600_000)}}),
        json!({"custom": {"type": "shop.product", "data": {"sku": "B-17"}, "sticky": true}}),
        json!({"pin": {"text": "be kind", "user": {"id": "host", "name": "Host", "role": "host"}}}),
        json!({"unpin": {}}),
        json!({"poll": {"id": "p1", "question": "Which colour?", "options": ["red", "blue"]}}),
        json!({"poll_close": {"id": "p1"}}),
        json!({"enter": {"user": person()}}),
        json!({"settings": {"slow_ms": 250, "words": ["price"]}}),
        json!({"comment": {"user": {"id": "host", "name": "Host", "role": "host"}, "text": "welcome all"}}),
    ]
}

#[test]
fn every_kind_is_seen_by_a_viewer_and_kept_in_the_log() {
    let server = quick();
    let mut viewer = server.join("show");
    for event in every_kind() {
        let (kind, said) = event.as_object().unwrap().iter().next().unwrap();
        let offset = taken(server.admin, "show", "", &event)[0];
        let (shown, body) =
            until(&mut viewer, offset).remove(&offset).unwrap_or_else(|| panic!("{event} was not shown"));
        assert_eq!(shown, *kind);
        for (field, value) in said.as_object().unwrap() {
            assert_eq!(body[field], *value, "{field} of {kind}");
        }
        let page = server.get(server.public, &format!("/v1/rooms/show/events?after={}&limit=1", offset - 1)).1;
        let page: Value = serde_json::from_str(&page).unwrap();
        assert_eq!(page["events"][0]["offset"], offset, "{kind} is in the log: {page}");
        assert!(page["events"][0].to_string().contains(&format!("\"{kind}\":")), "{page}");
    }
    assert_eq!(server.metric("volley_posts_total", "result=\"taken\""), every_kind().len() as f64);
}

#[test]
fn a_deleted_comment_is_gone_from_the_log_and_every_viewer_is_told() {
    let server = quick();
    let mut viewer = server.join("clean");
    let target = number(&viewer.comment("c1", "something very rude"), "offset");
    let offset = taken(server.admin, "clean", "", &json!({"delete": {"offset": target}}))[0];
    assert_eq!(until(&mut viewer, offset)[&offset], ("delete".into(), json!({"offset": target})));
    assert!(!history(&server, "clean").contains("rude"));
    let missing = post(server.admin, "/v1/rooms/clean/events", "", &json!({"delete": {"offset": 999}}));
    assert_eq!((missing.status, missing.code().as_str()), (404, "no_such_event"), "{missing:?}");
}

#[test]
fn a_resume_after_a_deletion_never_shows_the_text() {
    let server = quick();
    let mut viewer = server.join("again");
    let epoch = viewer.welcome["epoch"].as_str().expect("an epoch").to_owned();
    // An earlier client has resumed from there, so the page is cached.
    let target = number(&viewer.comment("c1", "something very rude"), "offset");
    let resume = || {
        let mut client = server.connect("again", &format!("?epoch={epoch}&after=0"));
        let welcome = client.next("welcome");
        assert_eq!(welcome["recovered"], true, "{welcome}");
        let mut told = String::new();
        let mut position = 0;
        while position < number(&welcome, "last") {
            let frame = client.next("frame");
            position = number(&frame, "last");
            told += &frame.to_string();
        }
        told
    };
    assert!(resume().contains("rude"));
    taken(server.admin, "again", "", &json!({"delete": {"offset": target}}));
    // The viewer is still connected, so the frames are still in the ring.
    let told = resume();
    assert!(!told.contains("rude") && told.contains("delete"), "{told}");
}

#[test]
fn a_batch_is_stored_in_its_order_or_not_at_all() {
    let server = quick();
    let mut viewer = server.join("batch");
    let offsets = taken(server.admin, "batch", "", &json!({ "events": every_kind() }));
    assert!(offsets.len() == every_kind().len() && offsets.is_sorted(), "{offsets:?}");
    let seen = until(&mut viewer, *offsets.last().unwrap());
    let kinds: Vec<&str> = offsets.iter().map(|offset| seen[offset].0.as_str()).collect();
    let posted: Vec<Value> = every_kind();
    let posted: Vec<&str> =
        posted.iter().map(|event| event.as_object().unwrap().keys().next().unwrap().as_str()).collect();
    assert_eq!(kinds, posted);

    let before = last(&server, "batch");
    let half = json!({"events": [{"announcement": {"text": "half a batch"}}, {"delete": {"offset": 99_999}}]});
    let answer = post(server.admin, "/v1/rooms/batch/events", "", &half);
    assert_eq!((answer.status, answer.code().as_str()), (404, "no_such_event"), "{answer:?}");
    assert!(answer.body.contains("\"index\":1"), "{answer:?}");
    let after = taken(server.admin, "batch", "", &json!({"announcement": {"text": "the next"}}))[0];
    assert_eq!(after, before + 1, "nothing was stored between them");
    assert_eq!(until(&mut viewer, after).len(), 1);
    assert!(!history(&server, "batch").contains("half a batch"));
}

#[test]
fn a_closed_room_is_opened_for_a_post() {
    let server = quick();
    taken(
        server.admin,
        "fresh",
        "",
        &json!({"events": [
            {"pin": {"text": "be kind"}},
            {"custom": {"type": "shop.product", "data": 1, "sticky": true}},
            {"poll": {"id": "p1", "question": "Which?", "options": ["a", "b"]}},
        ]}),
    );
    let newcomer = server.join("fresh");
    let snapshot = &newcomer.welcome["snapshot"];
    assert_eq!(snapshot["pinned"]["text"], "be kind", "{snapshot}");
    assert_eq!(snapshot["sticky"][0]["type"], "shop.product", "{snapshot}");
    assert_eq!(snapshot["poll"]["id"], "p1", "{snapshot}");
    let (_, rooms) = server.get(server.admin, "/v1/rooms");
    let rooms: Value = serde_json::from_str(&rooms).unwrap();
    assert_eq!(rooms["rooms"][0]["claims"], 1, "the newcomer's; the post has given its own back: {rooms}");
}

/// A directory that is removed after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("volley-posts-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("makes a directory");
        Self(path)
    }
    fn server(&self) -> Server {
        Server::start(|config| {
            config.no_rate_limits = true;
            config.tick_ms = 10;
            config.data = Data::Directory(self.0.join("data"));
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that cannot be removed stays in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_repetition_gets_the_first_answer_also_after_a_restart_and_other_content_is_a_conflict() {
    let scratch = Scratch::new();
    let path = "/v1/rooms/once/events";
    let gift = |count: u64| json!({"gift": {"user": person(), "name": "玫瑰", "count": count, "value": 5}});
    let said = json!({"comment": {"user": {"id": "host", "name": "Host", "role": "host"}, "text": "only once"}});
    let batch = json!({"events": [gift(1), {"announcement": {"text": "x"}}, said]});
    let rows = [
        ("Idempotency-Key: one\r\n", gift(2)),
        ("Idempotency-Key: two\r\n", batch),
        ("Idempotency-Key: three\r\n", said.clone()),
    ];
    let mut answers = Vec::new();
    let mut ends = Vec::new();
    for life in 0..3 {
        let server = scratch.server();
        for (n, (key, body)) in rows.iter().enumerate() {
            for _ in 0..2 {
                let answer = post(server.admin, path, key, body);
                assert_eq!(answer.status, 200, "life {life}: {answer:?}");
                if answers.len() == n {
                    answers.push(answer.body.clone());
                }
                assert_eq!(answer.body, answers[n], "life {life}");
            }
        }
        for (key, at) in [
            ("Idempotency-Key: one\r\n", None),
            ("Idempotency-Key: two.0\r\n", None),
            ("Idempotency-Key: two\r\n", Some(0)),
        ] {
            let other = match at {
                None => gift(77),
                Some(_) => json!({"events": [gift(77), {"announcement": {"text": "x"}}, said]}),
            };
            let conflict = post(server.admin, path, key, &other);
            assert_eq!((conflict.status, conflict.code().as_str()), (409, "id_conflict"), "life {life}: {conflict:?}");
            assert!(conflict.body.contains("\"index\":0"), "{conflict:?}");
        }
        ends.push(last(&server, "once"));
        let page = history(&server, "once");
        assert_eq!(page.matches("only once").count(), 2, "under two keys: {page}");
        assert!(!page.contains(r#""count":77"#), "{page}");
        server.drain();
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "nothing was stored again: {ends:?}");
}

#[test]
fn an_announcement_reaches_every_open_room_and_a_repetition_none_twice() {
    let server = quick();
    let mut viewers: Vec<(String, Client)> =
        (0..5).map(|n| (format!("room-{n}"), server.join(&format!("room-{n}")))).collect();
    let said = json!({"announcement": {"text": "the house closes at ten", "level": "urgent"}});
    for _ in 0..2 {
        let answer = post(server.admin, "/v1/announce", "Idempotency-Key: closing\r\n", &said);
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"rooms":5,"failed":0}"#), "{answer:?}");
    }
    for (room, viewer) in &mut viewers {
        let seen = until(viewer, 1);
        assert_eq!(seen[&1].1["text"], "the house closes at ten");
        assert_eq!(history(&server, room).matches("the house closes").count(), 1);
    }
    let other = post(server.admin, "/v1/announce", "", &json!({"unpin": {}}));
    assert_eq!((other.status, other.code().as_str()), (400, "bad_payload"), "{other:?}");
    let conflict = json!({"announcement": {"text": "another text"}});
    let answer = post(server.admin, "/v1/announce", "Idempotency-Key: closing\r\n", &conflict);
    let tally: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (409, "not_everywhere"), "{answer:?}");
    assert_eq!((&tally["failed"], &tally["failures"]), (&json!(5), &json!({"id_conflict": 5})));
    assert_eq!((&tally["rooms"], &tally["idempotency_key"]), (&json!(0), &json!("closing")));
    assert_eq!(tally["failed_rooms"].as_array().map(Vec::len), Some(5));
    // The event is refused before any room receives it.
    let over = json!({"announcement": {"text": "too late", "until": 1_600_000_000_000_u64}});
    let answer = post(server.admin, "/v1/announce", "", &over);
    assert_eq!((answer.status, answer.code().as_str()), (422, "bad_time"), "{answer:?}");
}

#[test]
fn votes_are_counted_once_and_only_while_the_poll_is_open() {
    let server = quick();
    let mut viewer = server.join("vote");
    let mut vote = |poll: &str, option: u64, id: &str, answer: &str| {
        viewer.send_value(&json!({"vote": {"poll": poll, "option": option, "id": id}}));
        let said = viewer.next(answer);
        assert_eq!(text(&said, "id"), id);
        said
    };
    assert_eq!(vote("p1", 0, "v0", "error")["code"], "poll_closed");
    taken(server.admin, "vote", "", &json!({"poll": {"id": "p1", "question": "Which?", "options": ["a", "b", "c"]}}));
    assert_eq!(vote("p1", 3, "v1", "error")["code"], "no_such_option");
    assert_eq!(vote("p2", 0, "v2", "error")["code"], "poll_closed");
    vote("p1", 1, "v3", "ack");
    vote("p1", 2, "v4", "ack");
    let tally = server.join("vote").welcome["snapshot"]["tally"].clone();
    assert_eq!((&tally["id"], &tally["votes"], &tally["open"]), (&json!("p1"), &json!([0, 1, 0]), &json!(true)));
    taken(server.admin, "vote", "", &json!({"poll_close": {"id": "p1"}}));
    assert_eq!(vote("p1", 1, "v5", "error")["code"], "poll_closed");
    assert_eq!(server.metric("volley_room_refusals_total", "code=\"poll_closed\""), 3.0);
    assert_eq!(server.metric("volley_room_refusals_total", "code=\"no_such_option\""), 1.0);
}

#[test]
fn a_room_that_cannot_be_opened_is_reported_and_others_continue() {
    let log = Gated::new();
    log.opening("broken", Gate::Broken);
    let server = Server::start_on(log, |config| (config.tick_ms, config.no_rate_limits) = (10, true));
    let answer = post(server.admin, "/v1/rooms/broken/events", "", &json!({"unpin": {}}));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    taken(server.admin, "well", "", &json!({"unpin": {}}));
}

/// Sends a post and waits a moment for its answer: the status, if one comes.
fn glimpse(server: &Server, room: &str) -> Option<u16> {
    let body = r#"{"unpin":{}}"#;
    let mut stream = TcpStream::connect(server.admin).expect("connects");
    stream.set_read_timeout(Some(Duration::from_millis(30))).expect("a timeout");
    let lines = support::poster::json_lines(body.as_bytes(), "");
    write!(stream, "POST /v1/rooms/{room}/events HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}").expect("writes");
    let mut bytes = [0; 1_024];
    let n = stream.read(&mut bytes).ok()?;
    String::from_utf8_lossy(&bytes[..n]).split(' ').nth(1)?.parse().ok()
}

#[test]
fn posts_that_wait_are_bounded_also_when_their_senders_leave() {
    let log = Gated::new();
    log.opening("stuck", Gate::Shut);
    let server = Server::start_on(log.clone(), |config| (config.tick_ms, config.no_rate_limits) = (10, true));
    let began = Instant::now();
    while glimpse(&server, "stuck") != Some(503) {
        assert!(began.elapsed() < 3 * support::PATIENCE, "never refused");
    }
    assert_eq!(glimpse(&server, "another"), Some(503), "the bound is the node's");
    log.opening("stuck", Gate::Open);
    server.eventually("places are free", |server| glimpse(server, "stuck") == Some(200));
    // The event of a client that disconnected is posted all the same.
    assert!(server.metric("volley_posts_total", "result=\"taken\"") >= volley::limits::POSTS_MAX as f64);
}
