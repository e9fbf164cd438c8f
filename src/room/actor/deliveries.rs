//! The queue in which a log's deliveries wait for the room's actor. Any thread may deliver.

use crate::bell::Bell;
use crate::limits::LOG_DELIVERIES_MAX;
use crate::log::{Delivery, Sink};
use crate::protocol::local::RoomKey;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// Bounded: a full queue returns the delivery to the log, which tries again in order.
pub(super) struct Deliveries {
    key: RoomKey,
    queue: ArrayQueue<Delivery>,
    /// Tells deliverers that the actor is at work and will look again before it leaves, so they need not wake it.
    /// Without this, a log that delivers within `append` would cost one needless wake per room and tick.
    bell: Bell,
    waker: Arc<dyn Fn(RoomKey) + Send + Sync>,
}

impl Deliveries {
    pub(super) fn new(key: RoomKey, waker: Arc<dyn Fn(RoomKey) + Send + Sync>) -> Self {
        Self { key, queue: ArrayQueue::new(LOG_DELIVERIES_MAX), bell: Bell::new(true), waker }
    }

    /// Call when the actor begins to work.
    pub(super) fn attend(&self) {
        self.bell.get_up();
    }

    /// Call when the actor stops working, and ask [`Deliveries::is_empty`] after it: either the actor sees a delivery
    /// that came meanwhile, or the delivering thread sees that the actor has left, and wakes it.
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
