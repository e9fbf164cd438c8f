//! One process's record of one room: each distinct frame is parsed once, and each viewer costs one position.
//!
//! Does not know: sockets, clocks, what other processes saw.

use super::{AckedComment, Evidence, FrameFacts, Stretch};
use crate::clock::{CommentId, run_tag};
use crate::run::poster;
use std::collections::VecDeque;
use volley::protocol::frame::{Frame, ShedClass, ShownComment, What};
use volley::protocol::ids::Offset;
use volley::protocol::message::{Ack, Gap, Welcome};
use volley::protocol::variant::Rendition;

/// Distinct frames whose bytes are kept, to recognise them: 25 s of a 100 ms tick, so that the frames of a viewer that
/// catches up after 20 s are still recognised. About 256 × 1 KiB per room.
const KEPT_FRAMES: usize = 256;

/// One viewer's position in its room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewerPlace {
    /// Everything up to this offset was received, announced as a gap, or recorded as a hole.
    pub at: Offset,
    /// Index of the frame that it probably receives next, so that recognition usually is O(1).
    next: usize,
    /// The newest hole, which a late frame may fill.
    hole: Option<Stretch>,
    pub rendition: Rendition,
}

/// How a frame relates to a viewer's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// New to the viewer (in order, after a hole, late or overlapping).
    New,
    /// The viewer had all of it.
    Duplicate,
}

/// One room, as one process sees it.
#[derive(Debug, Default)]
pub struct Book {
    evidence: Evidence,
    run_tag: u16,
    kept: VecDeque<Vec<u8>>,
    /// The size of each frame on the wire as uncompressed JSON.
    json_bytes: Vec<u32>,
}

impl Book {
    /// An empty book. Comments of other runs than `run_tag` count as foreign.
    pub fn new(run_tag: u16) -> Self {
        Self { run_tag, ..Self::default() }
    }

    /// The evidence so far.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    pub fn into_evidence(self) -> Evidence {
        self.evidence
    }

    pub fn welcome(&mut self, welcome: &Welcome) -> ViewerPlace {
        let e = &mut self.evidence;
        if *e.epoch.get_or_insert(welcome.epoch.0) != welcome.epoch.0 {
            e.epoch_changes += 1;
        }
        let likes = welcome.snapshot.likes;
        e.likes_first = Some(e.likes_first.map_or(likes, |first| first.min(likes)));
        e.likes_last = e.likes_last.max(likes);
        *e.starts.entry(welcome.last).or_default() += 1;
        ViewerPlace { at: welcome.last, next: e.frames.len(), hole: None, rendition: Rendition::Viewer }
    }

    /// Finds a frame by its bytes: first the one that `place` expects, then the newest ones.
    pub fn recognise(&self, place: &ViewerPlace, payload: &[u8]) -> Option<usize> {
        let first = self.evidence.frames.len() - self.kept.len();
        if place.next.checked_sub(first).and_then(|i| self.kept.get(i)).is_some_and(|kept| kept == payload) {
            return Some(place.next);
        }
        self.kept.iter().rposition(|kept| kept == payload).map(|i| first + i)
    }

    /// Records a distinct frame that the viewer at `place` received, and returns its index. From now on it is
    /// recognised.
    pub fn record(&mut self, place: &ViewerPlace, payload: &[u8], frame: &Frame) -> usize {
        let mut facts = FrameFacts {
            prev: frame.prev,
            last: frame.last,
            digest: frame.digest.0,
            likes: frame.likes,
            shed: frame.shed.iter().filter(|(class, _)| is_of_comments(**class)).map(|(_, n)| n).sum(),
            rendition: place.rendition,
            is_malformed: frame.last < frame.prev,
            ..FrameFacts::default()
        };
        let mut before = frame.prev;
        for event in &frame.events {
            if let What::Raise(raise) = event.what {
                // It refers to an earlier comment, in this frame or before.
                facts.is_malformed |= event.offset > frame.last || raise.by == 0 || raise.times <= raise.by;
                facts.folded += raise.by;
                continue;
            }
            facts.is_malformed |= event.offset <= before || event.offset > frame.last;
            before = event.offset;
            let Some(ShownComment { comment, times, .. }) = event.as_comment() else {
                facts.posts.push(event.offset);
                let ours = poster::sent(&event.what).filter(|id| run_tag(id.number) == self.run_tag);
                facts.posted_ns.extend(ours.map(|id| id.sent_ns));
                continue;
            };
            facts.is_malformed |= *times == 0;
            facts.folded += times.saturating_sub(1);
            let id = comment.id.as_ref().and_then(|id| CommentId::parse(id.as_str()));
            let ours = id.filter(|id| run_tag(id.number) == self.run_tag);
            facts.events.push((event.offset, ours.map_or(0, |id| id.number)));
            facts.sent_ns.extend(ours.map(|id| id.sent_ns));
        }
        self.evidence.likes_last = self.evidence.likes_last.max(frame.likes);
        self.evidence.frames.push(facts);
        if self.kept.len() == KEPT_FRAMES {
            self.kept.pop_front();
        }
        self.kept.push_back(payload.to_vec());
        self.evidence.frames.len() - 1
    }

    /// Sets the size of the newest frame on the wire as uncompressed JSON.
    pub fn set_json_bytes(&mut self, bytes: usize) {
        self.json_bytes.resize(self.evidence.frames.len() - 1, 0);
        self.json_bytes.push(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// The size that was set for frame `index`.
    pub fn json_bytes(&self, index: usize) -> u64 {
        self.json_bytes.get(index).copied().unwrap_or(0).into()
    }

    /// Records that the viewer at `place` received frame `index`.
    pub fn take(&mut self, place: &mut ViewerPlace, index: usize) -> Met {
        let e = &mut self.evidence;
        let frame = &mut e.frames[index];
        place.next = index + 1;
        let comments = frame.events.len() as u64;
        if frame.prev == place.at {
            place.at = frame.last;
        } else if frame.prev > place.at {
            let hole = (place.at, frame.prev);
            *e.holes.entry(hole).or_default() += 1;
            e.order_violations += 1;
            place.hole = Some(hole);
            place.at = frame.last;
        } else if frame.last > place.at {
            // The frame overlaps the viewer's position: the new part counts, the old part is a duplicate.
            let old = frame.events.partition_point(|(offset, _)| *offset <= place.at) as u64;
            e.order_violations += 1;
            e.duplicates += old;
            e.delivered += comments - old;
            e.shed += frame.shed;
            e.folded += frame.folded;
            frame.receipts += 1;
            place.at = frame.last;
            return Met::New;
        } else if place.hole.is_some_and(|(from, to)| from <= frame.prev && frame.last <= to && frame.prev < frame.last)
        {
            let (from, to) = place.hole.unwrap_or_default();
            *e.late.entry((frame.prev, frame.last)).or_default() += 1;
            e.order_violations += 1;
            // The rest of the hole. It is exact if frames fill the hole from either end, and dropped if they fill its
            // middle.
            place.hole = match (frame.prev == from, frame.last == to) {
                (true, false) => Some((frame.last, to)),
                (false, true) => Some((from, frame.prev)),
                _ => None,
            };
        } else {
            e.duplicates += comments.max(1);
            e.order_violations += 1;
            return Met::Duplicate;
        }
        frame.receipts += 1;
        e.delivered += comments;
        e.shed += frame.shed;
        e.folded += frame.folded;
        Met::New
    }

    /// Records an announced gap.
    pub fn gap(&mut self, place: &mut ViewerPlace, gap: &Gap) {
        let e = &mut self.evidence;
        if gap.from != place.at || gap.to < gap.from {
            e.order_violations += 1;
        }
        if gap.from > place.at {
            *e.holes.entry((place.at, gap.from)).or_default() += 1;
        }
        let from = gap.from.max(place.at);
        if gap.to > from {
            *e.gaps.entry((from, gap.to)).or_default() += 1;
            place.at = gap.to;
        }
        place.next = e.frames.iter().rposition(|f| f.prev <= gap.to).map_or(0, |i| i + 1);
        // This guess is right for viewers that continue at the ring's end, and harmless for others.
    }

    /// Records a heartbeat, which has the room's position: a viewer behind it has lost frames.
    pub fn heartbeat(&mut self, place: &mut ViewerPlace, last: Offset) {
        if last > place.at {
            *self.evidence.holes.entry((place.at, last)).or_default() += 1;
            self.evidence.order_violations += 1;
            place.hole = Some((place.at, last));
            place.at = last;
        }
    }

    /// Records that a comment of this run is in the log.
    pub fn ack(&mut self, number: u64, ack: &Ack) {
        self.evidence.acks.push(AckedComment { number, offset: ack.offset, outcome: ack.outcome, into: ack.into });
    }

    pub fn leave(&mut self, place: &ViewerPlace, lost: bool) {
        let ends = if lost { &mut self.evidence.ends_lost } else { &mut self.evidence.ends_live };
        *ends.entry(place.at).or_default() += 1;
    }

    pub fn set_unsettled(&mut self, unsettled: u64) {
        self.evidence.unsettled = unsettled;
    }
}

/// Whether the class counts comments; the others count kinds of posts.
fn is_of_comments(class: ShedClass) -> bool {
    matches!(class, ShedClass::Normal | ShedClass::Low)
}
