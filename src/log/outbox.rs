//! The deliveries of one open room on their way to its sink: in order, bounded, and none after the room is closed.
//!
//! A log keeps one per open room under that room's lock, so that deliveries keep their order whichever thread hands
//! them on.
//!
//! Does not know: where batches are stored, what a batch holds, the lock.

use super::{AppendError, Delivery, Sink};
use crate::limits::LOG_DELIVERIES_MAX;
use std::collections::VecDeque;
use std::sync::Arc;

pub struct Outbox {
    sink: Arc<dyn Sink>,
    /// Deliveries that the sink has refused so far, oldest first.
    waiting: VecDeque<Delivery>,
    /// Batches that were taken and whose delivery the sink has not accepted; at most [`LOG_DELIVERIES_MAX`].
    in_flight: usize,
    is_open: bool,
}

impl Outbox {
    /// An open outbox without batches in flight.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self { sink, waiting: VecDeque::new(), in_flight: 0, is_open: true }
    }

    /// Counts one more batch as in flight, if `take` takes it. Its delivery follows with [`Self::deliver`].
    ///
    /// # Errors
    /// [`AppendError::Closed`], [`AppendError::Overloaded`], or the error of `take`: then nothing is counted.
    pub fn admit<T>(&mut self, take: impl FnOnce() -> Result<T, AppendError>) -> Result<T, AppendError> {
        self.flush();
        if !self.is_open {
            return Err(AppendError::Closed);
        }
        if self.in_flight >= LOG_DELIVERIES_MAX {
            return Err(AppendError::Overloaded);
        }
        let taken = take()?;
        self.in_flight += 1;
        Ok(taken)
    }

    /// Hands the delivery of an admitted batch to the sink, after those before it.
    pub fn deliver(&mut self, delivery: Delivery) {
        if self.is_open {
            self.waiting.push_back(delivery);
            self.flush();
        }
    }

    /// Offers the sink what it refused before, until it refuses again.
    pub fn flush(&mut self) {
        while let Some(delivery) = self.waiting.pop_front() {
            if let Err(refused) = self.sink.deliver(delivery) {
                self.waiting.push_front(refused);
                return;
            }
            self.in_flight -= 1;
        }
    }

    /// Whether batches are still admitted and delivered. A thread may hold a room while another thread closes it.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// From now on no batch is admitted and none is delivered.
    pub fn close(&mut self) {
        self.is_open = false;
        self.waiting.clear();
    }
}
