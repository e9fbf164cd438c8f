//! Every order in which the threads of a small case can meet, under the memory model: nobody sleeps through the bell.

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

/// What is brought is only counted; the count alone orders nothing, as the weakest queue would.
struct Case {
    bell: Bell,
    brought: AtomicUsize,
    /// Kept until it is heard, as an eventfd's count; may also go off by itself.
    alarm: Notify,
}

impl Case {
    fn bring(&self) {
        self.brought.fetch_add(1, Ordering::Relaxed);
        if self.bell.rings() {
            self.alarm.notify();
        }
    }

    /// Takes until `all` were brought; the model ends with a deadlock if it sleeps for ever.
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

fn everybody_is_heard(bringers: usize, each: usize, asleep: bool) {
    let mut builder = loom::model::Builder::new();
    // A thread is interrupted so often at most; the cases grow as the power of it.
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let case = Arc::new(Case { bell: Bell::new(asleep), brought: AtomicUsize::new(0), alarm: Notify::new() });
        let threads: Vec<_> = (0..bringers)
            .map(|_| {
                let case = case.clone();
                thread::spawn(move || (0..each).for_each(|_| case.bring()))
            })
            .collect();
        case.take(bringers * each);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn one_who_brings_two_things_is_heard() {
    everybody_is_heard(1, 2, false);
}

#[test]
fn two_who_bring_at_once_are_heard() {
    everybody_is_heard(2, 1, false);
}

#[test]
fn one_who_was_asleep_from_the_start_is_woken() {
    everybody_is_heard(1, 1, true);
}
