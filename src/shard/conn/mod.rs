//! One connection: its socket, its inbound state, and the standing of its output.
//!
//! Does not know: the duty cycle, the content of messages.

pub(super) mod framing;
mod inspect;
pub(super) mod lag;
pub(super) mod pace;
pub(super) mod peer;
pub(super) mod table;
pub(super) mod websocket;

use crate::protocol::variant::Encoding;
use crate::shard::tenant::Caps;
use framing::Transport;
use lag::Lag;
use pace::ConnPace;
use rustix::fd::OwnedFd;
use std::num::NonZeroU32;
use websocket::WebSocket;

/// A connection as its shard keeps it. No buffer while idle.
pub(in crate::shard) struct Conn<S> {
    pub fd: OwnedFd,
    pub generation: u32,
    pub encoding: Encoding,
    pub caps: Caps,
    pub framing: WebSocket,
    /// The tenant's state. `None` once the connection is closing.
    pub session: Option<S>,
    /// One more than the index of its room on this shard, so that `None` takes no space.
    room: Option<NonZeroU32>,
    pub standing: Standing,
    /// Set for a subscriber that lagged, slid or asked for another rendition.
    pub pace: Option<Box<ConnPace>>,
    /// When bytes were last read from it, in monotonic microseconds.
    pub heard_us: u64,
    /// When the open message began, in monotonic microseconds; 0 if none is open.
    pub open_since_us: u64,
    pub gaps: GapCount,
    /// The kinds of hints that the wheel holds for it.
    pub hints: Hints,
}

/// An idle viewer costs little more than this; the tenant's state comes on top.
const _: () = assert!(size_of::<Conn<()>>() <= 136);

/// The state of a connection's output.
#[derive(Debug)]
pub(in crate::shard) enum Standing {
    /// Its room has sent it no welcome yet, and no bytes wait.
    Alone,
    /// It has all frames: its place among the room's dense slots.
    CaughtUp(u32),
    /// Bytes wait for its socket, or it waits for a page.
    Behind(Box<Lag>),
    /// Its messages are ignored from now on. Waiting bytes and its close frame are still written.
    Closing(Option<Box<Lag>>),
}

/// Gaps announced to a connection in the current window, in 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct GapCount {
    count: u32,
    /// The beginning of the window. It wraps after 49 days; a window of that age may then last for one more.
    since_ms: u32,
}

impl GapCount {
    /// Adds gaps, and returns how many there are in the window of `window_ms` that `now_us` belongs to.
    pub(in crate::shard) fn add(&mut self, gaps: u32, now_us: u64, window_ms: u32) -> u32 {
        let now_ms = (now_us / 1_000) as u32;
        if now_ms.wrapping_sub(self.since_ms) > window_ms {
            *self = Self { count: 0, since_ms: now_ms };
        }
        self.count += gaps;
        self.count
    }
}

/// One flag per kind of hint in the wheel.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct Hints {
    pub stall: bool,
    pub blocked: bool,
    pub pace: bool,
}

impl<S> Conn<S> {
    pub(in crate::shard) fn new(fd: OwnedFd, generation: u32, encoding: Encoding, caps: Caps, now_us: u64) -> Self {
        Self {
            fd,
            generation,
            encoding,
            caps,
            framing: WebSocket::default(),
            session: None,
            room: None,
            standing: Standing::Alone,
            pace: None,
            heard_us: now_us,
            open_since_us: 0,
            gaps: GapCount::default(),
            hints: Hints::default(),
        }
    }

    /// Updates `open_since_us`. Called after each message and at the end of each read, because the next message may
    /// begin in the read that ends one, and has a deadline of its own.
    pub(in crate::shard) fn date_what_is_open(&mut self, now_us: u64) {
        if !self.framing.is_open() {
            self.open_since_us = 0;
        } else if self.open_since_us == 0 {
            self.open_since_us = now_us;
        }
    }

    /// Index of its room on this shard.
    pub(in crate::shard) fn room(&self) -> Option<u32> {
        self.room.map(|one_more| one_more.get() - 1)
    }

    pub(in crate::shard) fn set_room(&mut self, room: Option<u32>) {
        self.room = room.and_then(|room| NonZeroU32::new(room + 1));
    }

    pub(in crate::shard) const fn is_closing(&self) -> bool {
        matches!(self.standing, Standing::Closing(_))
    }

    /// Its place among the room's dense slots, while it has all frames.
    pub(in crate::shard) const fn slot(&self) -> Option<u32> {
        if let Standing::CaughtUp(place) = self.standing { Some(place) } else { None }
    }

    pub(in crate::shard) const fn lag(&self) -> Option<&Lag> {
        match &self.standing {
            Standing::Behind(lag) | Standing::Closing(Some(lag)) => Some(lag),
            Standing::Alone | Standing::CaughtUp(_) | Standing::Closing(None) => None,
        }
    }

    pub(in crate::shard) const fn lag_mut(&mut self) -> Option<&mut Lag> {
        match &mut self.standing {
            Standing::Behind(lag) | Standing::Closing(Some(lag)) => Some(lag),
            Standing::Alone | Standing::CaughtUp(_) | Standing::Closing(None) => None,
        }
    }

    /// Takes its backlog out.
    pub(in crate::shard) fn take_lag(&mut self) -> Option<Box<Lag>> {
        match &mut self.standing {
            Standing::Behind(_) => match std::mem::replace(&mut self.standing, Standing::Alone) {
                Standing::Behind(lag) => Some(lag),
                _ => None,
            },
            Standing::Closing(lag) => lag.take(),
            Standing::Alone | Standing::CaughtUp(_) => None,
        }
    }

    /// Makes `lag` its backlog. A connection with a slot must leave the slot first.
    pub(in crate::shard) fn put_lag(&mut self, lag: Box<Lag>) {
        debug_assert!(self.slot().is_none(), "a connection in a slot would be sent frames before what waits");
        self.standing = if self.is_closing() { Standing::Closing(Some(lag)) } else { Standing::Behind(lag) };
    }
}
