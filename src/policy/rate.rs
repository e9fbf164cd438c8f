//! Token buckets: one 8-byte GCRA cell ([`Gcra`]), and a bounded table of them by user ([`Users`]).
//!
//! The cell keeps one number, the theoretical arrival time (TAT): when the bucket will be full again.
//! A cost of `n` moves it by `n / rate`; it may lead the present by at most `burst / rate`. This is the
//! Generic Cell Rate Algorithm of ITU-T I.371, equal to a bucket of `burst` tokens that refills at
//! `rate`. Each step is rounded up to whole nanoseconds, so rounding never admits more than the rate.
//!
//! Does not know: what the tokens stand for, or any clock: the caller says what time it is.

use crate::config::Rate;
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

/// What `tokens` cost in nanoseconds, rounded up. A rate of 0 counts as 1 a second: configuration
/// refuses it, and a division by zero must not be what is left when it does not.
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
    /// The table holds as many users as it may, and this one is not among them; it frees itself as
    /// buckets fill up ([`Users::sweep`]).
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

    /// Whether nobody is in the table.
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
