//! What runs on each shard: sessions of connections, and the homes of rooms.
//!
//! This is where the layers meet: admission reads what a connection says, mail takes it to the room's home, effects of
//! the room become commands to shards.

use super::homes::{Homes, Waker, reply};
use super::mail::{Joined, Mail, Newcomer};
use crate::gateway::{Claim, Permit, Purpose};
use crate::log::Log;
use crate::policy::admission::{Admission, Admitted, SessionMeter};
use crate::policy::auth::Authenticator;
use crate::protocol::codes::{Close, ErrorCode};
use crate::protocol::encode::{self, Encoding, Rendition, Variant};
use crate::protocol::event::User;
use crate::protocol::ids::{ClientId, Hex64};
use crate::protocol::local::ConnRef;
use crate::protocol::message::{Bye, ErrorMessage, ServerMessage};
use crate::room::actor::Settings;
use crate::room::registry::Registry;
use crate::shard::handle::{Message, Shards};
use crate::shard::tenant::{Command, Cx, Inbound, Tenant};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The hint with `overloaded` when a shard is behind: a few ticks.
const BUSY_RETRY_MS: u64 = 500;

/// What every shard's tenant shares.
#[derive(Clone)]
pub struct Shared {
    /// The node's rooms.
    pub registry: Arc<Registry>,
    /// Their log.
    pub log: Arc<dyn Log>,
    /// Their bounds and pace.
    pub rooms: Settings,
    /// Limits for what clients say.
    pub admission: Arc<Admission>,
    /// Who clients are.
    pub auth: Arc<dyn Authenticator>,
}

/// What the gateway hands over beside the socket.
pub struct Hello {
    /// Why the socket came.
    pub purpose: Purpose,
    /// Counts the connection.
    pub permit: Permit,
}

/// What is kept per connection.
pub enum Session {
    /// Follows a room.
    Watch(Watch),
    /// Hears its own words.
    #[cfg(feature = "echo")]
    Echo {
        /// Counts the connection.
        _permit: Permit,
    },
}

/// A viewer's session.
pub struct Watch {
    claim: Claim,
    user: User,
    variant: Variant,
    meter: SessionMeter,
    _permit: Permit,
}

/// One shard's tenant.
pub struct Node {
    shared: Shared,
    homes: Homes,
    /// Set when a wake-up of an actor found the inbox full: then all are looked at.
    lost_wake: Arc<AtomicBool>,
    /// Nothing new is taken: the process stops.
    draining: bool,
}

impl Node {
    /// The tenant of shard `number`.
    pub fn new(number: u16, shards: Shards<Self>, shared: Shared) -> Self {
        let lost_wake = Arc::new(AtomicBool::new(false));
        let lost = lost_wake.clone();
        let waker: Waker = Arc::new(move |room| {
            if shards.send(number, Message::Mail(Mail::Delivered { room })).is_err() {
                lost.store(true, Ordering::Release);
                shards.nudge(number);
            }
        });
        let homes = Homes::new(shared.registry.clone(), shared.log.clone(), shared.rooms.clone(), waker);
        Self { shared, homes, lost_wake, draining: false }
    }

    fn watch(&mut self, cx: &mut Cx<'_, Mail>, to: ConnRef, watch: Watch, resume: Option<(Hex64, u64)>) -> Session {
        let room = watch.claim.room().clone();
        let (key, home) = (room.key, room.home);
        // Before the home hears of the join: from then on it sends frames here.
        room.arrive(cx.shard, watch.variant);
        let who = Newcomer {
            to,
            room,
            encoding: watch.variant.encoding,
            session: Hex64(rand::random()),
            user: watch.user.clone(),
        };
        cx.commands.push(Command::Watch { conn: to, room: key });
        cx.commands.push(Command::Mail { shard: home, mail: Mail::Join { who: Box::new(who), resume } });
        Session::Watch(watch)
    }

    fn joined(cx: &mut Cx<'_, Mail>, joined: Joined) {
        let Joined { who, last, recovered, reason, tail, catch_up } = joined;
        let payload = tail.compose(who.encoding, &who.room.id, who.session, &who.user, recovered, reason);
        let mut welcome = BytesMut::from(&encode::websocket_frame(&payload, who.encoding)[..]);
        if let Some(catch_up) = catch_up {
            welcome.extend_from_slice(&catch_up);
        }
        let variant = Variant { rendition: Rendition::Viewer, encoding: who.encoding };
        cx.commands.push(Command::Subscribe { conn: who.to, variant, welcome: welcome.freeze(), last });
    }

    fn busy(&self, cx: &Cx<'_, Mail>, home: u16, id: Option<ClientId>) -> Option<ErrorMessage> {
        let message = if self.draining {
            "the server restarts; send it again after you reconnected"
        } else if cx.congested[usize::from(home)] {
            "the server is behind; send it again later"
        } else {
            return None;
        };
        Some(ErrorMessage {
            id,
            code: ErrorCode::Overloaded,
            message: message.into(),
            retry_after_ms: Some(BUSY_RETRY_MS),
        })
    }
}

fn gone(id: Option<ClientId>) -> ServerMessage {
    ServerMessage::Error(ErrorMessage {
        id,
        code: ErrorCode::Overloaded,
        message: "the room is being closed; reconnect and send it again".into(),
        retry_after_ms: Some(BUSY_RETRY_MS),
    })
}

impl Tenant for Node {
    type Hello = Hello;
    type Session = Session;
    type Mail = Mail;

    fn open(
        &mut self,
        cx: &mut Cx<'_, Mail>,
        conn: ConnRef,
        encoding: Encoding,
        hello: Hello,
    ) -> Result<Session, Close> {
        let Hello { purpose, permit } = hello;
        match purpose {
            #[cfg(feature = "echo")]
            Purpose::Echo => Ok(Session::Echo { _permit: permit }),
            Purpose::Watch { room: claim, resume, guest } => {
                if self.draining {
                    return Err(Close::Drain);
                }
                let identity = self.shared.auth.guest(guest.as_ref());
                let variant = Variant { rendition: Rendition::Viewer, encoding };
                let meter = SessionMeter::default();
                let watch = Watch { claim, user: identity.user, variant, meter, _permit: permit };
                Ok(self.watch(cx, conn, watch, resume))
            }
        }
    }

    fn message(&mut self, cx: &mut Cx<'_, Mail>, conn: ConnRef, session: &mut Session, message: Inbound<'_>) {
        #[cfg(feature = "echo")]
        if let Session::Echo { .. } = session {
            let encoding = if message.is_text { Encoding::Json } else { Encoding::Msgpack };
            let frame = encode::websocket_frame(message.payload, encoding);
            cx.commands.push(Command::Reply { to: conn, frame });
        }
        #[cfg_attr(not(feature = "echo"), allow(irrefutable_let_patterns))]
        let Session::Watch(watch) = session else { return };
        let encoding = watch.variant.encoding;
        let admitted = self.shared.admission.admit(message.payload, encoding, &watch.user, &mut watch.meter, cx.now_us);
        let room = watch.claim.room();
        let (key, home) = (room.key, room.home);
        let mail = match admitted {
            Admitted::Comment(comment) => match self.busy(cx, home, comment.id.clone()) {
                None => Mail::Comment { from: conn, room: key, comment: Box::new(comment) },
                Some(error) => return say(cx, conn, ServerMessage::Error(error)),
            },
            Admitted::Like(count) => match self.busy(cx, home, None) {
                None => Mail::Like { from: conn, room: key, count },
                Some(error) => return say(cx, conn, ServerMessage::Error(error)),
            },
            Admitted::Done => return,
            Admitted::Refused(error) => return say(cx, conn, ServerMessage::Error(error)),
            Admitted::Fatal(close, error) => {
                say(cx, conn, ServerMessage::Error(error));
                cx.commands.push(Command::Close { conn, close });
                return;
            }
        };
        cx.commands.push(Command::Mail { shard: home, mail });
    }

    fn closed(&mut self, cx: &mut Cx<'_, Mail>, _: ConnRef, session: Session) {
        #[cfg_attr(not(feature = "echo"), allow(irrefutable_let_patterns))]
        let Session::Watch(watch) = session else { return };
        let room = watch.claim.room();
        room.leave(cx.shard, watch.variant);
        if !room.presence_dirty.swap(true, Ordering::AcqRel) {
            cx.commands.push(Command::Mail { shard: room.home, mail: Mail::Presence { room: room.key } });
        }
    }

    fn mail(&mut self, cx: &mut Cx<'_, Mail>, mail: Mail) {
        let now_us = cx.now_us;
        match mail {
            Mail::Join { who, resume } => self.homes.join(cx, *who, resume),
            Mail::Comment { from, room, comment } => {
                let id = comment.id.clone();
                if self.draining || !self.homes.with(cx, room, |actor, out| actor.comment(from, *comment, now_us, out))
                {
                    reply(cx, from, gone(id));
                }
            }
            Mail::Like { from, room, count } => {
                if self.draining || !self.homes.with(cx, room, |actor, out| actor.like(from, count, now_us, out)) {
                    reply(cx, from, gone(None));
                }
            }
            Mail::Presence { room } => self.homes.presence(cx, room),
            Mail::Delivered { room } => self.homes.run(cx, room),
            Mail::Joined(joined) => Self::joined(cx, *joined),
            Mail::Reply { to, message } => cx.commands.push(Command::Say { to, message }),
            Mail::Refused { to } => cx.commands.push(Command::Close { conn: to, close: Close::Overload }),
        }
    }

    fn is_answer(mail: &Mail) -> bool {
        matches!(mail, Mail::Joined(_) | Mail::Reply { .. } | Mail::Refused { .. })
    }

    fn undelivered(&mut self, cx: &mut Cx<'_, Mail>, mail: Mail) {
        match mail {
            Mail::Join { who, .. } => cx.commands.push(Command::Close { conn: who.to, close: Close::Overload }),
            Mail::Comment { from, comment, .. } => say(cx, from, gone(comment.id)),
            Mail::Like { from, .. } => say(cx, from, gone(None)),
            // Told again with the next change.
            Mail::Presence { room } => {
                if let Some(room) = self.shared.registry.list().iter().find(|handle| handle.key == room) {
                    room.presence_dirty.store(false, Ordering::Release);
                }
            }
            Mail::Delivered { .. } => self.lost_wake.store(true, Ordering::Release),
            Mail::Joined(_) | Mail::Reply { .. } | Mail::Refused { .. } => unreachable!("answers always wait"),
        }
    }

    fn wake(&mut self, cx: &mut Cx<'_, Mail>) {
        if self.lost_wake.swap(false, Ordering::AcqRel) {
            self.homes.run_all(cx);
        }
        self.homes.run_due(cx);
    }

    fn due_us(&self) -> Option<u64> {
        if self.lost_wake.load(Ordering::Acquire) { Some(0) } else { self.homes.due_us() }
    }

    fn flush(&mut self, cx: &mut Cx<'_, Mail>) {
        self.draining = true;
        self.homes.flush(cx);
    }

    fn bye(&mut self, _: &Session, encoding: Encoding, after_ms: u64) -> Bytes {
        encode::websocket_message(&ServerMessage::Bye(Bye { code: Close::Drain.code(), after_ms }), encoding)
    }
}

/// Answers a connection of this shard.
fn say(cx: &mut Cx<'_, Mail>, to: ConnRef, message: ServerMessage) {
    cx.commands.push(Command::Say { to, message: Box::new(message) });
}
