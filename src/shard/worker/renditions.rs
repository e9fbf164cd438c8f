//! Changes of a subscriber's rendition, at a frame's boundary: because the client asked, or because of how well it
//! keeps up.
//!
//! First the room's frames are encoded in the new variant too. Then the shard asks the room's home, whose answer
//! arrives behind every frame that may lack the new variant. At the first frame from which the ring has the new variant
//! without a break, the subscriber gets a notice and reads the new variant. A subscriber that keeps up changes in its
//! slot; a laggard changes when it gets there.

use crate::limits::PAGE_PATIENCE_MS;
use crate::protocol::codes::Close;
use crate::protocol::encode;
use crate::protocol::frame::EncodedFrame;
use crate::protocol::local::ConnRef;
use crate::protocol::message::{RenditionChange, RenditionReason, ServerMessage};
use crate::protocol::variant::{Encoding, Rendition, Variant};
use crate::shard::conn::lag::{Lag, Position, Turn};
use crate::shard::conn::pace::{PaceVerdict, Turning};
use crate::shard::conn::peer;
use crate::shard::fanout::raw::Sockets;
use crate::shard::tenant::Tenant;
use crate::shard::worker::Worker;
use crate::shard::worker::wheel::{Hint, HintKind};
use bytes::Bytes;
use rustix::fd::AsFd;
use smallvec::SmallVec;
use std::sync::Arc;

/// How often a subscriber that was moved to lite for being slow is looked at until it climbs.
const SLID_LOOK_US: u64 = 1_000_000;

/// Time between two samples of a room's subscribers: one sample per tick, if ticks have the usual length.
const SAMPLE_US: u64 = 80_000;

/// If a room sent fewer bytes in that time (about 100 kbit/s), no subscriber is sampled.
const SAMPLED_BYTES_MIN: usize = 1_200;

impl<T: Tenant> Worker<T> {
    /// Handles a client's request for `rendition`.
    pub(in crate::shard) fn ask_rendition(&mut self, to: ConnRef, rendition: Rendition) {
        let Some(index) = self.conns.find(to) else { return };
        let conn = &mut self.conns[index];
        let Some(session) = &conn.session else { return };
        let is_turning = conn.pace.as_ref().is_some_and(|pace| pace.turning.is_some());
        if is_turning || !(conn.slot().is_some() || conn.lag().is_some_and(Lag::is_welcomed)) {
            conn.pace.get_or_insert_default().asked = Some(rendition);
        } else if self.tenant.variant(session).rendition != rendition {
            self.begin_turn(index, rendition, RenditionReason::Asked);
        } else {
            if let Some(pace) = &mut conn.pace {
                pace.chose();
            }
            let change = RenditionChange { now: rendition, reason: RenditionReason::Asked };
            self.say(to, &ServerMessage::Rendition(change));
        }
    }

    /// Handles a request that came before it could be served.
    pub(in crate::shard) fn serve_the_asked(&mut self, index: u32) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        let Some(pace) = &mut conn.pace else { return };
        if let Some(rendition) = pace.asked.take() {
            let to = self.conns.name(index);
            self.ask_rendition(to, rendition);
        }
    }

    fn begin_turn(&mut self, index: u32, rendition: Rendition, reason: RenditionReason) {
        let name = self.conns.name(index);
        let (tenant, conns, mut cx) = self.split();
        let conn = &mut conns[index];
        let Some(session) = &mut conn.session else { return };
        let to = tenant.variant(session).with(rendition);
        conn.pace.get_or_insert_default().turning = Some(Turning { to, reason, is_ready: false });
        tenant.stand_by(session, Some(to));
        tenant.turn(&mut cx, name, session);
    }

    /// The home's answer: every later frame has bytes of the variant that the connection changes to.
    pub(in crate::shard) fn turned(&mut self, to: ConnRef) {
        let Some(index) = self.conns.find(to) else { return };
        let conn = &mut self.conns[index];
        let Some(turning) = conn.pace.as_mut().and_then(|pace| pace.turning.as_mut()) else { return };
        turning.is_ready = true;
        self.turn_when_ready(index);
    }

    /// Changes the variant of a connection, if the change is ready and no earlier one is under way.
    pub(in crate::shard) fn turn_when_ready(&mut self, index: u32) {
        let Some(conn) = self.conns.get_mut(index).filter(|conn| !conn.is_closing()) else { return };
        let turning = conn.pace.as_ref().and_then(|pace| pace.turning).filter(|turning| turning.is_ready);
        let Some((turning, room)) = turning.zip(conn.room()) else { return };
        let encoding = conn.encoding;
        let room = self.rooms.get(room);
        if let Some(place) = conn.slot() {
            let place = place as usize;
            let cursor = room.slots.get(place).cursor;
            let at = room.ring.whole_from(cursor, turning.to);
            if at == cursor {
                room.slots.turn(place, turning.to);
                let change = RenditionChange { now: turning.to.rendition, reason: turning.reason };
                self.say(self.conns.name(index), &ServerMessage::Rendition(change));
            } else {
                // The frames that it lacks go out in the old variant first.
                let mut lag = Lag::with_nothing(self.now_us);
                lag.position = self.leave_slot(index).into();
                lag.turn = Some(Turn { at, variant: turning.to, notice: notice(turning, encoding) });
                self.begin_lag(index, lag);
                self.catch_up_later(index);
            }
        } else if let Some(lag) = conn.lag_mut()
            && let Position::Follow(follow) = lag.position
            && lag.turn.is_none()
        {
            let at = room.ring.whole_from(follow.cursor, turning.to);
            lag.turn = Some(Turn { at, variant: turning.to, notice: notice(turning, encoding) });
        } else {
            return; // It gets pages and changes between two of them, or an earlier change is under way.
        }
        self.has_turned(index, turning);
    }

    /// The change that is ready for a connection that gets pages, and its notice.
    pub(in crate::shard) fn ready_to_turn(&self, index: u32) -> Option<(Turning, Bytes)> {
        let conn = self.conns.get(index)?;
        let turning = conn.pace.as_ref()?.turning.filter(|turning| turning.is_ready)?;
        Some((turning, notice(turning, conn.encoding)))
    }

    /// The change is done, or planned at its place in the ring.
    pub(in crate::shard) fn has_turned(&mut self, index: u32, turning: Turning) {
        let now_us = self.now_us;
        let (tenant, conns, mut cx) = self.split();
        let conn = &mut conns[index];
        let (Some(session), Some(pace)) = (&mut conn.session, &mut conn.pace) else { return };
        pace.turned(now_us, turning);
        tenant.turned(&mut cx, session, turning.to, turning.reason);
        self.watch_the_pace(index);
        self.serve_the_asked(index);
    }

    /// Schedules a look at how well the connection keeps up, unless one is scheduled already or would change nothing.
    pub(in crate::shard) fn watch_the_pace(&mut self, index: u32) {
        let conn = &mut self.conns[index];
        let Some(session) = conn.session.as_ref().filter(|_| !conn.hints.pace && conn.room().is_some()) else { return };
        let at_us = match self.tenant.variant(session).rendition {
            Rendition::Viewer if self.settings.lite_lag_frames == 0 => return,
            // A subscriber whose kernel buffer is full becomes a laggard and recovers again and again.
            Rendition::Viewer
                if conn.lag().is_some() || conn.pace.as_ref().is_some_and(|pace| pace.is_standing_by()) =>
            {
                self.now_us
            }
            Rendition::Lite if conn.pace.as_ref().is_some_and(|pace| pace.is_slid()) => self.now_us + SLID_LOOK_US,
            _ => return,
        };
        conn.hints.pace = true;
        self.wheel.schedule(at_us, Hint { conn: index, generation: conn.generation, kind: HintKind::Pace });
    }

    /// Looks for slow links that are not laggards yet, because the kernel buffers their frames. After each pass of a
    /// room whose frames are not small, it asks the kernel about one subscriber in six; that costs an eighth of a send.
    pub(in crate::shard) fn sample_the_pace(&mut self, room: u32) {
        let (limit, now_us, room) = (self.settings.lite_lag_frames, self.now_us, self.rooms.get(room));
        if limit == 0 || now_us < room.sampled_us + SAMPLE_US {
            return;
        }
        let since_us = std::mem::replace(&mut room.sampled_us, now_us);
        let longest = |entry: &Arc<EncodedFrame>| Variant::ALL.into_iter().map(|of| entry.get(of).len()).max();
        let recent = room.ring.newest(room.ring.len()).rev().take_while(|entry| entry.published_us >= since_us);
        if recent.filter_map(longest).sum::<usize>() < SAMPLED_BYTES_MIN {
            return;
        }
        let mut behind: SmallVec<[u32; 16]> = SmallVec::new();
        for slot in room.slots.sample().filter(|slot| slot.variant().rendition == Rendition::Viewer) {
            let held = Sockets.unacknowledged(slot.fd);
            if room.ring.frames_in(held, slot.cursor, slot.variant()) > limit / 2 {
                behind.push(slot.conn);
            }
        }
        for index in behind {
            if !self.conns[index].hints.pace {
                self.look_at_the_pace(index);
            }
        }
    }

    /// Judges how well the connection keeps up, and acts on the verdict.
    pub(in crate::shard) fn look_at_the_pace(&mut self, index: u32) {
        let (now_us, limit) = (self.now_us, self.settings.lite_lag_frames);
        let conn = &mut self.conns[index];
        conn.hints.pace = false;
        let Some(ring) = conn.room().and_then(|room| self.rooms.ring(room)) else { return };
        let lag = conn.lag();
        let mut behind = lag.map_or(0, |lag| lag.frames_behind(ring, now_us, PAGE_PATIENCE_MS * 1_000));
        // Bytes that the kernel holds have not arrived either: on a slow link that is seconds.
        let cursor = lag.and_then(|lag| lag.position.follow()).map_or(ring.head(), |follow| follow.cursor);
        let held = peer::unacknowledged_bytes(conn.fd.as_fd()).unwrap_or(0);
        let Some(session) = &mut conn.session else { return };
        let variant = self.tenant.variant(session);
        let held_frames = ring.frames_in(held, cursor, variant);
        match variant.rendition {
            Rendition::Viewer => behind = behind.saturating_add(held_frames),
            // A few small frames are always on their way.
            Rendition::Lite if held_frames > limit => behind = behind.max(held_frames),
            Rendition::Lite | Rendition::Full => {}
        }
        // The kernel buffers small frames for a long time even if the client reads nothing.
        if let Some(pace) = &mut conn.pace
            && pace.stalls_for(now_us, held) >= self.settings.stalled_us
        {
            return self.close(index, Close::Slow);
        }
        if conn.pace.is_none() && behind <= limit / 2 {
            return self.watch_the_pace(index);
        }
        match conn.pace.get_or_insert_default().judge(now_us, variant.rendition, behind, limit) {
            PaceVerdict::Stay => {}
            PaceVerdict::StandBy(on) => {
                self.tenant.stand_by(session, on.then(|| variant.with(Rendition::Lite)));
                conn.pace = conn.pace.take_if(|pace| pace.is_to_be_kept());
            }
            PaceVerdict::Turn(to, reason) => self.begin_turn(index, to, reason),
        }
        self.watch_the_pace(index);
    }
}

fn notice(turning: Turning, encoding: Encoding) -> Bytes {
    let change = RenditionChange { now: turning.to.rendition, reason: turning.reason };
    encode::message(&ServerMessage::Rendition(change), encoding)
}
