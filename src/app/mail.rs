//! Messages between the tenants of different shards and the threads that read the log. Small: an inbox holds 65,536 of
//! them.

use super::post_mail::PostMail;
use crate::log::OpenError;
use crate::policy::said::Said;
use crate::protocol::ids::{Epoch, Offset, SessionId};
use crate::protocol::local::{ConnRef, RoomKey};
use crate::protocol::message::{ResumeFailure, ServerMessage};
use crate::protocol::page::EncodedPage;
use crate::protocol::user::User;
use crate::protocol::variant::Variant;
use crate::room::actor::Actor;
use crate::room::registry::RoomHandle;
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;

/// Wakes a room's actor when its log delivers a batch from another thread.
pub(super) type Waker = Arc<dyn Fn(RoomKey) + Send + Sync>;

/// One message. A room's *home* is the shard that runs its actor.
pub enum Mail {
    /// To the home: a connection wants to follow the room.
    Join(Box<JoinRequest>),
    /// To the home: a connection that catches up needs the page after `after`.
    Read {
        to: ConnRef,
        room: RoomKey,
        /// The position that the page continues.
        after: Offset,
        variant: Variant,
    },
    /// To the home: answer with [`Mail::Turned`], behind all frames that were sent to that shard before.
    Turn { to: ConnRef },
    /// To a connection's shard: all later frames have the variant that the connection changes to.
    Turned { to: ConnRef },
    /// To the home: an operation of a client that admission let through.
    Said {
        from: ConnRef,
        /// The room that it follows.
        room: RoomKey,
        said: Said,
    },
    /// From the HTTP side to the home: events of the show's owner.
    Post(Box<PostMail>),
    /// To the home: a connection left the room.
    Presence { room: RoomKey },
    /// To the home: the log delivered a batch.
    Delivered { room: RoomKey },
    /// From a log thread to the home: the room is open, or cannot be opened.
    RoomOpened(Box<RoomOpened>),
    /// From a log thread to the home: a page, or why there is none.
    PageMade(Box<PageMade>),
    /// To the shard of a connection that catches up.
    Page {
        to: ConnRef,
        /// `None` when there is nothing after the position yet.
        page: Result<Option<Arc<EncodedPage>>, ResumeFailure>,
        online: u64,
    },
    /// To the shard of a connection that joined.
    Joined(Box<Joined>),
    /// To a connection's shard: a message for it.
    Reply { to: ConnRef, message: Box<ServerMessage> },
    /// To the shard of a connection that wanted to join: the room cannot be opened.
    Refused { to: ConnRef },
}

/// A connection that wants to follow a room.
pub struct JoinRequest {
    pub to: ConnRef,
    pub room: Arc<RoomHandle>,
    pub variant: Variant,
    /// The name of the connection in the protocol.
    pub session: SessionId,
    pub user: User,
    /// The position at which the client left off.
    pub resume: Option<(Epoch, Offset)>,
    /// Why the missed events cannot be brought, if that is known already.
    pub refused: Option<ResumeFailure>,
    /// How many of the newest comments the client asked for.
    pub history: Option<usize>,
}

/// The result of opening a room.
pub struct RoomOpened {
    pub room: Arc<RoomHandle>,
    pub actor: Result<Actor, OpenError>,
}

/// The result of making a page.
pub struct PageMade {
    pub room: RoomKey,
    /// The position that the page continues.
    pub after: Offset,
    pub variant: Variant,
    pub page: Result<Arc<EncodedPage>, ResumeFailure>,
}

/// A connection that joined a room, with everything that its welcome needs.
pub struct Joined {
    pub who: JoinRequest,
    /// The position that the welcome names.
    pub last: Offset,
    /// The total of likes up to `last`.
    pub likes: u64,
    /// The position to resume from, if all later events will be brought.
    pub after: Option<Offset>,
    /// Why later events will not be brought.
    pub reason: Option<ResumeFailure>,
    /// The part of the welcome that all connections share.
    pub tail: Arc<WelcomeTail>,
}

const _: () = assert!(size_of::<Mail>() <= 48, "65,536 of them are preallocated per shard");
