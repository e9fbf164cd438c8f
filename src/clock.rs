//! The only place that reads a clock.
//!
//! There are three clocks. [`now_us`] is for decisions: it never goes back, and it goes on while the machine sleeps.
//! [`wall_ms`] is for people: it follows the system's clock, but accepts a jump only after the jump has lasted for a minute.
//! [`patient_ms`] is for irreversible actions, such as deletion by age: it accepts a jump after a day.
//!
//! Does not know: anything else of the crate. Pure code takes these numbers as arguments.

#![allow(clippy::disallowed_methods, reason = "this is the one module that reads them")]

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

static START_US: OnceLock<u64> = OnceLock::new();

/// How long a jump of the system's clock has to last before [`wall_ms`] follows it.
const WALL_PATIENCE_US: u64 = 60_000_000;

/// The same for [`patient_ms`].
const LONG_PATIENCE_US: u64 = 86_400_000_000;

static WALL: Mutex<Believed> = Mutex::new(Believed::new(WALL_PATIENCE_US));
static PATIENT: Mutex<Believed> = Mutex::new(Believed::new(LONG_PATIENCE_US));

/// Microseconds since the first call in this process. No change of the system's clock moves it.
pub fn now_us() -> u64 {
    let now_us = boot_us();
    now_us.saturating_sub(*START_US.get_or_init(|| now_us))
}

/// Since the machine's start. `CLOCK_MONOTONIC`, which [`std::time::Instant`] reads, stands still while the machine sleeps.
fn boot_us() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000).saturating_add(time.tv_nsec.unsigned_abs() / 1_000)
}

/// Wall clock: milliseconds since the Unix epoch. For people and for `at` fields; a jump counts after a minute, so that one
/// that is taken back changes nothing.
pub fn wall_ms() -> u64 {
    WALL.lock().look(boot_us(), system_ms())
}

/// Wall clock, too: milliseconds since the Unix epoch. A jump counts after a day. Of two times the earlier one: what is
/// deleted by age does not come back.
pub fn patient_ms() -> u64 {
    PATIENT.lock().look(boot_us(), system_ms()).min(wall_ms())
}

/// The last millisecond of the year 9999: most date formats have no later one.
const LAST_MS: u64 = 253_402_300_799_999;

/// The system's clock; 0 before 1970.
fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).min(LAST_MS)
}

/// Whether the system's time can be written as an HTTP date. A server without a clock sends no date (RFC 9110, 6.6.1).
pub fn has_a_date() -> bool {
    SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_millis() <= u128::from(LAST_MS))
}

/// A difference up to this is no jump, but a correction by a time server.
const JUMP_US: u64 = 1_000_000;

/// A smaller difference is corrected by this fraction of the elapsed time.
const SLEW_PARTS: u64 = 20;

/// A wall clock that follows the monotonic one, and accepts a jump only after some time.
#[derive(Clone, Copy, Debug)]
struct Believed {
    patience_us: u64,
    /// Its last reading and the monotonic clock's at that time, in microseconds.
    last: Option<(u64, u64)>,
    /// How far the system's clock is from ours after a jump, and since when.
    jump: Option<(i64, u64)>,
}

impl Believed {
    const fn new(patience_us: u64) -> Self {
        Self { patience_us, last: None, jump: None }
    }

    /// What time it is, in milliseconds, when the monotonic clock says `now_us` and the system's `system_ms`.
    fn look(&mut self, now_us: u64, system_ms: u64) -> u64 {
        let system_us = system_ms.saturating_mul(1_000);
        let (last_us, seen_us) = self.last.unwrap_or((system_us, now_us));
        let elapsed_us = now_us.saturating_sub(seen_us);
        let plain_us = last_us.saturating_add(elapsed_us);
        let off_us = system_us.wrapping_sub(plain_us).cast_signed();
        let wall_us = if off_us.unsigned_abs() <= JUMP_US {
            self.jump = None;
            let slew_us = elapsed_us / SLEW_PARTS;
            system_us.clamp(plain_us - slew_us, plain_us.saturating_add(slew_us))
        } else {
            // Compared with the look before: over a day the clocks may drift apart by more than a jump.
            let known = self.jump.filter(|(jump_us, _)| jump_us.abs_diff(off_us) <= JUMP_US);
            let since_us = known.map_or(now_us, |(_, since_us)| since_us);
            self.jump = Some((off_us, since_us));
            if now_us.saturating_sub(since_us) < self.patience_us {
                plain_us
            } else {
                self.jump = None;
                system_us
            }
        };
        self.last = Some((wall_us, now_us.max(seen_us)));
        wall_us / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WALL_MS: u64 = 1_700_000_000_000;
    const MINUTE: u64 = 60_000;

    /// What a clock of a minute's patience says every 100 ms of `span_ms`, with the system's `ahead_ms` of the truth. The truth
    /// is [`WALL_MS`] and the monotonic time.
    fn looks(clock: &mut Believed, now_ms: &mut u64, span_ms: u64, ahead_ms: i64) -> Vec<i64> {
        let steps = 0..span_ms / 100;
        let look = |_| {
            *now_ms += 100;
            let system_ms = (WALL_MS + *now_ms).saturating_add_signed(ahead_ms);
            clock.look(*now_ms * 1_000, system_ms).cast_signed() - (WALL_MS + *now_ms).cast_signed()
        };
        steps.map(look).collect()
    }

    #[test]
    fn a_jump_that_is_taken_back_within_a_minute_is_not_told() {
        for ahead_ms in [600_000, -600_000, 864_000_000, -(WALL_MS as i64), 8 * WALL_MS as i64] {
            let (mut clock, mut now_ms) = (Believed::new(WALL_PATIENCE_US), 0);
            let mut told = looks(&mut clock, &mut now_ms, 1_000, 0);
            told.extend(looks(&mut clock, &mut now_ms, MINUTE, ahead_ms));
            told.extend(looks(&mut clock, &mut now_ms, MINUTE, 0));
            assert!(told.iter().all(|off| *off == 0), "{told:?}");
        }
    }

    #[test]
    fn a_jump_that_stays_is_believed_after_a_minute_and_so_is_the_way_back() {
        let (mut clock, mut now_ms) = (Believed::new(WALL_PATIENCE_US), 0);
        looks(&mut clock, &mut now_ms, 1_000, -3_600_000);
        for (from, to) in [(-3_600_000, 0), (0, 600_000), (600_000, 0)] {
            assert_eq!(looks(&mut clock, &mut now_ms, MINUTE, to), vec![from; 600]);
            assert_eq!(looks(&mut clock, &mut now_ms, MINUTE, to), vec![to; 600]);
        }
    }

    #[test]
    fn what_time_servers_correct_is_followed_slowly() {
        let (mut clock, mut now_ms) = (Believed::new(WALL_PATIENCE_US), 0);
        looks(&mut clock, &mut now_ms, 1_000, 0);
        let told = looks(&mut clock, &mut now_ms, 20_000, 900);
        assert_eq!((told[0], told[99], told[199]), (5, 500, 900));
    }

    #[test]
    fn a_clock_that_jumps_again_and_again_is_never_believed() {
        let (mut clock, mut now_ms) = (Believed::new(WALL_PATIENCE_US), 0);
        looks(&mut clock, &mut now_ms, 1_000, 0);
        for n in 1..100 {
            let told = looks(&mut clock, &mut now_ms, 50_000, n * 10_000);
            assert!(told.iter().all(|off| *off == 0));
        }
    }

    #[test]
    fn the_real_clocks_agree_and_go_on() {
        let (us, wall, patient) = (now_us(), wall_ms(), patient_ms());
        assert!(wall.abs_diff(system_ms()) < 1_500 && patient <= wall_ms());
        assert!(now_us() >= us && wall_ms() >= wall);
    }

    proptest! {
        /// Without a jump that stays, the clock never differs from the monotonic one by more than 5 % and what a correction is.
        #[test]
        fn it_never_falls_and_never_runs(looks in prop::collection::vec((0..600_000_u64, 0..4 * WALL_MS), 1..100)) {
            let mut clock = Believed::new(u64::MAX);
            let (mut now_us, mut before) = (0, None);
            for (step_us, system_ms) in looks {
                now_us += step_us;
                let told = clock.look(now_us, system_ms);
                if let Some((before_ms, before_us)) = before {
                    prop_assert!(told >= before_ms);
                    prop_assert!(told - before_ms <= (now_us - before_us) * 21 / 20_000 + 1);
                }
                before = Some((told, now_us));
            }
        }
    }
}
