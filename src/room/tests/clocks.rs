//! The wall clock jumps, creeps or is wrong at a start: the room shows the same as with a correct clock.

use super::lagging::LaggingLog;
use super::rig::{Rig, TICK_US, settings};
use super::{comment, conn};
use crate::log::{Limit, Log, Record};
use crate::protocol::event::Event;
use crate::protocol::frame::What;
use crate::protocol::kind::{Announcement, Gift, Kind, Level, Poll, Post};
use crate::protocol::settings::{RoomSettings, SettingsPatch};
use crate::room::actor::ActorSettings;
use proptest::prelude::*;
use std::sync::Arc;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Far from zero like a real wall clock, so that it can jump back.
const BEGAN_MS: i64 = 1_700_000_000_000;

/// An event before a tick.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// From now on the wall clock is this many milliseconds ahead.
    Ahead(i64),
    Restart,
}

fn budgeted() -> ActorSettings {
    ActorSettings { room: RoomSettings::new(Some(20), 100), frame_events_max: 100, ..settings() }
}

fn started(log: Arc<LaggingLog>, settings: ActorSettings) -> Rig {
    let mut rig = Rig::watched(log, settings);
    rig.ahead_ms = BEGAN_MS;
    rig
}

/// The process ends and restarts while the clocks go on.
fn restart(rig: Rig, settings: ActorSettings) -> Rig {
    let Rig { log, actor, now_us, ahead_ms, .. } = rig;
    actor.close();
    let mut rig = Rig::watched(log, settings);
    (rig.now_us, rig.ahead_ms) = (now_us, ahead_ms);
    rig
}

fn records(rig: &Rig) -> Vec<Record> {
    rig.log.read(&rig.handle.id, 0, Limit::events(usize::MAX)).unwrap()
}

/// Runs `ticks` ticks in which six users send different comments. Returns the number of shown comments.
fn shown(turns: &[(usize, Turn)], ticks: usize) -> (usize, Vec<Record>) {
    let mut rig = started(LaggingLog::instant(), budgeted());
    let mut shown = 0;
    for tick in 0..ticks {
        for (_, turn) in turns.iter().filter(|(at, _)| *at == tick) {
            match *turn {
                Turn::Ahead(ms) => rig.ahead_ms = BEGAN_MS + ms,
                Turn::Restart => rig = restart(rig, budgeted()),
            }
        }
        for who in 0..6 {
            let said = comment(&format!("u{who}"), &format!("{tick} {who}"));
            rig.actor.comment(conn(1), said, rig.now_us, &mut rig.out);
        }
        rig.run_for(TICK_US);
        let comments = |event: &&_| matches!(event, What::Comment(_));
        shown += rig.frames().iter().flat_map(|f| &f.events).map(|e| &e.what).filter(comments).count();
        rig.out.clear();
    }
    let records = records(&rig);
    (shown, records)
}

/// The number of shown comments equals that with a correct clock, within a window's edge and 5 %.
fn assert_unnoticed(turns: &[(usize, Turn)], ticks: usize) {
    let ((plain, _), (jumped, records)) = (shown(&[], ticks), shown(turns, ticks));
    assert!(plain.abs_diff(jumped) * 12 <= plain, "{jumped} are shown, {plain} without {turns:?}");
    assert!(records.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms), "log time rises");
}

#[test]
fn a_clock_that_was_ahead_for_one_comment_costs_no_user_a_turn() {
    let (forth, back) = (Turn::Ahead(600_000), Turn::Ahead(0));
    assert_unnoticed(&[(50, forth), (51, back)], 400);
    assert_unnoticed(&[(50, forth), (51, Turn::Restart), (52, back)], 400);
    assert_unnoticed(&[(50, forth), (51, back), (52, Turn::Restart)], 400);
    assert_unnoticed(&[(0, forth), (1, back)], 400);
    assert_unnoticed(&[(0, forth), (200, Turn::Restart), (200, back)], 400);
    assert_unnoticed(&[(50, forth), (50, Turn::Restart), (200, Turn::Restart), (200, back)], 400);
}

#[test]
fn clocks_of_1969_and_9999_show_as_much_as_any() {
    for ms in [-HOUR_MS, DAY_MS, -BEGAN_MS, 253_402_300_799_000 - BEGAN_MS] {
        assert_unnoticed(&[(0, Turn::Ahead(ms))], 200);
        assert_unnoticed(&[(60, Turn::Ahead(ms))], 200);
        assert_unnoticed(&[(60, Turn::Ahead(ms)), (120, Turn::Ahead(0))], 200);
        assert_unnoticed(&[(60, Turn::Ahead(ms)), (60, Turn::Restart), (120, Turn::Ahead(0))], 300);
        assert_unnoticed(
            &[(60, Turn::Ahead(ms)), (60, Turn::Restart), (120, Turn::Restart), (120, Turn::Ahead(0))],
            300,
        );
    }
}

#[test]
fn after_a_day_closed_the_log_has_the_right_time() {
    let mut rig = started(LaggingLog::instant(), budgeted());
    rig.actor.comment(conn(1), comment("u", "yesterday"), rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    let mut rig = restart(rig, budgeted());
    rig.ahead_ms += DAY_MS;
    rig.actor.comment(conn(1), comment("u", "today"), rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    let times: Vec<_> = records(&rig).iter().map(|record| record.at_ms.cast_signed()).collect();
    assert!((times[1] - times[0] - DAY_MS).abs() <= 300, "{times:?}");
}

#[test]
fn a_silent_room_is_as_old_as_its_silence() {
    let mut rig = started(LaggingLog::instant(), budgeted());
    let say = |rig: &mut Rig, text: &str| {
        rig.actor.comment(conn(1), comment("u", text), rig.now_us, &mut rig.out);
        rig.run_for(TICK_US);
    };
    say(&mut rig, "one");
    rig.now_us += 10 * 3_600_000_000;
    rig.ahead_ms += 2 * HOUR_MS;
    say(&mut rig, "ten hours later by one clock, twelve by the other");
    let times: Vec<_> = records(&rig).iter().map(|record| record.at_ms.cast_signed()).collect();
    let hours = (times[1] - times[0]) as f64 / HOUR_MS as f64;
    assert!((10.49..=10.51).contains(&hours), "{hours} hours: no more than the largest correction");
}

fn post(rig: &mut Rig, kind: Kind) {
    rig.post(0, vec![Event::Post(Box::new(Post { key: None, kind }))]);
    rig.run_for(2 * TICK_US);
}

fn gift() -> Kind {
    let combo = crate::protocol::ids::ClientId::new("x");
    Kind::Gift(Gift { user: comment("g", "").user, name: "rose".into(), count: 1, value: 1, combo, total: None })
}

/// Every rule that uses log time, with a clock that is `ahead_ms` ahead for one tick.
fn rules_under(ahead_ms: i64) {
    let mut rig = started(LaggingLog::instant(), budgeted());
    let poll = crate::protocol::ids::ClientId::new("p").unwrap();
    let options = vec!["a".into(), "b".into()];
    post(&mut rig, Kind::Poll(Poll { id: poll.clone(), question: "?".into(), options }));
    let until = Some((BEGAN_MS + 240_000).cast_unsigned());
    post(&mut rig, Kind::Announcement(Announcement { text: "fire".into(), level: Level::Urgent, until }));
    post(&mut rig, gift());
    rig.actor.comment(conn(1), crate::room::tests::asking("c1", "once"), rig.now_us, &mut rig.out);
    rig.run_for(2 * TICK_US);
    let first = rig.acks();
    rig.ahead_ms += ahead_ms;
    post(&mut rig, gift());
    rig.ahead_ms -= ahead_ms;
    post(&mut rig, gift());
    let total = records(&rig).iter().rev().find_map(|record| match &record.event {
        Event::Post(post) => {
            if let Kind::Gift(gift) = &post.kind {
                gift.total
            } else {
                None
            }
        }
        _ => None,
    });
    assert_eq!(total, Some(3), "the combo goes on");
    rig.out.clear();
    let snapshot = rig.snapshot();
    assert!(snapshot.poll.is_some(), "a poll lasts 24 hours, whatever the clock says");
    assert_eq!(snapshot.announcements.len(), 1, "its time is not over");
    rig.out.clear();
    rig.actor.comment(conn(1), crate::room::tests::asking("c1", "once"), rig.now_us, &mut rig.out);
    rig.run_for(2 * TICK_US);
    assert_eq!(rig.acks(), first, "a retry is still known");
    // A change of settings is in force at once; earlier comments are shown under the earlier settings.
    post(&mut rig, Kind::Settings(SettingsPatch { budget: Some(1), ..SettingsPatch::default() }));
    for who in 0..5 {
        rig.actor.comment(conn(1), comment(&format!("u{who}"), &format!("{who}")), rig.now_us, &mut rig.out);
    }
    rig.run_for(2 * TICK_US);
    let shown: usize = rig.frames().iter().map(|frame| frame.events.len()).sum();
    assert_eq!(shown, 2, "the change itself, and one comment");
}

#[test]
fn every_rule_of_log_time_outlives_a_jump() {
    for ahead_ms in [600_000, -600_000, HOUR_MS, -HOUR_MS, 10 * DAY_MS, -10 * DAY_MS, -BEGAN_MS] {
        rules_under(ahead_ms);
    }
}

#[test]
fn equal_comments_are_merged_across_a_jump() {
    for ahead_ms in [600_000, -600_000, 10 * DAY_MS] {
        let mut rig = started(LaggingLog::instant(), budgeted());
        // The beginning of a window, so that the following events are in one.
        rig.ahead_ms -= (rig.ahead_ms + (rig.now_us / 1_000).cast_signed() + 1_000) % 5_000;
        let (mut times, mut began) = (0, 0);
        for who in 0..6 {
            rig.ahead_ms += if who == 2 { ahead_ms } else { 0 };
            rig.ahead_ms -= if who == 3 { ahead_ms } else { 0 };
            rig.actor.comment(conn(1), comment(&format!("u{who}"), "666"), rig.now_us, &mut rig.out);
            rig.run_for(TICK_US);
            for event in rig.frames().iter().flat_map(|frame| &frame.events) {
                match &event.what {
                    What::Comment(_) => began += 1,
                    What::Raise(raise) => times = raise.times,
                    _ => {}
                }
            }
        }
        assert_eq!((began, times), (1, 6), "one group of six");
    }
}

#[test]
fn a_jump_of_ten_days_deletes_nothing() {
    let log = LaggingLog::instant();
    let week = crate::log::Retention { age_ms: 7 * 86_400_000, events: 100_000, bytes: usize::MAX };
    let settings = ActorSettings { retention: week, ..budgeted() };
    let mut rig = started(log, settings);
    for (n, ahead_ms) in [0, 10 * DAY_MS, 10 * DAY_MS, 0].into_iter().enumerate() {
        rig.ahead_ms = BEGAN_MS + ahead_ms;
        rig.actor.comment(conn(1), comment("u", &n.to_string()), rig.now_us, &mut rig.out);
        rig.run_for(200_000_000);
    }
    assert_eq!(rig.log.head(&rig.handle.id).unwrap().unwrap().first, 1, "the first is still there");
}

fn turns() -> impl Strategy<Value = Vec<(usize, Turn)>> {
    let ahead = prop_oneof![-300_000..300_000_i64, -HOUR_MS..HOUR_MS, -10 * DAY_MS..10 * DAY_MS, Just(0)];
    let turn = prop_oneof![4 => ahead.prop_map(Turn::Ahead), 1 => Just(Turn::Restart)];
    prop::collection::vec((0..300_usize, turn), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_clock_reduces_the_number_of_shown_comments(turns in turns()) {
        let ((plain, _), (jumped, records)) = (shown(&[], 300), shown(&turns, 300));
        // A restart may begin a window, which may show a burst, and costs at most one tick's share.
        let restarts = turns.iter().filter(|(_, turn)| matches!(turn, Turn::Restart)).count();
        let jumps = turns.len();
        prop_assert!(jumped * 12 >= plain * 11 - 24 * jumps, "{jumped} are shown, {plain} without {turns:?}");
        prop_assert!(jumped * 12 <= plain * 13 + 12 * 20 * restarts, "{jumped} are shown, {plain} without {turns:?}");
        prop_assert!(records.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms));
    }
}
