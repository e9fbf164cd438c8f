//! The room's state once everything that waits is in the log. It shows which events of a request contradict the room.
//!
//! Does not know: idempotency keys, the sender of a request.

use crate::protocol::event::Event;
use crate::protocol::ids::{ClientId, Offset};
use crate::protocol::kind::Kind;
use crate::room::request::{PostError, PostRequest, RoomKnowledge, is_in_time};
use std::collections::HashSet;

/// The room after the events added so far.
pub(super) struct Coming<'a, K> {
    known: &'a K,
    open_poll: Option<&'a ClientId>,
    /// Ids of polls on their way to the log.
    polls: HashSet<&'a ClientId>,
    /// Comments whose deletion is on its way to the log.
    deleted: HashSet<Offset>,
}

impl<'a, K: RoomKnowledge> Coming<'a, K> {
    /// The room after `events`, which were checked before.
    pub(super) fn of(known: &'a K, events: impl Iterator<Item = &'a Event>) -> Self {
        let (open_poll, polls, deleted) = (known.open_poll(), HashSet::new(), HashSet::new());
        let mut coming = Self { known, open_poll, polls, deleted };
        events.filter_map(kind).for_each(|kind| coming.follow(kind));
        coming
    }

    /// Adds event number `index` of `request`, if the room allows it.
    pub(super) fn add(&mut self, event: &'a Event, index: usize, request: &PostRequest) -> Result<(), PostError> {
        let Some(kind) = kind(event) else { return Ok(()) };
        if !is_in_time(event, request.now_ms) {
            return Err(PostError::BadTime { index, now_ms: request.now_ms });
        }
        match kind {
            Kind::Poll(poll) if self.open_poll == Some(&poll.id) => return Err(PostError::PollOpen { index }),
            Kind::Poll(poll) if self.polls.contains(&poll.id) || self.known.had_poll(&poll.id) => {
                return Err(PostError::PollUsed { index });
            }
            Kind::PollClose(close) if self.open_poll != Some(&close.id) => return Err(PostError::NoPoll { index }),
            Kind::Delete(delete) if !self.can_delete(delete.offset, index, request) => {
                return Err(PostError::NotFound { index });
            }
            _ => {}
        }
        self.follow(kind);
        Ok(())
    }

    fn can_delete(&self, offset: Offset, index: usize, request: &PostRequest) -> bool {
        let is_there = request.targets.as_ref().is_none_or(|targets| {
            targets.epoch == Some(self.known.epoch()) && targets.missing.binary_search(&index).is_err()
        });
        is_there && self.known.may_delete(offset) && !self.deleted.contains(&offset)
    }

    fn follow(&mut self, kind: &'a Kind) {
        match kind {
            Kind::Poll(poll) => {
                self.open_poll = Some(&poll.id);
                self.polls.insert(&poll.id);
            }
            Kind::PollClose(close) if self.open_poll == Some(&close.id) => self.open_poll = None,
            Kind::Delete(delete) => {
                self.deleted.insert(delete.offset);
            }
            _ => {}
        }
    }
}

/// Whether a later event can contradict this one.
pub(super) fn matters(event: &Event) -> bool {
    matches!(kind(event), Some(Kind::Poll(_) | Kind::PollClose(_) | Kind::Delete(_)))
}

fn kind(event: &Event) -> Option<&Kind> {
    if let Event::Post(post) = event { Some(&post.kind) } else { None }
}
