//! Deleted comments are gone everywhere, together with the equal comments folded into them, and a room rebuilt from its
//! log shows the same as the live one.

use super::*;
use crate::protocol::message::Snapshot;
use crate::room::actor::JoinAnswer;

/// The welcome of a newcomer that requests the longest history.
fn welcome(rig: &mut Rig) -> Snapshot {
    let JoinAnswer { tail, .. } = rig.actor.join("u8", None, Some(200), rig.now_us);
    let you = comment("u8", "").user;
    let json = tail.compose(Encoding::Json, &rig.handle.id, crate::protocol::ids::Hex64(1), &you, false, None);
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let snapshot: Snapshot = serde_json::from_value(value["welcome"]["snapshot"].clone()).unwrap();
    // The number of subscribers belongs to the moment, and the rebuilt room has none.
    Snapshot { online: 0, unique: 0, ..snapshot }
}

/// The comments of a welcome and of every page: (offset, number of equal comments).
fn seen(rig: &mut Rig) -> Vec<Vec<(Offset, u64)>> {
    let comments = |events: &[FrameEvent]| {
        events.iter().filter_map(|event| Some((event.offset, event.as_comment()?.times))).collect::<Vec<_>>()
    };
    let pages: Vec<_> = Rendition::ALL.map(|rendition| rig.pages(0, usize::MAX, variant(rendition))).into();
    let pages = pages.iter().map(|frames| frames.iter().flat_map(|frame| comments(&frame.events)).collect());
    let welcome = comments(&welcome(rig).events);
    std::iter::once(welcome).chain(pages).collect()
}

#[test]
fn six_equal_comments_are_deleted_as_one_and_no_copy_is_shown() {
    let mut rig = open(LaggingLog::instant(), 100);
    let say = |rig: &mut Rig, who: u8| {
        rig.actor.comment(conn(1), said(5 + who, 0, u64::from(who)), rig.now_us, &mut rig.out);
        rig.run_for(TICK_US);
    };
    // In one window, which begins at 5 s.
    rig.run_for(5_000_000 - rig.now_us);
    (0..6).for_each(|who| say(&mut rig, who));
    let first = seen(&mut rig)[0][0].0;
    assert_eq!(seen(&mut rig)[0], [(first, 6)]);
    let kind = Kind::Delete(Delete::new(first));
    // One more equal comment comes in the tick of the deletion, and is not merged with the deleted ones.
    rig.post(0, vec![Event::Post(Box::new(Post { key: None, kind }))]);
    say(&mut rig, 6);
    say(&mut rig, 7);
    let all = seen(&mut rig);
    let anew = all[0][0].0;
    assert_eq!(all[0], [(anew, 2)]);
    assert!(all.iter().flatten().all(|(offset, _)| *offset >= anew), "{all:?}");
    let log = rig.log.clone();
    rig.actor.close();
    let mut again = open(log.clone(), 100);
    assert_eq!(seen(&mut again), all, "after a restart too");
    let records = log.read(&again.handle.id, 0, Limit::events(usize::MAX)).unwrap();
    assert_eq!(gone(&records).len(), 6, "nor is a text of them in the log");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_deletion_removes_all_merged_comments(steps in steps(), most in 3..40_usize) {
        let show = Show::play(steps, most);
        let records = show.records();
        let gone = gone(&records);
        let told: Vec<_> = show.frames["full"].iter().flat_map(|frame| &frame.events).collect();
        let deletions = told.iter().filter_map(|event| match &event.what {
            What::Kind(Kind::Delete(delete)) => Some((event.offset, delete)),
            _ => None,
        });
        for (at, delete) in deletions {
            prop_assert!(gone.contains(&delete.offset));
            let folded = told.iter().filter(|event| event.into == Some(delete.offset) && event.offset < at);
            for event in folded {
                prop_assert!(delete.also.contains(&event.offset), "{} was shown as {}", event.offset, delete.offset);
            }
            prop_assert!(delete.also.iter().all(|offset| gone.contains(offset) && *offset < at));
            for event in told.iter().filter(|event| event.offset > at) {
                prop_assert!(event.into != Some(delete.offset), "{} joins a deleted comment", event.offset);
            }
        }
        let secret = |record: &&Record| gone.contains(&record.offset);
        let is_empty = |record: &Record| matches!(&record.event, Event::Comment(comment) if comment.text.is_empty());
        prop_assert!(records.iter().filter(secret).all(is_empty));
        for rendition in [Rendition::Viewer, Rendition::Lite] {
            let kinds = show.frames[rendition.as_str()].iter().flat_map(|frame| &frame.events).map(|event| &event.what);
            let has_more = |what: &What| matches!(what, What::Kind(Kind::Delete(delete)) if !delete.also.is_empty());
            prop_assert!(!kinds.into_iter().any(has_more), "only consoles have the copies");
        }
    }

    #[test]
    fn a_welcome_is_the_same_live_and_rebuilt_from_the_log(steps in steps(), most in 3..40_usize) {
        let mut show = Show::play(steps, most);
        show.rig.run_for(12 * TICK_US);
        show.read();
        let gone = gone(&show.records());
        let live = welcome(&mut show.rig);
        let log = show.rig.log.clone();
        show.rig.actor.close();
        let mut again = Rig::new(log, ActorSettings { frame_events_max: most, room: RoomSettings::new(Some(20), 100), ..settings() });
        again.now_us = show.rig.now_us;
        let rebuilt = welcome(&mut again);
        prop_assert_eq!(&live, &rebuilt);
        prop_assert!(live.events.iter().all(|event| !gone.contains(&event.offset)));
        let page = again.pages(0, usize::MAX, variant(Rendition::Viewer));
        let (shown, times, ..) = said_by(&page);
        let comments = live.events.iter().filter_map(|event| Some((event.offset, event.as_comment()?.times)));
        for (offset, count) in comments {
            prop_assert!(shown.contains(&offset) && times[&offset] == count, "{offset} ×{count}");
        }
    }
}
