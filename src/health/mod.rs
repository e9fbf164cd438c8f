//! Whether the node works. Each part reports here when it fails, and `/healthz` answers with what was reported.
//!
//! A part that can fail and go on holds a [`Part`]; a thread that must keep turning holds a [`Pulse`].
//!
//! Does not know: the parts, who asks, or what a supervisor does about it.

pub mod thread;

use crate::clock;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// One node's health. Cheap to clone; a new one belongs to no node.
#[derive(Clone, Default)]
pub struct Health {
    /// As many as there are parts; the dropped ones go with the next registration.
    parts: Arc<Mutex<Vec<Weak<State>>>>,
}

struct State {
    name: String,
    kind: Kind,
}

enum Kind {
    Reports(Mutex<Option<String>>),
    Beats { last_us: AtomicU64, limit_us: u64 },
}

/// A part of the node that says when it fails. It works until it says otherwise, and its report goes with it.
pub struct Part(Arc<State>);

/// The life sign of a thread. It counts as stuck when the newest beat is older than its limit.
pub struct Pulse(Arc<State>);

impl Health {
    /// Registers a part. The name stands in front of what it reports.
    pub fn part(&self, name: impl Into<String>) -> Part {
        Part(self.register(name.into(), Kind::Reports(Mutex::default())))
    }

    /// Registers a thread that beats at least every `limit_us`. The first beat is now.
    pub fn pulse(&self, name: impl Into<String>, limit_us: u64) -> Pulse {
        let last_us = AtomicU64::new(clock::now_us());
        Pulse(self.register(name.into(), Kind::Beats { last_us, limit_us }))
    }

    fn register(&self, name: String, kind: Kind) -> Arc<State> {
        let state = Arc::new(State { name, kind });
        let mut parts = self.parts.lock();
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&state));
        state
    }

    /// What fails at `now_us` (monotonic), in the order of registration; empty while everything works.
    pub fn failures(&self, now_us: u64) -> Vec<String> {
        self.parts.lock().iter().filter_map(Weak::upgrade).filter_map(|part| part.failure(now_us)).collect()
    }
}

impl State {
    fn failure(&self, now_us: u64) -> Option<String> {
        match &self.kind {
            Kind::Reports(report) => report.lock().as_ref().map(|why| format!("{}: {why}", self.name)),
            Kind::Beats { last_us, limit_us } => {
                let age_us = now_us.saturating_sub(last_us.load(Ordering::Relaxed));
                (age_us > *limit_us).then(|| format!("{}: it has not moved for {} s", self.name, age_us / 1_000_000))
            }
        }
    }
}

impl Part {
    /// From now on it fails, and why: for the operator.
    pub fn fail(&self, why: impl Into<String>) {
        if let Kind::Reports(report) = &self.0.kind {
            *report.lock() = Some(why.into());
        }
    }

    /// It works again.
    pub fn recover(&self) {
        if let Kind::Reports(report) = &self.0.kind {
            *report.lock() = None;
        }
    }
}

impl Pulse {
    /// The thread moves. One relaxed store.
    pub fn beat(&self, now_us: u64) {
        if let Kind::Beats { last_us, .. } = &self.0.kind {
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
        assert!(health.parts.lock().len() <= 3, "nothing piles up");
    }

    #[test]
    fn a_thread_that_does_not_beat_is_stuck_until_it_does() {
        let health = Health::default();
        let pulse = health.pulse("storage", 5_000_000);
        let now_us = clock::now_us();
        pulse.beat(now_us);
        assert!(health.failures(now_us + 5_000_000).is_empty());
        assert_eq!(health.failures(now_us + 7_900_000), ["storage: it has not moved for 7 s"]);
        pulse.beat(now_us + 7_900_000);
        assert!(health.failures(now_us + 8_000_000).is_empty());
        assert!(health.failures(now_us).is_empty(), "a beat that is newer than the question");
    }
}
