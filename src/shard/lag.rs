//! A laggard's backlog: what waits for one blocked socket, and its way back to the dense slots.
//!
//! Only the cut rest of one write and a bounded run of control answers are held here; frames stay in the room's
//! ring, and the laggard is a cursor into it. One who comes back from further behind than the ring reaches holds one
//! page of the past at a time, which it shares with others.

use super::pass::{Tally, Wire};
use super::ring::{Ring, Seq};
use crate::limits::JOIN_FRAMES_MAX;
use crate::protocol::encode::{self, Variant};
use crate::protocol::ids::Offset;
use crate::protocol::message::{Gap, GapReason, ServerMessage};
use bytes::Bytes;
use rustix::fd::RawFd;
use rustix::io::Errno;
use smallvec::{SmallVec, smallvec};
use std::io::IoSlice;

/// Where a subscriber that is not caught up stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Follow {
    /// What it gets.
    pub variant: Variant,
    /// Next entry of the ring.
    pub cursor: Seq,
    /// The offset up to which it was sent (counting the cut rest as sent: it goes first).
    pub position: Offset,
    /// What it resumed is promised whole up to here: until then it gets pages instead of a gap.
    pub whole_until: Offset,
}

/// Where a subscriber stands that the ring does not reach (yet): it is brought pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chase {
    /// What it gets.
    pub variant: Variant,
    /// The offset up to which it was sent, counting what waits.
    pub position: Offset,
    /// See [`Follow::whole_until`].
    pub whole_until: Offset,
    /// Whether its welcome was sent: not before the first page is here, which proves that the promise can be kept.
    pub is_welcomed: bool,
    /// Whether a page is on the way, or else a frame is waited for.
    pub is_waiting: bool,
}

/// Where a subscriber's variant changes.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// The first entry of the ring that goes out in the new one.
    pub at: Seq,
    /// The new one.
    pub variant: Variant,
    /// What is said right before.
    pub notice: Bytes,
}

/// What waits for a blocked socket.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// The rest of a message that was cut, or a welcome and a page: goes before everything else.
    rest: SmallVec<[Bytes; 3]>,
    /// Whether `rest` ends with a room's frame.
    rest_is_delivery: bool,
    /// Whole control answers; the first may be cut.
    control: Vec<u8>,
    /// The newest pong; older ones answer nothing that is still of interest.
    pong: Bytes,
    /// Set for subscribers whom the ring reaches.
    pub follow: Option<Follow>,
    /// Set for those whom it does not.
    pub chase: Option<Chase>,
    /// Set for one that follows and is to read another variant.
    pub turn: Option<Turn>,
    /// When the newest page came.
    page_us: u64,
    /// Whether it stands in the queue of those who catch up.
    pub is_queued: bool,
    /// When the socket last took something.
    pub moved_us: u64,
    /// Where a gap begins that is not told yet: it grows until the socket takes something, so that one stall is one gap.
    gap_from: Option<Offset>,
    /// Gaps told during this lag that the connection has not counted yet.
    pub gaps: u32,
    /// Frames that those gaps skipped.
    pub gap_frames: u64,
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing waits any more.
    CaughtUp,
    /// The socket is full again.
    Blocked,
    /// The socket is broken.
    Broken,
}

impl Lag {
    /// A backlog to which something is about to be added.
    pub(super) fn with_nothing(now_us: u64) -> Box<Self> {
        Box::new(Self { moved_us: now_us, ..Self::default() })
    }

    /// A backlog that begins with the rest of a write of one frame or control answer.
    pub(super) fn with_rest(rest: Bytes, now_us: u64) -> Box<Self> {
        Box::new(Self { rest: smallvec![rest], moved_us: now_us, ..Self::default() })
    }

    /// A backlog of a subscriber whose last write took `sent` bytes of what waited from `cursor` on.
    pub(super) fn after_cut(ring: &Ring, variant: Variant, cursor: Seq, sent: usize, now_us: u64) -> Box<Self> {
        // A cursor that the ring no longer reaches gets its position from the gap that follows.
        let position = ring.position(cursor).unwrap_or(0);
        let mut lag = Self { moved_us: now_us, ..Self::default() };
        let mut follow = Follow { variant, cursor, position, whole_until: 0 };
        lag.advance_frames(ring, &mut follow, sent);
        lag.follow = Some(follow);
        Box::new(lag)
    }

    /// Whether the room has something for it that it was not sent.
    pub(super) fn is_behind(&self) -> bool {
        self.follow.is_some() || self.chase.is_some()
    }

    /// Whether it was sent a welcome, or will be before anything else.
    pub(super) fn is_welcomed(&self) -> bool {
        self.follow.is_some() || self.chase.is_some_and(|chase| chase.is_welcomed)
    }

    /// Whether the socket is asked to take anything.
    pub(super) fn is_waiting_for_socket(&self) -> bool {
        !self.rest.is_empty() || !self.control.is_empty() || !self.pong.is_empty() || self.follow.is_some()
    }

    /// How many frames it is behind; one whose page the socket has not taken for `patience_us`, more than the ring tells.
    pub(super) fn frames_behind(&self, ring: &Ring, now_us: u64, patience_us: u64) -> usize {
        match (self.follow, self.chase) {
            (Some(follow), _) => ring.lag(follow.cursor),
            (None, Some(_)) if self.is_waiting_for_socket() && now_us - self.page_us > patience_us => usize::MAX,
            _ => 0,
        }
    }

    /// Adds a whole message that goes before control answers and frames.
    pub(super) fn add_message(&mut self, message: Bytes) {
        self.rest.push(message);
    }

    /// Adds whole frames in pieces, which end with a page.
    pub(super) fn add_page(&mut self, pieces: impl IntoIterator<Item = Bytes>, now_us: u64) {
        if !self.is_waiting_for_socket() {
            self.moved_us = now_us; // Until now it waited for us.
        }
        self.page_us = now_us;
        self.rest.extend(pieces);
        self.rest_is_delivery = true;
    }

    /// Adds a whole control frame; false when there is no room for it.
    pub(super) fn add_control(&mut self, frame: &[u8], bytes_max: usize) -> bool {
        let fits = self.control.len() + frame.len() <= bytes_max;
        if fits {
            self.control.extend_from_slice(frame);
        }
        fits
    }

    /// Replaces the waiting pong.
    pub(super) fn set_pong(&mut self, frame: Bytes) {
        self.pong = frame;
    }

    /// Writes what waits, then the ring's frames, until nothing waits or the socket is full.
    /// `ring` is the room's when `follow` is set.
    pub(super) fn flush<W: Wire>(
        &mut self,
        fd: RawFd,
        ring: Option<&Ring>,
        wire: &mut W,
        now_us: u64,
        tally: &mut Tally,
    ) -> Flushed {
        loop {
            if let (Some(ring), Some(mut follow)) = (ring, self.follow) {
                self.skip_what_is_gone(ring, &mut follow);
                self.turn_if_there(&mut follow);
                self.follow = Some(follow).filter(|_| self.chase.is_none());
            }
            let gap = self.untold_gap();
            let frames: SmallVec<[&Bytes; JOIN_FRAMES_MAX]> = match (ring, self.follow) {
                (Some(ring), Some(follow)) => ring
                    .newest(ring.lag(follow.cursor))
                    .take(
                        self.turn.as_ref().map_or(JOIN_FRAMES_MAX, |turn| turn.at.wrapping_sub(follow.cursor) as usize),
                    )
                    .take(JOIN_FRAMES_MAX)
                    .map(|entry| entry.get(follow.variant))
                    .collect(),
                _ => SmallVec::new(),
            };
            let parts: SmallVec<[IoSlice<'_>; JOIN_FRAMES_MAX + 6]> = (self.rest.iter().map(|bytes| &bytes[..]))
                .chain([&self.control[..], &self.pong, &gap])
                .chain(frames.iter().map(|bytes| &bytes[..]))
                .filter(|part| !part.is_empty())
                .map(IoSlice::new)
                .collect();
            if parts.is_empty() {
                return Flushed::CaughtUp;
            }
            tally.sends += 1;
            match wire.send_joined(fd, &parts) {
                Ok(0) | Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM) => return Flushed::Blocked,
                Err(_) => return Flushed::Broken,
                Ok(sent) => {
                    drop(parts);
                    drop(frames);
                    tally.bytes += sent as u64;
                    self.moved_us = now_us;
                    tally.deliveries += self.advance(ring, sent, gap);
                }
            }
        }
    }

    /// Announces and skips what the ring no longer has: goes on near the newest, so that it is not overrun at once.
    fn skip_what_is_gone(&mut self, ring: &Ring, follow: &mut Follow) {
        let lag = ring.lag(follow.cursor);
        if lag <= ring.len() {
            return;
        }
        if follow.position < follow.whole_until {
            // Pages can turn wherever they begin.
            follow.cursor = self.turn.as_ref().map_or(follow.cursor, |turn| turn.at);
            self.turn_if_there(follow);
            let Follow { variant, position, whole_until, .. } = *follow;
            self.chase = Some(Chase { variant, position, whole_until, is_welcomed: true, is_waiting: false });
            return;
        }
        let keep = (ring.len() / 8).max(1);
        let Some(entry) = ring.newest(keep).next() else { return };
        self.gap_from.get_or_insert(follow.position);
        self.gap_frames += (lag - keep) as u64;
        follow.cursor = ring.head().wrapping_sub(keep as Seq);
        follow.position = entry.prev;
    }

    /// At its turn, the notice goes out behind the last frame of the old variant.
    fn turn_if_there(&mut self, follow: &mut Follow) {
        // By distance: a gap may have led past the turn. No cursor is half the numbers away.
        if let Some(turn) = self.turn.take_if(|turn| turn.at.wrapping_sub(follow.cursor) as i32 <= 0) {
            follow.variant = turn.variant;
            self.rest.push(turn.notice);
        }
    }

    /// The gap as it stands now; empty: there is none.
    fn untold_gap(&self) -> Bytes {
        match (self.gap_from, self.follow) {
            (Some(from), Some(follow)) => {
                let gap = Gap { from, to: follow.position, reason: GapReason::Slow };
                encode::websocket_message(&ServerMessage::Gap(gap), follow.variant.encoding)
            }
            _ => Bytes::new(),
        }
    }

    /// `sent` bytes are gone, of what waited and then of `gap`; returns how many frames of the room are whole with that.
    fn advance(&mut self, ring: Option<&Ring>, mut sent: usize, mut gap: Bytes) -> u64 {
        let mut deliveries = 0;
        while let Some(piece) = self.rest.first_mut() {
            let taken = sent.min(piece.len());
            bytes::Buf::advance(piece, taken);
            sent -= taken;
            if !piece.is_empty() {
                return 0;
            }
            self.rest.remove(0);
        }
        deliveries += u64::from(std::mem::take(&mut self.rest_is_delivery));
        let taken = sent.min(self.control.len());
        self.control.drain(..taken);
        sent -= taken;
        if sent > 0 && !self.pong.is_empty() {
            let taken = sent.min(self.pong.len());
            let cut = std::mem::take(&mut self.pong).split_off(taken);
            self.rest.extend(Some(cut).filter(|cut| !cut.is_empty()));
            sent -= taken;
        }
        if sent > 0 && !gap.is_empty() {
            let cut = gap.split_off(sent.min(gap.len()));
            sent -= gap.len();
            self.rest.extend(Some(cut).filter(|cut| !cut.is_empty()));
            self.gap_from = None;
            self.gaps += 1;
        }
        if let (Some(ring), Some(mut follow)) = (ring, self.follow) {
            deliveries += self.advance_frames(ring, &mut follow, sent);
            self.follow = Some(follow);
        }
        deliveries
    }

    fn advance_frames(&mut self, ring: &Ring, follow: &mut Follow, mut sent: usize) -> u64 {
        let mut deliveries = 0;
        while sent > 0 {
            let Some(entry) = ring.get(follow.cursor) else { break };
            let bytes = entry.get(follow.variant);
            follow.cursor = follow.cursor.wrapping_add(1);
            follow.position = entry.last;
            if sent < bytes.len() {
                self.rest.push(bytes.slice(sent..));
                self.rest_is_delivery = true;
                break;
            }
            sent -= bytes.len();
            deliveries += 1;
        }
        deliveries
    }

    /// The connection closes: frames no longer matter, but a cut frame must end before the close frame.
    pub(super) fn stop_following(&mut self) {
        (self.follow, self.chase, self.turn, self.gap_from) = (None, None, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::{EncodedFrame, RoomKey};
    use std::sync::Arc;

    /// Takes `room` bytes, then blocks until more room is given.
    struct Narrow {
        room: usize,
        got: Vec<u8>,
    }

    impl Wire for Narrow {
        fn send(&mut self, _: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
            let n = bytes.len().min(self.room);
            if n == 0 {
                return Err(Errno::AGAIN);
            }
            self.got.extend(&bytes[..n]);
            self.room -= n;
            Ok(n)
        }
        fn send_joined(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.send(fd, &all)
        }
    }

    fn push(ring: &mut Ring, n: u8) {
        let mut frame = EncodedFrame::new(RoomKey(0), u64::from(n), u64::from(n) + 1, 0);
        frame.set(Variant::default(), Bytes::from(vec![n; 10]));
        ring.push(Arc::new(frame));
    }

    #[test]
    fn any_cut_is_mended_and_nothing_is_lost_doubled_or_swapped() {
        for first_cut in 0..30 {
            for step in 1..12 {
                let mut ring = Ring::new(8);
                let start = ring.head();
                (0..3).for_each(|n| push(&mut ring, n));
                let mut wire = Narrow { room: 0, got: vec![] };
                let expected: Vec<u8> = (0..3).flat_map(|n| vec![n; 10]).collect();
                wire.got.extend(&expected[..first_cut]);
                let mut lag = Lag::after_cut(&ring, Variant::default(), start, first_cut, 0);
                let mut tally = Tally::default();
                while lag.flush(1, Some(&ring), &mut wire, 0, &mut tally) == Flushed::Blocked {
                    wire.room = step;
                }
                assert_eq!(wire.got, expected, "cut {first_cut} step {step}");
                assert_eq!(lag.follow.unwrap().position, 3);
                assert_eq!(tally.deliveries as usize, 3 - first_cut / 10);
            }
        }
    }

    #[test]
    fn slow_viewer_gets_a_gap_not_a_silence() {
        let mut ring = Ring::new(8);
        let start = ring.head();
        push(&mut ring, 0);
        let mut lag = Lag::after_cut(&ring, Variant::default(), start, 4, 0);
        (1..30).for_each(|n| push(&mut ring, n));
        let mut wire = Narrow { room: 10_000, got: vec![] };
        assert_eq!(lag.flush(1, Some(&ring), &mut wire, 5, &mut Tally::default()), Flushed::CaughtUp);
        assert_eq!(wire.got[..6], [0; 6], "the cut frame ends first");
        let text = String::from_utf8_lossy(&wire.got);
        assert!(text.contains(r#"{"gap":{"from":1,"to":29,"reason":"slow"}}"#), "{text}");
        assert_eq!(wire.got[wire.got.len() - 10..], [29; 10]);
        assert_eq!((lag.gaps, lag.gap_frames), (1, 28));
    }

    #[test]
    fn one_stall_is_one_gap_however_often_the_ring_is_overrun_and_however_it_is_cut() {
        for step in 1..60 {
            let mut ring = Ring::new(8);
            let start = ring.head();
            push(&mut ring, 0);
            let mut lag = Lag::after_cut(&ring, Variant::default(), start, 4, 0);
            let (mut wire, mut tally) = (Narrow { room: 0, got: vec![] }, Tally::default());
            for n in 1..90 {
                push(&mut ring, n);
                assert_eq!(lag.flush(1, Some(&ring), &mut wire, 5, &mut tally), Flushed::Blocked);
                assert_eq!(lag.gaps, 0, "nobody was told");
            }
            while lag.flush(1, Some(&ring), &mut wire, 5, &mut tally) == Flushed::Blocked {
                wire.room = step;
            }
            let text = String::from_utf8_lossy(&wire.got[6..]).into_owned();
            assert_eq!(text.matches("gap").count(), 1, "step {step}: {text}");
            let to: u8 = text.split_once(r#""to":"#).unwrap().1.split_once(',').unwrap().0.parse().unwrap();
            assert!(text.contains(r#"{"gap":{"from":1,"#), "{text}");
            let frames: Vec<u8> = (to..90).flat_map(|n| vec![n; 10]).collect();
            assert!(wire.got.ends_with(&frames), "everything after the gap, once: step {step}, to {to}");
            assert_eq!((lag.gaps, lag.gap_frames), (1, u64::from(to) - 1));
        }
    }

    #[test]
    fn what_is_promised_whole_becomes_pages_where_others_get_a_gap() {
        let mut ring = Ring::new(8);
        let start = ring.head();
        push(&mut ring, 0);
        let mut lag = Lag::after_cut(&ring, Variant::default(), start, 4, 0);
        lag.follow.as_mut().unwrap().whole_until = 20;
        (1..30).for_each(|n| push(&mut ring, n));
        let mut wire = Narrow { room: 10_000, got: vec![] };
        assert_eq!(lag.flush(1, Some(&ring), &mut wire, 5, &mut Tally::default()), Flushed::CaughtUp);
        assert_eq!(wire.got, [0; 6], "the cut frame ends, and nothing else comes");
        let chase = lag.chase.unwrap();
        assert_eq!((chase.position, chase.whole_until, lag.follow, lag.gaps), (1, 20, None, 0));
    }

    #[test]
    fn a_turn_comes_right_behind_the_last_frame_of_the_old_variant_however_it_is_cut() {
        let lite = Variant::ALL[4];
        let mut ring = Ring::new(8);
        let start = ring.head();
        for n in 0..5 {
            let mut frame = EncodedFrame::new(RoomKey(0), n, n + 1, 0);
            frame.set(Variant::default(), vec![b'v'; 10].into());
            if n >= 3 {
                frame.set(lite, b"lite".to_vec().into());
            }
            ring.push(Arc::new(frame));
        }
        let notice = Bytes::from_static(b"NOTICE");
        for (first_cut, step) in (0..=50).flat_map(|cut| [1, 3, 7, 100].map(|step| (cut, step))) {
            let mut lag = Lag::after_cut(&ring, Variant::default(), start, first_cut, 0);
            let at = ring.whole_from(lag.follow.unwrap().cursor, lite);
            lag.turn = Some(Turn { at, variant: lite, notice: notice.clone() });
            assert!(lag.add_control(b"ACK", 9));
            let mut wire = Narrow { room: 0, got: vec![b'v'; first_cut] };
            while lag.flush(1, Some(&ring), &mut wire, 0, &mut Tally::default()) == Flushed::Blocked {
                wire.room = step;
            }
            let text = String::from_utf8(wire.got).unwrap().replace("ACK", "");
            // What was begun ends; from the first frame on that has it and was not begun, it is the new one.
            let old = first_cut.div_ceil(10).max(3);
            let expected = "v".repeat(10 * old) + "NOTICE" + &"lite".repeat(5_usize.saturating_sub(old));
            assert_eq!(text, expected, "cut {first_cut}, step {step}");
            assert_eq!(lag.follow.map(|follow| (follow.variant, follow.position)), Some((lite, 5)));
        }
    }

    #[test]
    fn one_that_lost_its_place_before_its_turn_is_told_of_both() {
        let lite = Variant::ALL[4];
        let mut ring = Ring::new(8);
        let start = ring.head();
        push(&mut ring, 0);
        let mut lag = Lag::after_cut(&ring, Variant::default(), start, 4, 0);
        lag.turn = Some(Turn { at: ring.head(), variant: lite, notice: Bytes::from_static(b"NOTICE") });
        for n in 1..30 {
            let mut frame = EncodedFrame::new(RoomKey(0), n, n + 1, 0);
            frame.set(lite, b"lite".to_vec().into());
            ring.push(Arc::new(frame));
        }
        let mut wire = Narrow { room: 10_000, got: vec![] };
        assert_eq!(lag.flush(1, Some(&ring), &mut wire, 5, &mut Tally::default()), Flushed::CaughtUp);
        let text = String::from_utf8_lossy(&wire.got[6..]);
        assert!(text.starts_with("NOTICE") && text.ends_with(r#""reason":"slow"}}lite"#), "{text}");
    }

    #[test]
    fn a_page_in_pieces_is_never_torn_by_an_answer_however_it_is_cut() {
        for step in 1..12 {
            let mut lag = Lag::with_rest(Bytes::from_static(b"cut"), 0);
            let mut wire = Narrow { room: 0, got: vec![] };
            let (mut tally, mut turns) = (Tally::default(), 0);
            lag.add_page(
                [Bytes::from_static(b"WELCOME"), Bytes::from_static(b"{head"), Bytes::from_static(b"tail}")],
                0,
            );
            while lag.flush(1, None, &mut wire, 0, &mut tally) == Flushed::Blocked {
                wire.room = step;
                turns += 1;
                if turns == 2 {
                    assert!(lag.add_control(b"ACK", 99));
                    lag.set_pong(Bytes::from_static(b"PONG"));
                }
            }
            assert_eq!(wire.got, b"cutWELCOME{headtail}ACKPONG", "step {step}");
            assert_eq!(tally.deliveries, 1);
            assert!(!lag.is_waiting_for_socket());
        }
    }

    #[test]
    fn control_answers_come_before_frames_and_only_the_newest_pong_is_kept() {
        let mut ring = Ring::new(8);
        let start = ring.head();
        push(&mut ring, 7);
        let mut lag = Lag::after_cut(&ring, Variant::default(), start, 3, 0);
        push(&mut ring, 8);
        assert!(lag.add_control(b"ACK", 5));
        assert!(!lag.add_control(b"ACK", 5), "bounded");
        lag.set_pong(Bytes::from_static(b"old"));
        lag.set_pong(Bytes::from_static(b"new"));
        let mut wire = Narrow { room: 0, got: vec![] };
        while lag.flush(1, Some(&ring), &mut wire, 0, &mut Tally::default()) == Flushed::Blocked {
            wire.room = 1;
        }
        assert_eq!(wire.got, [&[7; 7][..], b"ACKnew", &[8; 10]].concat());
    }
}
