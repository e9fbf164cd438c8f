//! Valid and invalid client messages over a real socket, in both encodings.

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::viewer::{ENCODINGS, Seen, comment, enter, message, number, payload, text};
use support::{Client, Server};
use volley::config::Rate;

/// The message, the code of the answer, and the id in it.
type Row = (&'static str, Vec<u8>, &'static str, Option<&'static str>);

/// Invalid messages that can be written in both encodings.
fn wrong(subprotocol: &str) -> Vec<Row> {
    let row = |what, value: Value, code, id| (what, payload(subprotocol, &value), code, id);
    let long = "弹".repeat(513);
    let bytes = "😀".repeat(512) + "a";
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    vec![
        row("an unknown message", json!({"dance": {"id": "a"}}), "unknown_op", None),
        row("no key", json!({}), "bad_payload", None),
        row("two keys", json!({"comment": {"id": "a", "text": "x"}, "like": {"count": 1}}), "bad_payload", Some("a")),
        row("a list", json!([{"comment": {"text": "x"}}]), "bad_payload", None),
        row("a positional comment", json!({"comment": ["a", "x"]}), "bad_payload", None),
        row("a text", json!("comment"), "bad_payload", None),
        row("a number", json!(7), "bad_payload", None),
        row("null", json!(null), "bad_payload", None),
        row("a comment of null", json!({"comment": null}), "bad_payload", None),
        row("no text", json!({"comment": {"id": "a"}}), "bad_payload", Some("a")),
        row("a text that is a number", json!({"comment": {"id": "a", "text": 7}}), "bad_payload", Some("a")),
        row("a text of null", json!({"comment": {"text": null, "id": "a"}}), "bad_payload", Some("a")),
        row("an id that is a number", json!({"comment": {"id": 7, "text": "x"}}), "bad_payload", None),
        row("an id of -1", json!({"comment": {"id": -1, "text": "x"}}), "bad_payload", None),
        row("an id of 1.5", json!({"comment": {"id": 1.5, "text": "x"}}), "bad_payload", None),
        row("an empty id", json!({"comment": {"id": "", "text": "x"}}), "bad_payload", None),
        row("an id of 65 bytes", json!({"comment": {"id": "a".repeat(65), "text": "x"}}), "bad_payload", None),
        row("an id with a line feed", json!({"comment": {"id": "a\nb", "text": "x"}}), "bad_payload", None),
        row("an id that is not ASCII", json!({"comment": {"id": "弹", "text": "x"}}), "bad_payload", None),
        row("media -1", json!({"comment": {"id": "a", "text": "x", "media_ms": -1}}), "bad_payload", Some("a")),
        row("media 1.5", json!({"comment": {"id": "a", "text": "x", "media_ms": 1.5}}), "bad_payload", Some("a")),
        row("media \"7\"", json!({"comment": {"id": "a", "text": "x", "media_ms": "7"}}), "bad_payload", Some("a")),
        row(
            "media 2^53",
            json!({"comment": {"id": "a", "text": "x", "media_ms": 1_u64 << 53}}),
            "bad_payload",
            Some("a"),
        ),
        row(
            "media u64::MAX",
            json!({"comment": {"id": "a", "text": "x", "media_ms": u64::MAX}}),
            "bad_payload",
            Some("a"),
        ),
        row(
            "colour -1",
            json!({"comment": {"id": "a", "text": "x", "style": {"color": -1}}}),
            "bad_payload",
            Some("a"),
        ),
        row(
            "colour 2^24",
            json!({"comment": {"id": "a", "text": "x", "style": {"color": 1 << 24}}}),
            "bad_payload",
            Some("a"),
        ),
        row(
            "size 10^6",
            json!({"comment": {"id": "a", "text": "x", "style": {"size": 1_000_000}}}),
            "bad_payload",
            Some("a"),
        ),
        row("size 11", json!({"comment": {"id": "a", "text": "x", "style": {"size": 11}}}), "bad_payload", Some("a")),
        row(
            "an unknown mode",
            json!({"comment": {"style": {"mode": "spin"}, "text": "x", "id": "a"}}),
            "bad_payload",
            Some("a"),
        ),
        row(
            "a mode by its index",
            json!({"comment": {"id": "a", "text": "x", "style": {"mode": 1}}}),
            "bad_payload",
            Some("a"),
        ),
        row(
            "a style that is a text",
            json!({"comment": {"id": "a", "text": "x", "style": "top"}}),
            "bad_payload",
            Some("a"),
        ),
        row("ext that is a list", json!({"comment": {"id": "a", "text": "x", "ext": [1]}}), "bad_payload", Some("a")),
        row(
            "ext of 600 bytes",
            json!({"comment": {"id": "a", "text": "x", "ext": {"k": "v".repeat(600)}}}),
            "bad_payload",
            Some("a"),
        ),
        // Its id comes after a value that is too deep to be read.
        row("ext of 40 levels", json!({"comment": {"id": "a", "text": "x", "ext": {"k": deep}}}), "bad_payload", None),
        row("no likes", json!({"like": {"count": 0}}), "bad_payload", None),
        row("-1 likes", json!({"like": {"count": -1}}), "bad_payload", None),
        row("1.5 likes", json!({"like": {"count": 1.5}}), "bad_payload", None),
        row("101 likes", json!({"like": {"count": 101}}), "bad_payload", None),
        row("10^9 likes", json!({"like": {"count": 1_000_000_000}}), "bad_payload", None),
        row("u64::MAX likes", json!({"like": {"count": u64::MAX}}), "bad_payload", None),
        row("\"7\" likes", json!({"like": {"count": "7"}}), "bad_payload", None),
        row("likes without a count", json!({"like": {}}), "bad_payload", None),
        row("a token that is a number", json!({"auth": {"token": 7}}), "bad_payload", None),
        row("a rendition that is a number", json!({"rendition": 7}), "bad_payload", None),
        row("an empty text", json!({"comment": {"id": "a", "text": ""}}), "empty", Some("a")),
        row("a text of spaces", json!({"comment": {"id": "a", "text": " \t\r\n "}}), "empty", Some("a")),
        row("513 characters", json!({"comment": {"id": "a", "text": long}}), "too_long", Some("a")),
        row("2,049 bytes", json!({"comment": {"id": "a", "text": bytes}}), "too_long", Some("a")),
        row("a token", json!({"auth": {"token": "t"}}), "not_available", None),
        row("a rendition of another version", json!({"rendition": "huge"}), "not_available", None),
        row("a vote without a poll", json!({"vote": {"id": "a", "option": 0}}), "bad_payload", Some("a")),
        row("a vote without an option", json!({"vote": {"id": "a", "poll": "p"}}), "bad_payload", Some("a")),
        row("option -1", json!({"vote": {"id": "a", "poll": "p", "option": -1}}), "bad_payload", Some("a")),
        row("option 256", json!({"vote": {"id": "a", "poll": "p", "option": 256}}), "bad_payload", Some("a")),
    ]
}

/// Invalid messages that exist in one encoding only.
fn wrong_in_one(subprotocol: &str) -> Vec<Row> {
    let bad = |what, bytes: Vec<u8>, id| (what, bytes, "bad_payload", id);
    if subprotocol.ends_with("json") {
        let in_like = |number: &str| format!(r#"{{"like":{{"count":{number}}}}}"#).into_bytes();
        let comment = |fields: &str| format!(r#"{{"comment":{{"id":"a",{fields}}}}}"#).into_bytes();
        vec![
            bad("nothing", vec![], None),
            bad("broken JSON", br#"{"comment":{"text":"x""#.to_vec(), None),
            bad("broken JSON behind an id", br#"{"comment":{"id":"a","text":"x""#.to_vec(), Some("a")),
            bad("trailing bytes", br#"{"like":{"count":1}}x"#.to_vec(), None),
            bad("two documents", br#"{"like":{"count":1}}{"like":{"count":1}}"#.to_vec(), None),
            bad("a byte order mark", b"\xef\xbb\xbf{\"like\":{\"count\":1}}".to_vec(), None),
            bad("single quotes", b"{'like':{'count':1}}".to_vec(), None),
            bad("NaN", in_like("NaN"), None),
            bad("Infinity", in_like("Infinity"), None),
            bad("1e309", in_like("1e309"), None),
            bad("2^64", in_like("18446744073709551616"), None),
            bad("a leading zero", in_like("01"), None),
            bad("a field twice", comment(r#""text":"x","text":"y""#), Some("a")),
            bad("half a surrogate pair", comment(r#""text":"\ud800""#), Some("a")),
            bad("a raw line feed", comment("\"text\":\"a\nb\""), Some("a")),
            bad("media 1e309", comment(r#""text":"x","media_ms":1e309"#), Some("a")),
            bad("media 2^64", comment(r#""text":"x","media_ms":18446744073709551616"#), Some("a")),
            bad("lists 4,000 deep", "[".repeat(4_000).into_bytes(), None),
            bad("ext 2,000 deep", comment(&format!("\"text\":\"x\",\"ext\":{}", r#"{"a":"#.repeat(500))), Some("a")),
        ]
    } else {
        let lying = |marker: &[u8]| [b"\x81\xa7comment\x82\xa2id\xa1a\xa4text".as_slice(), marker].concat();
        vec![
            bad("nothing", vec![], None),
            bad("a byte that is never used", vec![0xc1], None),
            bad("trailing bytes", [payload(subprotocol, &json!({"like": {"count": 1}})), vec![0]].concat(), None),
            bad("two documents", payload(subprotocol, &json!({"like": {"count": 1}})).repeat(2), None),
            bad("an end that is missing", b"\x81\xa4like\x81\xa5count".to_vec(), None),
            bad("a text that is not UTF-8", lying(b"\xa2\xc0\xaf"), Some("a")),
            bad("a text of bytes", lying(b"\xc4\x01x"), Some("a")),
            bad("a text that claims 4 GiB", lying(b"\xdb\xff\xff\xff\xffabc"), Some("a")),
            bad("a map that claims 2^32 - 1 fields", b"\xdf\xff\xff\xff\xff\xa4like".to_vec(), None),
            bad("a list that claims 2^32 - 1 items", b"\xdd\xff\xff\xff\xff\x01".to_vec(), None),
            bad("keys that are numbers", b"\x81\x01\x81\xa5count\x01".to_vec(), None),
            bad("an extension type", b"\xd4\x01\x00".to_vec(), None),
            bad("lists 4,000 deep", vec![0x91; 4_000], None),
            bad("likes of NaN", b"\x81\xa4like\x81\xa5count\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00".to_vec(), None),
            bad(
                "NaN in ext",
                {
                    let mut bytes = b"\x81\xa7comment\x83\xa2id\xa1a\xa4text\xa1x\xa3ext\x81\xa1n\xcb".to_vec();
                    bytes.extend(f64::NAN.to_be_bytes());
                    bytes
                },
                Some("a"),
            ),
        ]
    }
}

/// A memory figure of this process in KiB.
fn memory_kib(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("on Linux");
    let line = status.lines().find(|line| line.starts_with(what)).expect("the figure");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB")
}

#[test]
fn every_wrong_message_gets_its_code_and_the_connection_stays_open() {
    let server = Server::start(|_| ());
    for subprotocol in ENCODINGS {
        let room = &subprotocol[10..];
        let mut bystander = enter(&server, room, "", "volley.v1.json");
        let mut seen = Seen::after(&bystander.welcome, None);
        let table: Vec<Row> = wrong(subprotocol).into_iter().chain(wrong_in_one(subprotocol)).collect();
        let (resident, mapped) = (memory_kib("VmRSS"), memory_kib("VmPeak"));
        let mut expected = Vec::new();
        for (n, (what, bytes, code, id)) in table.iter().enumerate() {
            let mut client = enter(&server, room, "", subprotocol);
            client.raw(&message(subprotocol, bytes)).unwrap();
            let error = client.next("error");
            assert_eq!((text(&error, "code"), error["id"].as_str()), (*code, *id), "{subprotocol}: {what}: {error}");
            assert!(!text(&error, "message").is_empty(), "{what}: it says nothing to people");
            let ack = client.comment("after", &format!("after {n}"));
            assert_eq!((text(&ack, "id"), text(&ack, "outcome")), ("after", "shown"), "{subprotocol}: {what}");
            expected.push(format!("after {n}"));
        }
        seen.until(&mut bystander, expected.last().unwrap());
        assert_eq!(seen.texts(), expected, "nothing of what was refused is seen, everything else is");
        assert_eq!(seen.likes, 0);
        let (more, mapped) = (memory_kib("VmRSS").saturating_sub(resident), memory_kib("VmPeak") - mapped);
        assert!(more < 32 << 10, "resident memory grew by {more} KiB");
        // A false length is never trusted: not even address space is reserved for it.
        assert!(mapped < 1 << 20, "mapped memory grew by {mapped} KiB");
    }
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
    server.eventually("all are gone", |server| server.metric("volley_connections", "") == 0.0);
}

#[test]
fn ten_thousand_levels_are_an_error_and_no_overflow_of_the_stack() {
    let server = Server::start(|config| config.admission.message_bytes_max = 1 << 20);
    for (subprotocol, open, close) in [(ENCODINGS[0], "[", "]"), (ENCODINGS[0], r#"{"a":"#, "")] {
        let mut client = enter(&server, "deep", "", subprotocol);
        let ext = [open.repeat(10_000), close.repeat(10_000)].concat();
        let bare = message(subprotocol, ext.as_bytes());
        let inside =
            message(subprotocol, format!(r#"{{"comment":{{"id":"a","text":"x","ext":{{"x":{ext}}}}}}}"#).as_bytes());
        for bytes in [bare, inside] {
            client.raw(&bytes).unwrap();
            assert_eq!(client.next("error")["code"], "bad_payload");
        }
        assert_eq!(client.comment("c", "still here")["outcome"], "shown");
    }
    let mut client = enter(&server, "deep", "", ENCODINGS[1]);
    for bytes in [vec![0x91; 100_000], [b"\x81\xa1x".as_slice(), &[0x91; 100_000], &[0xc0]].concat()] {
        client.raw(&message(ENCODINGS[1], &bytes)).unwrap();
        assert_eq!(client.next("error")["code"], "bad_payload");
    }
    assert_eq!(client.comment("c", "still here")["outcome"], "shown");
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
}

#[test]
fn unknown_fields_are_ignored_and_the_limits_themselves_are_allowed() {
    let server = Server::start(|_| ());
    for subprotocol in ENCODINGS {
        let mut viewer = enter(&server, "allowed", "", subprotocol);
        for body in [
            json!({"text": "unknown", "mood": {"deep": [1, null, {"x": 2.5}]}, "user": {"id": "u-1"}}),
            json!({"text": "nulls", "style": null, "media_ms": null, "ext": null}),
            json!({"text": "😀".repeat(512)}),
            json!({"text": "弹".repeat(512), "media_ms": (1_u64 << 53) - 1}),
            json!({"text": "all", "style": {"mode": "reverse", "color": 0, "size": 64}, "ext": {"k": "v".repeat(500)}}),
        ] {
            // Each has a new connection, so that the rate limit does not matter.
            let mut client = enter(&server, "allowed", "", subprotocol);
            let id = "~".repeat(64);
            let mut sent = body.clone();
            sent["id"] = json!(id);
            client.send_value(&json!({ "comment": sent }));
            assert_eq!(client.next("ack")["id"], json!(id), "{body}");
            let shown = loop {
                let frame = viewer.next("frame");
                if let Some(event) = frame["events"].as_array().unwrap().first() {
                    break event["comment"].clone();
                }
            };
            for field in ["text", "media_ms", "ext"] {
                assert_eq!(shown[field], body[field], "{field} of {body}");
            }
            assert!(shown.get("mood").is_none());
            if body["style"].is_object() {
                assert_eq!(shown["style"], body["style"]);
            }
        }
        let mut client = enter(&server, "allowed", "", subprotocol);
        client.send_value(&json!({"rendition": "viewer"}));
        client.send_value(&json!({"like": {"count": 100, "why": "love"}}));
        assert_eq!(client.comment("c", "after")["outcome"], "shown", "no error came before it");
    }
}

#[test]
fn three_protocol_errors_close_with_4500_and_a_wrong_text_is_none() {
    let server = Server::start(|_| ());
    for subprotocol in ENCODINGS {
        let mut bystander = enter(&server, "three", "", subprotocol);
        let mut client = enter(&server, "three", "", subprotocol);
        // These do not count as errors of the client.
        for text in ["", "\u{200b}"] {
            client.raw(&message(subprotocol, &comment(subprotocol, "a", text))).unwrap();
            assert_eq!(client.next("error")["code"], "empty");
        }
        let bad = message(subprotocol, &payload(subprotocol, &json!({"like": {"count": 0}})));
        let unknown = message(subprotocol, &payload(subprotocol, &json!({"dance": 1})));
        let good = message(subprotocol, &comment(subprotocol, "late", "behind the third"));
        client.raw(&[bad.clone(), unknown, bad, good].concat()).unwrap();
        let codes: Vec<_> = (0..3).map(|_| text(&client.next("error"), "code").to_owned()).collect();
        assert_eq!(codes, ["bad_payload", "unknown_op", "bad_payload"], "the third is answered too");
        assert_eq!(client.close_code(), Some(4500));
        let mut seen = Seen::after(&bystander.welcome, None);
        bystander.comment("c", "still here");
        let mut other = enter(&server, "three", "", subprotocol);
        other.comment("c", "the end");
        seen.until(&mut bystander, "the end");
        assert!(!seen.texts().contains(&"behind the third"), "what follows the close is not heard");
    }
    assert_eq!(server.metric("volley_closes_total", "code=\"4500\""), 2.0);
}

#[test]
fn a_client_that_is_too_fast_is_told_a_sufficient_delay() {
    let server = Server::start(|_| ());
    for subprotocol in ENCODINGS {
        let mut client = enter(&server, "fast", "", subprotocol);
        // One write, so that the bucket is not refilled in between: 5 are allowed at once.
        let burst: Vec<u8> =
            (1..=7).flat_map(|n| message(subprotocol, &comment(subprotocol, &format!("c{n}"), "快"))).collect();
        client.raw(&burst).unwrap();
        let mut wait_ms = 0;
        for id in ["c6", "c7"] {
            let error = client.next("error");
            assert_eq!((text(&error, "code"), text(&error, "id")), ("rate_limited", id));
            wait_ms = number(&error, "retry_after_ms");
            assert!((1..=500).contains(&wait_ms), "2 a second are refilled: {error}");
        }
        for n in 1..=5 {
            assert_eq!(client.next("ack")["id"], format!("c{n}"));
        }
        // Tests the hint: waiting exactly that long must be enough.
        std::thread::sleep(Duration::from_millis(wait_ms));
        assert_eq!(client.comment("c6", "快")["id"], "c6");
        // A different connection is not affected.
        assert_eq!(enter(&server, "fast", "", subprotocol).comment("c1", "慢")["outcome"], "shown");
    }
    assert_eq!(server.metric("volley_admission_total", "kind=\"comment\",verdict=\"rate_limited\""), 4.0);
    assert_eq!(server.metric("volley_admission_total", "kind=\"comment\",verdict=\"accepted\""), 14.0);
}

#[test]
fn a_flood_far_over_the_limit_is_closed_with_4029() {
    let server = Server::start(|_| ());
    let mut client = server.join("flood");
    let flood = message(ENCODINGS[0], br#"{"comment":{"text":"x"}}"#).repeat(300);
    client.raw(&flood).unwrap();
    assert_eq!(client.close_code(), Some(4029));
}

#[test]
fn a_rooms_own_rate_holds_over_all_senders_with_a_true_hint() {
    let server = Server::start(|config| {
        config.rates.comments_per_room = Rate { per_s: 1, burst: 3 };
        config.rates.likes_per_room = Rate { per_s: 50, burst: 100 };
    });
    let mut clients: Vec<_> = (0..8).map(|n| enter(&server, "full", "", ENCODINGS[n % 2])).collect();
    let mut refused = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send_value(&json!({"comment": {"id": "c", "text": format!("{n}")}}));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let answer = answer(client);
        if let Some(error) = answer.get("error") {
            assert_eq!((text(error, "code"), text(error, "id")), ("rate_limited", "c"));
            refused.push((n, number(error, "retry_after_ms")));
        }
    }
    // At one per second, a machine that stalls for a second lets one more through.
    assert!((1..=5).contains(&refused.len()), "{refused:?}");
    let (n, wait_ms) = *refused.last().unwrap();
    assert!((1..=1_000).contains(&wait_ms), "{wait_ms}");
    std::thread::sleep(Duration::from_millis(wait_ms));
    assert_eq!(clients[n].comment("c", "again")["outcome"], "shown");

    for client in &mut clients[..2] {
        client.send_value(&json!({"like": {"count": 100}}));
        client.send_value(&json!({"like": {"count": 100}}));
    }
    let error = clients.iter_mut().take(2).map(|client| client.next("error")).next_back().unwrap();
    assert_eq!(error["code"], "rate_limited");
    let wait_ms = number(&error, "retry_after_ms");
    assert!((1..=2_000).contains(&wait_ms), "{wait_ms}");
}

/// The answer to one comment.
fn answer(client: &mut Client) -> Value {
    loop {
        let message = client.read().expect("open");
        if message.get("ack").is_some() || message.get("error").is_some() {
            return message;
        }
    }
}

#[test]
fn likes_of_several_senders_fold_into_one_total_that_never_falls() {
    let server = Server::start(|_| ());
    let mut viewers: Vec<_> = (0..2).map(|n| enter(&server, "likes", "", ENCODINGS[n])).collect();
    let mut seen: Vec<_> = viewers.iter().map(|viewer| Seen::after(&viewer.welcome, None)).collect();
    let senders: Vec<_> = (0..4)
        .map(|n| {
            let mut client = enter(&server, "likes", "", ENCODINGS[n % 2]);
            std::thread::spawn(move || {
                // 1 + 2 + … + 19 = 190, within a connection's 200 at once.
                for count in 1..20 {
                    client.send_value(&json!({"like": {"count": count}}));
                }
                client.comment("last", "done");
                client
            })
        })
        .collect();
    let senders: Vec<_> = senders.into_iter().map(|sender| sender.join().expect("sends")).collect();
    for (viewer, seen) in viewers.iter_mut().zip(&mut seen) {
        seen.follow(viewer, |seen| seen.likes >= 4 * 190 && seen.comments.len() == 4);
        assert_eq!(seen.likes, 4 * 190, "each like counts once");
    }
    assert_eq!(seen[0].digests.last_key_value(), seen[1].digests.last_key_value());
    assert_eq!(server.metric("volley_likes_total", ""), 4.0 * 190.0);
    assert_eq!(server.metric("volley_admission_total", "kind=\"like\",verdict=\"accepted\""), 4.0 * 19.0);
    drop(senders);
}

#[test]
fn likes_over_the_rate_are_refused_and_the_hint_is_true() {
    let server = Server::start(|_| ());
    let mut client = server.join("likes");
    client.raw(&message(ENCODINGS[0], br#"{"like":{"count":100}}"#).repeat(3)).unwrap();
    let error = client.next("error");
    assert_eq!(error["code"], "rate_limited");
    let wait_ms = number(&error, "retry_after_ms");
    assert!((1..=2_000).contains(&wait_ms), "50 a second are refilled: {wait_ms}");
    std::thread::sleep(Duration::from_millis(wait_ms));
    client.send(r#"{"like":{"count":100}}"#);
    let mut seen = Seen::after(&client.welcome, None);
    seen.follow(&mut client, |seen| seen.likes == 300);
    assert_eq!(server.metric("volley_admission_total", "kind=\"like\",verdict=\"rate_limited\""), 1.0);
}

#[test]
fn a_room_above_the_limit_is_refused_until_a_different_one_ends() {
    let server = Server::start(|config| {
        config.room.rooms_max = 2;
        config.room.idle_s = 1;
    });
    let (one, _two) = (server.join("one"), server.join("two"));
    let third = |server: &Server| {
        let mut stream = std::net::TcpStream::connect(server.public).unwrap();
        support::viewer::refused(&mut stream, "/v1/rooms/three/ws")
    };
    let answer = third(&server);
    assert_eq!((answer.status, answer.code().as_str()), (503, "rooms_full"));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(server.metric("volley_refusals_total", "rooms_full"), 1.0);
    // An open room accepts every client.
    let _again = server.join("two");
    drop(one);
    server.eventually("the room of nobody makes place", |server| {
        Client::connect(server.public, "/v1/rooms/three/ws", None).is_ok()
    });
}

#[test]
fn each_verdict_is_counted_under_its_kind() {
    let server = Server::start(|_| ());
    let mut client = server.join("verdicts");
    for said in [
        r#"{"comment":{"text":""}}"#,
        r#"{"dance":1}"#,
        "{",
        r#"{"auth":{"token":"t"}}"#,
        r#"{"rendition":"huge"}"#,
        r#"{"rendition":"viewer"}"#,
        r#"{"like":{"count":7}}"#,
    ] {
        client.send(said);
    }
    client.comment("c", "seen");
    for (kind, verdict) in [
        ("comment", "empty"),
        ("comment", "accepted"),
        ("unreadable", "unknown_op"),
        ("unreadable", "bad_payload"),
        ("auth", "not_available"),
        ("rendition", "not_available"),
        ("rendition", "accepted"),
        ("like", "accepted"),
    ] {
        let labels = format!("kind=\"{kind}\",verdict=\"{verdict}\"");
        assert_eq!(server.metric("volley_admission_total", &labels), 1.0, "{labels}");
    }
}
