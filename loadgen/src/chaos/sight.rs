//! The names of items, raises and classes in the history.
//!
//! Does not know: which client saw them.

use crate::history::{Item, Text};
use std::borrow::Cow;
use volley::protocol::frame::Outcome;
use volley::protocol::frame::{FrameEvent, ShedClass, ShownComment, What};
use volley::protocol::user::Role;

/// The lane of events that are never left out.
pub const GUARANTEED: &str = "guaranteed";

/// The hash of a comment's text in the history.
pub fn hash(text: &str) -> Text<'static> {
    // FNV-1a, 64 bits (Fowler, Noll, Vo), which is enough because the checker only compares hashes.
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Cow::Owned(format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv)))
}

/// The name of a class of left-out events.
pub fn class_name(class: ShedClass) -> &'static str {
    match class {
        ShedClass::Normal => "normal",
        ShedClass::Low => "low",
        ShedClass::Gift => "gift",
        ShedClass::Custom => "custom",
        ShedClass::Enter => "enter",
    }
}

/// The name of a comment's outcome.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Shown => "shown",
        Outcome::Merged => "merged",
        Outcome::Shed => "shed",
    }
}

/// An event of a frame. Its lane depends on the room's settings of that time, which the audit knows; here only comments
/// by moderators and hosts have a lane, so that the check looks for them one by one.
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

/// The offset and count of an event by which an earlier comment stands for more comments.
pub fn raise(event: &FrameEvent) -> Option<(u64, u64)> {
    if let What::Raise(raise) = event.what { Some((raise.offset, raise.by)) } else { None }
}
