//! What leaves the gateway: a socket that speaks WebSocket from here on, and why it came.

use super::permit::Permit;
use crate::policy::auth::Identity;
use crate::protocol::ids::{Epoch, Offset, RoomId};
use crate::protocol::variant::{Encoding, Rendition};
use crate::room::registry::RoomHandle;
use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

/// A socket whose upgrade was agreed to.
#[derive(Debug)]
pub struct Upgraded {
    /// Non-blocking, with the configured socket options, on no poller.
    pub stream: TcpStream,
    /// The 101, if it is not sent yet: goes out before anything else, best in one write with what comes next. At most
    /// 384 bytes.
    pub answer: Bytes,
    /// What the client sent behind its request; the beginning of its first frames. At most 16 KiB.
    pub leftover: Bytes,
    /// Why it came.
    pub purpose: Purpose,
    /// The agreed subprotocol.
    pub encoding: Encoding,
    /// Whether `permessage-deflate` was agreed to.
    pub compressed: bool,
    /// Whose it is, as the kernel says; no header has a say in it.
    pub peer: IpAddr,
    /// Counts the connection until it is dropped.
    pub permit: Permit,
}

/// Why a socket came.
#[derive(Debug)]
pub enum Purpose {
    /// To follow a room.
    Watch {
        /// The room, held open.
        room: Claim,
        /// How much of it is asked for.
        rendition: Rendition,
        /// Where it left off.
        resume: Option<(Epoch, Offset)>,
        /// How many of the newest comments it wants to see, if it said so.
        history: Option<usize>,
        /// Who the client is, by its credentials.
        identity: Identity,
    },
    /// To hear its own words: the WebSocket conformance tests.
    #[cfg(feature = "echo")]
    Echo,
}

/// Takes upgraded sockets.
pub trait HandOver: Send + Sync + 'static {
    /// Takes one; never blocks.
    ///
    /// # Errors
    /// Gives it back when the shard's inbox is full: the gateway closes it with 1013.
    // The whole socket comes back, by value: boxing it would cost every viewer an allocation so that
    // the rare refusal is smaller.
    #[allow(clippy::result_large_err)]
    fn hand_over(&self, upgraded: Upgraded) -> Result<(), Upgraded>;
}

/// As many rooms are open as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many rooms are open as this server holds; try again later")]
pub struct RoomsFull;

/// The node's rooms, as far as the gateway needs them.
pub trait Rooms: Send + Sync + 'static {
    /// The room of that name, opened if need be, and kept open until [`Rooms::release`].
    ///
    /// # Errors
    /// [`RoomsFull`].
    fn claim(&self, room: &RoomId) -> Result<Arc<RoomHandle>, RoomsFull>;

    /// Whether a claim would succeed now. Opens nothing.
    fn has_place(&self, room: &RoomId) -> bool;

    /// Gives one claim back.
    fn release(&self, room: &RoomHandle);
}

/// Holds a room open; dropping it gives the claim back.
pub struct Claim {
    rooms: Arc<dyn Rooms>,
    room: Arc<RoomHandle>,
}

impl Claim {
    /// Claims a room.
    ///
    /// # Errors
    /// [`RoomsFull`].
    pub fn new(rooms: &Arc<dyn Rooms>, room: &RoomId) -> Result<Self, RoomsFull> {
        Ok(Self { room: rooms.claim(room)?, rooms: rooms.clone() })
    }

    /// The room.
    pub fn room(&self) -> &Arc<RoomHandle> {
        &self.room
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.rooms.release(&self.room);
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({})", self.room.id)
    }
}
