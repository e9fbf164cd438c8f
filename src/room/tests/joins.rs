//! Newcomers and subscribers that resume.

use super::lagging::LaggingLog;
use super::rig::{JSON, Rig, TICK_US, settings};
use super::{asking, comment, conn};
use crate::limits::{HISTORY_BYTES_MAX, HISTORY_MAX};
use crate::log::{Limit, Log};
use crate::protocol::event::Event;
use crate::protocol::ids::{Epoch, Hex64, Offset};
use crate::protocol::message::{ResumeFailure, ServerMessage, Welcome};
use crate::protocol::variant::Encoding;
use crate::room::actor::JoinAnswer;
use crate::room::core::{Core, CoreSettings};
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;

struct Joined {
    last: Offset,
    likes: u64,
    after: Option<Offset>,
    reason: Option<ResumeFailure>,
    tail: Arc<WelcomeTail>,
    welcome: Welcome,
}

impl Rig {
    fn join(&mut self, resume: Option<(Epoch, Offset)>) -> Joined {
        self.join_with(resume, None)
    }

    fn join_with(&mut self, resume: Option<(Epoch, Offset)>, history: Option<usize>) -> Joined {
        let JoinAnswer { last, likes, after, reason, tail } = self.actor.join("u9", resume, history, self.now_us);
        let you = comment("me", "").user;
        let payload = match after {
            Some(_) => tail.compose_recovered(Encoding::Json, &self.handle.id, Hex64(1), &you, likes),
            None => tail.compose(Encoding::Json, &self.handle.id, Hex64(1), &you, false, reason),
        };
        let Ok(ServerMessage::Welcome(welcome)) = serde_json::from_slice(&payload) else { panic!("no welcome") };
        assert_eq!((welcome.last, tail.last(), welcome.snapshot.likes), (last, last, likes));
        Joined { last, likes, after, reason, tail, welcome: *welcome }
    }

    fn offsets(&self, joined: &Joined) -> Vec<Offset> {
        joined.welcome.snapshot.events.iter().map(|event| event.offset).collect()
    }

    fn epoch(&self) -> Epoch {
        self.log.head(&self.handle.id).unwrap().unwrap().epoch
    }

    /// `ticks` ticks with one comment each.
    fn show(&mut self, ticks: usize) {
        for n in 0..ticks {
            // A different id for each comment: the room remembers those of earlier shows.
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
    rig.run_for(1_000_000); // A frame of likes alone goes out once a second.
    rig.out.clear();
    let joined = rig.join(None);
    assert!(joined.after.is_none() && joined.reason.is_none());
    let Welcome { snapshot, tick_ms, epoch, .. } = joined.welcome;
    assert_eq!((tick_ms, epoch, snapshot.likes, snapshot.online), (100, rig.epoch(), 4, 1));
    assert_eq!(snapshot.events.iter().map(|e| e.offset).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
    rig.show(1);
    assert_eq!(rig.frames()[0].prev, joined.last);
}

#[test]
fn applied_events_without_a_frame_belong_to_the_next_frame() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    // The slot's frame is out when one more batch arrives: it is applied, and waits for the next slot.
    rig.log.foreign(vec![Event::Comment(asking("a", "framed"))]);
    rig.run();
    rig.log.foreign(vec![Event::Comment(asking("b", "waits")), Event::Likes { add: 5 }]);
    rig.run();
    assert_eq!(rig.frames().last().unwrap().last, 1);
    let newcomer = rig.join(None);
    assert_eq!((newcomer.last, newcomer.welcome.snapshot.likes), (1, 0));
    assert_eq!(newcomer.welcome.snapshot.events.len(), 1);
    let returner = rig.join(Some((rig.epoch(), 0)));
    assert_eq!((returner.last, returner.likes, returner.after), (1, 0, Some(0)));
    rig.run_for(TICK_US);
    let next = rig.frames().remove(0);
    assert_eq!((next.prev, next.last, next.events.len(), next.likes), (1, 3, 1, 5));
}

#[test]
fn a_resuming_subscriber_joins_at_its_position_and_sees_nothing_twice() {
    let mut rig = rig();
    rig.show(8);
    let epoch = rig.epoch();
    for after in 0..=8 {
        let joined = rig.join_with(Some((epoch, after)), Some(3));
        assert_eq!((joined.last, joined.after, joined.reason), (8, Some(after), None));
        assert!(joined.welcome.recovered && joined.welcome.snapshot.events.is_empty());
    }
}

#[test]
fn a_position_of_another_log_or_of_the_future_says_so() {
    let mut rig = rig();
    rig.show(10);
    let epoch = rig.epoch();
    let cases = [
        (Hex64(epoch.0 ^ 1), 10, ResumeFailure::EpochChanged),
        (Hex64(epoch.0 ^ 1), 99, ResumeFailure::EpochChanged),
        (epoch, 11, ResumeFailure::Ahead),
        (epoch, u64::MAX, ResumeFailure::Ahead),
    ];
    for (epoch, after, reason) in cases {
        let joined = rig.join(Some((epoch, after)));
        assert_eq!((joined.after, joined.reason), (None, Some(reason)), "{epoch} {after}");
        assert_eq!(rig.offsets(&joined), [6, 7, 8, 9, 10], "the newest history instead");
    }
}

#[test]
fn a_newcomer_gets_as_much_history_as_it_asks_for_and_no_more_than_is_kept() {
    let mut rig = rig();
    rig.show(HISTORY_MAX + 50);
    let last = (HISTORY_MAX + 50) as u64;
    for (asked, count) in [(0, 0), (1, 1), (7, 7), (HISTORY_MAX, HISTORY_MAX), (HISTORY_MAX + 1, HISTORY_MAX)] {
        let joined = rig.join_with(None, Some(asked));
        assert_eq!(rig.offsets(&joined), (last + 1 - count as u64..=last).collect::<Vec<_>>(), "history={asked}");
    }
    let unasked = rig.join(None);
    assert_eq!(rig.offsets(&unasked).len(), 5, "as the room is set to");
    let refused = rig.join_with(Some((rig.epoch(), last + 1)), Some(9));
    assert_eq!(rig.offsets(&refused).len(), 9, "a subscriber that cannot resume is a newcomer");
}

#[test]
fn a_history_is_bounded_by_bytes_and_counts_shown_comments_alone() {
    let mut rig = rig();
    let long = "字".repeat(512);
    for _ in 0..HISTORY_MAX {
        rig.actor.comment(conn(1), comment("u", &long), rig.now_us, &mut rig.out);
        rig.run_for(TICK_US);
    }
    let joined = rig.join_with(None, Some(HISTORY_MAX));
    let bytes = serde_json::to_vec(&joined.welcome.snapshot).unwrap().len();
    assert!(bytes > HISTORY_BYTES_MAX / 2 && bytes <= HISTORY_BYTES_MAX + HISTORY_BYTES_MAX / 8, "{bytes} bytes");
    for _ in 0..25 {
        rig.actor.comment(conn(1), comment("u", "x"), rig.now_us, &mut rig.out); // 10 shown, 15 shed
    }
    rig.run_for(TICK_US);
    let joined = rig.join_with(None, Some(11));
    let last = HISTORY_MAX as u64;
    assert_eq!(rig.offsets(&joined), (last..=last + 10).collect::<Vec<_>>());
}

#[test]
fn each_length_of_history_is_encoded_once_a_moment() {
    let mut rig = rig();
    rig.show(20);
    let lengths = [0, 3, 9, 20];
    let first = lengths.map(|count| rig.join_with(None, Some(count)));
    for _ in 0..1_000 {
        for (joined, count) in first.iter().zip(lengths) {
            assert!(Arc::ptr_eq(&joined.tail, &rig.join_with(None, Some(count)).tail));
        }
        assert!(Arc::ptr_eq(&first[3].tail, &rig.join_with(None, Some(150)).tail), "there are no more than 20");
    }
    assert!(first.iter().all(|joined| joined.tail.encodes() == 1));
    for count in 0..=20 {
        let joined = rig.join_with(None, Some(count));
        assert_eq!(rig.offsets(&joined).len(), count, "even when few are remembered");
    }
}

#[test]
fn ten_thousand_joins_at_one_position_encode_the_tail_once() {
    let mut rig = rig();
    rig.show(5);
    for _ in 0..9_999 {
        rig.handle.arrive(0, JSON);
    }
    let first = rig.join(None);
    for _ in 0..9_999 {
        let joined = rig.join(None);
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
        let joined = rig.join(None);
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
    let before = rig.join(None);
    rig.show(1);
    let after = rig.join(None);
    assert_eq!((before.last, after.last), (1, 2));
    assert_eq!(after.welcome.snapshot.events.len(), 2);
}

#[test]
fn a_reopened_room_goes_on_where_its_log_ends() {
    let mut rig = rig();
    rig.show(7);
    rig.actor.like(conn(1), 6, rig.now_us, &mut rig.out);
    rig.run_for(1_000_000); // A frame of likes alone goes out once a second.
    let newest = rig.frames().pop().unwrap();
    let (log, epoch) = (rig.log.clone(), rig.epoch());
    rig.actor.close();

    let mut rig = Rig::watched(log.clone(), settings());
    let joined = rig.join(Some((epoch, 3)));
    assert_eq!((joined.last, joined.likes, joined.after), (8, 6, Some(3)));
    let page = rig.page(3, 99, Encoding::Json.into()).unwrap();
    assert_eq!((page.last, page.events.len(), page.digest), (8, 4, newest.digest));
    let newcomer = rig.join(None);
    assert_eq!(rig.offsets(&newcomer), [3, 4, 5, 6, 7]);
    let asking = rig.join_with(None, Some(7));
    assert_eq!(rig.offsets(&asking), [1, 2, 3, 4, 5, 6, 7], "the history is rebuilt");
    rig.show(1);
    let next = rig.frames().remove(0);
    assert_eq!((next.prev, next.last), (8, 9));
    let shape = CoreSettings {
        frame_events_max: 10,
        snapshot_events: 5,
        counters_us: 0,
        room: crate::protocol::settings::RoomSettings::unlimited(100),
    };
    let mut independent = Core::new(shape, epoch);
    for record in log.read(&rig.handle.id, 0, Limit::events(99)).unwrap() {
        independent.apply(&record);
    }
    assert_eq!(next.digest, independent.digest());
}
