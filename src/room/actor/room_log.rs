//! The room's end of its log: what it appends, what comes back, and what the log may drop.
//!
//! Does not know: what the events mean, who waits for them.

use super::deliveries::Deliveries;
use super::log_clock::LogClock;
use super::upkeep::Upkeep;
use crate::log::{AppendError, Log, Ticket};
use crate::protocol::event::Event;
use crate::protocol::ids::RoomId;
use crate::room::core::Core;
use std::sync::Arc;

/// See the module's page.
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

    /// Says at the log's time `at_ms` what the log has to keep, if it is time to say so.
    pub(super) fn maintain(&mut self, room: &RoomId, core: &Core, now_us: u64, at_ms: u64) {
        self.upkeep.tell(&*self.log, room, core, now_us, at_ms);
    }
}
