//! Those who come back: from the room's ring where it reaches, else page by page until it does.
//!
//! A page is asked for when the socket has taken the one before, so a connection that catches up holds one page, shared
//! with whoever reads the same. Catching up is served in turns between the passes, so that live frames never wait for it.
//!
//! Does not know: where pages come from, or what is in them.

use super::conn::NONE;
use super::lag::{Chase, Follow, Lag};
use super::ring::{Ring, Seq};
use super::tenant::{ResumeSource, Tenant};
use super::worker::Worker;
use crate::limits::CATCH_UP_TURNS;
use crate::protocol::codes::Close;
use crate::protocol::encode::Variant;
use crate::protocol::ids::Offset;
use crate::protocol::local::ConnRef;
use crate::protocol::message::ResumeFailure;
use crate::protocol::page::EncodedPage;
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;

impl<T: Tenant> Worker<T> {
    /// Brings a connection everything after `after`, of which `last` is promised.
    pub(super) fn resume(&mut self, to: ConnRef, variant: Variant, after: Offset, last: Offset, likes: u64) {
        let conn = self.conns.get_mut(to.index as usize).filter(|conn| conn.generation == to.generation);
        let Some(conn) = conn.filter(|conn| !conn.is_closing() && conn.room != NONE && conn.slot == NONE) else {
            return self.tenant.forget(to);
        };
        let (room, mut lag) = (conn.room, conn.lag.take().unwrap_or_else(|| Lag::with_nothing(self.now_us)));
        if let Some(answer) = self.take_answer(to.index) {
            lag.add_message(answer.into());
        }
        let ring = &mut self.rooms.get(room).ring;
        ring.start_at(last, likes);
        match cursor(ring, variant, after, last) {
            Some(cursor) => {
                lag.add_message(self.tenant.welcome(to, ring.likes(after), ResumeSource::Ring));
                lag.follow = Some(Follow { variant, cursor, position: after, whole_until: last });
            }
            None => {
                let (is_welcomed, is_waiting) = (false, false);
                lag.chase = Some(Chase { variant, position: after, whole_until: last, is_welcomed, is_waiting });
            }
        }
        self.begin_lag(to.index, lag);
        self.catch_up_later(to.index);
        self.serve_the_asked(to.index);
    }

    /// The page that a connection asked for; `None`: there is nothing to read there yet.
    pub(super) fn page(&mut self, to: ConnRef, page: Result<Option<Arc<EncodedPage>>, ResumeFailure>, online: u64) {
        let conn = self.conns.get_mut(to.index as usize).filter(|conn| conn.generation == to.generation);
        let Some(conn) = conn else { return };
        let Some(lag) = &mut conn.lag else { return };
        let Some(chase) = &mut lag.chase else { return };
        chase.is_waiting = false;
        match page {
            Err(why) if !chase.is_welcomed => {
                lag.chase = None;
                if !lag.is_waiting_for_socket() {
                    conn.lag = None;
                }
                self.rooms.lagging(conn.room, false);
                let (tenant, _, mut cx) = self.split();
                tenant.not_resumed(&mut cx, to, why);
                self.writable(to.index);
            }
            // What it was promised is gone: it has to begin anew, and is told so.
            Err(ResumeFailure::TooOld) => self.close(to.index, Close::Resync),
            Err(_) => self.close(to.index, Close::Overload),
            Ok(page) => {
                let room = self.rooms.get(conn.room);
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

    /// The socket has taken everything that was here: on to the ring, or to the next page.
    pub(super) fn chase(&mut self, index: u32, mut lag: Box<Lag>) {
        let conn = &mut self.conns[index as usize];
        let Some(mut chase) = lag.chase.filter(|chase| !chase.is_waiting) else {
            conn.lag = Some(lag);
            return;
        };
        if chase.is_welcomed
            && let Some((turning, notice)) = self.ready_to_turn(index)
        {
            chase.variant = turning.to;
            lag.chase = Some(chase);
            lag.add_message(notice);
            self.conns[index as usize].lag = Some(lag);
            self.has_turned(index, turning);
            return self.catch_up_later(index);
        }
        let conn = &mut self.conns[index as usize];
        let Chase { variant, position, whole_until, is_welcomed, .. } = chase;
        let room = self.rooms.get(conn.room);
        if is_welcomed && let Some(cursor) = cursor(&room.ring, variant, position, whole_until) {
            (lag.chase, lag.follow) = (None, Some(Follow { variant, cursor, position, whole_until }));
            conn.lag = Some(lag);
            return self.flush(index);
        }
        chase.is_waiting = true;
        lag.chase = Some(chase);
        conn.lag = Some(lag);
        let to = ConnRef { shard: self.number, index, generation: conn.generation };
        if is_welcomed && position > room.ring.last() {
            // Frames on the way here were lost: the next one shows where the ring goes on.
            return room.parked.push((index, to.generation));
        }
        let (tenant, conns, mut cx) = self.split();
        if let Some(session) = &conns[index as usize].session {
            tenant.page(&mut cx, to, session, position);
        }
    }

    /// A frame came for those who waited for one.
    pub(super) fn unpark(&mut self, room: u32) {
        for (index, generation) in std::mem::take(&mut self.rooms.get(room).parked) {
            let conn = self.conns.get_mut(index as usize).filter(|conn| conn.generation == generation);
            if let Some(chase) = conn.and_then(|conn| conn.lag.as_mut()?.chase.as_mut()) {
                chase.is_waiting = false;
                self.catch_up_later(index);
            }
        }
    }

    /// The connection has its turn among those who catch up.
    pub(super) fn catch_up_later(&mut self, index: u32) {
        let Some(conn) = self.conns.get_mut(index as usize) else { return };
        let Some(lag) = &mut conn.lag else { return };
        if !std::mem::replace(&mut lag.is_queued, true) {
            self.catching.push_back((index, conn.generation));
        }
    }

    /// Serves some of those who catch up.
    pub(super) fn serve_catch_ups(&mut self) {
        for _ in 0..CATCH_UP_TURNS {
            let Some((index, generation)) = self.catching.pop_front() else { return };
            let conn = self.conns.get_mut(index as usize).filter(|conn| conn.generation == generation);
            if let Some(lag) = conn.and_then(|conn| conn.lag.as_mut()) {
                lag.is_queued = false;
                self.flush(index);
            }
        }
    }
}

/// Where the ring continues `position`, if it does, and reaches the end of what is promised.
fn cursor(ring: &Ring, variant: Variant, position: Offset, whole_until: Offset) -> Option<Seq> {
    if ring.last() < whole_until { None } else { ring.cursor(position, variant) }
}
