//! The pace of counters: a frame with only likes and votes goes out once a second, and any other frame has them too.

use super::lagging::LaggingLog;
use super::posts::{open, pin};
use super::rig::{JSON, Rig, TICK_US, settings};
use crate::protocol::message::ServerMessage;
use crate::room::actor::JoinAnswer;
use std::sync::atomic::Ordering;

const SECOND_US: u64 = 1_000_000;

impl Rig {
    /// The frames since the last call: the time of each, and its position, likes and votes.
    fn told(&mut self) -> Vec<(u64, u64, u64, Option<u64>)> {
        let frame = |(at_us, message)| {
            let ServerMessage::Frame(frame) = message else { panic!("{message:?}") };
            assert!(frame.events.is_empty(), "counters alone");
            (at_us, frame.last, frame.likes, frame.tallies.first().map(|tally| tally.votes.iter().sum()))
        };
        self.published().into_iter().map(frame).collect()
    }

    /// The applied offsets, and those in frames.
    fn applied_and_told(&mut self) -> (u64, u64) {
        let JoinAnswer { last, .. } = self.actor.join("u7", None, None, self.now_us);
        (self.handle.figures.last.load(Ordering::Relaxed), last)
    }
}

#[test]
fn three_seconds_of_likes_make_one_frame_a_second() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for n in 1..=30 {
        rig.like(2);
        rig.run_for(TICK_US);
        assert_eq!(rig.handle.figures.likes.load(Ordering::Relaxed), 2 * n, "each tick's likes are in the log at once");
    }
    let told = rig.told();
    let [(first_us, ..), (second_us, ..), (third_us, last, likes, None)] = told[..] else { panic!("{told:?}") };
    assert_eq!((second_us - first_us, third_us - second_us), (SECOND_US, SECOND_US));
    assert_eq!(likes, 2 * last, "all that the log had");
    assert!(told.is_sorted_by_key(|(_, _, likes, _)| *likes));
    rig.run_for(SECOND_US);
    let told = rig.told();
    assert_eq!(told, [(third_us + SECOND_US, 30, 60, None)], "the last ones are told without another like");
    rig.run_for(5 * SECOND_US);
    assert_eq!(rig.told(), [], "then there is nothing to tell");
}

#[test]
fn three_seconds_of_votes_make_one_frame_a_second_and_each_is_answered_at_once() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.post(1, vec![open("p")]);
    rig.run_for(TICK_US);
    assert_eq!(rig.frames().len(), 1, "a poll waits for nothing");
    for n in 0..30 {
        rig.vote(n, &format!("u{n}"), "p", (n % 2) as u8);
        rig.run_for(TICK_US);
        assert_eq!(rig.acks().len(), 1);
    }
    let told = rig.told();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 == SECOND_US), "{told:?}");
    assert!(told.iter().all(|(_, last, _, votes)| *votes == Some(last - 1)), "the tally of its position: {told:?}");
    rig.run_for(SECOND_US);
    assert!(rig.told().iter().all(|(_, last, _, votes)| (*last, *votes) == (31, Some(30))));
}

#[test]
fn likes_are_told_every_second_even_with_a_log_slower_than_a_tick() {
    for latency_us in [30_000, 90_000, 130_000, 250_000] {
        let mut rig = Rig::watched(LaggingLog::new(), settings());
        let mut told = Vec::new();
        let (until_us, mut since_us) = (rig.now_us + 10 * SECOND_US, None);
        while rig.now_us < until_us {
            rig.like(1);
            rig.run_for(10_000);
            since_us = since_us.filter(|_| rig.log.held() > 0).or((rig.log.held() > 0).then_some(rig.now_us));
            if since_us.is_some_and(|since_us| rig.now_us - since_us >= latency_us) {
                rig.log.release();
                rig.run();
                since_us = None;
            }
            told.extend(rig.told());
        }
        assert!((8..=10).contains(&told.len()), "{} frames in 10 s at {latency_us} µs", told.len());
        let pauses = told.windows(2).map(|pair| pair[1].0 - pair[0].0);
        let bounds = SECOND_US..=SECOND_US + 2 * TICK_US;
        assert!(pauses.clone().all(|pause| bounds.contains(&pause)), "{:?}", pauses.collect::<Vec<_>>());
    }
}

#[test]
fn an_urgent_frame_carries_the_waiting_likes() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for (n, is_post) in [(1, false), (2, true), (3, false)] {
        rig.like(5);
        rig.run_for(TICK_US);
        assert_eq!(rig.told(), [], "likes alone wait");
        if is_post {
            rig.post(n, vec![pin("", 0)]);
        } else {
            rig.say(&n.to_string());
        }
        rig.run_for(TICK_US);
        let frames = rig.frames();
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].last, frames[0].likes, frames[0].events.len()), (2 * n, 5 * n, 1));
    }
    rig.run_for(5 * SECOND_US);
    assert_eq!(rig.told(), [], "they are told already");
}

#[test]
fn a_room_without_subscribers_expires_with_likes_untold_and_tells_an_earlier_newcomer() {
    for is_late in [false, true] {
        let mut rig = Rig::watched(LaggingLog::instant(), settings());
        rig.like(3);
        rig.leave(JSON);
        rig.run_for(TICK_US);
        assert_eq!(rig.applied_and_told(), (1, 0));
        assert!(rig.actor.is_settled(), "nothing that it would have to be woken for");
        if is_late {
            let runs = rig.run_for(settings().idle_us);
            assert!(rig.actor.is_expired(rig.now_us));
            assert!(runs <= 2, "a room without subscribers was woken {runs} times");
            assert!(rig.out.is_empty());
        } else {
            rig.run_for(100 * SECOND_US);
            assert!(!rig.actor.is_expired(rig.now_us));
            rig.arrive(JSON);
            rig.run_for(TICK_US);
            let told = rig.told();
            let [(_, 1, 3, None)] = told[..] else { panic!("{told:?}") };
        }
    }
}

#[test]
fn a_flush_tells_the_waiting_likes_and_later_those_in_flight() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.like(1);
    rig.run_for(TICK_US);
    assert!(rig.log.release());
    rig.run();
    assert_eq!((rig.told(), rig.applied_and_told()), (vec![], (1, 0)), "it waits");
    rig.like(2);
    rig.actor.flush(rig.now_us, 0, &mut rig.out);
    assert_eq!(rig.told(), [(rig.now_us, 1, 1, None)]);
    let flushed_us = rig.now_us;
    assert!(rig.log.release(), "the open tick's are on their way");
    rig.run_for(TICK_US);
    let told = rig.told();
    let [(at_us, 2, 3, None)] = told[..] else { panic!("{told:?}") };
    assert!(at_us > flushed_us, "a slot has one frame");
}
