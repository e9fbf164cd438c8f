//! A bell between many producers and one consumer that sleeps while there is nothing to take. It rings only if the
//! consumer sleeps.
//!
//! Does not know: what is brought, where it waits, how the sleeper is woken.

mod atomics;
mod flag;
#[cfg(test)]
mod model;

pub use flag::Bell;
