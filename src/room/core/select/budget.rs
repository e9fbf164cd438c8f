//! The budget of shown events: a rate per second, in a bucket that is full when a window begins.
//!
//! A window never shows more than its length times the rate: the bucket begins with half a second's share and is
//! refilled at the rate that remains for the rest. A quiet room saves up to half a second's share, which one tick can
//! use: a few people that write at the same moment are all shown, and a frame stays small.
//!
//! Does not know: the shown events.

/// The length of a window. Within it equal comments are merged, and each person's turns are counted. Twice the length
/// would merge more, and a page of the past would have to read twice as much before it.
pub const WINDOW_MS: u64 = 5_000;

/// The size of the bucket, in milliseconds of the budget.
const BURST_MS: u64 = 500;

/// Uses log time.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    /// The current window; `None` before the first call.
    window: Option<u64>,
    at_ms: u64,
    /// One shown event takes [`WINDOW_MS`] units.
    units: u64,
}

impl Bucket {
    /// The number of events that may be shown at the log time `at_ms`, with a budget of `per_s` and a log time every
    /// `tick_ms`.
    pub(super) fn allowance(&mut self, per_s: u32, tick_ms: u64, at_ms: u64) -> usize {
        let per_s = u64::from(per_s);
        let a_tick = (per_s * tick_ms).div_ceil(1_000);
        let full = (per_s * BURST_MS / 1_000).max(a_tick).max(1) * WINDOW_MS;
        let window = at_ms / WINDOW_MS;
        if self.window == Some(window) {
            let gained = at_ms.saturating_sub(self.at_ms) * per_s * (WINDOW_MS - BURST_MS) / 1_000;
            self.units = (self.units + gained).min(full);
        } else {
            (self.window, self.units) = (Some(window), (per_s * WINDOW_MS * BURST_MS / 1_000).max(WINDOW_MS));
        }
        self.at_ms = at_ms;
        usize::try_from(self.units / WINDOW_MS).unwrap_or(usize::MAX)
    }

    /// Takes `count` shown events out of the bucket.
    pub(super) fn spend(&mut self, shown: usize) {
        self.units = self.units.saturating_sub(shown as u64 * WINDOW_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of shown events at each of `times` if there are always more than enough.
    fn shown(per_s: u32, tick_ms: u64, times: impl Iterator<Item = u64>) -> Vec<usize> {
        let mut bucket = Bucket::default();
        let take = |at_ms| {
            let allowed = bucket.allowance(per_s, tick_ms, at_ms);
            bucket.spend(allowed);
            allowed
        };
        times.map(take).collect()
    }

    #[test]
    fn no_window_shows_more_than_its_length_allows() {
        for (per_s, tick_ms) in [(1, 100), (3, 5), (60, 100), (60, 2_000), (1_000, 250), (7, 1_999)] {
            let times: Vec<_> = (0..20 * WINDOW_MS).step_by(tick_ms as usize).collect();
            let all = shown(per_s, tick_ms, times.iter().copied());
            for window in 0..20 {
                let of = |(at_ms, shown): (&u64, &usize)| if at_ms / WINDOW_MS == window { *shown } else { 0 };
                let sum: usize = times.iter().zip(&all).map(of).sum();
                let most = per_s as usize * 5;
                assert!(sum <= most, "{sum} of {most}");
                assert!(
                    sum * 10 >= most * 8 || per_s < 10 || tick_ms > 250,
                    "{per_s}/s in ticks of {tick_ms}: only {sum} of {most}"
                );
            }
        }
    }

    #[test]
    fn a_burst_is_half_a_second_at_once_and_the_rest_is_even() {
        assert_eq!(shown(60, 100, [0, 100, 200, 300, 400, 500].into_iter()), [30, 5, 5, 6, 5, 6]);
        assert_eq!(shown(60, 100, [0, 2_500].into_iter()), [30, 30]);
        assert_eq!(shown(60, 1_000, [0, 1_000].into_iter()), [30, 54]);
        assert_eq!(shown(1, 100, [0, 100, 1_250, 5_000].into_iter()), [1, 0, 1, 1]);
    }
}
