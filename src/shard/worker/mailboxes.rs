//! A shard's own inbox, and its way into the inboxes of the others.
//!
//! Messages for which another shard's inbox has no space wait here, in order and bounded. Messages of a shard to itself
//! wait here too, and never enter its own inbox.
//!
//! Does not know: the meaning of messages, connections, rooms.

use crate::limits::{SPILL_ENTRIES_MAX, SPILL_FRAMES_MAX};
use crate::shard::inbox::Inbox;
use crate::shard::message::Message;
use crate::shard::tenant::Tenant;
use std::collections::VecDeque;
use std::sync::Arc;

/// The messages of one shard: coming in, and waiting to go out.
pub(in crate::shard) struct Mailboxes<T: Tenant> {
    pub number: u16,
    own: Arc<Inbox<Message<T>>>,
    /// By shard, this one's included.
    inboxes: Vec<Arc<Inbox<Message<T>>>>,
    /// By shard: the messages that its inbox had no space for. At this shard's place: its messages to itself.
    spill: Vec<VecDeque<Message<T>>>,
    congested: Vec<bool>,
}

/// A message that was neither sent nor kept.
pub(in crate::shard) enum Undelivered<M> {
    /// A frame: the other shard sees the hole and announces a gap.
    Frame,
    /// A mail that is no answer: the tenant tells the sender.
    Mail(M),
}

impl<T: Tenant> Mailboxes<T> {
    /// The mailboxes of shard `number`, whose inbox is `inboxes[number]`.
    pub(in crate::shard) fn new(number: u16, inboxes: Vec<Arc<Inbox<Message<T>>>>) -> Self {
        let shards = inboxes.len();
        Self {
            number,
            own: inboxes[usize::from(number)].clone(),
            inboxes,
            spill: (0..shards).map(|_| VecDeque::new()).collect(),
            congested: vec![false; shards],
        }
    }

    /// The next message of the inbox.
    pub(in crate::shard) fn pop(&self) -> Option<Message<T>> {
        self.own.pop()
    }

    /// The next message that this shard sent to itself.
    pub(in crate::shard) fn pop_own(&mut self) -> Option<Message<T>> {
        self.spill[usize::from(self.number)].pop_front()
    }

    /// How many messages to itself wait.
    pub(in crate::shard) fn own_len(&self) -> usize {
        self.spill[usize::from(self.number)].len()
    }

    /// Messages that wait in the inbox.
    pub(in crate::shard) fn inbox_len(&self) -> usize {
        self.own.len()
    }

    /// See [`Inbox::fall_asleep`].
    pub(in crate::shard) fn fall_asleep(&self) -> bool {
        self.own.fall_asleep()
    }

    /// See [`Inbox::wake_up`].
    pub(in crate::shard) fn wake_up(&self) {
        self.own.wake_up();
    }

    /// By shard: whether so many messages wait for it that new operations for it must be refused.
    pub(in crate::shard) fn congested(&self) -> &[bool] {
        &self.congested
    }

    /// Whether messages wait, for this shard or for another.
    pub(in crate::shard) fn has_spilled(&self) -> bool {
        self.spill.iter().any(|spill| !spill.is_empty())
    }

    /// Sends to a shard, in order with the messages sent to it before.
    ///
    /// # Errors
    /// [`Undelivered`] when the inbox and the spill before it are full.
    pub(in crate::shard) fn send(&mut self, shard: u16, message: Message<T>) -> Result<(), Undelivered<T::Mail>> {
        let index = usize::from(shard);
        let spill = &mut self.spill[index];
        let message = if shard == self.number || !spill.is_empty() {
            message
        } else {
            match self.inboxes[index].push(message) {
                Ok(()) => return Ok(()),
                Err(back) => back,
            }
        };
        let result = match message {
            Message::Frame(_) if spill.len() >= SPILL_FRAMES_MAX => Err(Undelivered::Frame),
            Message::Mail(mail) if spill.len() >= SPILL_ENTRIES_MAX && !T::is_answer(&mail) => {
                Err(Undelivered::Mail(mail))
            }
            message => {
                spill.push_back(message);
                Ok(())
            }
        };
        self.congested[index] = spill.len() >= SPILL_FRAMES_MAX;
        result
    }

    /// Tries again to send the messages that wait for other shards.
    pub(in crate::shard) fn empty_the_spill(&mut self) {
        for (index, spill) in self.spill.iter_mut().enumerate() {
            if index == usize::from(self.number) {
                continue;
            }
            while let Some(message) = spill.pop_front() {
                if let Err(back) = self.inboxes[index].push(message) {
                    spill.push_front(back);
                    break;
                }
            }
            self.congested[index] = spill.len() >= SPILL_FRAMES_MAX;
        }
    }
}
