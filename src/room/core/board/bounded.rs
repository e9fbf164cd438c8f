//! Queues with a bound.
//!
//! Does not know: the items.

use std::collections::VecDeque;

/// Appends an item to a queue of at most `max` and returns how many old items were removed: 0 or 1.
pub(super) fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) -> u64 {
    let is_full = queue.len() >= max;
    if is_full {
        queue.pop_front();
    }
    queue.push_back(item);
    u64::from(is_full)
}
