//! What the choice of one log time is made from.
//!
//! Does not know: how the choice is made.

use crate::protocol::ids::Offset;
use crate::protocol::settings::Class;

/// What may be shown at the open log time: an event, or several comments that say the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its first event, among those of the log time.
    pub(super) entry: u32,
    /// The text of that is gone.
    pub(super) gone: bool,
    pub(super) offset: Offset,
    pub(super) class: Class,
    pub(super) is_comment: bool,
    /// How many say it.
    pub(super) times: u64,
    /// How many turns its people had, less what speeds it up.
    pub(super) turn: i64,
    pub(super) shown: bool,
    pub(super) lite: bool,
}

impl Candidate {
    pub(super) fn is_guaranteed(&self) -> bool {
        self.class == Class::Guaranteed
    }
}

/// Where an event of the open log time belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// To a candidate, as its first or as one more.
    Of(u32),
    /// To a shown comment, by the place of its growth.
    Grows(u32),
}
