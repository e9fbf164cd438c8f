//! Rooms: deterministic state machines over their logs, and the actors that feed them.
//!
//! A comment arrives at the [`actor`], waits there for the tick, goes to the log, comes back with an
//! offset, is applied to the [`core`], which makes the frame that the actor encodes. Newcomers get a
//! [`welcome`]; subscribers that return get pages of the [`past`]; the [`registry`] knows which rooms there are.
//! Imports go one way: `actor` → `past`, `registry`, `request`, `welcome` → `core`.
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
