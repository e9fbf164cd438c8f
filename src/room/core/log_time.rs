//! The log time being applied, and the fates of the events of the last complete one.
//!
//! Does not know: how a fate is decided, which records follow.

use super::select::Fate;
use super::window::{IdKey, Window};
use crate::protocol::ids::Offset;

#[derive(Debug)]
pub(super) struct LogTime {
    /// Whether the open log time is counted in the room's totals. It is not if the base covers it.
    pub(super) counts: bool,
    /// Comments with an id: the place in the log time, and the id.
    marked: Vec<(usize, IdKey)>,
    /// The events of the last complete log time, by rising offset.
    fates: Vec<(Offset, Fate)>,
}

impl Default for LogTime {
    fn default() -> Self {
        Self { counts: true, marked: Vec::new(), fates: Vec::new() }
    }
}

impl LogTime {
    /// Notes that the comment at `place` of the open log time has an id.
    pub(super) fn mark(&mut self, place: usize, key: IdKey) {
        self.marked.push((place, key));
    }

    /// The open log time is complete; [`LogTime::add`] follows for each of its events.
    pub(super) fn close(&mut self) {
        self.fates.clear();
    }

    pub(super) fn add(&mut self, offset: Offset, fate: Fate) {
        self.fates.push((offset, fate));
    }

    /// Corrects the window of ids, which takes marked comments for shown until their fate is decided.
    pub(super) fn decide(&mut self, window: &mut Window) {
        for (place, key) in self.marked.drain(..) {
            let (_, fate) = self.fates[place];
            if fate != Fate::Shown {
                window.decide(key, fate);
            }
        }
    }

    /// The fate of an event of the last complete log time.
    pub(super) fn fate(&self, offset: Offset) -> Option<Fate> {
        let place = self.fates.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
        Some(self.fates[place].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_those_of_the_last_complete_log_time() {
        let mut time = LogTime::default();
        for (offset, fate) in [(3, Fate::Shown), (5, Fate::Shed)] {
            time.add(offset, fate);
        }
        assert_eq!([2, 3, 4, 5].map(|offset| time.fate(offset)), [None, Some(Fate::Shown), None, Some(Fate::Shed)]);
        time.close();
        assert_eq!(time.fate(3), None);
    }
}
