//! The way of a batch: from the open tick to the log, back to the senders as answers, and into frames.

use super::effect::JoinAnswer;
use super::effect::{Effect, counted, forbidden, refusal, repeated};
use super::guard::{Forbidden, POLL_CLOSED, POLL_FULL};
use super::pending::{Sender, Waiting};
use super::posting::{Cast, PostAnswer};
use super::publish::{keep, publish};
use super::tick::Authors;
use super::{Actor, STORAGE_RETRY_MS};
use crate::faults::fail_point;
use crate::log::{AppendError, Delivery, Record, Ticket};
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::Event;
use crate::protocol::frame::{Frame, FrameEvent, What};
use crate::protocol::ids::{Epoch, Offset};
use crate::protocol::kind::Kind;
use crate::protocol::message::{Gap, GapReason, Heartbeat, ResumeFailure, ServerMessage};
use crate::protocol::variant::{Rendition, Variant};
use crate::room::core::board::Voted;
use crate::room::core::window::Seen;
use crate::room::core::{Framed, Frames, Wanted};
use crate::room::past::resume::PageRequest;
use crate::room::request::{PostError, Posted};
use crate::room::welcome::WelcomeTail;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Actor {
    /// Hands the open tick to the log, and takes the deliveries that the log makes at once.
    pub(super) fn append(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        let comments = self.tick.events.len();
        self.posting.depart(&mut self.tick.events);
        let at_ms = self.log.clock.next_ms(now_us, wall_ms);
        self.trouble.deletions_in_part += self.core.stamp(&mut self.tick.events[comments..], at_ms) as u64;
        let (events, flight) = self.tick.depart(now_us);
        let ticket = flight.ticket;
        self.flight = Some(flight);
        fail_point!("before_append");
        match self.log.append(&self.handle.id, ticket, events, at_ms) {
            Ok(()) => self.take_deliveries(now_us, out),
            Err(error) => self.fail(error, now_us, out),
        }
        self.log.maintain(&self.handle.id, &self.core, now_us, at_ms);
    }

    pub(super) fn take_deliveries(&mut self, now_us: u64, out: &mut Vec<Effect>) {
        loop {
            let was_full = self.log.deliveries.is_full();
            while let Some(delivery) = self.log.deliveries.pop() {
                match delivery {
                    Delivery::Appended { ticket, records } => self.appended(ticket, &records, now_us, out),
                    Delivery::Failed { ticket, error } if self.is_flying(ticket) => {
                        self.fail(error, now_us, out);
                    }
                    Delivery::Failed { .. } => {} // Answered before.
                }
            }
            if !was_full {
                return;
            }
            // A full queue may have turned deliveries away.
            self.log.log.nudge(&self.handle.id);
        }
    }

    fn appended(&mut self, ticket: Option<Ticket>, records: &[Record], now_us: u64, out: &mut Vec<Effect>) {
        let ours = if ticket.is_some_and(|ticket| self.is_flying(ticket)) { self.flight.take() } else { None };
        let is_ours = ours.is_some();
        let mut authors = ours.map_or_else(Authors::default, |flight| flight.authors);
        let comments = authors.waiting.len();
        let mut marks = authors.waiting.iter();
        self.core.take_away(records);
        for record in records {
            // The batch begins with the comments in the order of `waiting`; posts, votes and likes follow.
            let waiting = if matches!(record.event, Event::Comment(_)) { marks.next() } else { None };
            self.core.apply_marked(record, waiting.and_then(|waiting| waiting.mark));
            if let Event::Post(post) = &record.event
                && let Kind::Delete(delete) = &post.kind
            {
                self.redactions.add(delete.offset);
            }
        }
        if let Some(Record { at_ms, .. }) = records.last() {
            self.log.clock.saw(*at_ms, now_us);
        }
        // A batch is a whole log time, so the selection can choose now.
        self.core.complete();
        let mut stored = records.iter().filter(|record| matches!(record.event, Event::Comment(_)));
        for Waiting { mark, senders } in authors.waiting.drain(..) {
            mark.iter().for_each(|mark| self.pending.remove(mark));
            let Some(Record { offset, .. }) = stored.next() else { continue };
            let seen = match (self.core.fate(*offset), mark) {
                (Some(fate), _) => Seen::Same { offset: *offset, fate },
                // The comment is void: the sender gets the answer of the first copy.
                (None, Some(mark)) => self.core.seen(&mark),
                (None, None) => continue,
            };
            for Sender { from, id } in senders {
                out.extend(id.map(|id| repeated(from, id, seen)));
            }
        }
        if is_ours {
            self.tick.reuse(authors);
            let begin = out.len();
            self.arrived(records, comments, out);
            self.redactions.hold(begin, out);
        }
        self.handle.figures.show(&self.core);
    }

    /// The log has refused the batch in flight: its senders get errors, its likes go into the next batch.
    fn fail(&mut self, error: AppendError, now_us: u64, out: &mut Vec<Effect>) {
        let Some(mut flight) = self.flight.take() else { return };
        self.trouble.append_failures += 1;
        let (code, text, after_ms) = match error {
            AppendError::Overloaded => {
                (ErrorCode::Overloaded, "the log is overloaded; send the comment again later", self.tick_ms())
            }
            AppendError::Unavailable | AppendError::Closed => (
                ErrorCode::StorageUnavailable,
                "the comment could not be stored; send it again later",
                STORAGE_RETRY_MS,
            ),
        };
        for waiting in flight.authors.waiting.drain(..) {
            waiting.mark.iter().for_each(|mark| self.pending.remove(mark));
            let refused = |Sender { from, id }| refusal(from, id, code, text, after_ms);
            out.extend(waiting.senders.into_iter().map(refused));
        }
        self.tick.reuse(flight.authors);
        self.posts_failed(error, out);
        if flight.likes > 0 {
            self.tick.add_likes(flight.likes);
            self.tick.due_us.get_or_insert_with(|| self.slots.grid.next_us(now_us));
        }
    }

    fn is_flying(&self, ticket: Ticket) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.ticket == ticket)
    }

    /// Answers the posts and votes of the batch that the log has as `records`. The first `comments` records are
    /// comments of viewers; posts, votes and likes follow.
    fn arrived(&mut self, records: &[Record], comments: usize, out: &mut Vec<Effect>) {
        let posts = records.iter().skip(comments).take(self.posting.flying_posts());
        let offsets: Vec<_> = posts.map(|record| record.offset).collect();
        let (answers, votes) = self.posting.arrived(&offsets, &self.core);
        for (ticket, answer) in answers {
            out.push(self.posted(ticket, answer));
        }
        for Cast { poll, user, senders } in votes {
            let board = self.core.board();
            let vote = board.open_poll(&poll).map(|_| board.voted(&user));
            for Sender { from, id } in senders {
                out.extend(match vote {
                    Some(Voted::At(offset)) => id.map(|id| counted(from, id, offset)),
                    Some(Voted::Full) => Some(forbidden(from, id, &POLL_FULL)),
                    // The poll was closed before the log had the vote.
                    Some(Voted::New) | None => Some(forbidden(from, id, &POLL_CLOSED)),
                });
            }
        }
    }

    /// The log has refused the batch in flight.
    fn posts_failed(&mut self, error: AppendError, out: &mut Vec<Effect>) {
        self.guard.forgive();
        let (tickets, votes) = self.posting.failed();
        let (refused, code, after_ms) = match error {
            AppendError::Overloaded => {
                let retry_ms = self.tick_ms();
                (PostError::Overloaded { retry_ms }, ErrorCode::Overloaded, retry_ms)
            }
            AppendError::Unavailable | AppendError::Closed => {
                (PostError::Unavailable, ErrorCode::StorageUnavailable, STORAGE_RETRY_MS)
            }
        };
        out.extend(tickets.into_iter().map(|ticket| Effect::Posted { ticket, result: Err(refused) }));
        let failed = Forbidden { code, text: "the vote could not be stored; send it again later", after_ms };
        let senders = votes.into_iter().flat_map(|vote| vote.senders);
        out.extend(senders.map(|Sender { from, id }| forbidden(from, id, &failed)));
    }

    pub(super) fn posted(&self, ticket: u64, answer: PostAnswer) -> Effect {
        let epoch = self.core.epoch();
        Effect::Posted { ticket, result: answer.map(|offsets| Posted { epoch, offsets }) }
    }

    /// The request for the page after `after`; `None` when no frame has told a later position.
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

    /// Lets a subscriber in, from now or from the position `resume`. The answer has the state of the last frame, so the
    /// next frame continues it exactly; comments of the open tick come with that frame. A newcomer sees the newest
    /// `history` comments, or the number in the room's settings.
    pub fn join(
        &mut self,
        user: &str,
        resume: Option<(Epoch, Offset)>,
        history: Option<usize>,
        now_us: u64,
    ) -> JoinAnswer {
        self.presence_changed(now_us);
        self.audience.add(user);
        let Framed { last, likes, .. } = *self.core.framed();
        let (after, reason) = match resume {
            None => (None, None),
            Some((epoch, _)) if epoch != self.core.epoch() => (None, Some(ResumeFailure::EpochChanged)),
            Some((_, after)) if after > last => (None, Some(ResumeFailure::Ahead)),
            Some((_, after)) => (Some(after), None),
        };
        // A subscriber that resumes gets the comments it missed in frames; a snapshot would repeat them.
        let events = if after.is_some() { 0 } else { self.core.history(history) };
        JoinAnswer { last, likes, after, reason, tail: self.welcome_tail(events, now_us) }
    }

    pub(super) fn frame(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        let [lite, full] = [Rendition::Lite, Rendition::Full].map(|rendition| self.handle.uses_rendition(rendition));
        let online = self.handle.online();
        let Some(mut frames) = self.core.tick(now_us, wall_ms, online, Wanted { lite, full }) else { return };
        self.tell_audience(&mut frames, now_us);
        self.slots.take(now_us);
        self.welcomes.clear();
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
        self.redactions.release(out);
        if let [Some(ServerMessage::Frame(viewer)), ..] = messages {
            self.core.remember_shown(viewer.events);
        }
    }

    pub(super) fn heartbeat(&mut self, now_us: u64, wall_ms: u64, out: &mut Vec<Effect>) {
        let last = self.core.framed().last;
        let heartbeat = ServerMessage::Heartbeat(Heartbeat { last, at: wall_ms });
        self.publish(|_| Some(&heartbeat), None, (last, last), now_us, out);
        let log_ms = self.log.clock.now_ms(now_us, wall_ms);
        self.log.maintain(&self.handle.id, &self.core, now_us, log_ms);
    }

    /// Encodes the message once per variant in use. Without a variant there is no effect.
    fn publish<'m>(
        &mut self,
        of: impl Fn(Rendition) -> Option<&'m ServerMessage>,
        missed: Option<Gap>,
        (prev, last): (Offset, Offset),
        now_us: u64,
        out: &mut Vec<Effect>,
    ) {
        self.presence.published(now_us);
        if let Some(mut frame) = publish(of, &self.handle, &self.settings.deflate) {
            if let Some(missed) = missed {
                keep(&mut frame, missed);
            }
            (frame.prev, frame.last, frame.published_us) = (prev, last, now_us);
            frame.likes = self.core.framed().likes;
            frame.redacts = self.redactions.offsets().to_vec();
            out.push(Effect::Frame { frame: Arc::new(frame) });
        }
    }

    fn welcome_tail(&mut self, events: usize, now_us: u64) -> Arc<WelcomeTail> {
        let (online, tick_ms) = (self.handle.online(), self.tick_ms());
        let Self { core, log, audience, welcomes, .. } = self;
        welcomes.get(events, online, || {
            let wall_ms = log.clock.wall_ms(now_us).unwrap_or_else(|| core.board().now_ms());
            let mut snapshot = core.snapshot(online, events, wall_ms);
            snapshot.unique = audience.estimate();
            WelcomeTail::new(core.epoch(), core.framed().last, tick_ms, snapshot)
        })
    }

    fn tell_audience(&mut self, frames: &mut Frames, now_us: u64) {
        if let Some(unique) = self.audience.take_news(now_us, self.settings.counters_us) {
            let Frames { viewer, lite, full, .. } = frames;
            let all = [Some(viewer), lite.as_mut(), full.as_mut()];
            all.into_iter().flatten().for_each(|frame| frame.unique = Some(unique));
        }
    }
}
