//! loadgen: real WebSocket viewers and senders for Volley, and the numbers they see.
//!
//! A scenario becomes plans for workers; a worker (a thread of this process, or a process of its own when
//! one process's descriptors do not suffice) holds thousands of viewers in one readiness loop; the
//! conductor starts, times and joins them, the ledger judges what they saw, the report says it.

pub mod admin;
pub mod chaos;
pub mod check;
pub mod children;
pub mod cli;
pub mod clock;
pub mod conductor;
pub mod crowded;
pub mod forecast;
pub mod group;
pub mod history;
pub mod inflate;
pub mod ledger;
pub mod plan;
pub mod poster;
pub mod proc;
pub mod progress;
pub mod recording;
pub mod report;
pub mod scenario;
pub mod sender;
pub mod timing;
pub mod upgrade;
pub mod viewer;
pub mod wording;
pub mod worker;
pub mod ws;
