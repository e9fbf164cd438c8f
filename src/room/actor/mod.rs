//! A room's actor: gathers the operations of a tick, appends them as one batch, applies deliveries and makes frames.
//!
//! It runs on the room's home shard and does no I/O but the log's. Operations wait here for the end of the tick. At a
//! grid point they go to the log as one batch, and the delivered batch is applied, acknowledged and framed. At most one
//! batch is in flight, so a slow log causes larger batches, not more of them. At most one frame goes out per slot of
//! the grid.
//!
//! Does not know: sockets, shards, tokio, configuration files, how a message reaches a connection.

mod audience;
mod batch;
mod coming;
mod deliveries;
mod effect;
mod grid;
mod guard;
mod log_clock;
mod pending;
mod posting;
mod presence;
mod publish;
mod redactions;
mod room_log;
mod settings;
mod tick;
pub mod unique;
mod upkeep;
mod welcomes;

pub use effect::{Effect, JoinAnswer};
pub use settings::ActorSettings;

use crate::faults::{fail_point, spoil};
use crate::log::{Log, OpenError};
use crate::policy::said::Said;
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::Comment;
use crate::protocol::ids::{ClientId, Hex64};
use crate::protocol::local::{ConnRef, RoomKey};
use crate::protocol::message::VoteRequest;
use crate::protocol::user::User;
use crate::room::core::board::{Dropped, Voted};
use crate::room::core::select::Fate;
use crate::room::core::window::{Mark, Seen};
use crate::room::core::{Core, CoreSettings};
use crate::room::past::replay::replay;
use crate::room::registry::RoomHandle;
use crate::room::request::PostRequest;
use audience::Audience;
use deliveries::Deliveries;
use effect::{counted, forbidden, refusal, repeated};
use grid::{FrameSlots, Grid, spread_us};
use guard::{Forbidden, Guard, Operation, POLL_FULL};
use log_clock::LogClock;
use pending::{Pending, PendingMatch, Sender, Waiting};
use posting::{Posting, RetryHints};
use presence::Presence;
use redactions::Redactions;
use room_log::RoomLog;
use std::sync::Arc;
use tick::{Flight, Tick};
use upkeep::Upkeep;
use welcomes::Welcomes;

pub struct Actor {
    handle: Arc<RoomHandle>,
    settings: ActorSettings,
    log: RoomLog,
    core: Core,
    guard: Guard,
    tick: Tick,
    flight: Option<Flight>,
    /// Ids of the comments in `tick` and in `flight`.
    pending: Pending,
    /// Posts and votes of both.
    posting: Posting,
    redactions: Redactions,
    presence: Presence,
    audience: Audience,
    slots: FrameSlots,
    welcomes: Welcomes,
    trouble: Trouble,
}

/// Failures since they were last read.
#[derive(Debug, Default)]
struct Trouble {
    /// Ticks that ended more than one tick late.
    ticks_late: u64,
    append_failures: u64,
    /// Deletions of a comment so old that the room does not remember all equal comments folded into it.
    deletions_in_part: u64,
}

/// The retry hint when the log's storage fails, in milliseconds: stalled storage takes about this long to recover, and
/// earlier retries would only add work.
const STORAGE_RETRY_MS: u64 = 1_000;

impl Actor {
    /// Opens the room's log and replays the part that its state follows from; waits for the log's device. `waker` is called,
    /// from any thread, when a delivery arrives while the actor is not at work.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing is open.
    pub fn open(
        handle: Arc<RoomHandle>,
        log: Arc<dyn Log>,
        settings: ActorSettings,
        waker: Arc<dyn Fn(RoomKey) + Send + Sync>,
        now_us: u64,
    ) -> Result<Self, OpenError> {
        let deliveries = Arc::new(Deliveries::new(handle.key, waker));
        let opened = log.open(&handle.id, deliveries.clone())?;
        let ActorSettings { frame_events_max, snapshot_events, counters_us, .. } = settings;
        let epoch = Hex64(spoil!(epoch_reset, opened.head.epoch.0));
        let mut core = Core::new(
            CoreSettings { frame_events_max, snapshot_events, counters_us, room: settings.room.clone() },
            epoch,
        );
        if let Err(error) = replay(&mut core, &*log, &handle.id, &opened) {
            log.close(&handle.id);
            return Err(error);
        }
        let grid = Grid::new(handle.key, settings.tick_us(core.board().timeline().newest()), settings.tick_groups);
        // Shortened by up to a tick, differently for each room, so that rooms that fell silent together do not all send
        // heartbeats at one moment.
        let spread_us = spread_us(handle.key, settings.tick_us.min(settings.heartbeat_us / 8));
        let clock = LogClock::new(core.board().now_ms());
        let upkeep = Upkeep::new(settings.retention, now_us);
        handle.figures.show(&core);
        Ok(Self {
            log: RoomLog { log, deliveries, clock, upkeep },
            core,
            guard: Guard::default(),
            tick: Tick::default(),
            flight: None,
            pending: Pending::default(),
            posting: Posting::default(),
            redactions: Redactions::default(),
            presence: Presence::new(settings.heartbeat_us - spread_us, settings.idle_us, now_us),
            audience: Audience::default(),
            slots: FrameSlots::new(grid),
            welcomes: Welcomes::default(),
            trouble: Trouble::default(),
            handle,
            settings,
        })
    }

    /// Takes an operation of a client into the open tick, or answers why not.
    pub fn take(&mut self, from: ConnRef, said: Said, now_us: u64, out: &mut Vec<Effect>) {
        match said {
            Said::Comment(comment) => self.comment(from, *comment, now_us, out),
            Said::Like(count) => self.like(from, count, now_us, out),
            Said::Vote(vote) => self.vote(from, &vote.0, vote.1, now_us, out),
        }
    }

    /// The ack comes once the log has the comment, if the comment has an id. A retry, whose id the log has already, is
    /// answered with the place of the first copy and not stored again.
    pub(super) fn comment(&mut self, from: ConnRef, comment: Comment, now_us: u64, out: &mut Vec<Effect>) {
        let mark = Mark::of(&comment);
        if let (Some(mark), Some(id)) = (&mark, &comment.id) {
            let seen = self.core.seen(mark);
            if seen != Seen::New {
                return out.push(repeated(from, id.clone(), seen));
            }
            let flight = self.flight.as_mut().map(|flight| (flight.ticket, &mut flight.authors.waiting));
            let batches = [(self.tick.ticket, &mut self.tick.authors.waiting)].into_iter().chain(flight);
            match self.pending.join(mark, from, batches) {
                PendingMatch::New => {}
                PendingMatch::Waits => return,
                PendingMatch::Conflict => return out.push(repeated(from, id.clone(), Seen::Conflict { offset: 0 })),
            }
        }
        if let Err(why) = self.guard.admits(self.core.board(), Operation::Comment(&comment), now_us) {
            return out.push(forbidden(from, comment.id, &why));
        }
        if self.tick.events.len() >= self.settings.batch_events_max {
            let after_ms = self.tick_ms();
            return out.push(refusal(
                from,
                comment.id,
                ErrorCode::Overloaded,
                "too many comments at this moment; send it again later",
                after_ms,
            ));
        }
        if self.is_log_slow(now_us) {
            let text = "the log is slow; send the comment again later";
            return out.push(refusal(from, comment.id, ErrorCode::Overloaded, text, STORAGE_RETRY_MS));
        }
        if let Err(wait_ms) = self.guard.paces_comment(self.settings.comment_rate, now_us) {
            let text = "the room gets more comments than its limit; send it again later";
            return out.push(refusal(from, comment.id, ErrorCode::RateLimited, text, wait_ms));
        }
        self.guard.took(self.core.board().timeline().newest(), &comment, now_us);
        if let Some(mark) = &mark {
            self.pending.insert(mark, self.tick.ticket, self.tick.authors.waiting.len());
        }
        spoil!(ack_before_append => self.ack_early(from, &comment, out));
        let user = &comment.user.id;
        let is_new = self.core.is_new_speaker(user)
            && !self.flight.as_ref().is_some_and(|flight| flight.authors.has_first_of(user));
        let waiting = Waiting::new(mark, Sender { from, id: comment.id.clone() });
        self.tick.push(comment, waiting, is_new);
        self.gathered(now_us);
        fail_point!("batched");
    }

    pub(super) fn like(&mut self, from: ConnRef, count: u64, now_us: u64, out: &mut Vec<Effect>) {
        if count == 0 {
            return;
        }
        if let Err(why) = self.guard.admits(self.core.board(), Operation::Like, now_us) {
            return out.push(forbidden(from, None, &why));
        }
        if let Err(wait_ms) = self.guard.paces_likes(self.settings.like_rate, count, now_us) {
            let text = "the room gets more likes than its limit; send them again later";
            return out.push(refusal(from, None, ErrorCode::RateLimited, text, wait_ms));
        }
        self.tick.add_likes(count);
        self.gathered(now_us);
    }

    /// The ack comes once the log has the vote, if the vote has an id. A user's second vote in a poll changes nothing and is
    /// answered like the first.
    pub(super) fn vote(&mut self, from: ConnRef, user: &User, vote: VoteRequest, now_us: u64, out: &mut Vec<Effect>) {
        let board = self.core.board();
        if let Err(why) = self.guard.admits(board, Operation::Vote(user, &vote), now_us) {
            return out.push(forbidden(from, vote.id, &why));
        }
        let VoteRequest { id, poll, option } = vote;
        match board.voted(&user.id) {
            Voted::New => {}
            Voted::Full => return out.push(forbidden(from, id, &POLL_FULL)),
            Voted::At(offset) => return out.extend(id.map(|id| counted(from, id, offset))),
        }
        let sender = Sender { from, id: id.clone() };
        let after_ms = if self.is_log_slow(now_us) {
            STORAGE_RETRY_MS
        } else if self.posting.vote(&user.id, poll, option, sender) {
            return self.gathered(now_us);
        } else {
            self.tick_ms()
        };
        let text = "the room is overloaded; send the vote again later";
        out.push(forbidden(from, id, &Forbidden { code: ErrorCode::Overloaded, text, after_ms }));
    }

    /// Takes the owner's events into the open tick, all or none. [`Effect::Posted`] with the same `ticket` comes once the log
    /// has them, or at once if it has them already or cannot have them.
    pub fn post(&mut self, ticket: u64, request: PostRequest, now_us: u64, out: &mut Vec<Effect>) {
        let stalled_ms = self.is_log_slow(now_us).then_some(STORAGE_RETRY_MS);
        let pace = RetryHints { tick_ms: self.tick_ms(), stalled_ms };
        match self.posting.post(ticket, request, &self.core, pace) {
            Some(answer) => out.push(self.posted(ticket, answer)),
            None => self.gathered(now_us),
        }
    }

    /// Call when a subscriber came or went. The consequences (a frame of counters, the expiry) show in [`Actor::due_us`].
    pub fn presence_changed(&mut self, now_us: u64) {
        self.presence.changed(self.handle.online(), now_us);
    }

    /// The time of the next call of [`Actor::run`]; `None`: not until something happens. Ask after every call of
    /// another method.
    pub fn due_us(&self) -> Option<u64> {
        if !self.log.deliveries.is_empty() {
            return Some(0);
        }
        let grid = &self.slots.grid;
        let slot_us = self.slots.free_from_us();
        let online = self.handle.online();
        let watched = online > 0;
        let append = self.tick.due_us.filter(|_| self.flight.is_none());
        let frame = self.core.is_dirty().then_some(slot_us);
        let counters = self.core.counters_due_us(online).filter(|_| watched);
        let slot_us = self.flight.as_ref().map_or(slot_us, |flight| slot_us.max(grid.next_us(flight.since_us)));
        let quiet_since_us = self.presence.quiet_since_us();
        let counters = counters.map(|due_us| grid.at_or_after_us(due_us.max(quiet_since_us)).max(slot_us));
        let heartbeat = watched.then(|| self.presence.heartbeat_due_us());
        let expiry = self.expiry_us().map(|due_us| due_us.max(self.presence.expiry_asked_us()));
        [append, frame, counters, heartbeat, expiry].into_iter().flatten().min()
    }

    /// Does the work that is due: takes deliveries, ends the tick, makes frames, sends the heartbeat. `wall_ms` is only
    /// passed on; decisions use the time that [`LogClock`] makes of it.
    pub fn run(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        self.log.deliveries.attend();
        self.log.clock.heard(now_us, wall_ms);
        let online = self.handle.online();
        self.presence.changed(online, now_us);
        self.take_deliveries(now_us, out);
        if self.flight.is_none()
            && let Some(due_us) = self.tick.due_us
            && due_us <= now_us
        {
            self.trouble.ticks_late += u64::from(now_us - due_us > self.slots.grid.tick_us);
            self.append(now_us, wall_ms, out);
        }
        // A frame of counters only does not use up the slot in which the batch in flight began, because the batch's own
        // frame has them.
        let slot = self.slots.grid.slot(now_us);
        let began_now = |flight: &Flight| slot == self.slots.grid.slot(flight.since_us);
        let is_kept = self.flight.as_ref().is_some_and(began_now) && !self.core.is_dirty();
        if !is_kept && self.slots.is_free(slot) {
            self.frame(now_us, wall_ms, out);
        }
        if online > 0 && now_us >= self.presence.heartbeat_due_us() {
            self.heartbeat(now_us, wall_ms, out);
        }
        self.keep_pace(now_us);
        if self.is_expired(now_us) {
            self.presence.expiry_asked(now_us);
        }
        self.log.deliveries.leave();
    }

    /// Ends the tick now, off the grid: for a drain. A delivery that a slow log makes later still needs [`Actor::run`]
    /// or one more flush; see [`Actor::is_settled`].
    pub fn flush(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        self.log.deliveries.attend();
        self.log.clock.heard(now_us, wall_ms);
        self.take_deliveries(now_us, out);
        if self.flight.is_none() && self.tick.due_us.is_some() {
            self.append(now_us, wall_ms, out);
        }
        self.core.hurry();
        self.frame(now_us, wall_ms, out);
        if self.flight.is_some() {
            self.core.hurry(); // The likes and votes of the last batch do not wait either.
        }
        self.log.deliveries.leave();
    }

    /// Whether nothing is gathered, in flight or delivered, and nothing applied waits for a frame.
    pub fn is_settled(&self) -> bool {
        let is_empty = self.tick.due_us.is_none() && self.flight.is_none() && self.log.deliveries.is_empty();
        is_empty && !self.core.is_dirty()
    }

    /// Whether the room had no subscriber for `idle_us` and nothing is pending.
    pub fn is_expired(&self, now_us: u64) -> bool {
        self.expiry_us().is_some_and(|due_us| due_us <= now_us)
    }

    /// Closes the room's log.
    pub fn close(self) {
        self.log.log.close(&self.handle.id);
    }

    /// Ticks that ran more than one tick late since last asked.
    pub fn ticks_late(&mut self) -> u64 {
        std::mem::take(&mut self.trouble.ticks_late)
    }

    /// Batches that the log did not take since this was last asked.
    pub fn append_failures(&mut self) -> u64 {
        std::mem::take(&mut self.trouble.append_failures)
    }

    /// Deletions since this was last asked that may have left equal comments in the log.
    pub fn deletions_in_part(&mut self) -> u64 {
        std::mem::take(&mut self.trouble.deletions_in_part)
    }

    /// Users that slow mode had to forget too early since this was last asked.
    pub fn slow_forgotten(&mut self) -> u64 {
        self.guard.take_forgotten()
    }

    /// Entries of the board that a bound removed, and combos that were cut, since this was last asked.
    pub fn dropped(&mut self) -> (Dropped, u64) {
        self.core.take_dropped()
    }

    /// The planted bug `ack_before_append`.
    fn ack_early(&self, from: ConnRef, comment: &Comment, out: &mut Vec<Effect>) {
        let flying = self.flight.as_ref().map_or(0, |flight| flight.authors.waiting.len());
        let offset = self.core.last() + (flying + self.tick.events.len()) as u64 + 1;
        let acked = |id: &ClientId| repeated(from, id.clone(), Seen::Same { offset, fate: Fate::Shown });
        out.extend(comment.id.as_ref().map(acked));
    }

    fn tick_ms(&self) -> u64 {
        self.slots.grid.tick_us.div_ceil(1_000)
    }

    fn is_log_slow(&self, now_us: u64) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.is_slow(now_us))
    }

    fn expiry_us(&self) -> Option<u64> {
        self.presence.expiry_us().filter(|_| self.is_settled() && self.handle.online() == 0)
    }

    /// Call when the open tick got something: it now has an end.
    fn gathered(&mut self, now_us: u64) {
        self.tick.due_us.get_or_insert_with(|| self.slots.grid.next_us(now_us));
        self.presence.active(now_us);
    }

    /// Changes to the tick of the settings in force.
    fn keep_pace(&mut self, now_us: u64) {
        let tick_us = self.settings.tick_us(self.core.board().timeline().newest());
        if tick_us != self.slots.grid.tick_us {
            let grid = Grid::new(self.handle.key, tick_us, self.settings.tick_groups);
            self.slots.change(grid, now_us);
            self.tick.due_us = self.tick.due_us.map(|due_us| due_us.min(grid.next_us(now_us)));
            self.welcomes.clear(); // They tell the tick.
        }
    }
}
