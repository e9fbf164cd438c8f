//! The part of a shard that knows rooms and users, as the shard sees it.
//!
//! The tenant reads messages, knows rooms and users, and answers with [`ShardCommand`]s; the shard carries them out after
//! the call. So the tenant needs no reference to a connection and the shard no knowledge of a room.

use crate::protocol::codes::Close;
use crate::protocol::frame::{EncodedFrame, RoomKey};
use crate::protocol::ids::Offset;
use crate::protocol::local::ConnRef;
use crate::protocol::message::{RenditionReason, ResumeFailure, ServerMessage};
use crate::protocol::page::EncodedPage;
use crate::protocol::variant::{Encoding, Rendition, Variant};
use bytes::Bytes;
use std::sync::Arc;

/// Limits of one connection's inbound messages and waiting answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Largest inbound message in bytes, over all its fragments.
    pub message_bytes_max: u32,
    /// Most fragments of one inbound message.
    pub fragments_max: u32,
    /// Bytes of control answers that may wait while the socket is blocked; above that the connection is closed with
    /// 4001.
    pub backlog_bytes_max: u32,
    /// Whether text and binary messages are both accepted, whatever the subprotocol.
    pub any_type: bool,
    /// Whether `permessage-deflate` was agreed on, so that messages may arrive compressed.
    pub compressed: bool,
}

/// A socket that the gateway upgraded.
pub struct NewConn<H> {
    /// In non-blocking mode, with its options set.
    pub stream: std::net::TcpStream,
    /// Bytes that the peer waits for and was not sent yet, such as the 101. They leave in one write with the first
    /// other bytes of the same duty cycle, or alone at the end of the cycle.
    pub answer: Bytes,
    /// Bytes that arrived behind the upgrade request: the beginning of the first frames.
    pub leftover: Bytes,
    pub encoding: Encoding,
    pub caps: Caps,
    /// The gateway's data for the tenant.
    pub hello: H,
}

/// A command of the tenant, carried out after the call that pushed it.
pub enum ShardCommand<M> {
    /// Sends one whole WebSocket frame to a connection. It is never dropped in favour of room frames (see
    /// `CONTROL_BACKLOG_BYTES_MAX`).
    Reply {
        to: ConnRef,
        frame: Bytes,
    },
    /// Sends a message in the connection's encoding, as [`ShardCommand::Reply`] does.
    Say {
        to: ConnRef,
        message: Box<ServerMessage>,
    },
    /// Binds the connection to the room: this shard keeps the room's frames for it from now on.
    Watch {
        conn: ConnRef,
        room: RoomKey,
    },
    /// Sends `welcome` and makes the connection a subscriber at position `last`.
    Subscribe {
        conn: ConnRef,
        variant: Variant,
        /// One or more whole WebSocket frames, sent before the room's frames.
        welcome: Bytes,
        /// The client's position after the welcome.
        last: Offset,
        likes: u64,
    },
    /// Makes the connection a subscriber that continues from `after`: sends the tenant's welcome and all events after
    /// that position. They come from the room's ring if it reaches back that far, and otherwise in pages that the
    /// tenant brings ([`Tenant::page`]).
    Resume {
        conn: ConnRef,
        variant: Variant,
        /// The client's position.
        after: Offset,
        /// The room's position at the join. Everything up to it is promised to the client.
        last: Offset,
        likes: u64,
    },
    /// Answers [`Tenant::page`].
    Page {
        conn: ConnRef,
        /// `None` when there are no events after that position yet.
        page: Result<Option<Arc<EncodedPage>>, ResumeFailure>,
        /// The room's viewer count, which the page carries.
        online: u64,
    },
    /// The client asks for a rendition, perhaps for its current one.
    Rendition {
        conn: ConnRef,
        rendition: Rendition,
    },
    /// Answers [`Tenant::turn`].
    Turned {
        conn: ConnRef,
    },
    Close {
        conn: ConnRef,
        close: Close,
    },
    /// Sends a message to the tenant of a shard, perhaps of this one.
    Mail {
        shard: u16,
        mail: M,
    },
    /// Sends a frame to a shard, perhaps to this one.
    Frame {
        shard: u16,
        frame: Arc<EncodedFrame>,
    },
}

/// The shard's side of one call of the tenant.
pub struct Cx<'a, M> {
    /// Monotonic microseconds.
    pub now_us: u64,
    pub shard: u16,
    /// Carried out after the call, in order.
    pub commands: &'a mut Vec<ShardCommand<M>>,
    /// By shard: whether its inbox is so full that new operations for it must be refused.
    pub congested: &'a [bool],
}

/// The source of the events that a resuming client missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeSource {
    /// The ring of the room on this shard.
    Ring,
    /// Pages made from the log.
    Pages,
}

/// One whole message of a client.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    pub is_text: bool,
    /// Valid UTF-8 if it is text.
    pub payload: &'a [u8],
}

/// Owns the sessions of a shard's connections, and the rooms whose home is the shard.
pub trait Tenant: Sized {
    /// Data that the gateway hands over with a socket.
    type Hello: Send + 'static;
    /// Per connection. Keep it small: it is most of an idle viewer's memory.
    type Session;
    /// A message from the tenant of one shard to another.
    type Mail: Send + 'static;

    /// Begins the session of a new connection.
    ///
    /// # Errors
    /// The code to close the connection with.
    fn open(
        &mut self,
        cx: &mut Cx<'_, Self::Mail>,
        conn: ConnRef,
        encoding: Encoding,
        hello: Self::Hello,
    ) -> Result<Self::Session, Close>;

    /// Handles one message of the client.
    fn message(
        &mut self,
        cx: &mut Cx<'_, Self::Mail>,
        conn: ConnRef,
        session: &mut Self::Session,
        message: Inbound<'_>,
    );

    /// Ends the session. The socket may linger until the peer has read the close frame.
    fn closed(&mut self, cx: &mut Cx<'_, Self::Mail>, conn: ConnRef, session: Self::Session);

    /// Handles a message of a tenant, perhaps of this one.
    fn mail(&mut self, cx: &mut Cx<'_, Self::Mail>, mail: Self::Mail);

    /// Whether the mail answers an operation that was admitted. Such mails are bounded by the admitted operations; they
    /// always wait for space instead of being returned.
    fn is_answer(mail: &Self::Mail) -> bool;

    /// Takes back a mail, not an answer, that could not be delivered: the inbox of the other shard and the spill for it
    /// are full.
    fn undelivered(&mut self, cx: &mut Cx<'_, Self::Mail>, mail: Self::Mail);

    /// Does the work that is due by [`Tenant::due_us`].
    fn wake(&mut self, cx: &mut Cx<'_, Self::Mail>);

    /// When to call [`Tenant::wake`] next, in monotonic microseconds.
    fn due_us(&self) -> Option<u64>;

    /// Returns the welcome of a client whose missed events can all be sent, as one WebSocket frame; `likes` is the
    /// room's total at the client's position. Called once per [`ShardCommand::Resume`], unless [`Tenant::not_resumed`]
    /// is called or the connection ends first.
    fn welcome(&mut self, conn: ConnRef, likes: u64, from: ResumeSource) -> Bytes;

    /// The missed events of `conn` cannot all be sent. The client has been sent no bytes yet.
    fn not_resumed(&mut self, cx: &mut Cx<'_, Self::Mail>, conn: ConnRef, why: ResumeFailure);

    /// A [`ShardCommand::Resume`] named a connection that has ended.
    fn forget(&mut self, conn: ConnRef);

    /// Asks for the page after `after`. One [`ShardCommand::Page`] answers it, however late.
    fn page(&mut self, cx: &mut Cx<'_, Self::Mail>, conn: ConnRef, session: &Self::Session, after: Offset);

    /// The variant that the subscriber reads now.
    fn variant(&self, session: &Self::Session) -> Variant;

    /// Has frames encoded in `variant` as well, because the subscriber may soon read it; `None` ends that.
    fn stand_by(&mut self, session: &mut Self::Session, variant: Option<Variant>);

    /// Asks for one [`ShardCommand::Turned`], sent once every later frame on this shard has bytes of the variant that
    /// the subscriber last stood by for.
    fn turn(&mut self, cx: &mut Cx<'_, Self::Mail>, conn: ConnRef, session: &Self::Session);

    /// The subscriber reads `to` from now on; its old variant is no longer encoded for it.
    fn turned(&mut self, cx: &mut Cx<'_, Self::Mail>, session: &mut Self::Session, to: Variant, why: RenditionReason);

    /// The process stops: ends all open ticks, and takes no new operations from now on.
    fn flush(&mut self, cx: &mut Cx<'_, Self::Mail>);

    /// The last message before a connection is closed with 1012, as one whole WebSocket frame.
    fn bye(&mut self, session: &Self::Session, encoding: Encoding, after_ms: u64) -> Bytes;
}
