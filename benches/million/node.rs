//! One node without sockets: shard threads with their inboxes, rings and slots, and the room on the first of them.

use crate::memory;
use crate::wire::Sink;
use mio::{Events, Poll, Token, Waker};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Duration, Instant};
use volley::limits::PASS_SLICE_SENDS;
use volley::log::Retention;
use volley::log::memory::MemoryLog;
use volley::metrics::ShardMetrics;
use volley::policy::said::Said;
use volley::protocol::deflate::Deflate;
use volley::protocol::event::Comment;
use volley::protocol::frame::EncodedFrame;
use volley::protocol::ids::{ClientId, RoomId};
use volley::protocol::local::{ConnRef, RoomKey};
use volley::protocol::user::{Role, User};
use volley::protocol::variant::Variant;
use volley::room::actor::{Actor, ActorSettings, Effect};
use volley::room::registry::RoomHandle;
use volley::shard::fanout::pass::{SendTally, Slot, Slots};
use volley::shard::fanout::ring::Ring;
use volley::shard::inbox::Inbox;

const TICK_US: u64 = 100_000;
const COMMENTS: u32 = 20;
/// Ticks before the measurement, after which the ring is full and every slot was used.
const WARM_UP: usize = 70;
/// The most and the fewest measured ticks.
const TICKS: std::ops::RangeInclusive<usize> = 30..=3_000;

/// The results of one measurement.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// From the beginning of the tick until the room's shard knows that the last slot has its frame.
    pub median_us: f64,
    pub p99_us: f64,
    /// CPU time of all threads ÷ deliveries.
    pub cpu_ns: f64,
    /// What was allocated for the slots ÷ slots.
    pub bytes: f64,
}

impl Outcome {
    /// Each figure's median.
    pub fn median(rounds: &[Self]) -> Self {
        let of = |get: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(get).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            median_us: of(|o| o.median_us),
            p99_us: of(|o| o.p99_us),
            cpu_ns: of(|o| o.cpu_ns),
            bytes: of(|o| o.bytes),
        }
    }
}

enum Message {
    Frame(Arc<EncodedFrame>),
    /// A shard has sent a frame to all of its slots.
    Done(SendTally),
    /// Its CPU time since the last report.
    Report,
    Spent(Duration),
    End,
}

type Mail = Arc<Inbox<Message>>;

fn post(to: &Mail, message: Message) {
    assert!(to.push(message).is_ok(), "an inbox has room for a handful");
}

/// CPU time of this thread so far.
fn cpu() -> Duration {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// A shard's share of the room.
struct Shard {
    inbox: Mail,
    poll: Poll,
    events: Events,
    ring: Ring,
    slots: Slots,
    sink: Sink,
    metrics: ShardMetrics,
}

impl Shard {
    fn new(number: u16) -> Self {
        let poll = Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        Self {
            inbox: Inbox::new(1_024, waker),
            poll,
            events: Events::with_capacity(8),
            ring: Ring::new(64),
            slots: Slots::default(),
            sink: Sink::default(),
            metrics: ShardMetrics::new(usize::from(number)),
        }
    }

    /// Its slots, half of them of each encoding, counted in the room's presence.
    fn fill(&mut self, count: u32, number: u16, room: &RoomHandle) {
        for conn in 0..count {
            let variant = Variant::ALL[conn as usize % 2]; // Without the compressed variants, whose frames would be made too.
            room.arrive(number, variant);
            let slot = Slot { fd: conn as i32, conn, cursor: 0, variant: variant.index() as u8 };
            self.slots.add(slot);
        }
    }

    fn next(&mut self) -> Message {
        loop {
            if let Some(message) = self.inbox.pop() {
                return message;
            }
            if self.inbox.fall_asleep() {
                self.poll.poll(&mut self.events, None).expect("polls");
                self.inbox.wake_up();
            }
        }
    }

    /// The whole pass of a frame, in the slices of the duty cycle; counted once, at its end.
    fn pass(&mut self, frame: Arc<EncodedFrame>) -> SendTally {
        self.ring.push(frame);
        self.slots.frame_came();
        let (mut all, mut left) = (SendTally::default(), Vec::new());
        while self.slots.is_due() {
            let tally = self.slots.slice(&self.ring, &mut self.sink, PASS_SLICE_SENDS, &mut left);
            all.sends += tally.sends;
            all.deliveries += tally.deliveries;
            all.bytes += tally.bytes;
        }
        assert!(left.is_empty(), "a sink takes everything");
        self.metrics.delivery.frames.increment(1);
        self.metrics.delivery.sends.increment(all.sends);
        self.metrics.delivery.deliveries.increment(all.deliveries);
        self.metrics.delivery.bytes.increment(all.bytes);
        all
    }

    /// Runs a shard's thread, except for the room's.
    fn run(mut self, home: &Mail) {
        let mut spent = cpu();
        loop {
            match self.next() {
                Message::Frame(frame) => {
                    let tally = self.pass(frame);
                    post(home, Message::Done(tally));
                }
                Message::Report => {
                    let now = cpu();
                    post(home, Message::Spent(now - spent));
                    spent = now;
                }
                Message::End => return,
                Message::Done(_) | Message::Spent(_) => unreachable!("only the room's shard gets those"),
            }
        }
    }
}

/// The room, and the comments that its next tick gets.
struct Room {
    actor: Actor,
    now_us: u64,
    comments: u64,
    out: Vec<Effect>,
}

impl Room {
    fn open(handle: Arc<RoomHandle>) -> Self {
        let settings = ActorSettings {
            tick_us: TICK_US,
            room: volley::protocol::settings::RoomSettings::unlimited(100),
            tick_groups: 1,
            batch_events_max: 2_000,
            frame_events_max: 200,
            snapshot_events: 20,
            counters_us: 1_000_000,
            heartbeat_us: u64::MAX / 2,
            idle_us: 300_000_000,
            retention: Retention { age_ms: 86_400_000, events: 10_000, bytes: 16 << 20 },
            comment_rate: None,
            like_rate: None,
            deflate: Arc::new(Deflate::new(1_024, || 0)),
        };
        let actor = Actor::open(handle, Arc::new(MemoryLog::new(1, 1)), settings, Arc::new(|_| {}), 0);
        Self { actor: actor.expect("the room opens"), now_us: 0, comments: 0, out: Vec::new() }
    }

    /// Comments of the next tick, made before it begins.
    fn batch(&mut self) -> Vec<Said> {
        let comment = |n: u64| {
            let user = User {
                id: format!("g-{n:013}").into(),
                name: format!("guest {:04}", n % 10_000).into(),
                role: Role::Guest,
            };
            let text = "这个多少钱 还有吗 主播好 666 哈哈哈哈哈 想要一件";
            let id = ClientId::new(&format!("c-{n}"));
            Said::Comment(Box::new(Comment { id, ..Comment::new(user, text) }))
        };
        let batch = (self.comments..).take(COMMENTS as usize).map(comment).collect();
        self.comments += u64::from(COMMENTS);
        batch
    }

    /// One tick: the frame it makes.
    fn tick(&mut self, batch: Vec<Said>) -> Arc<EncodedFrame> {
        let from = |index| ConnRef { shard: 0, index, generation: 1 };
        for (n, said) in (0..).zip(batch) {
            self.actor.take(from(n), said, self.now_us, &mut self.out);
        }
        self.actor.take(from(0), Said::Like(17), self.now_us, &mut self.out);
        self.now_us += TICK_US;
        self.actor.run(self.now_us, self.now_us / 1_000, &mut self.out);
        let frame = self.out.drain(..).find_map(|effect| match effect {
            Effect::Frame { frame } => Some(frame),
            _ => None,
        });
        frame.expect("a tick with comments makes a frame")
    }
}

/// Ticks of a room with `slots` subscribers on `shards` threads, for `time`.
pub fn measure(slots: u32, shards: u16, time: Duration) -> Outcome {
    let room_id = RoomId::new("million").expect("a name");
    let handle = Arc::new(RoomHandle::new(RoomKey(1), room_id, 0, usize::from(shards)));
    let mut all: Vec<Shard> = (0..shards).map(Shard::new).collect();
    let before = memory::live();
    for (number, shard) in (0..shards).zip(&mut all) {
        let share = slots / u32::from(shards) + u32::from(u32::from(number) < slots % u32::from(shards));
        shard.fill(share, number, &handle);
    }
    let bytes = (memory::live() - before) as f64 / f64::from(slots);
    let mut others = all.split_off(1);
    let mut home = all.pop().expect("one shard at least");
    let mails: Vec<Mail> = others.iter().map(|shard| shard.inbox.clone()).collect();
    let room = Room::open(handle);
    std::thread::scope(|scope| {
        for shard in others.drain(..) {
            let back = home.inbox.clone();
            scope.spawn(move || shard.run(&back));
        }
        let outcome = drive(&mut home, &mails, room, u64::from(slots), time);
        mails.iter().for_each(|mail| post(mail, Message::End));
        Outcome { bytes, ..outcome }
    })
}

/// The room's shard: ticks, and waits for the other shards.
fn drive(home: &mut Shard, mails: &[Mail], mut room: Room, slots: u64, time: Duration) -> Outcome {
    let mut times_us = Vec::new();
    let mut spent = Duration::ZERO;
    let mut began = Instant::now();
    loop {
        let is_warm = times_us.len() >= WARM_UP;
        let ticks = times_us.len().saturating_sub(WARM_UP);
        if ticks == *TICKS.end() || (ticks >= *TICKS.start() && began.elapsed() >= time) {
            break;
        }
        if times_us.len() == WARM_UP {
            reported(home, mails);
            began = Instant::now();
        }
        let batch = room.batch();
        let (tick_began, cpu_began) = (Instant::now(), cpu());
        let frame = room.tick(batch);
        mails.iter().for_each(|mail| post(mail, Message::Frame(frame.clone())));
        let mut deliveries = home.pass(frame).deliveries;
        for _ in mails {
            match home.next() {
                Message::Done(tally) => deliveries += tally.deliveries,
                _ => unreachable!("the others answer each frame once"),
            }
        }
        times_us.push(tick_began.elapsed().as_secs_f64() * 1e6);
        if is_warm {
            spent += cpu() - cpu_began;
        }
        assert_eq!(deliveries, slots, "a frame reaches every slot once");
    }
    spent += reported(home, mails);
    let mut measured = times_us.split_off(WARM_UP);
    measured.sort_by(f64::total_cmp);
    let at = |share: f64| measured[((measured.len() - 1) as f64 * share) as usize];
    let cpu_ns = spent.as_secs_f64() * 1e9 / (measured.len() as u64 * slots) as f64;
    Outcome { median_us: at(0.5), p99_us: at(0.99), cpu_ns, bytes: 0.0 }
}

/// CPU time of the other shards since they were last asked.
fn reported(home: &mut Shard, mails: &[Mail]) -> Duration {
    mails.iter().for_each(|mail| post(mail, Message::Report));
    let spent = mails.iter().map(|_| match home.next() {
        Message::Spent(spent) => spent,
        _ => unreachable!("every frame was answered before"),
    });
    spent.sum()
}
