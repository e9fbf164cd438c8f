//! What admission remembers of one connection, in 32 bytes.

use crate::limits::{RATE_REFUSAL_WINDOW_MS, RATE_REFUSALS_MAX, SOFT_ERROR_WINDOW_MS, SOFT_ERRORS_MAX};
use crate::policy::rate::Gcra;

/// One connection's buckets and its record of errors. [`Default`] is a new connection's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionMeter {
    pub(super) comments: Gcra,
    pub(super) likes: Gcra,
    /// When the newest soft errors happened, newest first.
    soft_errors: [Stamp; SOFT_ERRORS_MAX as usize - 1],
    soft_errors_seen: u8,
    refusals: u16,
    refusals_since: Stamp,
}

const _: () = assert!(size_of::<SessionMeter>() <= 32);

/// A time in units of 10 ms in half the bytes of a `u64`. It wraps after 497 days: errors that are exactly that far apart
/// count as one burst, which is harmless.
#[derive(Clone, Copy, Debug, Default)]
struct Stamp(u32);

impl Stamp {
    #[expect(clippy::cast_possible_truncation, reason = "wrapping is meant")]
    const fn new(now_us: u64) -> Self {
        Self((now_us / 10_000) as u32)
    }

    /// Less than `window_ms` before `now`; an earlier `now` counts as the same time.
    fn within(self, now: Self, window_ms: u64) -> bool {
        let age = now.0.wrapping_sub(self.0);
        u64::from(age) * 10 < window_ms || age > u32::MAX / 2
    }
}

impl SessionMeter {
    /// Notes a soft protocol error; true when it is the one too many.
    pub(super) fn soft_error(&mut self, now_us: u64) -> bool {
        let now = Stamp::new(now_us);
        let known = usize::from(self.soft_errors_seen);
        let recent = self.soft_errors.iter().take(known).filter(|at| at.within(now, SOFT_ERROR_WINDOW_MS)).count();
        self.soft_errors.rotate_right(1);
        self.soft_errors[0] = now;
        self.soft_errors_seen = (self.soft_errors_seen + 1).min(SOFT_ERRORS_MAX - 1);
        recent + 1 >= usize::from(SOFT_ERRORS_MAX)
    }

    /// Notes a refusal for its rate; true when it is the one too many.
    pub(super) fn rate_refusal(&mut self, now_us: u64) -> bool {
        let now = Stamp::new(now_us);
        if self.refusals == 0 || !self.refusals_since.within(now, RATE_REFUSAL_WINDOW_MS) {
            self.refusals_since = now;
            self.refusals = 0;
        }
        self.refusals += 1;
        self.refusals >= RATE_REFUSALS_MAX
    }
}
