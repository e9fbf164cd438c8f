//! A room's last frames on one shard, which the pass and the laggards read.
//!
//! Positions here are *sequence numbers* of this shard's copy of the room, not offsets: they count entries, wrap at
//! 2³² and are compared by distance, which is at most the ring's capacity for any live cursor.

use crate::protocol::encode;
use crate::protocol::frame::{EncodedFrame, RoomKey};
use crate::protocol::ids::Offset;
use crate::protocol::message::{Gap, GapReason, ServerMessage};
use crate::protocol::variant::{Encoding, Variant};
use crate::shard::fanout::kept::GapContents;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// A cursor: the sequence number of the next entry to send.
pub type Seq = u32;

/// The last frames, bounded: a new one replaces the oldest.
#[derive(Debug)]
pub struct Ring {
    entries: VecDeque<Arc<EncodedFrame>>,
    capacity: usize,
    head: Seq,
    last: Option<Offset>,
    /// The room's likes up to `last`.
    likes: u64,
    /// The newest announced gap, while it is in the ring.
    gap: Option<Seq>,
    /// No client resumes from the ring at a position before this one: a later deletion changed frames after it.
    floor: Offset,
    /// The guaranteed events of frames, for gap messages.
    gaps: GapContents,
}

impl Ring {
    /// An empty ring of `capacity` entries (at least 1).
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            capacity: capacity.max(1),
            head: 0,
            last: None,
            likes: 0,
            gap: None,
            floor: 0,
            gaps: GapContents::default(),
        }
    }

    /// Adds a frame. If its `prev` is not the ring's `last`, frames were lost on the way here (a full inbox): an
    /// announced gap is put before it, so that every subscriber learns of the loss. Returns whether that happened.
    pub fn push(&mut self, frame: Arc<EncodedFrame>) -> bool {
        let hole = self.last.filter(|last| frame.prev > *last);
        if let Some(from) = hole {
            let gap = Gap::new(from, frame.prev, GapReason::Overload);
            let entry = gap_frame(frame.room, &gap, frame.published_us, self.likes);
            self.gap = Some(self.head);
            self.put(Arc::new(entry));
        }
        (self.last, self.likes) = (Some(frame.last), frame.likes);
        if !frame.redacts.is_empty() {
            self.floor = frame.prev;
            self.gaps.take_back(&frame.redacts, &self.entries);
        }
        self.put(frame);
        hole.is_some()
    }

    fn put(&mut self, entry: Arc<EncodedFrame>) {
        if self.entries.len() == self.capacity
            && let Some(gone) = self.entries.pop_front()
        {
            self.gaps.keep(&gone);
        }
        self.entries.push_back(entry);
        self.head = self.head.wrapping_add(1);
        self.gap = self.gap.filter(|gap| self.lag(*gap) <= self.entries.len());
    }

    /// Gap messages for the stretch between two frames' ends; see [`GapContents::tell`].
    pub fn gaps(&self, from: Offset, to: Offset, encoding: Encoding) -> Bytes {
        self.gaps.tell((from, to), encoding, &self.entries)
    }

    /// Whether a gap from `from` on may omit guaranteed events; see [`GapContents::lack`].
    pub fn lacks(&self, from: Offset) -> bool {
        self.gaps.lack(from)
    }

    /// The room's position before the first frame came through here, as its home reported it to a joiner, and its likes
    /// there.
    pub fn start_at(&mut self, last: Offset, likes: u64) {
        if self.last.is_none() {
            (self.last, self.likes) = (Some(last), likes);
        }
    }

    /// The position after the newest frame.
    pub fn last(&self) -> Offset {
        self.last.unwrap_or(0)
    }

    /// The cursor of a subscriber at `position` that reads `variant`, if the ring has all frames after it: none is
    /// gone, was lost on the way, shows a comment that was deleted since, or was made while the variant was not in use.
    pub fn cursor(&self, position: Offset, variant: Variant) -> Option<Seq> {
        let begin = self.entries.partition_point(|entry| entry.last <= position);
        let cursor = self.head.wrapping_sub((self.entries.len() - begin) as Seq);
        let is_exact = self.entries.get(begin).map_or(position == self.last(), |entry| entry.prev == position);
        let has_gap = self.gap.is_some_and(|gap| self.lag(gap) <= self.lag(cursor));
        let is_whole = is_exact
            && position >= self.floor
            && !has_gap
            && self.entries.range(begin..).all(|entry| !entry.get(variant).is_empty());
        is_whole.then_some(cursor)
    }

    /// The first cursor, from `cursor` on, after which every entry has bytes of `variant`.
    pub fn whole_from(&self, cursor: Seq, variant: Variant) -> Seq {
        let begin = self.entries.len() - self.lag(cursor).min(self.entries.len());
        let whole = self.entries.range(begin..).rev().take_while(|entry| !entry.get(variant).is_empty()).count();
        self.head.wrapping_sub(whole as Seq)
    }

    /// The highest total of likes that a client at `position` may be told, so that no later frame has a lower one: the
    /// total of the first frame that ends after `position`, or the exact total at the ring's end.
    pub fn likes(&self, position: Offset) -> u64 {
        let next = self.entries.partition_point(|entry| entry.last <= position);
        self.entries.get(next).map_or(self.likes, |entry| entry.likes)
    }

    /// The cursor of a subscriber that has every frame.
    pub fn head(&self) -> Seq {
        self.head
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries a subscriber at `cursor` lacks; more than [`Ring::len`] means that some are gone.
    pub fn lag(&self, cursor: Seq) -> usize {
        self.head.wrapping_sub(cursor) as usize
    }

    /// The newest `lag` entries, oldest first; `lag` is at most [`Ring::len`].
    pub fn newest(&self, lag: usize) -> impl DoubleEndedIterator<Item = &Arc<EncodedFrame>> {
        self.entries.range(self.entries.len() - lag.min(self.entries.len())..)
    }

    /// The entry at `cursor`, if the ring still has it.
    pub fn get(&self, cursor: Seq) -> Option<&Arc<EncodedFrame>> {
        let lag = self.lag(cursor);
        if lag == 0 || lag > self.entries.len() { None } else { self.entries.get(self.entries.len() - lag) }
    }

    /// How many whole frames are in the last `bytes` that a subscriber at `cursor` was sent.
    pub fn frames_in(&self, bytes: usize, cursor: Seq, variant: Variant) -> usize {
        let sent = self.entries.len().saturating_sub(self.lag(cursor));
        let mut left = bytes;
        let fits = |entry: &&Arc<EncodedFrame>| match left.checked_sub(entry.get(variant).len()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        self.entries.range(..sent).rev().filter(|entry| !entry.get(variant).is_empty()).take_while(fits).count()
    }

    /// The offset up to which a subscriber at `cursor` was sent the log. `None` if the ring no longer reaches the
    /// cursor.
    pub fn position(&self, cursor: Seq) -> Option<Offset> {
        match self.lag(cursor) {
            0 => Some(self.last.unwrap_or(0)),
            _ => self.get(cursor).map(|entry| entry.prev),
        }
    }
}

/// A gap announcement as a ring entry, in every variant.
fn gap_frame(room: RoomKey, gap: &Gap, published_us: u64, likes: u64) -> EncodedFrame {
    let mut entry = EncodedFrame::new(room, gap.from, gap.to, published_us);
    entry.likes = likes;
    for variant in Variant::ALL {
        entry.set(variant, encode::message(&ServerMessage::Gap(gap.clone()), variant));
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
    fn the_oldest_goes_and_its_cursor_is_out_of_reach() {
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
    fn bytes_on_the_way_are_counted_in_frames_before_the_cursor() {
        let (mut ring, variant) = (Ring::new(8), Variant::default());
        for (n, bytes) in [100, 200, 0, 300, 400].into_iter().enumerate() {
            let mut frame = EncodedFrame::new(RoomKey(1), n as u64, n as u64 + 1, 0);
            if bytes > 0 {
                frame.set(variant, Bytes::from(vec![0; bytes]));
            }
            ring.push(Arc::new(frame));
        }
        let frames = |bytes, behind| ring.frames_in(bytes, ring.head().wrapping_sub(behind), variant);
        assert_eq!([0, 399, 400, 699, 700, 900, 5_000].map(|bytes| frames(bytes, 0)), [0, 0, 1, 1, 2, 3, 4]);
        assert_eq!([299, 300, 500].map(|bytes| frames(bytes, 1)), [0, 1, 2]);
        assert_eq!(frames(5_000, 60), 0, "a cursor that the ring does not reach");
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
        ring.start_at(10, 3);
        assert_eq!((ring.last(), ring.likes(10)), (10, 3));
        assert!(ring.push(frame(12, 13)), "a frame lost between join and first frame is announced too");
        ring.start_at(99, 9);
        assert_eq!(ring.position(ring.head()), Some(13), "only an empty ring takes it");
    }

    /// A ring of `(prev, last)` frames in JSON only; the likes of each are ten times its `last`.
    fn filled(capacity: usize, frames: &[(Offset, Offset)]) -> Ring {
        let mut ring = Ring::new(capacity);
        for (prev, last) in frames {
            let mut frame = EncodedFrame::new(RoomKey(1), *prev, *last, 0);
            frame.set(Variant::ALL[0], vec![b'x'].into());
            frame.likes = last * 10;
            ring.push(Arc::new(frame));
        }
        ring
    }

    #[test]
    fn no_client_resumes_at_a_position_before_a_deletion() {
        let mut ring = filled(8, &[(0, 2), (2, 5), (5, 9)]);
        let mut frame = EncodedFrame::new(RoomKey(1), 9, 10, 0);
        frame.set(Variant::ALL[0], vec![b'x'].into());
        frame.redacts = vec![1];
        ring.push(Arc::new(frame));
        let resumed = |position| ring.cursor(position, Variant::ALL[0]).map(|cursor| ring.lag(cursor));
        assert_eq!([0, 2, 5, 9, 10].map(resumed), [None, None, None, Some(1), Some(0)]);
    }

    #[test]
    fn a_position_is_resumed_only_where_a_frame_continues_it_exactly() {
        // A heartbeat is a frame without events.
        let ring = filled(4, &[(0, 2), (2, 5), (5, 5), (5, 9), (9, 10)]);
        let resumed = |position| ring.cursor(position, Variant::ALL[0]).map(|cursor| ring.lag(cursor));
        assert_eq!([0, 1, 2, 3, 4].map(resumed), [None, None, Some(4), None, None]);
        assert_eq!([5, 6, 8, 9, 10, 11].map(resumed), [Some(2), None, None, Some(1), Some(0), None]);
        assert_eq!(ring.cursor(2, Variant::ALL[1]), None, "frames that were not encoded for it");
        assert_eq!(ring.cursor(10, Variant::ALL[1]), Some(ring.head()), "nothing to send");
    }

    #[test]
    fn no_client_resumes_across_an_announced_gap() {
        let mut ring = filled(8, &[(0, 2), (2, 5), (7, 9)]);
        let resumed = |ring: &Ring, position| ring.cursor(position, Variant::ALL[0]).map(|cursor| ring.lag(cursor));
        assert_eq!([0, 2, 5, 7, 9].map(|position| resumed(&ring, position)), [None, None, None, Some(1), Some(0)]);
        for n in 9..17 {
            let mut frame = EncodedFrame::new(RoomKey(1), n, n + 1, 0);
            frame.set(Variant::ALL[0], vec![b'x'].into());
            ring.push(Arc::new(frame));
        }
        assert_eq!(resumed(&ring, 9), Some(8), "the gap is forgotten with its entry");
    }

    #[test]
    fn a_variant_is_whole_from_behind_the_last_entry_without_it() {
        let mut ring = filled(4, &[(0, 1), (1, 2)]);
        let start = ring.head().wrapping_sub(2);
        let lite = Variant::ALL[4];
        assert_eq!(ring.whole_from(start, Variant::ALL[0]), start);
        assert_eq!(ring.whole_from(start, lite), ring.head(), "from the next one on");
        for n in 2..4 {
            let mut frame = EncodedFrame::new(RoomKey(1), n, n + 1, 0);
            frame.set(lite, vec![b'x'].into());
            ring.push(Arc::new(frame));
        }
        assert_eq!(ring.whole_from(start, lite), start.wrapping_add(2));
        assert_eq!(ring.whole_from(ring.head(), lite), ring.head());
        assert_eq!(
            ring.whole_from(start.wrapping_sub(9), lite),
            start.wrapping_add(2),
            "a cursor that the ring has lost"
        );
    }

    #[test]
    fn likes_told_at_a_position_never_exceed_those_of_a_frame_after_it() {
        let ring = filled(3, &[(0, 2), (2, 5), (5, 9), (9, 10)]);
        assert_eq!(
            [0, 2, 4, 5, 8, 9, 10, 99].map(|position| ring.likes(position)),
            [50, 50, 50, 90, 90, 100, 100, 100]
        );
    }
}
