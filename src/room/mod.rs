//! Rooms: deterministic state machines over their logs, and the actors that feed them.
//!
//! A comment arrives at the [`actor`] and waits there for the end of the tick. It goes to the log, comes back with an
//! offset, and is applied to the [`core`], which makes the frame that the actor encodes. Newcomers get a [`welcome`],
//! returning subscribers get pages of the [`past`], and the [`registry`] has the node's rooms.
//!
//! Does not know: sockets, shards, clocks, tokio, configuration files. Time comes in as an argument.

pub mod actor;
pub mod core;
pub mod past;
pub mod registry;
pub mod request;
pub mod welcome;

#[cfg(test)]
mod tests;
