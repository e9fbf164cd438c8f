//! Seats of connections at the admin address, and evictions when they are taken.
//!
//! There are two limits. Ordinary seats serve everything. When all are taken, the connection that has been idle for the
//! longest time is evicted: a client that keeps connections open opens a new one when it needs it. Only when all of them
//! are busy, a new connection gets a reserved seat. A reserved seat serves one request for health, readiness or metrics and
//! refuses everything else. When all reserved seats are taken, the oldest is evicted: a probe is answered within
//! milliseconds, so that only a flood that fills all reserved seats in that time gets in its way.

use super::progress::Progress;
use crate::limits::{ADMIN_CONNECTIONS_MAX, ADMIN_RESERVE_MAX};
use std::collections::VecDeque;
use std::sync::Arc;

/// The kind of seat that a new connection gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// Serves every request.
    Ordinary,
    /// Serves health, readiness and metrics, once.
    Reserved,
}

/// The connections by seat, the oldest first.
#[derive(Default)]
pub(super) struct Seats {
    ordinary: VecDeque<Arc<Progress>>,
    reserved: VecDeque<Arc<Progress>>,
}

impl Seats {
    /// Gives a new connection a seat, and evicts an earlier connection if none is free.
    pub(super) fn take(&mut self, newcomer: &Arc<Progress>) -> Seat {
        for seats in [&mut self.ordinary, &mut self.reserved] {
            seats.retain(|progress| Arc::strong_count(progress) > 1);
        }
        if self.ordinary.len() >= ADMIN_CONNECTIONS_MAX {
            let idle =
                self.ordinary.iter().enumerate().filter_map(|(at, progress)| Some((progress.idle_since_us()?, at)));
            match idle.min() {
                Some((_, at)) => evict(self.ordinary.remove(at)),
                None => {
                    if self.reserved.len() >= ADMIN_RESERVE_MAX {
                        evict(self.reserved.pop_front());
                    }
                    newcomer.is_on_reserve();
                    self.reserved.push_back(newcomer.clone());
                    return Seat::Reserved;
                }
            }
        }
        self.ordinary.push_back(newcomer.clone());
        Seat::Ordinary
    }
}

fn evict(progress: Option<Arc<Progress>>) {
    if let Some(progress) = progress {
        progress.evict();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that have just come; dropped, they are gone.
    fn come(seats: &mut Seats, count: usize) -> Vec<Arc<Progress>> {
        let come = |_| {
            let progress = Progress::begun_now();
            assert_eq!(seats.take(&progress), Seat::Ordinary);
            progress
        };
        (0..count).map(come).collect()
    }

    #[test]
    fn the_longest_idle_goes_and_no_busy_one() {
        let mut seats = Seats::default();
        let all = come(&mut seats, ADMIN_CONNECTIONS_MAX);
        let busy: Vec<_> = all[..10].iter().map(Progress::answering).collect();
        drop(all[20].answering()); // It was idle for longest but for those before it, and now for shortest.
        let newcomers = come(&mut seats, ADMIN_CONNECTIONS_MAX - 11);
        let evicted: Vec<_> = all.iter().map(|progress| progress.is_evicted()).collect();
        let expected: Vec<_> = (0..ADMIN_CONNECTIONS_MAX).map(|n| n >= 10 && n != 20).collect();
        assert_eq!(evicted, expected);
        assert_eq!(newcomers.iter().filter(|progress| progress.is_evicted()).count(), 0);
        drop(busy);
    }

    #[test]
    fn when_all_are_busy_newcomers_get_the_reserve_whose_oldest_goes() {
        let mut seats = Seats::default();
        let all = come(&mut seats, ADMIN_CONNECTIONS_MAX);
        let mut busy: Vec<_> = all.iter().map(Progress::answering).collect();
        let reserved: Vec<_> = (0..3 * ADMIN_RESERVE_MAX).map(|_| Arc::<Progress>::default()).collect();
        for progress in &reserved {
            assert_eq!(seats.take(progress), Seat::Reserved);
        }
        let evicted = reserved.iter().map(|progress| progress.is_evicted());
        assert!(evicted.eq((0..3 * ADMIN_RESERVE_MAX).map(|n| n < 2 * ADMIN_RESERVE_MAX)));
        assert!(all.iter().all(|progress| !progress.is_evicted()));
        busy.pop();
        assert_eq!(seats.take(&Arc::default()), Seat::Ordinary, "one is idle again");
    }

    #[test]
    fn who_has_gone_needs_no_seat() {
        let mut seats = Seats::default();
        drop(come(&mut seats, ADMIN_CONNECTIONS_MAX));
        let all = come(&mut seats, ADMIN_CONNECTIONS_MAX);
        assert!(all.iter().all(|progress| !progress.is_evicted()));
    }
}
