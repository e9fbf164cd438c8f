//! How the history names what somebody saw: items, raises, classes.
//!
//! Does not know: who saw it, where.

use crate::history::{Item, Text};
use std::borrow::Cow;
use volley::protocol::event::Role;
use volley::protocol::frame::{FrameEvent, ShedClass, ShownComment, What};
use volley::protocol::message::Outcome;

/// The lane that nothing is left out of.
pub const GUARANTEED: &str = "guaranteed";

/// A comment's hash as the history has it.
pub fn hash(text: &str) -> Text<'static> {
    // FNV-1a, 64 bits (Fowler, Noll, Vo): the checker only compares.
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Cow::Owned(format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv)))
}

/// A class of what was left out.
pub fn class_name(class: ShedClass) -> &'static str {
    match class {
        ShedClass::Normal => "normal",
        ShedClass::Low => "low",
        ShedClass::Gift => "gift",
        ShedClass::Custom => "custom",
        ShedClass::Enter => "enter",
    }
}

/// What became of a comment.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Shown => "shown",
        Outcome::Merged => "merged",
        Outcome::Shed => "shed",
    }
}

/// An event of a frame. Which lane it came in is the room's to say, by its settings of that time, so the audit says it;
/// only comments by moderators and hosts are marked, so that the check looks for them one by one.
pub fn item(event: &FrameEvent) -> Item<'_> {
    match &event.what {
        What::Comment(ShownComment { comment, times, .. }) => Item {
            offset: event.offset,
            author: Some(Cow::Borrowed(&comment.user.id)),
            id: comment.id.as_ref().map(|id| Cow::Borrowed(id.as_str())),
            hash: (!comment.deleted).then(|| hash(&comment.text)),
            times: *times,
            kind: None,
            lane: matches!(comment.user.role, Role::Moderator | Role::Host).then(|| GUARANTEED.into()),
        },
        What::Kind(kind) => Item { kind: Some(kind.name().into()), ..nameless(event.offset) },
        What::Raise(_) | What::Unknown => Item { kind: Some("other".into()), ..nameless(event.offset) },
    }
}

fn nameless(offset: u64) -> Item<'static> {
    Item { offset, times: 1, ..Item::default() }
}

/// An event that says that an earlier comment stands for more: which, and how many more.
pub fn raise(event: &FrameEvent) -> Option<(u64, u64)> {
    if let What::Raise(raise) = event.what { Some((raise.offset, raise.by)) } else { None }
}
