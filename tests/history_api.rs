//! A room's log over HTTP: pages with every event, and a clear answer for every position without events.

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use support::{Client, Server, http};
use volley::limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX, PAGES_MAX};
use volley::protocol::history::HistoryPage;

fn quick() -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    })
}

fn ask(server: &Server, path: &str) -> (u16, Value) {
    let (status, body) = server.get(server.public, path);
    (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}")))
}

fn page(server: &Server, path: &str) -> HistoryPage {
    let (status, body) = ask(server, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_value(body).unwrap()
}

/// Sends comments; each is acknowledged.
fn say(client: &mut Client, range: std::ops::Range<usize>) {
    say_each(client, range, |n| format!("say {n}"));
}

fn say_each(client: &mut Client, range: std::ops::Range<usize>, text: impl Fn(usize) -> String) {
    // Few enough at a time for their acks and frames to fit a socket that is not read meanwhile.
    for from in range.clone().step_by(50) {
        let some = from..range.end.min(from + 50);
        for n in some.clone() {
            client.send_value(&json!({"comment": {"id": format!("c{n}"), "text": text(n)}}));
        }
        some.for_each(|_| drop(client.next("ack")));
    }
}

#[test]
fn pages_joined_are_the_whole_log_and_agree_with_the_frames() {
    let server = quick();
    let mut talker = server.join("show");
    let styled = json!({"comment": {"id": "a", "text": "styled", "style": {"mode": "top", "color": 255, "size": 36},
        "media_ms": 81_234, "ext": {"badge": "fan"}}});
    talker.send_value(&styled);
    let offset = talker.next("ack")["offset"].clone();
    talker.send_value(&json!({"like": {"count": 3}}));
    while talker.next("frame")["likes"] != 3 {}
    say(&mut talker, 0..250);
    let (status, whole) = ask(&server, "/v1/rooms/show/events?limit=1000");
    assert_eq!((status, &whole["first"], &whole["next"]), (200, &json!(1), &Value::Null));
    let events = whole["events"].as_array().unwrap();
    assert_eq!(events.len(), 252);
    assert_eq!(whole["last"], events[251]["offset"]);
    assert_eq!(whole["epoch"], talker.welcome["epoch"]);

    // The same objects as in frames, with their times; likes are events too.
    let mut late = server.connect("show", &format!("?epoch={}&after=0", whole["epoch"].as_str().unwrap()));
    assert_eq!(late.next("welcome")["recovered"], true);
    let mut shown: Vec<Value> = Vec::new();
    while shown.len() < 251 {
        shown.extend(late.next("frame")["events"].as_array().unwrap().iter().cloned());
    }
    let mut said: Vec<Value> = events.clone();
    for event in &mut said {
        let at = event.as_object_mut().unwrap().remove("at").expect("a time");
        assert!(at.as_u64().unwrap() > 1_700_000_000_000, "{at}");
    }
    assert_eq!(said[0]["offset"], offset);
    let likes: Vec<Value> = said.extract_if(.., |event| event.get("likes").is_some()).collect();
    assert_eq!(likes.len(), 1);
    assert_eq!(likes[0]["likes"], json!({"add": 3}));
    assert_eq!(said, shown);

    // For every size of pages.
    for limit in [1, 7, 100, 251, 252, 253] {
        let mut joined = Vec::new();
        let mut path = format!("/v1/rooms/show/events?limit={limit}");
        loop {
            let page = page(&server, &path);
            assert!(page.events.len() <= limit);
            joined.extend(page.events);
            match page.next {
                Some(next) => path = format!("/v1/rooms/show/events?epoch={}&limit={limit}&after={next}", page.epoch),
                None => break,
            }
        }
        assert_eq!(serde_json::to_value(&joined).unwrap(), whole["events"], "in pages of {limit}");
    }
    assert!(server.metric("volley_history_pages_total", "") > 250.0);
}

#[test]
fn a_page_is_bounded_by_events_and_by_bytes() {
    let server = quick();
    let mut talker = server.join("full");
    say(&mut talker, 0..1_100);
    assert_eq!(page(&server, "/v1/rooms/full/events").events.len(), 100, "the default");
    for limit in ["1000", "1001", "1000000000", "99999999999999999999999999"] {
        let page = page(&server, &format!("/v1/rooms/full/events?limit={limit}"));
        assert!(page.events.len() <= PAGE_EVENTS_MAX && page.events.len() > 100 && page.next.is_some(), "{limit}");
    }
    let long = "字".repeat(500);
    say_each(&mut talker, 1_100..1_500, |_| long.clone());
    let (_, body) = server.get(server.public, "/v1/rooms/full/events?limit=1000&after=1100");
    let page: HistoryPage = serde_json::from_str(&body).unwrap();
    assert!(page.events.len() < 400 && page.next.is_some(), "{} long ones in one page", page.events.len());
    assert!(body.len() < PAGE_BYTES_MAX * 2, "{} bytes", body.len());
}

#[test]
fn an_absent_position_is_refused_with_the_retained_ones() {
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
        config.room.log_events_max = 50;
    });
    let mut talker = server.join("short");
    say(&mut talker, 0..200);
    // The log is trimmed with its room's ticks.
    let mut ids = 0..;
    server.eventually("the log is trimmed", |server| {
        talker.comment(&format!("x{}", ids.next().unwrap()), "tick");
        page(server, "/v1/rooms/short/events?limit=1").first > 100
    });
    let whole = page(&server, "/v1/rooms/short/events?limit=1000");
    let (first, last, epoch) = (whole.first, whole.last, whole.epoch);
    assert_eq!(whole.events.first().unwrap().offset, first, "without a position it begins where the log begins");
    assert_eq!(whole.events.last().unwrap().offset, last);
    assert_eq!(page(&server, "/v1/rooms/short/events?after=0&limit=1").events[0].offset, first, "and so does 0");
    assert_eq!(page(&server, &format!("/v1/rooms/short/events?after={}&limit=1", first - 1)).events[0].offset, first);
    let end = page(&server, &format!("/v1/rooms/short/events?after={last}&epoch={epoch}"));
    assert_eq!((end.events.len(), end.next, end.last), (0, None, last));

    let other = if epoch.to_string().starts_with('0') { "1" } else { "0" };
    for (query, status, code, detail) in [
        ("after=1".to_owned(), 410, "too_old", ("first", json!(first))),
        (format!("after={}", first - 2), 410, "too_old", ("first", json!(first))),
        (format!("after={}", last + 1), 409, "ahead", ("last", json!(last))),
        ("after=9007199254740991".to_owned(), 409, "ahead", ("last", json!(last))),
        (format!("epoch={other}"), 409, "epoch_changed", ("epoch", json!(epoch))),
        (format!("epoch={other}&after=9007199254740991"), 409, "epoch_changed", ("epoch", json!(epoch))),
    ] {
        let (got, body) = ask(&server, &format!("/v1/rooms/short/events?{query}"));
        let error = &body["error"];
        assert_eq!((got, &error["code"], &error[detail.0]), (status, &json!(code), &detail.1), "{query}: {body}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{body}");
    }
}

#[test]
fn malformed_messages_are_refused_by_name() {
    let server = quick();
    drop(server.join("demo"));
    for resource in ["events", "export"] {
        for (room, status, code) in [
            ("nobody-was-here", 404, "no_such_room"),
            ("", 400, "bad_room"),
            ("a%20b", 400, "bad_room"),
            ("%ff", 400, "bad_room"),
            ("%E4%B8%AD", 400, "bad_room"),
            ("..", 400, "bad_room"),
            ("a.b", 400, "bad_room"),
        ] {
            let (got, body) = ask(&server, &format!("/v1/rooms/{room}/{resource}"));
            assert_eq!((got, &body["error"]["code"]), (status, &json!(code)), "{room}/{resource}: {body}");
        }
        let (got, body) = ask(&server, &format!("/v1/rooms/{}/{resource}", "x".repeat(65)));
        assert_eq!((got, &body["error"]["code"]), (400, &json!("bad_room")));
        assert_eq!(ask(&server, &format!("/v1/rooms/demo/{resource}/")).0, 404);
        let post = format!("POST /v1/rooms/demo/{resource} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(http(server.public, &post).0, 405);
        // On the operators' address events can only be posted.
        let there = server.get(server.admin, &format!("/v1/rooms/demo/{resource}")).0;
        assert_eq!(there, if resource == "events" { 405 } else { 404 });
    }
    for (query, named) in [
        ("limit=-1", "limit"),
        ("limit=0", "limit"),
        ("limit=", "limit"),
        ("limit", "limit"),
        ("limit=1.5", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=1", "limit"),
        ("limit=%zz", "limit"),
        ("limit=%2B1", "limit"),
        ("after=-1", "after"),
        ("after=", "after"),
        ("after=1e3", "after"),
        ("after=9007199254740992", "after"),
        ("after=18446744073709551616", "after"),
        ("after=1&limit=5&after=1", "after"),
        ("epoch=", "epoch"),
        ("epoch=xyz", "epoch"),
        ("epoch=00000000000000001", "epoch"),
        ("epoch=1&epoch=1", "epoch"),
        ("limit=%ff", "limit"),
    ] {
        let (status, body) = ask(&server, &format!("/v1/rooms/demo/events?{query}"));
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!((status, &body["error"]["code"]), (400, &json!("bad_payload")), "{query}: {body}");
        assert!(message.starts_with(named), "{query}: {message}");
    }
    for query in ["format=", "format=mp4", "format=jsonl&format=jsonl", "format=JSONL"] {
        let (status, body) = ask(&server, &format!("/v1/rooms/demo/export?{query}"));
        let message = body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!((status, &body["error"]["code"]), (400, &json!("bad_payload")), "{query}: {body}");
        assert!(message.starts_with("format"), "{query}: {message}");
    }
    // Unknown parameters are ignored, and an empty room has a history.
    let empty = page(&server, "/v1/rooms/demo/events?x=1&&token=secret");
    assert_eq!((empty.first, empty.last, empty.events.len(), empty.next), (1, 0, 0, None));
    assert_eq!(ask(&server, "/v1/rooms/demo/events?after=1").1["error"]["code"], "ahead");
}

#[test]
fn an_answer_is_never_stored_and_says_its_length() {
    let server = quick();
    drop(server.join("demo"));
    let request = |method: &str| {
        let mut stream = TcpStream::connect(server.public).unwrap();
        let head = format!("{method} /v1/rooms/demo/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    };
    let (head, body) = request("GET");
    for line in ["cache-control: no-store", "content-type: application/json", "x-content-type-options: nosniff"] {
        assert!(head.contains(line), "{line} is missing: {head}");
    }
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(!head.contains("access-control"), "{head}");
    let (as_head, nothing) = request("HEAD");
    assert!(as_head.contains(&format!("content-length: {}", body.len())) && nothing.is_empty(), "{as_head}");
}

/// Connections that requested a page and do not read it; with the small receive buffer it stays with the server.
fn hoard(server: &Server, count: usize) -> Vec<TcpStream> {
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.connect(&server.public.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.write_all(b"GET /v1/rooms/big/events?limit=1000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream
    };
    (0..count).map(|_| open()).collect()
}

#[test]
fn too_many_pages_at_once_are_refused_with_a_hint_and_counted() {
    let server = quick();
    let mut talker = server.join("big");
    let long = "字".repeat(500);
    say_each(&mut talker, 0..300, |_| long.clone());
    let hoarded = hoard(&server, PAGES_MAX);
    server.eventually("all places are taken", |server| {
        server.metric("volley_history_pages_total", "") >= PAGES_MAX as f64
    });
    let mut stream = TcpStream::connect(server.public).unwrap();
    stream.write_all(b"GET /v1/rooms/big/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.to_lowercase().contains("\r\nretry-after: 1\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\"overloaded\""), "{answer}");
    assert_eq!(server.metric("volley_history_refusals_total", "what=\"page\""), 1.0);
    // A client that leaves frees its place.
    drop(hoarded);
    server.eventually("places are free again", |server| server.get(server.public, "/v1/rooms/big/events").0 == 200);
}
