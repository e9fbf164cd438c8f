//! The tenant of each shard: sessions of connections, and the rooms whose home the shard is.
//!
//! This is where the layers meet: admission reads a client's message, mail takes the operation to the room's home, and
//! the room's effects become commands to shards.

use super::log_pool::LogPool;
use super::mail::{JoinRequest, Joined, Mail, Waker};
use super::shard_rooms::ShardRooms;
use super::shard_rooms::refusals::{BUSY_RETRY_MS, gone};
use crate::clock;
use crate::faults::fail_point;
use crate::gateway::{Claim, Permit, Purpose};
use crate::metrics::{ChangeReason, RenditionMetrics, ResumeMetrics};
use crate::policy::admission::{Admission, Admitted, SessionMeter};
use crate::protocol::codes::{Close, ErrorCode};
use crate::protocol::deflate::Deflate;
use crate::protocol::encode;
use crate::protocol::ids::{ClientId, Epoch, Hex64, Offset};
use crate::protocol::local::ConnRef;
use crate::protocol::message::{Bye, ErrorMessage, Pong, RenditionReason, ResumeFailure, ServerMessage};
use crate::protocol::user::User;
use crate::protocol::variant::{Encoding, Variant};
use crate::room::registry::Registry;
use crate::shard::handle::Shards;
use crate::shard::message::Message;
use crate::shard::tenant::{Cx, Inbound, ResumeSource, ShardCommand, Tenant};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the tenants of all shards.
#[derive(Clone)]
pub struct TenantServices {
    pub registry: Arc<Registry>,
    pub log_pool: LogPool,
    /// Limits and checks of client messages.
    pub admission: Arc<Admission>,
    pub deflate: Arc<Deflate>,
}

/// Handed over by the gateway with the socket.
pub struct Hello {
    pub purpose: Purpose,
    /// Counts the connection while it exists.
    pub permit: Permit,
    /// Whether its messages may be compressed.
    pub compressed: bool,
}

/// The wishes in a join's address.
struct Wish {
    resume: Option<(Epoch, Offset)>,
    history: Option<usize>,
}

/// The session of a connection that follows a room.
pub struct Watch {
    claim: Claim,
    user: User,
    variant: Variant,
    /// The variant that it is about to change to.
    stands_by: Option<Variant>,
    meter: SessionMeter,
    _permit: Permit,
}

/// The tenant of one shard.
pub struct RoomTenant {
    shared: TenantServices,
    homes: ShardRooms,
    /// Connections that resume, until they are welcomed.
    returning: HashMap<ConnRef, Box<Joined>>,
    metrics: ResumeMetrics,
    renditions: RenditionMetrics,
    /// Set when the wake-up of an actor found the inbox full: then all actors are run.
    lost_wake: Arc<AtomicBool>,
    /// The process stops, and no new operations are taken.
    draining: bool,
}

impl RoomTenant {
    /// The tenant of shard `number`.
    pub fn new(number: u16, shards: Shards<Self>, shared: TenantServices) -> Self {
        let lost_wake = Arc::new(AtomicBool::new(false));
        let lost = lost_wake.clone();
        let waker: Waker = Arc::new(move |room| {
            if shards.send(number, Message::Mail(Mail::Delivered { room })).is_err() {
                lost.store(true, Ordering::Release);
                shards.nudge(number);
            }
        });
        let homes = ShardRooms::new(shared.registry.clone(), shared.log_pool.clone(), waker);
        let (returning, metrics, renditions) = (HashMap::new(), ResumeMetrics::new(), RenditionMetrics::new());
        Self { shared, homes, returning, metrics, renditions, lost_wake, draining: false }
    }

    fn watch(&mut self, cx: &mut Cx<'_, Mail>, to: ConnRef, watch: Watch, wish: Wish) -> Watch {
        let room = watch.claim.room().clone();
        let (key, home) = (room.key, room.home);
        // Before the home gets the join: from then on it sends frames to this shard.
        room.arrive(cx.shard, watch.variant);
        self.renditions.arrived(watch.variant.rendition.index());
        let who = JoinRequest {
            to,
            room,
            variant: watch.variant,
            session: Hex64(rand::random()),
            user: watch.user.clone(),
            resume: wish.resume,
            refused: None,
            history: wish.history,
        };
        cx.commands.push(ShardCommand::Watch { conn: to, room: key });
        cx.commands.push(ShardCommand::Mail { shard: home, mail: Mail::Join(Box::new(who)) });
        watch
    }

    fn joined(&mut self, cx: &mut Cx<'_, Mail>, joined: Box<Joined>) {
        let Joined { who, last, likes, after, reason, tail } = &*joined;
        let (conn, last, likes) = (who.to, *last, *likes);
        let variant = who.variant;
        if let Some(after) = *after {
            cx.commands.push(ShardCommand::Resume { conn, variant, after, last, likes });
            self.returning.insert(conn, joined);
            return;
        }
        match reason {
            None => {}
            Some(ResumeFailure::EpochChanged) => self.metrics.epoch_changed.increment(1),
            Some(ResumeFailure::TooOld) => self.metrics.too_old.increment(1),
            Some(ResumeFailure::Ahead) => self.metrics.ahead.increment(1),
            Some(ResumeFailure::Unavailable) => self.metrics.unavailable.increment(1),
        }
        let room = &who.room.id;
        let packed = variant
            .compressed
            .then(|| tail.compose_deflated(&self.shared.deflate, variant, room, who.session, &who.user, *reason));
        let welcome = packed.flatten().unwrap_or_else(|| {
            let payload = tail.compose(variant, room, who.session, &who.user, false, *reason);
            encode::framed(&payload, variant)
        });
        cx.commands.push(ShardCommand::Subscribe { conn, variant, welcome, last, likes });
    }

    fn busy(&self, cx: &Cx<'_, Mail>, home: u16, id: Option<&ClientId>) -> Option<ErrorMessage> {
        let message = if self.draining {
            "the server restarts; reconnect and send it again"
        } else if cx.congested[usize::from(home)] {
            "the server is overloaded; send it again later"
        } else {
            return None;
        };
        Some(ErrorMessage {
            id: id.cloned(),
            code: ErrorCode::Overloaded,
            message: message.into(),
            retry_after_ms: Some(BUSY_RETRY_MS),
        })
    }
}

impl Tenant for RoomTenant {
    type Hello = Hello;
    type Session = Watch;
    type Mail = Mail;

    fn open(&mut self, cx: &mut Cx<'_, Mail>, conn: ConnRef, encoding: Encoding, hello: Hello) -> Result<Watch, Close> {
        let Hello { purpose, permit, compressed } = hello;
        match purpose {
            #[cfg(feature = "echo")]
            Purpose::Echo => unreachable!("echo connections have a shard of their own"),
            Purpose::Watch { room: claim, rendition, resume, history, identity } => {
                if self.draining {
                    return Err(Close::Drain);
                }
                let variant = Variant::new(encoding, compressed).with(rendition);
                let meter = SessionMeter::default();
                let watch = Watch { claim, user: identity.user, variant, stands_by: None, meter, _permit: permit };
                Ok(self.watch(cx, conn, watch, Wish { resume, history }))
            }
        }
    }

    fn message(&mut self, cx: &mut Cx<'_, Mail>, conn: ConnRef, watch: &mut Watch, message: Inbound<'_>) {
        fail_point!("received");
        let encoding = watch.variant.encoding;
        let admitted = self.shared.admission.admit(message.payload, encoding, &watch.user, &mut watch.meter, cx.now_us);
        let room = watch.claim.room();
        let (key, home) = (room.key, room.home);
        let said = match admitted {
            Admitted::Said(said) => match self.busy(cx, home, said.id()) {
                None => said,
                Some(error) => return say(cx, conn, ServerMessage::Error(error)),
            },
            Admitted::Rendition(rendition) => return cx.commands.push(ShardCommand::Rendition { conn, rendition }),
            Admitted::Ping => return say(cx, conn, ServerMessage::Pong(Pong { at: clock::wall_ms() })),
            Admitted::Refused(error) => return say(cx, conn, ServerMessage::Error(error)),
            Admitted::Fatal(close, error) => {
                say(cx, conn, ServerMessage::Error(error));
                cx.commands.push(ShardCommand::Close { conn, close });
                return;
            }
        };
        fail_point!("admitted");
        cx.commands.push(ShardCommand::Mail { shard: home, mail: Mail::Said { from: conn, room: key, said } });
    }

    fn closed(&mut self, cx: &mut Cx<'_, Mail>, conn: ConnRef, watch: Watch) {
        self.forget(conn);
        let room = watch.claim.room();
        room.leave(cx.shard, watch.variant);
        watch.stands_by.inspect(|variant| room.unwant(*variant));
        self.renditions.left(watch.variant.rendition.index());
        if !room.presence_dirty.swap(true, Ordering::AcqRel) {
            cx.commands.push(ShardCommand::Mail { shard: room.home, mail: Mail::Presence { room: room.key } });
        }
    }

    fn mail(&mut self, cx: &mut Cx<'_, Mail>, mail: Mail) {
        match mail {
            Mail::Join(who) => self.homes.join(cx, who),
            Mail::Read { to, room, after, variant } => self.homes.read(cx, to, (room, after, variant)),
            // Answered by the home, which also sends the frames: the answer comes behind all earlier ones.
            Mail::Turn { to } => cx.commands.push(ShardCommand::Mail { shard: to.shard, mail: Mail::Turned { to } }),
            Mail::Turned { to } => cx.commands.push(ShardCommand::Turned { conn: to }),
            Mail::Said { from, room, said } => self.homes.say(cx, from, room, said),
            Mail::Post(post) => self.homes.post(cx, post),
            Mail::RoomOpened(opened) => self.homes.opened(cx, *opened),
            Mail::PageMade(made) => self.homes.made(cx, *made),
            Mail::Page { to, page, online } => cx.commands.push(ShardCommand::Page { conn: to, page, online }),
            Mail::Presence { room } => self.homes.presence(cx, room),
            Mail::Delivered { room } => self.homes.run(cx, room),
            Mail::Joined(joined) => self.joined(cx, joined),
            Mail::Reply { to, message } => cx.commands.push(ShardCommand::Say { to, message }),
            Mail::Refused { to } => cx.commands.push(ShardCommand::Close { conn: to, close: Close::Overload }),
        }
    }

    fn is_answer(mail: &Mail) -> bool {
        match mail {
            Mail::Joined(_) | Mail::Reply { .. } | Mail::Refused { .. } | Mail::Page { .. } => true,
            // At most one per connection, and connections are bounded.
            Mail::Read { .. } | Mail::Turn { .. } | Mail::Turned { .. } => true,
            // The log threads wait while the inbox is full.
            Mail::RoomOpened(_) | Mail::PageMade(_) => true,
            // Comes from the HTTP side, straight into the inbox.
            Mail::Post(_) => true,
            Mail::Join(_) | Mail::Said { .. } => false,
            Mail::Presence { .. } | Mail::Delivered { .. } => false,
        }
    }

    fn undelivered(&mut self, cx: &mut Cx<'_, Mail>, mail: Mail) {
        match mail {
            Mail::Join(who) => cx.commands.push(ShardCommand::Close { conn: who.to, close: Close::Overload }),
            Mail::Said { from, said, .. } => say(cx, from, gone(said.id().cloned())),
            // Sent again with the next change.
            Mail::Presence { room } => {
                if let Some(room) = self.shared.registry.list().iter().find(|handle| handle.key == room) {
                    room.presence_dirty.store(false, Ordering::Release);
                }
            }
            Mail::Delivered { .. } => self.lost_wake.store(true, Ordering::Release),
            Mail::Joined(_)
            | Mail::Reply { .. }
            | Mail::Refused { .. }
            | Mail::Page { .. }
            | Mail::Read { .. }
            | Mail::Turn { .. }
            | Mail::Turned { .. }
            | Mail::Post(_)
            | Mail::RoomOpened(_)
            | Mail::PageMade(_) => unreachable!("answers always wait"),
        }
    }

    fn wake(&mut self, cx: &mut Cx<'_, Mail>) {
        if self.lost_wake.swap(false, Ordering::AcqRel) {
            self.homes.run_all(cx);
        }
        self.homes.play(cx);
        self.homes.run_due(cx);
    }

    fn due_us(&self) -> Option<u64> {
        if self.lost_wake.load(Ordering::Acquire) { Some(0) } else { self.homes.due_us() }
    }

    fn welcome(&mut self, conn: ConnRef, likes: u64, from: ResumeSource) -> Bytes {
        match from {
            ResumeSource::Ring => self.metrics.ring.increment(1),
            ResumeSource::Pages => self.metrics.pages.increment(1),
        }
        let joined =
            self.returning.remove(&conn).expect("a resuming connection is kept until it is welcomed or closed");
        let Joined { who, tail, .. } = *joined;
        // It has no events, so it is too small to be compressed.
        let payload = tail.compose_recovered(who.variant, &who.room.id, who.session, &who.user, likes);
        encode::framed(&payload, who.variant)
    }

    fn not_resumed(&mut self, cx: &mut Cx<'_, Mail>, conn: ConnRef, why: ResumeFailure) {
        let Some(joined) = self.returning.remove(&conn) else { return };
        // Joins again without a position: the room went on meanwhile.
        let who = JoinRequest { resume: None, refused: Some(why), ..joined.who };
        cx.commands.push(ShardCommand::Mail { shard: who.room.home, mail: Mail::Join(Box::new(who)) });
    }

    fn forget(&mut self, conn: ConnRef) {
        self.returning.remove(&conn);
    }

    fn page(&mut self, cx: &mut Cx<'_, Mail>, conn: ConnRef, watch: &Watch, after: Offset) {
        let (room, variant) = (watch.claim.room(), watch.variant);
        let mail = Mail::Read { to: conn, room: room.key, after, variant };
        cx.commands.push(ShardCommand::Mail { shard: room.home, mail });
    }

    fn variant(&self, watch: &Watch) -> Variant {
        watch.variant
    }

    fn stand_by(&mut self, watch: &mut Watch, variant: Option<Variant>) {
        let room = watch.claim.room();
        // In this order, so that a variant wanted before and after is wanted all the time.
        variant.inspect(|variant| room.want(*variant));
        std::mem::replace(&mut watch.stands_by, variant).inspect(|variant| room.unwant(*variant));
    }

    fn turn(&mut self, cx: &mut Cx<'_, Mail>, conn: ConnRef, watch: &Watch) {
        cx.commands.push(ShardCommand::Mail { shard: watch.claim.room().home, mail: Mail::Turn { to: conn } });
    }

    fn turned(&mut self, cx: &mut Cx<'_, Mail>, watch: &mut Watch, to: Variant, why: RenditionReason) {
        let from = std::mem::replace(&mut watch.variant, to);
        watch.claim.room().move_to(cx.shard, from, to);
        let why = match why {
            RenditionReason::Asked => ChangeReason::Asked,
            RenditionReason::Slow => ChangeReason::Slow,
            RenditionReason::KeptUp => ChangeReason::KeptUp,
        };
        self.renditions.moved(from.rendition.index(), to.rendition.index(), why);
        self.stand_by(watch, None);
    }

    fn flush(&mut self, cx: &mut Cx<'_, Mail>) {
        self.draining = true;
        self.homes.flush(cx);
    }

    fn bye(&mut self, _: &Watch, encoding: Encoding, after_ms: u64) -> Bytes {
        encode::message(&ServerMessage::Bye(Bye { code: Close::Drain.code(), after_ms }), encoding)
    }
}

/// Answers a connection of this shard.
fn say(cx: &mut Cx<'_, Mail>, to: ConnRef, message: ServerMessage) {
    cx.commands.push(ShardCommand::Say { to, message: Box::new(message) });
}
