//! An open room: what is on its way to the store, and what is on its way back to its sink.
//!
//! Two locks, never held over the device: `state` guards the deliveries, which any thread may push on; `row` is the room as it
//! was last committed, which the storage thread replaces.
//!
//! Does not know: SQLite, other rooms.

use super::row::RoomRow;
use crate::log::outbox::Outbox;
use crate::log::{AppendError, Base, Delivery, Retention, Sink};
use crate::protocol::ids::RoomId;
use parking_lot::Mutex;
use std::sync::Arc;

/// See the module's page.
pub(super) struct OpenRoom {
    pub(super) name: RoomId,
    /// As committed. The storage thread works on a copy and puts it back when the commit is through.
    pub(super) row: Mutex<RoomRow>,
    state: Mutex<OpenState>,
}

struct OpenState {
    outbox: Outbox,
    /// The newest order of `retain` that the storage thread has not seen.
    retain: Option<RetainOrder>,
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
        let state = OpenState { outbox: Outbox::new(sink), retain: None };
        Self { name: row.name.clone(), row: Mutex::new(row), state: Mutex::new(state) }
    }

    /// Takes a place for one more batch and hands it on by `send`, under the room's lock: so batches stand in the queue in
    /// the order of their appends.
    pub(super) fn admit(&self, send: impl FnOnce() -> Result<(), AppendError>) -> Result<(), AppendError> {
        self.state.lock().outbox.admit(send)
    }

    /// Hands the outcome of a batch to the sink, after those before it.
    pub(super) fn deliver(&self, delivery: Delivery) {
        self.state.lock().outbox.deliver(delivery);
    }

    pub(super) fn nudge(&self) {
        self.state.lock().outbox.flush();
    }

    /// Keeps the order; a newer one takes the place of one that was not seen yet.
    pub(super) fn order_retention(&self, order: RetainOrder) {
        let mut state = self.state.lock();
        if state.outbox.is_open() {
            state.retain = Some(order);
        }
    }

    pub(super) fn take_retention(&self) -> Option<RetainOrder> {
        self.state.lock().retain.take()
    }

    /// From now on nothing is taken and nothing is delivered.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.outbox.close();
        state.retain = None;
    }
}
