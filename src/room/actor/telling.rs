//! The actor's part that tells: frames, heartbeats, and what a newcomer is told first.

use super::Actor;
use crate::limits::WELCOMES_MAX;
use crate::protocol::encode::{Rendition, Variant};
use crate::protocol::frame::{Frame, FrameEvent, What};
use crate::protocol::ids::{Epoch, Offset};
use crate::protocol::kind::Kind;
use crate::protocol::local::ConnRef;
use crate::protocol::message::{Gap, GapReason, Heartbeat, ResumeFailure, ServerMessage};
use crate::room::actor::effect::Effect;
use crate::room::actor::publish::{keep, publish};
use crate::room::core::{Framed, Frames, Wanted};
use crate::room::past::resume::PageRequest;
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Actor {
    /// What it takes to make the page after `after`; `None` when no frame has told anything after it.
    pub fn page_request(&self, after: Offset, variant: Variant) -> Option<PageRequest> {
        let upto = self.core.framed().last;
        (after < upto).then(|| PageRequest {
            after,
            upto,
            variant,
            frame_events_max: self.settings.frame_events_max,
            timeline: self.core.board().timeline().clone(),
            polls: self.core.board().polls().collect(),
            voids: self.core.voids(),
        })
    }

    /// Lets a subscriber in, from now or from where it was. Everything is said as of the last frame, so that
    /// the next frame continues it exactly; comments of the open tick come with that frame. A newcomer sees the newest
    /// `history` comments, or as many as the room is set to.
    pub fn join(
        &mut self,
        to: ConnRef,
        user: &str,
        resume: Option<(Epoch, Offset)>,
        history: Option<usize>,
        now_us: u64,
        out: &mut Vec<Effect>,
    ) {
        self.presence_changed(now_us);
        self.unique.add(user);
        let Framed { last, likes, .. } = *self.core.framed();
        let (after, reason) = match resume {
            None => (None, None),
            Some((epoch, _)) if epoch != self.core.epoch() => (None, Some(ResumeFailure::EpochChanged)),
            Some((_, after)) if after > last => (None, Some(ResumeFailure::Ahead)),
            Some((_, after)) => (Some(after), None),
        };
        // What a returner missed comes in frames: in a snapshot it would come twice.
        let events = if after.is_some() { 0 } else { self.core.history(history) };
        out.push(Effect::Joined { to, last, likes, after, reason, tail: self.welcome_tail(events, now_us) });
    }

    pub(super) fn frame(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        let [lite, full] = [Rendition::Lite, Rendition::Full].map(|rendition| self.handle.uses_rendition(rendition));
        let online = self.handle.online();
        let Some(mut frames) = self.core.tick(now_us, wall_ms, online, Wanted { lite, full }) else { return };
        self.tell_unique(&mut frames, now_us);
        self.framed_slot = Some(self.grid.slot(now_us));
        self.tails.clear();
        self.handle.figures.frames.fetch_add(1, Ordering::Relaxed);
        let Frames { viewer, lite, full, kept } = frames;
        let Frame { prev, last, at, .. } = viewer;
        let missed = (!kept.is_empty()).then(|| {
            let is_about_polls =
                |event: &FrameEvent| matches!(event.what, What::Kind(Kind::Poll(_) | Kind::PollClose(_)));
            let tallies = if kept.iter().any(is_about_polls) { viewer.tallies.clone() } else { Vec::new() };
            Gap { at: Some(at), events: kept, tallies, ..Gap::new(prev, last, GapReason::Slow) }
        });
        let messages = [Some(viewer), lite, full].map(|frame| frame.map(ServerMessage::Frame));
        let of = |rendition| match rendition {
            Rendition::Viewer => messages[0].as_ref(),
            Rendition::Lite => messages[1].as_ref(),
            Rendition::Full => messages[2].as_ref(),
        };
        self.publish(of, missed, (prev, last), now_us, out);
        if !std::mem::take(&mut self.redacts).is_empty() {
            out.push(Effect::Redacted);
            out.append(&mut self.held);
        }
        if let [Some(ServerMessage::Frame(viewer)), ..] = messages {
            self.core.remember_shown(viewer.events);
        }
    }

    /// The wall clock says `wall_ms`.
    pub(super) fn told_the_wall(&mut self, now_us: u64, wall_ms: u64) {
        self.wall_ahead_us = Some(wall_ms.saturating_mul(1_000).wrapping_sub(now_us).cast_signed());
    }

    /// What the wall clock says, as far as the room was told; the log's time if it was not.
    fn wall_ms(&self, now_us: u64) -> u64 {
        let log_ms = self.core.board().now_ms();
        self.wall_ahead_us.map_or(log_ms, |ahead_us| now_us.saturating_add_signed(ahead_us) / 1_000)
    }

    pub(super) fn heartbeat(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        let last = self.core.framed().last;
        let heartbeat = ServerMessage::Heartbeat(Heartbeat { last, at: wall_ms });
        self.publish(|_| Some(&heartbeat), None, (last, last), now_us, out);
        let log_ms = self.log_clock.now_ms(now_us, wall_ms);
        self.upkeep.tell(&*self.log, &self.handle.id, &self.core, now_us, log_ms);
    }

    /// Encodes once per variant in use; no variant, no effect.
    fn publish<'m>(
        &mut self,
        of: impl Fn(Rendition) -> Option<&'m ServerMessage>,
        missed: Option<Gap>,
        (prev, last): (Offset, Offset),
        now_us: u64,
        out: &mut Vec<Effect>,
    ) {
        self.quiet_since_us = now_us;
        if let Some(mut frame) = publish(of, &self.handle, &self.settings.deflate) {
            if let Some(missed) = missed {
                keep(&mut frame, missed);
            }
            (frame.prev, frame.last, frame.published_us) = (prev, last, now_us);
            frame.likes = self.core.framed().likes;
            frame.redacts = self.redacts.clone();
            out.push(Effect::Frame { frame: Arc::new(frame) });
        }
    }

    /// The shared tail of this moment: until a frame goes out, or `online` is off by more than a sixteenth
    /// (below 16 people each one counts).
    fn welcome_tail(&mut self, events: usize, now_us: u64) -> Arc<WelcomeTail> {
        let online = self.handle.online();
        self.tails.retain(|(_, tail)| online.abs_diff(tail.online()) * 16 <= tail.online());
        if let Some((_, tail)) = self.tails.iter().find(|(known, _)| *known == events) {
            return tail.clone();
        }
        if self.tails.len() == WELCOMES_MAX {
            self.tails.remove(0);
        }
        let wall_ms = self.wall_ms(now_us);
        let (last, mut snapshot) = (self.core.framed().last, self.core.snapshot(online, events, wall_ms));
        snapshot.unique = self.unique.estimate();
        let tail = Arc::new(WelcomeTail::new(self.core.epoch(), last, self.tick_ms(), snapshot));
        self.tails.push((events, tail.clone()));
        tail
    }

    /// Puts the estimate of who has watched into the frames of a tick, if it is a new one and its time has come.
    fn tell_unique(&mut self, frames: &mut Frames, now_us: u64) {
        let unique = self.unique.estimate();
        if unique != self.unique_told && now_us >= self.unique_from_us {
            (self.unique_told, self.unique_from_us) = (unique, now_us.saturating_add(self.settings.counters_us));
            let Frames { viewer, lite, full, .. } = frames;
            let all = [Some(viewer), lite.as_mut(), full.as_mut()];
            all.into_iter().flatten().for_each(|frame| frame.unique = Some(unique));
        }
    }
}
