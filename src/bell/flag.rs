//! The flag of a bell. `super::atomics` are the standard library's, or the model checker's.
//!
//! Does not know: what is brought, how the sleeper is woken.

use super::atomics::{AtomicBool, Ordering, fence};

/// A flag that is set while the sleeper sleeps. If a producer brings something while the sleeper lies down, one of the
/// two notices: either the producer sees the flag, or the sleeper sees the thing. Two fences guarantee that.
#[derive(Debug)]
pub struct Bell {
    asleep: AtomicBool,
}

impl Bell {
    /// A bell whose sleeper is asleep from the start, or awake.
    pub fn new(asleep: bool) -> Self {
        Self { asleep: AtomicBool::new(asleep) }
    }

    /// Whether the caller, which has just put something where the sleeper looks, must wake the sleeper. Returns `true`
    /// to one caller for each time that the sleeper lay down.
    #[inline]
    pub fn rings(&self) -> bool {
        // Pairs with the fence in `lie_down`.
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel)
    }

    /// From now on the bell rings. The sleeper must check *after* this call that nothing was brought, and only then
    /// sleep.
    #[inline]
    pub fn lie_down(&self) {
        // A swap, not a store: every thread sees it after each earlier `swap`.
        self.asleep.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// From now on the bell does not ring. The sleeper must take what was brought, now and before each sleep.
    #[inline]
    pub fn get_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}
