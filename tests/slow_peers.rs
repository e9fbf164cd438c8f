//! Slow and stalled viewers: they receive a gap or are closed, and others are not affected.

mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::{PATIENCE, Server};

/// A server without rate limits and with small socket buffers.
fn server(stalled_ms: u64) -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 20;
        config.connection.ring_frames = 16;
        config.connection.sndbuf_bytes = 4 << 10;
        config.connection.notsent_lowat_bytes = 4 << 10;
        config.connection.stalled_ms = stalled_ms;
    })
}

/// Fills frames: comments `from..=to` of 1.5 KB each, acknowledged.
fn talk(talker: &mut support::Client, from: u64, to: u64) {
    for n in from..=to {
        let text = format!("{n} {}", "长".repeat(500));
        talker.send_value(&serde_json::json!({"comment": {"id": format!("c{n}"), "text": text}}));
    }
    for n in from..=to {
        assert_eq!(talker.next("ack")["id"], format!("c{n}"));
    }
}

/// Fills frames until the client that does not read is closed with 4001.
fn talk_until_it_is_closed(server: &Server, talker: &mut support::Client) {
    let began = Instant::now();
    let mut n = 0;
    while server.metric("volley_closes_total", "code=\"4001\"") == 0.0 {
        talk(talker, n + 1, n + 5);
        n += 5;
        assert!(began.elapsed() < PATIENCE, "never closed");
    }
}

#[test]
fn slow_viewer_gets_a_gap_not_a_silence_and_the_others_everything() {
    let server = server(60_000);
    let mut slow = server.join("slow");
    // The client's buffer is small too, so that the server notices the stall.
    socket2::SockRef::from(slow.socket.get_ref()).set_recv_buffer_size(4 << 10).unwrap();
    let (mut talker, mut other) = (server.join("slow"), server.join("slow"));
    const LAST: u64 = 501;
    let reader = std::thread::spawn(move || other_until(&mut other, LAST));
    // Many more ticks than the ring has frames.
    (0..100).for_each(|round| talk(&mut talker, round * 5 + 1, round * 5 + 5));
    server.eventually("the slow one lags", |server| server.metric("volley_laggards", "") == 1.0);
    // Now it reads: all frames are in order, and every hole is announced with its exact ends.
    talk(&mut talker, LAST, LAST);
    let target_offset = reader.join().expect("the others get everything");
    let mut position = slow.welcome["last"].as_u64().unwrap();
    let (mut got, mut gaps, mut skipped) = (0_u64, 0, 0);
    while position < target_offset {
        let message = slow.read().expect("it is not closed for one stall");
        if let Some(frame) = message.get("frame") {
            assert_eq!(frame["prev"].as_u64(), Some(position), "a hole without a gap");
            position = frame["last"].as_u64().unwrap();
            // It may have been moved to lite meanwhile, which leaves out events and counts them.
            got += frame["events"].as_array().unwrap().len() as u64 + frame["shed"]["normal"].as_u64().unwrap_or(0);
        } else if let Some(gap) = message.get("gap") {
            assert_eq!(gap["from"].as_u64(), Some(position));
            assert_eq!(gap["reason"], "slow");
            let to = gap["to"].as_u64().unwrap();
            assert!(to > position);
            skipped += to - position;
            position = to;
            gaps += 1;
        }
    }
    assert!(gaps >= 1 && got > 0);
    assert_eq!(got + skipped, LAST, "every comment was delivered or announced as skipped");
    assert!(server.metric("volley_gaps_total", "slow") >= f64::from(gaps));
}

/// Posts an event of the show's owner; returns its offset.
fn post(server: &Server, event: &Value) -> u64 {
    support::poster::taken(server.admin, "kept", "", event)[0]
}

#[test]
fn guaranteed_events_are_not_in_the_gap_and_come_once() {
    for rendition in ["", "?rendition=lite", "?rendition=full"] {
        let server = server(60_000);
        let mut slow = server.connect("kept", rendition);
        slow.welcome = slow.next("welcome");
        socket2::SockRef::from(slow.socket.get_ref()).set_recv_buffer_size(4 << 10).unwrap();
        let mut talker = server.join("kept");
        let mut posted = Vec::new();
        for round in 0..100 {
            talk(&mut talker, round * 5 + 1, round * 5 + 5);
            if round % 20 == 10 {
                posted.push(post(&server, &serde_json::json!({"pin": {"text": format!("round {round}")}})));
            }
            if round % 20 == 15 {
                // A comment beside one of these is deleted meanwhile.
                let comment = posted.last().unwrap() - 1;
                post(&server, &serde_json::json!({"delete": {"offset": comment}}));
            }
        }
        posted.push(post(&server, &serde_json::json!({"announcement": {"text": "the end", "level": "urgent"}})));
        let mut position = slow.welcome["last"].as_u64().unwrap();
        let (mut seen, mut in_gaps) = (Vec::new(), 0);
        while position < *posted.last().unwrap() {
            let message = slow.read().expect("it is not closed for one stall");
            let (prev, to, events) = if let Some(frame) = message.get("frame") {
                (&frame["prev"], &frame["last"], &frame["events"])
            } else if let Some(gap) = message.get("gap") {
                in_gaps += gap["events"].as_array().map_or(0, Vec::len);
                (&gap["from"], &gap["to"], &gap["events"])
            } else {
                continue;
            };
            assert_eq!(prev.as_u64(), Some(position), "{message}");
            let to = to.as_u64().unwrap();
            for event in events.as_array().into_iter().flatten() {
                let offset = event["offset"].as_u64().unwrap();
                assert!(event.get("raise").is_some() || (position < offset && offset <= to), "{message}");
                if event.get("pin").is_some() || event.get("announcement").is_some() {
                    seen.push(offset);
                }
            }
            position = to;
        }
        assert_eq!(seen, posted, "{rendition}");
        assert!(in_gaps > 0 || rendition == "?rendition=lite", "{rendition}: the stall was no gap");
        assert_eq!(server.metric("volley_gaps_lacking_total", ""), 0.0);
    }
}

/// Reads every frame up to the comment `n`, without a hole; returns its offset.
fn other_until(other: &mut support::Client, n: u64) -> u64 {
    let mut position = other.welcome["last"].as_u64().unwrap();
    let mut seen = 0;
    loop {
        let frame = other.next("frame");
        assert_eq!(frame["prev"].as_u64(), Some(position), "the others get everything");
        position = frame["last"].as_u64().unwrap();
        for event in frame["events"].as_array().unwrap() {
            seen += 1;
            let text = event["comment"]["text"].as_str().unwrap();
            assert!(text.starts_with(&format!("{seen} ")), "in order, none twice: {text:.9}");
            if seen == n {
                return event["offset"].as_u64().unwrap();
            }
        }
    }
}

#[test]
fn a_viewer_that_never_reads_is_closed_with_4001_and_its_descriptor_freed() {
    let server = server(3_000);
    let mut stalled = server.join("stalled");
    socket2::SockRef::from(stalled.socket.get_ref()).set_recv_buffer_size(4 << 10).unwrap();
    let mut talker = server.join("stalled");
    talk_until_it_is_closed(&server, &mut talker);
    server.eventually("only the talker is left", |server| server.metric("volley_connections", "") == 1.0);
    assert_eq!(stalled.close_code(), None, "a socket that takes nothing cannot take the close frame either");
    assert_eq!(server.metric("volley_laggards", ""), 0.0);
}

#[test]
fn a_stalled_viewer_that_reads_again_is_told_why_it_was_closed() {
    let server = server(9_000);
    let mut stalled = server.join("told");
    socket2::SockRef::from(stalled.socket.get_ref()).set_recv_buffer_size(4 << 10).unwrap();
    let mut talker = server.join("told");
    talk_until_it_is_closed(&server, &mut talker);
    assert_eq!(stalled.close_code(), Some(4001));
}

#[test]
fn answers_that_pile_up_in_front_of_a_blocked_socket_are_bounded() {
    let server = server(3_000);
    let mut flood = server.join("answers");
    socket2::SockRef::from(flood.socket.get_ref()).set_recv_buffer_size(4 << 10).unwrap();
    flood.socket.get_ref().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let like_of_zero = support::frame(0x81, br#"{"comment":{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","text":" "}}"#);
    server.eventually("the flood is closed", |server| {
        let _ = flood.raw(&like_of_zero.repeat(100));
        server.metric("volley_closes_total", "code=\"4001\"") > 0.0
    });
    assert!(server.metric("volley_control_overflow_total", "") >= 1.0);
}

#[test]
fn a_silent_viewer_is_pinged_and_closed_with_4003_without_an_answer() {
    let server = Server::start(|config| {
        config.connection.ping_ms = 500;
        config.connection.idle_ms = 2_000;
    });
    let (mut answers, deaf) = (server.join("quiet"), server.join("quiet"));
    let began = Instant::now();
    // Reading answers pings; the stalled client is not read until the end.
    answers.socket.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while began.elapsed() < Duration::from_secs(4) {
        match answers.socket.read() {
            Ok(_) => {}
            Err(tokio_tungstenite::tungstenite::Error::Io(_)) => {}
            Err(error) => panic!("the one that answers was closed: {error}"),
        }
    }
    assert_eq!(server.metric("volley_closes_total", "code=\"4003\""), 1.0);
    server.eventually("its socket is gone", |server| server.metric("volley_connections", "") == 1.0);
    drop(deaf);
    let _: Value = answers.comment("c", "我还在");
}
