//! The duty cycle: drain the inbox → the tenant's due work → readable and writable sockets → a slice of the pass →
//! timers → park. Everything here runs on the shard's one thread.

use super::conn::Conn;
use super::handle::{Load, Message, WAKER};
use super::inbox::Inbox;
use super::raw::Sockets;
use super::report::Report;
use super::rooms::Rooms;
use super::tenant::{Command, Cx, Tenant};
use super::wheel::{Hint, Wheel};
use crate::clock;
use crate::limits::{PASS_SLICE_SENDS, READ_BUFFER_BYTES, SPILL_ENTRIES_MAX, SPILL_FRAMES_MAX};
use crate::metrics::ShardMetrics;
use crossbeam::utils::CachePadded;
use mio::{Events, Poll};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Messages taken from the inbox in one cycle; the rest waits until sockets were served.
const INBOX_BATCH: usize = 1_024;

/// Rounds of messages to ourselves in one cycle.
const OWN_ROUNDS: usize = 2;

/// Events taken from one poll.
const EVENTS: usize = 1_024;

/// The longest sleep: the health check sees a duty cycle at least this often.
const PARK_MAX: Duration = Duration::from_millis(500);

/// What a shard is told about its connections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Frames in each room's ring.
    pub ring_frames: usize,
    /// Ping after this much silence.
    pub ping_us: u64,
    /// Close with 4003 after this much.
    pub idle_us: u64,
    /// Close a blocked socket with 4001 when it takes nothing for this long.
    pub stalled_us: u64,
    /// Gaps within a minute that a connection survives.
    pub gaps_max: u32,
    /// Frames that a viewer may be behind for a moment before it gets the lite rendition; at 0 none ever gets it for that.
    pub lite_lag_frames: usize,
}

/// What a worker is given to run on.
pub(super) struct Seat<T: Tenant> {
    pub number: u16,
    pub poll: Poll,
    pub inbox: Arc<Inbox<Message<T>>>,
    pub load: Arc<CachePadded<Load>>,
    pub inboxes: Vec<Arc<Inbox<Message<T>>>>,
    pub metrics: ShardMetrics,
}

/// What [`Worker::split`] borrows apart.
type Parts<'a, T> = (&'a mut T, &'a mut Slab<Conn<<T as Tenant>::Session>>, Cx<'a, <T as Tenant>::Mail>);

/// One shard.
pub(super) struct Worker<T: Tenant> {
    pub(super) number: u16,
    pub(super) poll: Poll,
    inbox: Arc<Inbox<Message<T>>>,
    pub(super) load: Arc<CachePadded<Load>>,
    inboxes: Vec<Arc<Inbox<Message<T>>>>,
    /// What the other shards' inboxes had no room for, in order; ours holds what we send to ourselves.
    spill: Vec<VecDeque<Message<T>>>,
    congested: Vec<bool>,
    pub(super) settings: Settings,
    pub(super) tenant: T,
    pub(super) conns: Slab<Conn<T::Session>>,
    pub(super) generation: u32,
    pub(super) rooms: Rooms,
    pub(super) wheel: Wheel,
    pub(super) wire: Sockets,
    pub(super) report: Report,
    pub(super) read_buffer: Box<[u8]>,
    pub(super) output: Vec<u8>,
    /// Connections that had more to read than one turn takes.
    pub(super) unread: VecDeque<(u32, u32)>,
    /// What newcomers and subscribers are to be told in this cycle and were not sent yet, by connection.
    pub(super) unanswered: HashMap<u32, Vec<u8>>,
    /// Those of them that are subscribers; perhaps more than once, perhaps sent already.
    pub(super) answered: Vec<u32>,
    /// Connections (index, generation) that catch up and have something to be written.
    pub(super) catching: VecDeque<(u32, u32)>,
    commands: Vec<Command<T::Mail>>,
    due: Vec<Hint>,
    /// Set by [`Message::Bye`]: when to end at the latest.
    pub(super) deadline_us: Option<u64>,
    pub(super) now_us: u64,
}

impl<T: Tenant> Worker<T> {
    pub(super) fn new(seat: Seat<T>, settings: Settings, tenant: T) -> Self {
        let shards = seat.inboxes.len();
        let now_us = clock::now_us();
        Self {
            number: seat.number,
            poll: seat.poll,
            inbox: seat.inbox,
            load: seat.load,
            inboxes: seat.inboxes,
            spill: (0..shards).map(|_| VecDeque::new()).collect(),
            congested: vec![false; shards],
            settings,
            tenant,
            conns: Slab::new(),
            generation: 0,
            rooms: Rooms::new(settings.ring_frames),
            wheel: Wheel::new(now_us),
            wire: Sockets,
            report: Report::new(seat.metrics),
            read_buffer: vec![0; READ_BUFFER_BYTES].into(),
            output: Vec::new(),
            unread: VecDeque::new(),
            unanswered: HashMap::new(),
            answered: Vec::new(),
            catching: VecDeque::new(),
            commands: Vec::new(),
            due: Vec::new(),
            deadline_us: None,
            now_us,
        }
    }

    /// Runs until everybody said goodbye.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let began_us = clock::now_us();
            self.now_us = began_us;
            self.load.cycle_began_us.store(began_us, Ordering::Relaxed);
            self.drain_inbox();
            if self.tenant.due_us().is_some_and(|due| due <= self.now_us) {
                self.call_tenant(T::wake);
            }
            self.read_the_unread();
            self.answer_with_frames();
            self.pass();
            self.serve_catch_ups();
            self.turn_the_wheel();
            self.carry_out();
            self.answer_the_unanswered();
            self.empty_the_spill();
            self.report.cycle(began_us, clock::now_us(), self.conns.len(), self.rooms.laggards(), self.inbox.len());
            if self.deadline_us.is_some_and(|deadline| self.conns.is_empty() || self.now_us >= deadline) {
                return;
            }
            self.poll(&mut events);
        }
    }

    /// Waits for sockets, the inbox or the next due time; not at all while there is work.
    fn poll(&mut self, events: &mut Events) {
        let may_sleep = !self.has_work() && self.inbox.fall_asleep();
        let timeout = if may_sleep { self.sleep_time() } else { Duration::ZERO };
        if may_sleep {
            self.report.publish();
        }
        if let Err(error) = self.poll.poll(events, Some(timeout)) {
            // Interrupted by a signal; anything else would be a bug that the next poll repeats, so it is said.
            if error.kind() != std::io::ErrorKind::Interrupted {
                tracing::error!(shard = self.number, %error, "poll failed");
            }
            return;
        }
        self.inbox.wake_up();
        self.now_us = clock::now_us();
        for event in events.iter().filter(|event| event.token() != WAKER) {
            let index = event.token().0 as u32;
            if event.is_writable() {
                self.writable(index);
            }
            if event.is_readable() || event.is_error() || event.is_read_closed() {
                self.readable(index);
            }
        }
    }

    fn has_work(&self) -> bool {
        self.rooms.is_due()
            || !self.unread.is_empty()
            || !self.catching.is_empty()
            || self.spill.iter().any(|spill| !spill.is_empty())
    }

    fn sleep_time(&self) -> Duration {
        let next = [self.tenant.due_us(), self.wheel.due_us(), self.deadline_us].into_iter().flatten().min();
        let now_us = clock::now_us();
        next.map_or(PARK_MAX, |due_us| Duration::from_micros(due_us.saturating_sub(now_us)).min(PARK_MAX))
    }

    fn drain_inbox(&mut self) {
        let own = usize::from(self.number);
        for _ in 0..INBOX_BATCH {
            let Some(message) = self.inbox.pop() else { break };
            self.take(message);
        }
        // What we sent to ourselves up to now, and what this led to: a newcomer's join and its welcome. More waits for
        // the next cycle.
        for _ in 0..OWN_ROUNDS {
            for _ in 0..self.spill[own].len() {
                let Some(message) = self.spill[own].pop_front() else { break };
                self.take(message);
            }
        }
    }

    fn take(&mut self, message: Message<T>) {
        match message {
            Message::Accept(conn) => self.accept(*conn),
            Message::Frame(frame) => self.frame(frame),
            Message::Mail(mail) => self.call_tenant(|tenant, cx| tenant.mail(cx, mail)),
            Message::Flush(done) => {
                self.call_tenant(T::flush);
                self.empty_the_spill();
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
            Message::Bye { first_ms, step_us, deadline_us } => self.say_goodbye(first_ms, step_us, deadline_us),
        }
    }

    /// Calls the tenant and carries out what it wants.
    pub(super) fn call_tenant(&mut self, call: impl FnOnce(&mut T, &mut Cx<'_, T::Mail>)) {
        let mut cx =
            Cx { now_us: self.now_us, shard: self.number, commands: &mut self.commands, congested: &self.congested };
        call(&mut self.tenant, &mut cx);
        self.carry_out();
    }

    /// The parts that a call with a session of `self.conns` needs, borrowed apart.
    pub(super) fn split(&mut self) -> Parts<'_, T> {
        let cx =
            Cx { now_us: self.now_us, shard: self.number, commands: &mut self.commands, congested: &self.congested };
        (&mut self.tenant, &mut self.conns, cx)
    }

    pub(super) fn carry_out(&mut self) {
        while !self.commands.is_empty() {
            let mut commands = std::mem::take(&mut self.commands);
            for command in commands.drain(..) {
                self.execute(command);
            }
            if self.commands.is_empty() {
                self.commands = commands;
            }
        }
    }

    fn execute(&mut self, command: Command<T::Mail>) {
        match command {
            Command::Reply { to, frame } => self.reply(to, frame),
            Command::Say { to, message } => self.say(to, &message),
            Command::Watch { conn, room } => self.watch(conn, room),
            Command::Subscribe { conn, variant, welcome, last, likes } => {
                self.subscribe(conn, variant, welcome, last, likes);
            }
            Command::Resume { conn, variant, after, last, likes } => self.resume(conn, variant, after, last, likes),
            Command::Page { conn, page, online } => self.page(conn, page, online),
            Command::Rendition { conn, rendition } => self.ask_rendition(conn, rendition),
            Command::Turned { conn } => self.turned(conn),
            Command::Close { conn, close } => {
                if let Some(index) = self.find(conn) {
                    self.close(index, close);
                }
            }
            Command::Mail { shard, mail } => self.send(shard, Message::Mail(mail)),
            Command::Frame { shard, frame } => self.send(shard, Message::Frame(frame)),
        }
    }

    /// To a shard, in order with what was sent to it before; what its inbox has no room for waits here, bounded.
    fn send(&mut self, shard: u16, message: Message<T>) {
        let index = usize::from(shard);
        let spill = &mut self.spill[index];
        let message = if shard == self.number || !spill.is_empty() {
            message
        } else {
            match self.inboxes[index].push(message) {
                Ok(()) => return,
                Err(back) => back,
            }
        };
        match message {
            // A lost frame is a hole that the other shard sees and announces.
            Message::Frame(_) if spill.len() >= SPILL_FRAMES_MAX => self.report.inbox_full += 1,
            Message::Mail(mail) if spill.len() >= SPILL_ENTRIES_MAX && !T::is_answer(&mail) => {
                self.report.inbox_full += 1;
                let mut cx = Cx {
                    now_us: self.now_us,
                    shard: self.number,
                    commands: &mut self.commands,
                    congested: &self.congested,
                };
                self.tenant.undelivered(&mut cx, mail);
            }
            message => spill.push_back(message),
        }
        self.congested[index] = self.spill[index].len() >= SPILL_FRAMES_MAX;
    }

    fn empty_the_spill(&mut self) {
        for (index, spill) in self.spill.iter_mut().enumerate() {
            if index == usize::from(self.number) {
                continue;
            }
            while let Some(message) = spill.pop_front() {
                if let Err(back) = self.inboxes[index].push(message) {
                    spill.push_front(back);
                    break;
                }
            }
            self.congested[index] = spill.len() >= SPILL_FRAMES_MAX;
        }
    }

    /// Takes what was sent to ourselves and sends every frame that is here: before the goodbye, which would
    /// otherwise overtake both. Messages to ourselves lead to at most an answer, so this ends.
    pub(super) fn settle(&mut self) {
        while let Some(message) = self.spill[usize::from(self.number)].pop_front() {
            self.take(message);
        }
        self.answer_with_frames();
        while let Some(room) = self.rooms.next_due() {
            self.pass_slice(room, usize::MAX);
        }
    }

    fn pass(&mut self) {
        let mut budget = PASS_SLICE_SENDS;
        while budget > 0 {
            let Some(room) = self.rooms.next_due() else { break };
            budget -= self.pass_slice(room, budget).min(budget);
        }
    }

    fn turn_the_wheel(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.turn(self.now_us, &mut due);
        for hint in due.drain(..) {
            self.look_at(hint);
        }
        self.due = due;
    }
}
