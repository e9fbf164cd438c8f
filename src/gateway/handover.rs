//! The result of the gateway: an upgraded socket and its purpose.

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
    /// The 101, if it is not sent yet. It is sent before anything else, best in one write with the next message. At most
    /// 384 bytes.
    pub answer: Bytes,
    /// Bytes that the client sent behind its request: the beginning of its first frames. At most 16 KiB.
    pub leftover: Bytes,
    pub purpose: Purpose,
    /// The agreed subprotocol.
    pub encoding: Encoding,
    /// Whether `permessage-deflate` was agreed to.
    pub compressed: bool,
    /// The peer's address as the kernel reports it, whatever a header says.
    pub peer: IpAddr,
    /// Counts the connection until it is dropped.
    pub permit: Permit,
}

/// The purpose of an upgraded socket.
#[derive(Debug)]
pub enum Purpose {
    /// To follow a room.
    Watch {
        /// The room, held open.
        room: Claim,
        /// The requested rendition.
        rendition: Rendition,
        /// The position to resume from.
        resume: Option<(Epoch, Offset)>,
        /// How many of the newest comments the client asked for.
        history: Option<usize>,
        /// The identity that its credentials gave.
        identity: Identity,
    },
    /// To get its own messages back: the WebSocket conformance tests.
    #[cfg(feature = "echo")]
    Echo,
}

/// Takes upgraded sockets.
pub trait HandOver: Send + Sync + 'static {
    /// Takes a socket; never blocks.
    ///
    /// # Errors
    /// Gives the socket back when the shard's inbox is full; the gateway closes it with 1013.
    // The error holds the whole socket: boxing it would cost an allocation per viewer to make a rare error smaller.
    #[allow(clippy::result_large_err)]
    fn hand_over(&self, upgraded: Upgraded) -> Result<(), Upgraded>;
}

/// The limit of open rooms is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit of open rooms is reached; try again later")]
pub struct RoomsFull;

/// The node's rooms, as far as the gateway needs them.
pub trait Rooms: Send + Sync + 'static {
    /// Claims the room of this id, which stays open until [`Rooms::release`].
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
