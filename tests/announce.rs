//! An announcement to all rooms: every open room has it once, however many there are.

mod support;

use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use support::poster::post;
use support::{PATIENCE, Server};
use volley::config::Data;

/// Concurrent connections that open rooms; the admin address serves 64.
const OPENERS: usize = 32;

fn room(n: usize) -> String {
    format!("room-{n}")
}

/// Opens rooms by posting to each: they stay open without a viewer.
fn open(admin: SocketAddr, rooms: usize) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..OPENERS {
            scope.spawn(|| {
                let mut connection: Option<BufReader<TcpStream>> = None;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= rooms {
                        return;
                    }
                    // A connection is closed after a time; a closed one is opened again.
                    while !connection.as_mut().is_some_and(|stream| opened(stream, n)) {
                        let stream = TcpStream::connect(admin).expect("connects");
                        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                        connection = Some(BufReader::new(stream));
                    }
                }
            });
        }
    });
}

/// Posts to a room over a persistent connection; `false` if it was closed.
fn opened(stream: &mut BufReader<TcpStream>, n: usize) -> bool {
    let body = r#"{"unpin":{}}"#;
    let lines = support::poster::json_lines(body.as_bytes(), "");
    let request = format!("POST /v1/rooms/{}/events HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}", room(n));
    if stream.get_mut().write_all(request.as_bytes()).is_err() {
        return false;
    }
    let (mut line, mut length) = (String::new(), 0);
    if !matches!(stream.read_line(&mut line), Ok(n) if n > 0) {
        return false;
    }
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("a head");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    stream.read_exact(&mut vec![0; length]).expect("a body");
    true
}

/// Announces while viewers of a room comment: all rooms have the announcement, and no comment is refused.
fn reaches_all(server: &Server, rooms: usize) {
    open(server.admin, rooms);
    let mut viewer = server.join(&room(0));
    let said = json!({"announcement": {"text": "please leave by the nearest door", "level": "urgent"}});
    let admin = server.admin;
    let began = Instant::now();
    let announcing = std::thread::spawn(move || post(admin, "/v1/announce", "Idempotency-Key: alarm\r\n", &said));
    let mut comments = 0;
    while !announcing.is_finished() {
        viewer.comment(&format!("c{comments}"), "what was that?"); // Its acknowledgement is waited for.
        comments += 1;
    }
    let answer = announcing.join().expect("an answer");
    assert_eq!(answer.body, format!(r#"{{"rooms":{rooms},"failed":0}}"#), "{answer:?}");
    assert_eq!(answer.status, 200);
    eprintln!("{rooms} rooms after {} ms, {comments} comments meanwhile", began.elapsed().as_millis());
    for n in [0, 1, rooms / 2, rooms - 1] {
        let (status, page) = server.get(server.public, &format!("/v1/rooms/{}/events?limit=1000", room(n)));
        assert!(status == 200 && page.matches("nearest door").count() == 1, "{page}");
    }
}

#[test]
fn thousands_of_quiet_rooms_have_it_and_comments_go_on() {
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    });
    reaches_all(&server, 3_000);
}

#[test]
#[ignore = "half a minute: `tests/run --long`"]
fn ten_thousand_rooms_on_disk_have_it_and_comments_go_on() {
    struct Scratch(PathBuf);
    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
    let scratch = Scratch(std::env::temp_dir().join(format!("volley-announce-{}", std::process::id())));
    std::fs::create_dir_all(&scratch.0).expect("a directory");
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.data = Data::Directory(scratch.0.join("data"));
    });
    reaches_all(&server, 10_000);
}
