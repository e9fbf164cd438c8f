//! An actor under test: the test is its home shard.

use super::lagging::LaggingLog;
use crate::log::Retention;
use crate::protocol::deflate::Deflate;
use crate::protocol::frame::{EncodedFrame, Frame};
use crate::protocol::ids::RoomId;
use crate::protocol::local::RoomKey;
use crate::protocol::message::{Ack, ErrorMessage, ServerMessage};
use crate::protocol::variant::{Encoding, Variant};
use crate::room::actor::{Actor, ActorSettings, Effect};
use crate::room::registry::RoomHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const JSON: Variant = Variant::ALL[0];
pub(super) const MSGPACK: Variant = Variant::ALL[1];
pub(super) const TICK_US: u64 = 100_000;

pub(super) fn settings() -> ActorSettings {
    ActorSettings {
        tick_us: TICK_US,
        room: crate::protocol::settings::RoomSettings::unlimited(100),
        tick_groups: 1,
        batch_events_max: 100,
        frame_events_max: 10,
        snapshot_events: 5,
        counters_us: 1_000_000,
        heartbeat_us: 15_000_000,
        idle_us: 300_000_000,
        retention: Retention { age_ms: u64::MAX, events: 100_000, bytes: usize::MAX },
        comment_rate: None,
        like_rate: None,
        deflate: Arc::new(Deflate::new(1_000, || 0)),
    }
}

pub(super) struct Rig {
    pub(super) handle: Arc<RoomHandle>,
    pub(super) log: Arc<LaggingLog>,
    pub(super) actor: Actor,
    pub(super) now_us: u64,
    /// How far the wall clock is ahead of the monotonic clock.
    pub(super) ahead_ms: i64,
    pub(super) out: Vec<Effect>,
    pub(super) wakes: Arc<AtomicUsize>,
}

impl Rig {
    pub(super) fn new(log: Arc<LaggingLog>, settings: ActorSettings) -> Self {
        let handle = Arc::new(RoomHandle::new(RoomKey(3), RoomId::new("demo").unwrap(), 0, 2));
        let wakes = Arc::new(AtomicUsize::new(0));
        let counter = wakes.clone();
        let waker = Arc::new(move |key| {
            assert_eq!(key, RoomKey(3));
            counter.fetch_add(1, Ordering::Relaxed);
        });
        // Between two grid points, like all operations of users.
        let now_us = 1_030_000;
        let actor = Actor::open(handle.clone(), log.clone(), settings, waker, now_us).unwrap();
        Self { handle, log, actor, now_us, ahead_ms: 1_000, out: Vec::new(), wakes }
    }

    /// A rig with one viewer of the JSON variant, which has its first frame of counters.
    pub(super) fn watched(log: Arc<LaggingLog>, settings: ActorSettings) -> Self {
        let mut rig = Self::new(log, settings);
        rig.arrive(JSON);
        rig.run_for(2 * TICK_US);
        rig.out.clear();
        rig
    }

    pub(super) fn arrive(&mut self, variant: Variant) {
        self.handle.arrive(1, variant);
        self.actor.presence_changed(self.now_us);
    }

    pub(super) fn leave(&mut self, variant: Variant) {
        self.handle.leave(1, variant);
        self.actor.presence_changed(self.now_us);
    }

    pub(super) fn run(&mut self) {
        // The clock module has no times before 1970.
        let wall_ms = (self.now_us / 1_000).saturating_add_signed(self.ahead_ms);
        self.actor.run(self.now_us, wall_ms, &mut self.out);
    }

    /// Lets `us` pass and runs the actor exactly when it asks for it. Returns the number of runs.
    pub(super) fn run_for(&mut self, us: u64) -> usize {
        let end_us = self.now_us + us;
        let mut runs = 0;
        while let Some(due_us) = self.actor.due_us()
            && due_us <= end_us
        {
            self.now_us = self.now_us.max(due_us);
            self.run();
            runs += 1;
            assert!(runs < 10_000, "the actor asks to be run again and again at {}", self.now_us);
        }
        self.now_us = end_us;
        runs
    }

    /// The messages (JSON) published since the last call, with their times.
    pub(super) fn published(&mut self) -> Vec<(u64, ServerMessage)> {
        let take = self.out.extract_if(.., |effect| matches!(effect, Effect::Frame { .. }));
        take.map(|effect| {
            let Effect::Frame { frame } = effect else { unreachable!() };
            let message = decode(&frame, JSON);
            let (prev, last) = match &message {
                ServerMessage::Frame(frame) => (frame.prev, frame.last),
                ServerMessage::Heartbeat(heartbeat) => (heartbeat.last, heartbeat.last),
                other => panic!("published {other:?}"),
            };
            assert_eq!((frame.prev, frame.last), (prev, last), "the shared frame says the same as its bytes");
            assert_eq!(frame.room, RoomKey(3));
            (frame.published_us, message)
        })
        .collect()
    }

    /// The frames published since the last call; heartbeats are left out.
    pub(super) fn frames(&mut self) -> Vec<Frame> {
        let frame = |(_, message)| if let ServerMessage::Frame(frame) = message { Some(frame) } else { None };
        self.published().into_iter().filter_map(frame).collect()
    }

    /// Acks since the last call.
    pub(super) fn acks(&mut self) -> Vec<Ack> {
        let mut acks = Vec::new();
        self.out.retain(|effect| match effect {
            Effect::Reply { message: ServerMessage::Ack(ack), .. } => {
                acks.push(ack.clone());
                false
            }
            _ => true,
        });
        acks
    }

    /// Errors since the last call.
    pub(super) fn errors(&mut self) -> Vec<ErrorMessage> {
        let mut errors = Vec::new();
        self.out.retain(|effect| match effect {
            Effect::Reply { message: ServerMessage::Error(error), .. } => {
                errors.push(error.clone());
                false
            }
            _ => true,
        });
        errors
    }
}

pub(super) fn decode(frame: &EncodedFrame, variant: Variant) -> ServerMessage {
    decode_bytes(frame.get(variant), variant.encoding)
}

/// Reads one whole unmasked WebSocket frame (RFC 6455, 5.2).
pub(super) fn decode_bytes(bytes: &[u8], encoding: Encoding) -> ServerMessage {
    let opcode = if encoding == Encoding::Json { 0x81 } else { 0x82 };
    assert_eq!(bytes[0], opcode, "final, and of the encoding's type");
    let (length, payload) = match bytes[1] {
        126 => (u64::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap())), &bytes[4..]),
        127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()), &bytes[10..]),
        short => (u64::from(short), &bytes[2..]),
    };
    assert_eq!(length, payload.len() as u64);
    match encoding {
        Encoding::Json => serde_json::from_slice(payload).unwrap(),
        Encoding::Msgpack => rmp_serde::from_slice(payload).unwrap(),
    }
}
