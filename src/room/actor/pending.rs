//! Comments on their way to the log, and the connections that wait for their answers.
//!
//! A client that lost its connection sends a comment again, perhaps while the first copy is still in the open tick or
//! in flight. The new connection then waits for the answer to the first copy.
//!
//! Does not know: the log or its content.

use crate::log::Ticket;
use crate::protocol::ids::ClientId;
use crate::protocol::local::ConnRef;
use crate::room::core::window::{IdKey, Mark};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

/// The number of connections that may wait for one comment. A further one gets no answer, and asks again.
pub(super) const SENDERS_MAX: usize = 8;

/// A connection that waits for an answer.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) from: ConnRef,
    pub(super) id: Option<ClientId>,
}

/// One comment on its way to the log.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) mark: Option<Mark>,
    pub(super) senders: SmallVec<[Sender; 1]>,
}

impl Waiting {
    pub(super) fn new(mark: Option<Mark>, sender: Sender) -> Self {
        Self { mark, senders: smallvec![sender] }
    }
}

/// The result of the search for a comment's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PendingMatch {
    /// The id is not on its way.
    New,
    /// The id is on its way with the same text: the sender waits with the others.
    Waits,
    /// The id is on its way with a different text.
    Conflict,
}

/// The ids of comments on their way, bounded by the two batches that contain them.
#[derive(Debug, Default)]
pub(super) struct Pending {
    places: HashMap<IdKey, BatchPlace>,
}

#[derive(Debug)]
struct BatchPlace {
    text: u64,
    batch: Ticket,
    index: usize,
}

impl Pending {
    /// Looks for `mark` in `batches` (each with its ticket and its comments), and lets `from` wait for the answer.
    pub(super) fn join<'a>(
        &self,
        mark: &Mark,
        from: ConnRef,
        mut batches: impl Iterator<Item = (Ticket, &'a mut Vec<Waiting>)>,
    ) -> PendingMatch {
        let Some(place) = self.places.get(&mark.key) else { return PendingMatch::New };
        if place.text != mark.text {
            return PendingMatch::Conflict;
        }
        let batch = batches.find(|(ticket, _)| *ticket == place.batch);
        let waiting = batch.and_then(|(_, batch)| batch.get_mut(place.index));
        let Some(Waiting { senders, .. }) = waiting else { return PendingMatch::New };
        if senders.len() < SENDERS_MAX && senders.iter().all(|sender| sender.from != from) {
            let id = senders[0].id.clone();
            senders.push(Sender { from, id });
        }
        PendingMatch::Waits
    }

    /// The comment of `mark` is number `index` of `batch`.
    pub(super) fn insert(&mut self, mark: &Mark, batch: Ticket, index: usize) {
        self.places.insert(mark.key, BatchPlace { text: mark.text, batch, index });
    }

    /// The comment of `mark` is no longer on its way.
    pub(super) fn remove(&mut self, mark: &Mark) {
        self.places.remove(&mark.key);
    }
}
