//! The room actors that live on one shard, and when each wants to run.
//!
//! Nothing here waits for the log's device: the log threads open rooms and make pages, and connections that came
//! meanwhile wait in a bounded line. Each room says when it wants to run, so rooms in which nothing happens cost nothing.

mod arrivals;
pub(super) mod refusals;
#[cfg(test)]
mod tests;

use self::refusals::{reply, turn_away};
use super::log_pool::{Job, LogPool};
use super::mail::{Mail, PageMade, RoomOpened, Waker};
use super::opening_rooms::{OpeningRooms, Wait};
use super::page_cache::{PageCache, PageKey};
use super::post_mail::PendingPosts;
use crate::clock;
use crate::metrics::{ForgottenMetrics, RoomMetrics, RoomRefusals, add_each};
use crate::protocol::codes::ErrorCode;
use crate::protocol::local::{ConnRef, RoomKey};
use crate::protocol::message::{ResumeFailure, ServerMessage};
use crate::protocol::page::EncodedPage;
use crate::room::actor::{Actor, Effect};
use crate::room::registry::{Registry, RoomHandle};
use crate::shard::tenant::{Cx, ShardCommand};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One actor, and what this shard remembers about it.
struct Home {
    actor: Actor,
    room: Arc<RoomHandle>,
    /// Its entry in `due`.
    due_us: Option<u64>,
    /// The figures that were last added to the metrics.
    told: ToldFigures,
}

/// Totals of [`crate::room::registry::RoomFigures`] at one moment.
#[derive(Clone, Copy, Default)]
struct ToldFigures {
    comments: u64,
    likes: u64,
    /// By class of comment.
    shed: [u64; 5],
    merged: [u64; 5],
    frames: u64,
    encodes: [u64; 3],
}

/// All actors of one shard. Bounded by the registry.
pub(super) struct ShardRooms {
    homes: HashMap<RoomKey, Home>,
    due: BTreeSet<(u64, u64, RoomKey)>,
    openings: OpeningRooms,
    failed: FailedRooms,
    pages: PageCache,
    posts: PendingPosts,
    registry: Arc<Registry>,
    log_pool: LogPool,
    waker: Waker,
    counters: RoomCounters,
    effects: Vec<Effect>,
    /// The wall clock's reading, and the cycle in which it was read.
    wall: (u64, u64),
    /// How often a room was run, for the tests: the metric cannot be read back.
    #[cfg(test)]
    wakes: u64,
    /// The process stops, and no new operations are taken.
    draining: bool,
}

/// Rooms that could not be opened. They leave the registry when no connection claims them any more, which is looked at
/// from `sweep_us` on.
#[derive(Default)]
struct FailedRooms {
    rooms: Vec<Arc<RoomHandle>>,
    sweep_us: u64,
}

impl FailedRooms {
    fn add(&mut self, room: Arc<RoomHandle>, now_us: u64) {
        self.rooms.push(room);
        self.sweep_us = now_us.saturating_add(SWEEP_US);
    }

    fn due_us(&self) -> Option<u64> {
        (!self.rooms.is_empty()).then_some(self.sweep_us)
    }

    /// Looks at each room, if it is time: `is_over` ends the room if it can, or says that it is open again.
    fn sweep(&mut self, now_us: u64, mut is_over: impl FnMut(&Arc<RoomHandle>) -> bool) {
        if self.due_us().is_some_and(|due_us| due_us <= now_us) {
            self.rooms.retain(|room| !is_over(room));
            self.sweep_us = now_us.saturating_add(SWEEP_US);
        }
    }
}

struct RoomCounters {
    rooms: RoomMetrics,
    refusals: RoomRefusals,
    forgotten: ForgottenMetrics,
}

/// Refused connections keep their claim on the room for a second or so.
const SWEEP_US: u64 = 1_500_000;

impl ShardRooms {
    pub(super) fn new(registry: Arc<Registry>, log_pool: LogPool, waker: Waker) -> Self {
        Self {
            homes: HashMap::new(),
            due: BTreeSet::new(),
            openings: OpeningRooms::default(),
            failed: FailedRooms::default(),
            pages: PageCache::default(),
            posts: PendingPosts::default(),
            registry,
            log_pool,
            waker,
            counters: RoomCounters {
                rooms: RoomMetrics::new(),
                refusals: RoomRefusals::new(ErrorCode::ALL.iter().map(|code| code.as_str())),
                forgotten: ForgottenMetrics::new(),
            },
            effects: Vec::new(),
            wall: (u64::MAX, 0),
            #[cfg(test)]
            wakes: 0,
            draining: false,
        }
    }

    /// When the first room wants to run.
    pub(super) fn due_us(&self) -> Option<u64> {
        if self.openings.is_due() {
            return Some(0);
        }
        self.due.first().map(|(due_us, ..)| *due_us).into_iter().chain(self.failed.due_us()).min()
    }

    /// A log thread has opened a room, or could not.
    pub(super) fn opened(&mut self, cx: &mut Cx<'_, Mail>, opened: RoomOpened) {
        let RoomOpened { room, actor } = opened;
        let key = room.key;
        match actor {
            Ok(actor) => {
                let told = figures(&room);
                self.homes.insert(key, Home { actor, room, due_us: None, told });
                self.counters.rooms.rooms.increment(1.0);
                self.openings.opened(key);
                // Also clears the note of viewers who came and left while the room was being opened.
                self.presence(cx, key);
                self.play(cx);
            }
            Err(error) => {
                self.counters.rooms.rooms_refused.increment(1);
                tracing::error!(room = %room.id, %error, "the room's log cannot be opened");
                for wait in self.openings.fail(key) {
                    turn_away(cx, wait);
                }
                self.failed.add(room, cx.now_us);
            }
        }
    }

    /// A connection that catches up needs a page.
    pub(super) fn read(&mut self, cx: &mut Cx<'_, Mail>, to: ConnRef, key: PageKey) {
        let metrics = self.log_pool.metrics();
        if let Some(page) = self.pages.find(key) {
            metrics.pages_known.increment(1);
            return self.hand_out(cx, key.0, vec![to], &Ok(Some(page)));
        }
        if self.pages.wait(key, to) {
            metrics.pages_read.increment(1);
            self.request_pages(cx);
        } else {
            metrics.pages_joined.increment(1);
        }
    }

    /// A log thread has made a page, or could not.
    pub(super) fn made(&mut self, cx: &mut Cx<'_, Mail>, made: PageMade) {
        let PageMade { room, after, variant, page } = made;
        self.arrived(cx, (room, after, variant), &page.map(Some));
        self.request_pages(cx);
    }

    fn request_pages(&mut self, cx: &mut Cx<'_, Mail>) {
        while let Some(key) = self.pages.next() {
            let (room, after, variant) = key;
            let home = self.homes.get(&room);
            let request = home.and_then(|home| Some((home, home.actor.page_request(after, variant)?)));
            let Some((home, request)) = request else {
                self.arrived(cx, key, &Ok(None));
                continue;
            };
            if self.log_pool.submit(Job::Page { room: home.room.clone(), request: Box::new(request) }).is_err() {
                self.arrived(cx, key, &Err(ResumeFailure::Unavailable));
            }
        }
    }

    fn arrived(&mut self, cx: &mut Cx<'_, Mail>, key: PageKey, page: &Page) {
        let waiting = self.pages.arrived(key, page);
        self.hand_out(cx, key.0, waiting, page);
    }

    fn hand_out(&self, cx: &mut Cx<'_, Mail>, room: RoomKey, waiting: Vec<ConnRef>, page: &Page) {
        let online = self.homes.get(&room).map_or(0, |home| home.room.online());
        for to in waiting {
            cx.commands
                .push(ShardCommand::Mail { shard: to.shard, mail: Mail::Page { to, page: page.clone(), online } });
        }
    }

    /// A connection left `room`.
    pub(super) fn presence(&mut self, cx: &mut Cx<'_, Mail>, room: RoomKey) {
        let Some(home) = self.homes.get(&room) else { return };
        // Cleared first: a connection that leaves after this sends a new mail.
        home.room.presence_dirty.store(false, Ordering::Release);
        let now_us = cx.now_us;
        self.with(cx, room, |actor, _| actor.presence_changed(now_us));
    }

    /// Runs every actor that is due.
    pub(super) fn run_due(&mut self, cx: &mut Cx<'_, Mail>) {
        let Self { failed, homes, openings, registry, .. } = self;
        failed.sweep(cx.now_us, |room| {
            // A room that is open or being opened again must not be ended here.
            homes.contains_key(&room.key) || openings.holds(room.key) || registry.expire(room)
        });
        while let Some(&(due_us, _, key)) = self.due.first() {
            if due_us > cx.now_us {
                return;
            }
            self.run(cx, key);
            // A room that is due again (a delivery came meanwhile) has its turn in the next cycle, after the others.
            if self.due.first().is_some_and(|(.., next)| *next == key) {
                return;
            }
        }
    }

    /// Runs every actor. Used when wake-ups were lost, so that it is not known which actors are due.
    pub(super) fn run_all(&mut self, cx: &mut Cx<'_, Mail>) {
        let keys: Vec<RoomKey> = self.homes.keys().copied().collect();
        keys.into_iter().for_each(|key| self.run(cx, key));
    }

    /// Runs the actor of `key`, and ends it when the room has no viewers, posts or grace time left.
    pub(super) fn run(&mut self, cx: &mut Cx<'_, Mail>, key: RoomKey) {
        let now_us = cx.now_us;
        let began_us = clock::now_us();
        #[cfg(test)]
        {
            self.wakes += 1;
        }
        self.counters.rooms.wakes.increment(1);
        let frames = self.homes.get(&key).map_or(0, |home| home.told.frames);
        let wall_ms = self.wall_ms(now_us);
        self.with(cx, key, |actor, out| actor.run(now_us, wall_ms, out));
        let Some(home) = self.homes.get_mut(&key) else { return };
        self.counters.rooms.ticks_late.increment(home.actor.ticks_late());
        self.counters.rooms.log_append_failures.increment(home.actor.append_failures());
        self.counters.forgotten.slow_mode.increment(home.actor.slow_forgotten());
        self.counters.forgotten.deletions_in_part.increment(home.actor.deletions_in_part());
        let (dropped, combos) = home.actor.dropped();
        self.counters.forgotten.standing_dropped([dropped.announcements, dropped.sticky, dropped.tallies, combos]);
        if home.told.frames != frames {
            self.counters.rooms.ticks.increment(home.told.frames - frames);
            self.counters.rooms.tick_seconds.record(clock::now_us().saturating_sub(began_us) as f64 / 1e6);
        }
        if home.actor.is_expired(now_us) && self.registry.expire(&home.room) {
            self.end(key);
        }
    }

    /// The wall clock, read once per cycle.
    fn wall_ms(&mut self, now_us: u64) -> u64 {
        if self.wall.0 != now_us {
            self.wall = (now_us, clock::wall_ms());
        }
        self.wall.1
    }

    fn end(&mut self, key: RoomKey) {
        if let Some(home) = self.homes.remove(&key) {
            if let Some(due_us) = home.due_us {
                self.due.remove(&turn(due_us, key));
            }
            home.actor.close();
            self.pages.end(key);
            self.counters.rooms.rooms.decrement(1.0);
        }
    }

    /// The process stops: ends every open tick now, and refuses everything that waits but joins: those connections are
    /// closed with all others, with a hint when to come back.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_, Mail>) {
        self.draining = true;
        for wait in self.openings.empty() {
            if !matches!(wait, Wait::Join(_)) {
                turn_away(cx, wait);
            }
        }
        let keys: Vec<RoomKey> = self.homes.keys().copied().collect();
        let now_us = cx.now_us;
        for key in keys {
            let wall_ms = self.wall_ms(now_us);
            self.with(cx, key, |actor, out| actor.flush(now_us, wall_ms, out));
        }
    }

    /// Calls the actor of a room and carries out its effects; `None` when the room has no actor here.
    pub(super) fn with<T>(
        &mut self,
        cx: &mut Cx<'_, Mail>,
        key: RoomKey,
        work: impl FnOnce(&mut Actor, &mut Vec<Effect>) -> T,
    ) -> Option<T> {
        let home = self.homes.get_mut(&key)?;
        let answer = work(&mut home.actor, &mut self.effects);
        for effect in self.effects.drain(..) {
            match &effect {
                Effect::Redacted => self.pages.redact(key),
                Effect::Reply { message: ServerMessage::Error(error), .. } => {
                    self.counters.refusals.refused(error.code as usize);
                }
                _ => {}
            }
            carry_out(cx, &home.room, effect, &mut self.posts);
        }
        let due_us = home.actor.due_us();
        if due_us != home.due_us {
            if let Some(old) = home.due_us {
                self.due.remove(&turn(old, key));
            }
            if let Some(new) = due_us {
                self.due.insert(turn(new, key));
            }
            home.due_us = due_us;
        }
        let now = figures(&home.room);
        self.counters.rooms.comments.increment(now.comments - home.told.comments);
        self.counters.rooms.likes.increment(now.likes - home.told.likes);
        let more = |now: [u64; 5], told: [u64; 5]| std::array::from_fn(|class| now[class] - told[class]);
        add_each(&self.counters.rooms.shed, more(now.shed, home.told.shed));
        add_each(&self.counters.rooms.merged, more(now.merged, home.told.merged));
        add_each(&self.counters.rooms.encodes, std::array::from_fn(|n| now.encodes[n] - home.told.encodes[n]));
        home.told = now;
        Some(answer)
    }
}

impl Drop for ShardRooms {
    /// The gauge belongs to the process and outlives this node.
    fn drop(&mut self) {
        self.counters.rooms.rooms.decrement(self.homes.len() as f64);
    }
}

/// A room's entry in `due`. All rooms tick at the same instants, and the last one waits for all others, so the order
/// within an instant is shuffled from tick to tick.
fn turn(due_us: u64, key: RoomKey) -> (u64, u64, RoomKey) {
    (due_us, (key.0 ^ due_us).wrapping_mul(0x9e37_79b9_7f4a_7c15), key)
}

fn figures(room: &RoomHandle) -> ToldFigures {
    let f = &room.figures;
    ToldFigures {
        comments: f.comments.load(Ordering::Relaxed),
        likes: f.likes.load(Ordering::Relaxed),
        shed: f.shed_by_class.each_ref().map(|n| n.load(Ordering::Relaxed)),
        merged: f.merged_by_class.each_ref().map(|n| n.load(Ordering::Relaxed)),
        frames: f.frames.load(Ordering::Relaxed),
        encodes: std::array::from_fn(|n| f.encodes[n].load(Ordering::Relaxed)),
    }
}

fn carry_out(cx: &mut Cx<'_, Mail>, room: &RoomHandle, effect: Effect, posts: &mut PendingPosts) {
    match effect {
        Effect::Frame { frame } => {
            let shards = u16::try_from(room.shards()).unwrap_or(u16::MAX);
            for shard in (0..shards).filter(|shard| room.is_present(*shard)) {
                cx.commands.push(ShardCommand::Frame { shard, frame: frame.clone() });
            }
        }
        Effect::Redacted => {}
        Effect::Reply { to, message } => reply(cx, to, message),
        Effect::Posted { ticket, result } => posts.answer(ticket, result),
    }
}

type Page = Result<Option<Arc<EncodedPage>>, ResumeFailure>;
