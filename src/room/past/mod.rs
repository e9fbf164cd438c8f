//! Reads a room's log again: for the room's state when it is opened, and for pages that returning subscribers get.
//!
//! Does not know: actors, subscribers, connections.

mod log_times;
pub(super) mod replay;
pub mod resume;
