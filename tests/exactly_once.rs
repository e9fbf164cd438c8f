//! Exactly once for senders: a retry by the same guest is harmless over any connection.

mod support;

use serde_json::{Value, json};
use support::viewer::{ENCODINGS, enter, number, text};
use support::{Client, Server};

const KEY: &str = "0123456789abcdefghij";

fn server() -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    })
}

fn guest(server: &Server, subprotocol: &str, key: &str) -> Client {
    enter(server, "once", "", &format!("volley.guest.{key}, {subprotocol}"))
}

fn say(client: &mut Client, id: &str, said: &str) -> Value {
    client.send_value(&json!({"comment": {"id": id, "text": said}}));
    loop {
        let message = client.read().expect("an answer");
        if message.get("ack").is_some() || message.get("error").is_some() {
            return message;
        }
    }
}

#[test]
fn a_guest_with_a_key_is_the_same_on_every_connection_and_in_both_encodings() {
    let server = server();
    let id = |client: &Client| text(&client.welcome["you"], "id").to_owned();
    let known: Vec<_> = ENCODINGS.iter().map(|subprotocol| id(&guest(&server, subprotocol, KEY))).collect();
    assert_eq!(known[0], known[1]);
    assert_ne!(id(&guest(&server, ENCODINGS[0], "another-key-of-20-ch")), known[0]);
    assert!(!known[0].contains(KEY));
}

#[test]
fn a_retry_over_another_connection_is_stored_once_and_both_answers_name_one_offset() {
    let server = server();
    let mut watcher = server.join("once");
    let first = {
        let mut client = guest(&server, ENCODINGS[0], KEY);
        say(&mut client, "c1", "hello")["ack"].clone()
    };
    let mut client = guest(&server, ENCODINGS[1], KEY);
    assert_eq!(say(&mut client, "c1", "hello")["ack"], first);
    assert_eq!(say(&mut client, "c1", " hello\u{200b} ")["ack"], first, "the text is compared as it is stored");
    let next = say(&mut client, "c2", "hello")["ack"].clone();
    assert_eq!(number(&next, "offset"), number(&first, "offset") + 1, "nothing was stored in between");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let frame = watcher.next("frame");
        let events = frame["events"].as_array().expect("events");
        seen.extend(events.iter().map(|event| text(&event["comment"], "id").to_owned()));
    }
    assert_eq!(seen, ["c1", "c2"]);
}

#[test]
fn a_retry_sent_while_the_first_is_on_its_way_is_answered_on_both_connections() {
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 500;
    });
    let [mut a, mut b] = [(); 2].map(|()| guest(&server, ENCODINGS[0], KEY));
    for client in [&mut a, &mut b] {
        client.send_value(&json!({"comment": {"id": "c1", "text": "hello"}}));
    }
    let [one, two] = [a.next("ack"), b.next("ack")];
    assert_eq!(one, two);
    assert_eq!(number(&say(&mut a, "c2", "next")["ack"], "offset"), number(&one, "offset") + 1);
}

#[test]
fn an_id_with_a_different_text_is_a_conflict_for_its_author_only() {
    let server = server();
    let mut client = guest(&server, ENCODINGS[0], KEY);
    let first = say(&mut client, "c1", "hello")["ack"].clone();
    let refused = say(&mut client, "c1", "goodbye")["error"].clone();
    assert_eq!((text(&refused, "code"), text(&refused, "id")), ("id_conflict", "c1"));
    let mut other = guest(&server, ENCODINGS[0], "another-key-of-20-ch");
    let theirs = say(&mut other, "c1", "goodbye")["ack"].clone();
    assert_eq!(number(&theirs, "offset"), number(&first, "offset") + 1);
}

#[test]
fn a_bad_key_is_refused_and_a_key_without_a_subprotocol_too() {
    let server = server();
    let status = |subprotocols: &str| Client::connect(server.public, "/v1/rooms/once/ws", Some(subprotocols)).err();
    assert_eq!(status("volley.v1.json, volley.guest.tooshort"), Some(400));
    assert_eq!(status("volley.v1.json, volley.guest.0123456789abcdef0, volley.guest.0123456789abcdef0"), Some(400));
    assert_eq!(status("volley.guest.0123456789abcdef0"), Some(400));
    assert_eq!(status("volley.v1.json, volley.guest.0123456789abcdef0"), None);
}

/// Without rate limits a tool may send thousands of messages before it reads its first answer.
#[test]
fn a_burst_from_one_connection_is_acknowledged_whole_when_rates_are_not_limited() {
    const COUNT: usize = 1_500;
    let server = server();
    let mut client = guest(&server, ENCODINGS[0], KEY);
    let long = "长".repeat(500);
    let one = |n: usize| {
        support::viewer::message(ENCODINGS[0], &support::viewer::comment(ENCODINGS[0], &format!("c{n}"), &long))
    };
    (0..COUNT).for_each(|n| client.raw(&one(n)).expect("writes"));
    // Frames of some megabytes wait before the first answer is read.
    server.eventually("all is in the log", |server| server.metric("volley_comments_total", "") >= COUNT as f64);
    let acks: std::collections::BTreeSet<_> = (0..COUNT).map(|_| text(&client.next("ack"), "id").to_owned()).collect();
    assert_eq!(acks.len(), COUNT);
}
