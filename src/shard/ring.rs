//! A room's last frames on one shard: where the pass and the laggards read from.
//!
//! Positions here are *sequence numbers* of this shard's copy of the room, not offsets: they count entries, wrap at
//! 2³² and are compared by distance, which is at most the ring's capacity for any live cursor.

use crate::protocol::encode::{self, Variant};
use crate::protocol::frame::{EncodedFrame, RoomKey};
use crate::protocol::ids::Offset;
use crate::protocol::message::{Gap, GapReason, ServerMessage};
use std::collections::VecDeque;
use std::sync::Arc;

/// A cursor: the sequence number of the next entry to send.
pub type Seq = u32;

/// The last frames, bounded; the oldest goes when it is full.
#[derive(Debug)]
pub struct Ring {
    entries: VecDeque<Arc<EncodedFrame>>,
    capacity: usize,
    head: Seq,
    last: Option<Offset>,
}

impl Ring {
    /// An empty ring of `capacity` entries (at least 1).
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity: capacity.max(1), head: 0, last: None }
    }

    /// Adds a frame. When its `prev` is not the ring's `last`, frames were lost on the way here (a full inbox):
    /// an announced gap is put in between, so that every subscriber is told. Returns whether that happened.
    pub fn push(&mut self, frame: Arc<EncodedFrame>) -> bool {
        let hole = self.last.filter(|last| frame.prev > *last);
        if let Some(from) = hole {
            let gap =
                gap_frame(frame.room, Gap { from, to: frame.prev, reason: GapReason::Overload }, frame.published_us);
            self.put(Arc::new(gap));
        }
        self.last = Some(frame.last);
        self.put(frame);
        hole.is_some()
    }

    fn put(&mut self, entry: Arc<EncodedFrame>) {
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.head = self.head.wrapping_add(1);
    }

    /// The room's position before the first frame came through here, as its home reported it to a joiner.
    pub fn start_at(&mut self, last: Offset) {
        self.last.get_or_insert(last);
    }

    /// The cursor of somebody who has everything.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// Entries in the ring.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries `cursor` has not been sent; more than [`Ring::len`] means that some are gone.
    pub fn lag(&self, cursor: Seq) -> usize {
        self.head.wrapping_sub(cursor) as usize
    }

    /// The entries that the last `lag` pushes left, oldest first; `lag` at most [`Ring::len`].
    pub fn newest(&self, lag: usize) -> impl Iterator<Item = &Arc<EncodedFrame>> {
        self.entries.range(self.entries.len() - lag.min(self.entries.len())..)
    }

    /// The entry at `cursor`, if it is still here.
    pub fn get(&self, cursor: Seq) -> Option<&Arc<EncodedFrame>> {
        let lag = self.lag(cursor);
        if lag == 0 || lag > self.entries.len() { None } else { self.entries.get(self.entries.len() - lag) }
    }

    /// Where a subscriber at `cursor` stands in the log: what it has been sent ends here. For a cursor that the
    /// ring no longer reaches: `None`.
    pub fn position(&self, cursor: Seq) -> Option<Offset> {
        match self.lag(cursor) {
            0 => Some(self.last.unwrap_or(0)),
            _ => self.get(cursor).map(|entry| entry.prev),
        }
    }
}

/// A gap announcement as a ring entry, in every variant.
fn gap_frame(room: RoomKey, gap: Gap, published_us: u64) -> EncodedFrame {
    let mut entry = EncodedFrame::new(room, gap.from, gap.to, published_us);
    for variant in Variant::ALL {
        entry.set(variant, encode::websocket_message(&ServerMessage::Gap(gap), variant.encoding));
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(prev: Offset, last: Offset) -> Arc<EncodedFrame> {
        Arc::new(EncodedFrame::new(RoomKey(1), prev, last, 0))
    }

    #[test]
    fn the_oldest_goes_and_a_cursor_beyond_reach_says_so() {
        let mut ring = Ring::new(3);
        let start = ring.head();
        for n in 0..5 {
            assert!(!ring.push(frame(n, n + 1)));
        }
        assert_eq!(ring.lag(start), 5);
        assert!(ring.get(start).is_none());
        assert_eq!(ring.position(start), None);
        let reachable = ring.head().wrapping_sub(3);
        assert_eq!(ring.get(reachable).unwrap().prev, 2);
        assert_eq!(ring.position(reachable), Some(2));
        assert_eq!(ring.position(ring.head()), Some(5));
        assert_eq!(ring.newest(2).map(|f| f.last).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut ring = Ring::new(4);
        ring.head = u32::MAX;
        let cursor = ring.head();
        ring.push(frame(0, 1));
        ring.push(frame(1, 2));
        assert_eq!(ring.lag(cursor), 2);
        assert_eq!(ring.get(cursor).unwrap().last, 1);
    }

    #[test]
    fn a_lost_frame_becomes_an_announced_gap() {
        let mut ring = Ring::new(8);
        ring.push(frame(0, 3));
        assert!(ring.push(frame(5, 7)));
        let entries: Vec<_> = ring.newest(3).map(|f| (f.prev, f.last)).collect();
        assert_eq!(entries, [(0, 3), (3, 5), (5, 7)]);
        let gap = ring.newest(2).next().unwrap().get(Variant::default()).clone();
        assert!(std::str::from_utf8(&gap[2..]).unwrap().contains(r#""gap":{"from":3,"to":5,"reason":"overload"}"#));
    }

    #[test]
    fn a_join_tells_an_empty_ring_where_the_room_is() {
        let mut ring = Ring::new(8);
        ring.start_at(10);
        assert!(ring.push(frame(12, 13)), "a frame lost between join and first frame is announced too");
        ring.start_at(99);
        assert_eq!(ring.position(ring.head()), Some(13), "only an empty ring takes it");
    }
}
