//! Which row a comment of a subtitle file gets, so that texts do not lie on each other while there is room.
//!
//! Times may jump: comments stand in the order in which they were said, their media times in any. A row that is
//! taken by something far ahead in time counts as free.
//!
//! Does not know: pictures, subtitle formats.

/// Where something is in a row: from `start_ms`, `width` pixels wide.
#[derive(Clone, Copy, Debug)]
struct Taken {
    start_ms: u64,
    width: u64,
}

/// Rows of one direction over a picture of a certain width.
pub(super) struct Lanes {
    rows: Vec<Option<Taken>>,
    picture: u64,
    stay_ms: u64,
    moves: bool,
}

impl Lanes {
    /// Rows in which texts move through the whole picture in `stay_ms`.
    pub(super) fn moving(rows: usize, picture: u64, stay_ms: u64) -> Self {
        Self { rows: vec![None; rows], picture, stay_ms, moves: true }
    }

    /// Rows in which texts stand for `stay_ms`.
    pub(super) fn standing(rows: usize, picture: u64, stay_ms: u64) -> Self {
        Self { rows: vec![None; rows], picture, stay_ms, moves: false }
    }

    /// The first of `height` rows that are free for a text of `width` from `start_ms` on. When all are taken, those that
    /// were taken longest ago: it is drawn over them, for a recording leaves nothing out.
    pub(super) fn take(&mut self, start_ms: u64, width: u64, height: usize) -> usize {
        let height = height.clamp(1, self.rows.len());
        let windows = 0..=self.rows.len() - height;
        let is_free =
            |first: &usize| self.rows[*first..first + height].iter().all(|row| self.is_free(*row, start_ms, width));
        let newest = |first: &usize| self.rows[*first..first + height].iter().flatten().map(|row| row.start_ms).max();
        let first = windows.clone().find(is_free).or_else(|| windows.min_by_key(newest)).unwrap_or(0);
        self.rows[first..first + height].fill(Some(Taken { start_ms, width }));
        first
    }

    fn is_free(&self, row: Option<Taken>, start_ms: u64, width: u64) -> bool {
        let Some(before) = row else { return true };
        if before.start_ms.abs_diff(start_ms) >= self.stay_ms {
            return true;
        }
        if !self.moves || start_ms < before.start_ms {
            return false;
        }
        // Each crosses picture + its own width in `stay_ms`. The one before has to be in with its whole width, and the
        // head of the new one may reach the far edge only when the tail of the one before has left it.
        let age_ms = start_ms - before.start_ms;
        let is_in = age_ms * (self.picture + before.width) >= before.width * self.stay_ms;
        let head_arrives_ms = age_ms + self.picture * self.stay_ms / (self.picture + width);
        is_in && head_arrives_ms >= self.stay_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the left edge of a text is, in a picture of 1,000 pixels that is crossed in 8 s.
    fn left(taken: Taken, at_ms: u64) -> f64 {
        let share = (at_ms - taken.start_ms) as f64 / 8_000.0;
        1_000.0 - share * (1_000 + taken.width) as f64
    }

    #[test]
    fn moving_texts_of_a_row_never_touch_while_rows_are_free() {
        let mut lanes = Lanes::moving(40, 1_000, 8_000);
        let mut shown: Vec<(usize, Taken)> = Vec::new();
        for n in 0..400_u64 {
            let taken = Taken { start_ms: n * 311, width: 50 + n * 7919 % 900 };
            let row = lanes.take(taken.start_ms, taken.width, 1);
            for (_, other) in shown.iter().filter(|(other_row, _)| *other_row == row) {
                for at_ms in (taken.start_ms..other.start_ms + 8_000).step_by(20) {
                    let gap = left(taken, at_ms) - (left(*other, at_ms) + other.width as f64);
                    assert!(gap > -2.0, "{taken:?} is {gap} into {other:?} at {at_ms}");
                }
            }
            shown.push((row, taken));
        }
        assert!(shown.iter().any(|(row, _)| *row > 0) && shown[200..].iter().any(|(row, _)| *row == 0));
    }

    #[test]
    fn standing_texts_have_their_row_alone_and_tall_ones_several() {
        let mut lanes = Lanes::standing(3, 1_000, 4_000);
        assert_eq!((lanes.take(0, 10, 1), lanes.take(1, 10, 2)), (0, 1));
        assert_eq!(lanes.take(2, 10, 1), 0, "all are taken: over the oldest");
        assert_eq!(lanes.take(4_001, 10, 2), 1, "the tall one is gone");
        assert_eq!(lanes.take(9_000, 10, 99), 0, "taller than all rows: all of them");
    }

    #[test]
    fn a_jump_back_in_time_finds_its_rows_free() {
        let mut lanes = Lanes::moving(2, 1_000, 8_000);
        assert_eq!((lanes.take(600_000, 900, 1), lanes.take(600_000, 900, 1)), (0, 1));
        assert_eq!(lanes.take(5_000, 900, 1), 0);
        assert_eq!(lanes.take(600_001, 900, 1), 0, "and the jump forward too");
    }
}
