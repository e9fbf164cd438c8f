//! The room actors that live on one shard, and when each wants to run.

use super::mail::{Joined, Mail, Newcomer};
use crate::clock;
use crate::log::{Log, OpenError};
use crate::metrics::RoomMetrics;
use crate::protocol::ids::{Epoch, Offset};
use crate::protocol::local::{ConnRef, RoomKey};
use crate::protocol::message::ServerMessage;
use crate::room::actor::{Actor, Effect, Settings};
use crate::room::registry::{Registry, RoomHandle};
use crate::shard::tenant::{Command, Cx};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Wakes a room's actor when its log delivers from another thread.
pub(super) type Waker = Arc<dyn Fn(RoomKey) + Send + Sync>;

/// One actor, and what is remembered about it here.
struct Home {
    actor: Actor,
    room: Arc<RoomHandle>,
    /// Its entry in `due`.
    due_us: Option<u64>,
    /// What its figures were when they were last added to the metrics.
    told: Figures,
}

/// Totals of [`crate::room::registry::RoomFigures`] at one moment.
#[derive(Clone, Copy, Default)]
struct Figures {
    comments: u64,
    likes: u64,
    shed: u64,
    frames: u64,
}

/// All actors of one shard. Bounded by the registry.
pub(super) struct Homes {
    homes: HashMap<RoomKey, Home>,
    due: BTreeSet<(u64, RoomKey)>,
    registry: Arc<Registry>,
    log: Arc<dyn Log>,
    settings: Settings,
    waker: Waker,
    metrics: RoomMetrics,
    effects: Vec<Effect>,
}

impl Homes {
    pub(super) fn new(registry: Arc<Registry>, log: Arc<dyn Log>, settings: Settings, waker: Waker) -> Self {
        Self {
            homes: HashMap::new(),
            due: BTreeSet::new(),
            registry,
            log,
            settings,
            waker,
            metrics: RoomMetrics::new(),
            effects: Vec::new(),
        }
    }

    /// When the first of them wants to run.
    pub(super) fn due_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }

    /// Lets a newcomer in, opening the room if this is its first one.
    pub(super) fn join(&mut self, cx: &mut Cx<'_, Mail>, who: Newcomer, resume: Option<(Epoch, Offset)>) {
        let key = who.room.key;
        if !self.homes.contains_key(&key)
            && let Err(error) = self.open(&who.room, cx.now_us)
        {
            self.metrics.rooms_refused.increment(1);
            tracing::error!(room = %who.room.id, %error, "the room's log cannot be opened");
            cx.commands.push(Command::Mail { shard: who.to.shard, mail: Mail::Refused { to: who.to } });
            return;
        }
        let (to, encoding, now_us) = (who.to, who.encoding, cx.now_us);
        let mut who = Some(who);
        self.call(cx, key, |actor, out| actor.join(to, encoding, resume, now_us, out), &mut who);
    }

    fn open(&mut self, room: &Arc<RoomHandle>, now_us: u64) -> Result<(), OpenError> {
        let actor = Actor::open(room.clone(), self.log.clone(), self.settings.clone(), self.waker.clone(), now_us)?;
        let told = figures(room);
        self.homes.insert(room.key, Home { actor, room: room.clone(), due_us: None, told });
        self.metrics.rooms.increment(1.0);
        Ok(())
    }

    /// Calls the actor of `room`; answers `false` when there is none.
    pub(super) fn with(
        &mut self,
        cx: &mut Cx<'_, Mail>,
        room: RoomKey,
        work: impl FnOnce(&mut Actor, &mut Vec<Effect>),
    ) -> bool {
        self.call(cx, room, work, &mut None)
    }

    /// Somebody left `room`.
    pub(super) fn presence(&mut self, cx: &mut Cx<'_, Mail>, room: RoomKey) {
        let Some(home) = self.homes.get(&room) else { return };
        // Cleared first: whoever leaves after this tells us again.
        home.room.presence_dirty.store(false, Ordering::Release);
        let now_us = cx.now_us;
        self.with(cx, room, |actor, _| actor.presence_changed(now_us));
    }

    /// Runs every actor that is due.
    pub(super) fn run_due(&mut self, cx: &mut Cx<'_, Mail>) {
        while let Some(&(due_us, key)) = self.due.first() {
            if due_us > cx.now_us {
                return;
            }
            self.run(cx, key);
            // One that is still due (a delivery came meanwhile) has its turn in the next cycle, after the others.
            if self.due.first().is_some_and(|(_, next)| *next == key) {
                return;
            }
        }
    }

    /// Runs every actor: which of them was to be woken is not known.
    pub(super) fn run_all(&mut self, cx: &mut Cx<'_, Mail>) {
        let keys: Vec<RoomKey> = self.homes.keys().copied().collect();
        keys.into_iter().for_each(|key| self.run(cx, key));
    }

    /// Runs the actor of `key`, and ends it when nobody needs the room any more.
    pub(super) fn run(&mut self, cx: &mut Cx<'_, Mail>, key: RoomKey) {
        let now_us = cx.now_us;
        let began_us = clock::now_us();
        let frames = self.homes.get(&key).map_or(0, |home| home.told.frames);
        self.with(cx, key, |actor, out| actor.run(now_us, clock::wall_ms(), out));
        let Some(home) = self.homes.get_mut(&key) else { return };
        self.metrics.ticks_late.increment(home.actor.ticks_late());
        self.metrics.log_append_failures.increment(home.actor.append_failures());
        if home.told.frames != frames {
            self.metrics.ticks.increment(home.told.frames - frames);
            self.metrics.tick_seconds.record(clock::now_us().saturating_sub(began_us) as f64 / 1e6);
        }
        if home.actor.is_expired(now_us) && self.registry.expire(&home.room) {
            self.end(key);
        }
    }

    fn end(&mut self, key: RoomKey) {
        if let Some(home) = self.homes.remove(&key) {
            if let Some(due_us) = home.due_us {
                self.due.remove(&(due_us, key));
            }
            home.actor.close();
            self.metrics.rooms.decrement(1.0);
        }
    }

    /// Ends every open tick now.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_, Mail>) {
        let keys: Vec<RoomKey> = self.homes.keys().copied().collect();
        let now_us = cx.now_us;
        for key in keys {
            self.with(cx, key, |actor, out| actor.flush(now_us, clock::wall_ms(), out));
        }
    }

    fn call(
        &mut self,
        cx: &mut Cx<'_, Mail>,
        key: RoomKey,
        work: impl FnOnce(&mut Actor, &mut Vec<Effect>),
        who: &mut Option<Newcomer>,
    ) -> bool {
        let Some(home) = self.homes.get_mut(&key) else { return false };
        work(&mut home.actor, &mut self.effects);
        for effect in self.effects.drain(..) {
            carry_out(cx, &home.room, effect, who);
        }
        let due_us = home.actor.due_us();
        if due_us != home.due_us {
            if let Some(old) = home.due_us {
                self.due.remove(&(old, key));
            }
            if let Some(new) = due_us {
                self.due.insert((new, key));
            }
            home.due_us = due_us;
        }
        let now = figures(&home.room);
        self.metrics.comments.increment(now.comments - home.told.comments);
        self.metrics.likes.increment(now.likes - home.told.likes);
        self.metrics.shed.normal.increment(now.shed - home.told.shed);
        home.told = now;
        true
    }
}

impl Drop for Homes {
    /// A node that stops takes its rooms with it; the metrics are the process's and stay.
    fn drop(&mut self) {
        self.metrics.rooms.decrement(self.homes.len() as f64);
    }
}

fn figures(room: &RoomHandle) -> Figures {
    let f = &room.figures;
    Figures {
        comments: f.comments.load(Ordering::Relaxed),
        likes: f.likes.load(Ordering::Relaxed),
        shed: f.shed.load(Ordering::Relaxed),
        frames: f.frames.load(Ordering::Relaxed),
    }
}

fn carry_out(cx: &mut Cx<'_, Mail>, room: &RoomHandle, effect: Effect, who: &mut Option<Newcomer>) {
    match effect {
        Effect::Frame { frame } => {
            let shards = u16::try_from(room.shards()).unwrap_or(u16::MAX);
            for shard in (0..shards).filter(|shard| room.is_present(*shard)) {
                cx.commands.push(Command::Frame { shard, frame: frame.clone() });
            }
        }
        Effect::Reply { to, message } => reply(cx, to, message),
        Effect::Joined { to, last, recovered, reason, tail, catch_up } => {
            let Some(who) = who.take() else { return };
            let joined = Joined { who, last, recovered, reason, tail, catch_up };
            cx.commands.push(Command::Mail { shard: to.shard, mail: Mail::Joined(Box::new(joined)) });
        }
    }
}

/// Answers a connection on whatever shard.
pub(super) fn reply(cx: &mut Cx<'_, Mail>, to: ConnRef, message: ServerMessage) {
    cx.commands.push(Command::Mail { shard: to.shard, mail: Mail::Reply { to, message: Box::new(message) } });
}
