//! A connection's beginning and its ends.

use super::conn::{Conn, NONE};
use super::peer::acknowledged_us_ago;
use super::tenant::{NewConn, Tenant};
use super::wheel::{Hint, Kind};
use super::worker::Worker;
use crate::limits::LINGER_MS;
use crate::protocol::codes::Close;
use crate::protocol::encode;
use crate::protocol::frame::RoomKey;
use crate::protocol::local::ConnRef;
use bytes::{Bytes, BytesMut};
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::net::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

impl<T: Tenant> Worker<T> {
    /// The connection that `conn` names, if it is still the same one.
    pub(super) fn find(&self, conn: ConnRef) -> Option<u32> {
        self.conns.get(conn.index as usize).filter(|c| c.generation == conn.generation).map(|_| conn.index)
    }

    /// A connection arrives from the gateway.
    pub(super) fn accept(&mut self, new: NewConn<T::Hello>) {
        let fd = OwnedFd::from(new.stream);
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = self.conns.vacant_entry();
        let index = entry.key() as u32;
        // Both interests from the start, edge-triggered: a blocked socket then costs no further system call, and
        // a caught-up one raises no edge.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) =
            self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(index as usize), interest)
        {
            tracing::error!(shard = self.number, %error, "a socket could not be registered");
            self.load.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        entry.insert(Conn::new(fd, generation, new.encoding, new.caps, self.now_us));
        if !new.answer.is_empty() {
            self.unanswered.insert(index, new.answer.into());
        }
        let to = ConnRef { shard: self.number, index, generation };
        let draining = self.deadline_us.is_some();
        let (tenant, conns, mut cx) = self.split();
        let opened = if draining { Err(Close::Drain) } else { tenant.open(&mut cx, to, new.encoding, new.hello) };
        match opened {
            Ok(session) => {
                conns[index as usize].session = Some(session);
                self.schedule_quiet(index);
                self.carry_out();
                if !new.leftover.is_empty() {
                    self.feed(index, &new.leftover);
                }
            }
            Err(close) => {
                self.carry_out();
                self.linger(index, Some((close, Bytes::new())));
            }
        }
    }

    /// The connection holds a room from now on.
    pub(super) fn watch(&mut self, to: ConnRef, key: RoomKey) {
        let Some(index) = self.find(to) else { return };
        let conn = &mut self.conns[index as usize];
        if conn.room == NONE && !conn.is_closing() {
            conn.room = self.rooms.hold(key);
        }
    }

    /// Closes from our side.
    pub(super) fn close(&mut self, index: u32, close: Close) {
        let closing = self.conns.get(index as usize).is_none_or(Conn::is_closing);
        if !closing {
            self.linger(index, Some((close, Bytes::new())));
        }
    }

    /// Ends the session and waits, bounded, until the peer has read our close frame. `ours` is the code we close
    /// with and what goes before its frame; `None` when the peer closed and was answered.
    pub(super) fn linger(&mut self, index: u32, ours: Option<(Close, Bytes)>) {
        // Answering the peer's close may have found the socket broken and the connection removed.
        if !self.conns.contains(index as usize) {
            return;
        }
        let is_slow = matches!(ours, Some((Close::Slow, _)));
        self.report.closed(ours.as_ref().map(|(close, _)| *close));
        self.end_session(index);
        if let Some((close, before)) = ours {
            let mut payload = close.code().to_be_bytes().to_vec();
            payload.extend_from_slice(close.reason().as_bytes());
            let mut frame = BytesMut::from(&before[..]);
            frame.extend_from_slice(&encode::websocket_control(&payload, Control::Close));
            self.write(index, frame.freeze());
        }
        match self.conns.get(index as usize) {
            None => {}
            Some(conn) if conn.lag.is_none() => self.half_close(index),
            // Full: a viewer that is there, and reads again soon, is still told.
            Some(conn) if is_slow && self.is_there(conn) => {
                self.remove_after(index, (self.settings.stalled_us * 4 / 3).max(LINGER_MS * 1_000));
            }
            Some(_) => self.remove_after(index, LINGER_MS * 1_000),
        }
    }

    /// Everything is written: tells the peer so, and reads on, bounded, until it hangs up.
    pub(super) fn half_close(&mut self, index: u32) {
        if let Some(conn) = self.conns.get(index as usize) {
            // It fails when the peer is gone already; the next read sees that.
            let _ = shutdown(&conn.fd, Shutdown::Write);
            self.remove_after(index, LINGER_MS * 1_000);
        }
    }

    /// Whether the peer's machine still answers; one that is gone is not waited for.
    fn is_there(&self, conn: &Conn<T::Session>) -> bool {
        acknowledged_us_ago(conn.fd.as_fd()).is_some_and(|us| us < self.settings.stalled_us)
    }

    /// Of several such hints the first to be due counts.
    fn remove_after(&mut self, index: u32, us: u64) {
        let hint = Hint { conn: index, generation: self.conns[index as usize].generation, kind: Kind::Linger };
        self.wheel.schedule(self.now_us + us, hint);
    }

    /// The socket is of no more use: no close frame can reach the peer.
    pub(super) fn hang_up(&mut self, index: u32) {
        let Some(conn) = self.conns.get(index as usize) else { return };
        if !conn.is_closing() {
            self.report.closed(None);
            self.end_session(index);
        }
        self.remove(index);
    }

    /// Takes the connection out of its room and tells the tenant.
    fn end_session(&mut self, index: u32) {
        self.leave_slot(index);
        let conn = &mut self.conns[index as usize];
        if let Some(lag) = &mut conn.lag {
            if lag.is_behind() {
                self.rooms.lagging(conn.room, false);
            }
            lag.stop_following();
            // One that waited for a page and not for its socket: no edge will come.
            if !lag.is_waiting_for_socket() {
                conn.lag = None;
            }
        }
        let room = std::mem::replace(&mut conn.room, NONE);
        if room != NONE {
            self.rooms.release(room);
        }
        let to = ConnRef { shard: self.number, index, generation: conn.generation };
        if let Some(session) = conn.session.take() {
            let (tenant, _, mut cx) = self.split();
            tenant.closed(&mut cx, to, session);
            // Not carried out here: the caller may be in the midst of other commands. The cycle does it.
        }
    }

    fn remove(&mut self, index: u32) {
        let conn = self.conns.remove(index as usize);
        self.unanswered.remove(&index);
        // Closing the descriptor takes it out of the poll.
        drop(conn);
        self.load.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Something was due: looks at what it is about, if that is still there.
    pub(super) fn look_at(&mut self, hint: Hint) {
        let index = hint.conn;
        let Some(conn) = self.conns.get_mut(index as usize).filter(|c| c.generation == hint.generation) else { return };
        match hint.kind {
            Kind::Linger => self.remove(index),
            Kind::Blocked => self.look_at_blocked(index),
            _ if conn.is_closing() => {}
            Kind::Pace => self.look_at_the_pace(index),
            Kind::Stall => {
                conn.hints.stall = false;
                let due_us = conn.open_since_us + crate::limits::MESSAGE_STALL_MS * 1_000;
                if conn.open_since_us > 0 && due_us <= self.now_us {
                    self.close(index, Close::Policy);
                } else if conn.open_since_us > 0 {
                    conn.hints.stall = true;
                    self.wheel.schedule(due_us, hint);
                }
            }
            Kind::Quiet => {
                let silent_us = self.now_us.saturating_sub(conn.heard_us);
                if silent_us >= self.settings.idle_us {
                    self.close(index, Close::HeartbeatMissed);
                } else {
                    if silent_us >= self.settings.ping_us {
                        self.write(index, encode::websocket_control(b"", Control::Ping));
                    }
                    self.schedule_quiet(index);
                }
            }
        }
    }

    /// The next look at a silent connection: when a ping is due, or else when it was silent for too long.
    fn schedule_quiet(&mut self, index: u32) {
        let Some(conn) = self.conns.get(index as usize) else { return };
        let ping_us = conn.heard_us + self.settings.ping_us;
        let give_up_us = conn.heard_us + self.settings.idle_us;
        let at_us = if ping_us > self.now_us { ping_us } else { give_up_us.min(self.now_us + self.settings.ping_us) };
        let hint = Hint { conn: index, generation: conn.generation, kind: Kind::Quiet };
        self.wheel.schedule(at_us, hint);
    }

    /// The process stops: everybody gets a hint of their own and a close frame; the worker ends when all are gone.
    pub(super) fn say_goodbye(&mut self, first_ms: u64, step_us: u64, deadline_us: u64) {
        self.settle();
        self.deadline_us = Some(deadline_us);
        let everybody: Vec<u32> = self.conns.iter().map(|(index, _)| index as u32).collect();
        for (n, index) in everybody.into_iter().enumerate() {
            let Some(conn) = self.conns.get(index as usize) else { continue };
            let Some(session) = &conn.session else { continue };
            let after_ms = first_ms + n as u64 * step_us / 1_000;
            let bye = self.tenant.bye(session, conn.encoding, after_ms);
            self.linger(index, Some((Close::Drain, bye)));
        }
        self.carry_out();
    }
}
