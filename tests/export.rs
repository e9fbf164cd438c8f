//! Whole shows as files, over real sockets.

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Client, Server};
use volley::limits::EXPORTS_MAX;

fn quick() -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    })
}

fn request(server: &Server, line: &str) -> TcpStream {
    // With a small receive buffer, unread bytes stay with the server.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&server.public.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    stream.write_all(format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    stream
}

fn read(mut stream: TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8_lossy(&bytes[..at]).to_lowercase(), bytes[at..].to_vec())
}

/// The joined chunks, and whether the last, empty one arrived.
fn unchunk(mut bytes: &[u8]) -> (String, bool) {
    let mut whole = Vec::new();
    while let Some(at) = bytes.windows(2).position(|end| end == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..at]).unwrap(), 16).unwrap();
        if length == 0 {
            return (String::from_utf8(whole).unwrap(), true);
        }
        let Some(chunk) = bytes.get(at + 2..at + 2 + length) else { break };
        whole.extend_from_slice(chunk);
        bytes = bytes.get(at + 4 + length..).unwrap_or_default();
    }
    (String::from_utf8_lossy(&whole).into_owned(), false)
}

fn export(server: &Server, room: &str, query: &str) -> (String, String) {
    let (head, body) = read(request(server, &format!("GET /v1/rooms/{room}/export{query} HTTP/1.1")));
    assert!(head.starts_with("http/1.1 200 ") && head.contains("transfer-encoding: chunked"), "{head}");
    let (text, is_whole) = unchunk(&body);
    assert!(is_whole, "{query}: the transfer was cut");
    (head, text)
}

/// Sends comments in several parts; every one is acknowledged.
fn talk(client: &mut Client, count: usize) {
    static TALKS: AtomicUsize = AtomicUsize::new(0); // A repeated id is a retry.
    let (text, talk) = ("字".repeat(300), TALKS.fetch_add(1, Ordering::Relaxed));
    // Few enough at a time for their acks and frames to fit a socket that is not read meanwhile.
    for from in (0..count).step_by(50) {
        let some = from..count.min(from + 50);
        for n in some.clone() {
            client.send_value(&json!({"comment": {"id": format!("{talk}-{n}"), "text": format!("{n} {text}")}}));
        }
        some.for_each(|_| drop(client.next("ack")));
    }
}

#[test]
fn a_show_is_one_file_in_every_format() {
    let server = quick();
    let mut talker = server.join("show");
    let say = |talker: &mut Client, comment: Value| {
        talker.send_value(&json!({ "comment": comment }));
        talker.next("ack");
    };
    say(&mut talker, json!({"id": "1", "text": "<b>&amp; ]]> {\\pos(1,1)}"}));
    let style = json!({"mode": "bottom", "color": 255, "size": 36});
    say(&mut talker, json!({"id": "2", "text": "底😀", "style": style, "media_ms": 81_234}));
    talker.send_value(&json!({"like": {"count": 7}}));
    while talker.next("frame")["likes"] != 7 {}

    let (head, jsonl) = export(&server, "show", "?format=jsonl");
    let attachment = |extension: &str| format!("content-disposition: attachment; filename=\"show.{extension}\"");
    assert!(head.contains(&attachment("jsonl")) && head.contains("application/x-ndjson"), "{head}");
    let lines: Vec<Value> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (_, page) = server.get(server.public, "/v1/rooms/show/events");
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(json!(lines), page["events"], "a line is what a page has");
    assert_eq!(export(&server, "show", "").1, jsonl, "the default");

    let (head, xml) = export(&server, "show", "?format=bilibili-xml");
    assert!(head.contains(&attachment("xml")) && head.contains("application/xml"), "{head}");
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><i>") && xml.ends_with("</i>\n"), "{xml}");
    let at_s = lines[0]["at"].as_u64().unwrap() / 1_000;
    assert!(xml.contains(&format!("<d p=\"0.000,1,25,16777215,{at_s},0,")), "{xml}");
    assert!(xml.contains(",1\">&lt;b&gt;&amp;amp; ]]&gt; {\\pos(1,1)}</d>"), "{xml}");
    assert!(xml.contains("<d p=\"81.234,4,36,255,") && xml.contains(",2\">底😀</d>"), "{xml}");
    assert_eq!(export(&server, "show", "?format=bilibili-xml").1, xml, "one show's file is always the same");
    let user = talker.welcome["you"]["id"].as_str().unwrap();
    let name = talker.welcome["you"]["name"].as_str().unwrap();

    let (head, ass) = export(&server, "show", "?format=ass");
    assert!(head.contains(&attachment("ass")) && head.contains("text/x-ssa"), "{head}");
    assert!(ass.contains("{\\an7\\move(") && ass.contains("}<b>&amp; ]]> ｛＼pos(1,1)｝\n"), "{ass}");
    assert!(ass.contains("0:01:21.23,0:01:25.23,Danmaku,,0,0,0,,{\\an2\\pos(960,1080)\\fs72\\c&HFF0000&"), "{ass}");
    for file in [&xml, &ass] {
        assert!(!file.contains(user) && !file.contains(name), "the file names its users");
        assert!(!file.contains("likes"));
    }
    assert_eq!(server.metric("volley_exports_total", ""), 5.0);
    server.eventually("no export runs", |server| server.metric("volley_exports_running", "") == 0.0);
    assert_eq!(server.metric("volley_exports_cut_total", ""), 0.0);
}

#[test]
fn a_long_show_comes_whole_and_in_order_however_slowly_it_is_read() {
    let server = quick();
    let mut talker = server.join("long");
    talk(&mut talker, 3_000);
    let mut stream = request(&server, "GET /v1/rooms/long/export?format=jsonl HTTP/1.1");
    // The export is read slowly while the show continues: it ends where the log ended at its start.
    let mut bytes = vec![0; 10_000];
    stream.read_exact(&mut bytes).unwrap();
    talk(&mut talker, 100);
    loop {
        let mut sip = [0; 777];
        match stream.read(&mut sip).unwrap() {
            0 => break,
            n => bytes.extend_from_slice(&sip[..n]),
        }
    }
    let at = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let (text, is_whole) = unchunk(&bytes[at..]);
    assert!(is_whole);
    let offsets: Vec<u64> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=3_000).collect::<Vec<u64>>());
}

#[test]
fn a_log_that_goes_in_the_middle_leaves_a_transfer_that_shows_it() {
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
        config.room.log_events_max = 4_000;
    });
    let mut talker = server.join("rolling");
    talk(&mut talker, 4_000);
    let mut stream = request(&server, "GET /v1/rooms/rolling/export?format=bilibili-xml HTTP/1.1");
    let mut head = [0; 100];
    stream.read_exact(&mut head).unwrap();
    talk(&mut talker, 4_000);
    let mut ids = 0..;
    server.eventually("the first events are gone", |server| {
        talker.comment(&format!("x{}", ids.next().unwrap()), "tick");
        let (_, page) = server.get(server.public, "/v1/rooms/rolling/events?limit=1");
        serde_json::from_str::<Value>(&page).unwrap()["first"].as_u64().unwrap() > 4_000
    });
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest); // An end or a reset.
    let bytes = [&head[..], &rest].concat();
    let at = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let (text, is_whole) = unchunk(&bytes[at..]);
    assert!(!is_whole && !text.contains("</i>") && text.contains("<d p="), "it looks whole");
    server.eventually("it is counted", |server| server.metric("volley_exports_cut_total", "reason=\"log\"") == 1.0);
}

#[test]
fn too_many_exports_at_once_are_refused_with_a_hint_and_counted() {
    let server = quick();
    let mut talker = server.join("big");
    talk(&mut talker, 3_000);
    let hoarded: Vec<TcpStream> =
        (0..EXPORTS_MAX).map(|_| request(&server, "GET /v1/rooms/big/export HTTP/1.1")).collect();
    server.eventually("all have begun", |server| server.metric("volley_exports_total", "") == EXPORTS_MAX as f64);
    assert_eq!(server.metric("volley_exports_running", ""), EXPORTS_MAX as f64);
    let (head, body) = read(request(&server, "GET /v1/rooms/big/export HTTP/1.1"));
    assert!(head.starts_with("http/1.1 503 ") && head.contains("\r\nretry-after: 30\r\n"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("\"overloaded\""));
    assert_eq!(server.metric("volley_history_refusals_total", "what=\"export\""), 1.0);
    assert_eq!(server.get(server.public, "/v1/rooms/big/events").0, 200, "pages have places of their own");
    // A client that leaves frees its place, and is counted.
    drop(hoarded);
    server.eventually("places are free again", |server| server.metric("volley_exports_running", "") == 0.0);
    assert_eq!(export(&server, "big", "").1.lines().count(), 3_000);
    server.eventually("those who left are counted", |server| {
        server.metric("volley_exports_cut_total", "reason=\"reader\"") == EXPORTS_MAX as f64
    });
}

#[test]
fn an_old_http_would_make_a_cut_look_whole_and_is_refused() {
    let server = quick();
    drop(server.join("demo"));
    let (head, body) = read(request(&server, "GET /v1/rooms/demo/export HTTP/1.0"));
    assert!(head.contains(" 505 "), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("\"http_version\""));
}

#[test]
fn an_empty_room_is_a_whole_file() {
    let server = quick();
    let _stays = server.join("empty");
    assert_eq!(export(&server, "empty", "").1, "");
    assert!(export(&server, "empty", "?format=bilibili-xml").1.ends_with("</source>\n</i>\n"));
    assert!(export(&server, "empty", "?format=ass").1.ends_with("Effect, Text\n"));
}
