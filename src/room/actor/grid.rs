//! The times at which rooms tick: a grid that all rooms share.
//!
//! Rooms with the same tick end it at the same instants, so that one commit of the log stores the batches of all of
//! them; rooms with different ticks meet at common multiples. With several groups, which the configuration can ask for,
//! rooms take turns within the tick: one commit per group, and shorter bursts of work.

use crate::protocol::local::RoomKey;

/// Grid points are the multiples of the tick, less the group's share of it. Slot `k` begins at one point and ends
/// before the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) tick_us: u64,
    early_us: u64,
}

impl Grid {
    pub(super) fn new(key: RoomKey, tick_us: u64, groups: u32) -> Self {
        let (tick_us, groups) = (tick_us.max(1), u64::from(groups.max(1)));
        // Keys count up, so groups are of one size.
        Self { tick_us, early_us: key.0 % groups * tick_us / groups }
    }

    /// The slot that `now_us` lies in.
    pub(super) fn slot(&self, now_us: u64) -> u64 {
        (now_us + self.early_us) / self.tick_us
    }

    /// Where `slot` begins.
    pub(super) fn start_us(&self, slot: u64) -> u64 {
        (slot * self.tick_us).saturating_sub(self.early_us)
    }

    /// The first grid point after `now_us`.
    pub(super) fn next_us(&self, now_us: u64) -> u64 {
        self.start_us(self.slot(now_us) + 1)
    }

    /// The first grid point at or after `at_us`.
    pub(super) fn at_or_after_us(&self, at_us: u64) -> u64 {
        self.start_us((at_us + self.early_us).div_ceil(self.tick_us))
    }
}

/// The grid in force, and the slot of the last frame. At most one frame goes out per slot.
#[derive(Debug)]
pub(super) struct FrameSlots {
    pub(super) grid: Grid,
    framed: Option<u64>,
}

impl FrameSlots {
    pub(super) fn new(grid: Grid) -> Self {
        Self { grid, framed: None }
    }

    /// The earliest time for the next frame.
    pub(super) fn free_from_us(&self) -> u64 {
        self.framed.map_or(0, |slot| self.grid.start_us(slot + 1))
    }

    pub(super) fn is_free(&self, slot: u64) -> bool {
        self.framed.is_none_or(|framed| framed < slot)
    }

    /// Call when a frame goes out.
    pub(super) fn take(&mut self, now_us: u64) {
        self.framed = Some(self.grid.slot(now_us));
    }

    /// Replaces the grid. A frame that went out before counts as one in the new slot of `now_us`.
    pub(super) fn change(&mut self, grid: Grid, now_us: u64) {
        self.framed = self.framed.map(|_| grid.slot(now_us));
        self.grid = grid;
    }
}

/// The room's own part of `span_us`: rooms with consecutive keys are spread evenly over it. For work that rooms need
/// not do at the same time.
pub(super) fn spread_us(key: RoomKey, span_us: u64) -> u64 {
    // Keys count up; the golden ratio spreads them (Fibonacci hashing).
    let spread = key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((u128::from(spread) * u128::from(span_us)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_next_point_is_later_by_at_most_one_tick() {
        for (key, tick_us, groups) in [(0, 1, 1), (1, 7, 1), (1, 7, 3), (5, 1_000, 4), (7, 1_000, 10)] {
            let grid = Grid::new(RoomKey(key), tick_us, groups);
            for now in (0..5_000).step_by(7) {
                let next = grid.next_us(now);
                assert!(next > now && next <= now + tick_us, "{grid:?}, now {now}: {next}");
                assert_eq!(grid.next_us(next), next + tick_us, "points are one tick apart");
                assert_eq!(grid.at_or_after_us(next), next);
                assert_eq!(grid.at_or_after_us(now + 1), next, "{grid:?}");
                assert_eq!(grid.slot(next), grid.slot(next - 1) + 1);
                assert_eq!(grid.start_us(grid.slot(next)), next);
            }
        }
        assert_eq!(Grid::new(RoomKey(1), 0, 0).next_us(5), 6, "no tick at all is the shortest one");
    }

    #[test]
    fn rooms_share_their_points_and_groups_divide_the_tick() {
        const TICK_US: u64 = 100_000;
        for groups in 1..=10 {
            let next = |key| Grid::new(RoomKey(key), TICK_US, groups).next_us(10 * TICK_US - 1);
            let points: BTreeSet<_> = (0..100).map(next).collect();
            assert_eq!(points.len(), groups as usize, "{points:?}");
            assert!(points.contains(&(10 * TICK_US)));
            let steps = points.iter().zip(points.iter().skip(1)).map(|(a, b)| b - a);
            let even = TICK_US / u64::from(groups);
            assert!(steps.clone().all(|step| (even..=even + 1).contains(&step)), "{points:?}");
        }
    }

    #[test]
    fn rooms_of_different_ticks_meet_where_their_multiples_do() {
        let (fast, slow) = (Grid::new(RoomKey(1), 20_000, 1), Grid::new(RoomKey(2), 100_000, 1));
        let mut now = 12_345;
        for _ in 0..50 {
            now = slow.next_us(now);
            assert_eq!(fast.at_or_after_us(now), now, "each point of the slow grid is one of the fast grid");
        }
    }

    #[test]
    fn a_slot_has_one_frame_even_when_the_grid_changes() {
        let grid = |tick_us| Grid::new(RoomKey(0), tick_us, 1);
        let mut slots = FrameSlots::new(grid(100));
        assert!(slots.is_free(0) && slots.free_from_us() == 0);
        slots.change(grid(200), 350);
        assert!(slots.is_free(0), "there was no frame");
        slots.take(350);
        assert!(!slots.is_free(1) && slots.is_free(2) && slots.free_from_us() == 400);
        slots.change(grid(100), 390);
        assert!(!slots.is_free(3) && slots.is_free(4) && slots.free_from_us() == 400);
    }

    #[test]
    fn the_spread_of_rooms_is_even() {
        let mut tenths = [0_u32; 10];
        for key in 0..1_000 {
            tenths[(spread_us(RoomKey(key), 100_000) / 10_000) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (80..=120).contains(n)), "{tenths:?}");
        assert!((0..1_000).all(|key| spread_us(RoomKey(key), 1) == 0), "below the span");
    }
}
