//! The actor's promises: pace, answers, failures, silence.

use super::lagging::LaggingLog;
use super::rig::{JSON, MSGPACK, Rig, TICK_US, decode, settings};
use super::{asking, comment, conn};
use crate::log::AppendError;
use crate::policy::rate::Rate;
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::Event;
use crate::protocol::frame::Outcome;
use crate::protocol::frame::ShedClass;
use crate::protocol::ids::ClientId;
use crate::protocol::message::ServerMessage;
use crate::room::actor::{ActorSettings, Effect};
use std::sync::atomic::Ordering;

impl Rig {
    pub(super) fn say(&mut self, id: &str) {
        self.actor.comment(conn(1), asking(id, "hello"), self.now_us, &mut self.out);
    }

    pub(super) fn like(&mut self, count: u64) {
        self.actor.like(conn(1), count, self.now_us, &mut self.out);
    }
}

#[test]
fn a_comment_in_an_idle_room_is_framed_within_one_tick() {
    for wait_us in [0, 1, 33_333, 99_999, 100_000, 5_000_000] {
        let mut rig = Rig::watched(LaggingLog::instant(), settings());
        rig.run_for(wait_us);
        let sent_us = rig.now_us;
        rig.say("c1");
        assert!(rig.out.is_empty(), "nothing happens before the tick");
        rig.run_for(TICK_US);
        let published = rig.published();
        let [(at_us, ServerMessage::Frame(frame))] = &published[..] else { panic!("{published:?}") };
        assert!(*at_us > sent_us && *at_us <= sent_us + TICK_US);
        assert_eq!((frame.prev, frame.last, frame.events.len()), (0, 1, 1));
        assert_eq!(frame.at, 1_000 + at_us / 1_000);
        assert_eq!(rig.acks().len(), 1);
    }
}

#[test]
fn acks_and_frames_come_only_after_the_log_has_delivered() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.say("c1");
    rig.like(3);
    rig.run_for(20 * TICK_US);
    assert_eq!(rig.log.held(), 1);
    assert!(rig.out.is_empty(), "an answer before the log's: {:?}", rig.out);
    assert_eq!(rig.wakes.load(Ordering::Relaxed), 0);
    rig.log.release();
    assert_eq!(rig.wakes.load(Ordering::Relaxed), 1, "a delivery from outside wakes the actor");
    assert_eq!(rig.actor.due_us(), Some(0));
    rig.run();
    let ack = rig.acks().remove(0);
    assert_eq!((ack.id.as_str(), ack.offset, ack.outcome), ("c1", 1, Outcome::Shown));
    let frames = rig.frames();
    assert_eq!((frames.len(), frames[0].last, frames[0].likes), (1, 2, 3));
}

#[test]
fn an_instant_log_needs_no_wake() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for n in 0..20 {
        rig.say(&n.to_string());
        rig.run_for(TICK_US);
    }
    assert_eq!((rig.acks().len(), rig.wakes.load(Ordering::Relaxed)), (20, 0));
}

#[test]
fn a_comment_without_an_id_gets_no_ack() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.actor.comment(conn(1), comment("u", "first"), rig.now_us, &mut rig.out);
    rig.say("second");
    rig.run_for(TICK_US);
    let acks = rig.acks();
    assert_eq!((acks.len(), acks[0].id.as_str(), acks[0].offset), (1, "second", 2));
    assert_eq!(rig.frames()[0].events.len(), 2);
}

#[test]
fn comments_beyond_the_frame_are_counted_and_their_senders_are_told() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for n in 0..25 {
        rig.say(&n.to_string());
    }
    rig.run_for(TICK_US);
    let frame = rig.frames().remove(0);
    assert_eq!((frame.events.len(), frame.shed[&ShedClass::Normal], frame.last), (10, 15, 25));
    let acks = rig.acks();
    assert_eq!(acks.iter().filter(|ack| ack.outcome == Outcome::Shown).count(), 10);
    assert_eq!(acks.iter().filter(|ack| ack.outcome == Outcome::Shed).count(), 15);
    let figures = &rig.handle.figures;
    let figure = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    assert_eq!((figure(&figures.comments), figure(&figures.shed), figure(&figures.last)), (25, 15, 25));
}

#[test]
fn a_failed_append_answers_its_senders_and_keeps_the_likes() {
    let errors = [
        (AppendError::Overloaded, ErrorCode::Overloaded),
        (AppendError::Unavailable, ErrorCode::StorageUnavailable),
        (AppendError::Closed, ErrorCode::StorageUnavailable),
    ];
    for (error, code) in errors {
        for at_once in [true, false] {
            // If likes were counted too early, they would be told at once.
            let mut rig = Rig::watched(LaggingLog::new(), ActorSettings { counters_us: 0, ..settings() });
            rig.say("c1");
            rig.actor.comment(conn(2), comment("u", "no id"), rig.now_us, &mut rig.out);
            rig.like(5);
            rig.log.refuse(at_once.then_some(error));
            rig.run_for(TICK_US);
            if !at_once {
                rig.like(2);
                rig.log.fail(error);
                rig.run();
            }
            let answers = rig.errors();
            assert_eq!(answers.len(), 2, "the sender without an id gets its error too");
            assert_eq!((answers[0].code, answers[1].code), (code, code));
            assert_eq!(answers[0].id.as_ref().map(ClientId::as_str), Some("c1"));
            assert!(answers[0].retry_after_ms.is_some());
            assert!(rig.out.is_empty(), "no frame has an event that is not in the log");

            rig.log.refuse(None);
            rig.run_for(2 * TICK_US);
            assert!(rig.log.release(), "the likes are tried again by themselves");
            rig.run_for(TICK_US);
            rig.log.release();
            rig.run_for(TICK_US);
            let frame = rig.frames().pop().unwrap();
            assert_eq!(frame.likes, if at_once { 5 } else { 7 });
            assert!(frame.events.is_empty());
        }
    }
}

#[test]
fn while_a_batch_is_in_flight_the_next_one_gathers() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.say("a");
    rig.run_for(TICK_US);
    for n in 0..30 {
        rig.say(&n.to_string());
        rig.run_for(TICK_US / 3);
    }
    assert_eq!(rig.log.held(), 1, "one at a time");
    rig.log.release();
    rig.run();
    assert_eq!(rig.acks().len(), 1);
    assert_eq!(rig.log.held(), 1, "the gathered batch follows without waiting for another tick");
    rig.log.release();
    rig.run();
    assert_eq!(rig.acks().len(), 30);
}

#[test]
fn one_slot_of_the_grid_has_at_most_one_frame() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.say("a");
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    for id in ["b", "c"] {
        rig.log.foreign(vec![Event::Comment(asking(id, id)), Event::Likes { add: 1 }]);
        rig.run();
    }
    let frames = rig.frames();
    assert_eq!((frames.len(), frames[0].likes), (1, 0));
    rig.run_for(TICK_US);
    let frames = rig.frames();
    assert_eq!((frames.len(), frames[0].likes, frames[0].prev, frames[0].last), (1, 2, 1, 5));
}

#[test]
fn a_full_tick_answers_overloaded_and_keeps_its_comments() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for n in 0..130 {
        rig.say(&n.to_string());
    }
    let errors = rig.errors();
    assert_eq!(errors.len(), 30);
    assert!(errors.iter().all(|e| e.code == ErrorCode::Overloaded && e.retry_after_ms == Some(100)));
    assert_eq!(errors[0].id.as_ref().unwrap().as_str(), "100");
    rig.run_for(TICK_US);
    assert_eq!(rig.acks().len(), 100);
}

#[test]
fn the_rooms_rate_limit_says_when_to_retry() {
    let rate = Some(Rate { per_s: 10, burst: 2 });
    let mut rig =
        Rig::watched(LaggingLog::instant(), ActorSettings { comment_rate: rate, like_rate: rate, ..settings() });
    for id in ["a", "b", "c"] {
        rig.say(id);
    }
    rig.like(2);
    rig.like(2);
    let errors = rig.errors();
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().all(|error| error.code == ErrorCode::RateLimited));
    assert_eq!((errors[0].id.as_ref().unwrap().as_str(), errors[0].retry_after_ms), ("c", Some(100)));
    assert_eq!((&errors[1].id, errors[1].retry_after_ms), (&None, Some(200)));
    rig.run_for(100_000);
    rig.say("c");
    assert!(rig.errors().is_empty(), "the hint was right");
    rig.run_for(TICK_US);
    assert_eq!(rig.frames().last().unwrap().likes, 2);
}

#[test]
fn a_frame_is_encoded_once_per_variant_in_use() {
    let mut rig = Rig::new(LaggingLog::instant(), settings());
    rig.say("nobody");
    rig.run_for(TICK_US);
    assert_eq!(rig.acks().len(), 1, "it is in the log all the same");
    assert!(rig.out.is_empty());

    rig.arrive(MSGPACK);
    rig.run_for(1_000_000 + TICK_US);
    let Some(Effect::Frame { frame }) = rig.out.pop() else { panic!("no frame of counters") };
    assert!(frame.get(JSON).is_empty());
    assert!(matches!(decode(&frame, MSGPACK), ServerMessage::Frame(_)));

    rig.arrive(JSON);
    rig.say("both");
    rig.run_for(TICK_US);
    let Some(Effect::Frame { frame }) = rig.out.pop() else { panic!("no frame") };
    assert_eq!(decode(&frame, JSON), decode(&frame, MSGPACK));
}

#[test]
fn a_change_of_online_alone_makes_a_frame_at_most_once_a_second() {
    let mut rig = Rig::new(LaggingLog::instant(), settings());
    for _ in 0..100 {
        rig.arrive(JSON);
        rig.run_for(50_000);
    }
    let frames = rig.frames();
    assert!((5..=6).contains(&frames.len()), "{} frames in 5 s", frames.len());
    assert!(frames.iter().all(|frame| (frame.prev, frame.last, frame.events.len()) == (0, 0, 0)));
    rig.run_for(1_000_000);
    assert_eq!(rig.frames().last().unwrap().online, 100, "the last count is told");
    rig.arrive(JSON);
    rig.leave(JSON);
    rig.run_for(5_000_000);
    assert!(rig.frames().is_empty(), "the count has not changed");
}

#[test]
fn counters_alone_do_not_delay_the_frame_of_a_batch_in_flight() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    // A comment comes in the tick at whose end the number of viewers is due.
    let meet = |rig: &mut Rig, text| {
        rig.arrive(JSON);
        let due_us = rig.actor.due_us().unwrap();
        rig.run_for(due_us - rig.now_us - 1);
        rig.say(text);
        rig.run_for(1);
    };
    meet(&mut rig, "c");
    assert!(rig.published().is_empty(), "the count comes with the comment");
    rig.log.release();
    rig.run();
    let frame = rig.frames().remove(0);
    assert_eq!((frame.last, frame.events.len(), frame.online), (1, 1, 2));
    // A log that takes longer than a tick does not delay counters.
    meet(&mut rig, "d");
    assert!(rig.published().is_empty());
    rig.run_for(TICK_US);
    let frame = rig.frames().remove(0);
    assert_eq!((frame.last, frame.events.len(), frame.online), (1, 0, 3));
}

#[test]
fn an_idle_room_is_woken_only_for_its_heartbeat_and_its_end() {
    let mut rig = Rig::new(LaggingLog::instant(), settings());
    assert_eq!(rig.actor.due_us(), Some(rig.now_us + 300_000_000));
    assert_eq!(rig.run_for(299_000_000), 0);
    rig.arrive(JSON);
    rig.run_for(TICK_US);
    rig.out.clear();
    assert_eq!(rig.run_for(15_000_000 * 10), 10, "the heartbeats");
}

#[test]
fn a_silent_room_sends_heartbeats_with_the_last_position() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.say("c");
    rig.run_for(TICK_US);
    let framed_us = rig.published()[0].0;
    rig.run_for(31_000_000);
    let published = rig.published();
    let beat_us = published[0].0 - framed_us;
    assert!((15_000_000 - TICK_US..=15_000_000).contains(&beat_us), "{beat_us}: never too late");
    assert_eq!(published.iter().map(|(us, _)| us - framed_us).collect::<Vec<_>>(), [beat_us, 2 * beat_us]);
    for (at_us, message) in published {
        let ServerMessage::Heartbeat(heartbeat) = message else { panic!("{message:?}") };
        assert_eq!((heartbeat.last, heartbeat.at), (1, 1_000 + at_us / 1_000));
    }
}

#[test]
fn a_room_expires_without_subscribers_when_nothing_is_pending() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.run_for(400_000_000);
    assert!(!rig.actor.is_expired(rig.now_us), "the room has a subscriber");
    rig.leave(JSON);
    let left_us = rig.now_us;
    assert!(!rig.actor.is_expired(left_us + 299_999_999));
    assert!(rig.actor.is_expired(left_us + 300_000_000));
    rig.say("pending");
    rig.run_for(1_000_000_000);
    assert!(!rig.actor.is_expired(rig.now_us), "a batch is in flight");
    rig.log.release();
    rig.run();
    assert!(rig.actor.is_expired(rig.now_us));
    let runs = rig.run_for(10_000_000);
    assert!(runs <= 11, "an expired room with a claim was run {runs} times in 10 s");
}

#[test]
fn flush_ends_the_tick_at_once() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.run_for(1_000_000);
    rig.say("a");
    rig.actor.flush(rig.now_us, 5, &mut rig.out);
    rig.say("b");
    rig.actor.flush(rig.now_us, 5, &mut rig.out);
    assert!(rig.actor.is_settled());
    let frames = rig.frames();
    assert_eq!(frames.iter().map(|f| (f.prev, f.last)).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
    assert_eq!(rig.acks().len(), 2);
}

#[test]
fn late_ticks_are_counted() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.say("a");
    rig.run_for(TICK_US);
    assert_eq!(rig.actor.ticks_late(), 0);
    rig.say("b");
    rig.now_us += 3 * TICK_US;
    rig.run();
    assert_eq!((rig.actor.ticks_late(), rig.actor.ticks_late()), (1, 0));
}

#[test]
fn likes_at_the_bound_stand_still_and_never_fall() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for count in [u64::MAX, 1, u64::MAX - 1] {
        rig.like(count);
        rig.like(count);
        rig.run_for(1_000_000);
        let frames = rig.frames();
        assert_eq!((frames.len(), frames[0].likes), (1, crate::limits::OFFSET_MAX));
    }
}

#[test]
fn another_nodes_comments_are_framed_and_ack_no_comment_of_this_node() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.say("mine");
    rig.run_for(TICK_US);
    rig.log.foreign((0..3).map(|n| Event::Comment(asking(&format!("theirs-{n}"), "x"))).collect());
    rig.run();
    assert!(rig.acks().is_empty());
    rig.log.release();
    rig.run_for(TICK_US);
    let acks = rig.acks();
    assert_eq!((acks.len(), acks[0].id.as_str(), acks[0].offset), (1, "mine", 4));
    assert_eq!(rig.frames().iter().map(|frame| frame.events.len()).sum::<usize>(), 4);
}

#[test]
fn deliveries_that_did_not_fit_are_fetched() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    for n in 0..2 * crate::limits::LOG_DELIVERIES_MAX as u64 {
        rig.log.foreign(vec![Event::Comment(asking(&n.to_string(), "x"))]);
    }
    rig.run();
    assert_eq!(rig.frames()[0].last, 16);
}

#[test]
fn a_wall_clock_that_is_set_back_leaves_every_tick_its_own_budget() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings()); // 10 comments a frame.
    let mut shown = 0;
    for tick in 0..5 {
        for n in 0..10 {
            rig.say(&format!("c{tick}-{n}"));
        }
        rig.now_us += 2 * TICK_US;
        rig.actor.run(rig.now_us, 3_600_000 - tick * 700_000, &mut rig.out);
        shown += rig.frames().iter().map(|frame| frame.events.len()).sum::<usize>();
    }
    assert_eq!(shown, 50, "nothing is shed because the clock stands or falls");
}
