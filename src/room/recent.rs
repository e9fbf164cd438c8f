//! The newest shown events: what a newcomer sees at once.

use crate::limits::SNAPSHOT_BYTES_MAX;
use crate::protocol::frame::FrameEvent;
use std::collections::VecDeque;

/// Bounded by number and by bytes; the oldest goes first.
#[derive(Debug)]
pub(super) struct Recent {
    events_max: usize,
    events: VecDeque<(usize, FrameEvent)>,
    bytes: usize,
}

impl Recent {
    pub(super) fn new(events_max: usize) -> Self {
        Self { events_max, events: VecDeque::new(), bytes: 0 }
    }

    /// Takes a frame's events, oldest first; looks only at those that can stay.
    pub(super) fn extend(&mut self, events: &[FrameEvent]) {
        for event in &events[events.len().saturating_sub(self.events_max)..] {
            let bytes = encoded_bytes(event);
            self.events.push_back((bytes, event.clone()));
            self.bytes += bytes;
            while self.events.len() > self.events_max || self.bytes > SNAPSHOT_BYTES_MAX {
                let Some((bytes, _)) = self.events.pop_front() else { break };
                self.bytes -= bytes;
            }
        }
    }

    /// Oldest first.
    pub(super) fn to_vec(&self) -> Vec<FrameEvent> {
        self.events.iter().map(|(_, event)| event.clone()).collect()
    }
}

/// About what an event takes in JSON: its strings, and the names and numbers around them (a typical
/// comment has 90 bytes of those).
pub(super) fn encoded_bytes(event: &FrameEvent) -> usize {
    let Some(comment) = &event.comment else { return 16 };
    let ext = comment.ext.as_ref().map_or(0, |ext| serde_json::to_vec(&**ext).map_or(0, |json| json.len()));
    let id = comment.id.as_ref().map_or(0, |id| id.as_str().len());
    96 + comment.user.id.len() + comment.user.name.len() + comment.text.len() + id + ext
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::tests::shown;

    #[test]
    fn keeps_the_newest_and_forgets_the_oldest() {
        let mut recent = Recent::new(3);
        recent.extend(&(1..=2).map(|o| shown(o, "x")).collect::<Vec<_>>());
        recent.extend(&(3..=9).map(|o| shown(o, "x")).collect::<Vec<_>>());
        assert_eq!(recent.to_vec().iter().map(|e| e.offset).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn long_texts_are_bounded_by_bytes() {
        let mut recent = Recent::new(100);
        let long = "长".repeat(512);
        for offset in 1..=100 {
            recent.extend(&[shown(offset, &long)]);
        }
        let kept = recent.to_vec();
        let json = serde_json::to_vec(&kept).unwrap().len();
        assert!(json <= SNAPSHOT_BYTES_MAX + SNAPSHOT_BYTES_MAX / 8, "{json} bytes");
        assert!(kept.len() >= 8, "only {} events of about 1.6 KiB", kept.len());
        assert_eq!(kept.last().unwrap().offset, 100);
    }

    #[test]
    fn none_are_kept_when_none_are_asked_for() {
        let mut recent = Recent::new(0);
        recent.extend(&[shown(1, "x")]);
        assert!(recent.to_vec().is_empty());
    }
}
