//! An open room: what is on its way to the store, and what is on its way back to its sink.
//!
//! Two locks, never held over the device: `state` guards the deliveries, which any thread may push on; `row` is the room as it
//! was last committed, which the storage thread replaces.
//!
//! Does not know: SQLite, other rooms.

use super::row::RoomRow;
use crate::limits::LOG_DELIVERIES_MAX;
use crate::log::{AppendError, Base, Delivery, Retention, Sink};
use crate::protocol::ids::RoomId;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module's page.
pub(super) struct OpenRoom {
    pub(super) name: RoomId,
    /// As committed. The storage thread works on a copy and puts it back when the commit is through.
    pub(super) row: Mutex<RoomRow>,
    state: Mutex<State>,
}

struct State {
    sink: Arc<dyn Sink>,
    /// What the sink has not taken yet, in order.
    waiting: VecDeque<Delivery>,
    /// Batches that were taken and whose delivery the sink has not taken; at most [`LOG_DELIVERIES_MAX`].
    in_flight: usize,
    /// The newest order of `retain` that the storage thread has not seen.
    retain: Option<RetainOrder>,
    is_open: bool,
}

/// What [`crate::log::Log::retain`] asked for.
#[derive(Clone, Debug)]
pub(super) struct RetainOrder {
    pub(super) retention: Retention,
    pub(super) now_ms: u64,
    pub(super) base: Base,
}

impl OpenRoom {
    pub(super) fn new(row: RoomRow, sink: Arc<dyn Sink>) -> Self {
        let state = State { sink, waiting: VecDeque::new(), in_flight: 0, retain: None, is_open: true };
        Self { name: row.name.clone(), row: Mutex::new(row), state: Mutex::new(state) }
    }

    /// Takes a place for one more batch and hands it on by `send`, under the room's lock: so batches stand in the queue in
    /// the order of their appends.
    pub(super) fn admit(&self, send: impl FnOnce() -> Result<(), AppendError>) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        state.deliver_waiting();
        if !state.is_open {
            return Err(AppendError::Closed);
        }
        if state.in_flight >= LOG_DELIVERIES_MAX {
            return Err(AppendError::Overloaded);
        }
        send()?;
        state.in_flight += 1;
        Ok(())
    }

    /// Hands the outcome of a batch to the sink, after those before it.
    pub(super) fn deliver(&self, delivery: Delivery) {
        let mut state = self.state.lock();
        if state.is_open {
            state.waiting.push_back(delivery);
            state.deliver_waiting();
        }
    }

    pub(super) fn nudge(&self) {
        self.state.lock().deliver_waiting();
    }

    /// Keeps the order; a newer one takes the place of one that was not seen yet.
    pub(super) fn order_retention(&self, order: RetainOrder) {
        let mut state = self.state.lock();
        if state.is_open {
            state.retain = Some(order);
        }
    }

    pub(super) fn take_retention(&self) -> Option<RetainOrder> {
        self.state.lock().retain.take()
    }

    /// From now on nothing is taken and nothing is delivered.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_open = false;
        state.waiting.clear();
        state.retain = None;
    }
}

impl State {
    fn deliver_waiting(&mut self) {
        while self.is_open
            && let Some(delivery) = self.waiting.pop_front()
        {
            if let Err(refused) = self.sink.deliver(delivery) {
                self.waiting.push_front(refused);
                return;
            }
            self.in_flight -= 1;
        }
    }
}
