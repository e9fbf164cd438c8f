//! The choice for the `lite` rendition: a few comments of those that viewers see, the ones with the most equal
//! comments.
//!
//! The choice is made per log time, so that pages and live frames agree. The comments left out are counted.
//!
//! Does not know: the subscribers with this rendition.

use super::budget::Bucket;
use super::candidate::Candidate;
use super::groups::Growth;
use std::cmp::Reverse;

/// Comments per second.
const PER_S: u32 = 5;

/// Raises at one log time: those with the largest growth.
const RAISES_MAX: usize = 3;

#[derive(Clone, Debug, Default)]
pub(super) struct Lite {
    bucket: Bucket,
    order: Vec<(Reverse<u64>, u32)>,
}

impl Lite {
    /// Marks the shown `candidates` that the rendition has: the guaranteed ones and those with the most equal comments.
    pub(super) fn choose(&mut self, candidates: &mut [Candidate], tick_ms: u64, at_ms: u64) {
        self.order.clear();
        for (index, candidate) in (0_u32..).zip(&mut *candidates) {
            candidate.lite = candidate.is_guaranteed();
            if candidate.shown && candidate.is_comment && !candidate.is_guaranteed() {
                self.order.push((Reverse(candidate.times), index));
            }
        }
        if self.order.is_empty() {
            return;
        }
        let allowed = self.bucket.allowance(PER_S, tick_ms, at_ms);
        if allowed < self.order.len() {
            self.order.select_nth_unstable(allowed);
        }
        self.order.truncate(allowed);
        self.bucket.spend(self.order.len());
        for (_, index) in &self.order {
            candidates[*index as usize].lite = true;
        }
    }

    /// Whether the rendition has the growth at an index.
    pub(super) fn raises(growths: &[Growth]) -> impl Fn(usize) -> bool {
        let mut most: Vec<_> = (0..growths.len()).filter(|place| growths[*place].lite).collect();
        let rank = |place: &usize| (Reverse(growths[*place].by), growths[*place].offset);
        if most.len() > RAISES_MAX {
            most.select_nth_unstable_by_key(RAISES_MAX, rank);
            most.truncate(RAISES_MAX);
        }
        move |place| most.contains(&place)
    }
}
