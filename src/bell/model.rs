//! Checks every interleaving of a few threads under the memory model: no consumer sleeps through the bell.

mod atomics {
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering, fence};
}
#[path = "flag.rs"]
#[expect(clippy::duplicate_mod, reason = "once for use, once over the model's atomics")]
mod flag;

use flag::Bell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

/// What is brought is only counted. The count is relaxed, so it orders no more than the weakest queue would.
struct Case {
    bell: Bell,
    brought: AtomicUsize,
    /// A notification is kept until the next wait, as an eventfd keeps its count. Waits may also end without one.
    alarm: Notify,
}

impl Case {
    fn bring(&self) {
        self.brought.fetch_add(1, Ordering::Relaxed);
        if self.bell.rings() {
            self.alarm.notify();
        }
    }

    /// Takes until `all` were brought. If it sleeps forever, the model reports a deadlock.
    fn take(&self, all: usize) {
        while self.brought.load(Ordering::Relaxed) < all {
            self.bell.lie_down();
            if self.brought.load(Ordering::Relaxed) < all {
                self.alarm.wait();
            }
            self.bell.get_up();
        }
    }
}

fn every_producer_is_heard(producers: usize, each: usize, asleep: bool) {
    let mut builder = loom::model::Builder::new();
    // The most preemptions of one run; the number of cases grows exponentially with it.
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let case = Arc::new(Case { bell: Bell::new(asleep), brought: AtomicUsize::new(0), alarm: Notify::new() });
        let threads: Vec<_> = (0..producers)
            .map(|_| {
                let case = case.clone();
                thread::spawn(move || (0..each).for_each(|_| case.bring()))
            })
            .collect();
        case.take(producers * each);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_producer_of_two_things_is_heard() {
    every_producer_is_heard(1, 2, false);
}

#[test]
fn two_producers_at_once_are_heard() {
    every_producer_is_heard(2, 1, false);
}

#[test]
fn a_consumer_that_is_asleep_from_the_start_is_woken() {
    every_producer_is_heard(1, 1, true);
}
