//! The room's connection to its log: batches, deliveries, log time and retention.
//!
//! Does not know: the meaning of events, senders.

use super::deliveries::Deliveries;
use super::log_clock::LogClock;
use super::upkeep::Upkeep;
use crate::log::{AppendError, Log, Ticket};
use crate::protocol::event::Event;
use crate::protocol::ids::RoomId;
use crate::room::core::Core;
use std::sync::Arc;

pub(super) struct RoomLog {
    pub(super) log: Arc<dyn Log>,
    pub(super) deliveries: Arc<Deliveries>,
    pub(super) clock: LogClock,
    pub(super) upkeep: Upkeep,
}

impl RoomLog {
    pub(super) fn append(
        &self,
        room: &RoomId,
        ticket: Ticket,
        events: Vec<Event>,
        at_ms: u64,
    ) -> Result<(), AppendError> {
        self.log.append(room, ticket, events, at_ms)
    }

    /// Tells the log what it has to keep, if that is due. `at_ms` is the log's time.
    pub(super) fn maintain(&mut self, room: &RoomId, core: &Core, now_us: u64, at_ms: u64) {
        self.upkeep.tell(&*self.log, room, core, now_us, at_ms);
    }
}
