//! A retry is harmless: the same comment twice is stored once and answered twice.

use super::lagging::LaggingLog;
use super::rig::{Rig, TICK_US, settings};
use super::{asking, comment, conn};
use crate::limits::APPEND_SLOW_US;
use crate::log::{AppendError, Limit, Log, Record};
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::Event;
use crate::protocol::frame::Outcome;
use crate::room::actor::ActorSettings;

impl Rig {
    fn send(&mut self, from: u32, id: &str, text: &str) {
        self.actor.comment(conn(from), asking(id, text), self.now_us, &mut self.out);
    }

    fn stored(&self) -> Vec<Record> {
        self.log.read(&self.handle.id, 0, Limit::events(999)).unwrap()
    }
}

#[test]
fn a_retry_of_a_stored_comment_is_acknowledged_at_once_with_the_first_offset() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.send(1, "c1", "hello");
    rig.run_for(TICK_US);
    let first = rig.acks().remove(0);
    rig.send(2, "c1", "hello");
    assert_eq!(rig.acks(), [first], "from another connection, without waiting for a tick");
    rig.run_for(5 * TICK_US);
    assert_eq!((rig.stored().len(), rig.frames().len()), (1, 1));
}

#[test]
fn a_retry_of_a_comment_on_its_way_is_answered_with_it() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.send(1, "c1", "hello");
    rig.send(2, "c1", "hello"); // While the tick is open.
    rig.run_for(TICK_US);
    rig.send(3, "c1", "hello"); // While the batch is in flight.
    rig.send(3, "c1", "hello"); // One connection is answered once.
    rig.send(3, "c2", "next");
    assert!(rig.out.is_empty());
    rig.log.release();
    rig.run();
    let to = |rig: &mut Rig| -> Vec<(String, u64)> {
        rig.acks().into_iter().map(|ack| (ack.id.as_str().to_owned(), ack.offset)).collect()
    };
    assert_eq!(to(&mut rig), vec![("c1".to_owned(), 1); 3]);
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    assert_eq!(to(&mut rig), [("c2".to_owned(), 2)]);
    assert_eq!(rig.stored().len(), 2);
}

#[test]
fn a_retry_after_a_failed_append_is_stored_once() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.send(1, "c1", "hello");
    rig.send(2, "c1", "hello");
    rig.run_for(TICK_US);
    rig.log.fail(AppendError::Unavailable);
    rig.run();
    let codes: Vec<_> = rig.errors().into_iter().map(|error| error.code).collect();
    assert_eq!(codes, [ErrorCode::StorageUnavailable; 2]);
    rig.send(1, "c1", "hello");
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    assert_eq!((rig.acks().len(), rig.stored().len()), (1, 1));
}

#[test]
fn one_id_for_two_texts_is_a_conflict_before_and_after_the_log_has_it() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.send(1, "c1", "hello");
    rig.send(1, "c1", "open tick");
    rig.run_for(TICK_US);
    rig.send(1, "c1", "in flight");
    rig.log.release();
    rig.run();
    rig.send(1, "c1", "in the log");
    let errors: Vec<_> = rig.errors().into_iter().map(|error| (error.code, error.id.unwrap())).collect();
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(|(code, id)| *code == ErrorCode::IdConflict && id.as_str() == "c1"));
    assert_eq!((rig.acks().len(), rig.stored().len()), (1, 1));
}

#[test]
fn ids_of_different_authors_and_comments_without_ids_are_never_retries() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for user in ["a", "b"] {
        let said = crate::protocol::event::Comment { id: asking("c1", "").id, ..comment(user, "hello") };
        rig.actor.comment(conn(1), said, rig.now_us, &mut rig.out);
        rig.actor.comment(conn(1), comment(user, "hello"), rig.now_us, &mut rig.out);
    }
    rig.run_for(TICK_US);
    assert_eq!((rig.acks().len(), rig.stored().len()), (2, 4));
}

#[test]
fn a_retry_across_a_restart_is_recognised_from_the_log() {
    let log = LaggingLog::instant();
    let mut rig = Rig::watched(log.clone(), ActorSettings { frame_events_max: 1, ..settings() });
    rig.send(1, "c1", "shown");
    rig.send(1, "c2", "shed");
    rig.run_for(TICK_US);
    let before = rig.acks();
    assert_eq!(before.iter().map(|ack| ack.outcome).collect::<Vec<_>>(), [Outcome::Shown, Outcome::Shed]);
    rig.actor.close();
    let mut rig = Rig::watched(log, ActorSettings { frame_events_max: 1, ..settings() });
    rig.send(7, "c1", "shown");
    rig.send(7, "c2", "shed");
    rig.run_for(5 * TICK_US);
    assert_eq!(rig.acks(), before);
    assert_eq!(rig.stored().len(), 2);
}

#[test]
fn another_nodes_copy_of_a_comment_is_void() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.send(1, "c1", "hello");
    rig.run_for(TICK_US);
    rig.frames();
    rig.log.foreign(vec![Event::Comment(asking("c1", "hello")), Event::Comment(asking("c1", "other"))]);
    rig.run_for(TICK_US);
    let frame = rig.frames().remove(0);
    assert_eq!((frame.prev, frame.last, frame.events.len(), frame.shed.len()), (1, 3, 0, 0));
    assert_eq!(rig.handle.figures.comments.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_room_with_a_silent_log_refuses_comments_before_it_fills() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.send(1, "c1", "hello");
    rig.run_for(TICK_US);
    rig.run_for(APPEND_SLOW_US - TICK_US);
    rig.send(1, "c2", "just in time");
    assert!(rig.out.is_empty());
    rig.run_for(TICK_US);
    rig.send(1, "c3", "too late");
    let error = rig.errors().remove(0);
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::Overloaded, Some(1_000)));
    rig.send(1, "c1", "hello");
    assert!(rig.out.is_empty(), "a retry of a comment in flight still waits for it");
    rig.log.release();
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    assert_eq!(rig.acks().len(), 2);
}
