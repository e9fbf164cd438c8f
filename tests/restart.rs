//! A restart on the disk log: every client continues at its position, and acknowledged comments are kept.

mod support;

use serde_json::{Value, json};
use std::path::PathBuf;
use support::viewer::{ENCODINGS, Seen, enter, number, text};
use support::{Client, Server};
use volley::config::Data;

/// A directory that is removed after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("volley-restart-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("makes a directory");
        Self(path)
    }

    fn server(&self) -> Server {
        Server::start(|config| {
            config.no_rate_limits = true;
            config.tick_ms = 10;
            config.data = Data::Directory(self.0.join("data"));
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that cannot be removed stays in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn guest(server: &Server, query: &str) -> Client {
    enter(server, "life", query, "volley.v1.json, volley.guest.0123456789abcdef0123")
}

#[test]
fn a_viewer_continues_where_it_stopped_and_a_sender_gets_the_first_answer() {
    let scratch = Scratch::new("resume");
    let server = scratch.server();
    let mut client = guest(&server, "");
    let epoch = text(&client.welcome, "epoch").to_owned();
    let mut seen = Seen::after(&client.welcome, None);
    let first = client.comment("c1", "one");
    seen.until(&mut client, "one");
    client.send(r#"{"like":{"count":7}}"#);
    let acks: Vec<_> = (2..=9).map(|n| client.comment(&format!("c{n}"), &n.to_string())).collect();
    assert!(server.metric("volley_log_commits_total", "") >= 2.0, "each ack was preceded by a commit");
    server.drain();

    let server = scratch.server();
    let mut client = guest(&server, &format!("?epoch={epoch}&after={}", seen.position));
    assert_eq!((&client.welcome["recovered"], text(&client.welcome, "epoch")), (&Value::Bool(true), &*epoch));
    let mut resumed = Seen::after(&client.welcome, Some(seen.position));
    resumed.until(&mut client, "9");
    assert_eq!(resumed.texts(), ["2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(resumed.likes, 7);
    assert_eq!(client.comment("c1", "one"), first);
    assert_eq!(client.comment("c9", "9"), acks[7]);
    let next = client.comment("c10", "ten");
    assert!(number(&next, "offset") > number(&acks[7], "offset"));
}

#[test]
fn history_is_there_before_anybody_has_come_back() {
    let scratch = Scratch::new("history");
    let server = scratch.server();
    let mut client = guest(&server, "");
    client.comment("c1", "one");
    let last = number(&client.comment("c2", "two"), "offset");
    let epoch = text(&client.welcome, "epoch").to_owned();
    server.drain();

    let server = scratch.server();
    let (status, page) = server.get(server.public, "/v1/rooms/life/events");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!((status, text(&page, "epoch"), number(&page, "last")), (200, &*epoch, last));
    let texts: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|event| text(&event["comment"], "text")).collect();
    assert_eq!(texts, ["one", "two"]);
    let (status, xml) = server.get(server.public, "/v1/rooms/life/export?format=bilibili-xml");
    assert!(status == 200 && xml.contains(">one</d>") && xml.contains("</i>"), "{xml}");
    let (_, rooms) = server.get(server.public, "/v1/rooms");
    assert!(rooms.contains(r#""total":0"#), "looking at history opens no room: {rooms}");
}

#[test]
fn rooms_of_different_directories_are_separate() {
    let (here, there) = (Scratch::new("here"), Scratch::new("there"));
    let epoch = {
        let server = here.server();
        let mut client = guest(&server, "");
        client.comment("c1", "one");
        text(&client.welcome, "epoch").to_owned()
    };
    let server = there.server();
    let client = enter(&server, "life", &format!("?epoch={epoch}&after=1"), ENCODINGS[1]);
    assert_eq!((&client.welcome["recovered"], text(&client.welcome, "reason")), (&Value::Bool(false), "epoch_changed"));
}

/// Running totals of gifts and last tallies of polls, from messages that continue `position` up to `last`.
fn totals(client: &mut Client, mut position: u64, last: u64) -> (Vec<u64>, Vec<Value>) {
    let (mut gifts, mut polls) = (Vec::new(), std::collections::BTreeMap::new());
    while position < last {
        let frame = client.next("frame");
        assert_eq!(number(&frame, "prev"), position);
        position = number(&frame, "last");
        let events = frame["events"].as_array().into_iter().flatten();
        gifts.extend(
            events.filter_map(|event| event["gift"].as_object()).map(|gift| gift["total"].as_u64().expect("a total")),
        );
        let tallies = frame["tallies"].as_array().into_iter().flatten();
        polls.extend(tallies.map(|tally| (tally["id"].to_string(), tally.clone())));
    }
    (gifts, polls.into_values().collect())
}

#[test]
fn pages_of_the_past_have_the_combos_and_the_tallies_that_live_frames_had() {
    let scratch = Scratch::new("totals");
    let server = scratch.server();
    let mut viewer = server.join("life");
    let epoch = text(&viewer.welcome, "epoch").to_owned();
    let begin = number(&viewer.welcome, "last");
    let gift = |count: u64| json!({"gift": {"user": {"id": "u7", "name": "Li"}, "name": "rose", "count": count, "value": 1, "combo": "c"}});
    let poll = |id: &str| json!({"poll": {"id": id, "question": "which", "options": ["a", "b"]}});
    let post = |server: &Server, event: &Value| support::poster::taken(server.admin, "life", "", event)[0];
    post(&server, &gift(3));
    post(&server, &poll("p1"));
    viewer.send_value(&json!({"vote": {"id": "v1", "poll": "p1", "option": 1}}));
    viewer.next("ack");
    post(&server, &json!({"events": [gift(2), gift(5)]}));
    post(&server, &poll("p2")); // Closes the first.
    let last = post(&server, &json!({"poll_close": {"id": "p2"}}));
    let tally = |id: &str, votes: [u64; 2]| json!({"id": id, "votes": votes, "open": false});
    let expected = (vec![3, 5, 10], vec![tally("p1", [0, 1]), tally("p2", [0, 0])]);
    let mut live = server.connect("life", &format!("?epoch={epoch}&after={begin}"));
    live.welcome = live.next("welcome");
    assert_eq!(totals(&mut live, begin, last), expected);
    assert_eq!(server.drain(), 0);

    // The next process has no frame of them: they are made from the log.
    let server = scratch.server();
    for after in begin..last {
        let mut back = server.connect("life", &format!("?epoch={epoch}&after={after}"));
        back.welcome = back.next("welcome");
        assert_eq!(back.welcome["recovered"], true, "{}", back.welcome);
        let (gifts, polls) = totals(&mut back, after, last);
        assert!(expected.0.ends_with(&gifts), "{gifts:?} after {after}");
        assert!(expected.1.ends_with(&polls) && !polls.is_empty(), "{polls:?} after {after}");
    }
    post(&server, &gift(1));
    let frames = totals(&mut server.connect("life", &format!("?epoch={epoch}&after={last}")), last, last + 1);
    assert_eq!(frames.0, [11], "the combo goes on");
}
