//! What runs on a shard beside its connections, as the shard sees it.
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

/// A connection's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Largest inbound message in bytes, over all its fragments.
    pub message_bytes_max: u32,
    /// Most fragments of one inbound message.
    pub fragments_max: u32,
    /// Bytes of control answers that may wait while the socket is blocked; beyond it 4001.
    pub backlog_bytes_max: u32,
    /// Whether text and binary are both welcome, whatever the subprotocol.
    pub any_type: bool,
    /// Whether messages may come compressed: `permessage-deflate` was agreed to.
    pub compressed: bool,
}

/// A socket that the gateway upgraded.
pub struct NewConn<H> {
    /// Non-blocking, with its options set.
    pub stream: std::net::TcpStream,
    /// What the peer waits for and was not sent yet: goes out in one write with the first thing that is written to
    /// it in the same duty cycle, or else alone at the cycle's end.
    pub answer: Bytes,
    /// Bytes that came behind the upgrade request.
    pub leftover: Bytes,
    /// Text or binary.
    pub encoding: Encoding,
    /// Inbound limits.
    pub caps: Caps,
    /// What the tenant needs to know.
    pub hello: H,
}

/// What the tenant wants done.
pub enum ShardCommand<M> {
    /// One whole WebSocket frame to one connection, never dropped because of data (see `CONTROL_BACKLOG_BYTES_MAX`).
    Reply {
        /// To whom.
        to: ConnRef,
        /// The frame.
        frame: Bytes,
    },
    /// The same for a message, in the connection's encoding.
    Say {
        /// To whom.
        to: ConnRef,
        /// What.
        message: Box<ServerMessage>,
    },
    /// From now on the connection belongs to the room here: frames of the room are kept for it.
    Watch {
        /// Who.
        conn: ConnRef,
        /// What.
        room: RoomKey,
    },
    /// Sends `welcome` and makes the connection a subscriber that stands at `last`.
    Subscribe {
        /// Who.
        conn: ConnRef,
        /// What it gets.
        variant: Variant,
        /// Whole WebSocket frames that come first.
        welcome: Bytes,
        /// The position that they bring it to.
        last: Offset,
        /// The room's likes there.
        likes: u64,
    },
    /// The same for somebody who comes back to `after`: sends the tenant's welcome and everything after that position,
    /// from the room's ring where it reaches back, else in pages that the tenant brings ([`Tenant::page`]).
    Resume {
        /// Who.
        conn: ConnRef,
        /// What it gets.
        variant: Variant,
        /// The position that it has.
        after: Offset,
        /// The room's position when it was let in: up to here it is promised everything.
        last: Offset,
        /// The room's likes there.
        likes: u64,
    },
    /// The page that [`Tenant::page`] was asked for.
    Page {
        /// For whom.
        conn: ConnRef,
        /// It, `None` when there is nothing after that position yet, or why there is none.
        page: Result<Option<Arc<EncodedPage>>, ResumeFailure>,
        /// The count of viewers to tell with it.
        online: u64,
    },
    /// The connection asks for another rendition, or for the one that it has.
    Rendition {
        /// Who.
        conn: ConnRef,
        /// What it wants.
        rendition: Rendition,
    },
    /// What [`Tenant::turn`] was asked for is so.
    Turned {
        /// Who turns.
        conn: ConnRef,
    },
    /// Closes with a code.
    Close {
        /// Whom.
        conn: ConnRef,
        /// Why.
        close: Close,
    },
    /// A message to the tenant of a shard (perhaps this one).
    Mail {
        /// Which shard.
        shard: u16,
        /// The message.
        mail: M,
    },
    /// A frame to a shard (perhaps this one).
    Frame {
        /// Which shard.
        shard: u16,
        /// The frame.
        frame: Arc<EncodedFrame>,
    },
}

/// The tenant's view of a call.
pub struct Cx<'a, M> {
    /// Monotonic microseconds.
    pub now_us: u64,
    /// This shard's number.
    pub shard: u16,
    /// What to do after the call, in order.
    pub commands: &'a mut Vec<ShardCommand<M>>,
    /// Shards whose inbox is so full that new work for them is to be refused.
    pub congested: &'a [bool],
}

/// Where what a returner missed comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeSource {
    /// The shard's ring has all of it.
    Ring,
    /// The log, in pages.
    Pages,
}

/// One inbound message.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// Text (true) or binary.
    pub is_text: bool,
    /// Its bytes; text is valid UTF-8.
    pub payload: &'a [u8],
}

/// What runs on a shard.
pub trait Tenant: Sized {
    /// What the gateway hands over beside the socket.
    type Hello: Send + 'static;
    /// What is kept per connection. Small: it is most of an idle viewer's memory.
    type Session;
    /// Messages between tenants.
    type Mail: Send + 'static;

    /// A connection arrived.
    ///
    /// # Errors
    /// The code to close it with.
    fn open(
        &mut self,
        cx: &mut Cx<'_, Self::Mail>,
        conn: ConnRef,
        encoding: Encoding,
        hello: Self::Hello,
    ) -> Result<Self::Session, Close>;

    /// A connection said something.
    fn message(
        &mut self,
        cx: &mut Cx<'_, Self::Mail>,
        conn: ConnRef,
        session: &mut Self::Session,
        message: Inbound<'_>,
    );

    /// A connection is gone (for us: its socket may linger).
    fn closed(&mut self, cx: &mut Cx<'_, Self::Mail>, conn: ConnRef, session: Self::Session);

    /// A message came.
    fn mail(&mut self, cx: &mut Cx<'_, Self::Mail>, mail: Self::Mail);

    /// Whether a mail answers something that was admitted: such mails are bounded by what was admitted, and always wait
    /// for room instead of being given back.
    fn is_answer(mail: &Self::Mail) -> bool;

    /// A mail that is no answer could not be delivered: the other shard's inbox and the spill before it are full.
    fn undelivered(&mut self, cx: &mut Cx<'_, Self::Mail>, mail: Self::Mail);

    /// Does what is due.
    fn wake(&mut self, cx: &mut Cx<'_, Self::Mail>);

    /// When [`Tenant::wake`] wants to be called next, in monotonic microseconds.
    fn due_us(&self) -> Option<u64>;

    /// The resume of `conn` is whole: its welcome, as one WebSocket frame, with the `likes` of where it stands. Called
    /// once per [`ShardCommand::Resume`], unless [`Tenant::not_resumed`] is, or the connection is gone.
    fn welcome(&mut self, conn: ConnRef, likes: u64, from: ResumeSource) -> Bytes;

    /// The resume of `conn` cannot be whole. It has been sent nothing.
    fn not_resumed(&mut self, cx: &mut Cx<'_, Self::Mail>, conn: ConnRef, why: ResumeFailure);

    /// A [`ShardCommand::Resume`] came for a connection that is gone.
    fn forget(&mut self, conn: ConnRef);

    /// `conn` needs the page after `after`; answered by one [`ShardCommand::Page`], however late.
    fn page(&mut self, cx: &mut Cx<'_, Self::Mail>, conn: ConnRef, session: &Self::Session, after: Offset);

    /// What a subscriber reads.
    fn variant(&self, session: &Self::Session) -> Variant;

    /// The subscriber may soon read this one too, or none but its own: frames have to be made in it as well.
    fn stand_by(&mut self, session: &mut Self::Session, variant: Option<Variant>);

    /// Answered by one [`ShardCommand::Turned`] when every frame that comes here after that has bytes of what the subscriber was
    /// last said to stand by for.
    fn turn(&mut self, cx: &mut Cx<'_, Self::Mail>, conn: ConnRef, session: &Self::Session);

    /// From now on the subscriber reads `to`: no frame need be made in its old variant for it.
    fn turned(&mut self, cx: &mut Cx<'_, Self::Mail>, session: &mut Self::Session, to: Variant, why: RenditionReason);

    /// Finishes what was gathered: the process stops, nothing new is taken from now on.
    fn flush(&mut self, cx: &mut Cx<'_, Self::Mail>);

    /// The last words to a connection before it is closed with 1012: one whole WebSocket frame.
    fn bye(&mut self, session: &Self::Session, encoding: Encoding, after_ms: u64) -> Bytes;
}
