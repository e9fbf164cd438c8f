//! The echo endpoint of the WebSocket conformance tests: a tenant that sends each message back.
//!
//! Only builds with the feature `echo` have it. Its connections live on a shard of their own, which ends with the process.
//! They use the same connection code as viewers, and the rooms' tenant never sees them.
//!
//! Does not know: rooms, users, the protocol above WebSocket.

use crate::gateway::{HandOver, Permit, Purpose, Upgraded};
use crate::health::Health;
use crate::protocol::codes::Close;
use crate::protocol::deflate::Deflate;
use crate::protocol::encode;
use crate::protocol::ids::Offset;
use crate::protocol::local::ConnRef;
use crate::protocol::message::{RenditionReason, ResumeFailure};
use crate::protocol::variant::{Encoding, Variant};
use crate::shard::handle::Shards;
use crate::shard::tenant::{Caps, Cx, Inbound, NewConn, ResumeSource, ShardCommand, Tenant};
use crate::shard::worker::ShardSettings;
use bytes::Bytes;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

/// Autobahn's messages are larger than any comment, and of both types.
const CAPS: Caps = Caps {
    message_bytes_max: 1 << 24,
    fragments_max: 1 << 16,
    backlog_bytes_max: 1 << 24,
    any_type: true,
    compressed: false,
};

/// Takes echo connections to their shard, and leaves all others to `rooms`.
pub(super) struct EchoHandOver {
    shards: Shards<EchoTenant>,
    rooms: Arc<dyn HandOver>,
}

impl EchoHandOver {
    /// Starts the shard.
    ///
    /// # Errors
    /// When the system has no more descriptors or threads.
    pub(super) fn start(
        rooms: Arc<dyn HandOver>,
        settings: ShardSettings,
        health: &Health,
        deflate: Arc<Deflate>,
    ) -> io::Result<Self> {
        let make_tenant = move |_, _| EchoTenant { deflate: deflate.clone() };
        let (shards, _) = Shards::start(1, settings, health, make_tenant)?;
        Ok(Self { shards, rooms })
    }
}

impl HandOver for EchoHandOver {
    fn hand_over(&self, upgraded: Upgraded) -> Result<(), Upgraded> {
        if !matches!(upgraded.purpose, Purpose::Echo) {
            return self.rooms.hand_over(upgraded);
        }
        let Upgraded { stream, answer, leftover, purpose, encoding, compressed, peer, permit } = upgraded;
        let hello = EchoSession { permit, compressed };
        let caps = Caps { compressed, ..CAPS };
        self.shards.accept(Box::new(NewConn { stream, answer, leftover, encoding, caps, hello })).map_err(|conn| {
            let NewConn { stream, answer, leftover, encoding, hello, .. } = *conn;
            let EchoSession { permit, compressed } = hello;
            Upgraded { stream, answer, leftover, purpose, encoding, compressed, peer, permit }
        })
    }
}

/// The session of an echo connection, and its data on the way to the shard.
struct EchoSession {
    /// Counts the connection while it exists.
    permit: Permit,
    /// Whether its messages may be compressed.
    compressed: bool,
}

struct EchoTenant {
    deflate: Arc<Deflate>,
}

impl Tenant for EchoTenant {
    type Hello = EchoSession;
    type Session = EchoSession;
    type Mail = Infallible;

    fn open(
        &mut self,
        _: &mut Cx<'_, Infallible>,
        _: ConnRef,
        _: Encoding,
        hello: EchoSession,
    ) -> Result<EchoSession, Close> {
        Ok(hello)
    }

    fn message(&mut self, cx: &mut Cx<'_, Infallible>, conn: ConnRef, session: &mut EchoSession, message: Inbound<'_>) {
        let encoding = if message.is_text { Encoding::Json } else { Encoding::Msgpack };
        let packed = session.compressed.then(|| encode::deflated(message.payload, encoding, &self.deflate)).flatten();
        let frame = packed.unwrap_or_else(|| encode::framed(message.payload, encoding));
        cx.commands.push(ShardCommand::Reply { to: conn, frame });
    }

    fn variant(&self, _: &EchoSession) -> Variant {
        Variant::default()
    }

    fn due_us(&self) -> Option<u64> {
        None
    }

    fn is_answer(mail: &Infallible) -> bool {
        match *mail {}
    }

    fn mail(&mut self, _: &mut Cx<'_, Infallible>, mail: Infallible) {
        match mail {}
    }

    fn undelivered(&mut self, _: &mut Cx<'_, Infallible>, mail: Infallible) {
        match mail {}
    }

    fn welcome(&mut self, _: ConnRef, _: u64, _: ResumeSource) -> Bytes {
        unreachable!("no echo connection resumes")
    }

    fn bye(&mut self, _: &EchoSession, _: Encoding, _: u64) -> Bytes {
        Bytes::new()
    }

    // An echo connection follows no room.
    fn closed(&mut self, _: &mut Cx<'_, Infallible>, _: ConnRef, _: EchoSession) {}
    fn wake(&mut self, _: &mut Cx<'_, Infallible>) {}
    fn not_resumed(&mut self, _: &mut Cx<'_, Infallible>, _: ConnRef, _: ResumeFailure) {}
    fn forget(&mut self, _: ConnRef) {}
    fn page(&mut self, _: &mut Cx<'_, Infallible>, _: ConnRef, _: &EchoSession, _: Offset) {}
    fn stand_by(&mut self, _: &mut EchoSession, _: Option<Variant>) {}
    fn turn(&mut self, _: &mut Cx<'_, Infallible>, _: ConnRef, _: &EchoSession) {}
    fn turned(&mut self, _: &mut Cx<'_, Infallible>, _: &mut EchoSession, _: Variant, _: RenditionReason) {}
    fn flush(&mut self, _: &mut Cx<'_, Infallible>) {}
}
