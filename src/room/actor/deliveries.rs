//! Where a log's deliveries wait for the room's actor, from whatever thread they come.

use crate::bell::Bell;
use crate::limits::LOG_DELIVERIES_MAX;
use crate::log::{Delivery, Sink};
use crate::protocol::local::RoomKey;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// Bounded: a full queue gives the delivery back to the log, which tries again in order.
pub(super) struct Deliveries {
    key: RoomKey,
    queue: ArrayQueue<Delivery>,
    /// The actor is at work and will look again before it leaves: no need to wake it. Without this a log
    /// that delivers within `append` would cost one needless wake per room and tick.
    bell: Bell,
    waker: Arc<dyn Fn(RoomKey) + Send + Sync>,
}

impl Deliveries {
    pub(super) fn new(key: RoomKey, waker: Arc<dyn Fn(RoomKey) + Send + Sync>) -> Self {
        Self { key, queue: ArrayQueue::new(LOG_DELIVERIES_MAX), bell: Bell::new(true), waker }
    }

    /// The actor begins to work.
    pub(super) fn attend(&self) {
        self.bell.get_up();
    }

    /// The actor stops working. It must ask [`Deliveries::is_empty`] after this: then either it sees a delivery
    /// that came meanwhile, or that delivery's thread sees that nobody attends, and wakes.
    pub(super) fn leave(&self) {
        self.bell.lie_down();
    }

    pub(super) fn pop(&self) -> Option<Delivery> {
        self.queue.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.is_full()
    }
}

impl Sink for Deliveries {
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        self.queue.push(delivery)?;
        if self.bell.rings() {
            (self.waker)(self.key);
        }
        Ok(())
    }
}
