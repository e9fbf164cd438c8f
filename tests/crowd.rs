//! Frames of a crowded room, over real sockets: equal comments are merged, the budget holds, and every comment is
//! counted.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::viewer::{number, text};
use support::{Client, Server};
use volley::config::DefaultMerge;

/// The comments that frames accounted for: each is in a first sight, a raise or a shed.
#[derive(Debug, Default)]
struct Told {
    position: u64,
    /// First sights by offset: the number of comments that each stands for, and its text.
    shown: BTreeMap<u64, (u64, String)>,
    shed: u64,
    merged: u64,
}

impl Told {
    fn comments(&self) -> u64 {
        self.shown.values().map(|(times, _)| times).sum::<u64>() + self.shed
    }

    fn frame(&mut self, frame: &Value) {
        assert_eq!(number(frame, "prev"), self.position, "{frame}");
        self.position = number(frame, "last");
        let counts = |map: &Value| map.as_object().map_or(0, |map| map.values().filter_map(Value::as_u64).sum());
        self.shed += counts(&frame["shed"]);
        self.merged += counts(&frame["merged"]);
        for event in frame["events"].as_array().expect("events") {
            if let Some(comment) = event.get("comment") {
                let times = comment.get("times").map_or(1, |_| number(comment, "times"));
                let names = comment.get("names").map_or(0, |names| names.as_array().expect("names").len());
                assert!(names as u64 <= 3.min(times - 1), "{comment}");
                let first = self.shown.insert(number(event, "offset"), (times, text(comment, "text").to_owned()));
                assert!(first.is_none(), "shown twice: {event}");
            }
            if let Some(raise) = event.get("raise") {
                let (times, _) = self.shown.get_mut(&number(raise, "offset")).expect("what grows was shown");
                *times += number(raise, "by");
                assert_eq!(*times, number(raise, "times"), "absolute");
            }
        }
    }

    fn follow(&mut self, viewer: &mut Client, comments: u64) {
        while self.comments() < comments {
            self.frame(&viewer.next("frame"));
        }
        assert_eq!(self.comments(), comments, "{self:?}");
    }
}

#[test]
fn a_thousand_equal_questions_are_one_growing_comment_and_every_sender_is_answered() {
    const PEOPLE: u64 = 40;
    let server = Server::start(|config| {
        (config.room.merge, config.room.budget_per_s) = (DefaultMerge::Near, 60);
    });
    let mut viewer = server.join("crowd");
    let mut told = Told::default();
    let ways = ["还有吗", "还有吗？", "还有吗！！", "还有吗??", "还有吗😀"];
    let mut people: Vec<_> = (0..PEOPLE).map(|_| server.join("crowd")).collect();
    for (n, person) in people.iter_mut().enumerate() {
        person.send(&json!({"comment": {"id": format!("c{n}"), "text": ways[n % ways.len()]}}).to_string());
    }
    let mut outcomes = BTreeMap::<_, u64>::new();
    let mut heads = BTreeMap::<u64, u64>::new();
    for person in &mut people {
        let ack = person.next("ack");
        *outcomes.entry(text(&ack, "outcome").to_owned()).or_default() += 1;
        if ack["outcome"] == "merged" {
            assert!(number(&ack, "into") < number(&ack, "offset"), "{ack}");
            *heads.entry(number(&ack, "into")).or_default() += 1;
        }
    }
    told.follow(&mut viewer, PEOPLE);
    // At most one new window of the merging begins meanwhile.
    assert!(told.shown.len() <= 2 && told.shed == 0, "{told:?}");
    assert_eq!(outcomes["shown"], told.shown.len() as u64);
    assert_eq!(told.merged, PEOPLE - told.shown.len() as u64);
    for (offset, merged) in heads {
        assert_eq!(told.shown[&offset].0, merged + 1, "the ack names what it was folded into");
    }
}

#[test]
fn above_the_budget_the_rest_is_shed_counted_and_said_and_each_rendition_adds_up() {
    const COMMENTS: u64 = 90;
    let server = Server::start(|config| {
        (config.room.merge, config.room.budget_per_s) = (DefaultMerge::Near, 5);
    });
    let path = |rendition| format!("?rendition={rendition}");
    let mut viewers = ["viewer", "lite", "full"].map(|rendition| {
        let mut client = server.connect("budget", &path(rendition));
        client.welcome = client.next("welcome");
        client
    });
    let mut people: Vec<_> = (0..30).map(|_| server.join("budget")).collect();
    for (n, person) in people.iter_mut().enumerate() {
        for m in 0..3 {
            person
                .send(&json!({"comment": {"id": format!("c{n}-{m}"), "text": format!("第{n}个人说{m}")}}).to_string());
        }
    }
    let mut shown = 0;
    for person in &mut people {
        for _ in 0..3 {
            shown += u64::from(person.next("ack")["outcome"] == "shown");
        }
    }
    let told = viewers.each_mut().map(|viewer| {
        let mut told = Told::default();
        told.follow(viewer, COMMENTS);
        told
    });
    let [viewer, lite, full] = &told;
    assert_eq!(viewer.shown.len() as u64, shown, "what was said to its senders is what viewers saw");
    // At most two windows of five seconds, with five comments per second.
    assert!((1..=50).contains(&shown), "{shown}");
    assert!(lite.shown.len() <= viewer.shown.len() && lite.shed >= viewer.shed, "{lite:?}");
    assert_eq!((full.shown.len() as u64, full.shed), (COMMENTS, 0), "consoles get everything");
    assert!(server.metric("volley_shed_total", "class=\"normal\"") >= (COMMENTS - shown) as f64);
}
