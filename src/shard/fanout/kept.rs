//! The guaranteed events of frames that a subscriber was not sent, for gap messages.
//!
//! A frame with guaranteed events carries them beside its bytes ([`EncodedFrame::kept`]). While the ring has the frame,
//! they are taken from there; when the frame leaves the ring, they are kept here, within bounds. No gap message has a
//! comment that was deleted since.
//!
//! Does not know: subscribers, sequence numbers, JSON.

use crate::limits::{KEPT_BYTES_MAX, KEPT_FRAMES_MAX};
use crate::protocol::encode;
use crate::protocol::frame::{EncodedFrame, Kept};
use crate::protocol::ids::Offset;
use crate::protocol::message::{Gap, GapReason, ServerMessage};
use crate::protocol::variant::Encoding;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;

/// The guaranteed events of frames that have left one ring.
#[derive(Debug, Default)]
pub struct GapContents {
    /// Of frames that have left the ring, oldest first.
    gone: VecDeque<Gone>,
    bytes: usize,
    /// The ends of frames in the ring whose guaranteed events show a comment that was deleted since.
    stale: Vec<Offset>,
    /// Gaps that begin before this offset may omit guaranteed events.
    lost_to: Offset,
}

#[derive(Debug)]
struct Gone {
    prev: Offset,
    last: Offset,
    kept: Kept,
}

impl GapContents {
    /// Keeps the guaranteed events of a frame that leaves the ring.
    pub fn keep(&mut self, frame: &EncodedFrame) {
        let Some(kept) = frame.kept() else { return };
        if let Some(at) = self.stale.iter().position(|last| *last == frame.last) {
            self.stale.swap_remove(at);
            return;
        }
        self.bytes += kept.len();
        self.gone.push_back(Gone { prev: frame.prev, last: frame.last, kept: kept.clone() });
        while self.gone.len() > KEPT_FRAMES_MAX || self.bytes > KEPT_BYTES_MAX {
            let Some(Gone { last, kept, .. }) = self.gone.pop_front() else { return };
            self.bytes -= kept.len();
            self.lost_to = self.lost_to.max(last);
        }
    }

    /// Removes deleted comments: no gap message shows them any more. `here` is the ring's frames.
    pub fn take_back(&mut self, comments: &[Offset], here: &VecDeque<Arc<EncodedFrame>>) {
        let Self { gone, bytes, stale, lost_to } = self;
        gone.retain(|frame| {
            let shows = frame.kept.shows(comments);
            if shows {
                (*bytes, *lost_to) = (*bytes - frame.kept.len(), (*lost_to).max(frame.last));
            }
            !shows
        });
        for frame in here {
            if frame.kept().is_some_and(|kept| kept.shows(comments)) && !stale.contains(&frame.last) {
                stale.push(frame.last);
                *lost_to = (*lost_to).max(frame.last);
            }
        }
    }

    /// Gap messages for the stretch after `from` up to `to`, each continuing the one before, with the guaranteed events
    /// of that stretch. Both offsets are ends of frames. `here` is the ring's frames.
    pub fn tell(&self, (from, to): (Offset, Offset), encoding: Encoding, here: &VecDeque<Arc<EncodedFrame>>) -> Bytes {
        let plain = |from, to| encode::message(&ServerMessage::Gap(Gap::new(from, to, GapReason::Slow)), encoding);
        let gone = self.gone.iter().map(|frame| (frame.prev, frame.last, &frame.kept));
        let here = here.iter().filter(|frame| !self.stale.contains(&frame.last));
        let here = here.filter_map(|frame| Some((frame.prev, frame.last, frame.kept()?)));
        let (mut all, mut at) = (BytesMut::new(), from);
        for (prev, last, kept) in gone.chain(here) {
            let bytes = kept.bytes(encoding);
            if prev >= from && last <= to && !bytes.is_empty() {
                if at < prev {
                    all.extend_from_slice(&plain(at, prev));
                }
                all.extend_from_slice(bytes);
                at = last;
            }
        }
        if at < to || all.is_empty() {
            all.extend_from_slice(&plain(at, to));
        }
        all.freeze()
    }

    /// Whether a gap that begins at `from` may omit guaranteed events: too many of them arrived, or they stood beside a
    /// deleted comment.
    pub fn lack(&self, from: Offset) -> bool {
        from < self.lost_to
    }
}

#[cfg(test)]
mod tests {
    use super::super::ring::Ring;
    use super::*;
    use crate::protocol::frame::RoomKey;

    /// A frame with `bytes` of guaranteed events and these comments.
    fn guaranteed(prev: Offset, last: Offset, bytes: usize, comments: &[Offset]) -> EncodedFrame {
        let mut frame = EncodedFrame::new(RoomKey(1), prev, last, 0);
        let kept = format!("<{prev}-{last}>{}", ".".repeat(bytes));
        frame.keep(Encoding::Json, Bytes::from(kept), comments);
        frame
    }

    fn plain(prev: Offset, last: Offset) -> EncodedFrame {
        EncodedFrame::new(RoomKey(1), prev, last, 0)
    }

    /// The gap messages of `ring`, without WebSocket headers: `from-to` of plain gaps, and the kept bytes.
    fn told(ring: &Ring, from: Offset, to: Offset) -> String {
        let (bytes, mut text) = (ring.gaps(from, to, Encoding::Json), String::new());
        let mut rest = &bytes[..];
        while let [first, tail @ ..] = rest {
            // A header is this byte and a length.
            let is_header = *first == 0x81;
            rest = if is_header { &tail[1..] } else { tail };
            text.extend((!is_header).then(|| char::from(*first)));
        }
        text.replace(r#"{"gap":{"from":"#, "(").replace(r#","to":"#, "-").replace(r#","reason":"slow"}}"#, ")")
    }

    #[test]
    fn a_gap_has_its_guaranteed_events_from_the_ring_and_from_before_it() {
        let mut ring = Ring::new(2);
        for n in 0..10 {
            ring.push(Arc::new(if n % 4 == 1 { guaranteed(n, n + 1, 0, &[]) } else { plain(n, n + 1) }));
        }
        assert_eq!(told(&ring, 0, 10), "(0-1)<1-2>(2-5)<5-6>(6-9)<9-10>", "the last is still in the ring");
        assert_eq!(told(&ring, 1, 6), "<1-2>(2-5)<5-6>");
        assert_eq!(told(&ring, 2, 5), "(2-5)");
        assert_eq!(told(&ring, 5, 9), "<5-6>(6-9)");
        assert!(!ring.lacks(0));
    }

    #[test]
    fn kept_events_are_bounded_and_the_oldest_go() {
        for (bytes, left) in [(10, KEPT_FRAMES_MAX as u64), (KEPT_BYTES_MAX / 4, 3)] {
            let mut gaps = GapContents::default();
            for n in 0..99 {
                gaps.keep(&guaranteed(n, n + 1, bytes, &[]));
            }
            assert_eq!((gaps.gone.len() as u64, gaps.lost_to), (left, 99 - left), "{bytes}");
            assert!(gaps.bytes <= KEPT_BYTES_MAX);
            assert!(gaps.lack(98 - left) && !gaps.lack(99 - left));
        }
    }

    #[test]
    fn a_gap_shows_all_but_deleted_comments() {
        let mut ring = Ring::new(3);
        // An announcement beside comments, and words of the host: each once in the ring and once kept.
        for (n, comments) in [(0, &[][..]), (10, &[14]), (20, &[]), (30, &[]), (40, &[]), (50, &[55])] {
            ring.push(Arc::new(guaranteed(n, n + 10, 0, comments)));
        }
        let mut redacting = guaranteed(60, 70, 0, &[]);
        redacting.redacts = vec![5, 35];
        ring.push(Arc::new(redacting));
        let all = "<0-10><10-20><20-30><30-40><40-50><50-60><60-70>";
        assert_eq!(told(&ring, 0, 70), all, "comments that nothing guaranteed");
        assert!(!ring.lacks(0));

        let mut redacting = plain(70, 80);
        redacting.redacts = vec![14, 55, 55];
        ring.push(Arc::new(redacting));
        let without = "<0-10>(10-20)<20-30><30-40><40-50>(50-60)<60-70>(70-80)";
        assert_eq!(told(&ring, 0, 80), without, "whether it was gone then");
        assert!(ring.lacks(0) && ring.lacks(59) && !ring.lacks(60), "which is counted");
        for n in (80..110).step_by(10) {
            ring.push(Arc::new(plain(n, n + 10)));
        }
        assert_eq!(told(&ring, 0, 110), without.replace("70-80", "70-110"), "or not");
    }

    #[test]
    fn stale_entries_are_bounded_by_the_ring() {
        let mut ring = VecDeque::from([Arc::new(guaranteed(0, 1, 5, &[1]))]);
        let mut gaps = GapContents::default();
        gaps.take_back(&[1], &ring);
        gaps.take_back(&[1], &ring);
        assert_eq!(gaps.stale, [1]);
        gaps.keep(&ring.pop_front().unwrap());
        assert_eq!((gaps.stale.len(), gaps.gone.len(), gaps.bytes, gaps.lost_to), (0, 0, 0, 1));
        gaps.keep(&guaranteed(1, 2, 5, &[2]));
        gaps.take_back(&[2], &ring);
        assert_eq!((gaps.gone.len(), gaps.bytes, gaps.lost_to), (0, 0, 2));
    }
}
