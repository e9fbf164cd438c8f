//! Posts and votes through the actor: their answers, and the state that a restart keeps.

use super::lagging::LaggingLog;
use super::rig::{Rig, TICK_US, settings};
use super::{comment, conn};
use crate::limits::{BALLOTS_MAX, POSTS_PER_TICK_MAX};
use crate::log::{AppendError, Limit, Log};
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::{Comment, Event};
use crate::protocol::ids::{ClientId, Hex64, Offset};
use crate::protocol::kind::{Delete, Kind, Pin, Poll, PollClose, Post, PostKey, Tally};
use crate::protocol::message::{Snapshot, VoteRequest};
use crate::protocol::user::Role;
use crate::room::actor::Effect;
use crate::room::actor::JoinAnswer;
use crate::room::request::{PostError, PostRequest, Posted};

pub(super) fn id(text: &str) -> ClientId {
    ClientId::new(text).unwrap()
}

pub(super) fn post(key: Option<(&str, u64)>, kind: Kind) -> Event {
    let key = key.map(|(key, sum)| PostKey { id: id(key), sum: Hex64(sum) });
    Event::Post(Box::new(Post { key, kind }))
}

pub(super) fn pin(key: &str, sum: u64) -> Event {
    post((!key.is_empty()).then_some((key, sum)), Kind::Pin(Pin { text: "x".into(), user: None }))
}

pub(super) fn open(poll: &str) -> Event {
    let options = vec!["a".into(), "b".into()];
    post(None, Kind::Poll(Poll { id: id(poll), question: "?".into(), options }))
}

fn close(poll: &str) -> Event {
    post(None, Kind::PollClose(PollClose { id: id(poll) }))
}

impl Rig {
    pub(super) fn post(&mut self, ticket: u64, events: Vec<Event>) {
        self.actor.post(ticket, PostRequest::of(events), self.now_us, &mut self.out);
    }

    /// The answers to requests since the last call.
    pub(super) fn posted(&mut self) -> Vec<(u64, Result<Vec<Offset>, PostError>)> {
        let epoch = self.log.head(&self.handle.id).unwrap().unwrap().epoch;
        let taken = self.out.extract_if(.., |effect| matches!(effect, Effect::Posted { .. }));
        taken
            .map(|effect| {
                let Effect::Posted { ticket, result } = effect else { unreachable!() };
                let offsets = result.map(|Posted { epoch: told, offsets }| {
                    assert_eq!(told, epoch);
                    offsets
                });
                (ticket, offsets)
            })
            .collect()
    }

    pub(super) fn vote(&mut self, n: u32, user: &str, poll: &str, option: u8) {
        let user = comment(user, "").user;
        let vote = VoteRequest { id: Some(id(&format!("v{n}"))), poll: id(poll), option };
        self.actor.vote(conn(n), &user, vote, self.now_us, &mut self.out);
    }

    /// All records in the log.
    fn logged(&self) -> Vec<Event> {
        let head = self.log.head(&self.handle.id).unwrap().unwrap();
        let all = self.log.read(&self.handle.id, head.first - 1, Limit::events(usize::MAX)).unwrap();
        all.into_iter().map(|record| record.event).collect()
    }

    pub(super) fn snapshot(&mut self) -> Snapshot {
        let JoinAnswer { tail, .. } = self.actor.join("u8", None, None, self.now_us);
        let (room, you) = (&self.handle.id, comment("u8", "").user);
        let json = tail.compose(crate::protocol::variant::Encoding::Json, room, Hex64(1), &you, false, None);
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        serde_json::from_value(value["welcome"]["snapshot"].clone()).unwrap()
    }

    fn tally(&mut self) -> Vec<u64> {
        self.snapshot().tally.map(|tally: Tally| tally.votes).unwrap_or_default()
    }

    /// The same room after a restart of the process.
    pub(super) fn restarted(self, settings: crate::room::actor::ActorSettings) -> Self {
        let log = self.log.clone();
        self.actor.close();
        Self::new(log, settings)
    }
}

#[test]
fn posts_are_answered_with_their_offsets_once_the_log_has_them() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.actor.comment(conn(1), comment("u", "first"), rig.now_us, &mut rig.out);
    let mut host = comment("host", "welcome");
    host.user.role = Role::Host;
    host.id = Some(id("k0"));
    rig.post(7, vec![pin("k1", 1), Event::Comment(host), pin("", 0)]);
    rig.post(8, vec![pin("k2", 1)]);
    rig.actor.like(conn(1), 3, rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    assert!(rig.posted().is_empty(), "an answer before the log's");
    rig.log.release();
    rig.run();
    assert_eq!(rig.posted(), [(7, Ok(vec![2, 3, 4])), (8, Ok(vec![5]))]);
    let kinds = rig.logged().iter().map(|event| matches!(event, Event::Post(_))).collect::<Vec<_>>();
    assert_eq!(kinds, [false, true, false, true, true, false], "comments, posts in their order, likes");
}

#[test]
fn a_retry_is_stored_once_and_gets_the_answer_of_the_first_copy() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    let both = || vec![pin("k.0", 1), pin("k.1", 2)];
    rig.post(1, both());
    rig.post(2, both());
    rig.run_for(TICK_US);
    rig.post(3, both());
    rig.log.release();
    rig.run();
    let stored = || Ok(vec![1, 2]);
    assert_eq!(rig.posted(), [(1, stored()), (2, stored()), (3, stored())]);
    rig.post(4, both());
    assert_eq!(rig.posted(), [(4, stored())], "at once");
    rig.post(5, vec![pin("k.1", 2), pin("k.2", 1), pin("k.2", 1)]);
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    assert_eq!(rig.posted(), [(5, Ok(vec![2, 3, 3]))], "twins in one request are one");
    assert_eq!(rig.logged().len(), 3);
}

#[test]
fn a_used_key_with_different_content_is_a_conflict_and_no_event_is_stored() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    let conflict = |rig: &mut Rig, ticket| {
        rig.post(ticket, vec![pin("", 0), pin("k", 2)]);
        assert_eq!(rig.posted(), [(ticket, Err(PostError::Conflict { index: 1 }))]);
    };
    rig.post(1, vec![pin("k", 1)]);
    conflict(&mut rig, 2);
    rig.run_for(TICK_US);
    conflict(&mut rig, 3);
    rig.log.release();
    rig.run();
    rig.posted();
    conflict(&mut rig, 4);
    rig.post(5, vec![pin("j", 1), pin("j", 2)]);
    assert_eq!(rig.posted(), [(5, Err(PostError::Conflict { index: 1 }))]);
    rig.run_for(5 * TICK_US);
    assert_eq!(rig.logged().len(), 1);
}

#[test]
fn a_key_survives_a_restart() {
    let mut rig = Rig::new(LaggingLog::instant(), settings());
    rig.post(1, vec![pin("k", 1)]);
    rig.run_for(TICK_US);
    let mut rig = rig.restarted(settings());
    rig.post(2, vec![pin("k", 1)]);
    rig.post(3, vec![pin("k", 2)]);
    assert_eq!(rig.posted(), [(2, Ok(vec![1])), (3, Err(PostError::Conflict { index: 0 }))]);
}

#[test]
fn a_second_nodes_copy_of_a_post_is_void_and_gets_the_answer_of_the_first() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.post(1, vec![pin("k", 1)]);
    rig.run_for(TICK_US);
    rig.log.foreign(vec![open("p"), pin("k", 1)]);
    rig.log.release();
    rig.run();
    assert_eq!(rig.posted(), [(1, Ok(vec![2]))]);
}

#[test]
fn a_failed_append_is_answered_to_every_waiting_sender() {
    for (error, told, code) in [
        (AppendError::Unavailable, PostError::Unavailable, ErrorCode::StorageUnavailable),
        (AppendError::Overloaded, PostError::Overloaded { retry_ms: 100 }, ErrorCode::Overloaded),
    ] {
        let mut rig = Rig::watched(LaggingLog::new(), settings());
        rig.post(1, vec![open("p")]);
        rig.run_for(TICK_US);
        rig.log.release();
        rig.run();
        rig.posted();
        rig.post(2, vec![pin("k", 1)]);
        rig.vote(3, "a", "p", 0);
        rig.run_for(TICK_US);
        rig.log.fail(error);
        rig.run();
        assert_eq!(rig.posted(), [(2, Err(told))]);
        let errors = rig.errors();
        assert_eq!((errors.len(), errors[0].code, errors[0].id.clone()), (1, code, Some(id("v3"))));
        rig.post(4, vec![pin("k", 1)]);
        rig.vote(5, "a", "p", 1);
        rig.run_for(TICK_US);
        rig.log.release();
        rig.run();
        assert_eq!((rig.posted(), rig.acks().len()), (vec![(4, Ok(vec![2]))], 1), "both can be tried again");
        assert_eq!(rig.tally(), [0, 1]);
    }
}

#[test]
fn the_owners_posts_have_a_separate_bound() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for n in 0..130 {
        rig.actor.comment(conn(1), comment(&format!("u{n}"), "x"), rig.now_us, &mut rig.out);
    }
    let batch = |count| (0..count).map(|_| pin("", 0)).collect::<Vec<_>>();
    rig.post(1, batch(POSTS_PER_TICK_MAX - 1));
    rig.post(2, batch(2));
    rig.post(3, batch(1));
    assert_eq!(rig.posted(), [(2, Err(PostError::Overloaded { retry_ms: 100 }))]);
    rig.run_for(TICK_US);
    let posted = rig.posted();
    assert_eq!((posted[0].0, posted[0].1.as_ref().unwrap().len()), (1, POSTS_PER_TICK_MAX - 1));
    assert_eq!((posted[1].0, posted[1].1.as_ref().unwrap().len()), (3, 1));
}

#[test]
fn what_cannot_be_there_cannot_be_deleted() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.actor.comment(conn(1), comment("u", "x"), rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    let delete = |offset| post(None, Kind::Delete(Delete::new(offset)));
    rig.post(1, vec![delete(1)]);
    for (ticket, offset) in [(2, 0), (3, 2), (4, u64::MAX)] {
        rig.post(ticket, vec![pin("", 0), delete(offset)]);
        assert_eq!(rig.posted(), [(ticket, Err(PostError::NotFound { index: 1 }))], "{offset}");
    }
    rig.run_for(TICK_US);
    assert_eq!(rig.posted(), [(1, Ok(vec![2]))]);
    assert_eq!(rig.logged().len(), 2);
}

#[test]
fn a_poll_is_opened_once_and_only_an_open_one_is_closed() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    let (open_again, no_poll) = (|index| Err(PostError::PollOpen { index }), |index| Err(PostError::NoPoll { index }));
    rig.post(1, vec![close("p")]);
    assert_eq!(rig.posted(), [(1, no_poll(0))]);
    // The earlier poll may be in the log, in the open tick or in the same request.
    rig.post(2, vec![open("p"), open("p")]);
    assert_eq!(rig.posted(), [(2, open_again(1))]);
    rig.post(3, vec![open("p")]);
    rig.post(4, vec![open("p")]);
    rig.post(5, vec![close("q")]);
    assert_eq!(rig.posted(), [(4, open_again(0)), (5, no_poll(0))]);
    rig.run_for(TICK_US);
    assert_eq!(rig.posted(), [(3, Ok(vec![1]))]);
    rig.vote(1, "a", "p", 0);
    rig.post(6, vec![open("p")]);
    assert_eq!(rig.posted(), [(6, open_again(0))]);
    // The next poll closes it, and no later poll may have a used id: a late vote would count in the wrong poll.
    let used = |index| Err(PostError::PollUsed { index });
    rig.post(7, vec![open("q"), close("q")]);
    for (request, index) in [(vec![open("p")], 0), (vec![open("q")], 0), (vec![open("s"), close("s"), open("s")], 2)] {
        rig.post(12, request);
        assert_eq!(rig.posted(), [(12, used(index))]);
    }
    rig.post(8, vec![close("p")]);
    assert_eq!(rig.posted(), [(8, no_poll(0))]);
    rig.run_for(TICK_US);
    assert_eq!(rig.posted().len(), 1);
    for poll in ["p", "q"] {
        rig.post(13, vec![open(poll)]);
        assert_eq!(rig.posted(), [(13, used(0))]);
    }
    // A retry does not open the poll again.
    let keyed = || vec![post(Some(("k", 1)), kind_of(open("r")))];
    rig.post(9, keyed());
    rig.post(10, keyed());
    rig.run_for(TICK_US);
    rig.post(11, keyed());
    let posted = rig.posted();
    assert_eq!(posted.len(), 3);
    assert!(posted.iter().all(|(_, answer)| *answer == posted[0].1 && answer.is_ok()), "{posted:?}");
}

fn kind_of(event: Event) -> Kind {
    if let Event::Post(post) = event { post.kind } else { panic!("no post") }
}

#[test]
fn votes_of_a_tick_are_one_record_and_each_voter_is_answered() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.vote(1, "a", "p", 0);
    rig.post(1, vec![open("p")]);
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    rig.vote(2, "a", "p", 2);
    rig.vote(3, "a", "q", 0);
    let codes: Vec<_> = rig.errors().into_iter().map(|error| error.code).collect();
    assert_eq!(codes, [ErrorCode::PollClosed, ErrorCode::NoSuchOption, ErrorCode::PollClosed]);
    rig.vote(4, "a", "p", 0);
    rig.vote(5, "b", "p", 1);
    rig.vote(6, "a", "p", 1);
    rig.run_for(TICK_US);
    rig.vote(7, "b", "p", 0);
    assert!(rig.acks().is_empty(), "an answer before the log's");
    rig.log.release();
    rig.run();
    let mut acks: Vec<_> = rig.acks().into_iter().map(|ack| (ack.id.as_str().to_owned(), ack.offset)).collect();
    acks.sort();
    assert_eq!(acks, [4, 5, 6, 7].map(|n| (format!("v{n}"), 2)));
    assert_eq!((rig.logged().len(), rig.tally()), (2, vec![1, 1]));
    rig.vote(8, "a", "p", 1);
    assert_eq!(rig.acks()[0].offset, 2, "at once");
    rig.run_for(5 * TICK_US);
    assert_eq!((rig.logged().len(), rig.tally()), (2, vec![1, 1]), "a second vote changes nothing");
}

#[test]
fn a_vote_in_the_batch_of_the_close_is_not_counted_and_gets_an_error() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.post(1, vec![open("p")]);
    rig.run_for(TICK_US);
    rig.vote(1, "a", "p", 0);
    rig.post(2, vec![close("p")]);
    rig.run_for(TICK_US);
    assert!(rig.acks().is_empty());
    assert_eq!(rig.errors()[0].code, ErrorCode::PollClosed);
    assert!(rig.snapshot().tally.is_none());
}

#[test]
fn many_votes_are_records_of_bounded_size() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.post(1, vec![open("p")]);
    rig.run_for(TICK_US);
    let count = BALLOTS_MAX as u32 * 2 + 1;
    (0..count).for_each(|n| rig.vote(n, &format!("u{n}"), "p", (n % 2) as u8));
    rig.run_for(TICK_US);
    let sizes: Vec<_> = rig
        .logged()
        .iter()
        .filter_map(|event| match event {
            Event::Votes(votes) => Some(votes.ballots.len()),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [BALLOTS_MAX, BALLOTS_MAX, 1]);
    assert_eq!((rig.acks().len() as u32, rig.tally().iter().sum::<u64>()), (count, u64::from(count)));
}

#[test]
fn a_restart_in_the_midst_of_a_poll_keeps_its_tally_and_refuses_second_votes() {
    let retention = crate::log::Retention { age_ms: u64::MAX, events: 4, bytes: usize::MAX };
    for settings in [settings(), crate::room::actor::ActorSettings { retention, ..settings() }] {
        let mut rig = Rig::new(LaggingLog::instant(), settings.clone());
        for n in 0..20 {
            rig.actor.comment(conn(1), comment(&format!("u{n}"), "before"), rig.now_us, &mut rig.out);
            rig.run_for(TICK_US);
        }
        rig.post(1, vec![pin("", 0), open("p")]);
        rig.run_for(TICK_US);
        for n in 0..20 {
            rig.vote(n, &format!("u{n}"), "p", (n % 2) as u8);
            rig.actor.comment(conn(1), comment(&format!("u{n}"), "during"), rig.now_us, &mut rig.out);
            rig.run_for(TICK_US);
        }
        let before = rig.snapshot();
        assert_eq!(before.tally.as_ref().unwrap().votes, [10, 10]);
        let mut rig = rig.restarted(settings.clone());
        let after = rig.snapshot();
        assert_eq!((&after.tally, &after.poll, &after.pinned), (&before.tally, &before.poll, &before.pinned));
        rig.acks();
        rig.vote(3, "u3", "p", 0);
        rig.vote(4, "another", "p", 0);
        rig.run_for(TICK_US);
        assert_eq!((rig.acks().len(), rig.tally()), (2, vec![11, 10]));
        rig.post(2, vec![close("p")]);
        for n in 0..20 {
            rig.actor.comment(conn(1), comment(&format!("u{n}"), "after"), rig.now_us, &mut rig.out);
            rig.run_for(TICK_US);
        }
        let kept = rig.logged().len();
        assert_eq!(kept < 10, settings.retention.events == 4, "{kept} records: the log lets go again");
        let mut rig = rig.restarted(settings);
        let last = rig.snapshot();
        assert_eq!((last.poll, last.tally, last.pinned), (None, None, before.pinned));
    }
}

#[test]
fn a_deleted_comment_is_removed_from_the_log() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    let said = Comment { media_ms: Some(1), id: Some(id("c1")), ..comment("u", "secret") };
    rig.actor.comment(conn(1), said, rig.now_us, &mut rig.out);
    rig.run_for(TICK_US);
    rig.post(1, vec![post(None, Kind::Delete(Delete::new(1)))]);
    rig.run_for(TICK_US);
    let Event::Comment(gone) = &rig.logged()[0] else { panic!("no comment") };
    assert_eq!((&*gone.text, gone.deleted, gone.media_ms, &*gone.user.id), ("", true, None, "u"));
    assert_eq!(gone.id, Some(id("c1")));
}
