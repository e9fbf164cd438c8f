//! A laggard's backlog: the bytes that wait for one blocked socket, and its way back to the dense slots.
//!
//! Only the cut rest of one write and a bounded run of control answers are held here. Frames stay in the room's ring,
//! and the laggard is a cursor into it. A client that resumes from a position before the ring holds one page of the
//! past at a time, which it shares with others.

use crate::limits::JOIN_FRAMES_MAX;
use crate::protocol::ids::Offset;
use crate::protocol::variant::Variant;
use crate::shard::fanout::pass::{SendTally, Wire};
use crate::shard::fanout::ring::{Ring, Seq};
use bytes::Bytes;
use rustix::fd::RawFd;
use rustix::io::Errno;
use smallvec::{SmallVec, smallvec};
use std::io::IoSlice;

/// The position of a laggard that the ring reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Follow {
    pub variant: Variant,
    /// The next entry of the ring to send.
    pub cursor: Seq,
    /// The offset up to which it was sent, counting the cut rest as sent: that goes first.
    pub position: Offset,
    /// The client was promised all events up to this offset: up to there it gets pages instead of a gap.
    pub whole_until: Offset,
}

/// The position of a subscriber that the ring does not reach, or not yet: it gets pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Chase {
    pub variant: Variant,
    /// The offset up to which it was sent, counting the waiting bytes.
    pub position: Offset,
    /// See [`Follow::whole_until`].
    pub whole_until: Offset,
    /// Whether its welcome was sent. That waits for the first page, which proves that the promise can be kept.
    pub is_welcomed: bool,
    /// Whether it waits for a page, or for the next frame.
    pub is_waiting: bool,
}

/// The position of a connection with a backlog in its room's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) enum Position {
    /// It was sent no welcome or is closing, so it gets no frames.
    #[default]
    Nowhere,
    Follow(Follow),
    Chase(Chase),
}

impl Position {
    pub(in crate::shard) fn follow(self) -> Option<Follow> {
        if let Self::Follow(follow) = self { Some(follow) } else { None }
    }

    pub(in crate::shard) fn chase(self) -> Option<Chase> {
        if let Self::Chase(chase) = self { Some(chase) } else { None }
    }

    pub(in crate::shard) fn chase_mut(&mut self) -> Option<&mut Chase> {
        if let Self::Chase(chase) = self { Some(chase) } else { None }
    }
}

impl From<Option<Follow>> for Position {
    fn from(follow: Option<Follow>) -> Self {
        follow.map_or(Self::Nowhere, Self::Follow)
    }
}

/// A change of variant at an entry of the ring.
#[derive(Clone, Debug)]
pub(in crate::shard) struct Turn {
    /// The first entry that goes out in the new variant.
    pub at: Seq,
    pub variant: Variant,
    /// The message to the client right before that entry.
    pub notice: Bytes,
}

/// The backlog of a connection.
#[derive(Debug, Default)]
pub(in crate::shard) struct Lag {
    /// The rest of a cut message, or a welcome and a page. Sent before everything else.
    rest: SmallVec<[Bytes; 3]>,
    /// Whether `rest` ends with a room's frame.
    rest_is_delivery: bool,
    /// Whole control answers; the first may be cut.
    control: Vec<u8>,
    /// The newest pong; older ones are dropped unsent.
    pong: Bytes,
    pub position: Position,
    /// Set for a connection that follows the ring and is about to change its variant.
    pub turn: Option<Turn>,
    /// When the newest page arrived, in monotonic microseconds.
    page_us: u64,
    /// Whether it stands in the queue of connections that catch up.
    pub is_queued: bool,
    /// When the socket last took bytes, in monotonic microseconds.
    pub moved_us: u64,
    /// The begin of a gap that is not announced yet. The gap grows until the socket takes bytes, so that one stall is
    /// one gap.
    gap_from: Option<Offset>,
    /// Gaps announced during this lag that the connection has not counted yet.
    pub gaps: u32,
    /// Frames that those gaps skipped.
    pub gap_frames: u64,
    /// Gaps that may omit guaranteed events.
    pub gaps_lacking: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Flushed {
    /// The backlog is empty.
    CaughtUp,
    /// The socket is full again.
    Blocked,
    /// The socket is broken.
    Broken,
}

impl Lag {
    /// An empty backlog; the caller adds to it.
    pub(in crate::shard) fn with_nothing(now_us: u64) -> Box<Self> {
        Box::new(Self { moved_us: now_us, ..Self::default() })
    }

    /// A backlog that begins with the rest of a cut frame or control answer.
    pub(in crate::shard) fn with_rest(rest: Bytes, now_us: u64) -> Box<Self> {
        Box::new(Self { rest: smallvec![rest], moved_us: now_us, ..Self::default() })
    }

    /// The backlog of a subscriber whose last write took `sent` bytes of the frames from `cursor` on.
    pub(in crate::shard) fn after_cut(
        ring: &Ring,
        variant: Variant,
        cursor: Seq,
        sent: usize,
        now_us: u64,
    ) -> Box<Self> {
        // If the ring no longer reaches the cursor, the gap that follows sets the position.
        let position = ring.position(cursor).unwrap_or(0);
        let mut lag = Self { moved_us: now_us, ..Self::default() };
        let mut follow = Follow { variant, cursor, position, whole_until: 0 };
        lag.advance_frames(ring, &mut follow, sent);
        lag.position = Position::Follow(follow);
        Box::new(lag)
    }

    /// Whether it lacks frames of its room.
    pub(in crate::shard) fn is_behind(&self) -> bool {
        self.position != Position::Nowhere
    }

    /// Whether it was sent a welcome, or will be before anything else.
    pub(in crate::shard) fn is_welcomed(&self) -> bool {
        match self.position {
            Position::Nowhere => false,
            Position::Follow(_) => true,
            Position::Chase(chase) => chase.is_welcomed,
        }
    }

    /// Whether bytes wait for the socket.
    pub(in crate::shard) fn is_waiting_for_socket(&self) -> bool {
        !self.rest.is_empty() || !self.control.is_empty() || !self.pong.is_empty() || self.position.follow().is_some()
    }

    /// How many frames it is behind; `usize::MAX` if the socket has not taken its page for `patience_us`.
    pub(in crate::shard) fn frames_behind(&self, ring: &Ring, now_us: u64, patience_us: u64) -> usize {
        match self.position {
            Position::Follow(follow) => ring.lag(follow.cursor),
            Position::Chase(_) if self.is_waiting_for_socket() && now_us - self.page_us > patience_us => usize::MAX,
            Position::Chase(_) | Position::Nowhere => 0,
        }
    }

    /// Adds a whole message that goes before control answers and frames.
    pub(in crate::shard) fn add_message(&mut self, message: Bytes) {
        self.rest.push(message);
    }

    /// Adds whole frames in pieces, which end with a page.
    pub(in crate::shard) fn add_page(&mut self, pieces: impl IntoIterator<Item = Bytes>, now_us: u64) {
        if !self.is_waiting_for_socket() {
            self.moved_us = now_us; // Until now it waited for a page, not for its socket.
        }
        self.page_us = now_us;
        self.rest.extend(pieces);
        self.rest_is_delivery = true;
    }

    /// Adds a whole control frame; false if it does not fit.
    pub(in crate::shard) fn add_control(&mut self, frame: &[u8], bytes_max: usize) -> bool {
        let fits = self.control.len() + frame.len() <= bytes_max;
        if fits {
            self.control.extend_from_slice(frame);
        }
        fits
    }

    pub(in crate::shard) fn set_pong(&mut self, frame: Bytes) {
        self.pong = frame;
    }

    /// Writes the backlog, then the frames of the room's `ring`, until both are sent or the socket is full.
    pub(in crate::shard) fn flush<W: Wire>(
        &mut self,
        fd: RawFd,
        ring: Option<&Ring>,
        wire: &mut W,
        now_us: u64,
        tally: &mut SendTally,
    ) -> Flushed {
        loop {
            if let (Some(ring), Position::Follow(follow)) = (ring, self.position) {
                self.position = self.skip_what_is_gone(ring, follow);
            }
            let gap = self.untold_gap(ring);
            let frames: SmallVec<[&Bytes; JOIN_FRAMES_MAX]> = match (ring, self.position) {
                (Some(ring), Position::Follow(follow)) => ring
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

    /// Skips frames that the ring no longer has, as a gap, and changes the variant where the next frame is that of a
    /// change. After a gap it continues near the newest frame, so that the ring does not outrun it at once.
    fn skip_what_is_gone(&mut self, ring: &Ring, mut follow: Follow) -> Position {
        let lag = ring.lag(follow.cursor);
        let is_gone = lag > ring.len();
        if is_gone && follow.position < follow.whole_until {
            // Between pages the variant can change anywhere.
            follow.cursor = self.turn.as_ref().map_or(follow.cursor, |turn| turn.at);
            self.turn_if_there(&mut follow);
            let Follow { variant, position, whole_until, .. } = follow;
            return Position::Chase(Chase { variant, position, whole_until, is_welcomed: true, is_waiting: false });
        }
        let keep = (ring.len() / 8).max(1);
        if is_gone && let Some(entry) = ring.newest(keep).next() {
            self.gap_from.get_or_insert(follow.position);
            self.gap_frames += (lag - keep) as u64;
            follow.cursor = ring.head().wrapping_sub(keep as Seq);
            follow.position = entry.prev;
        }
        self.turn_if_there(&mut follow);
        Position::Follow(follow)
    }

    /// At the entry of its change, the notice goes out behind the last frame of the old variant.
    fn turn_if_there(&mut self, follow: &mut Follow) {
        // Compared by distance, because a gap may have skipped the entry. No cursor is 2³¹ entries away.
        if let Some(turn) = self.turn.take_if(|turn| turn.at.wrapping_sub(follow.cursor) as i32 <= 0) {
            follow.variant = turn.variant;
            self.rest.push(turn.notice);
        }
    }

    /// The gap that is not announced yet, with its guaranteed events; empty if there is none.
    fn untold_gap(&self, ring: Option<&Ring>) -> Bytes {
        match (self.gap_from, self.position, ring) {
            (Some(from), Position::Follow(follow), Some(ring)) => {
                ring.gaps(from, follow.position, follow.variant.encoding)
            }
            _ => Bytes::new(),
        }
    }

    /// Removes `sent` bytes from the backlog, then from `gap`; returns how many frames of the room are whole with that.
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
            let from = self.gap_from.take();
            self.gaps += 1;
            self.gaps_lacking += u64::from(ring.zip(from).is_some_and(|(ring, from)| ring.lacks(from)));
        }
        if let (Some(ring), Position::Follow(mut follow)) = (ring, self.position) {
            deliveries += self.advance_frames(ring, &mut follow, sent);
            self.position = Position::Follow(follow);
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

    /// The connection closes: it gets no more frames, but a cut frame must end before the close frame.
    pub(in crate::shard) fn stop_following(&mut self) {
        (self.position, self.turn, self.gap_from) = (Position::Nowhere, None, None);
    }
}

#[cfg(test)]
mod tests;
