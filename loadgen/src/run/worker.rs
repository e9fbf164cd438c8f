//! One worker: thousands of viewers on one thread, one readiness loop, one receive buffer.
//!
//! Does not know: other workers, processes, what is printed.

mod crowd;
mod inbound;
mod sender;
mod viewer;

use self::crowd::GroupShare;
use self::sender::{Schedule, What};
use self::viewer::{Viewer, ViewerState};
use crate::clock::now_ns;
use crate::proc::ThreadTimes;
use crate::run::ledger::book::Book;
use crate::run::messages::{OwnLoad, Progress, Report, Tally, Times, WorkerCommand, WorkerPlan, WorkerResult, bump};
use crate::wire::inflate::Inflater;
use crate::wire::line::{Masker, READ_BYTES};
use crate::wire::upgrade::Upgrade;
use crate::wire::ws::Kind;
use mio::{Events, Poll, Token};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;
use volley::protocol::ids::Offset;
use volley::protocol::variant::{Encoding, Rendition};

/// Readiness events handled in one cycle: at 2–4 µs each a cycle takes less than 2 ms, so sends leave in time.
const EVENTS_PER_CYCLE: usize = 512;
/// Concurrent handshakes; below the usual listen backlog of 1,024.
const HANDSHAKES_MAX: usize = 500;
/// The longest time from the first packet to the welcome.
const HANDSHAKE_NS_MAX: u64 = 15_000_000_000;
/// How long the worker waits for answers after the last send.
const ANSWERS_NS_MAX: u64 = 5_000_000_000;
/// How long it waits for viewers to reach the end of the log, and for the final total of likes.
const DRAIN_NS_MAX: u64 = 10_000_000_000;
const CLOSE_NS_MAX: u64 = 2_000_000_000;
const PROGRESS_NS: u64 = 500_000_000;
/// Sends in one cycle, so that a burst does not keep the sockets waiting.
const SENDS_PER_CYCLE: usize = 128;
/// The server's default limit: it closes a connection that sends a larger message, so such a message is not sent.
const MESSAGE_BYTES_MAX: usize = 4_096;
/// A longer cycle delays receipts by as much as a good p99 may vary.
const SLOW_CYCLE_NS: u64 = 20_000_000;
/// The poll's timeout is rounded up to whole milliseconds.
const TIMER_SLACK_NS: u64 = 1_100_000;

/// The phase of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Ready,
    Sending,
    /// Everything is sent; waits for answers until this time.
    Answers(u64),
    /// Reported; waits for the targets.
    Sent,
    Draining(u64),
    Closing(u64),
    Over,
}

pub struct Worker<'a> {
    plan: WorkerPlan,
    upgrade: Upgrade,
    query: String,
    inflater: Inflater,
    poll: Poll,
    viewers: Vec<Viewer>,
    books: Vec<Book>,
    tally: Tally,
    times: Times,
    schedule: Option<Schedule>,
    /// By group.
    crowds: Vec<GroupShare>,
    /// Comments without an answer: number → index of the sender.
    pending: HashMap<u64, usize>,
    targets: Vec<Offset>,
    phase: Phase,
    live: usize,
    on_the_way: usize,
    connect_next: usize,
    buffer: Vec<u8>,
    masker: Masker,
    is_measuring: bool,
    is_stalling: bool,
    own: OwnLoad,
    thread_at_start: Option<ThreadTimes>,
    connect_from_ns: u64,
    progress_ns: u64,
    report: &'a mut dyn FnMut(Report),
}

/// Runs a worker until it has reported [`Report::Done`] or its conductor is gone.
pub fn run(commands: &Receiver<WorkerCommand>, report: &mut dyn FnMut(Report)) {
    let Ok(WorkerCommand::Connect(plan)) = commands.recv() else { return };
    match Worker::new(*plan, report) {
        Ok(mut worker) => worker.run(commands),
        Err((error, report)) => report(Report::Failed(format!("cannot poll sockets: {error}"))),
    }
}

type NoPoll<'a> = (std::io::Error, &'a mut dyn FnMut(Report));

impl<'a> Worker<'a> {
    fn new(plan: WorkerPlan, report: &'a mut dyn FnMut(Report)) -> Result<Self, NoPoll<'a>> {
        let poll = match Poll::new() {
            Ok(poll) => poll,
            Err(error) => return Err((error, report)),
        };
        let mut viewers = Vec::new();
        let mut crowds = Vec::new();
        for (group, share) in plan.groups.iter().enumerate() {
            let first = viewers.len();
            let viewer = |n| Viewer::new(plan.viewer_first + first + n, group, share.room_of(n), &plan);
            viewers.extend((0..share.viewers).map(viewer));
            crowds.push(GroupShare::new(first..viewers.len(), plan.worker, plan.workers));
        }
        Ok(Self {
            upgrade: Upgrade::new(&plan.host, plan.encoding.subprotocol()).with_compression(plan.compression),
            query: match plan.rendition {
                Rendition::Viewer => String::new(),
                other => format!("?rendition={}", other.as_str()),
            },
            inflater: Inflater::default(),
            poll,
            viewers,
            books: plan.rooms.iter().map(|_| Book::new(plan.run_tag)).collect(),
            tally: Tally::default(),
            times: Times::default(),
            schedule: None,
            crowds,
            pending: HashMap::new(),
            targets: Vec::new(),
            phase: Phase::Connecting,
            live: 0,
            on_the_way: 0,
            connect_next: 0,
            buffer: vec![0; READ_BYTES],
            masker: Masker::default(),
            is_measuring: false,
            is_stalling: false,
            own: OwnLoad::default(),
            thread_at_start: None,
            connect_from_ns: now_ns(),
            progress_ns: 0,
            plan,
            report,
        })
    }

    fn run(&mut self, commands: &Receiver<WorkerCommand>) {
        let mut events = Events::with_capacity(EVENTS_PER_CYCLE);
        while self.phase != Phase::Over {
            match commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            }
            let before = now_ns();
            let wait = self.turn(before);
            self.note_cycle(before);
            let wake_by = now_ns() + u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2) + TIMER_SLACK_NS;
            match self.poll.poll(&mut events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return (self.report)(Report::Failed(format!("cannot poll sockets: {error}"))),
            }
            let woken = now_ns();
            if woken > wake_by {
                self.note_cycle(wake_by); // A different thread had the core.
            }
            for event in &events {
                let index = event.token().0;
                if event.is_writable() {
                    self.writable(index);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.readable(index);
                }
            }
            self.note_cycle(woken);
        }
    }

    /// Records the time since `since_ns` in which the sockets were not polled.
    fn note_cycle(&mut self, since_ns: u64) {
        if self.is_measuring {
            let took = now_ns() - since_ns;
            self.own.cycle_max_ns = self.own.cycle_max_ns.max(took);
            self.own.slow_cycles_ns += if took > SLOW_CYCLE_NS { took } else { 0 };
        }
    }

    fn obey(&mut self, command: WorkerCommand) {
        match command {
            WorkerCommand::Connect(_) => {} // Only the first command may be `Connect`.
            WorkerCommand::Begin(times) => {
                self.times = times;
                self.crowds.iter_mut().for_each(|crowd| crowd.histograms.set_times(times));
                self.schedule = Some(Schedule::new(&self.plan, times));
                self.phase = Phase::Sending;
            }
            WorkerCommand::Drain { targets } => {
                self.targets = targets;
                self.phase = Phase::Draining(now_ns() + DRAIN_NS_MAX);
            }
        }
    }

    /// Does everything that is due; returns the time until the next thing is due.
    fn turn(&mut self, now: u64) -> Duration {
        if now >= self.progress_ns {
            self.progress_ns = now + PROGRESS_NS;
            self.sweep(now);
            self.tell();
        }
        self.mark_window(now);
        self.mark_stall(now);
        let mut wait_ns = 20_000_000;
        match self.phase {
            Phase::Connecting => wait_ns = self.connect_due(now),
            Phase::Sending => {
                wait_ns = self.send_due(now).min(wait_ns);
                if self.schedule.as_ref().is_none_or(|s| s.next_ns().is_none()) && now >= self.times.end_ns {
                    self.phase = Phase::Answers(now + ANSWERS_NS_MAX);
                }
            }
            Phase::Answers(until) if self.pending.is_empty() || now >= until => {
                let newest = self.books.iter().map(|book| book.evidence().newest()).collect();
                (self.report)(Report::Sent { newest });
                self.phase = Phase::Sent;
            }
            Phase::Draining(until) if now >= until || self.is_drained(now) => self.close_all(now),
            Phase::Closing(until) if now >= until || self.live == 0 => self.finish(),
            _ => {}
        }
        Duration::from_nanos(wait_ns)
    }

    fn mark_window(&mut self, now: u64) {
        let inside = self.times.end_ns > 0 && now >= self.times.measure_ns && now < self.times.end_ns;
        if inside == self.is_measuring {
            return;
        }
        self.is_measuring = inside;
        let thread = ThreadTimes::read();
        if inside {
            self.thread_at_start = thread;
            self.own.window_ns = now;
        } else {
            self.own.window_ns = now - self.own.window_ns;
            if let (Some(then), Some(now)) = (self.thread_at_start, thread) {
                self.own.cpu_ns = now.cpu_ns.saturating_sub(then.cpu_ns);
                self.own.waited_ns = now.waited_ns.saturating_sub(then.waited_ns);
            }
        }
    }

    fn mark_stall(&mut self, now: u64) {
        let Some((from, to)) = self.times.stall_ns else { return };
        let inside = now >= from && now < to;
        if self.is_stalling && !inside {
            self.is_stalling = false;
            for index in 0..self.viewers.len() {
                if self.viewers[index].stalls {
                    self.readable(index);
                }
            }
        }
        self.is_stalling = inside;
    }

    /// Begins the connections that are due; returns the time until the next one.
    fn connect_due(&mut self, now: u64) -> u64 {
        let due = ((now - self.connect_from_ns) as f64 * self.plan.connect_per_s / 1e9) as usize + 1;
        while self.connect_next < self.viewers.len().min(due) && self.on_the_way < HANDSHAKES_MAX {
            let index = self.connect_next;
            self.connect_next += 1;
            self.tally.stalled += u64::from(self.viewers[index].stalls);
            let number = self.plan.viewer_first + index;
            let viewer = &mut self.viewers[index];
            let dial = viewer.dial(number, &self.plan);
            match viewer.line.connect(&dial, self.poll.registry(), Token(index)) {
                Ok(()) => {
                    (viewer.state, viewer.since_ns) = (ViewerState::Arriving, now);
                    self.on_the_way += 1;
                }
                Err(error) => self.drop_viewer(index, &io_cause(&error)),
            }
        }
        if self.connect_next == self.viewers.len() && self.on_the_way == 0 {
            self.phase = Phase::Ready;
            self.tally.frames_connecting = self.tally.frames;
            self.tell();
            (self.report)(Report::Ready { live: self.live });
        }
        1_000_000
    }

    /// Gives up on handshakes that take too long.
    fn sweep(&mut self, now: u64) {
        if self.on_the_way == 0 {
            return;
        }
        for index in 0..self.connect_next {
            let viewer = &self.viewers[index];
            if viewer.state == ViewerState::Arriving && now > viewer.since_ns + HANDSHAKE_NS_MAX {
                self.drop_viewer(index, "handshake took over 15 s");
            }
        }
    }

    /// Sends the messages that are due; returns the time until the next one.
    fn send_due(&mut self, now: u64) -> u64 {
        let Some(mut schedule) = self.schedule.take() else { return u64::MAX };
        for _ in 0..SENDS_PER_CYCLE {
            let Some(due) = schedule.pop(now) else { break };
            match (self.next_speaker(due.group, due.is_hogs), due.what) {
                (_, What::Comment(_)) if due.payload.len() > MESSAGE_BYTES_MAX => {
                    bump(&mut self.tally.unsent, "message too big", 1);
                }
                (None, What::Comment(_)) => bump(&mut self.tally.unsent, "no viewer left to send it", 1),
                (None, What::Likes(_)) => {}
                (Some(index), what) => self.say(index, what, &due.payload, due.at_ns),
            }
        }
        let next = schedule.next_ns().map_or(u64::MAX, |at| at.saturating_sub(now));
        self.schedule = Some(schedule);
        next
    }

    fn next_speaker(&mut self, group: usize, is_hogs: bool) -> Option<usize> {
        let Self { crowds, viewers, .. } = self;
        let crowd = &mut crowds[group];
        if is_hogs {
            return Some(crowd.viewers.start).filter(|index| viewers[*index].state == ViewerState::Live);
        }
        (0..crowd.viewers.len()).map(|_| crowd.next_speaker()).find(|index| {
            let viewer = &viewers[*index];
            viewer.state == ViewerState::Live && !viewer.stalls
        })
    }

    fn say(&mut self, index: usize, what: What, payload: &[u8], at_ns: u64) {
        let kind = if self.plan.encoding == Encoding::Json { Kind::Text } else { Kind::Binary };
        match what {
            What::Comment(number) => {
                self.pending.insert(number, index);
                self.tally.comments_sent += 1;
                self.crowds[self.viewers[index].group].result.comments_sent += 1;
            }
            What::Likes(count) => {
                self.viewers[index].likes += count;
                self.tally.likes_sent += count;
            }
        }
        if self.is_measuring {
            self.own.send_late_max_ns = self.own.send_late_max_ns.max(now_ns().saturating_sub(at_ns));
        }
        self.send_frame(index, kind, payload);
    }

    fn send_frame(&mut self, index: usize, kind: Kind, payload: &[u8]) {
        if let Err(error) = self.viewers[index].line.send(self.masker.frame(kind, payload)) {
            self.drop_viewer(index, &io_cause(&error));
        }
    }

    /// Whether all connected viewers have received everything, including the final total of likes.
    fn is_drained(&self, now: u64) -> bool {
        let behind = |v: &Viewer| v.state == ViewerState::Live && v.place.at < *self.targets.get(v.room).unwrap_or(&0);
        // Frames with only counters come once a second, and the worker cannot know which of them is the last.
        now >= self.times.end_ns + 1_500_000_000 && !self.viewers.iter().any(behind)
    }

    fn close_all(&mut self, now: u64) {
        self.phase = Phase::Closing(now + CLOSE_NS_MAX);
        let mut unsettled = vec![0u64; self.books.len()];
        for index in self.pending.values() {
            unsettled[self.viewers[*index].room] += 1;
        }
        for (book, unsettled) in self.books.iter_mut().zip(unsettled) {
            book.set_unsettled(unsettled);
        }
        for index in 0..self.viewers.len() {
            let viewer = &mut self.viewers[index];
            if viewer.state == ViewerState::Live {
                self.books[viewer.room].leave(&viewer.place, false);
                viewer.state = ViewerState::Closing;
                self.send_frame(index, Kind::Close, &1000u16.to_be_bytes());
            } else if viewer.state == ViewerState::Arriving {
                self.drop_viewer(index, "still unconnected at the end");
            }
        }
    }

    /// Ends a viewer's connection, for `cause`.
    fn drop_viewer(&mut self, index: usize, cause: &str) {
        let viewer = &mut self.viewers[index];
        let was = viewer.state;
        viewer.state = ViewerState::Gone;
        viewer.line.hang_up(self.poll.registry());
        match was {
            ViewerState::Gone => {}
            ViewerState::Waiting => bump(&mut self.tally.failed, cause, 1),
            ViewerState::Arriving => {
                self.on_the_way -= 1;
                bump(&mut self.tally.failed, cause, 1);
            }
            ViewerState::Live => {
                self.live -= 1;
                self.tally.likes_unsure += viewer.likes;
                self.books[viewer.room].leave(&viewer.place, true);
                let counts = if viewer.stalls { &mut self.tally.lost_stalled } else { &mut self.tally.lost };
                bump(counts, cause, 1);
            }
            ViewerState::Closing => {
                self.live -= 1;
                self.tally.closed_clean += u64::from(viewer.close_code == Some(1000));
            }
        }
    }

    fn tell(&mut self) {
        let failed = self.tally.failed.values().chain(self.tally.lost.values()).sum();
        let progress = Progress {
            live: self.live,
            failed,
            frames: self.tally.frames,
            comments: self.tally.comments_sent,
            p99_us: self.crowds.iter().map(|crowd| crowd.histograms.p99_us()).max().unwrap_or(0),
        };
        (self.report)(Report::Progress(progress));
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        let (crowds, viewers) = (std::mem::take(&mut self.crowds), std::mem::take(&mut self.viewers));
        let result = WorkerResult {
            tally: std::mem::take(&mut self.tally),
            groups: crowds.into_iter().map(|crowd| crowd.into_result(&viewers)).collect(),
            rooms: std::mem::take(&mut self.books).into_iter().map(Book::into_evidence).collect(),
            own: self.own,
        };
        (self.report)(Report::Done(Box::new(result)));
    }
}

/// A short cause, by which failures are counted.
fn io_cause(error: &std::io::Error) -> String {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused => "connection refused".into(),
        K::ConnectionReset => "connection reset".into(),
        K::BrokenPipe => "connection broken".into(),
        K::TimedOut => "connection timed out".into(),
        K::AddrNotAvailable => "source address not available".into(),
        K::OutOfMemory => "server does not read".into(),
        _ => error.to_string(),
    }
}
