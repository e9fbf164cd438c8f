//! A room's token bucket: the generic cell rate algorithm (ITU-T I.371), one number of state.

use super::settings::RoomRate;

/// The theoretical arrival time of the next token, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    arrival_ns: u64,
}

impl Bucket {
    /// Takes `tokens` at `now_us`, or says after how many milliseconds they will be there. More tokens than the burst count as the whole burst, so that
    /// no wish is impossible for ever.
    pub(super) fn take(&mut self, rate: RoomRate, tokens: u64, now_us: u64) -> Result<(), u64> {
        let token_ns = 1_000_000_000 / u64::from(rate.per_s.max(1));
        let burst = u64::from(rate.burst.max(1));
        let now_ns = now_us.saturating_mul(1_000);
        let arrival_ns = self.arrival_ns.max(now_ns).saturating_add(token_ns * tokens.min(burst));
        let allowed_ns = now_ns.saturating_add(token_ns * burst);
        if arrival_ns > allowed_ns {
            return Err((arrival_ns - allowed_ns).div_ceil(1_000_000));
        }
        self.arrival_ns = arrival_ns;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: RoomRate = RoomRate { per_s: 10, burst: 5 };

    #[test]
    fn never_more_than_burst_plus_rate_in_any_window() {
        let mut bucket = Bucket::default();
        let taken: Vec<u64> = (0..10_000_000).step_by(1_000).filter(|now| bucket.take(RATE, 1, *now).is_ok()).collect();
        for (i, from) in taken.iter().enumerate() {
            for (j, to) in taken.iter().enumerate().skip(i) {
                let allowed = 5 + (to - from) * 10 / 1_000_000 + 1;
                assert!((j - i) as u64 <= allowed);
            }
        }
        assert_eq!(taken.len(), 5 + 99, "the sustained rate is reached");
    }

    #[test]
    fn the_retry_hint_is_enough_and_not_too_much() {
        let mut bucket = Bucket::default();
        while bucket.take(RATE, 1, 0).is_ok() {}
        let after_ms = bucket.take(RATE, 1, 0).unwrap_err();
        assert_eq!(after_ms, 100);
        assert!(bucket.take(RATE, 1, after_ms * 1_000 - 1_000).is_err());
        assert!(bucket.take(RATE, 1, after_ms * 1_000).is_ok());
    }

    #[test]
    fn a_wish_beyond_the_burst_is_possible_when_the_bucket_is_full() {
        let mut bucket = Bucket::default();
        assert!(bucket.take(RATE, 1_000, 0).is_ok());
        assert!(bucket.take(RATE, 1, 0).is_err());
    }
}
