//! The flag itself. `super::atomics` is the standard library's, or the model checker's.

use super::atomics::{AtomicBool, Ordering, fence};

/// See the module's page. Two fences make it sure: of one who brings something while the other lies down, either the first sees
/// that the other lies, or the second sees what was brought.
#[derive(Debug)]
pub struct Bell {
    asleep: AtomicBool,
}

impl Bell {
    /// Of one who is awake (or asleep).
    pub fn new(asleep: bool) -> Self {
        Self { asleep: AtomicBool::new(asleep) }
    }

    /// Something was brought, and is where the sleeper looks: whether it has to be woken. Says so to one caller for each time
    /// that it lay down.
    #[inline]
    pub fn rings(&self) -> bool {
        // Pairs with the fence in `lie_down`.
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel)
    }

    /// From now on it rings. Look *after* this whether anything was brought before you sleep.
    #[inline]
    pub fn lie_down(&self) {
        // A swap and no store: what is set here comes after each `swap` that is done, for everybody.
        self.asleep.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// From now on it does not ring: look what was brought, now and before each sleep.
    #[inline]
    pub fn get_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}
