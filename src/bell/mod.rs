//! A bell between many who bring something and one who sleeps while there is nothing: it rings only for a sleeper.
//!
//! Does not know: what is brought, where it waits, how the sleeper is woken.

mod atomics;
mod flag;
#[cfg(test)]
mod model;

pub use flag::Bell;
