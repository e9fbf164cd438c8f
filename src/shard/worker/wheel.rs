//! Timers: one wheel per shard instead of one timer per connection.
//!
//! Entries are hints, not promises: when one fires, its owner looks at its own state and schedules a new one. So no
//! entry is ever cancelled, and the entry of a connection that has ended is dropped by its generation.

/// Length of one notch. Timeouts are seconds, so a quarter of a second is exact enough.
const NOTCH_US: u64 = 250_000;

/// Notches in the wheel: 64 s, longer than all fixed timeouts. A longer configured one fires early and is scheduled
/// again.
const NOTCHES: usize = 256;

/// One hint: look at `conn` if it is still of `generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Hint {
    pub conn: u32,
    pub generation: u32,
    pub kind: HintKind,
}

/// The state that a hint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum HintKind {
    /// A silent client: ping it or close it.
    Quiet,
    /// A message that was begun but not finished.
    Stall,
    /// A blocked socket that takes no bytes.
    Blocked,
    /// A subscriber that may have to move to another rendition.
    Pace,
    /// A closing connection whose peer does not leave.
    Linger,
}

/// The wheel. Bounded by kinds × connections: each owner has at most one entry of a kind.
pub(in crate::shard) struct Wheel {
    notches: Vec<Vec<Hint>>,
    /// The notch that `now` was in at the last [`Wheel::turn`].
    now: u64,
    entries: usize,
    /// The list that [`Wheel::turn`] hands out, for its memory.
    due: Vec<Hint>,
}

impl Wheel {
    pub(in crate::shard) fn new(now_us: u64) -> Self {
        Self {
            notches: (0..NOTCHES).map(|_| Vec::new()).collect(),
            now: now_us / NOTCH_US,
            entries: 0,
            due: Vec::new(),
        }
    }

    /// Fires at the first notch after `at_us`; at the end of the wheel if `at_us` is beyond that.
    pub(in crate::shard) fn schedule(&mut self, at_us: u64, hint: Hint) {
        let notch = (at_us / NOTCH_US + 1).clamp(self.now + 1, self.now + NOTCHES as u64 - 1);
        self.notches[notch as usize % NOTCHES].push(hint);
        self.entries += 1;
    }

    /// Takes out all hints that are due.
    pub(in crate::shard) fn turn(&mut self, now_us: u64) -> Vec<Hint> {
        let mut due = std::mem::take(&mut self.due);
        let now = now_us / NOTCH_US;
        // After a long stop one full turn empties the wheel; more would only look at the same notches again.
        let first = (self.now + 1).max(now.saturating_sub(NOTCHES as u64 - 1));
        for notch in first..=now {
            due.append(&mut self.notches[notch as usize % NOTCHES]);
        }
        self.now = self.now.max(now);
        self.entries -= due.len();
        due
    }

    /// Gives back the list of [`Wheel::turn`].
    pub(in crate::shard) fn reuse(&mut self, due: Vec<Hint>) {
        self.due = due;
    }

    /// When to call [`Wheel::turn`] next; `None` when no hint is scheduled.
    pub(in crate::shard) fn due_us(&self) -> Option<u64> {
        (self.entries > 0).then(|| {
            let next = (1..NOTCHES as u64).find(|n| !self.notches[(self.now + n) as usize % NOTCHES].is_empty());
            (self.now + next.unwrap_or(1)) * NOTCH_US
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(conn: u32) -> Hint {
        Hint { conn, generation: 0, kind: HintKind::Quiet }
    }

    #[test]
    fn no_hint_fires_early_and_each_fires() {
        let mut wheel = Wheel::new(10_000_000);
        for n in 0..200_u32 {
            wheel.schedule(10_000_000 + u64::from(n) * 100_000, hint(n));
        }
        let mut fired = 0;
        for step in 0..300 {
            let now = 10_000_000 + step * 100_000;
            let due = wheel.turn(now);
            fired += due.len();
            assert!(due.iter().all(|h| 10_000_000 + u64::from(h.conn) * 100_000 <= now));
        }
        assert_eq!(fired, 200);
        assert_eq!(wheel.due_us(), None);
    }

    #[test]
    fn a_hint_beyond_the_wheel_fires_at_its_end_and_a_long_stop_loses_none() {
        let mut wheel = Wheel::new(0);
        wheel.schedule(3_600_000_000, hint(1));
        wheel.schedule(1_000_000, hint(2));
        assert_eq!(wheel.due_us(), Some(1_250_000));
        assert_eq!(wheel.turn(7_200_000_000).len(), 2);
    }
}
