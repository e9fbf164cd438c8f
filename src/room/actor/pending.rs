//! Comments that are on their way into the log, and who waits to hear of them.
//!
//! A client that lost its connection sends a comment again while the first copy is still in the open tick or in
//! flight: it joins those who wait for that copy.
//!
//! Does not know: the log, what is in it.

use crate::log::Ticket;
use crate::protocol::ids::ClientId;
use crate::protocol::local::ConnRef;
use crate::room::core::window::{IdKey, Mark};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

/// Connections that may wait for one comment: the sender's last few. A further one is not answered, and asks again.
pub(super) const SENDERS_MAX: usize = 8;

/// Who waits for an answer about a comment.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) from: ConnRef,
    pub(super) id: Option<ClientId>,
}

/// One comment on its way.
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

/// What a comment with an id finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// No such id is on its way.
    New,
    /// It is, and the sender waits with the others.
    Waits,
    /// It is, with another text.
    Conflict,
}

/// Ids on their way; bounded by the two batches that they are in.
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
    /// Looks for `mark` in `batches` (the ticket that each has or will have, and its comments) and lets `from` wait for it.
    pub(super) fn join<'a>(
        &self,
        mark: &Mark,
        from: ConnRef,
        mut batches: impl Iterator<Item = (Ticket, &'a mut Vec<Waiting>)>,
    ) -> Taken {
        let Some(place) = self.places.get(&mark.key) else { return Taken::New };
        if place.text != mark.text {
            return Taken::Conflict;
        }
        let batch = batches.find(|(ticket, _)| *ticket == place.batch);
        let waiting = batch.and_then(|(_, batch)| batch.get_mut(place.index));
        let Some(Waiting { senders, .. }) = waiting else { return Taken::New };
        if senders.len() < SENDERS_MAX && senders.iter().all(|sender| sender.from != from) {
            let id = senders[0].id.clone();
            senders.push(Sender { from, id });
        }
        Taken::Waits
    }

    /// The comment of `mark` is number `index` of `batch`.
    pub(super) fn insert(&mut self, mark: &Mark, batch: Ticket, index: usize) {
        self.places.insert(mark.key, BatchPlace { text: mark.text, batch, index });
    }

    /// It is no longer on its way.
    pub(super) fn remove(&mut self, mark: &Mark) {
        self.places.remove(&mark.key);
    }
}
