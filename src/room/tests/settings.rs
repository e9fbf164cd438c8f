//! The room's settings in force: the operations that the actor refuses, and its tick.

use super::lagging::LaggingLog;
use super::posts::post;
use super::rig::{Rig, TICK_US, settings};
use super::{asking, comment, conn};
use crate::log::AppendError;
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::Comment;
use crate::protocol::ids::ClientId;
use crate::protocol::kind::Kind;
use crate::protocol::settings::SettingsPatch;
use crate::protocol::user::Role;
use crate::room::actor::JoinAnswer;

impl Rig {
    fn set(&mut self, patch: SettingsPatch) {
        self.post(99, vec![post(None, Kind::Settings(patch))]);
        self.run_for(TICK_US);
        assert!(matches!(self.posted()[..], [(99, Ok(_))]));
    }

    fn says(&mut self, id: &str, user: &str, role: Role) -> Option<(ErrorCode, Option<u64>)> {
        let mut comment = Comment { id: ClientId::new(id), ..comment(user, "hello") };
        comment.user.role = role;
        self.actor.comment(conn(1), comment, self.now_us, &mut self.out);
        self.errors().pop().map(|error| (error.code, error.retry_after_ms))
    }
}

#[test]
fn a_muted_room_accepts_moderators_and_hosts_and_tells_others() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.set(SettingsPatch { mute_all: Some(true), ..SettingsPatch::default() });
    assert_eq!(rig.says("a", "u", Role::Viewer), Some((ErrorCode::Muted, None)));
    assert_eq!(rig.says("b", "m", Role::Moderator), None);
    rig.set(SettingsPatch { mute_all: Some(false), allowed: Some([].into()), ..SettingsPatch::default() });
    assert_eq!(rig.says("c", "u", Role::Viewer), Some((ErrorCode::NotAllowed, None)));
    rig.actor.like(conn(1), 1, rig.now_us, &mut rig.out);
    assert_eq!(rig.errors()[0].code, ErrorCode::NotAllowed);
}

#[test]
fn slow_mode_starts_with_a_stored_comment_and_not_with_a_lost_one() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.post(1, vec![post(None, Kind::Settings(SettingsPatch { slow_ms: Some(5_000), ..SettingsPatch::default() }))]);
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    assert_eq!(rig.says("a", "u", Role::Viewer), None);
    assert_eq!(rig.says("b", "u", Role::Viewer), Some((ErrorCode::RateLimited, Some(5_000))));
    assert_eq!(rig.says("a", "u", Role::Viewer), None, "a retry is the same comment");
    rig.run_for(TICK_US);
    rig.log.fail(AppendError::Unavailable);
    rig.run();
    rig.errors();
    assert_eq!(rig.says("b", "u", Role::Viewer), None, "the first one was lost");
    rig.run_for(TICK_US);
    rig.log.release();
    rig.run();
    rig.run_for(5_000_000 - 2 * TICK_US);
    assert_eq!(rig.says("c", "u", Role::Viewer), Some((ErrorCode::RateLimited, Some(100))));
    rig.run_for(TICK_US);
    assert_eq!(rig.says("c", "u", Role::Viewer), None);
}

#[test]
fn a_new_tick_takes_effect_and_is_told_to_newcomers() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    let tick_of = |rig: &mut Rig| {
        let JoinAnswer { tail, .. } = rig.actor.join("u9", None, None, rig.now_us);
        let (room, you) = (&rig.handle.id, comment("u", "").user);
        let json = tail.compose(crate::protocol::variant::Encoding::Json, room, Default::default(), &you, false, None);
        let welcome: serde_json::Value = serde_json::from_slice(&json).unwrap();
        welcome["welcome"]["tick_ms"].as_u64().unwrap()
    };
    assert_eq!(tick_of(&mut rig), 100);
    for (tick_ms, comments) in [(20, 50), (1_000, 10)] {
        rig.set(SettingsPatch { tick_ms: Some(tick_ms), ..SettingsPatch::default() });
        rig.run_for(2_000_000);
        assert_eq!(tick_of(&mut rig), tick_ms);
        rig.published();
        for n in 0..comments {
            rig.actor.comment(conn(1), asking(&format!("{tick_ms}-{n}"), "x"), rig.now_us, &mut rig.out);
            rig.run_for(tick_ms * 1_000);
        }
        rig.run_for(2_000_000);
        let frames: Vec<_> = rig.published().into_iter().map(|(at_us, _)| at_us).collect();
        assert!(frames.windows(2).all(|pair| pair[1] - pair[0] >= tick_ms * 1_000), "{frames:?}");
        assert!(frames.len() >= comments, "{} frames", frames.len());
        assert_eq!(rig.acks().len(), comments);
    }
}

#[test]
fn how_many_have_watched_is_told_when_it_changed() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.frames();
    for user in ["a", "b", "a"] {
        rig.actor.join(user, None, None, rig.now_us);
    }
    rig.arrive(super::rig::JSON);
    rig.run_for(2_000_000);
    let frames = rig.frames();
    assert_eq!(frames.iter().filter_map(|frame| frame.unique).collect::<Vec<_>>(), [2]);
    assert_eq!(rig.snapshot().unique, 3, "with the one who asked");
    rig.run_for(2_000_000);
}
