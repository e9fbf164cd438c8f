//! What a room wants done: the actor pushes effects, its home shard carries them out.

use super::guard::Forbidden;
use crate::protocol::codes::ErrorCode;
use crate::protocol::frame::EncodedFrame;
use crate::protocol::ids::{ClientId, Offset};
use crate::protocol::local::ConnRef;
use crate::protocol::message::{Ack, ErrorMessage, Outcome, ResumeFailure, ServerMessage};
use crate::room::core::window::Seen;
use crate::room::request::{PostError, Posted};
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;

/// What the home shard does for the room.
#[derive(Debug)]
pub enum Effect {
    /// Send it to every shard that has subscribers.
    Frame {
        /// The bytes, once per variant in use.
        frame: Arc<EncodedFrame>,
    },
    /// Something was taken back: pages that were made before say too much.
    Redacted,
    /// Answer one connection.
    Reply {
        /// The connection.
        to: ConnRef,
        /// An ack or an error.
        message: ServerMessage,
    },
    /// A subscriber is in: the next live frame has `prev == last`.
    Joined {
        /// The connection.
        to: ConnRef,
        /// The position that its welcome tells.
        last: Offset,
        /// Likes up to `last`.
        likes: u64,
        /// The position that was asked for, if it is one of this log: everything after it is to be brought (from a
        /// shard's ring, or in pages from the log), or it turns out that the log does not have it any more.
        after: Option<Offset>,
        /// Why not, if a position was asked for that is none.
        reason: Option<ResumeFailure>,
        /// The welcome's shared part.
        tail: Arc<WelcomeTail>,
    },
    /// Answer the show's owner.
    Posted {
        /// As it was asked.
        ticket: u64,
        /// What became of all its events.
        result: Result<Posted, PostError>,
    },
}

/// The answer to a comment or like that was not taken.
pub(super) fn refusal(to: ConnRef, id: Option<ClientId>, code: ErrorCode, text: &str, after_ms: u64) -> Effect {
    let message = ErrorMessage { id, code, message: text.into(), retry_after_ms: Some(after_ms) };
    Effect::Reply { to, message: ServerMessage::Error(message) }
}

/// The answer to a comment that is in the log, or that its id makes impossible.
pub(super) fn repeated(to: ConnRef, id: ClientId, seen: Seen) -> Effect {
    let error = |code, text: &str| {
        ServerMessage::Error(ErrorMessage { id: Some(id.clone()), code, message: text.into(), retry_after_ms: None })
    };
    let message = match seen {
        Seen::Same { offset, fate } => {
            ServerMessage::Ack(Ack { id, offset, outcome: fate.outcome(), into: fate.into() })
        }
        Seen::Conflict { .. } => error(ErrorCode::IdConflict, "you used this id for another text; take a new id"),
        Seen::Stale | Seen::New => {
            error(ErrorCode::StaleId, "this id is older than the room remembers; look whether the comment is there")
        }
    };
    Effect::Reply { to, message }
}

/// The answer to an operation that the guard does not let in.
pub(super) fn forbidden(to: ConnRef, id: Option<ClientId>, why: &Forbidden) -> Effect {
    let Forbidden { code, text, after_ms } = *why;
    let retry_after_ms = (after_ms > 0).then_some(after_ms);
    Effect::Reply { to, message: ServerMessage::Error(ErrorMessage { id, code, message: text.into(), retry_after_ms }) }
}

/// The answer to a vote that is in the log at `offset`.
pub(super) fn counted(to: ConnRef, id: ClientId, offset: Offset) -> Effect {
    let ack = Ack { id, offset, outcome: Outcome::Shown, into: None };
    Effect::Reply { to, message: ServerMessage::Ack(ack) }
}
