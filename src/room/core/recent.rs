//! The newest shown comments, for the snapshot of a newcomer.

use crate::limits::HISTORY_BYTES_MAX;
use crate::protocol::frame::{FrameEvent, Raise, ShownComment, What};
use crate::protocol::ids::Offset;
use std::collections::VecDeque;

/// Bounded by number and by bytes; the oldest is removed first.
#[derive(Debug)]
pub(super) struct Recent {
    events_max: usize,
    events: VecDeque<(usize, FrameEvent)>,
    bytes: usize,
    /// Offsets of the newest events that are no comments.
    others: VecDeque<Offset>,
}

/// For [`Recent::has_other`]: as many events as a client may still have on its screen.
const OTHERS_MAX: usize = 200;

impl Recent {
    pub(super) fn new(events_max: usize) -> Self {
        Self { events_max, events: VecDeque::new(), bytes: 0, others: VecDeque::new() }
    }

    /// Takes the comments out of a frame's events, and applies its raises; takes only comments that fit the bounds.
    pub(super) fn extend(&mut self, events: &mut Vec<FrameEvent>) {
        let comments = events.iter().filter(|event| event.as_comment().is_some()).count();
        let mut too_many = comments.saturating_sub(self.events_max);
        for event in events.drain(..) {
            let bytes = match &event.what {
                What::Comment(_) if too_many > 0 => {
                    too_many -= 1;
                    continue;
                }
                What::Comment(shown) => encoded_bytes(shown),
                What::Raise(raise) => {
                    self.raise(raise);
                    continue;
                }
                // The board has everything that a newcomer needs of other events.
                What::Kind(_) | What::Unknown => {
                    if self.others.len() >= OTHERS_MAX {
                        self.others.pop_front();
                    }
                    self.others.push_back(event.offset);
                    continue;
                }
            };
            self.events.push_back((bytes, event));
            self.bytes += bytes;
            while self.events.len() > self.events_max || self.bytes > HISTORY_BYTES_MAX {
                let Some((bytes, _)) = self.events.pop_front() else { break };
                self.bytes -= bytes;
            }
        }
    }

    /// Whether a recent event at `offset` is no comment.
    pub(super) fn has_other(&self, offset: Offset) -> bool {
        self.others.binary_search(&offset).is_ok()
    }

    fn raise(&mut self, raise: &Raise) {
        if let Some(place) = self.place(raise.offset)
            && let What::Comment(shown) = &mut self.events[place].1.what
        {
            shown.times = raise.times;
        }
    }

    /// Forgets a comment, because it is deleted.
    pub(super) fn remove(&mut self, offset: Offset) {
        if let Some((bytes, _)) = self.place(offset).and_then(|place| self.events.remove(place)) {
            self.bytes -= bytes;
        }
    }

    fn place(&self, offset: Offset) -> Option<usize> {
        self.events.binary_search_by_key(&offset, |(_, event)| event.offset).ok()
    }

    /// The number of newest comments within `events_max` and about `bytes_max`.
    pub(super) fn count(&self, events_max: usize, bytes_max: usize) -> usize {
        let mut bytes = 0;
        let fits = |(size, _): &&(usize, FrameEvent)| {
            bytes += size;
            bytes <= bytes_max
        };
        self.events.iter().rev().take(events_max).take_while(fits).count()
    }

    /// The newest `count`, oldest first.
    pub(super) fn newest(&self, count: usize) -> Vec<FrameEvent> {
        let begin = self.events.len().saturating_sub(count);
        self.events.range(begin..).map(|(_, event)| event.clone()).collect()
    }
}

/// The approximate size of a comment's event in JSON: its strings, and about 90 bytes for names and numbers.
pub(in crate::room) fn encoded_bytes(shown: &ShownComment) -> usize {
    let ShownComment { comment, names, .. } = shown;
    let ext = comment.ext.as_ref().map_or(0, |ext| serde_json::to_vec(&**ext).map_or(0, |json| json.len()));
    let id = comment.id.as_ref().map_or(0, |id| id.as_str().len());
    let names: usize = names.iter().map(|name| name.len() + 4).sum();
    96 + comment.user.id.len() + comment.user.name.len() + comment.text.len() + id + ext + names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SNAPSHOT_BYTES_MAX;
    use crate::room::tests::shown;

    fn offsets(recent: &Recent, count: usize) -> Vec<u64> {
        recent.newest(count).iter().map(|event| event.offset).collect()
    }

    #[test]
    fn keeps_the_newest_and_forgets_the_oldest() {
        let mut recent = Recent::new(3);
        recent.extend(&mut (1..=2).map(|o| shown(o, "x")).collect());
        recent.extend(&mut (3..=9).map(|o| shown(o, "x")).collect());
        assert_eq!(offsets(&recent, 99), [7, 8, 9]);
        assert_eq!(offsets(&recent, 2), [8, 9]);
        assert_eq!(recent.count(99, usize::MAX), 3);
        assert_eq!(recent.count(2, usize::MAX), 2);
    }

    #[test]
    fn long_texts_are_bounded_by_bytes() {
        let mut recent = Recent::new(100);
        let long = "长".repeat(512);
        for offset in 1..=100 {
            recent.extend(&mut vec![shown(offset, &long)]);
        }
        for bytes_max in [SNAPSHOT_BYTES_MAX, HISTORY_BYTES_MAX] {
            let kept = recent.newest(recent.count(100, bytes_max));
            let json = serde_json::to_vec(&kept).unwrap().len();
            assert!(json <= bytes_max + bytes_max / 8, "{json} bytes");
            assert!(kept.len() >= bytes_max / 2_048, "only {} events of about 1.6 KiB", kept.len());
            assert_eq!(kept.last().unwrap().offset, 100);
        }
        assert_eq!(recent.count(100, usize::MAX), recent.count(100, HISTORY_BYTES_MAX), "no more are kept");
    }

    #[test]
    fn none_are_kept_when_none_are_asked_for() {
        let mut recent = Recent::new(0);
        recent.extend(&mut vec![shown(1, "x")]);
        assert!(recent.newest(9).is_empty());
    }
}
