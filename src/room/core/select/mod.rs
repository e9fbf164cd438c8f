//! The choice of the events that a room's viewers are shown: see [`Selection`].
//!
//! Does not know: the log, clocks, bytes, subscribers.

mod budget;
mod candidate;
mod choice;
mod fate;
mod groups;
mod lite;
mod selection;
mod telling;

pub use budget::WINDOW_MS;
pub use fate::Fate;
pub use selection::Selection;
pub use telling::{FrameContent, Note};
