//! When a commit begins.
//!
//! Rooms tick together, so their batches come in bursts. A commit at a burst's first batch would leave the rest to a
//! second commit; a long wait would delay every acknowledgement. So a commit begins when the burst seems to be over.
//!
//! Does not know: the clock, the queue, what a batch holds.

#[derive(Clone, Copy, Debug)]
pub(super) struct CommitPace {
    quiet_us: u64,
    pace_us: u64,
    /// When the last commit began; `None` before the first.
    began_us: Option<u64>,
    /// When the first and the newest waiting command came; `None` while none waits.
    came_us: Option<(u64, u64)>,
}

impl CommitPace {
    pub(super) fn new(quiet_us: u64, pace_us: u64) -> Self {
        Self { quiet_us, pace_us, began_us: None, came_us: None }
    }

    /// Notes that a command came and waits for the commit.
    pub(super) fn came(&mut self, now_us: u64) {
        let (first_us, _) = self.came_us.unwrap_or((now_us, now_us));
        self.came_us = Some((first_us, now_us));
    }

    /// How long the commit waits at least; ask again after every command that comes. `is_all`: every open room's batch
    /// is there, so none is to be waited for.
    pub(super) fn wait_us(&self, now_us: u64, is_all: bool) -> u64 {
        let over_us = match self.came_us {
            Some((first_us, newest_us)) if !is_all => (newest_us + self.quiet_us).min(first_us + self.pace_us),
            _ => 0,
        };
        let apart_us = self.began_us.map_or(0, |us| us + self.pace_us);
        over_us.max(apart_us).saturating_sub(now_us)
    }

    /// Notes that the commit begins, with everything that waited.
    pub(super) fn begin(&mut self, now_us: u64) {
        self.began_us = Some(now_us);
        self.came_us = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET_US: u64 = 500;
    const PACE_US: u64 = 10_000;
    const T: u64 = 1_000_000;

    fn pace() -> CommitPace {
        CommitPace::new(QUIET_US, PACE_US)
    }

    #[test]
    fn a_commit_waits_until_a_burst_is_over() {
        let mut pace = pace();
        for us in 0..20 {
            pace.came(T + us * 100);
            assert_eq!(pace.wait_us(T + us * 100, false), QUIET_US);
        }
        assert_eq!(pace.wait_us(T + 1_900 + QUIET_US - 1, false), 1);
        assert_eq!(pace.wait_us(T + 1_900 + QUIET_US, false), 0);
    }

    #[test]
    fn a_stream_without_end_is_cut_after_the_pace() {
        let mut pace = pace();
        let mut now_us = T;
        pace.came(now_us);
        while pace.wait_us(now_us, false) > 0 {
            now_us += 100;
            pace.came(now_us);
        }
        assert_eq!(now_us, T + PACE_US);
    }

    #[test]
    fn nobody_waits_for_others_when_all_are_there() {
        let mut pace = pace();
        pace.came(T);
        assert_eq!(pace.wait_us(T, true), 0);
    }

    #[test]
    fn commits_keep_their_distance_and_a_later_one_waits_only_for_quiet() {
        let mut pace = pace();
        pace.came(T);
        pace.begin(T);
        pace.came(T + 2_000);
        assert_eq!(pace.wait_us(T + 2_000, true), PACE_US - 2_000);
        assert_eq!(pace.wait_us(T + 2_000, false), PACE_US - 2_000);
        pace.came(T + PACE_US - 100);
        assert_eq!(pace.wait_us(T + PACE_US, false), QUIET_US - 100, "the end of a burst that comes just then");
        pace.begin(T + PACE_US);
        assert_eq!(pace.wait_us(T + 3 * PACE_US, false), 0, "nothing waits");
        pace.came(T + 3 * PACE_US);
        assert_eq!(pace.wait_us(T + 3 * PACE_US, false), QUIET_US);
    }
}
