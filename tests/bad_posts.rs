//! Invalid posts: each gets a clear answer, nothing is stored or broadcast, and no other client is affected.

mod support;

use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use support::gated::{Gate, Gated};
use support::poster::{answer, ask, json_lines, post, taken};
use support::viewer::{Answer, number};
use support::{PATIENCE, Server};
use volley::config::Secret;
use volley::limits::POST_BYTES_MAX;

const PATH: &str = "/v1/rooms/show/events";
const KEY: &str = "CANARY-0123456789-key";

fn person() -> Value {
    json!({"id": "u-7", "name": "小明"})
}

fn gift(count: Value, value: Value) -> Value {
    json!({"gift": {"user": person(), "name": "rose", "count": count, "value": value}})
}

#[track_caller]
fn refused(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {answer:?}");
    assert!(answer.body.len() < 600, "{what} gets a novel: {answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
}

#[test]
fn each_wrong_body_has_its_code_and_leaves_no_trace() {
    let server = Server::start(|config| config.tick_ms = 10);
    let mut bystander = server.join("show");
    let deep = format!(r#"{{"custom":{{"type":"a.b","data":{}{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let raw: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("nothing", b"".to_vec(), 400, "bad_payload"),
        ("blanks", b" \r\n\t".to_vec(), 400, "bad_payload"),
        ("UTF-16", utf16("{\"unpin\":{}}", true), 400, "bad_payload"),
        ("UTF-16 without a mark", utf16("{\"unpin\":{}}", false), 400, "bad_payload"),
        ("gzip that is not said to be", b"\x1f\x8b\x08\x00\x00".to_vec(), 400, "bad_payload"),
        ("two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbf{\"unpin\":{}}".to_vec(), 400, "bad_payload"),
        ("half an object", b"{\"unpin\":{}".to_vec(), 400, "bad_payload"),
        ("two documents", b"{\"unpin\":{}}{\"unpin\":{}}".to_vec(), 400, "bad_payload"),
        ("a key twice", b"{\"unpin\":{},\"unpin\":{}}".to_vec(), 400, "bad_payload"),
        ("no UTF-8", b"{\"pin\":{\"text\":\"\xff\"}}".to_vec(), 400, "bad_payload"),
        ("NaN", b"{\"delete\":{\"offset\":NaN}}".to_vec(), 400, "bad_payload"),
        ("custom JSON of depth 10,000", deep.into_bytes(), 400, "bad_payload"),
        ("depth 100,000 of nothing", "[".repeat(100_000).into_bytes(), 400, "bad_payload"),
        ("an announcement of 1 MB", announcement(1_000_000), 413, "too_large"),
        ("one byte too many", announcement(POST_BYTES_MAX - 27), 413, "too_large"),
        ("an announcement of 100 kB", announcement(100_000), 422, "too_long"),
    ];
    for (what, body, status, code) in raw {
        refused(what, &ask(server.admin, PATH, &json_lines(&body, ""), &body), status, code);
    }
    for (what, body, status, code) in [
        ("value -1", gift(json!(1), json!(-1)), 422, "out_of_range"),
        ("value 10^18", gift(json!(1), json!(1_000_000_000_000_000_000_u64)), 422, "out_of_range"),
        ("count 0", gift(json!(0), json!(1)), 422, "out_of_range"),
        ("count 1.5", gift(json!(1.5), json!(1)), 400, "bad_payload"),
        ("a dance", json!({"dance": {}}), 400, "bad_payload"),
        ("likes", json!({"likes": {"add": 1_000_000}}), 400, "bad_payload"),
        ("votes", json!({"votes": {"poll": "p", "ballots": []}}), 400, "bad_payload"),
        ("an unknown field", json!({"unpin": {"why": 1}}), 400, "bad_payload"),
        ("two kinds", json!({"unpin": {}, "delete": {"offset": 1}}), 400, "bad_payload"),
        ("no events", json!({"events": []}), 422, "out_of_range"),
        ("101 events", json!({"events": vec![json!({"unpin": {}}); 101]}), 422, "out_of_range"),
        ("a tick of 1 ms", json!({"settings": {"tick_ms": 1}}), 422, "out_of_range"),
        ("a budget of 10^6", json!({"settings": {"budget": 1_000_000}}), 422, "out_of_range"),
        ("a class of its own", json!({"settings": {"classes": {"gift": "best"}}}), 400, "bad_payload"),
        ("a type without a dot", json!({"custom": {"type": "product", "data": 1}}), 422, "out_of_range"),
        ("a type with capitals", json!({"custom": {"type": "Shop.P", "data": 1}}), 422, "out_of_range"),
        ("data of 2 KiB", json!({"custom": {"type": "a.b", "data": "x".repeat(2_048)}}), 422, "too_long"),
        ("a time in seconds", json!({"announcement": {"text": "x", "until": 1_796_083_540}}), 422, "out_of_range"),
        ("a time in microseconds", until(1_796_083_540_000_000), 422, "out_of_range"),
        ("a time that is over", until(1_600_000_000_000), 422, "bad_time"),
        ("a time in 2096", until(4_000_000_000_000), 422, "bad_time"),
        ("slow mode in seconds", json!({"settings": {"slow_ms": 5}}), 422, "out_of_range"),
        ("an invisible text", json!({"announcement": {"text": "\u{200b}"}}), 422, "empty"),
        ("a poll of one", json!({"poll": {"id": "p", "question": "?", "options": ["a"]}}), 422, "out_of_range"),
        ("an id with spaces", json!({"enter": {"user": {"id": "a b", "name": "x"}}}), 422, "out_of_range"),
        ("a comment that is not there", json!({"delete": {"offset": 5}}), 404, "no_such_event"),
        (
            "one wrong of two",
            json!({"events": [{"pin": {"text": "seen?"}}, gift(json!(1), json!(-1))]}),
            422,
            "out_of_range",
        ),
    ] {
        refused(what, &post(server.admin, PATH, "", &body), status, code);
        refused(what, &post(server.admin, PATH, "Idempotency-Key: k\r\n", &body), status, code);
    }
    let fine = json!({"unpin": {}});
    for (what, path) in [
        ("a room with a dot", "/v1/rooms/a.b/events"),
        ("no room", "/v1/rooms//events"),
        ("bytes", "/v1/rooms/%ff/events"),
    ] {
        refused(what, &post(server.admin, path, "", &fine), 400, "bad_room");
    }
    for key in ["", "é", &"k".repeat(65), "a\r\nIdempotency-Key: b"] {
        let answer = post(server.admin, PATH, &format!("Idempotency-Key: {key}\r\n"), &fine);
        assert_eq!(answer.status, 400, "{key:?}: {answer:?}");
    }
    let batch = json!({"events": [fine]});
    refused(
        "a long key",
        &post(server.admin, PATH, &format!("Idempotency-Key: {}\r\n", "k".repeat(62)), &batch),
        400,
        "bad_key",
    );

    // Nothing was stored or broadcast: the next event is the log's first one, and the only one in its frame.
    let first = number(&bystander.comment("c1", "hello"), "offset");
    assert_eq!(first, 1);
    let mut seen = Vec::new();
    while seen.is_empty() {
        seen = bystander.next("frame")["events"].as_array().unwrap().clone();
    }
    assert_eq!((seen.len(), &seen[0]["comment"]["text"]), (1, &json!("hello")), "{seen:?}");
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
    // Each answer names the mistake.
    let said = |body: &[u8]| ask(server.admin, PATH, &json_lines(body, ""), body).body;
    assert!(said(b"").contains("the body is empty"));
    assert!(said(&utf16("{\"unpin\":{}}", true)).contains("UTF-16"));
    assert!(said(b"\x1f\x8b\x08").contains("gzip"));
    assert!(post(server.admin, PATH, "", &until(1_796_083_540)).body.contains("multiply by 1,000"));
    // A byte order mark and Windows' line ends are accepted.
    for body in ["\u{feff}{\"unpin\":{}}", "\u{feff}\r\n{\r\n\"unpin\":{}}\r\n"] {
        let answer = ask(server.admin, PATH, &json_lines(body.as_bytes(), ""), body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // A valid post to the same room is still accepted.
    taken(server.admin, "show", "", &fine);
}

fn until(ms: u64) -> Value {
    json!({"announcement": {"text": "x", "until": ms}})
}

fn utf16(text: &str, mark: bool) -> Vec<u8> {
    mark.then_some(0xfeff).into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn announcement(bytes: usize) -> Vec<u8> {
    json!({"announcement": {"text": "x".repeat(bytes)}}).to_string().into_bytes()
}

#[test]
fn a_body_that_is_not_json_is_refused_before_it_is_read() {
    let server = Server::start(|_| ());
    let body = br#"{"unpin":{}}"#;
    let length = format!("Content-Length: {}\r\n", body.len());
    for (lines, told) in [
        ("", "Content-Type is missing"),
        (
            "Content-Type: application/x-www-form-urlencoded\r\n",
            "a form, which curl -d sends by default; send -H 'Content-Type",
        ),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "Content-Encoding"),
    ] {
        let answer = ask(server.admin, PATH, &format!("{length}{lines}"), body);
        assert!(answer.body.contains(told), "{answer:?}");
    }
    for (what, lines) in [
        ("no type", String::new()),
        ("a form's type", "Content-Type: application/x-www-form-urlencoded\r\n".into()),
        ("what a form of a foreign page can send", "Content-Type: text/plain\r\n".into()),
        ("nearly JSON", "Content-Type: application/jsonp\r\n".into()),
        ("two types", "Content-Type: application/json\r\nContent-Type: application/json\r\n".into()),
        ("packed", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n".into()),
    ] {
        let answer = ask(server.admin, PATH, &format!("{length}{lines}"), body);
        refused(what, &answer, 415, "unsupported_media_type");
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        let answer = ask(server.admin, PATH, &format!("{length}Content-Type: {kind}\r\n"), body);
        assert_eq!(answer.status, 200, "{kind}: {answer:?}");
    }
    // A chunked body is accepted; without an end it is cut off at the bound.
    let chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let whole = format!("{:x}\r\n{}\r\n0\r\n\r\n", body.len(), String::from_utf8_lossy(body));
    assert_eq!(ask(server.admin, PATH, chunked, whole.as_bytes()).status, 200);
    let endless = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(5);
    refused("endless chunks", &ask(server.admin, PATH, chunked, endless.as_bytes()), 413, "too_large");
    refused(
        "100 MB announced",
        &ask(server.admin, PATH, "Content-Type: application/json\r\nContent-Length: 100000000\r\n", b"{"),
        413,
        "too_large",
    );
    // Two framings of one body are refused here too.
    let both = "Content-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(ask(server.admin, PATH, both, b"0\r\n\r\n").status, 400);
    // The public address has none of these paths.
    assert_eq!(ask(server.public, PATH, &json_lines(body, ""), body).status, 413);
    assert_eq!(ask(server.public, "/v1/announce", &json_lines(b"", ""), b"").status, 404);
    assert_eq!(server.get(server.admin, PATH).0, 405);
}

#[test]
fn a_body_that_does_not_come_and_a_room_that_does_not_answer_have_an_end() {
    let log = Gated::new();
    log.opening("stuck", Gate::Shut);
    let server = Server::start_on(log.clone(), |_| ());
    let begin = |path: &str, lines: &str, body: &str| {
        let mut stream = TcpStream::connect(server.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n{body}").unwrap();
        stream
    };
    let slow = begin(PATH, "Content-Type: application/json\r\nContent-Length: 12\r\n", "{\"unpin\"");
    let stuck =
        begin("/v1/rooms/stuck/events", &json_lines(b"{\"unpin\":{}}", "Idempotency-Key: k\r\n"), "{\"unpin\":{}}");
    refused("a body that stops", &answer(slow), 408, "timeout");
    let unknown = answer(stuck);
    refused("a room that does not open", &unknown, 504, "outcome_unknown");
    assert!(unknown.header("retry-after").is_some() && unknown.body.contains("Idempotency-Key"), "{unknown:?}");
    // The post was stored, and its repetition finds it.
    log.opening("stuck", Gate::Open);
    let key = "Idempotency-Key: k\r\n";
    assert_eq!(taken(server.admin, "stuck", key, &json!({"unpin": {}})), [1]);
}

#[test]
fn with_a_key_configured_no_change_is_possible_without_it() {
    let server = Server::start(|config| config.addresses.admin_key = Secret::new(KEY));
    let mut bystander = server.join("show");
    let fine = json!({"announcement": {"text": "let me in"}});
    let right = format!("Authorization: Bearer {KEY}\r\n");
    let short = format!("Authorization: Bearer {}\r\n", &KEY[..KEY.len() - 1]);
    for path in [PATH, "/v1/announce", "/v1/rooms/a.b/events"] {
        for (what, lines) in [
            ("no key", ""),
            ("another key", "Authorization: Bearer 0123456789abcdef\r\n"),
            ("most of the key", &short),
            ("another scheme", &format!("Authorization: Basic {KEY}\r\n")),
            ("twice", &right.repeat(2)),
            ("the key elsewhere", &format!("X-Admin-Key: {KEY}\r\n")),
        ] {
            let answer = post(server.admin, path, lines, &fine);
            refused(what, &answer, 401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(!answer.body.contains("CANARY"), "{answer:?}");
        }
        // The refusal does not reveal whether the post was valid.
        let nonsense = ask(server.admin, path, &json_lines(b"nonsense", ""), b"nonsense");
        refused("nonsense without a key", &nonsense, 401, "unauthorized");
    }
    let first = number(&bystander.comment("c1", "hello"), "offset");
    assert_eq!(first, 1, "nothing was stored");
    assert_eq!(taken(server.admin, "show", &right, &fine).len(), 1);
    assert_eq!(post(server.admin, "/v1/announce", &right, &fine).status, 200);
    // Reading needs no key.
    for path in ["/v1/rooms", "/metrics", "/healthz", "/readyz"] {
        let (status, body) = server.get(server.admin, path);
        assert!(status == 200 && !body.contains("CANARY"), "{path}");
    }
    assert_eq!(server.metric("volley_post_refusals_total", "reason=\"key\""), 21.0);
}

#[test]
fn without_a_key_a_page_cannot_post() {
    let server = Server::start(|_| ());
    for origin in ["http://127.0.0.1:8081", "https://evil.test", "null"] {
        let answer = post(server.admin, PATH, &format!("Origin: {origin}\r\n"), &json!({"unpin": {}}));
        refused(origin, &answer, 403, "forbidden_origin");
    }
    assert_eq!(taken(server.admin, "show", "", &json!({"unpin": {}})), [1]);
}

#[test]
fn a_node_with_as_many_rooms_as_may_be_says_so() {
    let server = Server::start(|config| config.room.rooms_max = 1);
    let _there = server.join("show");
    let answer = post(server.admin, "/v1/rooms/another/events", "", &json!({"unpin": {}}));
    refused("one room too many", &answer, 503, "rooms_full");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(taken(server.admin, "show", "", &json!({"unpin": {}})), [1]);
}
