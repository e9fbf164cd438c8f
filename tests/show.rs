//! The main job: comments and likes in, one frame per tick out, the same for every viewer.

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::viewer::{ENCODINGS, Seen, enter, number, text};
use support::{Client, Server};

/// Every write wakes the peer: a client that joins an open room is woken once.
#[test]
fn the_answer_and_the_welcome_leave_in_one_write() {
    let server = Server::start(|config| config.shards = 1);
    let _first = server.join("one");
    let mut stream = std::net::TcpStream::connect(server.public).expect("connects");
    stream.set_read_timeout(Some(support::PATIENCE)).expect("sets");
    let request = "GET /v1/rooms/one/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("writes");
    let mut bytes = [0; 8_192];
    let n = std::io::Read::read(&mut stream, &mut bytes).expect("reads");
    let text = String::from_utf8_lossy(&bytes[..n]);
    assert!(text.starts_with("HTTP/1.1 101 ") && text.contains(r#"{"welcome":{"#), "{text}");
}

/// Most of the cost of a room of two are writes: an ack has no write of its own, and still comes first.
#[test]
fn an_ack_leaves_in_one_write_with_the_frame_that_shows_the_comment() {
    const COMMENTS: u64 = 30;
    let server = Server::start(|config| (config.shards, config.tick_ms, config.no_rate_limits) = (1, 20, true));
    let mut client = server.join("one");
    client.next("frame"); // The number of viewers.
    for n in 1..=COMMENTS {
        client.send_value(&json!({"comment": {"id": format!("c{n}"), "text": "hi"}}));
        let (ack, frame) = (client.read().expect("an ack"), client.read().expect("a frame"));
        assert_eq!((number(&ack["ack"], "offset"), number(&frame["frame"], "last")), (n, n));
    }
    let deliveries = || server.metric("volley_deliveries_total", "");
    server.eventually("all is counted", |_| deliveries() == 1.0 + COMMENTS as f64);
    // The other writes: the upgrade's answer, which does not wait for the room's opening, and the welcome.
    assert!(server.metric("volley_sends_total", "") - deliveries() <= 2.0, "an ack was sent by itself");
}

#[test]
fn all_viewers_see_the_same_show_in_the_same_order() {
    const VIEWERS: usize = 12;
    const TALKERS: usize = 4;
    const EACH: u64 = 60;
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 20;
    });
    let viewers: Vec<_> = (0..VIEWERS)
        .map(|n| {
            let mut viewer = enter(&server, "show", "", ENCODINGS[n % 2]);
            std::thread::spawn(move || {
                let mut seen = Seen::after(&viewer.welcome, None);
                seen.follow(&mut viewer, |seen| {
                    seen.comments.len() as u64 == TALKERS as u64 * EACH && seen.likes == TALKERS as u64 * EACH
                });
                seen
            })
        })
        .collect();
    let talkers: Vec<_> = (0..TALKERS)
        .map(|who| {
            let mut talker = enter(&server, "show", "", ENCODINGS[who % 2]);
            std::thread::spawn(move || {
                let you = text(&talker.welcome["you"], "id").to_owned();
                let mut acks = Vec::new();
                for n in 1..=EACH {
                    talker.send_value(&json!({"like": {"count": 1}}));
                    let ack = talker.comment(&format!("{who}-{n}"), &format!("{who} says {n}"));
                    assert_eq!((text(&ack, "id"), text(&ack, "outcome")), (&*format!("{who}-{n}"), "shown"));
                    acks.push((number(&ack, "offset"), you.clone(), format!("{who} says {n}")));
                }
                acks
            })
        })
        .collect();
    let mut acked: Vec<_> = talkers.into_iter().flat_map(|talker| talker.join().expect("talks")).collect();
    let seen: Vec<Seen> = viewers.into_iter().map(|viewer| viewer.join().expect("sees all")).collect();
    // In the log's order, which contains the order of each author.
    acked.sort();
    for one in &seen {
        assert_eq!(one.comments, acked, "what was acknowledged is what was seen, where it was acknowledged");
        assert_eq!(one.shed, 0);
    }
    for who in 0..TALKERS {
        let own: Vec<_> = acked.iter().filter(|(_, _, said)| said.starts_with(&format!("{who} "))).collect();
        assert!(own.iter().enumerate().all(|(n, (_, _, said))| *said == format!("{who} says {}", n + 1)));
    }
    // Clients at the same position have the same past. All were connected all the time, so their frames are equal.
    let common = seen[0].digests.keys().filter(|last| seen.iter().all(|one| one.digests.contains_key(last)));
    let common: Vec<_> = common.collect();
    assert!(common.len() > 10, "too few frames to compare: {}", common.len());
    for last in common {
        assert!(seen.iter().all(|one| one.digests[last] == seen[0].digests[last]), "digests differ at {last}");
    }
    server.eventually("the metrics know it", |server| {
        server.metric("volley_comments_total", "") == (TALKERS as u64 * EACH) as f64
    });
    assert_eq!(server.metric("volley_gaps_total", ""), 0.0);
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
}

#[test]
fn comments_that_do_not_fit_into_a_frame_are_counted_in_it() {
    let server = Server::start(|config| {
        config.room.frame_events_max = 3;
        config.tick_ms = 500;
        config.rates.comments_per_connection.burst = 100;
        config.rates.comments_per_user.burst = 100;
    });
    let mut talker = server.join("busy");
    let mut viewer = enter(&server, "busy", "", ENCODINGS[1]);
    let said: Vec<u8> = (0..50)
        .flat_map(|n| {
            support::viewer::message(ENCODINGS[0], &support::viewer::comment(ENCODINGS[0], &format!("c{n}"), "满"))
        })
        .collect();
    talker.raw(&said).unwrap();
    let mut outcomes = std::collections::BTreeMap::<String, u64>::new();
    for n in 0..50 {
        let ack = talker.next("ack");
        assert_eq!(ack["id"], format!("c{n}"));
        *outcomes.entry(text(&ack, "outcome").into()).or_default() += 1;
    }
    let mut seen = Seen::after(&viewer.welcome, None);
    seen.follow(&mut viewer, |seen| seen.comments.len() as u64 + seen.shed == 50);
    assert_eq!((outcomes["shown"], outcomes["shed"]), (seen.comments.len() as u64, seen.shed));
    // One write, so one tick, or two if the write was at a border.
    assert!(seen.shed >= 44, "{}", seen.shed);
    server.eventually("shed is counted", |server| server.metric("volley_shed_total", "normal") == seen.shed as f64);
}

#[test]
fn a_comment_comes_back_within_a_tick_or_two() {
    let server = Server::start(|config| config.no_rate_limits = true);
    let (mut talker, mut viewer) = (server.join("quick"), enter(&server, "quick", "", ENCODINGS[1]));
    let mut seen = Seen::after(&viewer.welcome, None);
    let mut waits: Vec<Duration> = (0..15)
        .map(|n| {
            let began = Instant::now();
            talker.send(&json!({"comment": {"text": format!("{n}")}}).to_string());
            seen.until(&mut viewer, &n.to_string());
            began.elapsed()
        })
        .collect();
    waits.sort();
    // The lower quartile of many: a noisy machine delays some of them, one tick too many would delay all.
    assert!(waits[3] < Duration::from_millis(200 + 50), "two ticks are 200 ms: {waits:?}");
}

#[test]
fn online_counts_viewers_of_all_shards_and_both_encodings() {
    let server = Server::start(|config| config.room.counters_ms = 50);
    let mut watcher = server.join("crowd");
    let mut seen = Seen::after(&watcher.welcome, None);
    let mut crowd: Vec<_> = (0..9).map(|n| enter(&server, "crowd", "", ENCODINGS[n % 2])).collect();
    seen.follow(&mut watcher, |seen| seen.online == 10);
    crowd.truncate(3);
    seen.follow(&mut watcher, |seen| seen.online == 4);
    crowd.clear();
    seen.follow(&mut watcher, |seen| seen.online == 1);
    assert_eq!(seen.comments.len(), 0, "a frame of counters has no events");
    assert_eq!(watcher.comment("c", "alone")["outcome"], "shown");
}

#[test]
fn a_new_viewer_gets_the_newest_comments_and_totals_and_then_every_frame() {
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
        config.room.snapshot_events = 5;
    });
    let mut talker = server.join("late");
    for n in 1..=12 {
        talker.comment(&format!("c{n}"), &format!("{n}"));
    }
    talker.send(r#"{"like":{"count":9}}"#);
    talker.comment("c13", "13");
    for subprotocol in ENCODINGS {
        let mut newcomer = enter(&server, "late", "", subprotocol);
        let welcome = newcomer.welcome.clone();
        assert_eq!(welcome["room"], "late");
        assert_eq!(welcome["tick_ms"], 10);
        assert_eq!(welcome["recovered"], false);
        assert!(welcome.get("reason").is_none(), "nothing was asked for, nothing is missing");
        assert_eq!(text(&welcome, "epoch"), text(&talker.welcome, "epoch"));
        let snapshot = &welcome["snapshot"];
        let texts: Vec<_> =
            snapshot["events"].as_array().unwrap().iter().map(|event| text(&event["comment"], "text")).collect();
        assert_eq!(texts, ["9", "10", "11", "12", "13"], "the newest, oldest first");
        assert_eq!(number(snapshot, "likes"), 9);
        assert!(number(snapshot, "online") >= 2);
        let mut seen = Seen::after(&welcome, None);
        talker.comment(&format!("next-{subprotocol}"), "next");
        seen.until(&mut newcomer, "next");
        assert_eq!(seen.texts(), ["next"], "nothing of the snapshot comes again");
        assert_eq!(seen.likes, 9);
        // The next client of the loop expects the same five.
        for n in 9..=13 {
            talker.comment(&format!("r{n}-{subprotocol}"), &n.to_string());
        }
    }
}

#[test]
fn a_room_without_viewers_ends_and_begins_anew() {
    let server = Server::start(|config| config.room.idle_s = 1);
    let mut first = server.join("mayfly");
    first.comment("c", "of the first life");
    let epoch = text(&first.welcome, "epoch").to_owned();
    drop(first);
    // The room stays open while a client may resume.
    assert_eq!(text(&server.join("mayfly").welcome, "epoch"), epoch);
    server.eventually("it ends", |server| server.metric("volley_rooms", "") == 0.0);
    let (_, list) = server.get(server.admin, "/v1/rooms");
    assert_eq!(list, r#"{"rooms":[],"total":0}"#);
    let mut second = server.join("mayfly");
    assert_ne!(text(&second.welcome, "epoch"), epoch, "another log, another epoch");
    assert_eq!(second.welcome["snapshot"]["events"], json!([]));
    assert_eq!(number(&second.comment("c", "of the second life"), "offset"), 1);
}

#[test]
fn a_quiet_room_says_that_it_lives() {
    let server = Server::start(|config| config.room.heartbeat_ms = 100);
    let mut viewers = ENCODINGS.map(|subprotocol| enter(&server, "quiet", "", subprotocol));
    for viewer in &mut viewers {
        let beats = [viewer.next("heartbeat"), viewer.next("heartbeat")];
        assert_eq!(number(&beats[0], "last"), 0);
        // Each room has its own time limit, at most an eighth shorter.
        assert!(number(&beats[1], "at") >= number(&beats[0], "at") + 87, "{beats:?}");
    }
    let offset = number(&viewers[0].comment("c", "now"), "offset");
    for viewer in &mut viewers {
        while number(&viewer.next("heartbeat"), "last") != offset {}
    }
}

#[test]
fn rooms_do_not_hear_each_other() {
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    });
    // Similar names, on both shards.
    let names: Vec<String> = ["a", "A", "a-", "a_", "aa", "0", "-", "_"].map(String::from).into();
    let names = [names, vec!["z".repeat(64)]].concat();
    let mut clients: Vec<(String, Client)> = names.iter().map(|name| (name.clone(), server.join(name))).collect();
    for (name, client) in &mut clients {
        client.send(&json!({"like": {"count": name.len()}}).to_string());
        client.send(&json!({"comment": {"text": format!("in {name}")}}).to_string());
    }
    for (name, client) in &mut clients {
        client.send(&json!({"comment": {"text": "end"}}).to_string());
        let mut seen = Seen::after(&client.welcome, None);
        seen.until(client, "end");
        assert_eq!(seen.texts(), [&format!("in {name}"), "end"]);
        assert_eq!((seen.likes, seen.online), (name.len() as u64, 1));
    }
    let epochs: std::collections::BTreeSet<_> =
        clients.iter().map(|(_, client)| text(&client.welcome, "epoch").to_owned()).collect();
    assert_eq!(epochs.len(), names.len());
    let list: Value = serde_json::from_str(&server.get(server.admin, "/v1/rooms").1).unwrap();
    assert_eq!(list["total"], names.len());
    let homes: std::collections::BTreeSet<_> =
        list["rooms"].as_array().unwrap().iter().map(|room| number(room, "home")).collect();
    assert_eq!(homes.len(), 2, "both shards are at home to some: {list}");
}

#[test]
fn the_first_known_subprotocol_is_spoken_and_json_without_asking() {
    let server = Server::start(|_| ());
    let enter = |asked: Option<&str>| Client::connect(server.public, "/v1/rooms/proto/ws", asked);
    let speaks = |client: &mut Client| {
        use tokio_tungstenite::tungstenite::Message;
        match client.socket.read().expect("a welcome") {
            Message::Text(text) => serde_json::from_str::<Value>(&text).map(|_| "json").expect("JSON"),
            Message::Binary(bytes) => rmp_serde::from_slice::<Value>(&bytes).map(|_| "msgpack").expect("MessagePack"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(speaks(&mut enter(None).unwrap()), "json");
    for (asked, spoken) in [
        ("volley.v1.json", "json"),
        ("volley.v1.msgpack", "msgpack"),
        ("volley.v9.cbor, volley.v1.msgpack, volley.v1.json", "msgpack"),
    ] {
        assert_eq!(speaks(&mut enter(Some(asked)).unwrap()), spoken, "{asked}");
    }
    assert_eq!(enter(Some("graphql-ws")).err(), Some(400));
    assert_eq!(enter(Some("VOLLEY.V1.JSON")).err(), Some(400));
}

#[test]
fn a_room_exists_as_soon_as_a_client_asks_for_it() {
    let server = Server::start(|_| ());
    let list = |server: &Server| server.get(server.admin, "/v1/rooms").1;
    assert_eq!(list(&server), r#"{"rooms":[],"total":0}"#);
    let mut client = server.join("brand-new");
    assert_eq!(number(&client.welcome, "last"), 0);
    assert_eq!(server.metric("volley_rooms", ""), 1.0);
    let ack = client.comment("c", "first");
    assert_eq!((number(&ack, "offset"), text(&ack, "outcome")), (1, "shown"));
    assert!(list(&server).contains(r#""room":"brand-new""#));
    for name in ["", "%00", "a%2Fb", "a.b", "ä", &"x".repeat(65)] {
        let path = format!("/v1/rooms/{name}/ws");
        let mut stream = std::net::TcpStream::connect(server.public).unwrap();
        let answer = support::viewer::refused(&mut stream, &path);
        assert!(matches!(answer.status, 400 | 404), "{name:?}: {answer:?}");
    }
    assert_eq!(server.metric("volley_rooms", ""), 1.0, "a name that is none opens nothing");
}
