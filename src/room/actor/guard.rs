//! Judges operations by the room's settings in force, before they go to the log.
//!
//! Slow mode remembers in the actor's time when each user may comment again. This is not part of the log.
//!
//! Does not know: the log, connections, clocks.

use crate::policy::rate::{Gcra, Rate};
use crate::policy::text;
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::Comment;
use crate::protocol::message::VoteRequest;
use crate::protocol::settings::{Allowed, RoomSettings};
use crate::protocol::user::{Role, User};
use crate::room::core::board::Board;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The number of users whose last comment slow mode remembers. Beyond it the oldest is forgotten and may comment again.
pub(super) const SLOWED_MAX: usize = 65_536;

/// Why an operation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forbidden {
    pub(super) code: ErrorCode,
    pub(super) text: &'static str,
    /// The time after which a retry may succeed; 0 if it is not known.
    pub(super) after_ms: u64,
}

impl Forbidden {
    const fn new(code: ErrorCode, text: &'static str) -> Self {
        Self { code, text, after_ms: 0 }
    }
}

pub(super) const POLL_CLOSED: Forbidden =
    Forbidden::new(ErrorCode::PollClosed, "there is no such poll, or it is closed");
pub(super) const POLL_FULL: Forbidden = Forbidden::new(ErrorCode::PollFull, "the poll has reached its limit of voters");

#[derive(Debug, Default)]
pub(super) struct Guard {
    /// When each user's newest comment was taken.
    last_us: HashMap<Arc<str>, u64>,
    /// The same in the order of time; an entry counts only while it is the newest of its user.
    order: VecDeque<(Arc<str>, u64)>,
    /// Users that were forgotten before their wait was over.
    forgotten: u64,
    /// The rates of the whole room.
    comments: Gcra,
    likes: Gcra,
}

/// An operation of a client, as the guard judges it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation<'a> {
    Comment(&'a Comment),
    Like,
    Vote(&'a User, &'a VoteRequest),
}

impl Guard {
    /// Judges `what` by the settings in force and the open poll.
    pub(super) fn admits(&self, board: &Board, what: Operation<'_>, now_us: u64) -> Result<(), Forbidden> {
        let settings = board.timeline().newest();
        match what {
            Operation::Comment(comment) => self.comment(settings, comment, now_us),
            Operation::Like => allows(settings, Allowed::Like),
            Operation::Vote(user, vote) => vote_in(board, settings, user, vote),
        }
    }

    fn comment(&self, settings: &RoomSettings, comment: &Comment, now_us: u64) -> Result<(), Forbidden> {
        let role = comment.user.role;
        if is_exempt(role) {
            return Ok(());
        }
        if settings.mute_all {
            return Err(Forbidden::new(ErrorCode::Muted, "only moderators and the host may comment now"));
        }
        allows(settings, Allowed::Comment)?;
        if text::is_longer(&comment.text, settings.text_max.into()) {
            return Err(Forbidden::new(ErrorCode::TooLong, "the comment is longer than this room allows; shorten it"));
        }
        if is_slowed(settings, role)
            && let Some(last_us) = self.last_us.get(&comment.user.id)
        {
            let wait_us = (last_us + settings.slow_ms * 1_000).saturating_sub(now_us);
            if wait_us > 0 {
                let text = "slow mode: wait before your next comment";
                return Err(Forbidden {
                    after_ms: wait_us.div_ceil(1_000),
                    ..Forbidden::new(ErrorCode::RateLimited, text)
                });
            }
        }
        Ok(())
    }

    /// Counts one comment towards the room's rate, if there is one. An `Err` has the wait in milliseconds.
    pub(super) fn paces_comment(&mut self, rate: Option<Rate>, now_us: u64) -> Result<(), u64> {
        let Some(rate) = rate else { return Ok(()) };
        self.comments.check(rate, now_us, 1).map_err(|wait| wait.ms().unwrap_or(0))
    }

    /// The same for `count` likes. More than the burst count as the whole burst; otherwise such a message could never
    /// pass.
    pub(super) fn paces_likes(&mut self, rate: Option<Rate>, count: u64, now_us: u64) -> Result<(), u64> {
        let Some(rate) = rate else { return Ok(()) };
        self.likes.check(rate, now_us, count.min(u64::from(rate.burst))).map_err(|wait| wait.ms().unwrap_or(0))
    }

    /// Call when `comment` is taken: slow mode starts its author's wait.
    pub(super) fn took(&mut self, settings: &RoomSettings, comment: &Comment, now_us: u64) {
        if settings.slow_ms == 0 {
            if !self.order.is_empty() {
                self.forgive();
            }
        } else if is_slowed(settings, comment.user.role) {
            let user = &comment.user.id;
            self.last_us.insert(Arc::clone(user), now_us);
            self.order.push_back((Arc::clone(user), now_us));
            while self.order.len() > SLOWED_MAX
                && let Some((user, at_us)) = self.order.pop_front()
            {
                if self.last_us.get(&user) == Some(&at_us) {
                    self.last_us.remove(&user);
                    self.forgotten += u64::from(now_us < at_us + settings.slow_ms * 1_000);
                }
            }
        }
    }

    /// Ends all waits: the log refused comments, and their authors may send them again at once.
    pub(super) fn forgive(&mut self) {
        (self.last_us, self.order) = (HashMap::new(), VecDeque::new());
    }

    /// Users forgotten before their wait was over, since the last call.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }
}

/// Whether the poll takes votes and has the option. The board knows whether the user has voted.
fn vote_in(board: &Board, settings: &RoomSettings, user: &User, vote: &VoteRequest) -> Result<(), Forbidden> {
    if !is_exempt(user.role) {
        allows(settings, Allowed::Vote)?;
    }
    let poll = board.open_poll(&vote.poll).ok_or(POLL_CLOSED)?;
    if usize::from(vote.option) >= poll.options.len() {
        return Err(Forbidden::new(ErrorCode::NoSuchOption, "the poll does not have that option"));
    }
    Ok(())
}

/// Whether the settings let viewers send such operations.
fn allows(settings: &RoomSettings, what: Allowed) -> Result<(), Forbidden> {
    let text = match what {
        Allowed::Comment => "the room does not accept comments now",
        Allowed::Like => "the room does not accept likes now",
        Allowed::Vote => "the room does not accept votes now",
    };
    if settings.allowed.contains(&what) { Ok(()) } else { Err(Forbidden::new(ErrorCode::NotAllowed, text)) }
}

/// No setting applies to moderators and the host.
fn is_exempt(role: Role) -> bool {
    matches!(role, Role::Moderator | Role::Host)
}

fn is_slowed(settings: &RoomSettings, role: Role) -> bool {
    settings.slow_ms > 0 && matches!(role, Role::Guest | Role::Viewer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::ClientId;
    use crate::room::tests::comment;

    fn by(role: Role, text: &str) -> Comment {
        let mut comment = comment("u", text);
        comment.user.role = role;
        comment
    }

    fn settings() -> RoomSettings {
        RoomSettings::new(None, 100)
    }

    const ALL: [Role; 5] = [Role::Guest, Role::Viewer, Role::Vip, Role::Moderator, Role::Host];

    /// The answers to each role.
    fn told(guard: &Guard, settings: &RoomSettings, text: &str, now_us: u64) -> [Option<(ErrorCode, u64)>; 5] {
        ALL.map(|role| {
            let board = Board::new(settings.clone());
            let comment = by(role, text);
            let admitted = guard.admits(&board, Operation::Comment(&comment), now_us);
            admitted.err().map(|forbidden| (forbidden.code, forbidden.after_ms))
        })
    }

    #[test]
    fn each_setting_has_its_code_and_moderators_and_hosts_are_exempt() {
        let guard = Guard::default();
        assert_eq!(told(&guard, &settings(), &"长".repeat(512), 0), [None; 5]);
        let refused = |code| [Some((code, 0)), Some((code, 0)), Some((code, 0)), None, None];
        let muted = RoomSettings { mute_all: true, ..settings() };
        assert_eq!(told(&guard, &muted, "x", 0), refused(ErrorCode::Muted));
        let likes_only = RoomSettings { allowed: [Allowed::Like].into(), ..settings() };
        assert_eq!(told(&guard, &likes_only, "x", 0), refused(ErrorCode::NotAllowed));
        let board = Board::new(likes_only);
        assert_eq!(guard.admits(&board, Operation::Like, 0), Ok(()));
        let vote = VoteRequest { id: None, poll: ClientId::new("p").unwrap(), option: 0 };
        let votes = |role| guard.admits(&board, Operation::Vote(&by(role, "x").user, &vote), 0).unwrap_err().code;
        assert_eq!(votes(Role::Vip), ErrorCode::NotAllowed);
        assert_eq!(votes(Role::Host), ErrorCode::PollClosed, "the setting does not bind the host, the poll does");
        let short = RoomSettings { text_max: 3, ..settings() };
        assert_eq!(told(&guard, &short, "四个字长", 0), refused(ErrorCode::TooLong));
        assert_eq!(told(&guard, &short, "三个字", 0), [None; 5]);
    }

    #[test]
    fn slow_mode_tells_the_wait_and_exempts_vips() {
        let (mut guard, slow) = (Guard::default(), RoomSettings { slow_ms: 5_000, ..settings() });
        assert_eq!(told(&guard, &slow, "x", 0), [None; 5], "the first one is free");
        for role in ALL {
            guard.took(&slow, &by(role, "x"), 1_000);
        }
        let wait = Some((ErrorCode::RateLimited, 3_000));
        assert_eq!(told(&guard, &slow, "x", 2_001_000), [wait, wait, None, None, None]);
        let moment = Some((ErrorCode::RateLimited, 1));
        assert_eq!(told(&guard, &slow, "x", 5_000_999)[0], moment, "never sooner than it would be taken");
        assert_eq!(told(&guard, &slow, "x", 5_001_000), [None; 5]);
        assert_eq!(guard.comment(&slow, &comment("another", "x"), 1_001), Ok(()));
        let slower = RoomSettings { slow_ms: 9_000, ..settings() };
        assert_eq!(told(&guard, &slower, "x", 5_001_000)[0], Some((ErrorCode::RateLimited, 4_000)), "as it is now");
        guard.forgive();
        assert_eq!(told(&guard, &slow, "x", 1_001), [None; 5]);
    }

    #[test]
    fn slow_mode_is_bounded_and_forgets_the_oldest() {
        let (mut guard, slow) = (Guard::default(), RoomSettings { slow_ms: 3_600_000, ..settings() });
        for n in 0..SLOWED_MAX as u64 + 100 {
            guard.took(&slow, &comment(&format!("u{n}"), "x"), n);
        }
        assert_eq!((guard.last_us.len(), guard.order.len()), (SLOWED_MAX, SLOWED_MAX));
        assert_eq!(guard.comment(&slow, &comment("u99", "x"), 1), Ok(()));
        assert!(guard.comment(&slow, &comment("u100", "x"), 1_000).is_err());
        assert_eq!((guard.take_forgotten(), guard.take_forgotten()), (100, 0));
        guard.took(&settings(), &comment("u", "x"), 1);
        assert_eq!((guard.last_us.len(), guard.order.len()), (0, 0), "no slow mode, nothing to remember");
    }
}
