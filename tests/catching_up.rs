//! Resuming from far behind with a slow log: the client misses nothing, and no other client is affected.

mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::gated::{Gate, Gated};
use support::viewer::{ENCODINGS, Seen, enter, number, text};
use support::{Client, Server, frame};
use volley::config::Config;

fn server(log: &Arc<Gated>, change: impl FnOnce(&mut Config)) -> Server {
    Server::start_on(log.clone(), |config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
        config.shards = 1;
        change(config);
    })
}

/// The query of a client that resumes after `after`.
fn after(client: &Client, after: u64) -> String {
    format!("?epoch={}&after={after}", text(&client.welcome, "epoch"))
}

/// Sends `count` comments, fast; returns when the last is in the log.
fn say(talker: &mut Client, count: u64, said: &str) {
    let one = json!({"comment": {"text": said}}).to_string();
    for n in 0..count / 50 {
        talker.raw(&frame(0x81, one.as_bytes()).repeat(49)).unwrap();
        talker.comment(&format!("{}-{n}", u32::from(said.chars().next().unwrap_or_default())), said);
    }
}

/// The reason in a welcome that does not continue the position; `None` if it does.
fn reason(client: &Client) -> Option<&str> {
    assert_eq!(client.welcome["recovered"], client.welcome.get("reason").is_none());
    client.welcome["reason"].as_str()
}

#[test]
fn a_resume_from_the_beginning_is_complete_and_does_not_delay_the_crowd() {
    const LONG: u64 = 30_000;
    let log = Gated::new();
    let server = server(&log, |config| config.room.batch_events_max = 4_000);
    let mut talker = server.join("long");
    let mut crowd: Vec<_> = (0..4).map(|n| enter(&server, "long", "", ENCODINGS[n % 2])).collect();
    let mut seen: Vec<_> = crowd.iter().map(|client| Seen::after(&client.welcome, None)).collect();
    let query = after(&talker, 0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching: Vec<_> = (crowd.iter_mut().zip(&mut seen))
            .map(|(client, seen)| scope.spawn(move || seen.follow(client, |seen| seen.said_last("the end"))))
            .collect();
        say(&mut talker, LONG, "past");
        let talking = scope.spawn(|| {
            let mut said = 0;
            while !stop.load(Ordering::SeqCst) {
                said += 1;
                talker.comment(&format!("now-{said}"), &format!("now {said}"));
            }
            talker.comment("end", "the end");
        });
        let returning: Vec<_> = ENCODINGS
            .iter()
            .map(|subprotocol| {
                let (server, query) = (&server, &query);
                scope.spawn(move || {
                    let mut client = enter(server, "long", query, subprotocol);
                    assert_eq!(reason(&client), None);
                    let last = number(&client.welcome, "last");
                    let mut seen = Seen::after(&client.welcome, Some(0));
                    seen.likes = number(&client.welcome["snapshot"], "likes");
                    seen.follow(&mut client, |seen| seen.position >= last + 20);
                    (client, seen)
                })
            })
            .collect();
        let returned: Vec<_> = returning.into_iter().map(|one| one.join().expect("comes back")).collect();
        stop.store(true, Ordering::SeqCst);
        talking.join().expect("talks");
        watching.into_iter().for_each(|one| one.join().expect("nobody in the crowd has a gap"));
        for (mut client, mut seen) in returned {
            seen.follow(&mut client, |seen| seen.said_last("the end"));
            assert_eq!(seen.comments.len() as u64 + seen.shed, seen.position, "every comment was shown or counted");
            assert_eq!(seen.comments.iter().filter(|(.., said)| said == "past").count() as u64, LONG);
        }
    });
    for one in &seen {
        assert_eq!(one.comments, seen[0].comments);
    }
    assert_eq!(server.metric("volley_gaps_total", ""), 0.0);
    assert_eq!(server.metric("volley_resumes_total", "pages"), 2.0);
}

#[test]
fn a_short_absence_is_served_from_the_ring_without_reading_the_log() {
    let log = Gated::new();
    let server = server(&log, |_| {});
    let mut talker = server.join("ring");
    (1..=20).for_each(|n| drop(talker.comment(&format!("c{n}"), &n.to_string())));
    log.reading("ring", Gate::Broken);
    let before = log.reads();
    for from in [0, 5, 19, 20] {
        let mut client = enter(&server, "ring", &after(&talker, from), ENCODINGS[0]);
        assert_eq!(reason(&client), None);
        let mut seen = Seen::after(&client.welcome, Some(from));
        seen.follow(&mut client, |seen| seen.position == 20);
        assert_eq!(seen.comments.len() as u64, 20 - from);
    }
    assert_eq!(log.reads(), before);
    assert_eq!(server.metric("volley_resumes_total", "ring"), 4.0);
    assert_eq!(server.metric("volley_page_requests_total", ""), 0.0);
}

#[test]
fn a_storm_from_one_position_reads_each_stretch_once() {
    const STORM: usize = 120;
    let log = Gated::new();
    let server = server(&log, |config| config.connection.ring_frames = 2);
    let mut talker = server.join("storm");
    say(&mut talker, 2_500, "x");
    log.reading("storm", Gate::Shut);
    let before = log.reads();
    let query = after(&talker, 50);
    let clients: Vec<_> = (0..STORM).map(|_| server.connect("storm", &query)).collect();
    server.eventually("all wait for one page", |server| {
        server.metric("volley_page_requests_total", "joined") == STORM as f64 - 1.0
    });
    log.reading("storm", Gate::Open);
    for mut client in clients {
        client.welcome = client.next("welcome");
        assert_eq!(reason(&client), None);
        let mut seen = Seen::after(&client.welcome, Some(50));
        seen.follow(&mut client, |seen| seen.position == 2_500);
        assert_eq!(seen.comments.len(), 2_450);
    }
    assert_eq!(log.reads() - before, 2, "2,000 and 450 events, each once");
    // Later clients need no read at all.
    let mut late = enter(&server, "storm", &query, ENCODINGS[0]);
    let mut seen = Seen::after(&late.welcome, Some(50));
    seen.follow(&mut late, |seen| seen.position == 2_500);
    assert_eq!(log.reads() - before, 2);
    assert!(server.metric("volley_page_requests_total", "known") >= 2.0);
}

#[test]
fn a_client_that_retention_overtakes_begins_anew_and_is_told_so() {
    let log = Gated::new();
    let server = server(&log, |config| {
        config.room.log_events_max = 3_000;
        config.connection.ring_frames = 2;
    });
    let mut talker = server.join("old");
    say(&mut talker, 2_500, "x");
    let query = after(&talker, 0);
    log.reading_only("old", 1);
    let mut client = enter(&server, "old", &query, ENCODINGS[0]);
    assert_eq!(reason(&client), None, "its first page is there");
    let mut seen = Seen::after(&client.welcome, Some(0));
    seen.follow(&mut client, |seen| seen.position > 0);
    server.eventually("it wants its second page", |_| log.waiting() == 1);
    say(&mut talker, 6_000, "y");
    log.reading("old", Gate::Open);
    assert_eq!(client.close_code(), Some(4002));
    let again = enter(&server, "old", &query, ENCODINGS[0]);
    assert_eq!(reason(&again), Some("too_old"), "and nobody is led there again");
}

#[test]
fn an_unreadable_log_is_reported_and_the_room_continues() {
    let log = Gated::new();
    let server = server(&log, |config| config.connection.ring_frames = 1);
    let mut talker = server.join("broken");
    say(&mut talker, 100, "x");
    log.reading("broken", Gate::Broken);
    let mut client = enter(&server, "broken", &format!("{}&history=3", after(&talker, 10)), ENCODINGS[1]);
    assert_eq!(reason(&client), Some("unavailable"));
    assert_eq!(client.welcome["snapshot"]["events"].as_array().unwrap().len(), 3);
    let mut seen = Seen::after(&client.welcome, None);
    talker.comment("new", "new");
    seen.until(&mut client, "new");
    assert_eq!(seen.texts(), ["new"]);
    assert_eq!(server.metric("volley_resumes_total", "unavailable"), 1.0);
}

#[test]
fn a_client_that_stalls_while_catching_up_is_closed_with_4001() {
    let log = Gated::new();
    let server = server(&log, |config| {
        config.connection.stalled_ms = 1_000;
        config.connection.ring_frames = 2;
    });
    let mut talker = server.join("stall");
    say(&mut talker, 1_000, &"长".repeat(400));
    let query = after(&talker, 0);
    let stalled: Vec<_> = (0..3)
        .map(|_| {
            let client = server.connect("stall", &query);
            socket2::SockRef::from(client.socket.get_ref()).set_recv_buffer_size(4 << 10).unwrap();
            client
        })
        .collect();
    server.eventually("they are closed", |server| server.metric("volley_closes_total", "4001") == 3.0);
    drop(stalled);
    server.eventually("nobody lags", |server| server.metric("volley_laggards", "") == 0.0);
    talker.comment("new", "the room goes on");
}

#[test]
fn answers_come_while_a_page_is_waited_for() {
    let log = Gated::new();
    let server = server(&log, |config| config.connection.ring_frames = 1);
    let mut talker = server.join("busy");
    say(&mut talker, 2_500, "x");
    let query = after(&talker, 0);
    log.reading_only("busy", 1);
    let mut client = enter(&server, "busy", &query, ENCODINGS[0]);
    let mut seen = Seen::after(&client.welcome, Some(0));
    seen.follow(&mut client, |seen| seen.position > 0);
    server.eventually("it waits for its second page", |_| log.waiting() == 1);
    let ack = client.comment("mine", "said on the way");
    log.reading("busy", Gate::Open);
    seen.until(&mut client, "said on the way");
    assert_eq!(seen.comments.last().unwrap().0, number(&ack, "offset"));
}

#[test]
fn a_slowly_opening_room_delays_no_other_and_loses_no_message() {
    let log = Gated::new();
    let server = server(&log, |_| {});
    log.opening("slow", Gate::Shut);
    let mut early: Vec<_> = (0..20).map(|_| server.connect("slow", "")).collect();
    for (n, client) in early.iter_mut().enumerate() {
        client.send_value(&json!({"comment": {"id": format!("c{n}"), "text": format!("early {n}")}}));
        client.send_value(&json!({"like": {"count": 2}}));
    }
    server.eventually("somebody opens it", |_| log.waiting() == 1);
    // The same shard serves another room meanwhile, and opens more.
    let mut other = server.join("other");
    let mut watcher = server.join("other");
    let mut seen = Seen::after(&watcher.welcome, None);
    for n in 0..10 {
        other.comment(&format!("o{n}"), &n.to_string());
        server.join(&format!("more-{n}"));
    }
    seen.until(&mut watcher, "9");
    assert_eq!(log.waiting(), 1);
    log.opening("slow", Gate::Open);
    for (n, client) in early.iter_mut().enumerate() {
        client.welcome = client.next("welcome");
        let mut seen = Seen::after(&client.welcome, None);
        seen.follow(client, |seen| seen.comments.len() == 20 && seen.likes == 40);
        assert!(seen.texts().contains(&format!("early {n}").as_str()));
    }
    assert_eq!(server.metric("volley_rooms", ""), 12.0);
}

#[test]
fn a_room_that_cannot_be_opened_is_refused_and_can_be_opened_later() {
    let log = Gated::new();
    let server = server(&log, |_| {});
    log.opening("no", Gate::Shut);
    let mut waiting: Vec<_> = (0..5).map(|_| server.connect("no", "")).collect();
    waiting[0].send_value(&json!({"comment": {"id": "c", "text": "x"}}));
    server.eventually("somebody opens it", |_| log.waiting() == 1);
    log.opening("no", Gate::Broken);
    assert_eq!(waiting.iter_mut().map(Client::close_code).collect::<Vec<_>>(), [Some(1013); 5]);
    log.opening("no", Gate::Open);
    server.join("no").comment("c", "now");
    // A room that is never opened leaves no trace.
    log.opening("never", Gate::Broken);
    assert_eq!(server.connect("never", "").close_code(), Some(1013));
    server.eventually("it is forgotten", |server| !server.get(server.admin, "/v1/rooms").1.contains("never"));
}

#[test]
fn a_drain_answers_messages_that_wait_for_a_room() {
    let log = Gated::new();
    let mut server = server(&log, |config| config.drain_ms = 500);
    log.opening("slow", Gate::Shut);
    let mut client = server.connect("slow", "");
    client.send_value(&json!({"comment": {"id": "c", "text": "x"}}));
    let mut other = server.join("other");
    other.comment("o", "x");
    server.eventually("somebody opens it", |_| log.waiting() == 1);
    let node = server.take();
    let draining = std::thread::spawn(move || node.drain());
    let error = client.next("error");
    assert_eq!((text(&error, "code"), text(&error, "id")), ("overloaded", "c"));
    assert_eq!(client.next("bye")["code"], 1012);
    assert_eq!(client.close_code(), Some(1012));
    assert_eq!(other.next("bye")["code"], 1012);
    drop((client, other));
    draining.join().expect("it ends although the device still waits");
    log.opening("slow", Gate::Open);
}

#[test]
fn a_newcomer_gets_the_history_it_asks_for() {
    let log = Gated::new();
    let server = server(&log, |_| {});
    let mut talker = server.join("history");
    (1..=30).for_each(|n| drop(talker.comment(&format!("c{n}"), &n.to_string())));
    let offsets = |client: &Client| -> Vec<u64> {
        let events: &Vec<Value> = client.welcome["snapshot"]["events"].as_array().expect("events");
        events.iter().map(|event| number(event, "offset")).collect()
    };
    for subprotocol in ENCODINGS {
        for (query, count) in
            [("", 20), ("?history=0", 0), ("?history=7", 7), ("?history=200", 30), ("?history=1000000000", 30)]
        {
            let client = enter(&server, "history", query, subprotocol);
            assert_eq!(offsets(&client), (31 - count..=30).collect::<Vec<u64>>(), "{query}");
        }
        let back = enter(&server, "history", &format!("{}&history=5", after(&talker, 9)), subprotocol);
        assert_eq!((reason(&back), offsets(&back)), (None, vec![]), "what it missed comes in frames");
        let lost = enter(&server, "history", "?history=5&epoch=1&after=9", subprotocol);
        assert_eq!((reason(&lost), offsets(&lost).len()), (Some("epoch_changed"), 5));
    }
    for query in ["history=-1", "history=x", "history=1&history=2", "history="] {
        let mut stream = std::net::TcpStream::connect(server.public).unwrap();
        let answer = support::viewer::refused(&mut stream, &format!("/v1/rooms/history/ws?{query}"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_payload"), "{query}");
        assert!(answer.body.contains("history"), "it names the parameter: {}", answer.body);
    }
}
