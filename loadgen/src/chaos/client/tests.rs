//! The events that a client records, and its messages after it lost its connection.

use super::*;
use crate::history::HistoryLine;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A client, and the history that it writes.
struct Rig {
    client: Client,
    counts: ClientCounts,
    recorder: Recorder,
    rooms: Vec<String>,
    path: PathBuf,
}

impl Rig {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("client-{}-{}.jsonl", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let recorder = Recorder::new(&path).unwrap();
        let client = Client::new("c0".into(), "k".repeat(16), 0);
        Self { client, counts: ClientCounts::default(), recorder, rooms: vec!["demo".into()], path }
    }

    fn with<T>(&mut self, call: impl FnOnce(&mut Client, &mut Desk<'_>) -> T) -> T {
        let mut desk = Desk { recorder: &self.recorder, counts: &mut self.counts, rooms: &self.rooms };
        call(&mut self.client, &mut desk)
    }

    fn hear(&mut self, message: &str) -> Wish {
        self.with(|client, desk| client.hear(message.as_bytes(), desk))
    }

    fn welcome(&mut self, last: u64, recovered: bool) -> Wish {
        self.hear(&format!(
            r#"{{"welcome":{{"room":"demo","session":"00000000000000a1","you":{{"id":"g-1","name":"guest"}},"recovered":{recovered},
                "epoch":"00000000000000e1","last":{last},"tick_ms":100,"snapshot":{{"likes":0,"online":1,"events":[]}}}}}}"#
        ))
    }

    fn frame(&mut self, prev: u64, last: u64) -> Wish {
        self.hear(&format!(
            r#"{{"frame":{{"prev":{prev},"last":{last},"at":1,"digest":"00000000000000d1","likes":0,"online":1,"events":[]}}}}"#
        ))
    }

    /// The kinds of the recorded events, with the number of their attempt.
    fn written(self) -> Vec<String> {
        let mut reader = crate::history::Reader::new(self.recorder.into_reader().unwrap());
        let mut kinds = Vec::new();
        while let Some(HistoryLine { event, .. }) = reader.read().unwrap() {
            kinds.push(match event.unwrap() {
                Event::Send(sent) => format!("send {} {}", sent.id.unwrap_or_default(), sent.attempt.unwrap_or(0)),
                Event::Ok(ok) => match ok.into {
                    Some(into) => {
                        format!("ok {} at {} {} into {into}", ok.answered.id, ok.offset, ok.outcome.unwrap_or_default())
                    }
                    None => format!("ok {} at {}", ok.answered.id, ok.offset),
                },
                Event::Rendition(change) => format!("rendition {}", change.now),
                Event::Fail(fail) => format!("fail {} {}", fail.answered.id, fail.code),
                Event::Unknown(unsure) => format!("unknown {}", unsure.answered.id),
                Event::Welcome(welcome) => format!("welcome {}", welcome.recovered),
                Event::Frame(frame) => format!("frame {}", frame.last),
                Event::Close(close) => format!("close {}", close.code),
                Event::Live(_) => "live".into(),
                Event::Attempt(_) => "attempt".into(),
                other => format!("{other:?}"),
            });
        }
        std::fs::remove_file(&self.path).unwrap();
        kinds
    }
}

#[test]
fn unanswered_comments_are_sent_again_with_their_id_and_text() {
    let mut rig = Rig::new();
    assert_eq!(rig.with(|client, desk| client.attempt(1, desk)), "");
    assert_eq!(rig.with(|client, desk| client.say(None, desk)), None, "not in yet");
    assert_eq!(rig.welcome(0, false), Wish::Again);
    let first = rig.with(|client, desk| client.say(None, desk)).unwrap();
    let second = rig.with(|client, desk| client.say(None, desk)).unwrap();
    rig.hear(r#"{"ack":{"id":"m1","offset":1,"outcome":"shown"}}"#);
    rig.with(|client, desk| client.closed(None, desk));
    assert_eq!(rig.with(|client, desk| client.attempt(2, desk)), "?epoch=00000000000000e1&after=0");
    rig.welcome(0, true);
    assert_eq!(rig.with(Client::again), std::slice::from_ref(&second));
    assert_ne!(first, second);
    let expected = [
        "attempt",
        "welcome false",
        "live",
        "send m1 1",
        "send m2 1",
        "ok m1 at 1",
        "unknown m2",
        "close 1006",
        "attempt",
        "welcome true",
        "live",
        "send m2 2",
    ];
    assert_eq!(rig.written(), expected);
}

#[test]
fn a_client_is_live_only_at_the_welcomes_position() {
    let mut rig = Rig::new();
    rig.welcome(5, false);
    rig.with(|client, desk| client.closed(Some(1012), desk));
    rig.welcome(9, true);
    assert!(!rig.client.is_live());
    rig.frame(5, 7);
    assert!(!rig.client.is_live());
    rig.frame(7, 9);
    assert!(rig.client.is_live());
    rig.with(|client, desk| client.closed(None, desk));
    let asked = rig.with(|client, desk| client.attempt(3, desk));
    assert_eq!(asked, "?epoch=00000000000000e1&after=9");
}

#[test]
fn an_answer_that_does_not_know_is_no_refusal() {
    let mut rig = Rig::new();
    rig.welcome(0, false);
    for _ in 0..2 {
        rig.with(|client, desk| client.say(None, desk)).unwrap();
    }
    rig.hear(r#"{"error":{"id":"m1","code":"stale_id","message":"x"}}"#);
    rig.hear(r#"{"error":{"id":"m2","code":"storage_unavailable","message":"x"}}"#);
    rig.hear(r#"{"ack":{"id":"m2","offset":1,"outcome":"shown"}}"#);
    let counts = rig.counts;
    assert_eq!((counts.unknown, counts.refused, counts.unstored, counts.acked, counts.stray), (1, 1, 1, 0, 1));
    assert_eq!(rig.written()[2..], ["send m1 1", "send m2 1", "unknown m1", "fail m2 storage_unavailable"]);
}

#[test]
fn a_bye_says_when_to_come_back_and_too_much_unanswered_is_silence() {
    let mut rig = Rig::new();
    rig.welcome(0, false);
    for _ in 0..OPEN_MAX {
        assert!(rig.with(|client, desk| client.say(None, desk)).is_some());
    }
    assert_eq!(rig.with(|client, desk| client.say(None, desk)), None);
    assert_eq!(rig.hear(r#"{"bye":{"code":1012,"after_ms":7400}}"#), Wish::ComeBack(7_400));
    rig.hear("nonsense");
    assert_eq!((rig.counts.byes, rig.counts.unreadable), (1, 1));
    rig.written();
}

#[test]
fn merged_deleted_and_lighter_events_are_recorded_as_such() {
    let mut rig = Rig::new();
    rig.welcome(0, false);
    rig.with(|client, desk| client.say(Some("还有吗".into()), desk)).unwrap();
    rig.hear(r#"{"ack":{"id":"m1","offset":9,"outcome":"merged","into":4}}"#);
    rig.hear(r#"{"rendition":{"now":"lite","reason":"slow"}}"#);
    let counts = rig.counts;
    assert_eq!((counts.merged, counts.shed, counts.slid, counts.climbed), (1, 0, 1, 0));
    assert_eq!(rig.written()[2..], ["send m1 1", "ok m1 at 9 merged into 4", "rendition lite"]);
}

#[test]
fn a_frame_is_written_down_with_its_raises_kinds_and_what_is_left_of_a_deleted_comment() {
    let mut rig = Rig::new();
    rig.welcome(0, false);
    rig.hear(
        r#"{"frame":{"prev":0,"last":9,"at":1,"digest":"00000000000000d1","likes":0,"online":1,"events":[
            {"offset":2,"comment":{"user":{"id":"a","name":"a"},"id":"m7","text":"x","times":5,"names":["b"]}},
            {"offset":3,"comment":{"user":{"id":"h","name":"h","role":"host"},"text":"y"}},
            {"offset":4,"comment":{"user":{"id":"c","name":"c"},"text":"","deleted":true}},
            {"offset":5,"poll":{"id":"p1","question":"?","options":["a","b"]}},
            {"raise":{"offset":1,"by":3,"times":4}}],"shed":{"low":2,"enter":1}}}"#,
    );
    assert!(rig.with(|client, desk| client.vote(3, desk)).unwrap().contains(r#""option":1"#));
    let mut reader = crate::history::Reader::new(rig.recorder.into_reader().unwrap());
    let mut frames = Vec::new();
    while let Some(HistoryLine { event, .. }) = reader.read().unwrap() {
        if let Event::Frame(frame) = event.unwrap() {
            let items =
                frame.items.iter().map(|item| (item.times, item.kind.clone(), item.lane.clone(), item.hash.is_some()));
            frames.push((format!("{:?}", items.collect::<Vec<_>>()), frame.raises, format!("{:?}", frame.shed)));
        }
    }
    std::fs::remove_file(&rig.path).unwrap();
    let expected = r#"[(5, None, None, true), (1, Some("comment"), Some("guaranteed"), true), (1, None, None, false), (1, Some("poll"), None, false)]"#;
    assert_eq!(frames, [(expected.to_owned(), vec![(1, 3)], r#"{"enter": 1, "low": 2}"#.to_owned())]);
}
