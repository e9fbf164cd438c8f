//! The rules by which a subscriber moves between renditions, without a socket.
//!
//! A subscriber that does not keep up slides to the lite rendition, and climbs back after it has kept up for a while.
//! Each slide soon after a climb doubles that while, so that a link on the edge does not flap. A subscriber that asked
//! for its rendition is not moved.

use crate::limits::{FLAP_MS, KEPT_UP_MS, KEPT_UP_MS_MAX, LITE_AFTER_MS};
use crate::protocol::message::RenditionReason;
use crate::protocol::variant::{Rendition, Variant};

/// A change of variant that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Turning {
    pub to: Variant,
    pub reason: RenditionReason,
    /// Whether every later frame has bytes of `to`.
    pub is_ready: bool,
}

/// The history of a connection that lagged, slid or asked. Other connections have none.
#[derive(Debug, Default)]
pub(in crate::shard) struct ConnPace {
    pub turning: Option<Turning>,
    /// Asked for while it could not be served; only the newest request counts.
    pub asked: Option<Rendition>,
    /// Whether it is on lite for being slow.
    slid: bool,
    /// Whether frames are encoded in lite because it may need them soon.
    stands_by: bool,
    over_since_us: Option<u64>,
    kept_since_us: u64,
    /// How long it must keep up before it climbs.
    wait_us: u64,
    climbed_us: Option<u64>,
    /// For a connection that slid: the bytes that the kernel held at the last look, and since when they have not become
    /// fewer.
    held: usize,
    held_since_us: u64,
}

/// The action that follows from a look at a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum PaceVerdict {
    Stay,
    /// Begin or end encoding frames in lite, in case it slides: it then need not be sent its whole lag first.
    StandBy(bool),
    Turn(Rendition, RenditionReason),
}

impl ConnPace {
    /// Judges a subscriber of `rendition` that is `lag` frames behind. More than `limit` frames for some time is too
    /// slow.
    pub(in crate::shard) fn judge(
        &mut self,
        now_us: u64,
        rendition: Rendition,
        lag: usize,
        limit: usize,
    ) -> PaceVerdict {
        self.saw_lag(now_us, lag);
        if self.turning.is_some() {
            return PaceVerdict::Stay;
        }
        match rendition {
            Rendition::Viewer => {
                let since_us = if lag > limit { *self.over_since_us.get_or_insert(now_us) } else { now_us };
                if lag <= limit {
                    self.over_since_us = None;
                } else if now_us - since_us >= LITE_AFTER_MS * 1_000 {
                    return PaceVerdict::Turn(Rendition::Lite, RenditionReason::Slow);
                }
                let may_slide = lag > limit / 2;
                if std::mem::replace(&mut self.stands_by, may_slide) == may_slide {
                    PaceVerdict::Stay
                } else {
                    PaceVerdict::StandBy(may_slide)
                }
            }
            Rendition::Lite if self.slid && now_us.saturating_sub(self.kept_since_us) >= self.wait_us => {
                PaceVerdict::Turn(Rendition::Viewer, RenditionReason::KeptUp)
            }
            _ => PaceVerdict::Stay,
        }
    }

    /// How long, in microseconds, a connection that slid has taken none of the `held` bytes in its kernel buffer.
    pub(in crate::shard) fn stalls_for(&mut self, now_us: u64, held: usize) -> u64 {
        let before = std::mem::replace(&mut self.held, held);
        if !self.slid || held == 0 || held < before {
            self.held_since_us = now_us;
        }
        now_us - self.held_since_us
    }

    /// Notes that it is, or was just now, `lag` frames behind. One frame is no lag.
    pub(in crate::shard) fn saw_lag(&mut self, now_us: u64, lag: usize) {
        if lag > 1 {
            self.kept_since_us = now_us;
        }
    }

    /// It reads a different rendition from now on.
    pub(in crate::shard) fn turned(&mut self, now_us: u64, turning: Turning) {
        let was_slid = std::mem::replace(&mut self.slid, turning.reason == RenditionReason::Slow);
        (self.turning, self.stands_by, self.over_since_us) = (None, false, None);
        if self.slid {
            let flaps = self.climbed_us.is_some_and(|climbed_us| now_us - climbed_us < FLAP_MS * 1_000);
            let (least, most) = (KEPT_UP_MS * 1_000, KEPT_UP_MS_MAX * 1_000);
            self.wait_us = if flaps { (self.wait_us * 2).clamp(least, most) } else { least };
            self.kept_since_us = now_us;
        } else if was_slid {
            self.climbed_us = Some(now_us);
        }
    }

    /// It asked for the rendition that it reads already: from now on it reads that one by its own choice.
    pub(in crate::shard) fn chose(&mut self) {
        self.slid = false;
    }

    /// Whether this differs from the state of a connection that never lagged.
    pub(in crate::shard) fn is_to_be_kept(&self) -> bool {
        self.slid || self.stands_by || self.turning.is_some() || self.asked.is_some() || self.climbed_us.is_some()
    }

    pub(in crate::shard) fn is_standing_by(&self) -> bool {
        self.stands_by
    }

    pub(in crate::shard) fn is_slid(&self) -> bool {
        self.slid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10;

    /// A subscriber that is looked at four times a second.
    #[derive(Default)]
    struct Rig {
        pace: ConnPace,
        now_us: u64,
        rendition: Rendition,
        /// Millisecond and new rendition of each change.
        changes: Vec<(u64, Rendition)>,
    }

    impl Rig {
        /// Passes `ms`, in which the subscriber of each rendition has the lag of `lag`.
        fn pass(&mut self, ms: u64, lag: impl Fn(Rendition) -> usize) {
            for _ in 0..ms / 250 {
                self.now_us += 250_000;
                let verdict = self.pace.judge(self.now_us, self.rendition, lag(self.rendition), LIMIT);
                if let PaceVerdict::Turn(to, reason) = verdict {
                    let turning = Turning { to: Variant::default().with(to), reason, is_ready: true };
                    self.pace.turned(self.now_us, turning);
                    self.rendition = to;
                    self.changes.push((self.now_us / 1_000, to));
                }
            }
        }
    }

    #[test]
    fn a_short_lag_changes_nothing_and_a_long_one_slides_once() {
        let mut rig = Rig::default();
        for _ in 0..20 {
            rig.pass(500, |_| LIMIT + 1);
            rig.pass(250, |_| LIMIT);
        }
        assert_eq!(rig.changes, [], "never above the limit for half a second");
        rig.pass(60_000, |_| LIMIT + 1);
        assert_eq!(rig.changes.len(), 1);
        assert_eq!(rig.rendition, Rendition::Lite);
    }

    #[test]
    fn ten_seconds_without_lag_climb_and_a_lag_restarts_them() {
        let mut rig = Rig::default();
        rig.pass(1_000, |_| 64);
        rig.pass(9_000, |_| 1);
        rig.pass(250, |_| 2);
        rig.pass(9_750, |_| 0);
        assert_eq!(rig.changes.len(), 1);
        rig.pass(250, |_| 0);
        assert_eq!(rig.changes.last(), Some(&(20_250, Rendition::Viewer)));
    }

    #[test]
    fn a_link_too_slow_for_the_viewers_rendition_is_tried_ever_more_rarely() {
        let mut rig = Rig::default();
        rig.pass(600_000, |rendition| if rendition == Rendition::Viewer { 64 } else { 0 });
        let climbs: Vec<u64> =
            rig.changes.iter().filter(|(_, to)| *to == Rendition::Viewer).map(|(ms, _)| *ms).collect();
        let waits: Vec<u64> = climbs.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(climbs[0], 10_750);
        assert_eq!(waits[..2], [20_750, 25_750]);
        assert!(waits[2..].iter().all(|wait| *wait == 25_750), "{waits:?}");
    }

    #[test]
    fn a_slide_long_after_a_climb_is_a_new_one() {
        let mut rig = Rig::default();
        for _ in 0..3 {
            rig.pass(2_000, |_| 64);
            rig.pass(10_250, |_| 0);
            assert_eq!(rig.rendition, Rendition::Viewer);
            rig.pass(60_000, |_| 0);
        }
        assert_eq!(rig.changes.len(), 6);
    }

    #[test]
    fn a_subscriber_that_asked_is_never_moved() {
        let mut rig = Rig { rendition: Rendition::Full, ..Rig::default() };
        rig.pass(60_000, |_| 64);
        rig.rendition = Rendition::Lite;
        rig.pass(60_000, |_| 64);
        rig.pass(600_000, |_| 0);
        assert_eq!(rig.changes, []);
        rig.rendition = Rendition::Viewer;
        rig.pass(2_000, |_| 64);
        rig.pace.chose();
        rig.pass(600_000, |_| 0);
        assert_eq!(rig.rendition, Rendition::Lite, "it slid, and then asked for the rendition that it had");
    }

    #[test]
    fn a_slid_subscriber_that_takes_no_bytes_stalls_from_its_slide_on() {
        let mut pace = ConnPace::default();
        assert_eq!([(0, 900), (5, 900)].map(|(now_us, held)| pace.stalls_for(now_us, held)), [0, 0], "it has not slid");
        let turning = Turning { to: Variant::default(), reason: RenditionReason::Slow, is_ready: true };
        pace.turned(6, turning);
        let looks = [(10, 900), (20, 950), (30, 900), (40, 900), (50, 0), (60, 10), (70, 20)];
        assert_eq!(looks.map(|(now_us, held)| pace.stalls_for(now_us, held)), [5, 15, 0, 10, 0, 10, 20]);
    }

    #[test]
    fn lite_is_encoded_only_while_it_may_be_needed() {
        let mut pace = ConnPace::default();
        let verdicts = [0, 5, 6, 9, 6, 5, 0].map(|lag| pace.judge(0, Rendition::Viewer, lag, LIMIT));
        let (stay, on, off) = (PaceVerdict::Stay, PaceVerdict::StandBy(true), PaceVerdict::StandBy(false));
        assert_eq!(verdicts, [stay, stay, on, stay, stay, off, stay]);
    }
}
