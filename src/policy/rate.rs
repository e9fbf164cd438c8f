//! Token buckets: one 8-byte GCRA cell ([`Gcra`]), and a bounded table of them by user ([`Users`]).
//!
//! The cell keeps one number, the theoretical arrival time (TAT): when the bucket will be full again.
//! A cost of `n` moves it by `n / rate`; it may lead the present by at most `burst / rate`. This is the
//! Generic Cell Rate Algorithm of ITU-T I.371, equal to a bucket of `burst` tokens that refills at
//! `rate`. Each step is rounded up to whole nanoseconds, so rounding never admits more than the rate.
//!
//! Does not know: the meaning of the tokens, or any clock: the caller passes the time.

pub use crate::config::Rate;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One token bucket in 8 bytes. [`Default`] is a full one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gcra {
    /// Nanoseconds on the caller's clock, rounded up. 2^64 ns are 584 years.
    tat_ns: u64,
}

/// The bucket has too few tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("too fast; try again in {us} us")]
pub struct RetryAfter {
    /// Microseconds until the same cost passes, if nothing else takes tokens; see [`RetryAfter::NEVER`].
    pub us: u64,
}

impl RetryAfter {
    /// The cost is larger than the burst: it can never pass, a retry is pointless.
    pub const NEVER: Self = Self { us: u64::MAX };

    /// Whether a retry is pointless.
    pub const fn is_never(self) -> bool {
        self.us == u64::MAX
    }

    /// Milliseconds, rounded up, as the wire says it; `None` for [`RetryAfter::NEVER`].
    pub const fn ms(self) -> Option<u64> {
        if self.is_never() { None } else { Some(self.us.div_ceil(1_000)) }
    }
}

/// The cost of `tokens` in nanoseconds, rounded up. A rate of 0 counts as 1 per second: the configuration refuses it, and
/// this function must not divide by zero if it does not.
fn cost_ns(tokens: u64, per_s: u32) -> u64 {
    // At most 2^32 · 10^9 < 2^62: callers compare with the burst (u32) first.
    (tokens * 1_000_000_000).div_ceil(u64::from(per_s.max(1)))
}

impl Gcra {
    /// Takes `cost` tokens at `now_us`, or none at all. A clock that runs back between callers (threads
    /// read it a moment apart) only makes the bucket stricter.
    ///
    /// # Errors
    /// [`RetryAfter`] when there are too few tokens; [`RetryAfter::NEVER`] when `cost` exceeds the burst.
    pub fn check(&mut self, rate: Rate, now_us: u64, cost: u64) -> Result<(), RetryAfter> {
        if cost > u64::from(rate.burst) {
            return Err(RetryAfter::NEVER);
        }
        let now_ns = now_us.saturating_mul(1_000);
        let tat_ns = self.tat_ns.max(now_ns).saturating_add(cost_ns(cost, rate.per_s));
        let limit_ns = now_ns.saturating_add(cost_ns(u64::from(rate.burst), rate.per_s));
        if tat_ns > limit_ns {
            return Err(RetryAfter { us: (tat_ns - limit_ns).div_ceil(1_000) });
        }
        self.tat_ns = tat_ns;
        Ok(())
    }

    /// Whether the bucket is full at `now_us`: then it equals a new one and need not be kept.
    pub const fn is_full(&self, now_us: u64) -> bool {
        self.tat_ns <= now_us.saturating_mul(1_000)
    }
}

/// What a user spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// Comments.
    Comments,
    /// Likes.
    Likes,
}

/// Why a user's bucket gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefused {
    /// Too few tokens.
    #[error(transparent)]
    Rate(#[from] RetryAfter),
    /// The table has reached its limit of users, and this user is not in it. Entries are removed as their buckets fill up
    /// ([`Users::sweep`]).
    #[error("too many users are active")]
    Full,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cells {
    comments: Gcra,
    likes: Gcra,
}

/// Buckets by user, shared by all threads, at most `users_max` of them: 16 bytes of cells, the id's
/// `Arc` and the table's slack, about 60 bytes a user, so 12 MB at the default of 200,000. A user whose
/// buckets are full is indistinguishable from an unknown one and is swept out. When the table is full,
/// users in it go on as before and new ones are refused.
///
/// Cells are [`Gcra`], so that a connection's and a user's bucket read the same clock and follow the
/// same arithmetic; `governor` reads its own clock and cannot bound its table.
#[derive(Debug)]
pub struct Users {
    cells: DashMap<Arc<str>, Cells>,
    /// Entries, counted before they go in, so that racing threads cannot exceed `users_max`.
    count: AtomicUsize,
    users_max: usize,
}

/// Locks of the table: a sweep holds one at a time, 200,000 / 64 users ≈ 3,000 entries ≈ 30 µs.
const SEGMENTS: usize = 64;

impl Users {
    /// An empty table of at most `users_max`.
    pub fn new(users_max: usize) -> Self {
        Self { cells: DashMap::with_shard_amount(SEGMENTS), count: AtomicUsize::new(0), users_max }
    }

    /// Takes `cost` tokens from `user`'s bucket, or none.
    ///
    /// # Errors
    /// [`UserRefused`].
    pub fn check(&self, user: &Arc<str>, purse: Purse, rate: Rate, now_us: u64, cost: u64) -> Result<(), UserRefused> {
        if let Some(mut cells) = self.cells.get_mut(user) {
            return Ok(cells.purse(purse).check(rate, now_us, cost)?);
        }
        let mut fresh = Cells::default();
        fresh.purse(purse).check(rate, now_us, cost)?;
        let reserved =
            self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < self.users_max).then_some(n + 1));
        if reserved.is_err() {
            return Err(UserRefused::Full);
        }
        match self.cells.entry(Arc::clone(user)) {
            dashmap::Entry::Vacant(slot) => {
                slot.insert(fresh);
                Ok(())
            }
            // Another thread put the same user in between our look and this: its bucket counts.
            dashmap::Entry::Occupied(mut slot) => {
                self.count.fetch_sub(1, Ordering::AcqRel);
                Ok(slot.get_mut().purse(purse).check(rate, now_us, cost)?)
            }
        }
    }

    /// Forgets the users whose buckets are full; returns how many.
    pub fn sweep(&self, now_us: u64) -> usize {
        let mut gone = 0;
        self.cells.retain(|_, cells| {
            let keep = !(cells.comments.is_full(now_us) && cells.likes.is_full(now_us));
            gone += usize::from(!keep);
            keep
        });
        self.count.fetch_sub(gone, Ordering::AcqRel);
        gone
    }

    /// Users in the table.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Cells {
    const fn purse(&mut self, purse: Purse) -> &mut Gcra {
        match purse {
            Purse::Comments => &mut self.comments,
            Purse::Likes => &mut self.likes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn rate(per_s: u32, burst: u32) -> Rate {
        Rate { per_s, burst }
    }

    #[test]
    fn a_new_bucket_gives_its_burst_and_then_its_rate() {
        let mut cell = Gcra::default();
        let rate = rate(2, 5);
        for _ in 0..5 {
            assert_eq!(cell.check(rate, 1_000_000, 1), Ok(()));
        }
        assert_eq!(cell.check(rate, 1_000_000, 1), Err(RetryAfter { us: 500_000 }));
        assert_eq!(cell.check(rate, 1_499_999, 1), Err(RetryAfter { us: 1 }));
        assert_eq!(cell.check(rate, 1_500_000, 1), Ok(()));
        assert_eq!(cell.check(rate, 1_500_000, 1), Err(RetryAfter { us: 500_000 }));
    }

    #[test]
    fn a_refused_cost_takes_nothing() {
        let mut cell = Gcra::default();
        let rate = rate(1, 10);
        cell.check(rate, 0, 8).unwrap();
        let before = cell;
        assert_eq!(cell.check(rate, 0, 3), Err(RetryAfter { us: 1_000_000 }));
        assert_eq!(cell, before);
        assert_eq!(cell.check(rate, 0, 2), Ok(()));
    }

    #[test]
    fn a_cost_beyond_the_burst_is_refused_for_ever_and_says_so() {
        let refused = Gcra::default().check(rate(100, 10), u64::MAX / 2, 11).unwrap_err();
        assert!(refused.is_never());
        assert_eq!(refused.ms(), None);
        assert_eq!(Gcra::default().check(rate(u32::MAX, u32::MAX), 0, u64::MAX), Err(RetryAfter::NEVER));
    }

    #[test]
    fn extreme_rates_and_times_neither_panic_nor_wrap() {
        for per_s in [0, 1, 3, u32::MAX] {
            for burst in [0, 1, u32::MAX] {
                for now_us in [0, 1, u64::MAX / 1_000, u64::MAX] {
                    let mut cell = Gcra::default();
                    for cost in [0, 1, u64::from(u32::MAX), u64::MAX] {
                        let _ = cell.check(rate(per_s, burst), now_us, cost);
                    }
                    let _ = cell.is_full(now_us);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_steps_back_gives_no_tokens() {
        let mut cell = Gcra::default();
        let rate = rate(1, 2);
        cell.check(rate, 10_000_000, 2).unwrap();
        assert!(cell.check(rate, 9_000_000, 1).is_err());
        assert!(cell.check(rate, 10_000_000, 1).is_err());
    }

    #[test]
    fn a_user_has_one_purse_for_comments_and_one_for_likes() {
        let users = Users::new(10);
        let (user, rate) = ("u".into(), rate(1, 1));
        assert_eq!(users.check(&user, Purse::Comments, rate, 0, 1), Ok(()));
        assert_eq!(users.check(&user, Purse::Likes, rate, 0, 1), Ok(()));
        assert!(matches!(users.check(&user, Purse::Comments, rate, 0, 1), Err(UserRefused::Rate(_))));
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn a_full_table_refuses_strangers_and_serves_its_users_until_the_sweep() {
        let users = Users::new(2);
        let rate = rate(1, 2);
        let ids: [Arc<str>; 3] = ["a", "b", "c"].map(Into::into);
        for id in &ids[..2] {
            assert_eq!(users.check(id, Purse::Comments, rate, 0, 1), Ok(()));
        }
        assert_eq!(users.check(&ids[2], Purse::Comments, rate, 0, 1), Err(UserRefused::Full));
        assert_eq!(users.check(&ids[0], Purse::Comments, rate, 0, 1), Ok(()), "known users go on");
        assert_eq!(users.sweep(1_000_000), 1, "b's bucket is full again, a's is not");
        assert_eq!(users.check(&ids[2], Purse::Comments, rate, 1_000_000, 1), Ok(()));
        assert_eq!(users.len(), 2);
        assert_eq!(users.sweep(60_000_000), 2);
        assert!(users.is_empty());
    }

    #[test]
    fn sweeping_forgets_nothing_that_matters() {
        let users = Users::new(10);
        let (user, rate) = ("u".into(), rate(1, 3));
        users.check(&user, Purse::Likes, rate, 0, 3).unwrap();
        assert_eq!(users.sweep(2_999_999), 0);
        assert!(users.check(&user, Purse::Likes, rate, 2_999_999, 3).is_err());
    }

    #[test]
    fn threads_together_get_no_more_than_one_burst_and_the_bound_holds() {
        let users = Users::new(50);
        let rate = rate(1, 20);
        let (taken, full) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..100 {
                        let id: Arc<str> = format!("u{n}").into();
                        for _ in 0..20 {
                            match users.check(&id, Purse::Comments, rate, 0, 1) {
                                Ok(()) => taken.fetch_add(1, Ordering::Relaxed),
                                Err(UserRefused::Full) => full.fetch_add(1, Ordering::Relaxed),
                                Err(UserRefused::Rate(_)) => 0,
                            };
                        }
                    }
                });
            }
        });
        assert_eq!(users.len(), 50);
        assert_eq!(users.cells.len(), 50);
        assert_eq!(taken.into_inner(), 50 * 20, "each admitted user's burst, exactly");
        // At the bound, one is refused too while two threads bring in the same other.
        assert!(full.into_inner() >= 4 * 50 * 20);
    }

    proptest! {
        /// S17: in every window, accepted ≤ burst + rate × window + 1.
        #[test]
        fn no_window_ever_holds_more_than_burst_plus_rate(
            per_s in 1u32..5_000,
            burst in 1u32..200,
            steps in proptest::collection::vec((0u64..300_000, 1u64..40), 1..200),
        ) {
            let rate = rate(per_s, burst);
            let mut cell = Gcra::default();
            let mut now_us = 0;
            let mut accepted = vec![];
            for (pause_us, cost) in steps {
                now_us += pause_us;
                if cell.check(rate, now_us, cost).is_ok() {
                    accepted.push((now_us, cost));
                }
            }
            for first in 0..accepted.len() {
                let mut sum = 0;
                for (at, cost) in &accepted[first..] {
                    sum += cost;
                    let window_us = at - accepted[first].0;
                    let allowed = u64::from(burst) + u64::from(per_s) * window_us / 1_000_000 + 1;
                    prop_assert!(sum <= allowed, "{sum} in {window_us} us, allowed {allowed}");
                }
            }
        }

        /// And it is not stricter than it says: a model bucket with exact fractions agrees within a token.
        #[test]
        fn a_patient_sender_gets_the_whole_rate(per_s in 1u32..5_000, burst in 1u32..200) {
            let rate = rate(per_s, burst);
            let mut cell = Gcra::default();
            let (mut now_us, mut sent) = (0, 0u64);
            while now_us <= 1_000_000 {
                match cell.check(rate, now_us, 1) {
                    Ok(()) => sent += 1,
                    Err(after) => now_us += after.us,
                }
            }
            let ideal = u64::from(burst) + u64::from(per_s);
            prop_assert!(sent + 1 + ideal / 100 >= ideal && sent <= ideal + 1, "{sent} of {ideal}");
        }

        #[test]
        fn waiting_as_told_is_enough_and_no_less_is(
            per_s in 1u32..2_000_000,
            burst in 1u32..1_000,
            cost in 1u64..1_000,
            start_us in 0u64..10_000_000,
        ) {
            prop_assume!(cost <= u64::from(burst));
            let rate = rate(per_s, burst);
            let mut cell = Gcra::default();
            while cell.check(rate, start_us, cost).is_ok() {}
            let after = cell.check(rate, start_us, cost).unwrap_err();
            prop_assert!(after.us > 0 && !after.is_never());
            prop_assert!(cell.clone().check(rate, start_us + after.us - 1, cost).is_err());
            prop_assert_eq!(cell.check(rate, start_us + after.us, cost), Ok(()));
        }
    }
}
