//! The verdict: compares what all processes saw of a room with what they must have seen.
//!
//! Does not know: how the evidence was gathered, what a caller does with the verdict.
//!
//! The truth about a room is the union of the acknowledgements and of the comments in all distinct frames. For each
//! comment of its stretch, a viewer must have received the comment, a count in `times`, `by` or `shed`, or a gap. A
//! viewer's stretch is a chain of frames. So it is enough to check each distinct frame once, weighted by its receipts,
//! and each break of a chain, weighted by its viewers. Only frames of the rendition `viewer` decide what was shown,
//! because `lite` leaves out more and `full` shows all.

use super::{Evidence, FrameFacts, Stretch};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use volley::protocol::frame::Outcome;
use volley::protocol::ids::Offset;
use volley::protocol::variant::Rendition;

/// The result for a room, or for all rooms together. A comment counts once for each viewer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerVerdict {
    /// Comments in the stretches of all viewers.
    pub expected: u64,
    pub delivered: u64,
    /// Comments that were left out and counted by frames.
    pub shed: u64,
    /// Comments that were merged into an equal one and counted there.
    pub merged: u64,
    pub gap_announced: u64,
    /// Comments that are none of these: lost without an announcement.
    pub missing: u64,
    pub duplicates: u64,
    /// Messages that did not continue a viewer's position.
    pub order_violations: u64,
    /// Viewers whose digest differs from the majority's at the same position.
    pub digest_conflicts: u64,
    /// Frames (times receipts) with events outside their stretch or out of order.
    pub malformed_frames: u64,
    /// Offsets or ids on which two sources disagree: acks and frames, or two frames.
    pub contradictions: u64,
    /// Frames whose total of likes is lower than an earlier one.
    pub likes_fell: u64,
    /// Frames (times receipts) that count more shed or merged comments than exist, although every comment of the room
    /// is known.
    pub shed_overstated: u64,
    /// This run's guaranteed events in the stretches of all viewers.
    pub posts_expected: u64,
    /// How many of these were missing from the frame of their offset.
    pub posts_missing: u64,
    /// `expected` minus everything above that accounts for it. If it is not 0, this ledger and the server disagree in a
    /// way that no other line reports.
    pub unaccounted: i64,
    /// Gaps announced (messages, not comments).
    pub gaps: u64,
    /// Breaks of a chain that were not announced.
    pub holes: u64,
    pub frames_distinct: u64,
    /// Comments of other clients in the rooms.
    pub foreign: u64,
    pub unsettled: u64,
    /// Welcomes with a different epoch than the first.
    pub epoch_changes: u64,
    /// Growth of the rooms' totals of likes during the run.
    pub likes_gained: u64,
}

impl LedgerVerdict {
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.shed += other.shed;
        self.merged += other.merged;
        self.gap_announced += other.gap_announced;
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.order_violations += other.order_violations;
        self.digest_conflicts += other.digest_conflicts;
        self.malformed_frames += other.malformed_frames;
        self.contradictions += other.contradictions;
        self.likes_fell += other.likes_fell;
        self.shed_overstated += other.shed_overstated;
        self.posts_expected += other.posts_expected;
        self.posts_missing += other.posts_missing;
        self.unaccounted += other.unaccounted;
        self.gaps += other.gaps;
        self.holes += other.holes;
        self.frames_distinct += other.frames_distinct;
        self.foreign += other.foreign;
        self.unsettled += other.unsettled;
        self.epoch_changes += other.epoch_changes;
        self.likes_gained += other.likes_gained;
    }

    /// The name and count of everything that must not happen but did.
    pub fn violations(&self) -> Vec<(&'static str, u64)> {
        let all = [
            ("missing", self.missing),
            ("duplicates", self.duplicates),
            ("order violations", self.order_violations),
            ("digest conflicts", self.digest_conflicts),
            ("malformed frames", self.malformed_frames),
            ("contradictions", self.contradictions),
            ("likes fell", self.likes_fell),
            ("shed or merged overstated", self.shed_overstated),
            ("guaranteed events missing", self.posts_missing),
            ("unaccounted", self.unaccounted.unsigned_abs()),
            ("holes", self.holes),
            ("epoch changes", self.epoch_changes),
        ];
        all.into_iter().filter(|(_, n)| *n > 0).collect()
    }
}

/// The number of offsets up to `limit`.
fn below(offsets: &[Offset], limit: Offset) -> usize {
    offsets.partition_point(|offset| *offset <= limit)
}

fn count(offsets: &[Offset], (after, up_to): Stretch) -> u64 {
    below(offsets, up_to).saturating_sub(below(offsets, after)) as u64
}

fn weighed(offsets: &[Offset], stretches: &BTreeMap<Stretch, u64>) -> u64 {
    stretches.iter().map(|(stretch, viewers)| count(offsets, *stretch) * viewers).sum()
}

/// Judges one room by the evidence of all processes and the offsets of guaranteed events. The run waited until every
/// viewer had everything up to `target` and all acknowledged comments. Of later comments of other clients, some viewers
/// may have a frame more than others.
pub fn judge(evidence: &[Evidence], posted: &[Offset], target: Offset) -> LedgerVerdict {
    let mut v = LedgerVerdict::default();
    let frames: Vec<&FrameFacts> = evidence.iter().flat_map(|e| &e.frames).collect();
    for e in evidence {
        v.delivered += e.delivered;
        v.shed += e.shed;
        v.merged += e.folded;
        v.duplicates += e.duplicates;
        v.order_violations += e.order_violations;
        v.unsettled += e.unsettled;
        v.epoch_changes += e.epoch_changes;
        v.gaps += e.gaps.values().sum::<u64>();
        v.holes += e.holes.values().sum::<u64>();
    }
    // A process that saw a different epoch counts as a change too.
    v.epoch_changes += evidence.iter().filter_map(|e| e.epoch).collect::<BTreeSet<_>>().len().saturating_sub(1) as u64;
    v.likes_gained = likes_gained(evidence);
    v.frames_distinct = frames.iter().map(|f| (f.prev, f.last, f.digest)).collect::<BTreeSet<_>>().len() as u64;
    v.malformed_frames = frames.iter().filter(|f| f.is_malformed).map(|f| f.receipts.max(1)).sum();
    v.digest_conflicts = digest_conflicts(&frames);
    v.likes_fell = likes_fell(&frames);

    let all = truth(evidence, &frames, &mut v);
    let acknowledged = evidence.iter().flat_map(|e| &e.acks).map(|ack| ack.offset).max();
    let target = target.max(acknowledged.unwrap_or(0));
    for e in evidence {
        v.gap_announced += weighed(&all, &e.gaps);
        // A hole is missing, except for the part that late frames filled.
        v.missing += weighed(&all, &e.holes).saturating_sub(weighed(&all, &e.late));
        for (at, viewers) in &e.ends_live {
            v.missing += count(&all, (*at, target)) * viewers;
            v.expected += count(&all, (0, target.max(*at))) * viewers;
        }
        for (at, viewers) in &e.ends_lost {
            v.expected += count(&all, (0, *at)) * viewers;
        }
        for (at, viewers) in &e.starts {
            v.expected = v.expected.saturating_sub(count(&all, (0, *at)) * viewers);
        }
    }
    let mut posted = posted.to_vec();
    posted.sort_unstable();
    posted.dedup();
    let mut overstated = 0;
    for frame in &frames {
        let stretch = (frame.prev, frame.last);
        let accounted = frame.events.len() as u64 + frame.shed + frame.folded;
        let there = count(&all, stretch);
        let ours = &posted[below(&posted, frame.prev)..below(&posted, frame.last).max(below(&posted, frame.prev))];
        v.posts_expected += ours.len() as u64 * frame.receipts;
        let missing = ours.iter().filter(|offset| frame.posts.binary_search(offset).is_err()).count();
        v.posts_missing += missing as u64 * frame.receipts;
        v.missing += there.saturating_sub(accounted) * frame.receipts;
        overstated += accounted.saturating_sub(there) * frame.receipts;
    }
    let sum = v.delivered + v.shed + v.merged + v.gap_announced + v.missing;
    // It is unknown which comments of other clients, or comments without an answer, were shed.
    if v.foreign == 0 && v.unsettled == 0 {
        v.shed_overstated = overstated;
    }
    v.unaccounted = signed(v.expected) + signed(overstated) - signed(sum);
    v
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn likes_gained(evidence: &[Evidence]) -> u64 {
    let first = evidence.iter().filter_map(|e| e.likes_first).min().unwrap_or(0);
    evidence.iter().map(|e| e.likes_last).max().unwrap_or(0).saturating_sub(first)
}

/// Viewers whose digest differs from the majority's at the same position.
fn digest_conflicts(frames: &[&FrameFacts]) -> u64 {
    let mut by_last: HashMap<Offset, BTreeMap<u64, u64>> = HashMap::new();
    for frame in frames {
        *by_last.entry(frame.last).or_default().entry(frame.digest).or_default() += frame.receipts.max(1);
    }
    let minority = |digests: &BTreeMap<u64, u64>| digests.values().sum::<u64>() - digests.values().max().unwrap_or(&0);
    by_last.values().map(minority).sum()
}

fn likes_fell(frames: &[&FrameFacts]) -> u64 {
    let mut totals: Vec<_> = frames.iter().map(|f| (f.last, f.likes)).collect();
    totals.sort_unstable();
    totals.dedup();
    let mut highest = 0;
    let mut fell = 0;
    for (_, likes) in totals {
        fell += u64::from(likes < highest);
        highest = highest.max(likes);
    }
    fell
}

/// Every comment that viewers must have seen in the room, in order.
fn truth(evidence: &[Evidence], frames: &[&FrameFacts], v: &mut LedgerVerdict) -> Vec<Offset> {
    let shown = |frames: &mut dyn Iterator<Item = &&FrameFacts>| {
        let mut shown: Vec<(Offset, u64)> = frames.flat_map(|f| f.events.iter().copied()).collect();
        shown.sort_unstable();
        shown.dedup();
        shown
    };
    let seen = shown(&mut frames.iter());
    v.foreign = seen.iter().filter(|(_, number)| *number == 0).count() as u64;
    // Two comments at one offset, or one comment at two.
    v.contradictions += seen.windows(2).filter(|w| w[0].0 == w[1].0).count() as u64;
    let mut numbers: Vec<u64> = seen.iter().map(|(_, number)| *number).filter(|n| *n != 0).collect();
    numbers.sort_unstable();
    v.contradictions += numbers.windows(2).filter(|w| w[0] == w[1]).count() as u64;

    let viewers = |frame: &&&FrameFacts| frame.rendition == Rendition::Viewer;
    let shown = shown(&mut frames.iter().filter(viewers));
    let mut covered: Vec<Stretch> = frames.iter().filter(viewers).map(|f| (f.prev, f.last)).collect();
    covered.sort_unstable();
    let in_a_frame = |offset: Offset| {
        // Frames of one node do not overlap, so the last frame that begins before the offset decides.
        let i = covered.partition_point(|(prev, _)| *prev < offset);
        i > 0 && covered[i - 1].1 >= offset
    };
    let mut all: Vec<Offset> = seen.iter().map(|(offset, _)| *offset).collect();
    for ack in evidence.iter().flat_map(|e| &e.acks) {
        let there = shown.binary_search_by_key(&ack.offset, |(offset, _)| *offset).ok();
        v.contradictions += match (ack.outcome, there) {
            (Outcome::Shown, Some(i)) => u64::from(shown[i].1 != ack.number),
            (Outcome::Shown, None) => u64::from(in_a_frame(ack.offset)),
            (Outcome::Shed | Outcome::Merged, there) => u64::from(there.is_some()),
        };
        // It was merged into an earlier comment. Viewers saw that one if they saw anything of that time.
        if let Some(into) = ack.into {
            let is_there = shown.binary_search_by_key(&into, |(offset, _)| *offset).is_ok();
            v.contradictions += u64::from(into >= ack.offset || (!is_there && in_a_frame(into)));
        }
        all.push(ack.offset);
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests;
