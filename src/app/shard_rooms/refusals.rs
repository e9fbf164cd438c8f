//! Answers of the rooms to connections on any shard, above all refusals.

use crate::app::mail::Mail;
use crate::app::opening_rooms::Wait;
use crate::protocol::codes::ErrorCode;
use crate::protocol::ids::ClientId;
use crate::protocol::local::ConnRef;
use crate::protocol::message::{ErrorMessage, ServerMessage};
use crate::room::request::PostError;
use crate::shard::tenant::{Cx, ShardCommand};

/// The `retry_after_ms` of `overloaded` when a room cannot take an operation now: a few ticks.
pub(crate) const BUSY_RETRY_MS: u64 = 500;

/// The answer to an operation for a room that cannot take it.
pub(crate) fn gone(id: Option<ClientId>) -> ServerMessage {
    ServerMessage::Error(ErrorMessage {
        id,
        code: ErrorCode::Overloaded,
        message: "the room cannot take it now; send it again later".into(),
        retry_after_ms: Some(BUSY_RETRY_MS),
    })
}

/// Sends a message to a connection on any shard.
pub(crate) fn reply(cx: &mut Cx<'_, Mail>, to: ConnRef, message: ServerMessage) {
    cx.commands.push(ShardCommand::Mail { shard: to.shard, mail: Mail::Reply { to, message: Box::new(message) } });
}

/// Refuses an item that waited for its room: the connection is closed, or the client has to send it again.
pub(crate) fn turn_away(cx: &mut Cx<'_, Mail>, wait: Wait) {
    match wait {
        Wait::Join(who) => refuse(cx, who.to),
        Wait::Said { from, said } => reply(cx, from, gone(said.id().cloned())),
        Wait::Post(post) => post.from.answer(Err(PostError::Overloaded { retry_ms: BUSY_RETRY_MS })),
    }
}

fn refuse(cx: &mut Cx<'_, Mail>, to: ConnRef) {
    cx.commands.push(ShardCommand::Mail { shard: to.shard, mail: Mail::Refused { to } });
}
