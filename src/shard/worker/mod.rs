//! The duty cycle: drain the inbox → the tenant's due work → readable and writable sockets → a slice of the pass →
//! timers → park. All of it runs on the shard's one thread.

mod answers;
mod catchup;
mod inbound;
mod lifecycle;
pub(super) mod mailboxes;
mod outbound;
mod renditions;
mod report;
mod wheel;

use crate::clock;
use crate::limits::{PASS_SLICE_SENDS, READ_BUFFER_BYTES};
use crate::metrics::ShardMetrics;
use crate::shard::conn::table::Conns;
use crate::shard::fanout::rooms::LocalRooms;
use crate::shard::message::{Load, Message, WAKER};
use crate::shard::tenant::{Cx, ShardCommand, Tenant};
use answers::Answers;
use crossbeam::utils::CachePadded;
use mailboxes::{Mailboxes, Undelivered};
use mio::{Events, Poll};
use report::{Levels, ShardReport};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wheel::Wheel;

/// Messages taken from the inbox in one cycle; the rest waits until sockets have been served.
const INBOX_BATCH: usize = 1_024;

/// How often one cycle takes the messages that the shard sent to itself: a join and its welcome need two rounds.
const OWN_ROUNDS: usize = 2;

/// Events taken from one poll at most.
const EVENTS: usize = 1_024;

/// The longest sleep: the health check sees a duty cycle at least this often.
const PARK_MAX: Duration = Duration::from_millis(500);

/// Settings of a shard for its connections.
#[derive(Clone, Copy, Debug)]
pub struct ShardSettings {
    /// Frames that each room's ring holds.
    pub ring_frames: usize,
    /// A client that was silent for this long gets a ping.
    pub ping_us: u64,
    /// A client that was silent for this long is closed with 4003.
    pub idle_us: u64,
    /// A blocked socket that takes no bytes for this long is closed with 4001.
    pub stalled_us: u64,
    /// Gaps within a minute that a connection survives.
    pub gaps_max: u32,
    /// A viewer that is further behind than this for half a second gets the lite rendition. At 0, no viewer gets it for
    /// being slow.
    pub lite_lag_frames: usize,
}

/// The parts of a worker that exist before its thread starts.
pub(in crate::shard) struct WorkerSeat<T: Tenant> {
    pub poll: Poll,
    pub mail: Mailboxes<T>,
    pub load: Arc<CachePadded<Load>>,
    pub metrics: ShardMetrics,
}

/// Three parts of a worker, borrowed separately by [`Worker::split`].
type TenantParts<'a, T> = (&'a mut T, &'a mut Conns<<T as Tenant>::Session>, Cx<'a, <T as Tenant>::Mail>);

/// Memory for reading, shared by all connections of the shard.
pub(in crate::shard) struct Reading {
    pub buffer: Box<[u8]>,
    /// Answers of the framing itself, such as a pong.
    pub output: Vec<u8>,
    /// Connections (index, generation) that had more to read than one turn allows.
    pub unread: VecDeque<(u32, u32)>,
}

/// The state of one shard's thread. Its methods stand in the files of this folder, by direction; a closing connection
/// touches most fields, so they are not split into parts with their own methods.
pub(in crate::shard) struct Worker<T: Tenant> {
    pub(super) poll: Poll,
    pub(super) mail: Mailboxes<T>,
    pub(super) load: Arc<CachePadded<Load>>,
    pub(super) settings: ShardSettings,
    pub(super) tenant: T,
    pub(super) conns: Conns<T::Session>,
    pub(super) rooms: LocalRooms,
    pub(super) wheel: Wheel,
    pub(super) report: ShardReport,
    pub(super) reading: Reading,
    pub(super) answers: Answers,
    /// Connections (index, generation) that catch up and have bytes to send.
    pub(super) catching: VecDeque<(u32, u32)>,
    commands: Vec<ShardCommand<T::Mail>>,
    /// Set by [`Message::Bye`]: the thread ends at this time, in monotonic microseconds, even if connections are left.
    pub(super) deadline_us: Option<u64>,
    pub(super) now_us: u64,
}

impl<T: Tenant> Worker<T> {
    pub(in crate::shard) fn new(seat: WorkerSeat<T>, settings: ShardSettings, tenant: T) -> Self {
        let now_us = clock::now_us();
        Self {
            poll: seat.poll,
            load: seat.load,
            settings,
            tenant,
            conns: Conns::new(seat.mail.number),
            mail: seat.mail,
            rooms: LocalRooms::new(settings.ring_frames),
            wheel: Wheel::new(now_us),
            report: ShardReport::new(seat.metrics),
            reading: Reading { buffer: vec![0; READ_BUFFER_BYTES].into(), output: Vec::new(), unread: VecDeque::new() },
            answers: Answers::default(),
            catching: VecDeque::new(),
            commands: Vec::new(),
            deadline_us: None,
            now_us,
        }
    }

    /// Runs until [`Message::Bye`] came and all connections are closed, or its deadline has passed.
    pub(in crate::shard) fn run(mut self) {
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
            self.mail.empty_the_spill();
            let levels = Levels {
                connections: self.conns.len(),
                laggards: self.rooms.laggards(),
                inbox_depth: self.mail.inbox_len(),
            };
            self.report.cycle(began_us, clock::now_us(), levels);
            if self.deadline_us.is_some_and(|deadline| self.conns.len() == 0 || self.now_us >= deadline) {
                return;
            }
            self.poll(&mut events);
        }
    }

    /// Waits for sockets, the inbox or the next due time. While there is work, it only looks at the sockets.
    fn poll(&mut self, events: &mut Events) {
        let may_sleep = !self.has_work() && self.mail.fall_asleep();
        let timeout = if may_sleep { self.sleep_time() } else { Duration::ZERO };
        if may_sleep {
            self.report.publish();
        }
        if let Err(error) = self.poll.poll(events, Some(timeout)) {
            // A signal may interrupt the poll. Any other error is a bug that repeats with each poll, so it is logged.
            if error.kind() != std::io::ErrorKind::Interrupted {
                tracing::error!(shard = self.mail.number, %error, "poll failed");
            }
            return;
        }
        self.mail.wake_up();
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
        self.rooms.is_due() || !self.reading.unread.is_empty() || !self.catching.is_empty() || self.mail.has_spilled()
    }

    fn sleep_time(&self) -> Duration {
        let next = [self.tenant.due_us(), self.wheel.due_us(), self.deadline_us].into_iter().flatten().min();
        let now_us = clock::now_us();
        next.map_or(PARK_MAX, |due_us| Duration::from_micros(due_us.saturating_sub(now_us)).min(PARK_MAX))
    }

    fn drain_inbox(&mut self) {
        for _ in 0..INBOX_BATCH {
            let Some(message) = self.mail.pop() else { break };
            self.take(message);
        }
        // Messages of this shard to itself, and the messages that they lead to: a join, then its welcome. More waits
        // for the next cycle.
        for _ in 0..OWN_ROUNDS {
            for _ in 0..self.mail.own_len() {
                let Some(message) = self.mail.pop_own() else { break };
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
                self.mail.empty_the_spill();
                // The drain may have stopped waiting for it.
                let _ = done.send(());
            }
            Message::Bye { first_ms, step_us, deadline_us } => self.say_goodbye(first_ms, step_us, deadline_us),
        }
    }

    /// Calls the tenant and carries out its commands.
    pub(in crate::shard) fn call_tenant(&mut self, call: impl FnOnce(&mut T, &mut Cx<'_, T::Mail>)) {
        let (tenant, _, mut cx) = self.split();
        call(tenant, &mut cx);
        self.carry_out();
    }

    /// Borrows the tenant, the connections and a context at once, for a call that gets a session.
    pub(in crate::shard) fn split(&mut self) -> TenantParts<'_, T> {
        let (now_us, shard, congested) = (self.now_us, self.mail.number, self.mail.congested());
        let cx = Cx { now_us, shard, commands: &mut self.commands, congested };
        (&mut self.tenant, &mut self.conns, cx)
    }

    pub(in crate::shard) fn carry_out(&mut self) {
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

    fn execute(&mut self, command: ShardCommand<T::Mail>) {
        match command {
            ShardCommand::Reply { to, frame } => self.reply(to, frame),
            ShardCommand::Say { to, message } => self.say(to, &message),
            ShardCommand::Watch { conn, room } => self.watch(conn, room),
            ShardCommand::Subscribe { conn, variant, welcome, last, likes } => {
                self.subscribe(conn, variant, welcome, last, likes);
            }
            ShardCommand::Resume { conn, variant, after, last, likes } => {
                self.resume(conn, variant, after, last, likes);
            }
            ShardCommand::Page { conn, page, online } => self.page(conn, page, online),
            ShardCommand::Rendition { conn, rendition } => self.ask_rendition(conn, rendition),
            ShardCommand::Turned { conn } => self.turned(conn),
            ShardCommand::Close { conn, close } => {
                if let Some(index) = self.conns.find(conn) {
                    self.close(index, close);
                }
            }
            ShardCommand::Mail { shard, mail } => self.send(shard, Message::Mail(mail)),
            ShardCommand::Frame { shard, frame } => self.send(shard, Message::Frame(frame)),
        }
    }

    fn send(&mut self, shard: u16, message: Message<T>) {
        let Err(undelivered) = self.mail.send(shard, message) else { return };
        self.report.inbox_full += 1;
        if let Undelivered::Mail(mail) = undelivered {
            let (tenant, _, mut cx) = self.split();
            tenant.undelivered(&mut cx, mail);
        }
    }

    /// Handles the shard's messages to itself and sends every frame that is here. Called before the goodbye, which
    /// would otherwise overtake both. It ends, because a message to itself leads to one answer at most.
    pub(in crate::shard) fn settle(&mut self) {
        while let Some(message) = self.mail.pop_own() {
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
        let mut due = self.wheel.turn(self.now_us);
        for hint in due.drain(..) {
            self.look_at(hint);
        }
        self.wheel.reuse(due);
    }
}
