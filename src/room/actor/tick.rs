//! The open tick and the batch in flight: their events and the connections that wait for answers.
//!
//! Does not know: the log, answers, the end of a tick.

use super::pending::Waiting;
use crate::limits::{APPEND_SLOW_US, OFFSET_MAX};
use crate::log::Ticket;
use crate::protocol::event::{Comment, Event};
use std::collections::HashSet;
use std::sync::Arc;

/// The authors of one batch.
#[derive(Debug, Default)]
pub(super) struct Authors {
    /// One entry per comment, in the batch's order.
    pub(super) waiting: Vec<Waiting>,
    /// Users whose first comment in this room is in the batch.
    first: HashSet<Arc<str>>,
}

impl Authors {
    pub(super) fn has_first_of(&self, user: &str) -> bool {
        self.first.contains(user)
    }
}

/// The comments and likes that wait for the end of the tick.
#[derive(Debug)]
pub(super) struct Tick {
    /// The ticket of the batch that the tick becomes.
    pub(super) ticket: Ticket,
    /// In order of arrival; at the end of the tick the posts and votes follow them.
    pub(super) events: Vec<Event>,
    pub(super) authors: Authors,
    likes: u64,
    /// When the tick ends; `None` while it is empty.
    pub(super) due_us: Option<u64>,
    /// The emptied lists of the last batch. The next tick fills them again, so the lists do not grow anew each tick.
    spare: Authors,
}

impl Default for Tick {
    fn default() -> Self {
        let (authors, spare) = (Authors::default(), Authors::default());
        Self { ticket: 1, events: Vec::new(), authors, likes: 0, due_us: None, spare }
    }
}

impl Tick {
    /// Adds a comment. `is_new` means that neither the log nor the batch in flight has a comment of its author.
    pub(super) fn push(&mut self, comment: Comment, waiting: Waiting, is_new: bool) {
        self.authors.waiting.push(waiting);
        let first = is_new && self.authors.first.insert(comment.user.id.clone());
        self.events.push(Event::Comment(Comment { first, ..comment }));
    }

    pub(super) fn add_likes(&mut self, count: u64) {
        self.likes = self.likes.saturating_add(count).min(OFFSET_MAX);
    }

    /// Closes the tick. Returns its events, with the likes as the last one, and the batch in flight.
    pub(super) fn depart(&mut self, now_us: u64) -> (Vec<Event>, Flight) {
        let likes = std::mem::take(&mut self.likes);
        if likes > 0 {
            self.events.push(Event::Likes { add: likes });
        }
        // The log keeps the list of events, so the next tick gets a new one of the same size.
        let next = Vec::with_capacity(self.events.len());
        let events = std::mem::replace(&mut self.events, next);
        let authors = std::mem::replace(&mut self.authors, std::mem::take(&mut self.spare));
        let flight = Flight { ticket: self.ticket, authors, likes, since_us: now_us };
        self.ticket += 1;
        self.due_us = None;
        (events, flight)
    }

    /// Takes back the lists of a batch that is no longer in flight.
    pub(super) fn reuse(&mut self, mut authors: Authors) {
        authors.waiting.clear();
        authors.first.clear();
        self.spare = authors;
    }
}

/// The batch that the log has not answered yet. A room has at most one.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ticket: Ticket,
    pub(super) authors: Authors,
    /// If the log refuses the batch, they go into the next one.
    pub(super) likes: u64,
    pub(super) since_us: u64,
}

impl Flight {
    /// Whether the log has not answered for longer than [`APPEND_SLOW_US`].
    pub(super) fn is_slow(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.since_us) > APPEND_SLOW_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::actor::pending::Sender;
    use crate::room::tests::{comment, conn};

    fn say(tick: &mut Tick, user: &str, is_new: bool) {
        tick.push(comment(user, "x"), Waiting::new(None, Sender { from: conn(1), id: None }), is_new);
    }

    fn firsts(events: &[Event]) -> Vec<bool> {
        events
            .iter()
            .filter_map(|event| if let Event::Comment(comment) = event { Some(comment.first) } else { None })
            .collect()
    }

    #[test]
    fn likes_are_the_last_event_of_a_batch_and_at_most_one() {
        let mut tick = Tick::default();
        tick.add_likes(2);
        say(&mut tick, "a", false);
        tick.add_likes(3);
        let (events, flight) = tick.depart(7);
        assert!(matches!(events[..], [Event::Comment(_), Event::Likes { add: 5 }]), "{events:?}");
        assert_eq!((flight.ticket, flight.likes, flight.since_us, flight.authors.waiting.len()), (1, 5, 7, 1));
        let (events, flight) = tick.depart(8);
        assert_eq!((events.len(), flight.ticket, flight.likes), (0, 2, 0), "nothing is left of the first batch");
        tick.add_likes(u64::MAX);
        tick.add_likes(1);
        assert_eq!(tick.depart(9).1.likes, OFFSET_MAX, "the sum stays a number that every client can read");
    }

    #[test]
    fn a_users_first_comment_is_marked_once_per_batch() {
        let mut tick = Tick::default();
        [("a", true), ("a", true), ("b", false)].into_iter().for_each(|(user, is_new)| say(&mut tick, user, is_new));
        let (events, flight) = tick.depart(0);
        assert_eq!(firsts(&events), [true, false, false]);
        assert!(flight.authors.has_first_of("a") && !flight.authors.has_first_of("b"));
        tick.reuse(flight.authors);
        tick.depart(0);
        say(&mut tick, "a", true);
        assert_eq!(firsts(&tick.events), [true], "reused lists are empty");
        assert_eq!(tick.authors.waiting.len(), 1);
    }

    #[test]
    fn a_batch_is_slow_only_after_the_bound() {
        let (_, flight) = Tick::default().depart(10);
        assert!(!flight.is_slow(0) && !flight.is_slow(10 + APPEND_SLOW_US) && flight.is_slow(11 + APPEND_SLOW_US));
    }
}
