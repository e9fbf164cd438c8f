//! What is made of a log's past: a room's state when it is opened, and pages for subscribers that return.
//!
//! Does not know: actors, subscribers, connections.

mod log_times;
pub(super) mod replay;
pub mod resume;
