//! An operation of a client on its room, after admission.
//!
//! An operation has this one form all the way: in the mail from admission to the room's home shard, in the
//! line of a room that is being opened, and in the actor. A new operation is a variant here, an arm in
//! admission and an arm in `Actor::take`.
//!
//! Does not know: how it travels, or how a room applies it.

use crate::protocol::event::Comment;
use crate::protocol::ids::ClientId;
use crate::protocol::message::VoteRequest;
use crate::protocol::user::User;

/// One admitted operation. Two words in size: thousands of them wait in a shard's inbox.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A comment with its text normalised.
    Comment(Box<Comment>),
    /// A number of likes, at least one.
    Like(u64),
    /// A vote and its voter.
    Vote(Box<(User, VoteRequest)>),
}

impl Said {
    /// The id under which the client waits for an answer, if it gave one.
    pub const fn id(&self) -> Option<&ClientId> {
        match self {
            Self::Comment(comment) => comment.id.as_ref(),
            Self::Like(_) => None,
            Self::Vote(vote) => vote.1.id.as_ref(),
        }
    }
}

const _: () = assert!(size_of::<Said>() <= 16, "a mail that carries one has to stay within 48 bytes");
