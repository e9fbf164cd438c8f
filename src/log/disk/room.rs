//! An open room: its last committed row, its deliveries, and its newest order of retention.
//!
//! It has two locks, and neither is held while a thread waits for the device: `state` guards the deliveries, which any
//! thread may hand on; `row` guards the committed row, which the storage thread replaces.
//!
//! Does not know: SQLite, other rooms.

use super::row::RoomRow;
use crate::log::outbox::Outbox;
use crate::log::{AppendError, Base, Delivery, Retention, Sink};
use crate::protocol::ids::RoomId;
use parking_lot::Mutex;
use std::sync::Arc;

pub(super) struct OpenRoom {
    pub(super) name: RoomId,
    /// The row as it was last committed. The storage thread changes a copy, and replaces this one after the commit.
    pub(super) row: Mutex<RoomRow>,
    state: Mutex<OpenState>,
}

struct OpenState {
    outbox: Outbox,
    /// The newest order that the storage thread has not taken.
    retain: Option<RetainOrder>,
}

/// The arguments of one [`crate::log::Log::retain`].
#[derive(Clone, Debug)]
pub(super) struct RetainOrder {
    pub(super) retention: Retention,
    pub(super) now_ms: u64,
    pub(super) base: Base,
}

impl OpenRoom {
    pub(super) fn new(row: RoomRow, sink: Arc<dyn Sink>) -> Self {
        let state = OpenState { outbox: Outbox::new(sink), retain: None };
        Self { name: row.name.clone(), row: Mutex::new(row), state: Mutex::new(state) }
    }

    /// Counts one more batch in flight and queues it by `send`. Both happen under the room's lock, so that the batches
    /// are in the queue in the order of their appends.
    pub(super) fn admit(&self, send: impl FnOnce() -> Result<(), AppendError>) -> Result<(), AppendError> {
        self.state.lock().outbox.admit(send)
    }

    /// Hands the outcome of a batch to the sink, after the outcomes before it.
    pub(super) fn deliver(&self, delivery: Delivery) {
        self.state.lock().outbox.deliver(delivery);
    }

    pub(super) fn nudge(&self) {
        self.state.lock().outbox.flush();
    }

    /// Stores the order until the storage thread takes it. It replaces an order that was not taken yet.
    pub(super) fn order_retention(&self, order: RetainOrder) {
        let mut state = self.state.lock();
        if state.outbox.is_open() {
            state.retain = Some(order);
        }
    }

    pub(super) fn take_retention(&self) -> Option<RetainOrder> {
        self.state.lock().retain.take()
    }

    /// From now on no batch is admitted and none is delivered.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.outbox.close();
        state.retain = None;
    }
}
