//! When a room ticks: a grid in time, shifted per room so that rooms do not tick at the same instant.

use crate::protocol::local::RoomKey;

/// Grid points are `phase + k × tick`; slot `k` begins at one and ends before the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) tick_us: u64,
    phase_us: u64,
}

impl Grid {
    pub(super) fn new(key: RoomKey, tick_us: u64) -> Self {
        let tick_us = tick_us.max(1);
        // Keys count up; the golden ratio spreads any run of them evenly over the tick (Fibonacci hashing).
        let spread = key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let phase_us = (u128::from(spread) * u128::from(tick_us)) >> 64;
        Self { tick_us, phase_us: phase_us as u64 }
    }

    /// The slot that `now_us` lies in.
    pub(super) fn slot(&self, now_us: u64) -> u64 {
        (now_us + (self.tick_us - self.phase_us)) / self.tick_us
    }

    /// Where `slot` begins.
    pub(super) fn start_us(&self, slot: u64) -> u64 {
        (slot * self.tick_us).saturating_sub(self.tick_us - self.phase_us)
    }

    /// The first grid point after `now_us`.
    pub(super) fn next_us(&self, now_us: u64) -> u64 {
        self.start_us(self.slot(now_us) + 1)
    }

    /// The first grid point at or after `at_us`.
    pub(super) fn at_or_after_us(&self, at_us: u64) -> u64 {
        if at_us == 0 { self.phase_us } else { self.next_us(at_us - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_point_is_later_by_at_most_one_tick() {
        for key in 0..50 {
            let grid = Grid::new(RoomKey(key), 1_000);
            for now in (0..5_000).step_by(7) {
                let next = grid.next_us(now);
                assert!(next > now && next <= now + 1_000, "key {key}, now {now}: {next}");
                assert_eq!(grid.next_us(next), next + 1_000, "points are one tick apart");
                assert_eq!(grid.at_or_after_us(next), next);
                assert_eq!(grid.slot(next), grid.slot(next - 1) + 1);
                assert_eq!(grid.start_us(grid.slot(next)), next);
            }
        }
    }

    #[test]
    fn rooms_spread_over_the_tick() {
        let mut tenths = [0_u32; 10];
        for key in 0..1_000 {
            tenths[(Grid::new(RoomKey(key), 100_000).phase_us / 10_000) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (80..=120).contains(n)), "{tenths:?}");
    }
}
