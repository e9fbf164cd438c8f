//! The atomics of the flag. The model checker replaces this module with its own.
//!
//! Does not know: the flag.

pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};
