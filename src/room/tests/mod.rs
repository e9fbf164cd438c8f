//! Helpers shared by the tests of this folder, and tests of more than one of its files.

mod acting;
mod clocks;
mod counters;
mod crowds;
mod histories;
mod joins;
mod lagging;
mod pages;
mod posts;
mod requests;
mod retries;
mod rig;
mod settings;
mod shows;

use crate::protocol::event::Comment;
use crate::protocol::frame::FrameEvent;
use crate::protocol::ids::ClientId;
use crate::protocol::local::ConnRef;
use crate::protocol::user::User;

pub(super) fn comment(user: &str, text: &str) -> Comment {
    let user = User { id: user.into(), name: format!("name of {user}").into(), role: Default::default() };
    Comment::new(user, text)
}

/// A comment with an id, which gets an ack.
pub(super) fn asking(id: &str, text: &str) -> Comment {
    Comment { id: ClientId::new(id), ..comment("u", text) }
}

pub(super) fn shown(offset: u64, text: &str) -> FrameEvent {
    FrameEvent::comment(offset, comment("u", text))
}

pub(super) fn conn(index: u32) -> ConnRef {
    ConnRef { shard: 0, index, generation: 1 }
}
