//! What a returning subscriber missed, in pages: each exactly what live frames showed of its stretch of the log.
//!
//! A page is made from the log and a [`PageRequest`] alone, by whatever thread may wait for the log's device; the room
//! goes on meanwhile. What it shows of a log time depends on what came before in the same window of time: that is played
//! first. What a page says stays true for ever, so pages are shared by all who come back to one position.
//!
//! Does not know: subscribers, how far they got, how pages reach them.

use super::log_times::LogTimes;
use crate::limits::{RESUME_BYTES_MAX, RESUME_EVENTS_MAX};
use crate::log::{Log, Record};
use crate::protocol::deflate::Deflate;
use crate::protocol::encode::{Rendition, Variant};
use crate::protocol::event::Event;
use crate::protocol::frame::{FrameEvent, What};
use crate::protocol::ids::{ClientId, Offset, RoomId};
use crate::protocol::kind::Kind;
use crate::protocol::message::ResumeFailure;
use crate::protocol::page::{EncodedPage, Stretch};
use crate::protocol::settings::Merge;
use crate::room::core::board::PollState;
use crate::room::core::recent::encoded_bytes;
use crate::room::core::select::{Note, Selection, Told, WINDOW_MS};
use crate::room::core::timeline::Timeline;
use std::collections::HashSet;
use std::sync::Arc;

/// What an event takes in a page that is no comment: more than most.
const KIND_BYTES: usize = 512;

/// What an offset takes in a list, about.
const OFFSET_BYTES: usize = 10;

/// Which page, and what of the room it takes to make it.
#[derive(Clone, Debug, PartialEq)]
pub struct PageRequest {
    /// The position that the page continues.
    pub after: Offset,
    /// Where it ends at the latest: a position that a frame has told. Later records come with live frames.
    pub upto: Offset,
    /// For whom, and how it is written.
    pub variant: Variant,
    /// The bound on a log time's comments.
    pub frame_events_max: usize,
    /// Which settings were in force when.
    pub timeline: Timeline,
    /// Polls as they stand now: told by a page in which they moved.
    pub polls: Vec<PollState>,
    /// Offsets of comments without effect, rising.
    pub voids: Vec<Offset>,
}

/// Reads and encodes a page; waits for the log's device.
///
/// # Errors
/// Why the stretch cannot be had whole.
pub fn page(
    log: &dyn Log,
    room: &RoomId,
    request: &PageRequest,
    deflate: &Deflate,
) -> Result<EncodedPage, ResumeFailure> {
    stretch(log, room, request, Space::WHOLE).map(|stretch| EncodedPage::new(&stretch, request.variant, deflate))
}

/// How much of the log a page takes.
#[derive(Clone, Copy, Debug)]
pub(in crate::room) struct Space {
    /// Records.
    pub(in crate::room) events: usize,
    /// Bytes of what it tells, about.
    pub(in crate::room) bytes: usize,
}

impl Space {
    pub(in crate::room) const WHOLE: Self = Self { events: RESUME_EVENTS_MAX, bytes: RESUME_BYTES_MAX };

    /// Takes room for as many of `records` as fit: all, or at least one where nothing is yet. `told` are those that are
    /// events, with what became of them.
    fn take<'a>(
        &mut self,
        records: &[Record],
        told: impl Iterator<Item = (&'a FrameEvent, &'a Note)>,
        rendition: Rendition,
    ) -> usize {
        let mut told = told.peekable();
        for (count, record) in records.iter().enumerate() {
            let event = told.next_if(|(event, _)| event.offset == record.offset);
            let bytes = event.map_or(0, |(event, note)| if note.is_told(rendition) { bytes(event) } else { 0 });
            if self.events == 0 || self.bytes < bytes {
                return count;
            }
            (self.events, self.bytes) = (self.events - 1, self.bytes - bytes);
        }
        records.len()
    }
}

fn bytes(event: &FrameEvent) -> usize {
    match &event.what {
        What::Comment(shown) => encoded_bytes(shown),
        // Consoles are told each comment that went.
        What::Kind(Kind::Delete(delete)) => KIND_BYTES + delete.also.len() * OFFSET_BYTES,
        What::Kind(_) | What::Raise(_) | What::Unknown => KIND_BYTES,
    }
}

pub(in crate::room) fn stretch(
    log: &dyn Log,
    room: &RoomId,
    request: &PageRequest,
    mut space: Space,
) -> Result<Stretch, ResumeFailure> {
    let &PageRequest { after, upto, variant, .. } = request;
    let timeline = &request.timeline;
    let mut times = LogTimes::around(log, room, after, upto, |at_ms| needed_ms(timeline, variant.rendition, at_ms))?;
    let mut selection = Selection::new(request.frame_events_max);
    let (mut end, mut moved) = (None, HashSet::new());
    while let Some(time) = times.next()? {
        let known = selection.closed().len();
        play(&mut selection, time, request);
        selection.forget(after);
        let own = &time[time.partition_point(|record| record.offset <= after)..];
        if own.is_empty() {
            continue;
        }
        let fits = space.take(own, selection.closed().skip(known), variant.rendition).max(usize::from(end.is_none()));
        // A log time that does not fit begins the next page; only one that fits no page at all is cut.
        if fits < own.len() && end.is_some() {
            break;
        }
        moved.extend(own[..fits].iter().filter_map(moved_poll).cloned());
        let Record { offset, at_ms, digest, .. } = own[fits - 1];
        end = Some((offset, at_ms, digest));
        if fits < own.len() {
            break;
        }
    }
    // The log said that it reaches to `upto`: one that has nothing now has lost something.
    let Some((last, at, digest)) = end else { return Err(ResumeFailure::Unavailable) };
    selection.truncate(last);
    let Told { events, merged, shed } = selection.tell(variant.rendition, after);
    let is_over = |poll: &PollState| poll.ended.is_some_and(|ended| ended > after && ended <= last);
    let tallies = request.polls.iter().filter(|poll| moved.contains(&poll.tally.id) || is_over(poll));
    let tallies = tallies.map(|poll| poll.tally.clone()).collect();
    Ok(Stretch { prev: after, last, at, digest, events, tallies, merged, shed })
}

/// From when on the log has to be known to tell what viewers saw at the log time `at_ms`: from its window's beginning. Where
/// everything is shown as it came, a log time is enough by itself.
fn needed_ms(timeline: &Timeline, rendition: Rendition, at_ms: u64) -> u64 {
    let begin_ms = at_ms - at_ms % WINDOW_MS;
    let (first, settings) = (timeline.at(begin_ms), timeline.at(at_ms));
    let is_plain = settings.budget.is_none() && settings.merge == Merge::Off && Arc::ptr_eq(first, settings);
    if is_plain && rendition != Rendition::Lite { at_ms } else { begin_ms }
}

/// Plays one log time.
fn play(selection: &mut Selection, time: &[Record], request: &PageRequest) {
    let Some(Record { at_ms, .. }) = time.first() else { return };
    selection.open(*at_ms, request.timeline.at(*at_ms));
    for record in time.iter().filter(|record| request.voids.binary_search(&record.offset).is_err()) {
        match &record.event {
            Event::Comment(comment) => {
                selection.comment(record.offset, comment);
            }
            Event::Post(post) => {
                selection.kind(record.offset, &post.kind);
            }
            Event::Likes { .. } | Event::Votes(_) => {} // Totals have them.
        }
    }
    selection.close();
}

/// The poll that an event opens, closes or brings votes.
fn moved_poll(record: &Record) -> Option<&ClientId> {
    match &record.event {
        Event::Votes(votes) => Some(&votes.poll),
        Event::Post(post) => match &post.kind {
            Kind::Poll(poll) => Some(&poll.id),
            Kind::PollClose(close) => Some(&close.id),
            _ => None,
        },
        Event::Comment(_) | Event::Likes { .. } => None,
    }
}
