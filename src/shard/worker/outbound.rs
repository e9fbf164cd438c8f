//! To the sockets: the pass, control answers, and laggards.

use crate::faults::fail_point;
use crate::limits::PAGE_PATIENCE_MS;
use crate::protocol::codes::Close;
use crate::protocol::encode;
use crate::protocol::frame::EncodedFrame;
use crate::protocol::ids::Offset;
use crate::protocol::local::ConnRef;
use crate::protocol::message::ServerMessage;
use crate::protocol::variant::Variant;
use crate::shard::conn::lag::{Flushed, Follow, Lag, Position};
use crate::shard::conn::{Conn, Standing};
use crate::shard::fanout::pass::{SendTally, Slot, Unfinished, Wire};
use crate::shard::fanout::raw::Sockets;
use crate::shard::tenant::Tenant;
use crate::shard::worker::Worker;
use crate::shard::worker::wheel::{Hint, HintKind};
use bytes::Bytes;
use rustix::io::Errno;
use smallvec::SmallVec;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// How often a blocked socket is tried again, in case the kernel was out of memory: that ends without an edge.
const BLOCKED_LOOK_US: u64 = 2_000_000;

/// Answers held back for one subscriber until the end of a cycle: more than a tick's acks under any rate limit.
const HELD_BYTES_MAX: usize = 16 * 1024;

/// Frames that one write with an answer joins at most. A subscriber that lacks more is served by the pass.
const ANSWER_FRAMES_MAX: usize = 8;

/// A connection's gaps are counted over this time.
const GAP_WINDOW_MS: u32 = 60_000;

impl<T: Tenant> Worker<T> {
    /// A frame of a room came.
    pub(in crate::shard) fn frame(&mut self, frame: Arc<EncodedFrame>) {
        self.report.frames += 1;
        let Some(index) = self.rooms.find(frame.room) else { return };
        // A slot has no position of its own, so the pass is finished before the ring drops a frame that an unvisited
        // slot lacks.
        while self.rooms.get(index).slots.is_due()
            && self.rooms.get(index).slots.behind() + 1 >= self.settings.ring_frames
        {
            self.answer_with_frames();
            self.pass_slice(index, usize::MAX);
        }
        let now_us = self.now_us;
        let room = self.rooms.get(index);
        if !room.slots.is_due() {
            room.pass_began_us = now_us;
        }
        if room.ring.push(frame) {
            // An announced gap is one more entry, before the frame.
            self.report.gaps.overload += u64::from(room.watchers);
            room.slots.frame_came();
        }
        room.slots.frame_came();
        let has_parked = !room.parked.is_empty();
        self.rooms.make_due(index);
        if has_parked {
            self.unpark(index);
        }
    }

    /// Visits slots of a room; returns the number of sends (at least 1, so that budgets shrink).
    pub(in crate::shard) fn pass_slice(&mut self, index: u32, budget: usize) -> usize {
        let mut left = std::mem::take(&mut self.report.left);
        let room = self.rooms.get(index);
        let tally = room.slots.slice(&room.ring, &mut Sockets, budget, &mut left);
        let ended = !room.slots.is_due();
        let began_us = room.pass_began_us;
        self.report.tally(tally);
        for item in left.drain(..) {
            match item {
                Unfinished::Blocked { conn, cursor, sent } => {
                    let Some(place) = self.conns.get(conn).and_then(Conn::slot) else { continue };
                    let room = self.rooms.get(index);
                    let variant = room.slots.get(place as usize).variant();
                    let lag = Lag::after_cut(&room.ring, variant, cursor, sent, self.now_us);
                    self.leave_slot(conn);
                    self.begin_lag(conn, lag);
                    // A short write may have left space: only a refusal promises an edge.
                    self.writable(conn);
                }
                Unfinished::Broken { conn } => self.hang_up(conn),
            }
        }
        self.report.left = left;
        if ended {
            self.report.pass_ended(began_us);
            self.sample_the_pace(index);
        } else {
            self.rooms.make_due(index);
        }
        (tally.sends as usize).max(1)
    }

    /// Sends one whole control frame, if the connection still exists.
    pub(in crate::shard) fn reply(&mut self, to: ConnRef, frame: Bytes) {
        if let Some(index) = self.conns.find(to) {
            self.write(index, frame);
        }
    }

    /// Sends a message in the connection's encoding. A subscriber gets it in one write with the frames that its room
    /// has in this cycle: an ack comes with the frame that shows the comment.
    pub(in crate::shard) fn say(&mut self, to: ConnRef, message: &ServerMessage) {
        let Some(index) = self.conns.find(to) else { return };
        let conn = &self.conns[index];
        let frame = encode::message(message, conn.encoding);
        if conn.slot().is_none() {
            return self.write(index, frame);
        }
        if self.answers.add(index, &frame) > HELD_BYTES_MAX {
            self.write(index, Bytes::new());
        }
    }

    /// Sends the answers to subscribers, each with the frames that the subscriber lacks. The pass then has no frames
    /// left for these subscribers.
    pub(in crate::shard) fn answer_with_frames(&mut self) {
        let mut subscribers = self.answers.take_subscribers();
        for index in subscribers.drain(..) {
            if let Some(answer) = self.answers.take(index) {
                self.write_with_frames(index, answer.into());
                // At this point only senders of comments have the frame.
                fail_point!("acked_not_broadcast");
            }
        }
        self.answers.reuse_subscribers(subscribers);
    }

    fn write_with_frames(&mut self, index: u32, answer: Bytes) {
        let now_us = self.now_us;
        let Some(conn) = self.conns.get(index) else { return };
        let (Some(place), Some(room_index)) = (conn.slot(), conn.room()) else {
            return self.write(index, answer);
        };
        let (fd, place) = (conn.fd.as_raw_fd(), place as usize);
        let room = self.rooms.get(room_index);
        let (variant, cursor) = (room.slots.get(place).variant(), room.slots.get(place).cursor);
        let lag = room.ring.lag(cursor);
        if lag == 0 || lag > ANSWER_FRAMES_MAX.min(room.ring.len()) {
            return self.write(index, answer);
        }
        let (result, wanted) = {
            let frames = room.ring.newest(lag).map(|entry| IoSlice::new(entry.get(variant)));
            let parts: SmallVec<[IoSlice<'_>; ANSWER_FRAMES_MAX + 1]> =
                std::iter::once(IoSlice::new(&answer)).chain(frames).collect();
            (Sockets.send_joined(fd, &parts), parts.iter().map(|part| part.len()).sum::<usize>())
        };
        match result {
            Ok(sent) if sent >= answer.len() => {
                let whole = sent == wanted;
                let deliveries = if whole { lag as u64 } else { 0 };
                self.report.tally(SendTally { sends: 1, deliveries, bytes: (sent - answer.len()) as u64 });
                room.slots.was_sent(place, room.ring.head());
                if !whole {
                    let lag = Lag::after_cut(&room.ring, variant, cursor, sent - answer.len(), now_us);
                    self.leave_slot(index);
                    self.begin_lag(index, lag);
                    // A short write may have left room: only a refusal promises an edge.
                    self.writable(index);
                }
            }
            Ok(sent) => self.cut_control(index, answer.slice(sent..), now_us),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM) => self.cut_control(index, answer, now_us),
            Err(_) => self.hang_up(index),
        }
    }

    /// Sends one or more whole WebSocket frames, before the room's frames.
    pub(in crate::shard) fn write(&mut self, index: u32, frame: Bytes) {
        let now_us = self.now_us;
        let frame = match self.answers.take(index) {
            Some(mut answer) => {
                answer.extend_from_slice(&frame);
                answer.into()
            }
            None => frame,
        };
        let Some(conn) = self.conns.get_mut(index) else { return };
        let (backlog_bytes_max, is_closing) = (conn.caps.backlog_bytes_max as usize, conn.is_closing());
        if let Some(lag) = conn.lag_mut() {
            let catches_up = lag.position.chase().is_some();
            if !lag.add_control(&frame, backlog_bytes_max) && !is_closing {
                self.report.messages.control_overflow += 1;
                self.close(index, Close::Slow);
            } else if catches_up {
                self.catch_up_later(index); // Its socket may have space, and then no edge comes.
            }
            return;
        }
        let fd = conn.fd.as_raw_fd();
        self.report.messages.control_sends += 1;
        match Sockets.send(fd, &frame) {
            Ok(sent) if sent == frame.len() => {}
            Ok(sent) => self.cut_control(index, frame.slice(sent..), now_us),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM) => self.cut_control(index, frame, now_us),
            Err(_) => self.hang_up(index),
        }
    }

    /// Sends the answers that no other write of this cycle took along.
    pub(in crate::shard) fn answer_the_unanswered(&mut self) {
        let mut alone = self.answers.take_all();
        for (index, answer) in alone.drain() {
            self.write(index, answer.into());
        }
        self.answers.reuse(alone);
    }

    /// Sends the answer to a ping. Of several that wait, only the newest is kept.
    pub(in crate::shard) fn pong(&mut self, index: u32, frame: &[u8]) {
        let frame = Bytes::copy_from_slice(frame);
        match self.conns.get_mut(index).and_then(Conn::lag_mut) {
            Some(lag) => {
                lag.set_pong(frame);
                if lag.position.chase().is_some() {
                    self.catch_up_later(index);
                }
            }
            None => self.write(index, frame),
        }
    }

    /// A control answer was cut: the connection is a laggard from here on, whatever its standing was.
    fn cut_control(&mut self, index: u32, rest: Bytes, now_us: u64) {
        let mut lag = Lag::with_rest(rest, now_us);
        lag.position = self.leave_slot(index).into();
        self.begin_lag(index, lag);
        self.writable(index);
    }

    /// Takes the connection out of the dense slots; returns its position there.
    pub(in crate::shard) fn leave_slot(&mut self, index: u32) -> Option<Follow> {
        let conn = &mut self.conns[index];
        let (place, room) = conn.slot().zip(conn.room())?;
        conn.standing = Standing::Alone;
        let room = self.rooms.get(room);
        let (slot, moved) = room.slots.remove(place as usize);
        // The ring reaches the cursor: `frame` finishes the pass before the ring drops a frame that a slot lacks.
        let position = room.ring.position(slot.cursor).unwrap_or(0);
        if let Some(moved) = moved {
            self.conns[moved].standing = Standing::CaughtUp(place);
        }
        Some(Follow { variant: slot.variant(), cursor: slot.cursor, position, whole_until: 0 })
    }

    pub(in crate::shard) fn begin_lag(&mut self, index: u32, lag: Box<Lag>) {
        let conn = &mut self.conns[index];
        if lag.is_behind()
            && let Some(room) = conn.room()
        {
            self.rooms.lagging(room, true);
        }
        conn.put_lag(lag);
        if !conn.hints.blocked {
            conn.hints.blocked = true;
            let hint = Hint { conn: index, generation: conn.generation, kind: HintKind::Blocked };
            self.wheel.schedule(self.now_us + BLOCKED_LOOK_US, hint);
        }
        self.watch_the_pace(index);
    }

    /// The socket may accept bytes again.
    pub(in crate::shard) fn writable(&mut self, index: u32) {
        let lag = self.conns.get(index).and_then(Conn::lag);
        match lag.map(|lag| lag.position.chase().is_some()) {
            Some(true) => self.catch_up_later(index),
            Some(false) => self.flush(index),
            None => {}
        }
    }

    /// Writes the connection's backlog.
    pub(in crate::shard) fn flush(&mut self, index: u32) {
        let now_us = self.now_us;
        let Some(conn) = self.conns.get_mut(index) else { return };
        let Some(mut lag) = conn.take_lag() else { return };
        let (room, fd) = (conn.room(), conn.fd.as_raw_fd());
        let ring = room.and_then(|room| self.rooms.ring(room));
        let has_pace = conn.pace.is_some();
        if let (Some(pace), Some(ring)) = (&mut conn.pace, ring) {
            pace.saw_lag(now_us, lag.frames_behind(ring, now_us, PAGE_PATIENCE_MS * 1_000));
        }
        let mut tally = SendTally::default();
        let flushed = lag.flush(fd, ring, &mut Sockets, now_us, &mut tally);
        self.report.caught_up(tally);
        let gaps = std::mem::take(&mut lag.gaps);
        self.report.gaps.slow += u64::from(gaps);
        self.report.gaps.frames += std::mem::take(&mut lag.gap_frames);
        self.report.gaps.lacking += std::mem::take(&mut lag.gaps_lacking);
        match flushed {
            Flushed::Broken => {
                conn.put_lag(lag);
                self.hang_up(index);
            }
            Flushed::Blocked => {
                conn.put_lag(lag);
                if gaps > 0 {
                    self.count_gaps(index, gaps);
                }
            }
            Flushed::CaughtUp if conn.is_closing() => self.half_close(index),
            Flushed::CaughtUp if lag.position.chase().is_some() => self.chase(index, lag),
            Flushed::CaughtUp => {
                if let (Some(follow), Some(room)) = (lag.position.follow(), room) {
                    let slot = Slot { fd, conn: index, cursor: follow.cursor, variant: follow.variant.index() as u8 };
                    self.rooms.lagging(room, false);
                    conn.standing = Standing::CaughtUp(self.rooms.get(room).slots.add(slot) as u32);
                }
                if gaps > 0 {
                    self.count_gaps(index, gaps);
                }
            }
        }
        if has_pace {
            self.turn_when_ready(index);
        }
    }

    /// Counts gaps, and closes a connection that gets too many of them: it is too slow for this room.
    fn count_gaps(&mut self, index: u32, gaps: u32) {
        let conn = &mut self.conns[index];
        if conn.gaps.add(gaps, self.now_us, GAP_WINDOW_MS) > self.settings.gaps_max {
            self.close(index, Close::Slow);
        }
    }

    /// Tries a blocked socket again, and closes it if it took no bytes for too long.
    pub(in crate::shard) fn look_at_blocked(&mut self, index: u32) {
        self.conns[index].hints.blocked = false;
        self.writable(index);
        let Some(conn) = self.conns.get_mut(index) else { return };
        let closing = conn.is_closing();
        let Some(lag) = conn.lag_mut() else { return };
        if !lag.is_waiting_for_socket() {
            lag.moved_us = self.now_us; // It waits for this shard, not for its socket.
        }
        if !closing && self.now_us.saturating_sub(lag.moved_us) >= self.settings.stalled_us {
            self.close(index, Close::Slow);
            return;
        }
        conn.hints.blocked = true;
        let hint = Hint { conn: index, generation: conn.generation, kind: HintKind::Blocked };
        self.wheel.schedule(self.now_us + BLOCKED_LOOK_US, hint);
    }

    /// Sends the welcome and makes the connection a subscriber at position `last`.
    pub(in crate::shard) fn subscribe(
        &mut self,
        to: ConnRef,
        variant: Variant,
        welcome: Bytes,
        last: Offset,
        likes: u64,
    ) {
        let Some(index) = self.conns.find(to) else { return };
        let conn = &self.conns[index];
        let Some(room_index) = conn.room().filter(|_| !conn.is_closing() && conn.slot().is_none()) else { return };
        let fd = conn.fd.as_raw_fd();
        self.write(index, welcome);
        let Some(conn) = self.conns.get_mut(index).filter(|conn| !conn.is_closing()) else { return };
        let room = self.rooms.get(room_index);
        room.ring.start_at(last, likes);
        let cursor = room.ring.head();
        match conn.lag_mut() {
            Some(lag) => {
                lag.position = Position::Follow(Follow { variant, cursor, position: last, whole_until: 0 });
                self.rooms.lagging(room_index, true);
            }
            None => {
                let slot = Slot { fd, conn: index, cursor, variant: variant.index() as u8 };
                conn.standing = Standing::CaughtUp(room.slots.add(slot) as u32);
            }
        }
        self.watch_the_pace(index);
        self.serve_the_asked(index);
    }
}
