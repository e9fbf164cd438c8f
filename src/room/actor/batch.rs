//! The actor's part of the log: the open tick goes there as one batch, and comes back applied and answered.

use super::{Actor, STORAGE_RETRY_MS};
use crate::faults::fail_point;
use crate::limits::OFFSET_MAX;
use crate::log::{AppendError, Delivery, Record, Ticket};
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::Event;
use crate::protocol::kind::Kind;
use crate::room::actor::effect::{Effect, refusal, repeated};
use crate::room::actor::pending::{Sender, Waiting};
use crate::room::core::window::Seen;

impl Actor {
    /// Hands the open tick to the log and takes what it delivers at once.
    pub(super) fn append(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        self.append_due_us = None;
        let comments = self.events.len();
        self.posting.depart(&mut self.events);
        let at_ms = self.log_clock.next_ms(now_us, wall_ms);
        self.deletions_in_part += self.core.stamp(&mut self.events[comments..], at_ms) as u64;
        self.flying_likes = std::mem::take(&mut self.likes);
        if self.flying_likes > 0 {
            self.events.push(Event::Likes { add: self.flying_likes });
        }
        // The log keeps the events, so that list is new each tick; the two lists of who waits take turns.
        let room_for_as_many = Vec::with_capacity(self.events.len());
        let events = std::mem::replace(&mut self.events, room_for_as_many);
        std::mem::swap(&mut self.waiting, &mut self.flying);
        std::mem::swap(&mut self.new, &mut self.flying_new);
        self.tickets += 1;
        self.in_flight = Some(self.tickets);
        self.flying_since_us = now_us;
        fail_point!("before_append");
        match self.log.append(&self.handle.id, self.tickets, events, at_ms) {
            Ok(()) => self.take_deliveries(now_us, out),
            Err(error) => self.fail(error, now_us, out),
        }
        self.upkeep.tell(&*self.log, &self.handle.id, &self.core, now_us, at_ms);
    }

    pub(super) fn take_deliveries(&mut self, now_us: u64, out: &mut Vec<Effect>) {
        loop {
            let was_full = self.deliveries.is_full();
            while let Some(delivery) = self.deliveries.pop() {
                match delivery {
                    Delivery::Appended { ticket, records } => self.appended(ticket, &records, now_us, out),
                    Delivery::Failed { ticket, error } if self.in_flight == Some(ticket) => {
                        self.fail(error, now_us, out);
                    }
                    Delivery::Failed { .. } => {} // Of an append that was answered before.
                }
            }
            if !was_full {
                return;
            }
            // A full queue may have turned deliveries away.
            self.log.nudge(&self.handle.id);
        }
    }

    fn appended(&mut self, ticket: Option<Ticket>, records: &[Record], now_us: u64, out: &mut Vec<Effect>) {
        let ours = ticket.is_some() && ticket == self.in_flight;
        let comments = self.flying.len();
        let flying = if ours { std::mem::take(&mut self.flying) } else { Vec::new() };
        let mut marks = flying.iter();
        self.core.take_away(records);
        for record in records {
            // Our batch is the comments in the senders' order, then the rest: one entry per comment.
            let waiting = if matches!(record.event, Event::Comment(_)) { marks.next() } else { None };
            self.core.apply_marked(record, waiting.and_then(|waiting| waiting.mark));
            if let Event::Post(post) = &record.event
                && let Kind::Delete(delete) = &post.kind
            {
                self.redacts.push(delete.offset);
            }
        }
        if let Some(Record { at_ms, .. }) = records.last() {
            self.log_clock.saw(*at_ms, now_us);
        }
        // A batch is a log time: now it is decided what viewers see of it.
        self.core.complete();
        let mut stored = records.iter().filter(|record| matches!(record.event, Event::Comment(_)));
        let mut flying = flying;
        for Waiting { mark, senders } in flying.drain(..) {
            mark.iter().for_each(|mark| self.pending.remove(mark));
            let Some(Record { offset, .. }) = stored.next() else { continue };
            let seen = match (self.core.fate(*offset), mark) {
                (Some(fate), _) => Seen::Same { offset: *offset, fate },
                // Void: the answer is the first one's.
                (None, Some(mark)) => self.core.seen(&mark),
                (None, None) => continue,
            };
            for Sender { from, id } in senders {
                out.extend(id.map(|id| repeated(from, id, seen)));
            }
        }
        if ours {
            self.flying = flying; // The list is used again.
            let begin = out.len();
            self.arrived(records, comments, out);
            self.hold_back(begin, out);
            self.in_flight = None;
            self.flying_likes = 0;
            self.flying_new.clear();
        }
        self.handle.figures.show(&self.core);
    }

    /// The batch in flight is surely not in the log: its senders learn it, its likes wait for the next.
    fn fail(&mut self, error: AppendError, now_us: u64, out: &mut Vec<Effect>) {
        self.in_flight = None;
        self.flying_new.clear();
        self.append_failures += 1;
        let (code, text, after_ms) = match error {
            AppendError::Overloaded => (ErrorCode::Overloaded, "the log is overloaded", self.tick_ms()),
            AppendError::Unavailable | AppendError::Closed => {
                (ErrorCode::StorageUnavailable, "the comment could not be stored", STORAGE_RETRY_MS)
            }
        };
        for waiting in self.flying.drain(..) {
            waiting.mark.iter().for_each(|mark| self.pending.remove(mark));
            let refused = |Sender { from, id }| refusal(from, id, code, text, after_ms);
            out.extend(waiting.senders.into_iter().map(refused));
        }
        self.posts_failed(error, out);
        let likes = std::mem::take(&mut self.flying_likes);
        if likes > 0 {
            self.likes = self.likes.saturating_add(likes).min(OFFSET_MAX);
            self.append_due_us.get_or_insert_with(|| self.grid.next_us(now_us));
        }
    }
}
