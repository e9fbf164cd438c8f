//! What viewers see of one event.
//!
//! Does not know: how it is decided.

use crate::protocol::ids::Offset;
use crate::protocol::message::Outcome;

/// What viewers see of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in a frame.
    Shown,
    /// It was folded into an earlier one.
    Merged {
        /// Which.
        into: Offset,
    },
    /// It was left out, and counted.
    Shed,
}

impl Fate {
    /// As an ack says it.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Shown => Outcome::Shown,
            Self::Merged { .. } => Outcome::Merged,
            Self::Shed => Outcome::Shed,
        }
    }

    /// What it was folded into, if it was.
    pub fn into(self) -> Option<Offset> {
        if let Self::Merged { into } = self { Some(into) } else { None }
    }
}
