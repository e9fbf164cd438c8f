//! A room's last frames on one shard: where the pass and the laggards read from.
//!
//! Positions here are *sequence numbers* of this shard's copy of the room, not offsets: they count entries, wrap at
//! 2³² and are compared by distance, which is at most the ring's capacity for any live cursor.

use crate::limits::{KEPT_BYTES_MAX, KEPT_FRAMES_MAX};
use crate::protocol::encode::{self, Encoding, Variant};
use crate::protocol::frame::{EncodedFrame, RoomKey};
use crate::protocol::ids::Offset;
use crate::protocol::message::{Gap, GapReason, ServerMessage};
use bytes::{Bytes, BytesMut};
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
    /// The room's likes up to `last`.
    likes: u64,
    /// The newest announced gap, while it is here.
    gap: Option<Seq>,
    /// Nobody resumes from here at a position before this: something was taken back since.
    floor: Offset,
    /// What was guaranteed of entries that are gone, oldest first, for those who were not sent them.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// Up to here some of that is gone, too.
    lost_to: Offset,
}

/// Of one entry that is gone.
#[derive(Debug)]
struct Kept {
    prev: Offset,
    last: Offset,
    /// By encoding.
    bytes: [Bytes; 2],
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
            kept: VecDeque::new(),
            kept_bytes: 0,
            lost_to: 0,
        }
    }

    /// Adds a frame. When its `prev` is not the ring's `last`, frames were lost on the way here (a full inbox):
    /// an announced gap is put in between, so that every subscriber is told. Returns whether that happened.
    pub fn push(&mut self, frame: Arc<EncodedFrame>) -> bool {
        let hole = self.last.filter(|last| frame.prev > *last);
        if let Some(from) = hole {
            let gap = Gap::new(from, frame.prev, GapReason::Overload);
            let entry = gap_frame(frame.room, &gap, frame.published_us, self.likes);
            self.gap = Some(self.head);
            self.put(Arc::new(entry));
        }
        (self.last, self.likes) = (Some(frame.last), frame.likes);
        if frame.redacts {
            self.floor = frame.prev;
            // What they show may be what was taken back.
            if !self.kept.is_empty() || self.entries.iter().any(|entry| entry.keeps()) {
                self.lost_to = frame.prev;
            }
            self.kept.clear();
            self.kept_bytes = 0;
        }
        self.put(frame);
        hole.is_some()
    }

    fn put(&mut self, entry: Arc<EncodedFrame>) {
        if self.entries.len() == self.capacity
            && let Some(gone) = self.entries.pop_front()
        {
            self.keep(&gone);
        }
        self.entries.push_back(entry);
        self.head = self.head.wrapping_add(1);
        self.gap = self.gap.filter(|gap| self.lag(*gap) <= self.entries.len());
    }

    /// Keeps what is guaranteed of an entry that goes.
    fn keep(&mut self, gone: &EncodedFrame) {
        if !gone.keeps() || gone.last <= self.floor {
            return;
        }
        let bytes = [Encoding::Json, Encoding::Msgpack].map(|encoding| gone.kept(encoding).clone());
        let size: usize = bytes.iter().map(Bytes::len).sum();
        self.kept.push_back(Kept { prev: gone.prev, last: gone.last, bytes });
        self.kept_bytes += size;
        while self.kept.len() > KEPT_FRAMES_MAX || self.kept_bytes > KEPT_BYTES_MAX {
            let Some(Kept { last, bytes, .. }) = self.kept.pop_front() else { return };
            self.kept_bytes -= bytes.iter().map(Bytes::len).sum::<usize>();
            self.lost_to = last;
        }
    }

    /// What tells somebody that it is not sent what comes after `from` up to `to`: gaps, each continuing the one before, with what is
    /// guaranteed of it. Both are ends of entries.
    pub fn gaps(&self, from: Offset, to: Offset, encoding: Encoding) -> Bytes {
        let plain =
            |from, to| encode::websocket_message(&ServerMessage::Gap(Gap::new(from, to, GapReason::Slow)), encoding);
        let gone = self.kept.iter().map(|kept| (kept.prev, kept.last, &kept.bytes[encoding.index()]));
        let here = self.entries.iter().filter(|entry| entry.last > self.floor);
        let here = here.map(|entry| (entry.prev, entry.last, entry.kept(encoding)));
        let (mut all, mut at) = (BytesMut::new(), from);
        for (prev, last, bytes) in gone.chain(here) {
            if prev >= from && last <= to && !bytes.is_empty() {
                if at < prev {
                    all.extend_from_slice(&plain(at, prev));
                }
                all.extend_from_slice(bytes);
                at = last;
            }
        }
        if at < to || all.is_empty() {
            all.extend_from_slice(&plain(at, to));
        }
        all.freeze()
    }

    /// Whether a gap that begins at `from` may lack something guaranteed, because too much of that came or something was taken back.
    pub fn lacks(&self, from: Offset) -> bool {
        from < self.lost_to
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

    /// The cursor of somebody who stands exactly at `position` and reads `variant`, if everything after it is here:
    /// no frame is gone, lost on the way, shows what was taken back since, or was made while nobody read that variant.
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

    /// The first place from `cursor` on from which every entry here has bytes of `variant`.
    pub fn whole_from(&self, cursor: Seq, variant: Variant) -> Seq {
        let begin = self.entries.len() - self.lag(cursor).min(self.entries.len());
        let whole = self.entries.range(begin..).rev().take_while(|entry| !entry.get(variant).is_empty()).count();
        self.head.wrapping_sub(whole as Seq)
    }

    /// The most likes that may be told to somebody at `position` so that no frame after it tells less: those of the
    /// first frame that ends after it, and the exact total where the newest ends.
    pub fn likes(&self, position: Offset) -> u64 {
        let next = self.entries.partition_point(|entry| entry.last <= position);
        self.entries.get(next).map_or(self.likes, |entry| entry.likes)
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

    /// How many whole frames the last `bytes` are that a subscriber at `cursor` was sent.
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
fn gap_frame(room: RoomKey, gap: &Gap, published_us: u64, likes: u64) -> EncodedFrame {
    let mut entry = EncodedFrame::new(room, gap.from, gap.to, published_us);
    entry.likes = likes;
    for variant in Variant::ALL {
        entry.set(variant, encode::websocket_message(&ServerMessage::Gap(gap.clone()), variant.encoding));
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

    /// A frame of which something is guaranteed: `bytes` of it.
    fn guaranteed(prev: Offset, last: Offset, bytes: usize) -> EncodedFrame {
        let mut frame = EncodedFrame::new(RoomKey(1), prev, last, 0);
        frame.keep(Encoding::Json, Bytes::from(format!("<{prev}-{last}>{}", ".".repeat(bytes))));
        frame
    }

    /// What `ring` tells of a gap, without WebSocket headers: `from-to` of plain gaps, and what is kept.
    fn told(ring: &Ring, from: Offset, to: Offset) -> String {
        let (bytes, mut text) = (ring.gaps(from, to, Encoding::Json), String::new());
        let mut rest = &bytes[..];
        while let [first, tail @ ..] = rest {
            // A header is this byte and a length.
            let is_header = *first == 0x81;
            rest = if is_header { &tail[1..] } else { tail };
            text.extend((!is_header).then(|| char::from(*first)));
        }
        text.replace(r#"{"gap":{"from":"#, "(").replace(r#","to":"#, "-").replace(r#","reason":"slow"}}"#, ")")
    }

    #[test]
    fn a_gap_has_what_is_guaranteed_of_it_wherever_that_is() {
        let mut ring = Ring::new(2);
        for n in 0..10 {
            ring.push(if n % 4 == 1 { Arc::new(guaranteed(n, n + 1, 0)) } else { frame(n, n + 1) });
        }
        assert_eq!(told(&ring, 0, 10), "(0-1)<1-2>(2-5)<5-6>(6-9)<9-10>", "the last is still in the ring");
        assert_eq!(told(&ring, 1, 6), "<1-2>(2-5)<5-6>");
        assert_eq!(told(&ring, 2, 5), "(2-5)");
        assert_eq!(told(&ring, 5, 9), "<5-6>(6-9)");
        assert!(!ring.lacks(0));
    }

    #[test]
    fn what_is_kept_for_gaps_is_bounded_and_the_oldest_goes() {
        for (bytes, left) in [(10, KEPT_FRAMES_MAX as u64), (KEPT_BYTES_MAX / 4, 3)] {
            let mut ring = Ring::new(1);
            for n in 0..100 {
                ring.push(Arc::new(guaranteed(n, n + 1, bytes)));
            }
            assert_eq!((ring.kept.len() as u64, ring.lost_to), (left, 99 - left), "{bytes}");
            assert!(ring.kept_bytes <= KEPT_BYTES_MAX);
            assert!(ring.lacks(98 - left) && !ring.lacks(99 - left));
        }
    }

    #[test]
    fn no_gap_shows_what_was_taken_back() {
        let mut ring = Ring::new(2);
        for n in 0..4 {
            ring.push(Arc::new(guaranteed(n, n + 1, 0)));
        }
        let mut redacting = guaranteed(4, 5, 0);
        redacting.redacts = true;
        ring.push(Arc::new(redacting));
        assert_eq!(told(&ring, 0, 5), "(0-4)<4-5>", "whether it was gone then");
        assert!(ring.lacks(0) && !ring.lacks(4), "which is counted");
        for n in 5..8 {
            ring.push(frame(n, n + 1));
        }
        assert_eq!(told(&ring, 0, 8), "(0-4)<4-5>(5-8)", "or not");
    }

    #[test]
    fn bytes_on_the_way_are_so_many_of_the_frames_before_the_cursor() {
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

    /// `(prev, last)` frames in JSON alone, each with ten times its `last` in likes.
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
    fn nobody_resumes_into_what_was_taken_back() {
        let mut ring = filled(8, &[(0, 2), (2, 5), (5, 9)]);
        let mut frame = EncodedFrame::new(RoomKey(1), 9, 10, 0);
        frame.set(Variant::ALL[0], vec![b'x'].into());
        frame.redacts = true;
        ring.push(Arc::new(frame));
        let resumed = |position| ring.cursor(position, Variant::ALL[0]).map(|cursor| ring.lag(cursor));
        assert_eq!([0, 2, 5, 9, 10].map(resumed), [None, None, None, Some(1), Some(0)]);
    }

    #[test]
    fn a_position_is_resumed_only_where_a_frame_continues_it_exactly() {
        // A heartbeat is a frame that moves nothing.
        let ring = filled(4, &[(0, 2), (2, 5), (5, 5), (5, 9), (9, 10)]);
        let resumed = |position| ring.cursor(position, Variant::ALL[0]).map(|cursor| ring.lag(cursor));
        assert_eq!([0, 1, 2, 3, 4].map(resumed), [None, None, Some(4), None, None]);
        assert_eq!([5, 6, 8, 9, 10, 11].map(resumed), [Some(2), None, None, Some(1), Some(0), None]);
        assert_eq!(ring.cursor(2, Variant::ALL[1]), None, "frames that were not encoded for it");
        assert_eq!(ring.cursor(10, Variant::ALL[1]), Some(ring.head()), "nothing to send");
    }

    #[test]
    fn nobody_resumes_across_an_announced_gap() {
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
        assert_eq!(ring.whole_from(start.wrapping_sub(9), lite), start.wrapping_add(2), "whoever the ring lost");
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
