//! The verdict: what all processes saw of a room, held against what must have been seen.
//!
//! Does not know: how the evidence was gathered or what a caller makes of the verdict.
//!
//! The truth about a room is the union of the acknowledgements and of the comments in all distinct
//! frames. Each viewer must have received, per comment of its stretch, one of: the comment, a count in `times`, `by` or
//! `shed`, or a gap. A viewer's stretch is a chain of frames, so it is enough to check each distinct frame
//! once, weighed by its receipts, and each break of a chain, weighed by the viewers that had it. Only a frame of the viewers'
//! rendition says what was shown: a lighter one leaves out more, the full one shows all.

use super::{Evidence, FrameFacts, Stretch};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use volley::protocol::encode::Rendition;
use volley::protocol::ids::Offset;
use volley::protocol::message::Outcome;

/// What is true of a room, or of all rooms together. Counts of comments count each viewer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerVerdict {
    /// Comments in the stretches of all viewers.
    pub expected: u64,
    /// Received, once each.
    pub delivered: u64,
    /// Left out and counted by frames.
    pub shed: u64,
    /// Folded into an equal comment and counted there.
    pub merged: u64,
    /// Not sent and announced.
    pub gap_announced: u64,
    /// None of these: lost without a word.
    pub missing: u64,
    /// Received again.
    pub duplicates: u64,
    /// Messages that did not continue a viewer's position.
    pub order_violations: u64,
    /// Viewers with another digest than the most at the same position.
    pub digest_conflicts: u64,
    /// Frames (times receipts) with events outside of their stretch or not ascending.
    pub malformed_frames: u64,
    /// Offsets or ids that two sources name differently: acks against frames, frames against frames.
    pub contradictions: u64,
    /// Frames whose likes total is lower than an earlier one's.
    pub likes_fell: u64,
    /// Frames (times receipts) that count more as shed or folded than there was, although every comment of the
    /// room is known.
    pub shed_overstated: u64,
    /// Our guaranteed events in the stretches of all viewers.
    pub posts_expected: u64,
    /// Of them, those that the frame of their place did not hold.
    pub posts_missing: u64,
    /// `expected` less everything above that accounts for it; anything but 0 means that this ledger
    /// and the server disagree in a way that no other line names.
    pub unaccounted: i64,
    /// Gaps announced (messages, not comments).
    pub gaps: u64,
    /// Breaks of a chain that nobody announced.
    pub holes: u64,
    pub frames_distinct: u64,
    /// Comments of others in the rooms.
    pub foreign: u64,
    /// Comments without an answer.
    pub unsettled: u64,
    /// Welcomes with another epoch than the first.
    pub epoch_changes: u64,
    /// Likes gained while we watched.
    pub likes_gained: u64,
}

impl LedgerVerdict {
    /// Adds another room's.
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

    /// Everything that must not happen, by name, where it did.
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

/// How many of them are at `limit` or before it.
fn below(offsets: &[Offset], limit: Offset) -> usize {
    offsets.partition_point(|offset| *offset <= limit)
}

fn count(offsets: &[Offset], (after, up_to): Stretch) -> u64 {
    below(offsets, up_to).saturating_sub(below(offsets, after)) as u64
}

fn weighed(offsets: &[Offset], stretches: &BTreeMap<Stretch, u64>) -> u64 {
    stretches.iter().map(|(stretch, viewers)| count(offsets, *stretch) * viewers).sum()
}

/// Judges one room by the evidence of all processes, and by where guaranteed events were posted. Every viewer was waited for until
/// it had all up to `target`, and to what is acknowledged; of what others say after that, some have a frame more than others.
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
    // Another process's epoch is another epoch too.
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
        // A hole is missing, less what came into it after all.
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
    // Of others' comments, and of ours without an answer, nobody knows which were shed.
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

/// Every comment that must have been seen in the room, in order.
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
        // Frames of one node do not overlap, so the last one that begins before the offset decides.
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
        // It was folded into an earlier one that the viewers saw, if they saw anything of that time.
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
