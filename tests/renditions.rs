//! Renditions over real sockets: requested, lowered by the server, and raised again. Each change is announced, and no
//! event is lost in between.

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::viewer::{ENCODINGS, enter, number};
use support::{Client, PATIENCE, Server};
use volley::config::Config;

const NAMES: [&str; 3] = ["viewer", "lite", "full"];

fn subscribers(server: &Server) -> [f64; 3] {
    NAMES.map(|name| server.metric("volley_subscribers", &format!("rendition=\"{name}\"")))
}

fn encodes(server: &Server) -> [f64; 3] {
    NAMES.map(|name| server.metric("volley_room_encodes_total", &format!("rendition=\"{name}\"")))
}

/// A server with a short tick and without rate limits.
fn quick() -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 20;
    })
}

/// Sends a comment and waits until it is in the log; returns its offset.
fn say(talker: &mut Client, id: &str, text: &str) -> u64 {
    talker.send_value(&json!({"comment": {"id": id, "text": text}}));
    loop {
        let message = talker.read().expect("open");
        assert!(message.get("error").is_none(), "{message}");
        if let Some(ack) = message.get("ack") {
            return number(ack, "offset");
        }
    }
}

/// Checks messages against each other: frames continue exactly, whatever their rendition.
struct Reader {
    position: u64,
    gaps: u64,
    changes: Vec<(String, String)>,
}

impl Reader {
    fn new(welcome: &Value) -> Self {
        Self { position: number(welcome, "last"), gaps: 0, changes: Vec::new() }
    }

    fn take(&mut self, message: &Value) {
        if let Some(frame) = message.get("frame") {
            assert_eq!(number(frame, "prev"), self.position, "a hole or an overlap: {frame}");
            self.position = number(frame, "last");
        } else if let Some(gap) = message.get("gap") {
            assert_eq!(number(gap, "from"), self.position, "a gap that does not begin where it stands: {gap}");
            self.position = number(gap, "to");
            self.gaps += 1;
        } else if let Some(change) = message.get("rendition") {
            let text = |field: &str| change[field].as_str().expect("text").to_owned();
            self.changes.push((text("now"), text("reason")));
        }
    }

    /// Reads until `enough`.
    fn until(&mut self, client: &mut Client, what: &str, enough: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !enough(self) {
            assert!(began.elapsed() < 3 * PATIENCE, "never came: {what}; {:?}", self.changes);
            self.take(&client.read().unwrap_or_else(|close| panic!("closed: {close:?}")));
        }
    }

    fn last_change(&self) -> Option<(&str, &str)> {
        self.changes.last().map(|(now, reason)| (now.as_str(), reason.as_str()))
    }
}

#[test]
fn every_rendition_may_be_requested_at_the_upgrade_and_is_named_in_the_welcome() {
    let server = Server::start(|_| ());
    for subprotocol in ENCODINGS {
        for name in NAMES {
            let client = enter(&server, "asked", &format!("?rendition={name}"), subprotocol);
            let said = client.welcome.get("rendition").map_or("viewer", |said| said.as_str().unwrap());
            assert_eq!(said, name);
            assert_eq!(client.welcome.get("rendition").is_some(), name != "viewer", "left out where it says nothing");
            let at = NAMES.iter().position(|known| *known == name).unwrap();
            assert_eq!(subscribers(&server)[at], 1.0);
            drop(client);
            server.eventually("presence returns to zero", |server| subscribers(server) == [0.0; 3]);
        }
    }
}

#[test]
fn a_change_of_rendition_is_announced_right_before_its_first_frame() {
    let server = quick();
    for subprotocol in ENCODINGS {
        let mut talker = server.join("changes");
        let mut client = enter(&server, "changes", "", subprotocol);
        let mut reader = Reader::new(&client.welcome);
        for (n, name) in ["lite", "full", "viewer", "full", "lite", "viewer"].into_iter().enumerate() {
            client.send_value(&json!({"rendition": name}));
            say(&mut talker, &format!("{subprotocol}{n}"), &format!("评论 {n}"));
            reader.until(&mut client, name, |reader| reader.changes.len() > n);
            assert_eq!(reader.last_change(), Some((name, "asked")));
        }
        // The same request again is answered at once.
        client.send_value(&json!({"rendition": "viewer"}));
        reader.until(&mut client, "the answer", |reader| reader.changes.len() == 7);
        let target = say(&mut talker, &format!("{subprotocol}last"), "最后");
        reader.until(&mut client, "the last comment", |reader| reader.position == target);
        assert_eq!(reader.gaps, 0);
        assert_eq!(server.metric("volley_subscribers", "viewer"), 2.0);
    }
}

#[test]
fn a_frame_behind_the_notice_is_of_the_new_rendition() {
    let server = quick();
    let (mut talker, mut console) = (server.join("kinds"), server.join("kinds"));
    console.send(r#"{"rendition":"full"}"#);
    assert_eq!(console.next("rendition"), json!({"now": "full", "reason": "asked"}));
    let offset = say(&mut talker, "c", "控制台");
    let frame = loop {
        let frame = console.next("frame");
        if number(&frame, "last") >= offset {
            break frame;
        }
    };
    assert_eq!(number(&frame["events"][0], "offset"), offset);
    assert!(encodes(&server)[2] >= 1.0);
}

#[test]
fn only_renditions_with_a_reader_are_encoded() {
    let server = quick();
    let mut talker = server.join("used");
    (0..5).for_each(|n| {
        say(&mut talker, &format!("a{n}"), "一");
    });
    let [viewer, lite, full] = encodes(&server);
    assert!(viewer >= 5.0 && lite == 0.0 && full == 0.0);
    let mut other = enter(&server, "used", "?rendition=lite", ENCODINGS[0]);
    (0..5).for_each(|n| {
        say(&mut talker, &format!("b{n}"), "二");
    });
    let [_, lite, full] = encodes(&server);
    assert!(lite >= 5.0 && full == 0.0);
    // The client changes its request, and no other client reads lite.
    other.send(r#"{"rendition":"viewer"}"#);
    other.next("rendition");
    say(&mut talker, "c", "三");
    let [_, lite, _] = encodes(&server);
    (0..5).for_each(|n| {
        say(&mut talker, &format!("d{n}"), "四");
    });
    assert_eq!(encodes(&server)[1..], [lite, 0.0]);
}

#[test]
fn a_wish_before_the_welcome_is_served_after_it_and_the_newest_of_many_counts() {
    let server = quick();
    let mut client = server.connect("eager", "");
    for name in ["lite", "full", "lite", "full"] {
        client.send(&format!(r#"{{"rendition":"{name}"}}"#));
    }
    let first = client.read().expect("open");
    assert!(first.get("welcome").is_some(), "{first}");
    let mut reader = Reader::new(&first["welcome"]);
    reader.until(&mut client, "full", |reader| reader.last_change() == Some(("full", "asked")));
    server.eventually("it is counted as what it reads", |server| subscribers(server) == [0.0, 0.0, 1.0]);
}

#[test]
fn a_client_that_leaves_during_a_change_leaves_nothing_behind() {
    let server = quick();
    let mut talker = server.join("leavers");
    for n in 0..50 {
        let mut client = server.connect("leavers", ["", "?rendition=lite", "?rendition=full"][n % 3]);
        client.send(r#"{"rendition":"full"}"#);
        if n % 2 == 0 {
            client.next("welcome");
            client.send(r#"{"rendition":"lite"}"#);
        }
    }
    server.eventually("only the talker is left", |server| subscribers(server) == [1.0, 0.0, 0.0]);
    say(&mut talker, "a", "一");
    let before = encodes(&server);
    (0..3).for_each(|n| {
        say(&mut talker, &format!("b{n}"), "二");
    });
    assert_eq!(encodes(&server)[1..], before[1..], "nobody stands by for a rendition any more");
    assert_eq!(server.metric("volley_laggards", ""), 0.0);
}

/// A server with small socket buffers, so that a slow client is noticed soon.
fn narrow() -> Server {
    narrow_with(|config| config.connection.lite_lag_frames = 10)
}

fn narrow_with(change: impl FnOnce(&mut Config)) -> Server {
    Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 50;
        config.connection.ring_frames = 256;
        config.connection.sndbuf_bytes = 4 << 10;
        config.connection.notsent_lowat_bytes = 4 << 10;
        change(config);
    })
}

fn little_buffer(client: &Client) {
    socket2::SockRef::from(client.socket.get_ref()).set_recv_buffer_size(4 << 10).unwrap();
}

/// Comments of 1.5 KB each, some in every tick, until `enough`.
fn talk_until(server: &Server, talker: &mut Client, what: &str, mut enough: impl FnMut(&Server) -> bool) {
    let began = Instant::now();
    let mut n = 0;
    while !enough(server) {
        assert!(began.elapsed() < 2 * PATIENCE, "never happened: {what}");
        for _ in 0..5 {
            n += 1;
            let text = format!("{what} {n} {}", "长".repeat(490));
            talker.send_value(&json!({"comment": {"id": format!("{what}{n}"), "text": text}}));
        }
        let mut acks = 0;
        while acks < 5 {
            let message = talker.read().expect("open");
            assert!(message.get("error").is_none(), "{message}");
            acks += u32::from(message.get("ack").is_some());
        }
    }
}

fn changes(server: &Server, now: &str, reason: &str) -> f64 {
    let labels = format!("now=\"{now}\",reason=\"{reason}\"");
    server.metric("volley_rendition_changes_total", &labels)
}

#[test]
fn slow_viewer_moves_to_lite_and_back_with_announcements_and_whole_frames() {
    let server = narrow();
    let mut slow = server.join("slide");
    little_buffer(&slow);
    let mut talker = server.join("slide");
    talk_until(&server, &mut talker, "slide", |server| changes(server, "lite", "slow") == 1.0);
    assert_eq!(subscribers(&server), [1.0, 1.0, 0.0]);
    assert_eq!(server.metric("volley_closes_total", ""), 0.0);

    let mut reader = Reader::new(&slow.welcome);
    reader.until(&mut slow, "told", |reader| reader.last_change() == Some(("lite", "slow")));
    let slid = Instant::now();
    reader.until(&mut slow, "climbed", |reader| reader.last_change() == Some(("viewer", "kept_up")));
    assert!(slid.elapsed() > Duration::from_secs(5), "it has to keep up for a while first");
    let target = say(&mut talker, "last", "最后");
    reader.until(&mut slow, "the last comment", |reader| reader.position == target);
    assert_eq!((reader.gaps, reader.changes.len()), (0, 2), "the ring held all that it lagged behind");
    assert_eq!(changes(&server, "viewer", "kept_up"), 1.0);
    drop((slow, talker));
    server.eventually("presence returns to zero", |server| subscribers(server) == [0.0; 3]);
}

#[test]
fn a_console_and_a_client_that_asked_for_lite_are_never_moved() {
    let server = narrow();
    let mut console = enter(&server, "fixed", "?rendition=full", ENCODINGS[0]);
    let mut lite = enter(&server, "fixed", "?rendition=lite", ENCODINGS[0]);
    let slow = server.join("fixed");
    [&console, &lite, &slow].into_iter().for_each(little_buffer);
    let mut talker = server.join("fixed");
    // The client does not read; its change to lite shows that the comments went on for long enough.
    talk_until(&server, &mut talker, "fixed", |server| changes(server, "lite", "slow") == 1.0);
    assert_eq!(subscribers(&server), [1.0, 2.0, 1.0]);
    for (client, name) in [(&mut console, "full"), (&mut lite, "lite")] {
        let mut reader = Reader::new(&client.welcome);
        let target = say(&mut talker, name, "最后");
        reader.until(client, "the last comment", |reader| reader.position >= target);
        assert_eq!(reader.changes, [], "{name}");
    }
    drop(slow);
    assert_eq!(server.metric("volley_rendition_changes_total", ""), 1.0);
}

#[test]
fn with_a_limit_of_zero_the_slow_keep_their_rendition() {
    let server = narrow_with(|config| config.connection.lite_lag_frames = 0);
    let mut slow = server.join("kept");
    little_buffer(&slow);
    let mut talker = server.join("kept");
    // At least 60 frames of 50 ms: three times as long as the change to lite takes.
    let mut ticks = 0..60;
    talk_until(&server, &mut talker, "kept", |_| ticks.next().is_none());
    assert_eq!(server.metric("volley_laggards", ""), 1.0);
    let mut reader = Reader::new(&slow.welcome);
    let target = say(&mut talker, "last", "最后");
    reader.until(&mut slow, "the last comment", |reader| reader.position == target);
    assert_eq!((reader.gaps, reader.changes.len()), (0, 0));
    assert_eq!(server.metric("volley_rendition_changes_total", ""), 0.0);
}

#[test]
fn requests_of_a_stalled_client_are_served_in_order() {
    let server = narrow();
    let mut slow = server.join("wishes");
    little_buffer(&slow);
    let mut talker = server.join("wishes");
    talk_until(&server, &mut talker, "wishes", |server| changes(server, "lite", "slow") == 1.0);
    // Its socket is full, so the first change is not done yet; the new request is handled after it.
    slow.send(r#"{"rendition":"full"}"#);
    say(&mut talker, "a", "一");
    slow.send(r#"{"rendition":"viewer"}"#);
    let target = say(&mut talker, "b", "二");
    let mut reader = Reader::new(&slow.welcome);
    reader.until(&mut slow, "viewer", |reader| reader.last_change() == Some(("viewer", "asked")));
    reader.until(&mut slow, "the last comment", |reader| reader.position >= target);
    let names: Vec<&str> = reader.changes.iter().map(|(now, _)| now.as_str()).collect();
    assert_eq!(names[0], "lite");
    assert_eq!((names.last(), reader.gaps), (Some(&"viewer"), 0), "{names:?}");
    server.eventually("it is counted as what it reads", |server| subscribers(server) == [2.0, 0.0, 0.0]);
}
