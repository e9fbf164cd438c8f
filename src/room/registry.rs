//! The node's rooms by name, and what a room shares with everybody: its handle.

use crate::protocol::encode::{VARIANTS, Variant};
use crate::protocol::ids::RoomId;
use crate::protocol::local::RoomKey;
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// What a room shares across threads: who watches it from where, and figures for the scrape.
#[derive(Debug)]
pub struct RoomHandle {
    /// This incarnation.
    pub key: RoomKey,
    /// Its name.
    pub id: RoomId,
    /// The shard that runs its actor.
    pub home: u16,
    /// Connections that hold the room, from upgrade to close; only changed under the registry's entry lock
    /// on the way up, so that an expiring room is never handed out.
    pub claims: AtomicUsize,
    /// Set when presence changed and the home was (or is about to be) told; cleared by the home.
    pub presence_dirty: AtomicBool,
    presence: Box<[CachePadded<[AtomicU32; VARIANTS]>]>,
    /// Figures for the scrape.
    pub figures: RoomFigures,
}

/// Figures of one room, written by its actor, read by the scrape.
#[derive(Debug, Default)]
pub struct RoomFigures {
    /// Comments in the log since the room opened.
    pub comments: AtomicU64,
    /// Likes total.
    pub likes: AtomicU64,
    /// Comments left out of frames.
    pub shed: AtomicU64,
    /// Frames made.
    pub frames: AtomicU64,
    /// Newest offset.
    pub last: AtomicU64,
}

impl RoomHandle {
    /// A handle without subscribers.
    pub fn new(key: RoomKey, id: RoomId, home: u16, shards: usize) -> Self {
        Self {
            key,
            id,
            home,
            claims: AtomicUsize::new(0),
            presence_dirty: AtomicBool::new(false),
            presence: (0..shards).map(|_| CachePadded::default()).collect(),
            figures: RoomFigures::default(),
        }
    }

    /// A subscriber of `variant` arrived on `shard`. Call before the home is told of the join.
    pub fn arrive(&self, shard: u16, variant: Variant) {
        self.presence[usize::from(shard)][variant.index()].fetch_add(1, Ordering::AcqRel);
    }

    /// A subscriber of `variant` left `shard`.
    pub fn leave(&self, shard: u16, variant: Variant) {
        self.presence[usize::from(shard)][variant.index()].fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether `shard` has subscribers.
    pub fn is_present(&self, shard: u16) -> bool {
        self.presence[usize::from(shard)].iter().any(|n| n.load(Ordering::Acquire) > 0)
    }

    /// Whether anybody on this node uses `variant`.
    pub fn uses(&self, variant: Variant) -> bool {
        self.presence.iter().any(|shard| shard[variant.index()].load(Ordering::Acquire) > 0)
    }

    /// Connections that watch the room on this node.
    pub fn online(&self) -> u64 {
        self.presence.iter().flat_map(|shard| shard.iter()).map(|n| u64::from(n.load(Ordering::Acquire))).sum()
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.presence.len()
    }
}
