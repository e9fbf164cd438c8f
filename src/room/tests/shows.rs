//! Random shows through the actor and a log that lags, fails and refuses.

use super::lagging::LaggingLog;
use super::rig::{JSON, MSGPACK, Rig, TICK_US, decode, settings};
use super::{asking, comment, conn};
use crate::log::{AppendError, Log};
use crate::protocol::event::Event;
use crate::protocol::frame::Outcome;
use crate::protocol::message::ServerMessage;
use crate::protocol::variant::Encoding;
use crate::room::actor::JoinAnswer;
use crate::room::actor::{ActorSettings, Effect};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Comments(u8),
    Like(u64),
    Join { behind: u64, encoding: Encoding },
    Release,
    Fail,
    Refuse(bool),
    Foreign(u8),
    Flush,
    Pass { us: u64 },
    Stall { us: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let encoding = prop_oneof![Just(Encoding::Json), Just(Encoding::Msgpack)];
    let step = prop_oneof![
        4 => (1..6_u8).prop_map(Step::Comments),
        2 => (1..100_u64).prop_map(Step::Like),
        2 => (0..30_u64, encoding).prop_map(|(behind, encoding)| Step::Join { behind, encoding }),
        4 => Just(Step::Release),
        1 => Just(Step::Fail),
        1 => any::<bool>().prop_map(Step::Refuse),
        1 => (1..4_u8).prop_map(Step::Foreign),
        1 => Just(Step::Flush),
        6 => (0..3 * TICK_US).prop_map(|us| Step::Pass { us }),
        1 => (0..3 * TICK_US).prop_map(|us| Step::Stall { us }),
    ];
    prop::collection::vec(step, 0..120)
}

/// A subscriber's view of the wire: complete up to its cursor.
struct Viewer {
    cursor: u64,
    encoding: Encoding,
}

/// The answer: an ack or an error.
#[derive(Debug)]
enum Answer {
    Ack(u64, Outcome),
    Refused,
}

/// The answers to each comment with an id, and to the likes.
#[derive(Default)]
struct Ledger {
    viewers: Vec<Viewer>,
    answers: BTreeMap<String, Vec<Answer>>,
    shown: Vec<u64>,
    likes: u64,
}

impl Ledger {
    fn read(&mut self, out: &mut Vec<Effect>) {
        for effect in out.drain(..) {
            match effect {
                Effect::Frame { frame } => {
                    let (ServerMessage::Frame(json), ServerMessage::Frame(msgpack)) =
                        (decode(&frame, JSON), decode(&frame, MSGPACK))
                    else {
                        continue; // A heartbeat.
                    };
                    assert_eq!(json, msgpack);
                    for viewer in &mut self.viewers {
                        assert_eq!(json.prev, viewer.cursor, "a hole for {:?}", viewer.encoding);
                        viewer.cursor = json.last;
                    }
                    self.shown.extend(json.events.iter().map(|event| event.offset));
                    assert!(json.likes >= self.likes);
                    self.likes = json.likes;
                }
                Effect::Reply { message: ServerMessage::Ack(ack), .. } => {
                    self.answers.entry(ack.id.as_str().into()).or_default().push(Answer::Ack(ack.offset, ack.outcome));
                }
                Effect::Reply { message: ServerMessage::Error(error), .. } => {
                    let id = error.id.expect("every comment has an id here");
                    self.answers.entry(id.as_str().into()).or_default().push(Answer::Refused);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn every_viewer_is_whole_every_sender_answered_once_and_no_like_lost(steps in steps()) {
        let mut rig = Rig::new(LaggingLog::new(), ActorSettings { batch_events_max: 12, ..settings() });
        rig.arrive(JSON);
        rig.arrive(MSGPACK);
        let mut ledger = Ledger::default();
        let (mut sent, mut liked, mut foreign) = (0_u64, 0, 0);
        let epoch = rig.log.head(&rig.handle.id).unwrap().unwrap().epoch;
        for step in steps {
            match step {
                Step::Comments(count) => for _ in 0..count {
                    rig.actor.comment(conn(1), asking(&sent.to_string(), "text"), rig.now_us, &mut rig.out);
                    sent += 1;
                },
                Step::Like(count) => {
                    rig.actor.like(conn(1), count, rig.now_us, &mut rig.out);
                    liked += count;
                }
                Step::Join { behind, encoding } => {
                    ledger.read(&mut rig.out);
                    let newest = ledger.viewers.first().map_or(0, |viewer| viewer.cursor);
                    let after = newest.saturating_sub(behind);
                    let JoinAnswer { last, after: Some(mut cursor), .. } = rig.actor.join("u2", Some((epoch, after)), None, rig.now_us) else {
                        panic!("a resume from {after} failed");
                    };
                    while cursor < last {
                        let page = rig.page(cursor, usize::MAX, encoding.into()).unwrap();
                        prop_assert_eq!(page.prev, cursor);
                        cursor = page.last;
                    }
                    prop_assert_eq!(cursor, last);
                    ledger.viewers.push(Viewer { cursor, encoding });
                }
                Step::Release => {
                    rig.log.release();
                }
                Step::Fail => if rig.log.held() > 0 {
                    rig.log.fail(AppendError::Unavailable);
                },
                Step::Refuse(refuse) => rig.log.refuse(refuse.then_some(AppendError::Overloaded)),
                Step::Foreign(count) => {
                    rig.log.foreign((0..count).map(|_| Event::Comment(comment("foreign", "x"))).collect());
                    foreign += u64::from(count);
                    rig.run(); // As the waker would, because the queue of deliveries is bounded.
                }
                Step::Flush => rig.actor.flush(rig.now_us, 0, &mut rig.out),
                Step::Pass { us } => {
                    rig.run_for(us);
                }
                Step::Stall { us } => rig.now_us += us,
            }
            ledger.read(&mut rig.out);
        }
        // The faults are over: the log answers, and time passes.
        rig.log.refuse(None);
        for _ in 0..6 {
            while rig.log.release() {
                rig.run();
            }
            rig.run_for(2 * TICK_US);
            ledger.read(&mut rig.out);
        }
        prop_assert!(rig.actor.is_settled());

        prop_assert_eq!(ledger.likes, liked, "likes");
        let records = rig.log.read(&rig.handle.id, 0, crate::log::Limit::events(usize::MAX)).unwrap();
        let mut stored: Vec<_> = records.iter().filter_map(|record| match &record.event {
            Event::Comment(comment) => Some((comment.id.as_ref()?.as_str().to_owned(), record.offset)),
            Event::Likes { .. } | Event::Votes(_) | Event::Post(_) => None,
        }).collect();
        stored.retain(|(id, _)| id != "foreign");
        prop_assert_eq!(ledger.answers.len() as u64, sent, "everybody was answered");
        let mut acknowledged = Vec::new();
        for (id, answers) in &ledger.answers {
            prop_assert_eq!(answers.len(), 1, "{} was answered {:?}", id, answers);
            if let Answer::Ack(offset, outcome) = answers[0] {
                acknowledged.push((id.clone(), offset));
                prop_assert_eq!(ledger.shown.contains(&offset), outcome == Outcome::Shown);
            }
        }
        acknowledged.sort_by_key(|(_, offset)| *offset);
        prop_assert_eq!(acknowledged, stored, "acknowledged is stored, stored is acknowledged, in order");
        let shed = rig.handle.figures.shed.load(std::sync::atomic::Ordering::Relaxed);
        let comments = rig.handle.figures.comments.load(std::sync::atomic::Ordering::Relaxed);
        prop_assert_eq!(ledger.shown.len() as u64 + shed, comments);
        prop_assert_eq!(comments, records.iter().filter(|r| matches!(r.event, Event::Comment(_))).count() as u64);
        prop_assert!(comments >= foreign);
    }
}
