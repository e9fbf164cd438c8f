//! A room's actor: gathers a tick's batch, appends it, applies what the log delivers, frames it.
//!
//! It runs on the room's home shard, whenever that calls it, and does no I/O but the log's. Comments and
//! likes wait here for the tick; at a grid point they go to the log as one batch; what comes back is
//! applied, acknowledged and framed. At most one batch is in flight: a slow log makes larger batches, not
//! more of them. At most one frame goes out per slot of the grid.
//!
//! Does not know: sockets, shards, tokio, configuration files, how a message reaches a connection.

mod batch;
mod coming;
mod deliveries;
mod effect;
mod grid;
mod guard;
mod log_clock;
mod pending;
mod posting;
mod posts;
mod publish;
mod settings;
mod telling;
pub mod unique;
mod upkeep;

pub use effect::Effect;
pub use settings::Settings;

use crate::faults::{fail_point, planted, reset};
use crate::limits::OFFSET_MAX;
use crate::log::{Log, OpenError, Ticket};
use crate::policy::rate::Gcra;
use crate::policy::said::Said;
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::{Comment, Event};
use crate::protocol::ids::{Hex64, Offset};
use crate::protocol::local::{ConnRef, RoomKey};
use crate::room::core::select::Fate;
use crate::room::core::window::{Mark, Seen};
use crate::room::core::{Core, CoreSettings};
use crate::room::past::replay::replay;
use crate::room::registry::RoomHandle;
use crate::room::welcome::WelcomeTail;
use deliveries::Deliveries;
use effect::{refusal, repeated};
use grid::{Grid, spread_us};
use guard::Guard;
use log_clock::LogClock;
use pending::{Pending, Sender, Taken, Waiting};
use posting::Posting;
use std::collections::HashSet;
use std::sync::Arc;
use unique::Unique;
use upkeep::Upkeep;

/// See the module's page.
pub struct Actor {
    handle: Arc<RoomHandle>,
    log: Arc<dyn Log>,
    settings: Settings,
    grid: Grid,
    /// The setting, less up to a tick, for each room another: rooms that fell silent together do not all speak at one moment.
    heartbeat_us: u64,
    deliveries: Arc<Deliveries>,
    core: Core,
    comment_bucket: Gcra,
    like_bucket: Gcra,

    /// The open tick: comments in order of arrival, and who waits for each.
    events: Vec<Event>,
    waiting: Vec<Waiting>,
    likes: u64,
    /// When the open tick ends; `None` while nothing waits.
    append_due_us: Option<u64>,

    /// The batch in flight, if there is one.
    in_flight: Option<Ticket>,
    flying: Vec<Waiting>,
    flying_likes: u64,
    /// Something was taken back that no frame has told yet, and who waits to hear that it is done.
    redacts: Vec<Offset>,
    held: Vec<Effect>,
    flying_since_us: u64,
    log_clock: LogClock,
    /// How far the wall clock was before the monotonic one when that was last told; `None`: never yet.
    wall_ahead_us: Option<i64>,
    tickets: Ticket,
    /// Ids of the open tick and of the batch in flight.
    pending: Pending,
    /// Posts and votes of both.
    posting: Posting,
    guard: Guard,

    /// Who has watched since the room was opened, what frames told of it, and when they may tell it again.
    unique: Unique,
    unique_told: u64,
    unique_from_us: u64,
    /// Whose first comment is in the open tick, and in the batch in flight.
    new: HashSet<Arc<str>>,
    flying_new: HashSet<Arc<str>>,

    /// The slot of the last frame.
    framed_slot: Option<u64>,
    /// Since when nothing was published (or nobody was there to read it).
    quiet_since_us: u64,
    /// Since when nobody is present; `None` while somebody is.
    idle_since_us: Option<u64>,
    /// Not before this is an expired room worth another wake.
    expiry_asked_us: u64,
    /// The welcomes of this moment, by how many events they show.
    tails: Vec<(usize, Arc<WelcomeTail>)>,
    ticks_late: u64,
    append_failures: u64,
    /// Deletions of what is so old that not all is known that it stood for.
    deletions_in_part: u64,
    upkeep: Upkeep,
}

/// The retry hint when the log's storage fails: storage that stalls takes about this long to come back, and
/// sooner retries would only add to its work.
const STORAGE_RETRY_MS: u64 = 1_000;

/// An expired room that is still claimed (somebody is on the way) looks again after this long.
const EXPIRY_RETRY_US: u64 = 1_000_000;

impl Actor {
    /// Opens the room's log and replays what is needed of it; waits for the log's device. `waker` is called when a delivery arrives while the
    /// actor is not at work, from whatever thread.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing is open.
    pub fn open(
        handle: Arc<RoomHandle>,
        log: Arc<dyn Log>,
        settings: Settings,
        waker: Arc<dyn Fn(RoomKey) + Send + Sync>,
        now_us: u64,
    ) -> Result<Self, OpenError> {
        let deliveries = Arc::new(Deliveries::new(handle.key, waker));
        let opened = log.open(&handle.id, deliveries.clone())?;
        let Settings { frame_events_max, snapshot_events, counters_us, .. } = settings;
        let epoch = Hex64(reset!(opened.head.epoch.0));
        let mut core = Core::new(
            CoreSettings { frame_events_max, snapshot_events, counters_us, room: settings.room.clone() },
            epoch,
        );
        if let Err(error) = replay(&mut core, &*log, &handle.id, &opened) {
            log.close(&handle.id);
            return Err(error);
        }
        let tick_us = posts::tick_us(&settings, core.board().timeline().newest());
        let log_clock = LogClock::new(core.board().now_ms());
        let actor = Self {
            grid: Grid::new(handle.key, tick_us, settings.tick_groups),
            heartbeat_us: settings.heartbeat_us
                - spread_us(handle.key, settings.tick_us.min(settings.heartbeat_us / 8)),
            deliveries,
            core,
            comment_bucket: Gcra::default(),
            like_bucket: Gcra::default(),
            events: Vec::new(),
            waiting: Vec::new(),
            likes: 0,
            append_due_us: None,
            in_flight: None,
            flying: Vec::new(),
            flying_likes: 0,
            redacts: Vec::new(),
            held: Vec::new(),
            flying_since_us: 0,
            log_clock,
            wall_ahead_us: None,
            tickets: 0,
            pending: Pending::default(),
            posting: Posting::default(),
            guard: Guard::default(),
            unique: Unique::default(),
            unique_told: 0,
            unique_from_us: 0,
            new: HashSet::new(),
            flying_new: HashSet::new(),
            framed_slot: None,
            quiet_since_us: now_us,
            idle_since_us: Some(now_us),
            expiry_asked_us: 0,
            tails: Vec::new(),
            ticks_late: 0,
            append_failures: 0,
            deletions_in_part: 0,
            upkeep: Upkeep::new(settings.retention, now_us),
            handle,
            log,
            settings,
        };
        actor.handle.figures.show(&actor.core);
        Ok(actor)
    }

    /// Takes what a client said into the open tick, or says why not.
    pub fn take(&mut self, from: ConnRef, said: Said, now_us: u64, out: &mut Vec<Effect>) {
        match said {
            Said::Comment(comment) => self.comment(from, *comment, now_us, out),
            Said::Like(count) => self.like(from, count, now_us, out),
            Said::Vote(vote) => self.vote(from, &vote.0, vote.1, now_us, out),
        }
    }

    /// Takes a comment into the open tick, or says why not. The ack comes once the log has it, if it has an id. One
    /// that the log has already (a retry) is answered with the first one's place and stored no second time.
    pub(super) fn comment(&mut self, from: ConnRef, comment: Comment, now_us: u64, out: &mut Vec<Effect>) {
        let mark = Mark::of(&comment);
        if let (Some(mark), Some(id)) = (&mark, &comment.id) {
            let seen = self.core.seen(mark);
            if seen != Seen::New {
                return out.push(repeated(from, id.clone(), seen));
            }
            let waiting = [(self.tickets + 1, &mut self.waiting), (self.tickets, &mut self.flying)];
            match self.pending.join(mark, from, waiting) {
                Taken::New => {}
                Taken::Waits => return,
                Taken::Conflict => return out.push(repeated(from, id.clone(), Seen::Conflict { offset: 0 })),
            }
        }
        if let Err(forbidden) = self.guard.comment(self.in_force(), &comment, now_us) {
            return out.push(posts::answer(from, comment.id, &forbidden));
        }
        if self.events.len() >= self.settings.batch_events_max {
            let after_ms = self.tick_ms();
            return out.push(refusal(from, comment.id, ErrorCode::Overloaded, "the room's tick is full", after_ms));
        }
        if self.is_log_slow(now_us) {
            let text = "the log is slow; the comment was not taken";
            return out.push(refusal(from, comment.id, ErrorCode::Overloaded, text, STORAGE_RETRY_MS));
        }
        if let Some(rate) = self.settings.comment_rate
            && let Err(wait) = self.comment_bucket.check(rate, now_us, 1)
        {
            out.push(refusal(
                from,
                comment.id,
                ErrorCode::RateLimited,
                "the room gets too many comments",
                wait.ms().unwrap_or(0),
            ));
            return;
        }
        self.guard.took(self.core.board().timeline().newest(), &comment, now_us);
        if let Some(mark) = &mark {
            self.pending.insert(mark, self.tickets + 1, self.waiting.len());
        }
        if planted!("ack_before_append")
            && let Some(id) = &comment.id
        {
            let offset = self.core.last() + (self.flying.len() + self.events.len()) as u64 + 1;
            out.push(repeated(from, id.clone(), Seen::Same { offset, fate: Fate::Shown }));
        }
        self.waiting.push(Waiting::new(mark, Sender { from, id: comment.id.clone() }));
        let first = self.is_first(&comment.user.id);
        self.events.push(Event::Comment(Comment { first, ..comment }));
        self.gathered(now_us);
        fail_point!("batched");
    }

    /// Whether a comment of this user that goes to the log now is the first that the room knows of.
    fn is_first(&mut self, user: &Arc<str>) -> bool {
        self.core.is_new_speaker(user) && !self.flying_new.contains(user) && self.new.insert(user.clone())
    }

    /// Adds likes to the open tick, or says why not.
    pub(super) fn like(&mut self, from: ConnRef, count: u64, now_us: u64, out: &mut Vec<Effect>) {
        if count == 0 {
            return;
        }
        if let Err(forbidden) = self.may_like() {
            return out.push(posts::answer(from, None, &forbidden));
        }
        if let Some(rate) = self.settings.like_rate
            // More than the burst counts as the whole burst: no message is impossible for ever.
            && let Err(wait) = self.like_bucket.check(rate, now_us, count.min(u64::from(rate.burst)))
        {
            out.push(refusal(
                from,
                None,
                ErrorCode::RateLimited,
                "the room gets too many likes",
                wait.ms().unwrap_or(0),
            ));
            return;
        }
        self.likes = self.likes.saturating_add(count).min(OFFSET_MAX);
        self.gathered(now_us);
    }

    /// Somebody came or went. What follows from it (a frame of counters, the expiry) shows in
    /// [`Actor::due_us`].
    pub fn presence_changed(&mut self, now_us: u64) {
        if self.handle.online() == 0 {
            self.idle_since_us.get_or_insert(now_us);
        } else if self.idle_since_us.take().is_some() {
            self.quiet_since_us = now_us; // A heartbeat's silence is counted from when somebody listens.
        }
    }

    /// When [`Actor::run`] wants to be called next; `None`: not until something happens. Ask after every
    /// call of another method.
    pub fn due_us(&self) -> Option<u64> {
        if !self.deliveries.is_empty() {
            return Some(0);
        }
        let slot_us = self.framed_slot.map_or(0, |slot| self.grid.start_us(slot + 1));
        let online = self.handle.online();
        let watched = online > 0;
        let append = self.append_due_us.filter(|_| self.in_flight.is_none());
        let frame = self.core.is_dirty().then_some(slot_us);
        let counters = self.core.counters_due_us(online).filter(|_| watched);
        let slot_us =
            if self.in_flight.is_some() { slot_us.max(self.grid.next_us(self.flying_since_us)) } else { slot_us };
        let counters = counters.map(|due_us| self.grid.at_or_after_us(due_us.max(self.quiet_since_us)).max(slot_us));
        let heartbeat = watched.then(|| self.quiet_since_us.saturating_add(self.heartbeat_us));
        let expiry = self.expiry_us().map(|due_us| due_us.max(self.expiry_asked_us));
        [append, frame, counters, heartbeat, expiry].into_iter().flatten().min()
    }

    /// Does what is due: takes deliveries, ends the tick, sends the heartbeat. `wall_ms` is carried; what it decides is what
    /// [`LogClock`] makes of it.
    pub fn run(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        self.deliveries.attend();
        self.told_the_wall(now_us, wall_ms);
        self.presence_changed(now_us);
        self.take_deliveries(now_us, out);
        if self.in_flight.is_none()
            && let Some(due_us) = self.append_due_us
            && due_us <= now_us
        {
            self.ticks_late += u64::from(now_us - due_us > self.grid.tick_us);
            self.append(now_us, wall_ms, out);
        }
        // Counters alone do not take the slot of a batch that is in flight since it began: its frame has them.
        let slot = self.grid.slot(now_us);
        let is_kept = self.in_flight.is_some() && slot == self.grid.slot(self.flying_since_us) && !self.core.is_dirty();
        if !is_kept && self.framed_slot.is_none_or(|framed| framed < slot) {
            self.frame(now_us, wall_ms, out);
        }
        if self.handle.online() > 0 && now_us >= self.quiet_since_us.saturating_add(self.heartbeat_us) {
            self.heartbeat(now_us, wall_ms, out);
        }
        self.keep_pace(now_us);
        if self.is_expired(now_us) {
            self.expiry_asked_us = now_us.saturating_add(EXPIRY_RETRY_US);
        }
        self.deliveries.leave();
    }

    /// Ends the tick now, off the grid: for a drain. What a slow log delivers later still needs
    /// [`Actor::run`] or another flush; see [`Actor::is_settled`].
    pub fn flush(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        self.deliveries.attend();
        self.told_the_wall(now_us, wall_ms);
        self.take_deliveries(now_us, out);
        if self.in_flight.is_none() && self.append_due_us.is_some() {
            self.append(now_us, wall_ms, out);
        }
        self.core.hurry();
        self.frame(now_us, wall_ms, out);
        if self.in_flight.is_some() {
            self.core.hurry(); // Nor do the likes and votes of the last batch wait once they are in the log.
        }
        self.deliveries.leave();
    }

    /// Whether nothing is gathered, in flight, delivered or applied that a frame is to tell at once.
    pub fn is_settled(&self) -> bool {
        self.append_due_us.is_none() && self.in_flight.is_none() && self.deliveries.is_empty() && !self.core.is_dirty()
    }

    /// Whether nobody was present for `idle_us` and nothing is pending.
    pub fn is_expired(&self, now_us: u64) -> bool {
        self.expiry_us().is_some_and(|due_us| due_us <= now_us)
    }

    /// Closes the room's log.
    pub fn close(self) {
        self.log.close(&self.handle.id);
    }

    /// Ticks that ran more than one tick late since last asked.
    pub fn ticks_late(&mut self) -> u64 {
        std::mem::take(&mut self.ticks_late)
    }

    /// Batches that the log did not take since this was last asked.
    pub fn append_failures(&mut self) -> u64 {
        std::mem::take(&mut self.append_failures)
    }

    /// Deletions since this was last asked that may have left equal comments in the log.
    pub fn deletions_in_part(&mut self) -> u64 {
        std::mem::take(&mut self.deletions_in_part)
    }

    fn tick_ms(&self) -> u64 {
        self.grid.tick_us.div_ceil(1_000)
    }

    fn expiry_us(&self) -> Option<u64> {
        let since_us = self.idle_since_us.filter(|_| self.is_settled() && self.handle.online() == 0)?;
        Some(since_us.saturating_add(self.settings.idle_us))
    }

    fn gathered(&mut self, now_us: u64) {
        self.append_due_us.get_or_insert_with(|| self.grid.next_us(now_us));
        if let Some(since_us) = &mut self.idle_since_us {
            *since_us = now_us;
        }
    }
}
