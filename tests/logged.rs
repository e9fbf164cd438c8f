//! What the real program logs, and what it never logs.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use support::PATIENCE;
use support::logged::started_logging;
use support::viewer::{ENCODINGS, enter_at, text};

#[test]
fn the_log_has_neither_tokens_nor_texts_of_comments() {
    for format in ["text", "json"] {
        // With JSON nothing is printed on standard output: the addresses are in the log's first line.
        let (mut child, public) = started_logging(format);
        let mut viewer = enter_at(public, "log", "?token=CANARY1", ENCODINGS[0]);
        viewer.send(r#"{"auth":{"token":"CANARY2"}}"#);
        assert_eq!(viewer.next("error")["code"], "not_available");
        assert_eq!(viewer.comment("CANARY3", "CANARY4\r\n\u{1b}[31m2025 INFO fake")["outcome"], "shown");
        viewer.send("{\"CANARY5");
        assert_eq!(viewer.next("error")["code"], "bad_payload");
        for (path, header) in [
            ("/v1/rooms/log/ws?token=CANARY6", "Authorization: Bearer CANARY7"),
            ("/v1/rooms/CANARY8%0a/ws", "Cookie: session=CANARY9"),
            ("/v1/rooms/log/ws?epoch=CANARY10&after=1", "Origin: https://CANARY11.test"),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{header}\r\nConnection: close\r\n\r\n");
            assert!(support::http(public, &request).0 >= 400);
        }
        drop(viewer);
        let pid = rustix::process::Pid::from_child(&child.child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(child.child.wait().expect("ends").code(), Some(0));
        let log = child.errors.iter().collect::<Vec<_>>().join("\n");
        assert!(log.contains("draining") && log.contains("stopped"), "{log}");
        assert!(!log.contains("CANARY"), "{log}");
        if format == "json" {
            for line in log.lines() {
                let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(["timestamp", "level", "message"].iter().all(|field| line[*field].is_string()), "{line}");
            }
        }
    }
}

/// A wrong `Host` from a proxy causes the refusal of every viewer, and no viewer can know why.
#[test]
fn the_log_says_why_upgrades_are_refused_once_for_each_kind() {
    let (logging, public) = started_logging("json");
    let ask = |head: &str, lines: &str| {
        let request = format!("{head}\r\n{lines}Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n");
        support::http(public, &request).0
    };
    let head = |version: &str| {
        format!(
            "GET /v1/rooms/demo/ws HTTP/1.1\r\nHost: volley:8080\r\nSec-WebSocket-Version: {version}\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        )
    };
    for _ in 0..20 {
        assert_eq!(ask(&head("13"), "Origin: https://live.example\r\n"), 403);
    }
    assert_eq!(
        ask(&head("8"), &format!("Origin: x\"\u{1b}[31m{}\r\n", "y".repeat(5_000)).replace('\u{1b}', "\t")),
        426
    );
    let lost = head("13");
    assert_eq!(support::http(public, &format!("{lost}\r\nConnection: close\r\n\r\n")).0, 426);
    let mut lines = Vec::new();
    while lines.len() < 3 {
        let line = logging.errors.recv_timeout(PATIENCE).expect("a line");
        lines.push(serde_json::from_str::<Value>(&line).expect("JSON"));
    }
    let told = |line: &Value, name: &str| text(line, name).to_owned();
    assert_eq!([0, 1, 2].map(|n| told(&lines[n], "code")), ["forbidden_origin", "bad_version", "upgrade_required"]);
    assert!(lines.iter().all(|line| told(line, "level") == "WARN" && told(line, "peer") == "127.0.0.1"), "{lines:?}");
    assert_eq!(
        (told(&lines[0], "host"), told(&lines[0], "origin")),
        (r#""volley:8080""#.into(), r#""https://live.example""#.into())
    );
    let advice = told(&lines[0], "message");
    assert!(advice.contains("admission.origins") && advice.contains("Host"), "{advice}");
    assert!(
        told(&lines[1], "origin").starts_with(r#""x\"\t[31myyy"#) && told(&lines[1], "origin").len() < 200,
        "{lines:?}"
    );
    assert!(told(&lines[2], "message").contains("a proxy did not pass Connection and Upgrade on"), "{lines:?}");
    assert!(logging.errors.try_recv().is_err(), "nineteen more were told");
}
