//! The candidates of one log time, among which the selection chooses.
//!
//! Does not know: how the choice is made.

use crate::protocol::ids::Offset;
use crate::protocol::settings::Class;

/// A candidate of the open log time: an event, or several equal comments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The place of its first event among those of the log time.
    pub(super) entry: u32,
    /// The text of the first event was deleted.
    pub(super) gone: bool,
    pub(super) offset: Offset,
    pub(super) class: Class,
    pub(super) is_comment: bool,
    /// The number of equal comments.
    pub(super) times: u64,
    /// The turns that its people had, less its bonus. The lowest comes first.
    pub(super) turn: i64,
    pub(super) shown: bool,
    pub(super) lite: bool,
}

impl Candidate {
    pub(super) fn is_guaranteed(&self) -> bool {
        self.class == Class::Guaranteed
    }
}

/// The part that an event plays in the open log time.
#[derive(Clone, Copy, Debug)]
pub(super) enum EventPart {
    /// Part of this candidate, as its first comment or one more.
    Of(u32),
    /// Part of a comment shown earlier; this is the index of its growth.
    Grows(u32),
}
