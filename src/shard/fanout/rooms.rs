//! The rooms that have subscribers on this shard: rings, slots, and the order in which the pass serves them.

use crate::protocol::frame::RoomKey;
use crate::shard::fanout::pass::Slots;
use crate::shard::fanout::ring::Ring;
use slab::Slab;
use std::collections::{HashMap, VecDeque};

/// One room as this shard sees it.
#[derive(Debug)]
pub(in crate::shard) struct LocalRoom {
    pub key: RoomKey,
    pub ring: Ring,
    pub slots: Slots,
    /// Connections in the room: joining, caught up or lagging.
    pub watchers: u32,
    pub laggards: u32,
    /// Connections (index, generation) that catch up and wait for the next frame.
    pub parked: Vec<(u32, u32)>,
    /// Whether it is in the queue of due rooms.
    queued: bool,
    /// When the pass under way began, in monotonic microseconds.
    pub pass_began_us: u64,
    /// When its subscribers were last sampled, in monotonic microseconds.
    pub sampled_us: u64,
}

/// All rooms of a shard. Bounded by the shard's connections: a room without connections is removed.
#[derive(Debug)]
pub(in crate::shard) struct LocalRooms {
    rooms: Slab<LocalRoom>,
    by_key: HashMap<RoomKey, u32>,
    due: VecDeque<u32>,
    ring_frames: usize,
    laggards: usize,
}

impl LocalRooms {
    pub(in crate::shard) fn new(ring_frames: usize) -> Self {
        Self { rooms: Slab::new(), by_key: HashMap::new(), due: VecDeque::new(), ring_frames, laggards: 0 }
    }

    /// Adds a connection to the room; returns the room's index.
    pub(in crate::shard) fn hold(&mut self, key: RoomKey) -> u32 {
        let ring_frames = self.ring_frames;
        let rooms = &mut self.rooms;
        let index = *self.by_key.entry(key).or_insert_with(|| {
            rooms.insert(LocalRoom {
                key,
                ring: Ring::new(ring_frames),
                slots: Slots::default(),
                watchers: 0,
                laggards: 0,
                parked: Vec::new(),
                queued: false,
                pass_began_us: 0,
                sampled_us: 0,
            }) as u32
        });
        self.rooms[index as usize].watchers += 1;
        index
    }

    /// Removes a connection from the room. It must have left slots and laggards before.
    pub(in crate::shard) fn release(&mut self, index: u32) {
        let room = &mut self.rooms[index as usize];
        room.watchers -= 1;
        // The caller may be in a pass over the room; `next_due` removes it.
        if room.watchers == 0 && !room.queued {
            room.queued = true;
            self.due.push_back(index);
        }
    }

    fn remove(&mut self, index: u32) {
        let room = self.rooms.remove(index as usize);
        self.by_key.remove(&room.key);
    }

    pub(in crate::shard) fn find(&self, key: RoomKey) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    pub(in crate::shard) fn get(&mut self, index: u32) -> &mut LocalRoom {
        &mut self.rooms[index as usize]
    }

    /// The ring of the room, for a connection of it.
    pub(in crate::shard) fn ring(&self, index: u32) -> Option<&Ring> {
        self.rooms.get(index as usize).map(|room| &room.ring)
    }

    /// Queues the room: it has frames to send.
    pub(in crate::shard) fn make_due(&mut self, index: u32) {
        let room = &mut self.rooms[index as usize];
        if !room.queued && room.slots.is_due() {
            room.queued = true;
            self.due.push_back(index);
        }
    }

    /// Takes the next room out of the queue; [`LocalRooms::make_due`] puts it back.
    pub(in crate::shard) fn next_due(&mut self) -> Option<u32> {
        while let Some(index) = self.due.pop_front() {
            let room = &mut self.rooms[index as usize];
            room.queued = false;
            if room.watchers == 0 {
                self.remove(index);
            } else if room.slots.is_due() {
                return Some(index);
            }
        }
        None
    }

    pub(in crate::shard) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    pub(in crate::shard) fn lagging(&mut self, index: u32, more: bool) {
        let room = &mut self.rooms[index as usize];
        if more {
            room.laggards += 1;
            self.laggards += 1;
        } else {
            room.laggards -= 1;
            self.laggards -= 1;
        }
    }

    pub(in crate::shard) fn laggards(&self) -> usize {
        self.laggards
    }
}
