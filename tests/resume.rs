//! Resuming: missed events come exactly once, or the welcome says why not.

mod support;

use serde_json::{Value, json};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use support::viewer::{ENCODINGS, Seen, enter, number, text};
use support::{Client, Server};

fn server() -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    })
}

/// Resumes at `epoch` and `after`.
fn back(server: &Server, epoch: &str, after: u64, subprotocol: &str) -> Client {
    enter(server, "back", &format!("?epoch={epoch}&after={after}"), subprotocol)
}

/// Sends `1` … `count`, each in the log before the next.
fn talk(talker: &mut Client, count: u64) {
    for n in 1..=count {
        talker.comment(&format!("c{n}"), &n.to_string());
    }
}

/// What a welcome says about the recovery.
fn verdict(client: &Client) -> (bool, Option<&str>) {
    (client.welcome["recovered"].as_bool().expect("a verdict"), client.welcome["reason"].as_str())
}

#[test]
fn a_client_that_resumes_repeatedly_misses_nothing_and_sees_nothing_twice() {
    const SAID: u64 = 600;
    let server = server();
    let stop = AtomicBool::new(false);
    let mut whole = server.join("back");
    let mut all = Seen::after(&whole.welcome, None);
    std::thread::scope(|scope| {
        let (server, stop) = (&server, &stop);
        scope.spawn(move || {
            let mut talker = server.join("back");
            for n in 1..=SAID {
                talker.send_value(&json!({"like": {"count": 1}}));
                talker.comment(&format!("c{n}"), &n.to_string());
            }
            stop.store(true, Ordering::SeqCst);
        });
        let returning: Vec<_> = ENCODINGS
            .into_iter()
            .map(|subprotocol| {
                scope.spawn(move || {
                    let mut client = enter(server, "back", "", subprotocol);
                    let epoch = text(&client.welcome, "epoch").to_owned();
                    let mut seen = Seen::after(&client.welcome, None);
                    let (mut returns, mut done) = (0, false);
                    while !done {
                        done = stop.load(Ordering::SeqCst);
                        // A few frames, then the connection is cut.
                        let enough = seen.comments.len() + 3;
                        if !done {
                            seen.follow(&mut client, |seen| {
                                seen.comments.len() >= enough || seen.comments.len() as u64 == SAID
                            });
                        }
                        drop(client);
                        client = back(server, &epoch, seen.position, subprotocol);
                        assert_eq!(verdict(&client), (true, None), "{}", client.welcome);
                        assert!(number(&client.welcome, "last") >= seen.position);
                        returns += 1;
                    }
                    // The last comment may be older than this client's first join.
                    let last = SAID.to_string();
                    seen.follow(&mut client, |seen| seen.comments.last().is_some_and(|(.., said)| *said == last));
                    (returns, seen)
                })
            })
            .collect();
        all.until(&mut whole, &SAID.to_string());
        for one in returning {
            let (returns, seen) = one.join().expect("comes back");
            assert!(returns > 5, "only {returns} returns: too few to prove anything");
            let missed = all.comments.len() - seen.comments.len();
            assert_eq!(seen.comments, all.comments[missed..], "no hole, no copy, since the first join");
            assert!(missed < 50, "joined too late to prove anything: {missed}");
            for (last, digest) in &seen.digests {
                assert!(all.digests.get(last).is_none_or(|other| other == digest), "digests differ at {last}");
            }
        }
    });
    assert_eq!(server.metric("volley_gaps_total", ""), 0.0);
}

#[test]
fn missed_events_come_without_a_hole_up_to_the_welcomes_position() {
    let server = server();
    let mut talker = server.join("back");
    let epoch = text(&talker.welcome, "epoch").to_owned();
    talk(&mut talker, 20);
    talker.send_value(&json!({"like": {"count": 7}}));
    server.eventually("the likes are told", |server| server.metric("volley_likes_total", "") == 7.0);
    // Two shards and two encodings: some clients find everything in their shard's ring, others are the first on their
    // shard.
    let mut present = Vec::new();
    for subprotocol in ENCODINGS.repeat(2) {
        for after in [0, 1, 7, 19] {
            let mut client = back(&server, &epoch, after, subprotocol);
            assert_eq!(verdict(&client), (true, None));
            let (welcome, last) = (client.welcome.clone(), number(&client.welcome, "last"));
            assert_eq!(welcome["snapshot"]["events"], json!([]), "what follows in frames would come twice");
            let mut seen = Seen::after(&welcome, Some(after));
            seen.likes = number(&welcome["snapshot"], "likes");
            seen.follow(&mut client, |seen| seen.position >= last);
            let expected: Vec<String> = (after + 1..=20).map(|n| n.to_string()).collect();
            assert_eq!(seen.texts(), expected, "after {after}");
            seen.follow(&mut client, |seen| seen.likes == 7);
            present.push(client);
        }
    }
    assert!(
        server.metric("volley_resumes_total", "ring") > 0.0 && server.metric("volley_resumes_total", "pages") > 0.0
    );
}

#[test]
fn a_client_that_missed_nothing_is_told_so_and_gets_only_new_events() {
    let server = server();
    let mut talker = server.join("back");
    let epoch = text(&talker.welcome, "epoch").to_owned();
    talk(&mut talker, 5);
    for subprotocol in ENCODINGS {
        let last = number(&server.join("back").welcome, "last");
        let mut client = back(&server, &epoch, last, subprotocol);
        assert_eq!(verdict(&client), (true, None));
        assert_eq!(number(&client.welcome, "last"), last);
        // Each encoding has a different comment, because a second one with the same id would be a retry.
        talker.comment(subprotocol, subprotocol);
        let mut seen = Seen::after(&client.welcome, Some(last));
        seen.until(&mut client, subprotocol);
        assert_eq!(seen.texts(), [subprotocol]);
    }
}

#[test]
fn an_incomplete_resume_gives_its_reason_and_begins_with_the_newest() {
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
        config.room.log_events_max = 10;
        config.room.batch_events_max = 10;
        config.room.snapshot_events = 3;
        // Shorter than the log: the ring can serve events that the log no longer has.
        config.connection.ring_frames = 4;
    });
    let mut talker = server.join("back");
    let epoch = text(&talker.welcome, "epoch").to_owned();
    talk(&mut talker, 30);
    let first = if epoch.starts_with('0') { '1' } else { '0' };
    let other = format!("{first}{}", &epoch[1..]);
    for subprotocol in ENCODINGS {
        for (epoch, after, reason) in [
            (&other, 25, "epoch_changed"),
            (&other, 1 << 40, "epoch_changed"),
            (&epoch, 31, "ahead"),
            (&epoch, (1 << 53) - 1, "ahead"),
            (&epoch, 0, "too_old"),
            (&epoch, 19, "too_old"),
        ] {
            let client = back(&server, epoch, after, subprotocol);
            assert_eq!(verdict(&client), (false, Some(reason)), "after {after}");
            assert_eq!(number(&client.welcome, "last"), 30);
            let events = client.welcome["snapshot"]["events"].as_array().unwrap();
            assert_eq!(events.iter().map(|event| number(event, "offset")).collect::<Vec<_>>(), [28, 29, 30]);
        }
        // The oldest position from which everything is retained.
        let client = back(&server, &epoch, 20, subprotocol);
        assert_eq!(verdict(&client), (true, None));
    }
    // A partial recovery never looks whole: after such a welcome only new events follow.
    let mut client = back(&server, &epoch, 0, ENCODINGS[0]);
    let mut seen = Seen::after(&client.welcome, None);
    talker.comment("new", "new");
    seen.until(&mut client, "new");
    assert_eq!(seen.texts(), ["new"]);
}

#[test]
fn a_resume_from_any_distance_is_complete() {
    let server = server();
    let mut talker = server.join("back");
    let mut whole = server.join("back");
    let epoch = text(&talker.welcome, "epoch").to_owned();
    let say = |talker: &mut Client, count: u64, said: &str| {
        let one = support::viewer::message(
            ENCODINGS[0],
            &support::viewer::payload(ENCODINGS[0], &json!({"comment": {"text": said}})),
        );
        for n in 0..count / 50 {
            talker.raw(&one.repeat(49)).unwrap();
            talker.comment(&format!("mark-{count}-{n}"), said);
        }
    };
    let mut all = Seen::after(&whole.welcome, None);
    std::thread::scope(|scope| {
        scope.spawn(|| all.follow(&mut whole, |seen| seen.comments.len() == 5_500));
        say(&mut talker, 5_000, "x");
        say(&mut talker, 500, &"长".repeat(500));
    });
    for (subprotocol, after) in [(ENCODINGS[0], 0), (ENCODINGS[1], 0), (ENCODINGS[0], 49), (ENCODINGS[1], 5_100)] {
        let mut client = back(&server, &epoch, after, subprotocol);
        assert_eq!(verdict(&client), (true, None));
        let mut seen = Seen::after(&client.welcome, Some(after));
        seen.follow(&mut client, |seen| seen.position == all.position);
        assert_eq!(seen.comments, all.comments[after as usize..], "after {after}");
        assert_eq!(seen.digests.last_key_value(), all.digests.last_key_value());
    }
}

#[test]
fn a_new_life_of_a_room_has_a_new_epoch() {
    let server = Server::start(|config| config.room.idle_s = 1);
    let mut first = server.join("back");
    let epoch = text(&first.welcome, "epoch").to_owned();
    let after = number(&first.comment("c", "of the first life"), "offset");
    drop(first);
    server.eventually("the room ends", |server| server.metric("volley_rooms", "") == 0.0);
    assert_eq!(verdict(&back(&server, &epoch, after, ENCODINGS[0])), (false, Some("epoch_changed")));
}

#[test]
fn a_storm_of_resumes_is_served_completely() {
    const STORM: usize = 200;
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 50;
    });
    let mut talker = server.join("back");
    let epoch = text(&talker.welcome, "epoch").to_owned();
    talk(&mut talker, 40);
    let (start, stop) = (Barrier::new(STORM + 1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (server, epoch, start) = (&server, &epoch, &start);
        let returning: Vec<_> = (0..STORM)
            .map(|n| {
                scope.spawn(move || {
                    start.wait();
                    // From a few positions, as after a network failure.
                    let after = [0, 10, 20, 39][n % 4];
                    let mut client = back(server, epoch, after, ENCODINGS[n / 4 % 2]);
                    assert_eq!(verdict(&client), (true, None));
                    let mut seen = Seen::after(&client.welcome, Some(after));
                    seen.until(&mut client, "the end");
                    (after, seen)
                })
            })
            .collect();
        let stop = &stop;
        let talking = scope.spawn(move || {
            start.wait();
            let mut n = 41;
            while !stop.load(Ordering::SeqCst) {
                talker.comment(&format!("c{n}"), &n.to_string());
                n += 1;
            }
            talker.comment("end", "the end");
            n
        });
        // The sender continues until all clients have resumed.
        server.eventually("all are back", |server| {
            let list: Value = serde_json::from_str(&server.get(server.admin, "/v1/rooms").1).expect("JSON");
            number(&list["rooms"][0], "online") == STORM as u64 + 1
        });
        stop.store(true, Ordering::SeqCst);
        let said = talking.join().expect("talks") - 1;
        for one in returning {
            let (after, seen) = one.join().expect("comes back");
            let mut expected: Vec<String> = (after + 1..=said).map(|n| n.to_string()).collect();
            expected.push("the end".into());
            assert_eq!(seen.texts(), expected);
        }
    });
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
    assert_eq!(server.metric("volley_gaps_total", ""), 0.0);
}

#[test]
fn a_position_that_is_none_is_refused_before_the_upgrade() {
    let server = server();
    for query in
        ["epoch=1&after=-1", "epoch=1&after=x", "epoch=1&after=18446744073709551615", "epoch=zz&after=1", "after=1"]
    {
        let mut stream = std::net::TcpStream::connect(server.public).unwrap();
        let answer = support::viewer::refused(&mut stream, &format!("/v1/rooms/back/ws?{query}"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_payload"), "{query}");
    }
    assert_eq!(server.metric("volley_rooms", ""), 0.0);
}
