//! Helpers of several test programs: servers, clients, and a log that the test controls.
#![allow(dead_code, unused_imports)] // Each test program uses its part.

mod client;
pub mod gated;
pub mod gateway;
pub mod logged;
pub mod poster;
pub mod program;
mod server;
pub mod viewer;

pub use client::{Client, frame, http};
pub use server::Server;

use std::time::Duration;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);
