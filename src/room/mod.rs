//! Rooms: deterministic state machines over their logs, and the actors that feed them.
//!
//! A comment arrives at the [`actor`], waits there for the tick, goes to the log, comes back with an
//! offset, is applied to the [`core`], which makes the frame that the actor encodes. Newcomers get a
//! [`welcome`]; the [`registry`] knows which rooms there are.
//!
//! Does not know: sockets, shards, clocks, tokio, configuration files. Time comes in as an argument.

pub mod registry;

pub mod actor;
mod effect;
mod folds;
mod framed;
mod grid;
mod guard;
mod inbox;
mod pending;
pub mod posting;
mod publish;
mod settings;

pub mod board;
pub mod combo;
mod coming;
pub mod core;
pub mod select;
pub mod timeline;
pub mod unique;
pub mod window;

mod log_clock;
mod log_times;
mod recent;
mod replay;
mod request;
pub mod resume;
mod speakers;
mod upkeep;
pub mod welcome;

#[cfg(test)]
mod tests;
