//! Which comments are one: those that say the same in one window as one that is shown.
//!
//! Texts are compared as they are, not by a hash that somebody could make collide: only the first of a group keeps its key.
//!
//! Does not know: budgets, frames, who speaks.

use crate::policy::text::skeleton::Skeletons;
use crate::protocol::ids::Offset;
use crate::protocol::settings::Merge;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A comment that is shown and stands for others that say the same.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The comment.
    pub(super) offset: Offset,
    /// How many say it, the comment included.
    pub(super) times: u64,
    /// Whether the light rendition has it.
    pub(super) lite: bool,
    /// The last round in which it grew, and its place among those that did.
    grew: (u64, usize),
    /// Others that are shown and say the same, each by itself: with the first one gone, the next stands for who comes later.
    behind: Vec<(Offset, bool)>,
}

impl Group {
    fn new(offset: Offset, times: u64, lite: bool) -> Self {
        Self { offset, times, lite, grew: (0, 0), behind: Vec::new() }
    }

    /// One more says it.
    fn grow(&mut self, growths: &mut Vec<Growth>, round: u64, gone: bool) -> Found {
        self.times += 1;
        if self.grew.0 != round {
            self.grew = (round, growths.len());
            growths.push(Growth { offset: self.offset, by: 0, lite: self.lite });
        }
        growths[self.grew.1].by += 1;
        Found::Joins { growth: self.grew.1, into: self.offset, nth: self.times, gone }
    }
}

/// A group's growth at the open log time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Of which comment.
    pub(super) offset: Offset,
    /// By how many.
    pub(super) by: u64,
    /// Whether the light rendition has the comment.
    pub(super) lite: bool,
}

/// What a comment finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It joins a shown comment.
    Joins {
        /// The place of its growth.
        growth: usize,
        /// The shown one.
        into: Offset,
        /// It is the so manieth.
        nth: u64,
        /// The text of that one is gone.
        gone: bool,
    },
    /// It says the same as this candidate of its own log time.
    Says(usize),
    /// It is the first to say it.
    First,
    /// It stands by itself.
    Alone,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Groups {
    merge: Option<Merge>,
    skeletons: Skeletons,
    shown: HashMap<Box<str>, Group>,
    /// Those whose text is gone.
    gone: Vec<Group>,
    /// Candidates of the open log time.
    open: HashMap<Box<str>, usize>,
    /// Those that say what others say, and stand by themselves.
    apart: Vec<(Box<str>, usize)>,
    growths: Vec<Growth>,
    /// Counts log times.
    round: u64,
}

impl Clone for Groups {
    fn clone(&self) -> Self {
        Self {
            merge: self.merge,
            skeletons: Skeletons::default(),
            shown: self.shown.clone(),
            gone: self.gone.clone(),
            open: self.open.clone(),
            apart: self.apart.clone(),
            growths: self.growths.clone(),
            round: self.round,
        }
    }
}

impl Groups {
    /// A log time begins; with `anew` a window too. What was alike by another measure is not compared.
    pub(super) fn begin(&mut self, merge: Merge, anew: bool) {
        if anew || self.merge != Some(merge) {
            self.merge = Some(merge);
            self.shown.clear();
            self.gone.clear();
        }
        self.round += 1;
        self.growths.clear();
    }

    /// Looks where a comment belongs that may be merged if it `may_join`; as the first of its kind it is `candidate`.
    pub(super) fn find(&mut self, text: &str, may_join: bool, candidate: usize) -> Found {
        let key = match self.merge {
            None | Some(Merge::Off) => return Found::Alone,
            Some(Merge::Equal) => text,
            Some(Merge::Near) => self.skeletons.of(text),
        };
        if let Some(group) = self.shown.get_mut(key) {
            if may_join {
                return group.grow(&mut self.growths, self.round, false);
            }
            self.apart.push((key.into(), candidate));
            return Found::Alone;
        }
        match self.open.get(key) {
            Some(candidate) if may_join => Found::Says(*candidate),
            Some(_) => {
                self.apart.push((key.into(), candidate));
                Found::Alone
            }
            None => {
                self.open.insert(key.into(), candidate);
                Found::First
            }
        }
    }

    /// A comment whose text is gone, and that stood with the one at `offset`.
    pub(super) fn join(&mut self, offset: Offset) -> Found {
        let Self { shown, gone, growths, round, .. } = self;
        if let Some(group) = gone.iter_mut().find(|group| group.offset == offset) {
            return group.grow(growths, *round, true);
        }
        let known = shown.values_mut().find(|group| group.offset == offset);
        known.map_or(Found::Alone, |group| group.grow(growths, *round, false))
    }

    /// A comment of this log time whose text is gone was shown.
    pub(super) fn stood(&mut self, offset: Offset, times: u64, lite: bool) {
        self.gone.push(Group::new(offset, times, lite));
    }

    /// The shown comment at `offset` stands for nobody who comes later.
    pub(super) fn take_away(&mut self, offset: Offset) {
        self.shown.retain(|_, group| {
            group.behind.retain(|(behind, _)| *behind != offset);
            if group.offset != offset {
                return true;
            }
            if group.behind.is_empty() {
                return false;
            }
            let behind = std::mem::take(&mut group.behind);
            let ((next, lite), rest) = (behind[0], behind[1..].to_vec());
            *group = Group { behind: rest, ..Group::new(next, 1, lite) };
            true
        });
    }

    /// The log time is over: `group` says which candidates are shown, and as what.
    pub(super) fn close(&mut self, mut group: impl FnMut(usize) -> Option<(Offset, u64, bool)>) {
        // In any order: each has a key of its own.
        for (key, candidate) in self.open.drain() {
            if let Some((offset, times, lite)) = group(candidate) {
                self.shown.insert(key, Group::new(offset, times, lite));
            }
        }
        for (key, candidate) in self.apart.drain(..) {
            let Some((offset, times, lite)) = group(candidate) else { continue };
            match self.shown.entry(key) {
                Entry::Occupied(mut first) => first.get_mut().behind.push((offset, lite)),
                Entry::Vacant(place) => drop(place.insert(Group::new(offset, times, lite))),
            }
        }
    }

    /// What grew at the open log time.
    pub(super) fn growths(&self) -> &[Growth] {
        &self.growths
    }
}
