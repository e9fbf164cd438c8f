//! From what became of events to what a frame says of them.
//!
//! A frame is made of a stretch of the log and each event's [`Note`], which follows from the log: so whoever makes one of
//! the same stretch says the same, and two stretches that follow each other account for what both would as one.
//!
//! Does not know: why anything is shown.

use super::fate::Fate;
use crate::protocol::encode::Rendition;
use crate::protocol::frame::{FrameEvent, Raise, ShedClass, ShownComment, What};
use crate::protocol::ids::Offset;
use crate::protocol::kind::Kind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many others who say the same a comment names.
const NAMES_MAX: usize = 3;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// What viewers see of it.
    pub fate: Fate,
    /// Of one that was merged: it is the so manieth of its group.
    pub(super) nth: u64,
    /// Whether the light rendition tells it: itself, or by what it raises.
    pub(super) lite: bool,
    /// As what it counts when it is not shown.
    pub counted: ShedClass,
    /// Its text was taken away: no rendition has it.
    pub(super) gone: bool,
    /// It is of the guaranteed lane.
    pub(super) kept: bool,
    /// It joined a comment of an earlier log time.
    pub(super) later: bool,
    /// The comment that stands for it, or would.
    pub part_of: Option<Offset>,
    /// How many turns its text made it come earlier, where that was looked at.
    pub bonus: Option<u16>,
}

impl Note {
    /// An event that is shown, also in the light rendition if it is `lite`.
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

/// What a frame says of the events of its stretch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// See [`crate::protocol::frame::Frame::events`].
    pub events: Vec<FrameEvent>,
    /// See [`crate::protocol::frame::Frame::merged`].
    pub merged: BTreeMap<ShedClass, u64>,
    /// See [`crate::protocol::frame::Frame::shed`].
    pub shed: BTreeMap<ShedClass, u64>,
}

/// The guaranteed ones of `events`: all renditions tell them.
pub(super) fn kept(events: &[FrameEvent], notes: &[Note]) -> Vec<FrameEvent> {
    let is_kept = |(_, note): &(_, &Note)| note.kept && note.is_told(Rendition::Viewer);
    let mut events: Vec<_> = events.iter().zip(notes).filter(is_kept).map(|(event, _)| event.clone()).collect();
    forget_folded(&mut events);
    events
}

/// What `rendition` says of `events`, each with its note, of a stretch that begins after `prev`.
pub(super) fn tell(rendition: Rendition, mut events: Vec<FrameEvent>, notes: &[Note], prev: Offset) -> Told {
    let mut told = Told::default();
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

/// What a deleted comment stood for is on the screens of consoles alone.
fn forget_folded(events: &mut [FrameEvent]) {
    for event in events {
        if let What::Kind(Kind::Delete(delete)) = &mut event.what {
            delete.also = Vec::new();
        }
    }
}

/// Each event with what became of it.
fn annotate(events: &mut [FrameEvent], notes: &[Note]) {
    for (event, note) in events.iter_mut().zip(notes) {
        event.outcome = Some(note.fate.outcome());
        event.into = note.fate.into();
    }
}

/// Counts what was merged, by (into, which event): on its comment if that is told in the same stretch, else as a raise.
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

/// Names are those of the same log time alone: a raise has none, and it is chance whether a frame or a page holds both.
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
