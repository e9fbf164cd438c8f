//! Requests of the show's owner that contradict earlier ones or themselves: refused with the field's name, nothing
//! stored.

mod support;

use serde_json::{Value, json};
use support::Server;
use support::poster::{post, taken};
use support::viewer::{Answer, number};

fn server() -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    })
}

fn at(room: &str, query: &str) -> String {
    format!("/v1/rooms/{room}/events{query}")
}

fn key(key: &str) -> String {
    format!("Idempotency-Key: {key}\r\n")
}

fn batch(events: &[Value]) -> Value {
    json!({ "events": events })
}

fn pin(text: &str) -> Value {
    json!({"pin": {"text": text}})
}

fn said(name: &str, text: &str) -> Value {
    json!({"comment": {"user": {"id": name, "name": name, "role": "host"}, "text": text}})
}

fn poll(id: &str) -> Value {
    json!({"poll": {"id": id, "question": "Which?", "options": ["a", "b"]}})
}

fn close(id: &str) -> Value {
    json!({"poll_close": {"id": id}})
}

fn delete(offset: u64) -> Value {
    json!({"delete": {"offset": offset}})
}

#[track_caller]
fn refused(what: &str, answer: &Answer, status: u16, code: &str, index: Option<u64>) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {answer:?}");
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(body["error"]["index"].as_u64(), index, "{what}: {answer:?}");
}

/// The room's history, without the fields that change between runs.
fn page(server: &Server, room: &str) -> Value {
    let (status, body) = server.get(server.public, &at(room, "?limit=1000"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn a_key_belongs_to_one_request_and_any_other_with_it_is_a_conflict() {
    let server = server();
    let first = taken(server.admin, "keys", &key("k"), &batch(&[pin("a"), said("host", "b")]));
    let comments = taken(server.admin, "keys", &key("c"), &batch(&[said("host", "a"), said("host", "b")]));
    let single = taken(server.admin, "keys", &key("s"), &said("host", "alone"));
    let end = number(&page(&server, "keys"), "last");
    for (what, key_of, body, index) in [
        ("one event more", "k", batch(&[pin("a"), said("host", "b"), pin("c")]), 0),
        ("one event fewer", "k", batch(&[pin("a")]), 0),
        ("another order", "k", batch(&[said("host", "b"), pin("a")]), 0),
        ("one of the events, by itself", "k", pin("a"), 0),
        ("an event's own key", "k.1", said("host", "b"), 0),
        ("one comment more", "c", batch(&[said("host", "a"), said("host", "b"), said("host", "c")]), 0),
        ("one comment fewer", "c", batch(&[said("host", "a")]), 0),
        ("another author", "s", said("other", "alone"), 0),
        ("another kind", "s", pin("alone"), 0),
        ("a batch of one", "s", batch(&[said("host", "alone")]), 0),
        (
            "another style",
            "s",
            json!({"comment": {"user": {"id": "host", "name": "host", "role": "host"}, "text": "alone",
                "style": {"color": 1}}}),
            0,
        ),
    ] {
        refused(what, &post(server.admin, &at("keys", ""), &key(key_of), &body), 409, "id_conflict", Some(index));
    }
    assert_eq!(taken(server.admin, "keys", &key("k"), &batch(&[pin("a"), said("host", "b")])), first);
    assert_eq!(taken(server.admin, "keys", &key("c"), &batch(&[said("host", "a"), said("host", "b")])), comments);
    assert_eq!(taken(server.admin, "keys", &key("s"), &said("host", "alone")), single);
    assert_eq!(number(&page(&server, "keys"), "last"), end, "nothing more was stored");
    assert!(!page(&server, "keys").to_string().contains("posted"), "the hash is the log's business");
    // A key belongs to a room: a different room may use it again.
    assert_eq!(taken(server.admin, "next", &key("k"), &pin("other")), [1]);
}

#[test]
fn no_two_polls_share_an_id_so_late_votes_count_nowhere_else() {
    let server = server();
    let again = batch(&[poll("p"), close("p"), poll("p")]);
    refused("all in one batch", &post(server.admin, &at("polls", ""), "", &again), 409, "poll_used", Some(2));
    taken(server.admin, "polls", "", &batch(&[poll("old"), close("old")]));
    for n in 0..10 {
        let many: Vec<Value> = (0..50).flat_map(|m| [poll(&format!("{n}-{m}")), close(&format!("{n}-{m}"))]).collect();
        taken(server.admin, "polls", "", &batch(&many));
    }
    refused("a poll of long ago", &post(server.admin, &at("polls", ""), "", &poll("old")), 409, "poll_used", Some(0));
    taken(server.admin, "polls", "", &poll("now"));
    refused("an open one", &post(server.admin, &at("polls", ""), "", &poll("now")), 409, "poll_open", Some(0));
    for (what, events) in [
        ("closed twice", vec![close("now"), close("now")]),
        ("closed by the next", vec![poll("new"), close("now")]),
        ("never opened", vec![pin("x"), close("never")]),
    ] {
        refused(what, &post(server.admin, &at("polls", ""), "", &batch(&events)), 409, "poll_closed", Some(1));
    }
    let mut viewer = server.join("polls");
    viewer.send_value(&json!({"vote": {"poll": "old", "option": 0, "id": "v"}}));
    assert_eq!(viewer.next("error")["code"], "poll_closed");
}

#[test]
fn only_a_comment_that_is_there_is_deleted_and_once() {
    let server = server();
    let mut viewer = server.join("gone");
    let comment = number(&viewer.comment("c1", "still here"), "offset");
    let others = [
        json!({"announcement": {"text": "closing"}}),
        json!({"gift": {"user": {"id": "u", "name": "u"}, "name": "rose", "count": 1, "value": 1}}),
        poll("p"),
        close("p"),
        json!({"settings": {"slow_ms": 0}}),
        pin("x"),
    ];
    let offsets = taken(server.admin, "gone", "", &batch(&others));
    viewer.send_value(&json!({"like": {"count": 3}}));
    while page(&server, "gone")["last"].as_u64() == offsets.last().copied() {
        viewer.next("frame");
    }
    let likes = number(&page(&server, "gone"), "last");
    let end = likes;
    // More keys than the room itself remembers.
    for offset in offsets.iter().copied().chain([likes, likes + 1, likes + 2, 1 << 40, (1 << 53) - 1]) {
        let answer = post(server.admin, &at("gone", ""), "", &delete(offset));
        refused(&format!("offset {offset}"), &answer, 404, "no_such_event", Some(0));
    }
    for offset in [0, 1 << 53] {
        let answer = post(server.admin, &at("gone", ""), "", &delete(offset));
        refused(&format!("offset {offset}"), &answer, 422, "out_of_range", None);
    }
    let own = batch(&[said("host", "hello"), delete(end + 1)]);
    refused("of the same batch", &post(server.admin, &at("gone", ""), "", &own), 404, "no_such_event", Some(1));
    let twice = batch(&[delete(comment), delete(comment)]);
    refused("twice in a batch", &post(server.admin, &at("gone", ""), "", &twice), 404, "no_such_event", Some(1));
    assert_eq!(number(&page(&server, "gone"), "last"), end, "nothing was stored");
    let first = taken(server.admin, "gone", &key("d"), &delete(comment));
    refused("again", &post(server.admin, &at("gone", ""), "", &delete(comment)), 404, "no_such_event", Some(0));
    assert_eq!(taken(server.admin, "gone", &key("d"), &delete(comment)), first, "the repetition of the first");
    refused("in no room", &post(server.admin, &at("nowhere", ""), "", &delete(1)), 404, "no_such_event", Some(0));
}

#[test]
fn every_act_may_name_the_epoch_that_it_means() {
    let server = server();
    let mut viewer = server.join("when");
    let epoch = viewer.welcome["epoch"].as_str().expect("an epoch").to_owned();
    let comment = number(&viewer.comment("c1", "innocent"), "offset");
    for act in [
        delete(comment),
        pin("x"),
        json!({"unpin": {}}),
        poll("p"),
        json!({"settings": {"mute_all": true}}),
        said("host", "x"),
        batch(&[delete(comment), pin("x")]),
    ] {
        let answer = post(server.admin, &at("when", "?epoch=1"), "", &act);
        refused(&act.to_string(), &answer, 409, "epoch_changed", None);
        assert!(answer.body.contains(&format!("\"epoch\":\"{epoch}\"")), "{answer:?}");
    }
    assert_eq!(number(&page(&server, "when"), "last"), comment, "nothing was stored");
    for query in ["?epcoh=1", "?epoch=1&epoch=1", "?epoch=", "?epoch=xyz", "?after=1", "?epoch=1&%65poch=1", "?%ff"] {
        for path in [at("when", query), format!("/v1/announce{query}")] {
            let answer = post(server.admin, &path, "", &json!({"announcement": {"text": "x"}}));
            refused(&path, &answer, 400, "bad_payload", None);
        }
    }
    let named = format!("/v1/announce?epoch={epoch}");
    refused(&named, &post(server.admin, &named, "", &json!({"announcement": {"text": "x"}})), 400, "bad_payload", None);
    let answer = post(server.admin, &at("when", &format!("?epoch={epoch}")), "", &delete(comment));
    assert_eq!(answer.status, 200, "{answer:?}");
    // A reading request may name it too.
    for path in ["/v1/rooms/when/events", "/v1/rooms/when/export"] {
        assert_eq!(server.get(server.public, &format!("{path}?epoch={epoch}")).0, 200, "{path}");
        assert_eq!(server.get(server.public, &format!("{path}?epoch=1")).0, 409, "{path}");
        assert_eq!(server.get(server.public, &format!("{path}?epoch=1&%65poch=1")).0, 400, "{path}");
    }
}
