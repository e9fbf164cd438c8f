//! The only place that reads a clock.
//!
//! Does not know: anything else of the crate. Pure code takes these numbers as arguments.

#![allow(clippy::disallowed_methods, reason = "this is the one module that reads them")]

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: OnceLock<Instant> = OnceLock::new();

/// Monotonic microseconds since the first call in this process.
pub fn now_us() -> u64 {
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Wall clock: milliseconds since the Unix epoch. Only for people and for `at` fields; no decision
/// depends on it, so that a jump of the wall clock changes nothing.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
