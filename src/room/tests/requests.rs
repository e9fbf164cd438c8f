//! The conditions of a whole request: its key, its log, the clock, the comments it deletes.

use super::lagging::LaggingLog;
use super::posts::{id, pin, post};
use super::rig::{Rig, TICK_US, settings};
use super::{comment, conn};
use crate::log::Log;
use crate::protocol::event::{Comment, Event};
use crate::protocol::ids::Hex64;
use crate::protocol::kind::{Announcement, Delete, Kind, Level};
use crate::room::request::{PostError, PostRequest, Targets};

#[test]
fn a_request_for_a_different_log_or_a_deleted_comment_is_refused_and_a_repetition_is_not() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    let epoch = rig.log.head(&rig.handle.id).unwrap().unwrap().epoch;
    rig.actor.comment(conn(1), comment("u", "x"), rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    let delete = |key: &str| post(Some((key, 1)), Kind::Delete(Delete::new(1)));
    let send = |rig: &mut Rig, ticket, epoch, events, targets| {
        let request = PostRequest { epoch, targets, ..PostRequest::of(events) };
        rig.actor.post(ticket, request, rig.now_us, &mut rig.out);
    };
    let found = |missing: Vec<usize>| Some(Targets { epoch: Some(epoch), missing });
    send(&mut rig, 1, Some(Hex64(epoch.0 ^ 1)), vec![delete("a")], found(vec![]));
    assert_eq!(rig.posted(), [(1, Err(PostError::EpochChanged { epoch }))]);
    for targets in [found(vec![0]), Some(Targets::default()), Some(Targets { epoch: Some(Hex64(1)), missing: vec![] })]
    {
        send(&mut rig, 2, None, vec![delete("a")], targets);
        assert_eq!(rig.posted(), [(2, Err(PostError::NotFound { index: 0 }))]);
    }
    send(&mut rig, 3, Some(epoch), vec![delete("a"), delete("b")], found(vec![]));
    assert_eq!(rig.posted(), [(3, Err(PostError::NotFound { index: 1 }))], "twice in one request");
    send(&mut rig, 4, Some(epoch), vec![delete("a")], found(vec![]));
    for when in ["in the open tick", "in flight"] {
        send(&mut rig, 5, None, vec![delete("b")], found(vec![]));
        assert_eq!(rig.posted(), [(5, Err(PostError::NotFound { index: 0 }))], "{when}");
        rig.run_for(TICK_US);
    }
    rig.log.release();
    rig.run();
    // Now there is nothing to delete, and the repetition gets the answer of the first request.
    send(&mut rig, 6, Some(epoch), vec![delete("a")], found(vec![0]));
    assert_eq!(rig.posted(), [(4, Ok(vec![2])), (6, Ok(vec![2]))]);
}

#[test]
fn an_announcement_needs_a_plausible_end_and_a_repetition_after_it_is_answered() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    let mut send = |ticket, now_ms, key, until| {
        let events = vec![pin("", 0), post(Some((key, 1)), Kind::Announcement(announcement_until(until)))];
        rig.actor.post(ticket, PostRequest { now_ms, ..PostRequest::of(events) }, rig.now_us, &mut rig.out);
        rig.run_for(TICK_US);
        rig.posted().pop().unwrap().1
    };
    const NOW_MS: u64 = 1_796_083_540_000;
    let year_ms = 366 * 86_400_000;
    for until in [NOW_MS - 3_600_000, NOW_MS - 1, NOW_MS, NOW_MS + year_ms + 1, NOW_MS * 2] {
        assert_eq!(send(1, NOW_MS, "k", until), Err(PostError::BadTime { index: 1, now_ms: NOW_MS }), "{until}");
    }
    assert_eq!(send(2, NOW_MS, "k", NOW_MS + 1), Ok(vec![1, 2]));
    assert_eq!(send(3, NOW_MS, "year", NOW_MS + year_ms), Ok(vec![3, 4]));
    let events = || vec![post(Some(("late", 1)), Kind::Announcement(announcement_until(NOW_MS + 5)))];
    let mut at = |ticket, now_ms| {
        rig.actor.post(ticket, PostRequest { now_ms, ..PostRequest::of(events()) }, rig.now_us, &mut rig.out);
        rig.run_for(TICK_US);
        rig.posted().pop().unwrap().1
    };
    assert_eq!((at(4, NOW_MS), at(5, NOW_MS + 9_000)), (Ok(vec![5]), Ok(vec![5])), "over by now, and in the log");
}

fn announcement_until(until: u64) -> Announcement {
    Announcement { text: "x".into(), level: Level::Info, until: Some(until) }
}

#[test]
fn one_key_is_one_request_of_one_shape() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    let send = |rig: &mut Rig, ticket, key: &str, other: &str| {
        let request = PostRequest { other_shape: Some(id(other)), ..PostRequest::of(vec![pin(key, 1)]) };
        rig.actor.post(ticket, request, rig.now_us, &mut rig.out);
    };
    send(&mut rig, 1, "single", "single.0");
    send(&mut rig, 2, "batch.0", "batch");
    for when in ["in the open tick", "in flight", "in the log"] {
        send(&mut rig, 3, "single.0", "single");
        send(&mut rig, 4, "batch", "batch.0");
        let conflict = Err(PostError::Conflict { index: 0 });
        assert_eq!(rig.posted(), [(3, conflict.clone()), (4, conflict)], "{when}");
        rig.run_for(TICK_US);
        if when == "in flight" {
            rig.log.release();
            rig.run();
            assert_eq!(rig.posted(), [(1, Ok(vec![1])), (2, Ok(vec![2]))]);
        }
    }
}

#[test]
fn a_posted_comment_is_compared_by_its_whole_content_even_after_a_restart_or_deletion() {
    let mut rig = Rig::new(LaggingLog::instant(), settings());
    let said = |author: &str, text: &str, sum| {
        Event::Comment(Comment { id: Some(id("k")), posted: Some(Hex64(sum)), ..comment(author, text) })
    };
    rig.post(1, vec![said("host", "hello", 1)]);
    rig.run_for(TICK_US);
    for life in 0..2 {
        // The second answer of the first actor came with the first append.
        rig.posted();
        rig.post(2, vec![said("host", "hello", 1)]);
        rig.post(3, vec![said("somebody-else", "hello", 2)]);
        rig.post(4, vec![pin("k", 3)]);
        let conflict = || Err(PostError::Conflict { index: 0 });
        assert_eq!(rig.posted(), [(2, Ok(vec![1])), (3, conflict()), (4, conflict())], "life {life}");
        rig.post(5, vec![post(None, Kind::Delete(Delete::new(1)))]);
        rig.run_for(TICK_US);
        rig = rig.restarted(settings());
    }
    // The ids of viewers and of the owner are separate.
    rig.actor.comment(conn(1), Comment { id: Some(id("k")), ..comment("host", "mine") }, rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    assert_eq!(rig.acks().len(), 1);
}
