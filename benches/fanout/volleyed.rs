//! Volley's shard with its whole duty cycle, and a tenant that only publishes.

use super::server::{Burst, Sender, Sent, frame};
use bytes::Bytes;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use volley::limits::PASS_SLICE_SENDS;
use volley::metrics::Exporter;
use volley::protocol::codes::Close;
use volley::protocol::encode;
use volley::protocol::frame::{EncodedFrame, RoomKey};
use volley::protocol::local::ConnRef;
use volley::protocol::message::{RenditionReason, ResumeFailure};
use volley::protocol::variant::{Encoding, Variant};
use volley::shard::handle::Shards;
use volley::shard::tenant::{Caps, Cx, Inbound, NewConn, ResumeSource, ShardCommand, Tenant};
use volley::shard::worker::ShardSettings;

const ROOM: RoomKey = RoomKey(1);

const SETTINGS: ShardSettings = ShardSettings {
    ring_frames: 64,
    ping_us: 3_600_000_000,
    idle_us: 7_200_000_000,
    stalled_us: 30_000_000,
    gaps_max: 1_000_000,
    lite_lag_frames: usize::MAX,
};

/// Between checks of the shard's counts, after the last frame.
const LOOK: Duration = Duration::from_millis(10);

/// Checks without a change after which no change is expected: sockets were skipped, with an announced gap.
const LOOKS: usize = 50;

pub struct Volley {
    shards: Shards<Publisher>,
    exporter: Exporter,
    orders: SyncSender<Burst>,
    goes_on: Arc<AtomicBool>,
    /// Frames that were published since the start.
    published: Arc<AtomicU64>,
    viewers: u64,
}

impl Volley {
    pub fn new(sockets: impl Iterator<Item = TcpStream>, viewers: usize) -> Self {
        let exporter = volley::metrics::install().expect("the first recorder");
        let (orders, to_do) = sync_channel(1);
        let goes_on = Arc::new(AtomicBool::new(false));
        let published = Arc::new(AtomicU64::new(0));
        let (flag, counter, to_do) = (goes_on.clone(), published.clone(), std::sync::Mutex::new(Some(to_do)));
        let make = move |_, _| {
            let orders = to_do.lock().ok().and_then(|mut to_do| to_do.take()).expect("one shard");
            let (goes_on, published) = (flag.clone(), counter.clone());
            Publisher { orders, goes_on, published, viewers, burst: None, next_us: 0, last: 0, credit: 0.0 }
        };
        let (shards, _threads) = Shards::start(1, SETTINGS, &Default::default(), make).expect("a shard");
        for stream in sockets {
            let caps = Caps {
                message_bytes_max: 4_096,
                fragments_max: 16,
                backlog_bytes_max: 4_096,
                any_type: false,
                compressed: false,
            };
            let (answer, leftover) = (Bytes::new(), Bytes::new());
            let new = NewConn { stream, answer, leftover, encoding: Encoding::Json, caps, hello: () };
            assert!(shards.accept(Box::new(new)).is_ok(), "the inbox takes all viewers");
        }
        Self { shards, exporter, orders, goes_on, published, viewers: viewers as u64 }
    }

    fn sent(&self) -> Sent {
        let text = self.exporter.render();
        let value = |name: &str| {
            let lines = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        Sent {
            deliveries: value("volley_deliveries_total"),
            bytes: value("volley_delivered_bytes_total"),
            sends: value("volley_sends_total"),
            gaps: value("volley_gaps_total"),
        }
    }
}

impl Sender for Volley {
    fn begin(&mut self, burst: Burst) {
        self.goes_on.store(true, Ordering::Relaxed);
        self.orders.send(burst).expect("the shard runs");
        self.shards.nudge(0);
    }

    fn end(&mut self) -> Sent {
        self.goes_on.store(false, Ordering::Relaxed);
        let (mut sent, mut looks) = (self.sent(), 0);
        loop {
            std::thread::park_timeout(LOOK);
            let later = self.sent();
            looks = if later.sends == sent.sends { looks + 1 } else { 0 };
            let is_whole = later.deliveries == self.published.load(Ordering::Relaxed) * self.viewers;
            if looks > 0 && is_whole || looks >= LOOKS {
                return later;
            }
            sent = later;
        }
    }
}

/// Makes every connection a subscriber, and publishes at an interval. Without an interval it publishes as many frames
/// per slice of the pass as keep the wished number waiting for each subscriber.
struct Publisher {
    orders: Receiver<Burst>,
    goes_on: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    viewers: usize,
    burst: Option<(Burst, Bytes)>,
    next_us: u64,
    last: u64,
    /// Frames that are due, unbounded.
    credit: f64,
}

impl Tenant for Publisher {
    type Hello = ();
    type Session = ();
    type Mail = ();

    fn open(&mut self, cx: &mut Cx<'_, ()>, conn: ConnRef, _: Encoding, (): ()) -> Result<(), Close> {
        cx.commands.push(ShardCommand::Watch { conn, room: ROOM });
        let welcome = encode::framed(b"{}", Encoding::Json);
        cx.commands.push(ShardCommand::Subscribe {
            conn,
            variant: Variant::default(),
            welcome,
            last: self.last,
            likes: 0,
        });
        Ok(())
    }

    fn wake(&mut self, cx: &mut Cx<'_, ()>) {
        if let Ok(burst) = self.orders.try_recv() {
            // An unbounded burst begins with the number that shall wait. The rest at its end compensates for that, so
            // that on average that many were joined.
            (self.next_us, self.credit) = (cx.now_us, burst.join as f64);
            self.burst = Some((burst, frame(burst.bytes)));
        }
        if !self.goes_on.load(Ordering::Relaxed) {
            self.burst = None;
        }
        let Some((burst, bytes)) = &self.burst else { return };
        if burst.interval_us > 0 {
            self.next_us = (self.next_us + burst.interval_us).max(cx.now_us);
            self.credit = 1.0;
        } else {
            self.credit += (burst.join * PASS_SLICE_SENDS) as f64 / self.viewers.max(PASS_SLICE_SENDS) as f64;
        }
        while self.credit >= 1.0 {
            self.credit -= 1.0;
            let mut frame = EncodedFrame::new(ROOM, self.last, self.last + 1, cx.now_us);
            frame.set(Variant::default(), bytes.clone());
            self.last += 1;
            self.published.fetch_add(1, Ordering::Relaxed);
            cx.commands.push(ShardCommand::Frame { shard: cx.shard, frame: Arc::new(frame) });
        }
    }

    fn due_us(&self) -> Option<u64> {
        self.goes_on.load(Ordering::Relaxed).then_some(if self.burst.is_some() { self.next_us } else { 0 })
    }

    fn message(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): &mut (), _: Inbound<'_>) {}
    fn closed(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): ()) {}
    fn mail(&mut self, _: &mut Cx<'_, ()>, (): ()) {}
    fn is_answer((): &()) -> bool {
        false
    }
    fn undelivered(&mut self, _: &mut Cx<'_, ()>, (): ()) {}
    fn welcome(&mut self, _: ConnRef, _: u64, _: ResumeSource) -> Bytes {
        unreachable!("nobody comes back")
    }
    fn not_resumed(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, _: ResumeFailure) {}
    fn forget(&mut self, _: ConnRef) {}
    fn page(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): &(), _: u64) {}
    fn variant(&self, (): &()) -> Variant {
        Variant::default()
    }
    fn stand_by(&mut self, (): &mut (), _: Option<Variant>) {}
    fn turn(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): &()) {}
    fn turned(&mut self, _: &mut Cx<'_, ()>, (): &mut (), _: Variant, _: RenditionReason) {}
    fn flush(&mut self, _: &mut Cx<'_, ()>) {}

    fn bye(&mut self, (): &(), _: Encoding, _: u64) -> Bytes {
        Bytes::new()
    }
}
