//! Newcomers and those who come back.

use super::lagging::LaggingLog;
use super::rig::{JSON, Rig, TICK_US, decode_bytes, settings};
use super::{asking, comment, conn};
use crate::limits::{RESUME_BYTES_MAX, RESUME_EVENTS_MAX};
use crate::log::{Limit, Log, Retention};
use crate::protocol::encode::Encoding;
use crate::protocol::event::Event;
use crate::protocol::frame::Frame;
use crate::protocol::ids::{Epoch, Hex64, Offset};
use crate::protocol::message::{ResumeFailure, ServerMessage, Welcome};
use crate::room::actor::{Effect, Settings};
use crate::room::core::{Core, CoreSettings};
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;
use std::sync::atomic::Ordering;

struct Joined {
    last: Offset,
    recovered: bool,
    reason: Option<ResumeFailure>,
    tail: Arc<WelcomeTail>,
    catch_up: Option<Frame>,
    welcome: Welcome,
}

impl Rig {
    fn join(&mut self, encoding: Encoding, resume: Option<(Epoch, Offset)>) -> Joined {
        let mut out = Vec::new();
        self.actor.join(conn(9), encoding, resume, self.now_us, &mut out);
        let [Effect::Joined { to, last, recovered, reason, tail, catch_up }] = &out[..] else { panic!("{out:?}") };
        assert_eq!(*to, conn(9));
        let you = comment("me", "").user;
        let payload = tail.compose(Encoding::Json, &self.handle.id, Hex64(1), &you, *recovered, *reason);
        let Ok(ServerMessage::Welcome(welcome)) = serde_json::from_slice(&payload) else { panic!("no welcome") };
        assert_eq!((welcome.last, tail.last()), (*last, *last));
        let catch_up = catch_up.as_ref().map(|bytes| {
            let ServerMessage::Frame(frame) = decode_bytes(bytes, encoding) else { panic!("no frame") };
            frame
        });
        let (last, recovered, reason, tail) = (*last, *recovered, *reason, tail.clone());
        Joined { last, recovered, reason, tail, catch_up, welcome: *welcome }
    }

    fn epoch(&self) -> Epoch {
        self.log.head(&self.handle.id).unwrap().unwrap().epoch
    }

    /// `ticks` ticks with one comment each.
    fn show(&mut self, ticks: usize) {
        for n in 0..ticks {
            // An id of its own: the room remembers those of earlier shows.
            let id = self.log.head(&self.handle.id).unwrap().unwrap().last.to_string();
            self.actor.comment(conn(1), asking(&id, &format!("text {n}")), self.now_us, &mut self.out);
            self.run_for(TICK_US);
        }
    }
}

fn rig() -> Rig {
    Rig::watched(LaggingLog::instant(), settings())
}

#[test]
fn a_newcomer_gets_the_newest_comments_and_the_next_frame_continues() {
    let mut rig = rig();
    rig.show(8);
    rig.actor.like(conn(1), 4, rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    rig.out.clear();
    let joined = rig.join(Encoding::Json, None);
    assert!(!joined.recovered && joined.reason.is_none() && joined.catch_up.is_none());
    let Welcome { snapshot, tick_ms, epoch, .. } = joined.welcome;
    assert_eq!((tick_ms, epoch, snapshot.likes, snapshot.online), (100, rig.epoch(), 4, 1));
    assert_eq!(snapshot.events.iter().map(|e| e.offset).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
    rig.show(1);
    assert_eq!(rig.frames()[0].prev, joined.last);
}

#[test]
fn what_is_applied_but_not_framed_belongs_to_the_next_frame() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    // The slot's frame is out when another batch arrives: it is applied, and waits for the next slot.
    rig.log.foreign(vec![Event::Comment(asking("a", "framed"))]);
    rig.run();
    rig.log.foreign(vec![Event::Comment(asking("b", "waits")), Event::Likes { add: 5 }]);
    rig.run();
    assert_eq!(rig.frames().last().unwrap().last, 1);
    let newcomer = rig.join(Encoding::Json, None);
    assert_eq!((newcomer.last, newcomer.welcome.snapshot.likes), (1, 0));
    assert_eq!(newcomer.welcome.snapshot.events.len(), 1);
    let returner = rig.join(Encoding::Json, Some((rig.epoch(), 0)));
    let caught_up = returner.catch_up.unwrap();
    assert_eq!((caught_up.prev, caught_up.last, caught_up.events.len(), caught_up.likes), (0, 1, 1, 0));
    rig.run_for(TICK_US);
    let next = rig.frames().remove(0);
    assert_eq!((next.prev, next.last, next.events.len(), next.likes), (1, 3, 1, 5));
}

#[test]
fn a_returner_gets_exactly_what_it_missed_in_one_frame() {
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let mut rig = rig();
        for n in 0..25 {
            rig.actor.comment(conn(1), asking(&n.to_string(), "x"), rig.now_us, &mut rig.out); // 10 shown, 15 shed
        }
        rig.actor.like(conn(1), 3, rig.now_us, &mut rig.out);
        rig.run_for(TICK_US);
        rig.show(3);
        let live = rig.frames();
        for after in 0..=29 {
            let joined = rig.join(encoding, Some((rig.epoch(), after)));
            assert!(joined.recovered && joined.reason.is_none());
            assert_eq!(joined.last, 29);
            let Some(frame) = joined.catch_up else {
                assert_eq!(after, 29, "nothing was missed");
                continue;
            };
            assert_eq!((frame.prev, frame.last), (after, 29));
            let expected: Vec<_> = (after + 1..=29).filter(|offset| *offset != 26).collect();
            assert_eq!(frame.events.iter().map(|event| event.offset).collect::<Vec<_>>(), expected);
            let newest = live.last().unwrap();
            assert_eq!((frame.likes, frame.digest, frame.at), (3, newest.digest, newest.at));
            assert!(frame.shed.is_empty(), "a resume leaves nothing out");
        }
    }
}

#[test]
fn a_resume_that_cannot_be_whole_says_why() {
    let retention = Retention { age_ms: u64::MAX, events: 5, bytes: usize::MAX };
    let mut rig = Rig::watched(LaggingLog::instant(), Settings { retention, ..settings() });
    rig.show(10);
    let epoch = rig.epoch();
    let cases = [
        (Hex64(epoch.0 ^ 1), 10, ResumeFailure::EpochChanged),
        (Hex64(epoch.0 ^ 1), 99, ResumeFailure::EpochChanged),
        (epoch, 11, ResumeFailure::Ahead),
        (epoch, u64::MAX, ResumeFailure::Ahead),
        (epoch, 4, ResumeFailure::TooOld),
        (epoch, 0, ResumeFailure::TooOld),
    ];
    for (epoch, after, reason) in cases {
        let joined = rig.join(Encoding::Json, Some((epoch, after)));
        assert!(!joined.recovered && joined.catch_up.is_none());
        assert_eq!(joined.reason, Some(reason), "{epoch} {after}");
        assert_eq!(joined.welcome.snapshot.events.len(), 5, "the newest history instead");
    }
    assert!(rig.join(Encoding::Json, Some((epoch, 5))).recovered, "the last position that is whole");
}

#[test]
fn a_resume_is_bounded_by_events() {
    let mut rig = rig();
    let events = RESUME_EVENTS_MAX as u64;
    rig.log.foreign((0..=events).map(|_| Event::Comment(comment("u", "x"))).collect());
    rig.run_for(TICK_US);
    let epoch = rig.epoch();
    assert_eq!(rig.join(Encoding::Msgpack, Some((epoch, 0))).reason, Some(ResumeFailure::TooOld));
    let joined = rig.join(Encoding::Msgpack, Some((epoch, 1)));
    assert_eq!(joined.catch_up.unwrap().events.len(), RESUME_EVENTS_MAX);
}

#[test]
fn a_resume_is_bounded_by_bytes() {
    let mut rig = rig();
    let long = "字".repeat(512);
    let fits = RESUME_BYTES_MAX / (512 * 3 + 200);
    for count in [fits, 2 * fits, 6 * fits] {
        rig.log.foreign((0..count).map(|_| Event::Comment(comment("u", &long))).collect());
        rig.run_for(TICK_US);
        let after = rig.frames().last().unwrap().prev;
        let joined = rig.join(Encoding::Json, Some((rig.epoch(), after)));
        assert_eq!(joined.recovered, count == fits, "{count} comments of 1.5 KiB");
        assert_eq!(joined.reason, (count > fits).then_some(ResumeFailure::TooOld));
    }
}

#[test]
fn ten_thousand_joins_at_one_position_encode_the_tail_once() {
    let mut rig = rig();
    rig.show(5);
    for _ in 0..9_999 {
        rig.handle.arrive(0, JSON);
    }
    let first = rig.join(Encoding::Json, None);
    for _ in 0..9_999 {
        let joined = rig.join(Encoding::Json, None);
        assert!(Arc::ptr_eq(&first.tail, &joined.tail));
    }
    assert_eq!(first.tail.encodes(), 1);
    assert_eq!(first.welcome.snapshot.online, 10_000);
}

#[test]
fn a_growing_crowd_sees_an_online_count_that_is_nearly_right() {
    let mut rig = rig();
    let (mut tails, mut before) = (0, None);
    for arrived in 2..=10_000 {
        rig.handle.arrive(0, JSON);
        let joined = rig.join(Encoding::Json, None);
        let told = joined.welcome.snapshot.online;
        assert!(told <= arrived && (arrived - told) * 16 <= told, "told {told} of {arrived}");
        tails += u32::from(before.is_none_or(|before| !Arc::ptr_eq(&before, &joined.tail)));
        before = Some(joined.tail);
    }
    assert!(tails < 150, "{tails} tails for 10,000 joins");
}

#[test]
fn a_frame_ends_the_old_welcome() {
    let mut rig = rig();
    rig.show(1);
    let before = rig.join(Encoding::Json, None);
    rig.show(1);
    let after = rig.join(Encoding::Json, None);
    assert_eq!((before.last, after.last), (1, 2));
    assert_eq!(after.welcome.snapshot.events.len(), 2);
}

#[test]
fn a_storm_of_resumes_from_one_position_reads_the_log_once() {
    let mut rig = rig();
    rig.show(20);
    let before = rig.log.reads.load(Ordering::Relaxed);
    for _ in 0..1_000 {
        assert!(rig.join(Encoding::Json, Some((rig.epoch(), 7))).recovered);
        assert!(rig.join(Encoding::Msgpack, Some((rig.epoch(), 7))).recovered);
    }
    assert_eq!(rig.log.reads.load(Ordering::Relaxed) - before, 2, "once per encoding");
    rig.show(1);
    let joined = rig.join(Encoding::Json, Some((rig.epoch(), 7)));
    assert_eq!(joined.catch_up.unwrap().last, 21, "a new frame is a new answer");
}

#[test]
fn resumes_from_everywhere_are_answered_though_few_are_remembered() {
    let mut rig = rig();
    rig.show(100);
    for _ in 0..2 {
        for after in 0..100 {
            let joined = rig.join(Encoding::Json, Some((rig.epoch(), after)));
            assert_eq!(joined.catch_up.unwrap().events.len() as u64, 100 - after);
        }
    }
}

#[test]
fn a_reopened_room_goes_on_where_its_log_ends() {
    let mut rig = rig();
    rig.show(7);
    rig.actor.like(conn(1), 6, rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    let newest = rig.frames().pop().unwrap();
    let (log, epoch) = (rig.log.clone(), rig.epoch());
    rig.actor.close();

    let mut rig = Rig::watched(log.clone(), settings());
    let joined = rig.join(Encoding::Json, Some((epoch, 3)));
    assert!(joined.recovered);
    let caught_up = joined.catch_up.unwrap();
    assert_eq!((caught_up.last, caught_up.likes, caught_up.digest), (8, 6, newest.digest));
    assert_eq!(joined.welcome.snapshot.events.iter().map(|e| e.offset).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    rig.show(1);
    let next = rig.frames().remove(0);
    assert_eq!((next.prev, next.last), (8, 9));
    let shape = CoreSettings { frame_events_max: 10, snapshot_events: 5, counters_us: 0 };
    let mut independent = Core::new(shape, epoch);
    for record in log.read(&rig.handle.id, 0, Limit::events(99)).unwrap() {
        independent.apply(&record);
    }
    assert_eq!(next.digest, independent.digest());
}
