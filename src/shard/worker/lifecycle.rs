//! The beginning of a connection, and the ways in which it ends.

use crate::limits::LINGER_MS;
use crate::protocol::codes::Close;
use crate::protocol::frame::RoomKey;
use crate::protocol::local::ConnRef;
use crate::shard::conn::framing::Transport;
use crate::shard::conn::peer::acknowledged_us_ago;
use crate::shard::conn::websocket::WebSocket;
use crate::shard::conn::{Conn, Standing};
use crate::shard::tenant::{NewConn, Tenant};
use crate::shard::worker::Worker;
use crate::shard::worker::wheel::{Hint, HintKind};
use bytes::{Bytes, BytesMut};
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::net::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

impl<T: Tenant> Worker<T> {
    /// Takes over a connection from the gateway.
    pub(in crate::shard) fn accept(&mut self, new: NewConn<T::Hello>) {
        let fd = OwnedFd::from(new.stream);
        let to = self.conns.next();
        let index = to.index;
        // Both interests from the start, edge-triggered: registering never changes, so a blocked socket costs no
        // further system call, and a socket that keeps up raises no edge.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) =
            self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(index as usize), interest)
        {
            tracing::error!(shard = self.mail.number, %error, "a socket could not be registered");
            self.load.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.conns.insert(Conn::new(fd, to.generation, new.encoding, new.caps, self.now_us));
        if !new.answer.is_empty() {
            self.answers.begin(index, new.answer.into());
        }
        let draining = self.deadline_us.is_some();
        let (tenant, conns, mut cx) = self.split();
        let opened = if draining { Err(Close::Drain) } else { tenant.open(&mut cx, to, new.encoding, new.hello) };
        match opened {
            Ok(session) => {
                conns[index].session = Some(session);
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

    /// Binds the connection to a room.
    pub(in crate::shard) fn watch(&mut self, to: ConnRef, key: RoomKey) {
        let Some(index) = self.conns.find(to) else { return };
        let conn = &mut self.conns[index];
        if conn.room().is_none() && !conn.is_closing() {
            conn.set_room(Some(self.rooms.hold(key)));
        }
    }

    /// Closes the connection with this code, unless it is closing already.
    pub(in crate::shard) fn close(&mut self, index: u32, close: Close) {
        let closing = self.conns.get(index).is_none_or(Conn::is_closing);
        if !closing {
            self.linger(index, Some((close, Bytes::new())));
        }
    }

    /// Ends the session and waits, for a bounded time, until the peer has read our close frame. `ours` is the code of
    /// that frame and the bytes before it; `None` if the peer closed and was answered.
    pub(in crate::shard) fn linger(&mut self, index: u32, ours: Option<(Close, Bytes)>) {
        // The answer to the peer's close may have found the socket broken, and the connection was removed.
        if self.conns.get(index).is_none() {
            return;
        }
        let is_slow = matches!(ours, Some((Close::Slow, _)));
        self.report.closed(ours.as_ref().map(|(close, _)| *close));
        self.end_session(index);
        if let Some((close, before)) = ours {
            let mut frame = BytesMut::from(&before[..]);
            frame.extend_from_slice(&WebSocket::close(close));
            self.write(index, frame.freeze());
        }
        match self.conns.get(index) {
            None => {}
            Some(conn) if conn.lag().is_none() => self.half_close(index),
            // The socket is full: a viewer that is there and reads again soon still gets the close frame.
            Some(conn) if is_slow && self.is_there(conn) => {
                self.remove_after(index, (self.settings.stalled_us * 4 / 3).max(LINGER_MS * 1_000));
            }
            Some(_) => self.remove_after(index, LINGER_MS * 1_000),
        }
    }

    /// All bytes are written: shuts down our half, and keeps reading until the peer hangs up or the time is over.
    pub(in crate::shard) fn half_close(&mut self, index: u32) {
        if let Some(conn) = self.conns.get(index) {
            // It fails if the peer is gone already; the next read shows that.
            let _ = shutdown(&conn.fd, Shutdown::Write);
            self.remove_after(index, LINGER_MS * 1_000);
        }
    }

    /// Whether the peer's machine still acknowledges. The shard does not wait for a machine that is gone.
    fn is_there(&self, conn: &Conn<T::Session>) -> bool {
        acknowledged_us_ago(conn.fd.as_fd()).is_some_and(|us| us < self.settings.stalled_us)
    }

    /// If several such hints are set, the first one that is due counts.
    fn remove_after(&mut self, index: u32, us: u64) {
        let hint = Hint { conn: index, generation: self.conns[index].generation, kind: HintKind::Linger };
        self.wheel.schedule(self.now_us + us, hint);
    }

    /// Drops a broken connection: no close frame can reach the peer.
    pub(in crate::shard) fn hang_up(&mut self, index: u32) {
        let Some(conn) = self.conns.get(index) else { return };
        if !conn.is_closing() {
            self.report.closed(None);
            self.end_session(index);
        }
        self.remove(index);
    }

    /// Takes the connection out of its room and ends its session at the tenant.
    fn end_session(&mut self, index: u32) {
        self.leave_slot(index);
        let to = self.conns.name(index);
        let conn = &mut self.conns[index];
        let room = conn.room();
        conn.set_room(None);
        let mut lag = conn.take_lag();
        if let Some(lag) = &mut lag {
            if lag.is_behind()
                && let Some(room) = room
            {
                self.rooms.lagging(room, false);
            }
            lag.stop_following();
        }
        // If the connection waited for a page and not for its socket, no edge would come: then the backlog is dropped.
        conn.standing = Standing::Closing(lag.filter(|lag| lag.is_waiting_for_socket()));
        if let Some(room) = room {
            self.rooms.release(room);
        }
        if let Some(session) = conn.session.take() {
            let (tenant, _, mut cx) = self.split();
            tenant.closed(&mut cx, to, session);
            // The cycle carries out the commands: the caller may be carrying out others.
        }
    }

    fn remove(&mut self, index: u32) {
        let conn = self.conns.remove(index);
        self.answers.take(index);
        // This closes the descriptor, which takes it out of the poll.
        drop(conn);
        self.load.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Handles a hint of the wheel, if its connection still exists.
    pub(in crate::shard) fn look_at(&mut self, hint: Hint) {
        let index = hint.conn;
        let Some(conn) = self.conns.live(index, hint.generation) else { return };
        match hint.kind {
            HintKind::Linger => self.remove(index),
            HintKind::Blocked => self.look_at_blocked(index),
            _ if conn.is_closing() => {}
            HintKind::Pace => self.look_at_the_pace(index),
            HintKind::Stall => {
                conn.hints.stall = false;
                let due_us = conn.open_since_us + crate::limits::MESSAGE_STALL_MS * 1_000;
                if conn.open_since_us > 0 && due_us <= self.now_us {
                    self.close(index, Close::Policy);
                } else if conn.open_since_us > 0 {
                    conn.hints.stall = true;
                    self.wheel.schedule(due_us, hint);
                }
            }
            HintKind::Quiet => {
                let silent_us = self.now_us.saturating_sub(conn.heard_us);
                if silent_us >= self.settings.idle_us {
                    self.close(index, Close::HeartbeatMissed);
                } else {
                    if silent_us >= self.settings.ping_us {
                        self.write(index, WebSocket::keep_alive());
                    }
                    self.schedule_quiet(index);
                }
            }
        }
    }

    /// Schedules the next look at a silent connection: when a ping is due, and after the ping when the silence is too
    /// long.
    fn schedule_quiet(&mut self, index: u32) {
        let Some(conn) = self.conns.get(index) else { return };
        let ping_us = conn.heard_us + self.settings.ping_us;
        let give_up_us = conn.heard_us + self.settings.idle_us;
        let at_us = if ping_us > self.now_us { ping_us } else { give_up_us.min(self.now_us + self.settings.ping_us) };
        let hint = Hint { conn: index, generation: conn.generation, kind: HintKind::Quiet };
        self.wheel.schedule(at_us, hint);
    }

    /// The process stops: each connection gets its own time to come back and a close frame. The thread ends when all
    /// are closed.
    pub(in crate::shard) fn say_goodbye(&mut self, first_ms: u64, step_us: u64, deadline_us: u64) {
        self.settle();
        self.deadline_us = Some(deadline_us);
        for (n, index) in self.conns.indexes().into_iter().enumerate() {
            let Some(conn) = self.conns.get(index) else { continue };
            let Some(session) = &conn.session else { continue };
            let after_ms = first_ms + n as u64 * step_us / 1_000;
            let bye = self.tenant.bye(session, conn.encoding, after_ms);
            self.linger(index, Some((Close::Drain, bye)));
        }
        self.carry_out();
    }
}
