//! A room's log time: it follows the monotonic clock, and is corrected towards the wall clock by at most 5 %.
//!
//! Every decision of a room that depends on time (the budget, windows, combos, the length of a poll, the age of an
//! event) uses log time. Without it, a wall clock that jumps ahead and back would leave the log's time in the future,
//! and every rule would stand still until the wall clock had caught up. The wall clock is believed at once in one case:
//! when the room is opened, because the time since its last batch is unknown.
//!
//! Does not know: which clocks these are, the purpose of the time.

/// The correction is at most one part in 20 of the elapsed time.
const SLEW_PARTS: u64 = 20;

#[derive(Clone, Copy, Debug)]
pub(super) struct LogClock {
    /// The time of the newest batch. In microseconds, so that ticks of a few milliseconds are corrected too.
    at_us: u64,
    /// The monotonic clock at that batch; `None` if the batch is older than this opening of the room.
    seen_us: Option<u64>,
    /// How far the wall clock was ahead of the monotonic clock when the room last heard both.
    wall_ahead_us: Option<i64>,
}

impl LogClock {
    /// For a room with its newest record at `at_ms`; 0 for an empty log.
    pub(super) fn new(at_ms: u64) -> Self {
        Self { at_us: at_ms.saturating_mul(1_000), seen_us: None, wall_ahead_us: None }
    }

    /// The log time now, in milliseconds.
    pub(super) fn now_ms(&self, now_us: u64, wall_ms: u64) -> u64 {
        self.time_us(now_us, wall_ms) / 1_000
    }

    /// The time for a batch that goes to the log now: later than that of every batch before it.
    pub(super) fn next_ms(&mut self, now_us: u64, wall_ms: u64) -> u64 {
        let later_us = (self.at_us / 1_000).saturating_add(1).saturating_mul(1_000);
        self.at_us = self.time_us(now_us, wall_ms).max(later_us);
        self.seen_us = Some(now_us);
        self.at_us / 1_000
    }

    /// Takes note of a batch of the time `at_ms` in the log. A batch of another node may be ahead of this clock.
    pub(super) fn saw(&mut self, at_ms: u64, now_us: u64) {
        if at_ms > self.at_us / 1_000 {
            (self.at_us, self.seen_us) = (at_ms.saturating_mul(1_000), Some(now_us));
        }
    }

    /// Takes note that the wall clock is at `wall_ms`.
    pub(super) fn heard(&mut self, now_us: u64, wall_ms: u64) {
        self.wall_ahead_us = Some(wall_ms.saturating_mul(1_000).wrapping_sub(now_us).cast_signed());
    }

    /// The wall clock's time now, computed from the last call of [`LogClock::heard`]; `None` before the first.
    pub(super) fn wall_ms(&self, now_us: u64) -> Option<u64> {
        self.wall_ahead_us.map(|ahead_us| now_us.saturating_add_signed(ahead_us) / 1_000)
    }

    fn time_us(&self, now_us: u64, wall_ms: u64) -> u64 {
        let wall_us = wall_ms.saturating_mul(1_000);
        let Some(seen_us) = self.seen_us else { return wall_us.max(self.at_us) };
        let elapsed_us = now_us.saturating_sub(seen_us);
        let (plain_us, slew_us) = (self.at_us.saturating_add(elapsed_us), elapsed_us / SLEW_PARTS);
        wall_us.clamp(plain_us - slew_us, plain_us.saturating_add(slew_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WALL_MS: u64 = 1_700_000_000_000;

    /// The times of batches every `step_us`, with the wall clock `ahead_ms` of where it was.
    fn times(clock: &mut LogClock, from_us: u64, step_us: u64, count: u64, ahead_ms: i64) -> Vec<u64> {
        let wall = |now_us: u64| (WALL_MS + now_us / 1_000).saturating_add_signed(ahead_ms);
        (1..=count).map(|n| from_us + n * step_us).map(|now_us| clock.next_ms(now_us, wall(now_us))).collect()
    }

    #[test]
    fn right_clocks_are_told_as_they_are() {
        let mut clock = LogClock::new(0);
        assert_eq!(times(&mut clock, 0, 100_000, 3, 0), [100, 200, 300].map(|ms| WALL_MS + ms));
        assert_eq!(clock.now_ms(400_000, WALL_MS + 400), WALL_MS + 400);
        assert_eq!(clock.next_ms(10_000_000_000, WALL_MS + 10_000_000), WALL_MS + 10_000_000);
    }

    #[test]
    fn a_difference_is_corrected_at_five_percent_in_ticks_of_any_length() {
        for step_us in [5_000, 100_000, 2_000_000] {
            for ahead_ms in [10_000, -10_000] {
                let mut clock = LogClock::new(0);
                let begin = *times(&mut clock, 0, step_us, 1, 0).last().unwrap();
                let hundred_s = 100_000_000 / step_us;
                let half = *times(&mut clock, step_us, step_us, hundred_s, ahead_ms).last().unwrap();
                let gone = (half - begin).cast_signed() - 100_000;
                assert!((gone - ahead_ms.signum() * 5_000).abs() <= 3, "{gone} ms in steps of {step_us} µs");
                let end = *times(&mut clock, step_us + 100_000_000, step_us, 2 * hundred_s, ahead_ms).last().unwrap();
                assert!((end - begin).cast_signed().abs_diff(300_000 + ahead_ms) <= 3, "it has arrived");
            }
        }
    }

    #[test]
    fn more_than_a_batch_in_a_millisecond_is_slewed_back() {
        let mut clock = LogClock::new(0);
        let burst = times(&mut clock, 0, 100, 1_000, 0);
        assert!(burst.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(burst[999], WALL_MS + 999, "a tenth of a second took one");
        let after = times(&mut clock, 100_000, 100_000, 200, 0);
        assert_eq!(after[199], WALL_MS + 20_100);
    }

    #[test]
    fn times_at_the_edge_of_numbers_still_rise() {
        for at_ms in [0, u64::MAX / 1_000 - 5, u64::MAX / 2] {
            for wall_ms in [0, 1, u64::MAX] {
                let mut clock = LogClock::new(at_ms);
                let times = [1, 2, u64::MAX].map(|now_us| clock.next_ms(now_us, wall_ms));
                assert!(times.is_sorted(), "{times:?}");
            }
        }
    }

    proptest! {
        /// Whatever the wall clock says between two batches of one opening.
        #[test]
        fn between_two_batches_passes_what_passed_give_or_take_five_percent(
            at_ms in prop_oneof![Just(0), 0..2 * WALL_MS],
            steps in prop::collection::vec((0..4_000_000_u64, 0..4 * WALL_MS), 1..200)
        ) {
            let mut clock = LogClock::new(at_ms);
            let (mut now_us, mut before) = (0, None);
            let mut sum = 0_i64;
            for (step_us, wall_ms) in steps {
                now_us += step_us;
                let told = clock.now_ms(now_us, wall_ms);
                let next = clock.next_ms(now_us, wall_ms);
                prop_assert!(next == told || next == told + 1);
                if let Some(before) = before {
                    prop_assert!(next > before, "log time rises");
                    let (log_us, real_us) = ((next - before) as i64 * 1_000, step_us as i64);
                    sum += log_us - real_us;
                    prop_assert!((log_us - real_us).abs() <= real_us / 20 + 1_000, "{log_us} for {real_us}");
                } else {
                    prop_assert!(next > at_ms && (wall_ms <= at_ms || next == wall_ms));
                }
                before = Some(next);
            }
            prop_assert!(sum.unsigned_abs() <= now_us / 20 + 200 * 1_000, "errors do not add up");
        }
    }
}
