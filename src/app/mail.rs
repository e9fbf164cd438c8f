//! What tenants of different shards, and the librarians, tell each other. Small: an inbox holds 65,536 of them.

use super::posts::Letter;
use crate::log::OpenError;
use crate::policy::said::Said;
use crate::protocol::encode::Variant;
use crate::protocol::event::User;
use crate::protocol::ids::{Epoch, Offset, SessionId};
use crate::protocol::local::{ConnRef, RoomKey};
use crate::protocol::message::{ResumeFailure, ServerMessage};
use crate::protocol::page::EncodedPage;
use crate::room::actor::Actor;
use crate::room::registry::RoomHandle;
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;

/// One message.
pub enum Mail {
    /// To the home: somebody wants to follow the room.
    Join(Box<Newcomer>),
    /// To the home: somebody who catches up needs the page after `after`.
    Read {
        /// Who.
        to: ConnRef,
        /// Where.
        room: RoomKey,
        /// The position that the page continues.
        after: Offset,
        /// How it reads.
        variant: Variant,
    },
    /// To the home: answer with [`Mail::Turned`], behind all frames that were sent there before.
    Turn {
        /// Whom.
        to: ConnRef,
    },
    /// To a connection's shard: from here on frames have what it turns to.
    Turned {
        /// Who.
        to: ConnRef,
    },
    /// To the home: a client said something that admission let through.
    Said {
        /// The client's connection.
        from: ConnRef,
        /// The room that it follows.
        room: RoomKey,
        /// The operation.
        said: Said,
    },
    /// From the HTTP side to the home: events of the show's owner.
    Post(Box<Letter>),
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
    /// From a librarian to the home: the room is open, or cannot be opened.
    Opened(Box<Opened>),
    /// From a librarian to the home: a page, or why there is none.
    Made(Box<Made>),
    /// To the shard of somebody who catches up: a page.
    Page {
        /// Who.
        to: ConnRef,
        /// It; `None` when there is nothing after the position yet.
        page: Result<Option<Arc<EncodedPage>>, ResumeFailure>,
        /// How many watch the room.
        online: u64,
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
    pub variant: Variant,
    /// The connection's public name.
    pub session: SessionId,
    /// Who it is.
    pub user: User,
    /// Where they left off.
    pub resume: Option<(Epoch, Offset)>,
    /// Why what they missed cannot be brought, if that was found out already.
    pub refused: Option<ResumeFailure>,
    /// How many of the newest comments they want to see, if they said so.
    pub history: Option<usize>,
}

/// What became of the opening of a room.
pub struct Opened {
    /// The room.
    pub room: Arc<RoomHandle>,
    /// Its actor.
    pub actor: Result<Actor, OpenError>,
}

/// What became of a page.
pub struct Made {
    /// Where.
    pub room: RoomKey,
    /// The position that it continues.
    pub after: Offset,
    /// How it is written.
    pub variant: Variant,
    /// It.
    pub page: Result<Arc<EncodedPage>, ResumeFailure>,
}

/// Somebody is in: everything that their welcome needs.
pub struct Joined {
    /// Who.
    pub who: Newcomer,
    /// The position that the welcome tells.
    pub last: Offset,
    /// Likes up to there.
    pub likes: u64,
    /// The position that they come back to, if everything after it is to be brought.
    pub after: Option<Offset>,
    /// Why not.
    pub reason: Option<ResumeFailure>,
    /// The welcome's shared part.
    pub tail: Arc<WelcomeTail>,
}

const _: () = assert!(size_of::<Mail>() <= 48, "65,536 of them are preallocated per shard");
