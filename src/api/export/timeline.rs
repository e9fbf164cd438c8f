//! When a comment stands in the show: its position in the media if its author's player said it, else the time
//! since the first comment of the export.

use crate::log::Record;
use crate::protocol::event::{Comment, Event};

#[derive(Default)]
pub(super) struct Timeline {
    /// Wall clock of the first comment.
    began_ms: Option<u64>,
}

impl Timeline {
    /// The record's comment and its time in milliseconds; `None` for other events and for a comment that was deleted, whose
    /// time still counts: the others stay where they are.
    pub(super) fn place<'r>(&mut self, record: &'r Record) -> Option<(&'r Comment, u64)> {
        match &record.event {
            Event::Comment(comment) => {
                let began_ms = *self.began_ms.get_or_insert(record.at_ms);
                (!comment.deleted).then(|| (comment, comment.media_ms.unwrap_or(record.at_ms.saturating_sub(began_ms))))
            }
            Event::Likes { .. } | Event::Votes(_) | Event::Post(_) => None,
        }
    }
}
