//! The estimate of how many different users have watched the room, and when frames may tell it.
//!
//! Does not know: the method of the estimate, frames.

use super::unique::Unique;

#[derive(Debug, Default)]
pub(super) struct Audience {
    unique: Unique,
    told: u64,
    /// When a changed estimate may be told.
    from_us: u64,
}

impl Audience {
    pub(super) fn add(&mut self, user: &str) {
        self.unique.add(user);
    }

    pub(super) fn estimate(&self) -> u64 {
        self.unique.estimate()
    }

    /// The estimate, if it changed since it was last told and that was at least `pause_us` ago. Counts as told then.
    pub(super) fn take_news(&mut self, now_us: u64, pause_us: u64) -> Option<u64> {
        let estimate = self.unique.estimate();
        (estimate != self.told && now_us >= self.from_us).then(|| {
            (self.told, self.from_us) = (estimate, now_us.saturating_add(pause_us));
            estimate
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_estimate_is_told_once_and_not_too_often() {
        let mut audience = Audience::default();
        assert_eq!(audience.take_news(0, 10), None);
        audience.add("a");
        assert_eq!((audience.take_news(5, 10), audience.take_news(5, 10)), (Some(1), None));
        audience.add("b");
        assert_eq!((audience.take_news(14, 10), audience.take_news(15, 10)), (None, Some(2)));
    }
}
