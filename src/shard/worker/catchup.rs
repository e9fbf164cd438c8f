//! Clients that resume: from the room's ring if it reaches back far enough, and otherwise page by page until it does.
//!
//! A page is requested when the socket has taken the one before, so a connection that catches up holds one page, which
//! all connections at that position share. Catching up is served in turns between passes, so live frames never wait for
//! it.
//!
//! Does not know: the origin and the content of pages.

use crate::limits::CATCH_UP_TURNS;
use crate::protocol::codes::Close;
use crate::protocol::ids::Offset;
use crate::protocol::local::ConnRef;
use crate::protocol::message::ResumeFailure;
use crate::protocol::page::EncodedPage;
use crate::protocol::variant::Variant;
use crate::shard::conn::Conn;
use crate::shard::conn::lag::{Chase, Follow, Lag, Position};
use crate::shard::fanout::ring::{Ring, Seq};
use crate::shard::tenant::{ResumeSource, Tenant};
use crate::shard::worker::Worker;
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;

impl<T: Tenant> Worker<T> {
    /// Sends a connection all events after `after`; the events up to `last` are promised.
    pub(in crate::shard) fn resume(&mut self, to: ConnRef, variant: Variant, after: Offset, last: Offset, likes: u64) {
        let conn = self.conns.live(to.index, to.generation);
        let conn = conn.filter(|conn| !conn.is_closing() && conn.slot().is_none());
        let Some((conn, room)) = conn.and_then(|conn| conn.room().map(|room| (conn, room))) else {
            return self.tenant.forget(to);
        };
        let mut lag = conn.take_lag().unwrap_or_else(|| Lag::with_nothing(self.now_us));
        if let Some(answer) = self.answers.take(to.index) {
            lag.add_message(answer.into());
        }
        let ring = &mut self.rooms.get(room).ring;
        ring.start_at(last, likes);
        match cursor(ring, variant, after, last) {
            Some(cursor) => {
                lag.add_message(self.tenant.welcome(to, ring.likes(after), ResumeSource::Ring));
                lag.position = Position::Follow(Follow { variant, cursor, position: after, whole_until: last });
            }
            None => {
                let (is_welcomed, is_waiting) = (false, false);
                let chase = Chase { variant, position: after, whole_until: last, is_welcomed, is_waiting };
                lag.position = Position::Chase(chase);
            }
        }
        self.begin_lag(to.index, lag);
        self.catch_up_later(to.index);
        self.serve_the_asked(to.index);
    }

    /// Handles the page that a connection asked for; `None` if there are no events at that position yet.
    pub(in crate::shard) fn page(
        &mut self,
        to: ConnRef,
        page: Result<Option<Arc<EncodedPage>>, ResumeFailure>,
        online: u64,
    ) {
        let conn = self.conns.live(to.index, to.generation);
        let Some(conn) = conn else { return };
        let Some(room) = conn.room() else { return };
        let Some(lag) = conn.lag_mut() else { return };
        let Some(chase) = lag.position.chase_mut() else { return };
        chase.is_waiting = false;
        match page {
            Err(why) if !chase.is_welcomed => {
                lag.position = Position::Nowhere;
                if !lag.is_waiting_for_socket() {
                    conn.take_lag();
                }
                self.rooms.lagging(room, false);
                let (tenant, _, mut cx) = self.split();
                tenant.not_resumed(&mut cx, to, why);
                self.writable(to.index);
            }
            // Promised events are gone; the close code tells the client so.
            Err(ResumeFailure::TooOld) => self.close(to.index, Close::Resync),
            Err(_) => self.close(to.index, Close::Overload),
            Ok(page) => {
                let room = self.rooms.get(room);
                let mut pieces: SmallVec<[Bytes; 3]> = SmallVec::new();
                if !std::mem::replace(&mut chase.is_welcomed, true) {
                    pieces.push(self.tenant.welcome(to, room.ring.likes(chase.position), ResumeSource::Pages));
                }
                match page {
                    Some(page) => {
                        debug_assert_eq!(page.prev, chase.position, "a page for somebody else");
                        chase.position = page.last;
                        pieces.extend(page.copy(room.ring.likes(page.last), online));
                    }
                    None => {
                        chase.is_waiting = true;
                        room.parked.push((to.index, to.generation));
                    }
                }
                lag.add_page(pieces, self.now_us);
                self.catch_up_later(to.index);
                self.serve_the_asked(to.index);
            }
        }
    }

    /// The socket has taken the last page: continues with the ring, or asks for the next page.
    pub(in crate::shard) fn chase(&mut self, index: u32, mut lag: Box<Lag>) {
        let conn = &mut self.conns[index];
        let waits = lag.position.chase().filter(|chase| !chase.is_waiting);
        let (Some(mut chase), Some(room)) = (waits, conn.room()) else {
            return conn.put_lag(lag);
        };
        if chase.is_welcomed
            && let Some((turning, notice)) = self.ready_to_turn(index)
        {
            chase.variant = turning.to;
            lag.position = Position::Chase(chase);
            lag.add_message(notice);
            self.conns[index].put_lag(lag);
            self.has_turned(index, turning);
            return self.catch_up_later(index);
        }
        let conn = &mut self.conns[index];
        let Chase { variant, position, whole_until, is_welcomed, .. } = chase;
        let room = self.rooms.get(room);
        if is_welcomed && let Some(cursor) = cursor(&room.ring, variant, position, whole_until) {
            lag.position = Position::Follow(Follow { variant, cursor, position, whole_until });
            conn.put_lag(lag);
            return self.flush(index);
        }
        chase.is_waiting = true;
        lag.position = Position::Chase(chase);
        conn.put_lag(lag);
        let to = self.conns.name(index);
        if is_welcomed && position > room.ring.last() {
            // Frames were lost on their way to this shard; the next frame shows where the ring continues.
            return room.parked.push((index, to.generation));
        }
        let (tenant, conns, mut cx) = self.split();
        if let Some(session) = &conns[index].session {
            tenant.page(&mut cx, to, session, position);
        }
    }

    /// A frame arrived: the connections that waited for one go on.
    pub(in crate::shard) fn unpark(&mut self, room: u32) {
        for (index, generation) in std::mem::take(&mut self.rooms.get(room).parked) {
            let conn = self.conns.live(index, generation);
            if let Some(chase) = conn.and_then(|conn| conn.lag_mut()?.position.chase_mut()) {
                chase.is_waiting = false;
                self.catch_up_later(index);
            }
        }
    }

    /// Puts the connection into the queue of those that catch up.
    pub(in crate::shard) fn catch_up_later(&mut self, index: u32) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        let generation = conn.generation;
        let Some(lag) = conn.lag_mut() else { return };
        if !std::mem::replace(&mut lag.is_queued, true) {
            self.catching.push_back((index, generation));
        }
    }

    /// Serves some of the connections that catch up.
    pub(in crate::shard) fn serve_catch_ups(&mut self) {
        for _ in 0..CATCH_UP_TURNS {
            let Some((index, generation)) = self.catching.pop_front() else { return };
            let conn = self.conns.live(index, generation);
            if let Some(lag) = conn.and_then(Conn::lag_mut) {
                lag.is_queued = false;
                self.flush(index);
            }
        }
    }
}

/// The cursor from which the ring continues `position`, if the ring does and has all promised events.
fn cursor(ring: &Ring, variant: Variant, position: Offset, whole_until: Offset) -> Option<Seq> {
    if ring.last() < whole_until { None } else { ring.cursor(position, variant) }
}
