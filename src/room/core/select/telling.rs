//! Makes the content of a frame from the fates of events.
//!
//! The content depends only on a stretch of the log and the [`Note`] of each event, which follows from the log. So
//! every frame or page of the same stretch has the same content, and the counts of two adjacent stretches add up to
//! those of both together.
//!
//! Does not know: why an event is shown.

use super::fate::Fate;
use crate::protocol::frame::{FrameEvent, Raise, ShedClass, ShownComment, What};
use crate::protocol::ids::Offset;
use crate::protocol::kind::Kind;
use crate::protocol::variant::Rendition;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of names of further authors in a merged comment.
const NAMES_MAX: usize = 3;

/// The selection's decision about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The event's fate for viewers.
    pub fate: Fate,
    /// For a merged comment: its number in the group.
    pub(super) nth: u64,
    /// Whether the `lite` rendition tells it, by itself or in a raise.
    pub(super) lite: bool,
    /// The class under which it is counted when it is left out.
    pub counted: ShedClass,
    /// Its text was deleted: no rendition has it.
    pub(super) gone: bool,
    /// It is guaranteed: no budget leaves it out.
    pub(super) kept: bool,
    /// It was folded into a comment of an earlier log time.
    pub(super) later: bool,
    /// The comment that it was folded into, or would have been.
    pub part_of: Option<Offset>,
    /// The turns by which its text made it come earlier, if that was computed.
    pub bonus: Option<u16>,
}

impl Note {
    /// The note of a shown event; `lite` says whether the `lite` rendition has it.
    pub(in crate::room) fn shown(counted: ShedClass, lite: bool) -> Self {
        Self {
            fate: Fate::Shown,
            nth: 1,
            lite,
            counted,
            gone: false,
            kept: false,
            later: false,
            part_of: None,
            bonus: None,
        }
    }

    /// Whether a rendition has the event itself.
    pub fn is_told(&self, rendition: Rendition) -> bool {
        let is_shown = self.fate == Fate::Shown;
        !self.gone
            && match rendition {
                Rendition::Viewer => is_shown,
                Rendition::Lite => is_shown && self.lite,
                Rendition::Full => true,
            }
    }
}

/// The content of a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameContent {
    pub events: Vec<FrameEvent>,
    pub merged: BTreeMap<ShedClass, u64>,
    pub shed: BTreeMap<ShedClass, u64>,
}

/// The guaranteed events among `events`. They are the same in all renditions.
pub(super) fn kept(events: &[FrameEvent], notes: &[Note]) -> Vec<FrameEvent> {
    let is_kept = |(_, note): &(_, &Note)| note.kept && note.is_told(Rendition::Viewer);
    let mut events: Vec<_> = events.iter().zip(notes).filter(is_kept).map(|(event, _)| event.clone()).collect();
    forget_folded(&mut events);
    events
}

/// The content in `rendition` of `events` with their `notes`, for a stretch after `prev`.
pub(super) fn tell(rendition: Rendition, mut events: Vec<FrameEvent>, notes: &[Note], prev: Offset) -> FrameContent {
    let mut told = FrameContent::default();
    if rendition == Rendition::Full {
        annotate(&mut events, notes);
    }
    let is_whole = notes.iter().all(|note| note.is_told(rendition));
    if !is_whole {
        let mut grown = Vec::new();
        for (at, note) in notes.iter().enumerate().filter(|(_, note)| !note.is_told(rendition)) {
            match (note.fate, rendition) {
                (Fate::Merged { into }, Rendition::Viewer) => grown.push((into, at)),
                (Fate::Merged { into }, Rendition::Lite) if note.lite => grown.push((into, at)),
                _ => *told.shed.entry(note.counted).or_default() += 1,
            }
        }
        let raises = fold(&mut events, notes, &grown, prev, rendition);
        for (_, at) in &grown {
            *told.merged.entry(notes[*at].counted).or_default() += 1;
        }
        let mut is_told = notes.iter().map(|note| note.is_told(rendition));
        events.retain(|_| is_told.next().unwrap_or(true));
        events.extend(raises);
    }
    if rendition != Rendition::Full {
        forget_folded(&mut events);
    }
    told.events = events;
    told
}

/// Only consoles show the comments that a deletion removes besides its own.
fn forget_folded(events: &mut [FrameEvent]) {
    for event in events {
        if let What::Kind(Kind::Delete(delete)) = &mut event.what {
            delete.also = Vec::new();
        }
    }
}

/// Adds to each event its outcome, for the console.
fn annotate(events: &mut [FrameEvent], notes: &[Note]) {
    for (event, note) in events.iter_mut().zip(notes) {
        event.outcome = Some(note.fate.outcome());
        event.into = note.fate.into();
    }
}

/// Adds merged comments (`grown` has the comment each was folded into, and the index of its event) to that comment if
/// it is in the same stretch, or returns them as raises.
fn fold(
    events: &mut [FrameEvent],
    notes: &[Note],
    grown: &[(Offset, usize)],
    prev: Offset,
    rendition: Rendition,
) -> Vec<FrameEvent> {
    let mut raises = BTreeMap::new();
    for &(into, at) in grown {
        let first = if into > prev { events.binary_search_by_key(&into, |event| event.offset).ok() } else { None };
        match first.filter(|first| notes[*first].is_told(rendition)) {
            Some(first) => {
                let (before, after) = events.split_at_mut(at);
                if let (What::Comment(first), What::Comment(joins)) = (&mut before[first].what, &after[0].what) {
                    join(first, joins, !notes[at].later);
                }
            }
            None => {
                let raise: &mut Raise = raises.entry(into).or_insert(Raise { offset: into, by: 0, times: 0 });
                raise.by += 1;
                raise.times = raise.times.max(notes[at].nth);
            }
        }
    }
    raises.into_values().map(|raise| FrameEvent::new(raise.offset, What::Raise(raise))).collect()
}

/// Only comments of the same log time add names. A raise has none, and whether a frame or a page has both log times is
/// chance.
fn join(first: &mut ShownComment, joins: &ShownComment, is_named: bool) {
    first.times += 1;
    if !is_named {
        return;
    }
    let name: &Arc<str> = &joins.comment.user.name;
    let is_new = joins.comment.user.id != first.comment.user.id && !first.names.contains(name);
    if first.names.len() < NAMES_MAX && is_new {
        first.names.push(name.clone());
    }
}
