//! The results of a room's work: the actor pushes effects, and its home shard carries them out.

use super::guard::Forbidden;
use crate::protocol::codes::ErrorCode;
use crate::protocol::frame::EncodedFrame;
use crate::protocol::frame::Outcome;
use crate::protocol::ids::{ClientId, Offset};
use crate::protocol::local::ConnRef;
use crate::protocol::message::{Ack, ErrorMessage, ResumeFailure, ServerMessage};
use crate::room::core::window::Seen;
use crate::room::request::{PostError, Posted};
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;

/// An order to the home shard.
#[derive(Debug)]
pub enum Effect {
    /// Send the frame to every shard that has subscribers.
    Frame {
        /// The bytes, once per variant in use.
        frame: Arc<EncodedFrame>,
    },
    /// A comment was deleted: pages made before contain its text and must be dropped.
    Redacted,
    /// Answer one connection.
    Reply {
        to: ConnRef,
        /// An ack or an error.
        message: ServerMessage,
    },
    /// Answer the show's owner.
    Posted {
        /// The number that the request came with.
        ticket: u64,
        /// The places of all its events, or why none was stored.
        result: Result<Posted, PostError>,
    },
}

/// The answer to a comment or like that does not fit now.
pub(super) fn refusal(to: ConnRef, id: Option<ClientId>, code: ErrorCode, text: &str, after_ms: u64) -> Effect {
    let message = ErrorMessage { id, code, message: text.into(), retry_after_ms: Some(after_ms) };
    Effect::Reply { to, message: ServerMessage::Error(message) }
}

/// The answer to a comment whose id the log has already, with the same or a different text.
pub(super) fn repeated(to: ConnRef, id: ClientId, seen: Seen) -> Effect {
    let error = |code, text: &str| {
        ServerMessage::Error(ErrorMessage { id: Some(id.clone()), code, message: text.into(), retry_after_ms: None })
    };
    let message = match seen {
        Seen::Same { offset, fate } => {
            ServerMessage::Ack(Ack { id, offset, outcome: fate.outcome(), into: fate.into() })
        }
        Seen::Conflict { .. } => error(ErrorCode::IdConflict, "this id was used for a different text; use a new id"),
        Seen::Stale | Seen::New => error(
            ErrorCode::StaleId,
            "this id is too old for the room to know; check whether the comment is in the room",
        ),
    };
    Effect::Reply { to, message }
}

/// The answer to an operation that the guard refuses.
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

/// The answer to a join: the next live frame has `prev == last`.
#[derive(Clone, Debug)]
pub struct JoinAnswer {
    /// The position in the subscriber's welcome.
    pub last: Offset,
    /// Likes up to `last`.
    pub likes: u64,
    /// The requested position, if it is one of this log. The subscriber gets everything after it, from a shard's ring or
    /// in pages from the log, or learns that the log no longer has it.
    pub after: Option<Offset>,
    /// Why the requested position is not one of this log.
    pub reason: Option<ResumeFailure>,
    /// The shared part of the welcome.
    pub tail: Arc<WelcomeTail>,
}
