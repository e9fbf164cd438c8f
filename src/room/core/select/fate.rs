//! What viewers see of an event: shown, merged or left out.
//!
//! Does not know: how the fate is decided.

use crate::protocol::frame::Outcome;
use crate::protocol::ids::Offset;

/// The fate of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A frame has the event.
    Shown,
    /// The event was folded into an earlier one.
    Merged { into: Offset },
    /// The event was left out, and counted.
    Shed,
}

impl Fate {
    /// The outcome in an ack.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Shown => Outcome::Shown,
            Self::Merged { .. } => Outcome::Merged,
            Self::Shed => Outcome::Shed,
        }
    }

    /// The comment that it was folded into.
    pub fn into(self) -> Option<Offset> {
        if let Self::Merged { into } = self { Some(into) } else { None }
    }
}
