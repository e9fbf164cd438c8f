//! Whether the node works. Each part reports its failures here, and `/healthz` answers with them.
//!
//! A part that can fail and recover has a [`Part`]; a thread that must keep running has a [`Pulse`].
//!
//! Does not know: the parts, HTTP, what a supervisor does with the answer.

pub mod thread;

use crate::clock;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// One node's health. Cheap to clone: all clones are the same node's.
#[derive(Clone, Default)]
pub struct Health {
    /// Registered parts and pulses. Dropped ones are removed at the next registration.
    parts: Arc<Mutex<Vec<Weak<Member>>>>,
}

struct Member {
    name: String,
    sign: LifeSign,
}

enum LifeSign {
    Reports(Mutex<Option<String>>),
    Beats { last_us: AtomicU64, limit_us: u64 },
}

/// A part of the node that reports when it fails. A new part works. Dropping the part withdraws its report.
pub struct Part(Arc<Member>);

/// The life sign of a thread. The thread counts as stuck when its newest beat is older than its limit.
pub struct Pulse(Arc<Member>);

impl Health {
    /// Registers a part. Its reports begin with the name.
    pub fn part(&self, name: impl Into<String>) -> Part {
        Part(self.register(name.into(), LifeSign::Reports(Mutex::default())))
    }

    /// Registers a thread that promises a beat at least every `limit_us`. The first beat is now.
    pub fn pulse(&self, name: impl Into<String>, limit_us: u64) -> Pulse {
        let last_us = AtomicU64::new(clock::now_us());
        Pulse(self.register(name.into(), LifeSign::Beats { last_us, limit_us }))
    }

    fn register(&self, name: String, sign: LifeSign) -> Arc<Member> {
        let state = Arc::new(Member { name, sign });
        let mut parts = self.parts.lock();
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&state));
        state
    }

    /// The failures at `now_us` (monotonic), in the order of registration; empty while everything works.
    pub fn failures(&self, now_us: u64) -> Vec<String> {
        self.parts.lock().iter().filter_map(Weak::upgrade).filter_map(|part| part.failure(now_us)).collect()
    }
}

impl Member {
    fn failure(&self, now_us: u64) -> Option<String> {
        match &self.sign {
            LifeSign::Reports(report) => report.lock().as_ref().map(|why| format!("{}: {why}", self.name)),
            LifeSign::Beats { last_us, limit_us } => {
                let age_us = now_us.saturating_sub(last_us.load(Ordering::Relaxed));
                (age_us > *limit_us).then(|| format!("{}: no progress for {} s", self.name, age_us / 1_000_000))
            }
        }
    }
}

impl Part {
    /// Reports that the part fails, and why, until it recovers. `why` is for the operator.
    pub fn fail(&self, why: impl Into<String>) {
        if let LifeSign::Reports(report) = &self.0.sign {
            *report.lock() = Some(why.into());
        }
    }

    pub fn recover(&self) {
        if let LifeSign::Reports(report) = &self.0.sign {
            *report.lock() = None;
        }
    }
}

impl Pulse {
    /// One relaxed store, cheap enough for each cycle of a thread.
    pub fn beat(&self, now_us: u64) {
        if let LifeSign::Beats { last_us, .. } = &self.0.sign {
            last_us.store(now_us, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.failures(clock::now_us())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_fails_until_it_recovers_or_is_gone() {
        let health = Health::default();
        let (log, door) = (health.part("log"), health.part("door"));
        assert!(health.failures(0).is_empty());
        log.fail("its files are gone");
        door.fail("closed");
        assert_eq!(health.failures(0), ["log: its files are gone", "door: closed"]);
        log.fail("the disk is gone");
        door.recover();
        assert_eq!(health.clone().failures(0), ["log: the disk is gone"]);
        drop(log);
        assert!(health.failures(0).is_empty());
        (0..1_000).for_each(|_| drop(health.part("passing")));
        assert!(health.parts.lock().len() <= 3, "dropped parts are removed");
    }

    #[test]
    fn a_thread_that_does_not_beat_is_stuck_until_it_does() {
        let health = Health::default();
        let pulse = health.pulse("storage", 5_000_000);
        let now_us = clock::now_us();
        pulse.beat(now_us);
        assert!(health.failures(now_us + 5_000_000).is_empty());
        assert_eq!(health.failures(now_us + 7_900_000), ["storage: no progress for 7 s"]);
        pulse.beat(now_us + 7_900_000);
        assert!(health.failures(now_us + 8_000_000).is_empty());
        assert!(health.failures(now_us).is_empty(), "a beat that is newer than the question");
    }
}
