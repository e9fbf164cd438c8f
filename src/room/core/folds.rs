//! Remembers which comments were folded into which others, so that a deletion removes all equal comments that were
//! shown as one. What it leaves of each comment lets a page repeat the same choice.
//!
//! It follows from the log alone: a replay rebuilds it.
//!
//! Does not know: texts, the log, subscribers.

use super::select::Note;
use crate::limits::FOLDS_MAX;
use crate::protocol::event::Event;
use crate::protocol::ids::Offset;
use crate::protocol::kind::Left;
use crate::protocol::kind::{Delete, Kind};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Folds {
    /// By rising offset: comments that were folded into others, or that the text made come earlier.
    known: VecDeque<Fold>,
    /// Comments up to this offset are not known.
    forgotten: Offset,
}

#[derive(Clone, Copy, Debug)]
struct Fold {
    offset: Offset,
    /// 0: not folded.
    into: Offset,
    bonus: Option<u16>,
}

impl Fold {
    fn left(self) -> Left {
        Left { into: (self.into > 0).then_some(self.into), bonus: self.bonus.unwrap_or(0) }
    }
}

impl Folds {
    /// Adds the comment at `offset`, which is the newest so far.
    pub(super) fn add(&mut self, offset: Offset, note: &Note) {
        let into = note.part_of.unwrap_or(0);
        if into == 0 && note.bonus.unwrap_or(0) == 0 {
            return;
        }
        if self.known.len() == FOLDS_MAX {
            self.forgotten = self.known.pop_front().map_or(self.forgotten, |fold| fold.offset);
        }
        self.known.push_back(Fold { offset, into, bonus: note.bonus });
    }

    /// Call before the first comment: records up to `offset` were not read.
    pub(super) fn begin_after(&mut self, offset: Offset) {
        self.forgotten = self.forgotten.max(offset);
    }

    /// Writes into the deletions among `events` the comments that they remove too. Returns the number of deletions for
    /// which not all of these comments are known.
    pub(super) fn stamp(&self, events: &mut [Event]) -> usize {
        let deletions = events.iter_mut().filter_map(|event| match event {
            Event::Post(post) => match &mut post.kind {
                Kind::Delete(delete) => Some(delete),
                _ => None,
            },
            Event::Comment(_) | Event::Likes { .. } | Event::Votes(_) => None,
        });
        deletions.map(|delete| usize::from(!self.complete(delete))).sum()
    }

    fn complete(&self, delete: &mut Delete) -> bool {
        let target = delete.offset;
        let begin = self.known.partition_point(|fold| fold.offset < target);
        let mut own = Left::default();
        (delete.also, delete.left) = (Vec::new(), Vec::new());
        for fold in self.known.range(begin..) {
            if fold.offset == target {
                own = fold.left();
                if own != Left::default() {
                    delete.left.push((target, own));
                }
            } else if fold.into == target {
                delete.also.push(fold.offset);
                if fold.bonus.is_some_and(|bonus| bonus != own.bonus) {
                    delete.left.push((fold.offset, fold.left()));
                }
            }
        }
        target > self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::ShedClass;

    fn note(part_of: Option<Offset>, bonus: Option<u16>) -> Note {
        let mut note = Note::shown(ShedClass::Normal, false);
        (note.part_of, note.bonus) = (part_of, bonus);
        note
    }

    fn deleted(folds: &Folds, offset: Offset) -> (Vec<Offset>, Vec<(Offset, Left)>, bool) {
        let mut delete = Delete::new(offset);
        let is_whole = folds.complete(&mut delete);
        (delete.also, delete.left, is_whole)
    }

    #[test]
    fn a_deletion_names_all_merged_comments_and_their_bonuses() {
        let mut folds = Folds::default();
        let all =
            [(1, None, Some(2)), (2, None, None), (3, Some(1), Some(2)), (4, Some(1), Some(0)), (5, Some(1), None)];
        all.iter().for_each(|(offset, part_of, bonus)| folds.add(*offset, &note(*part_of, *bonus)));
        let left = |into, bonus| Left { into, bonus };
        let expected = vec![(1, left(None, 2)), (4, left(Some(1), 0))];
        assert_eq!(deleted(&folds, 1), (vec![3, 4, 5], expected, true));
        assert_eq!(deleted(&folds, 2), (vec![], vec![], true));
        assert_eq!(deleted(&folds, 3), (vec![], vec![(3, left(Some(1), 2))], true));
        let mut delete = Delete::new(1);
        folds.complete(&mut delete);
        let takes: Vec<_> = delete.takes().collect();
        let expected = [(1, left(None, 2)), (3, left(Some(1), 2)), (4, left(Some(1), 0)), (5, left(Some(1), 2))];
        assert_eq!(takes, expected);
    }

    #[test]
    fn folds_are_bounded_and_report_unknown_ones() {
        let mut folds = Folds::default();
        for offset in 2..FOLDS_MAX as u64 + 12 {
            folds.add(offset, &note(Some(1), None));
        }
        assert_eq!(folds.known.len(), FOLDS_MAX);
        let (also, _, is_whole) = deleted(&folds, 1);
        assert_eq!((also.len(), is_whole), (FOLDS_MAX, false));
        assert!(deleted(&folds, 12).2);
        folds.begin_after(20);
        assert!(!deleted(&folds, 20).2 && deleted(&folds, 21).2);
    }
}
