//! What tenants of different shards tell each other. Small: an inbox holds 65,536 of them.

use crate::protocol::encode::Encoding;
use crate::protocol::event::{Comment, User};
use crate::protocol::ids::{Epoch, Offset, SessionId};
use crate::protocol::local::{ConnRef, RoomKey};
use crate::protocol::message::{ResumeFailure, ServerMessage};
use crate::room::registry::RoomHandle;
use crate::room::welcome::WelcomeTail;
use bytes::Bytes;
use std::sync::Arc;

/// One message.
pub enum Mail {
    /// To the home: somebody wants to follow the room.
    Join {
        /// Who.
        who: Box<Newcomer>,
        /// Where they left off.
        resume: Option<(Epoch, Offset)>,
    },
    /// To the home: a comment, admitted.
    Comment {
        /// By whom.
        from: ConnRef,
        /// Where.
        room: RoomKey,
        /// What.
        comment: Box<Comment>,
    },
    /// To the home: likes, admitted.
    Like {
        /// By whom.
        from: ConnRef,
        /// Where.
        room: RoomKey,
        /// How many.
        count: u64,
    },
    /// To the home: somebody left.
    Presence {
        /// Where.
        room: RoomKey,
    },
    /// To the home: the log delivered something.
    Delivered {
        /// Where.
        room: RoomKey,
    },
    /// To the newcomer's shard: they are in.
    Joined(Box<Joined>),
    /// To a connection's shard: an answer.
    Reply {
        /// To whom.
        to: ConnRef,
        /// The answer.
        message: Box<ServerMessage>,
    },
    /// To a newcomer's shard: the room cannot be opened.
    Refused {
        /// To whom.
        to: ConnRef,
    },
}

/// Somebody on the way in.
pub struct Newcomer {
    /// The connection.
    pub to: ConnRef,
    /// The room.
    pub room: Arc<RoomHandle>,
    /// How it reads.
    pub encoding: Encoding,
    /// The connection's public name.
    pub session: SessionId,
    /// Who it is.
    pub user: User,
}

/// Somebody is in: everything that their welcome needs.
pub struct Joined {
    /// Who.
    pub who: Newcomer,
    /// The position that the welcome brings them to.
    pub last: Offset,
    /// Whether everything after the asked position follows.
    pub recovered: bool,
    /// Why not.
    pub reason: Option<ResumeFailure>,
    /// The welcome's shared part.
    pub tail: Arc<WelcomeTail>,
    /// What they missed.
    pub catch_up: Option<Bytes>,
}

const _: () = assert!(size_of::<Mail>() <= 48, "65,536 of them are preallocated per shard");
