//! Which comments are one: those that say the same in one window, if the first of them is shown.
//!
//! Texts are compared as they are, not by a hash that somebody could make collide: only the first of a group keeps its key.
//!
//! Does not know: budgets, frames, who speaks.

use crate::policy::text::skeleton::Skeletons;
use crate::protocol::ids::Offset;
use crate::protocol::settings::Merge;
use std::collections::HashMap;

/// A comment that is shown and stands for others that say the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// The comment.
    pub(super) offset: Offset,
    /// How many say it, the comment included.
    pub(super) times: u64,
    /// Whether the light rendition has it.
    pub(super) lite: bool,
    /// The last round in which it grew, and its place among those that did.
    grew: (u64, usize),
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
    /// Candidates of the open log time.
    open: HashMap<Box<str>, usize>,
    growths: Vec<Growth>,
    /// Counts log times.
    round: u64,
}

impl Clone for Groups {
    fn clone(&self) -> Self {
        let (shown, open, growths) = (self.shown.clone(), self.open.clone(), self.growths.clone());
        Self { merge: self.merge, skeletons: Skeletons::default(), shown, open, growths, round: self.round }
    }
}

impl Groups {
    /// A log time begins; with `anew` a window too. What was alike by another measure is not compared.
    pub(super) fn begin(&mut self, merge: Merge, anew: bool) {
        if anew || self.merge != Some(merge) {
            self.merge = Some(merge);
            self.shown.clear();
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
            if !may_join {
                return Found::Alone;
            }
            group.times += 1;
            if group.grew.0 != self.round {
                group.grew = (self.round, self.growths.len());
                self.growths.push(Growth { offset: group.offset, by: 0, lite: group.lite });
            }
            self.growths[group.grew.1].by += 1;
            return Found::Joins { growth: group.grew.1, into: group.offset, nth: group.times };
        }
        match self.open.get(key) {
            Some(candidate) if may_join => Found::Says(*candidate),
            Some(_) => Found::Alone,
            None => {
                self.open.insert(key.into(), candidate);
                Found::First
            }
        }
    }

    /// The log time is over: `group` says which candidates are shown, and as what.
    pub(super) fn close(&mut self, mut group: impl FnMut(usize) -> Option<(Offset, u64, bool)>) {
        // In any order: each has a key of its own.
        for (key, candidate) in self.open.drain() {
            if let Some((offset, times, lite)) = group(candidate) {
                self.shown.insert(key, Group { offset, times, lite, grew: (0, 0) });
            }
        }
    }

    /// What grew at the open log time.
    pub(super) fn growths(&self) -> &[Growth] {
        &self.growths
    }
}
