//! The actor's part of posts and votes: into the open tick, and back to those who sent them. And what the room's settings
//! ask of the actor: what it refuses, and its pace.

use super::{Actor, STORAGE_RETRY_MS};
use crate::limits::APPEND_SLOW_US;
use crate::log::{AppendError, Record};
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::{Role, User};
use crate::protocol::ids::{ClientId, Epoch, Offset};
use crate::protocol::local::ConnRef;
use crate::protocol::message::{Ack, ErrorMessage, Outcome, ServerMessage, VoteRequest};
use crate::protocol::settings::{Allowed, RoomSettings};
use crate::room::actor::effect::Effect;
use crate::room::actor::grid::Grid;
use crate::room::actor::guard::{Forbidden, allows};
use crate::room::actor::pending::Sender;
use crate::room::actor::posting::{Answer, Cast, Pace};
use crate::room::core::Core;
use crate::room::core::board::{Dropped, Voted};
use crate::room::core::window::{IdKey, Mark, Seen};
use crate::room::request::{Known, PostError, PostRequest, Posted};
use std::sync::Arc;

impl Known for Core {
    fn epoch(&self) -> Epoch {
        Self::epoch(self)
    }

    fn knows(&self, key: IdKey) -> bool {
        Self::knows(self, key)
    }

    fn had_poll(&self, id: &ClientId) -> bool {
        self.board().had_poll(id)
    }

    fn seen(&self, mark: &Mark) -> Seen {
        Self::seen(self, mark)
    }

    fn may_delete(&self, offset: Offset) -> bool {
        (1..=self.last()).contains(&offset) && !self.is_no_comment(offset)
    }

    fn open_poll(&self) -> Option<&ClientId> {
        self.board().open_poll_id()
    }
}

impl Actor {
    /// Takes the owner's events into the open tick, all or none; [`Effect::Posted`] comes once the log has them, or at once
    /// if it has them already or cannot have them. Whoever asks knows the answer by `ticket`.
    pub fn post(&mut self, ticket: u64, request: PostRequest, now_us: u64, out: &mut Vec<Effect>) {
        let stalled_ms = self.is_log_slow(now_us).then_some(STORAGE_RETRY_MS);
        let pace = Pace { tick_ms: self.tick_ms(), stalled_ms };
        match self.posting.post(ticket, request, &self.core, pace) {
            Some(answer) => out.push(self.posted(ticket, answer)),
            None => self.gathered(now_us),
        }
    }

    /// Takes a vote into the open tick, or says why not. The ack comes once the log has it, if it has an id; a user's second
    /// vote in a poll changes nothing and is answered as the first.
    pub(in crate::room) fn vote(
        &mut self,
        from: ConnRef,
        user: &User,
        vote: VoteRequest,
        now_us: u64,
        out: &mut Vec<Effect>,
    ) {
        let VoteRequest { id, poll, option } = vote;
        let refuse = |code, text| Some(answer(from, id.clone(), &Forbidden { code, text, after_ms: 0 }));
        let board = self.core.board();
        let is_exempt = matches!(user.role, Role::Moderator | Role::Host);
        let refused = match board.open_poll(&poll) {
            _ if !is_exempt && let Err(forbidden) = allows(self.in_force(), Allowed::Vote) => {
                Some(answer(from, id.clone(), &forbidden))
            }
            None => refuse(ErrorCode::PollClosed, CLOSED),
            Some(open) if usize::from(option) >= open.options.len() => {
                refuse(ErrorCode::NoSuchOption, "the poll does not have that option")
            }
            Some(_) => match board.voted(&user.id) {
                Voted::New => None,
                Voted::Full => refuse(ErrorCode::PollFull, FULL),
                Voted::At(offset) => return out.extend(id.map(|id| ack(from, id, offset))),
            },
        };
        if let Some(refused) = refused {
            return out.push(refused);
        }
        let sender = Sender { from, id: id.clone() };
        let after_ms = if self.is_log_slow(now_us) {
            STORAGE_RETRY_MS
        } else if self.posting.vote(&user.id, poll, option, sender) {
            return self.gathered(now_us);
        } else {
            self.tick_ms()
        };
        let text = "the vote was not taken; send it again later";
        out.push(answer(from, id, &Forbidden { code: ErrorCode::Overloaded, text, after_ms }));
    }

    /// The batch in flight is in the log, as `records`: `comments` viewers' comments, then posts, votes and likes.
    pub(super) fn arrived(&mut self, records: &[Record], comments: usize, out: &mut Vec<Effect>) {
        let posts = records.iter().skip(comments).take(self.posting.flying_posts());
        let offsets: Vec<_> = posts.map(|record| record.offset).collect();
        let (answers, votes) = self.posting.arrived(&offsets, &self.core);
        for (ticket, answer) in answers {
            out.push(self.posted(ticket, answer));
        }
        for Cast { poll, user, senders } in votes {
            let board = self.core.board();
            let counted = board.open_poll(&poll).map(|_| board.voted(&user));
            for Sender { from, id } in senders {
                let refuse = |code, text| answer(from, id.clone(), &Forbidden { code, text, after_ms: 0 });
                out.extend(match counted {
                    Some(Voted::At(offset)) => id.clone().map(|id| ack(from, id, offset)),
                    Some(Voted::Full) => Some(refuse(ErrorCode::PollFull, FULL)),
                    // It was closed before the log had the vote.
                    Some(Voted::New) | None => Some(refuse(ErrorCode::PollClosed, CLOSED)),
                });
            }
        }
    }

    /// The batch in flight is surely not in the log.
    pub(super) fn posts_failed(&mut self, error: AppendError, out: &mut Vec<Effect>) {
        self.guard.forgive();
        let (tickets, votes) = self.posting.failed();
        let (refused, code, after_ms) = match error {
            AppendError::Overloaded => {
                let retry_ms = self.tick_ms();
                (PostError::Overloaded { retry_ms }, ErrorCode::Overloaded, retry_ms)
            }
            AppendError::Unavailable | AppendError::Closed => {
                (PostError::Unavailable, ErrorCode::StorageUnavailable, STORAGE_RETRY_MS)
            }
        };
        out.extend(tickets.into_iter().map(|ticket| Effect::Posted { ticket, result: Err(refused) }));
        let failed = Forbidden { code, text: "the vote could not be stored", after_ms };
        let senders = votes.into_iter().flat_map(|vote| vote.senders);
        out.extend(senders.map(|Sender { from, id }| answer(from, id, &failed)));
    }

    /// Users that slow mode had to forget too early since this was last asked.
    pub fn slow_forgotten(&mut self) -> u64 {
        self.guard.take_forgotten()
    }

    /// What no longer stands because of a bound, and combos that were cut, since this was last asked.
    pub fn dropped(&mut self) -> (Dropped, u64) {
        self.core.take_dropped()
    }

    /// The settings by which the open tick's events are judged: those that will be in force when the log has them.
    pub(super) fn in_force(&self) -> &Arc<RoomSettings> {
        self.core.board().timeline().newest()
    }

    /// Whether viewers may like here.
    pub(super) fn may_like(&self) -> Result<(), Forbidden> {
        allows(self.in_force(), Allowed::Like)
    }

    /// Whether a comment of so long ago would still be on its way.
    pub(super) fn is_log_slow(&self, now_us: u64) -> bool {
        self.in_flight.is_some() && now_us.saturating_sub(self.flying_since_us) > APPEND_SLOW_US
    }

    /// Takes up the tick of the settings in force, if it is not the grid's: from now on slots are those of the new one.
    pub(super) fn keep_pace(&mut self, now_us: u64) {
        let tick_us = tick_us(&self.settings, self.in_force());
        if tick_us != self.grid.tick_us {
            self.grid = Grid::new(self.handle.key, tick_us, self.settings.tick_groups);
            let grid = &self.grid;
            self.framed_slot = self.framed_slot.map(|_| grid.slot(now_us));
            self.append_due_us = self.append_due_us.map(|due_us| due_us.min(grid.next_us(now_us)));
            self.tails.clear(); // They tell the tick.
        }
    }

    /// A deletion is done when nobody who comes after the answer sees the text, which is so with the next frame.
    pub(super) fn hold_back(&mut self, begin: usize, out: &mut Vec<Effect>) {
        if !self.redacts.is_empty() {
            self.held.extend(out.drain(begin..));
        }
    }

    fn posted(&self, ticket: u64, answer: Answer) -> Effect {
        let epoch = self.core.epoch();
        Effect::Posted { ticket, result: answer.map(|offsets| Posted { epoch, offsets }) }
    }
}

const CLOSED: &str = "there is no such poll, or it is closed";
const FULL: &str = "the poll counts no more people";

/// The tick in force: to the microsecond, unless the owner changed it.
pub(super) fn tick_us(settings: &super::Settings, in_force: &RoomSettings) -> u64 {
    if in_force.tick_ms == settings.room.tick_ms { settings.tick_us } else { in_force.tick_ms * 1_000 }
}

fn ack(to: ConnRef, id: ClientId, offset: Offset) -> Effect {
    let ack = Ack { id, offset, outcome: Outcome::Shown, into: None };
    Effect::Reply { to, message: ServerMessage::Ack(ack) }
}

/// The answer to what the room does not take.
pub(super) fn answer(to: ConnRef, id: Option<ClientId>, forbidden: &Forbidden) -> Effect {
    let Forbidden { code, text, after_ms } = *forbidden;
    let retry_after_ms = (after_ms > 0).then_some(after_ms);
    Effect::Reply { to, message: ServerMessage::Error(ErrorMessage { id, code, message: text.into(), retry_after_ms }) }
}
