//! The counted workloads. Every iteration is the same work: inputs have no random part, and everything that grows
//! (rings, tables of ids) has stopped growing before the count.

use bytes::Bytes;
use mio::{Poll, Token, Waker};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;
use volley::config::Config;
use volley::limits::PASS_SLICE_SENDS;
use volley::log::memory::MemoryLog;
use volley::log::{Record, Retention, digest};
use volley::policy::admission::{Admission, Admitted, SessionMeter};
use volley::policy::said::Said;
use volley::protocol::deflate::Deflate;
use volley::protocol::encode;
use volley::protocol::event::{Comment, Event, Style};
use volley::protocol::frame::{EncodedFrame, Frame, FrameEvent};
use volley::protocol::ids::{ClientId, Hex64, RoomId};
use volley::protocol::local::{ConnRef, RoomKey};
use volley::protocol::message::ServerMessage;
use volley::protocol::user::{Role, User};
use volley::protocol::variant::{Encoding, Variant};
use volley::room::actor::{Actor, ActorSettings};
use volley::room::core::{Core, CoreSettings, Wanted};
use volley::room::registry::RoomHandle;
use volley::shard::fanout::pass::{Slot, Slots, Wire};
use volley::shard::fanout::ring::Ring;
use volley::shard::inbox::Inbox;

/// Work that can be repeated.
pub struct Workload {
    /// The name in the baseline.
    pub name: &'static str,
    /// Iterations that are counted.
    pub iterations: u32,
    /// Iterations before them.
    warm_up: u32,
    /// Prepares everything for a number of iterations; returns the function of one iteration.
    prepare: fn(u32) -> Box<dyn FnMut()>,
}

/// All workloads. The names say how much work one iteration is.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "pass_1000x1", iterations: 100, warm_up: 100, prepare: |_| pass(1_000, 1) },
    Workload { name: "pass_1000x8", iterations: 100, warm_up: 100, prepare: |_| pass(1_000, 8) },
    Workload { name: "pass_2x1", iterations: 5_000, warm_up: 100, prepare: |_| pass(2, 1) },
    Workload { name: "encode_20_json", iterations: 200, warm_up: 10, prepare: |_| encoding(Encoding::Json) },
    Workload { name: "encode_20_msgpack", iterations: 200, warm_up: 10, prepare: |_| encoding(Encoding::Msgpack) },
    Workload { name: "core_tick_20", iterations: 500, warm_up: 100, prepare: |_| core_tick() },
    // 2,200 ids before, 3,400 after: no table grows in between.
    Workload { name: "room_tick_20", iterations: 30, warm_up: 110, prepare: room_tick },
    Workload { name: "room_idle", iterations: 20_000, warm_up: 100, prepare: |_| room_idle() },
    Workload { name: "admit_json", iterations: 2_000, warm_up: 100, prepare: |_| admitting(Encoding::Json) },
    Workload { name: "admit_msgpack", iterations: 2_000, warm_up: 100, prepare: |_| admitting(Encoding::Msgpack) },
    Workload { name: "inbox_1000", iterations: 100, warm_up: 10, prepare: |_| inbox() },
];

impl Workload {
    /// Runs `iterations` of the workload, after the warm-up.
    pub fn run(&self, iterations: u32) {
        // The preparation is the same for N and for 2N iterations, so that it cancels out.
        let mut iteration = (self.prepare)(self.warm_up + 2 * self.iterations);
        for _ in 0..self.warm_up + iterations {
            iteration();
        }
        // Unused preparations must not cost more to drop after fewer iterations.
        std::mem::forget(iteration);
    }
}

/// A sink that accepts all bytes.
struct Sink(u64);

impl Wire for Sink {
    fn send(&mut self, fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.0 = self.0.wrapping_add(bytes.len() as u64 ^ fd as u64);
        Ok(bytes.len())
    }
    fn send_joined(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.0 = self.0.wrapping_add(bytes as u64 ^ fd as u64);
        Ok(bytes)
    }
}

fn frame(n: u64, bytes: &Bytes) -> Arc<EncodedFrame> {
    let mut frame = EncodedFrame::new(RoomKey(1), n, n + 1, 0);
    Variant::ALL.into_iter().for_each(|variant| frame.set(variant, bytes.clone()));
    Arc::new(frame)
}

/// `joined` frames arrive and go to `count` subscribers, half of them per encoding, in one write each.
fn pass(count: u32, joined: u64) -> Box<dyn FnMut()> {
    let bytes = encode::framed(&[b'x'; 508], Encoding::Json);
    let mut slots = Slots::default();
    for conn in 0..count {
        slots.add(Slot { fd: conn as RawFd, conn, cursor: 0, variant: (conn % 2) as u8 });
    }
    let (mut ring, mut sink, mut left, mut n) = (Ring::new(64), Sink(0), Vec::new(), 0);
    Box::new(move || {
        for _ in 0..joined {
            ring.push(frame(n, &bytes));
            slots.frame_came();
            n += 1;
        }
        while slots.is_due() {
            black_box(slots.slice(&ring, &mut sink, PASS_SLICE_SENDS, &mut left));
        }
        assert!(left.is_empty());
        black_box(sink.0);
    })
}

fn comment(n: u32, id: Option<ClientId>) -> Comment {
    let user =
        User { id: format!("g-{n:013}").into(), name: format!("guest {:04}", n % 10_000).into(), role: Role::Guest };
    let text = "这个多少钱 还有吗 主播好 666 哈哈哈哈哈 想要一件".into();
    Comment {
        user,
        id,
        text,
        style: Style::default(),
        media_ms: Some(81_234),
        ext: None,
        first: false,
        deleted: false,
        posted: None,
        left: None,
    }
}

fn encoding(encoding: Encoding) -> Box<dyn FnMut()> {
    let events = (1..=20).map(|n| FrameEvent::comment(n, comment(n as u32, ClientId::new(&format!("c-{n}")))));
    let frame = Frame {
        last: 20,
        at: 1_732_146_000_123,
        likes: 99_123,
        online: 20_311,
        events: events.collect(),
        ..Frame::default()
    };
    let message = ServerMessage::Frame(frame);
    Box::new(move || drop(black_box(encode::message(black_box(&message), encoding))))
}

/// Applies twenty records and likes, and makes their frame: the room's state machine alone.
fn core_tick() -> Box<dyn FnMut()> {
    let settings = CoreSettings {
        frame_events_max: 200,
        snapshot_events: 20,
        counters_us: 1_000_000,
        room: volley::protocol::settings::RoomSettings::unlimited(100),
    };
    let mut core = Core::new(settings, Hex64(7));
    let record = |event| Record { offset: 0, at_ms: 0, digest: digest::EMPTY, event };
    let mut records: Vec<Record> = (0..20).map(|n| record(Event::Comment(comment(n, None)))).collect();
    records.push(record(Event::Likes { add: 17 }));
    let (mut last, mut now_us) = (0, 0);
    Box::new(move || {
        now_us += 100_000;
        for record in &mut records {
            last += 1;
            (record.offset, record.at_ms, record.digest) = (last, now_us / 1_000, Hex64(last));
            black_box(core.apply(record));
        }
        core.complete();
        let frame = core.tick(now_us, now_us / 1_000, 1_000, Wanted::default()).expect("there is something to say");
        core.remember_shown(black_box(frame).viewer.events);
    })
}

fn actor() -> Actor {
    let handle = Arc::new(RoomHandle::new(RoomKey(1), RoomId::new("counts").expect("a name"), 0, 1));
    handle.arrive(0, Variant::default());
    let settings = ActorSettings {
        tick_us: 100_000,
        room: volley::protocol::settings::RoomSettings::unlimited(100),
        tick_groups: 1,
        batch_events_max: 2_000,
        frame_events_max: 200,
        snapshot_events: 20,
        counters_us: 1_000_000,
        heartbeat_us: u64::MAX / 2,
        idle_us: 300_000_000,
        retention: Retention { age_ms: 86_400_000, events: 100_000, bytes: 16 << 20 },
        comment_rate: None,
        like_rate: None,
        deflate: Arc::new(Deflate::new(1_024, || 0)),
    };
    Actor::open(handle, Arc::new(MemoryLog::new(1, 1)), settings, Arc::new(|_| {}), 0).expect("the room opens")
}

/// Twenty comments with ids and likes: gather, append to the memory log, apply, frame, encode as JSON, acknowledge.
fn room_tick(iterations: u32) -> Box<dyn FnMut()> {
    let mut actor = actor();
    let mut batches: Vec<Vec<Said>> =
        (0..iterations).map(|tick| (0..20).map(|n| said(n, &format!("c-{}", tick * 20 + n))).collect()).rev().collect();
    let (mut now_us, mut out) = (0, Vec::with_capacity(64));
    Box::new(move || {
        let batch = batches.pop().expect("as many as were asked for");
        for (n, said) in (0..).zip(batch) {
            actor.take(ConnRef { shard: 0, index: n, generation: 1 }, said, now_us, &mut out);
        }
        actor.take(ConnRef { shard: 0, index: 0, generation: 1 }, Said::Like(17), now_us, &mut out);
        now_us += 100_000;
        actor.run(now_us, now_us / 1_000, &mut out);
        assert_eq!(out.len(), 21, "twenty acks and a frame");
        out.clear();
    })
}

fn said(n: u32, id: &str) -> Said {
    Said::Comment(Box::new(comment(n, ClientId::new(id))))
}

/// Runs the actor of an idle room.
fn room_idle() -> Box<dyn FnMut()> {
    let (mut actor, mut out) = (actor(), Vec::new());
    actor.run(100_000, 100, &mut out);
    out.clear();
    Box::new(move || {
        actor.run(black_box(200_000), 200, &mut out);
        black_box(actor.due_us());
    })
}

/// A comment from its payload to admitted: parse, ranges, rate, text.
fn admitting(encoding: Encoding) -> Box<dyn FnMut()> {
    let json = r#"{"comment":{"id":"c-123","text":"这个多少钱 还有吗 主播好 666 哈哈哈哈哈 想要一件","style":{"mode":"scroll","color":16777215}}}"#;
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let payload = encode::value(&value, encoding);
    let me = comment(1, None).user;
    let (admission, mut now_us) = (Admission::new(&Config::default()), 0);
    Box::new(move || {
        // One second apart: always within the rate, and both buckets are checked.
        now_us += 1_000_000;
        let verdict = admission.admit(&payload, encoding, &me, &mut SessionMeter::default(), now_us);
        assert!(matches!(black_box(verdict), Admitted::Said(Said::Comment(_))));
    })
}

/// A thousand frames into an inbox and out of it, while its shard is awake.
fn inbox() -> Box<dyn FnMut()> {
    let poll = Poll::new().expect("a poll");
    let inbox = Inbox::new(1_024, Waker::new(poll.registry(), Token(0)).expect("a waker"));
    let item = frame(0, &Bytes::from_static(&[b'x'; 512]));
    let mut items: Vec<_> = (0..1_000).map(|_| item.clone()).collect();
    Box::new(move || {
        let _keep = &poll;
        for item in items.drain(..) {
            assert!(inbox.push(item).is_ok(), "there is room");
        }
        while let Some(item) = inbox.pop() {
            items.push(item);
        }
    })
}
