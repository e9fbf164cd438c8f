//! Rooms: deterministic state machines over their logs, and the actors that feed them.
//!
//! Does not know: sockets, shards, clocks, tokio, configuration files. Time comes in as an argument.

pub mod actor;
pub mod registry;
