//! The selection of the events that viewers are shown: equal comments are merged, the rest is chosen within the budget,
//! and every event left out is counted.
//!
//! The selection follows from the log and the settings in force. The log's time is cut into *windows* of [`WINDOW_MS`],
//! and the choice in a window does not depend on earlier windows. All records of one batch have one *log time*, and a
//! choice is made for a whole log time when it is complete. So a live frame, a page of the past, a replay and another
//! node agree, wherever frames end.
//!
//! Does not know: the log, clocks, bytes, subscribers.

use super::budget::{Bucket, WINDOW_MS};
use super::candidate::{Candidate, EventPart};
use super::choice::People;
use super::fate::Fate;
use super::groups::{GroupMatch, Groups};
use super::lite::Lite;
use super::telling::{self, FrameContent, Note};
use crate::protocol::event::Comment;
use crate::protocol::frame::{FrameEvent, ShedClass, What};
use crate::protocol::ids::Offset;
use crate::protocol::kind::{Delete, Kind};
use crate::protocol::settings::{Class, Classed, RoomSettings};
use crate::protocol::user::Role;
use crate::protocol::variant::Rendition;
use std::sync::Arc;

/// The state of the choice, and the events that no frame has told yet.
#[derive(Clone, Debug)]
pub struct Selection {
    events_max: usize,
    settings: Option<Arc<RoomSettings>>,

    window: u64,
    bucket: Bucket,
    groups: Groups,
    people: People,
    lite: Lite,

    /// The time of the open log time.
    open_ms: Option<u64>,
    places: Vec<EventPart>,
    candidates: Vec<Candidate>,

    /// Events that no frame has told, with their notes. Those of the open log time begin at `open_at`.
    events: Vec<FrameEvent>,
    notes: Vec<Note>,
    open_at: usize,
}

impl Selection {
    /// A selection of at most `events_max` events per log time, besides the guaranteed ones.
    pub fn new(events_max: usize) -> Self {
        Self {
            events_max,
            settings: None,
            window: 0,
            bucket: Bucket::default(),
            groups: Groups::default(),
            people: People::default(),
            lite: Lite::default(),
            open_ms: None,
            places: Vec::new(),
            candidates: Vec::new(),
            events: Vec::new(),
            notes: Vec::new(),
            open_at: 0,
        }
    }

    /// The time of the open log time.
    pub fn open_ms(&self) -> Option<u64> {
        self.open_ms
    }

    /// Opens the log time `at_ms` with the `settings` in force. The one before must be closed.
    pub fn open(&mut self, at_ms: u64, settings: &Arc<RoomSettings>) {
        debug_assert!(self.open_ms.is_none(), "two log times at once");
        if self.settings.as_ref().is_none_or(|known| !Arc::ptr_eq(known, settings)) {
            self.settings = Some(settings.clone());
        }
        let window = at_ms / WINDOW_MS;
        let anew = window != self.window;
        if anew {
            self.window = window;
            self.people.begin();
        }
        self.groups.begin(settings.merge, anew);
        self.open_ms = Some(at_ms);
    }

    /// Takes a comment of the open log time. Returns its place among the events of that log time.
    pub fn comment(&mut self, offset: Offset, comment: &Comment) -> usize {
        let role = comment.user.role;
        let class = self.class(role.into());
        let counted = if class == Class::Low { ShedClass::Low } else { ShedClass::Normal };
        let gone = comment.deleted;
        let found = if gone {
            self.where_it_was(comment)
        } else {
            let may_join = class != Class::Guaranteed && matches!(role, Role::Guest | Role::Viewer);
            self.groups.find(&comment.text, may_join, self.candidates.len())
        };
        let mut note = Note { gone, ..Note::shown(counted, false) };
        let place = match found {
            GroupMatch::Joins { growth, into, nth, gone } => {
                note.fate = if gone { Fate::Shed } else { Fate::Merged { into } };
                (note.nth, note.part_of, note.later) = (nth, Some(into), true);
                EventPart::Grows(growth as u32)
            }
            GroupMatch::Says(candidate) => {
                self.candidates[candidate].times += 1;
                note.nth = self.candidates[candidate].times;
                EventPart::Of(candidate as u32)
            }
            GroupMatch::First | GroupMatch::Alone => self.candidate(offset, class, true, gone),
        };
        self.push(FrameEvent::comment(offset, comment.clone()), note, place)
    }

    /// The group of a comment with a deleted text: that of the comment it was folded into, which may be deleted as
    /// well.
    fn where_it_was(&mut self, comment: &Comment) -> GroupMatch {
        let Some(into) = comment.left.as_ref().and_then(|left| left.into) else { return GroupMatch::Alone };
        match self.candidates.iter().rposition(|candidate| candidate.offset == into) {
            Some(candidate) => GroupMatch::Says(candidate),
            None => self.groups.join(into),
        }
    }

    /// Takes an event of the owner at the open log time. Returns its place, too.
    pub fn kind(&mut self, offset: Offset, kind: &Kind) -> usize {
        let (class, counted) = match kind {
            Kind::Gift(_) => (self.class(Classed::Gift), ShedClass::Gift),
            Kind::Custom(_) => (self.class(Classed::Custom), ShedClass::Custom),
            Kind::Enter(_) => (self.class(Classed::Enter), ShedClass::Enter),
            _ => (Class::Guaranteed, ShedClass::Normal),
        };
        let place = self.candidate(offset, class, false, false);
        let mut kind = kind.clone();
        if let Kind::Delete(delete) = &mut kind {
            delete.left = Vec::new();
        }
        self.push(FrameEvent::new(offset, What::Kind(kind)), Note::shown(counted, false), place)
    }

    fn class(&self, of: Classed) -> Class {
        self.settings.as_ref().map_or(of.default_class(), |settings| settings.class(of))
    }

    fn candidate(&mut self, offset: Offset, class: Class, is_comment: bool, gone: bool) -> EventPart {
        let (entry, index) = (self.places.len() as u32, self.candidates.len() as u32);
        let (times, turn, shown, lite) = (1, i64::MAX, false, false);
        self.candidates.push(Candidate { entry, gone, offset, class, is_comment, times, turn, shown, lite });
        EventPart::Of(index)
    }

    fn push(&mut self, event: FrameEvent, note: Note, place: EventPart) -> usize {
        self.events.push(event);
        self.notes.push(note);
        self.places.push(place);
        self.places.len() - 1
    }

    /// Closes the open log time, if there is one, and chooses. Returns its number of events; they are the last of
    /// [`Selection::closed`].
    pub fn close(&mut self) -> usize {
        let (Some(at_ms), Some(settings)) = (self.open_ms.take(), self.settings.clone()) else { return 0 };
        let count = self.places.len();
        let begin = self.events.len() - count;
        self.choose(begin, at_ms, &settings);
        self.note(begin);
        let (candidates, notes) = (&self.candidates, &self.notes[begin..]);
        self.groups.close(|index| {
            let Candidate { entry, offset, times, shown, lite, .. } = candidates[index];
            (shown && !notes[entry as usize].gone).then_some((offset, times, lite))
        });
        for candidate in candidates.iter().filter(|candidate| candidate.gone && candidate.shown) {
            self.groups.stood(candidate.offset, candidate.times, candidate.lite);
        }
        self.open_at = self.events.len();
        self.places.clear();
        self.candidates.clear();
        count
    }

    /// Marks the shown candidates.
    fn choose(&mut self, begin: usize, at_ms: u64, settings: &RoomSettings) {
        let ranked = self.candidates.iter().filter(|candidate| !candidate.is_guaranteed()).count();
        let mut allowed = self.events_max;
        if let Some(per_s) = settings.budget
            && ranked > 0
        {
            allowed = allowed.min(self.bucket.allowance(per_s, settings.tick_ms, at_ms));
        }
        let is_crowded = ranked > allowed;
        for candidate in &mut self.candidates {
            candidate.shown = !is_crowded || candidate.is_guaranteed();
        }
        if is_crowded {
            let events = &self.events[begin..];
            let notes = &mut self.notes[begin..];
            self.people.choose(events, notes, &self.places, &mut self.candidates, settings, allowed);
        }
        if settings.budget.is_some() {
            self.bucket.spend(ranked.min(allowed));
            let shown = self.candidates.iter().filter(|candidate| candidate.shown && !candidate.is_guaranteed());
            shown.for_each(|candidate| self.people.charge(&self.events[begin + candidate.entry as usize]));
        }
        self.lite.choose(&mut self.candidates, settings.tick_ms, at_ms);
    }

    /// Writes the fate of each event into its note.
    fn note(&mut self, begin: usize) {
        let raised = Lite::raises(self.groups.growths());
        for (entry, (note, place)) in (0_u32..).zip(self.notes[begin..].iter_mut().zip(&self.places)) {
            match *place {
                EventPart::Grows(growth) => note.lite = raised(growth as usize),
                EventPart::Of(index) => {
                    let candidate = &self.candidates[index as usize];
                    note.lite = candidate.lite;
                    note.kept = candidate.is_guaranteed();
                    note.part_of = (candidate.entry != entry).then_some(candidate.offset);
                    note.fate = match candidate.shown {
                        false => Fate::Shed,
                        true if candidate.entry != entry && !candidate.gone => Fate::Merged { into: candidate.offset },
                        true if note.gone || candidate.gone => Fate::Shed,
                        true => Fate::Shown,
                    };
                }
            }
        }
    }

    /// Events of closed log times that no frame has told, with their notes.
    pub fn closed(&self) -> impl DoubleEndedIterator<Item = (&FrameEvent, &Note)> + ExactSizeIterator {
        self.events[..self.open_at].iter().zip(&self.notes[..self.open_at])
    }

    /// Forgets events up to `offset`, which were told before. The log time of `offset` is closed.
    pub fn forget(&mut self, offset: Offset) {
        let count = self.events[..self.open_at].partition_point(|event| event.offset <= offset);
        self.events.drain(..count);
        self.notes.drain(..count);
        self.open_at -= count;
    }

    /// Forgets events after `offset`. No log time is open.
    pub fn truncate(&mut self, offset: Offset) {
        debug_assert!(self.open_ms.is_none());
        let count = self.events.partition_point(|event| event.offset <= offset);
        self.events.truncate(count);
        self.notes.truncate(count);
        self.open_at = count;
    }

    /// Call before the deletion of the comment at `offset` is applied: later comments, and those of the same batch, are
    /// not merged with it. A page makes the same choice, because the deleted text is not there to compare with.
    pub fn take_away(&mut self, offset: Offset) {
        self.groups.take_away(offset);
    }

    /// Removes deleted texts from all frames to come.
    pub fn redact(&mut self, delete: &Delete) {
        for offset in std::iter::once(delete.offset).chain(delete.also.iter().copied()) {
            if let Ok(at) = self.events.binary_search_by_key(&offset, |event| event.offset)
                && matches!(self.events[at].what, What::Comment(_))
            {
                let note = &mut self.notes[at];
                note.gone = true;
                // A comment folded into one that is still shown is still counted with it.
                if note.fate.into().is_none_or(|into| into == delete.offset) {
                    note.fate = Fate::Shed;
                }
            }
        }
    }

    /// The content of a frame after `prev` in `rendition`: the events of closed log times that no frame has told.
    pub fn tell(&self, rendition: Rendition, prev: Offset) -> FrameContent {
        let (events, notes) = (&self.events[..self.open_at], &self.notes[..self.open_at]);
        telling::tell(rendition, events.to_vec(), notes, prev)
    }

    /// The guaranteed events of closed log times that no frame has told.
    pub fn kept(&self) -> Vec<FrameEvent> {
        telling::kept(&self.events[..self.open_at], &self.notes[..self.open_at])
    }

    /// Ends a frame after `prev`: returns its content for viewers, and forgets its events.
    pub fn take(&mut self, prev: Offset) -> FrameContent {
        let rest = self.events.split_off(self.open_at);
        let events = std::mem::replace(&mut self.events, rest);
        let told = telling::tell(Rendition::Viewer, events, &self.notes[..self.open_at], prev);
        self.notes.drain(..self.open_at);
        self.open_at = 0;
        told
    }

    /// Takes back a used list of events, so that the next tick need not grow a new one. Ignored if the next tick has
    /// begun.
    pub fn recycle(&mut self, mut used: Vec<FrameEvent>) {
        used.clear();
        if self.events.is_empty() && used.capacity() > self.events.capacity() {
            self.events = used;
        }
    }
}

#[cfg(test)]
mod tests;
