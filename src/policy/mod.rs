//! What a client's message must pass before it reaches a room: identity, rates, text.
//!
//! Does not know: sockets, shards, rooms, the log. Time comes in as an argument (only
//! [`admission::Admission::sweep`] reads the clock, for its caller's convenience).

pub mod admission;
pub mod auth;
pub mod rate;
pub mod text;
