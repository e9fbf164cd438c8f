//! The groups of equal comments: within one window, a comment joins a shown one with the same text.
//!
//! Texts are compared in full and not by a hash, for which a user could construct collisions. Only the first comment of
//! a group keeps its key.
//!
//! Does not know: budgets, frames, users.

use crate::policy::text::skeleton::Skeletons;
use crate::protocol::ids::Offset;
use crate::protocol::settings::Merge;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A shown comment, and the number of equal ones.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The offset of the shown comment.
    pub(super) offset: Offset,
    /// The number of equal comments, including the shown one.
    pub(super) times: u64,
    /// Whether the `lite` rendition has the shown comment.
    pub(super) lite: bool,
    /// The last log time in which the group grew, and the index of that growth.
    grew: (u64, usize),
    /// Equal comments that are shown separately. If the first is deleted, later comments join the next of them.
    behind: Vec<(Offset, bool)>,
}

impl Group {
    fn new(offset: Offset, times: u64, lite: bool) -> Self {
        Self { offset, times, lite, grew: (0, 0), behind: Vec::new() }
    }

    /// Adds an equal comment.
    fn grow(&mut self, growths: &mut Vec<Growth>, round: u64, gone: bool) -> GroupMatch {
        self.times += 1;
        if self.grew.0 != round {
            self.grew = (round, growths.len());
            growths.push(Growth { offset: self.offset, by: 0, lite: self.lite });
        }
        growths[self.grew.1].by += 1;
        GroupMatch::Joins { growth: self.grew.1, into: self.offset, nth: self.times, gone }
    }
}

/// The growth of a group at the open log time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// The offset of the shown comment.
    pub(super) offset: Offset,
    /// The number of new equal comments.
    pub(super) by: u64,
    /// Whether the `lite` rendition has the shown comment.
    pub(super) lite: bool,
}

/// The group of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupMatch {
    /// The comment joins a shown one.
    Joins {
        /// The index of the group's growth.
        growth: usize,
        /// The offset of the shown comment.
        into: Offset,
        /// Its number in the group; the shown comment is number 1.
        nth: u64,
        /// The text of the shown comment was deleted.
        gone: bool,
    },
    /// The comment equals this candidate of its own log time.
    Says(usize),
    /// No comment of the window equals it; later ones may join it.
    First,
    /// The comment is not merged.
    Alone,
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    merge: Option<Merge>,
    skeletons: Skeletons,
    shown: HashMap<Box<str>, Group>,
    /// Groups with a shown comment whose text was deleted.
    gone: Vec<Group>,
    /// The candidates of the open log time, by key.
    open: HashMap<Box<str>, usize>,
    /// Candidates that equal an earlier comment but are not merged.
    apart: Vec<(Box<str>, usize)>,
    growths: Vec<Growth>,
    /// The number of the log time.
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
    /// Begins a log time; `anew` says that a window begins too. If the rule for merging has changed, earlier comments
    /// are not compared.
    pub(super) fn begin(&mut self, merge: Merge, anew: bool) {
        if anew || self.merge != Some(merge) {
            self.merge = Some(merge);
            self.shown.clear();
            self.gone.clear();
        }
        self.round += 1;
        self.growths.clear();
    }

    /// Finds the group of a comment. `may_join` says whether it may be merged; if it is the first of its text, it is
    /// `candidate`.
    pub(super) fn find(&mut self, text: &str, may_join: bool, candidate: usize) -> GroupMatch {
        let key = match self.merge {
            None | Some(Merge::Off) => return GroupMatch::Alone,
            Some(Merge::Equal) => text,
            Some(Merge::Near) => self.skeletons.of(text),
        };
        if let Some(group) = self.shown.get_mut(key) {
            if may_join {
                return group.grow(&mut self.growths, self.round, false);
            }
            self.apart.push((key.into(), candidate));
            return GroupMatch::Alone;
        }
        match self.open.get(key) {
            Some(candidate) if may_join => GroupMatch::Says(*candidate),
            Some(_) => {
                self.apart.push((key.into(), candidate));
                GroupMatch::Alone
            }
            None => {
                self.open.insert(key.into(), candidate);
                GroupMatch::First
            }
        }
    }

    /// Adds a comment with a deleted text that was folded into the comment at `offset`.
    pub(super) fn join(&mut self, offset: Offset) -> GroupMatch {
        let Self { shown, gone, growths, round, .. } = self;
        if let Some(group) = gone.iter_mut().find(|group| group.offset == offset) {
            return group.grow(growths, *round, true);
        }
        let known = shown.values_mut().find(|group| group.offset == offset);
        known.map_or(GroupMatch::Alone, |group| group.grow(growths, *round, false))
    }

    /// Adds a shown comment of this log time with a deleted text.
    pub(super) fn stood(&mut self, offset: Offset, times: u64, lite: bool) {
        self.gone.push(Group::new(offset, times, lite));
    }

    /// The shown comment at `offset` gets no more equal comments.
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

    /// Ends the log time: `group` has the offset, the number of equal comments and the `lite` mark of each shown
    /// candidate.
    pub(super) fn close(&mut self, mut group: impl FnMut(usize) -> Option<(Offset, u64, bool)>) {
        // The order does not matter, because each has a different key.
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

    /// The growths at the open log time.
    pub(super) fn growths(&self) -> &[Growth] {
        &self.growths
    }
}
