//! The client side of sockets.
//!
//! Does not know: viewers, schedules, what messages mean.

pub mod admin;
pub mod inflate;
pub mod line;
pub mod upgrade;
pub mod ws;
