//! Pages of a room's past, for a subscriber that resumes: each page has the content of the live frames of its stretch.
//!
//! A page depends only on the log and a [`PageRequest`]. A thread that may wait for the log's device makes it, while
//! the room goes on. The content of a log time depends on earlier ones in the same window, so these are played first. A
//! page never changes, so all subscribers that resume at one position share it.
//!
//! Does not know: subscribers, their positions, how pages reach them.

use super::log_times::LogTimes;
use crate::limits::{RESUME_BYTES_MAX, RESUME_EVENTS_MAX};
use crate::log::{Log, Record};
use crate::protocol::deflate::Deflate;
use crate::protocol::event::Event;
use crate::protocol::frame::{FrameEvent, What};
use crate::protocol::ids::{ClientId, Offset, RoomId};
use crate::protocol::kind::Kind;
use crate::protocol::message::ResumeFailure;
use crate::protocol::page::{EncodedPage, Stretch};
use crate::protocol::settings::Merge;
use crate::protocol::variant::{Rendition, Variant};
use crate::room::core::board::PollState;
use crate::room::core::recent::encoded_bytes;
use crate::room::core::select::{FrameContent, Note, Selection, WINDOW_MS};
use crate::room::core::timeline::SettingsTimeline;
use std::collections::HashSet;
use std::sync::Arc;

/// The size of an event that is no comment: larger than most.
const KIND_BYTES: usize = 512;

/// The approximate size of an offset in a list.
const OFFSET_BYTES: usize = 10;

/// The request for a page, with the room's state that it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct PageRequest {
    /// The position that the page continues.
    pub after: Offset,
    /// The last possible end of the page: the position of the last frame. Later records come with live frames.
    pub upto: Offset,
    /// The rendition and encoding.
    pub variant: Variant,
    /// The bound on the comments shown of one log time.
    pub frame_events_max: usize,
    /// The settings in force at each log time.
    pub timeline: SettingsTimeline,
    /// Polls with their present tallies. A page has the tallies that changed in its stretch.
    pub polls: Vec<PollState>,
    /// Offsets of void comments, rising.
    pub voids: Vec<Offset>,
}

/// Reads and encodes a page; waits for the log's device.
///
/// # Errors
/// The reason if the stretch cannot be read whole.
pub fn page(
    log: &dyn Log,
    room: &RoomId,
    request: &PageRequest,
    deflate: &Deflate,
) -> Result<EncodedPage, ResumeFailure> {
    stretch(log, room, request, Space::WHOLE).map(|stretch| EncodedPage::new(&stretch, request.variant, deflate))
}

/// The bounds of a page.
#[derive(Clone, Copy, Debug)]
pub(in crate::room) struct Space {
    pub(in crate::room) events: usize,
    /// The approximate size of its events in bytes.
    pub(in crate::room) bytes: usize,
}

impl Space {
    pub(in crate::room) const WHOLE: Self = Self { events: RESUME_EVENTS_MAX, bytes: RESUME_BYTES_MAX };

    /// Uses up space for as many of `records` as fit: all, or at least one in an empty page. `told` has the notes of
    /// their events.
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
        // Consoles get the offset of each deleted comment.
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
        // A log time that does not fit begins the next page. Only one that is too large for any page is cut.
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
    // The log reached to `upto` before: a log without records there has lost some.
    let Some((last, at, digest)) = end else { return Err(ResumeFailure::Unavailable) };
    selection.truncate(last);
    let FrameContent { events, merged, shed } = selection.tell(variant.rendition, after);
    let is_over = |poll: &PollState| poll.ended.is_some_and(|ended| ended > after && ended <= last);
    let tallies = request.polls.iter().filter(|poll| moved.contains(&poll.tally.id) || is_over(poll));
    let tallies = tallies.map(|poll| poll.tally.clone()).collect();
    Ok(Stretch { prev: after, last, at, digest, events, tallies, merged, shed })
}

/// The time from which the log has to be read for the choice at the log time `at_ms`: the beginning of its window.
/// Where nothing is merged or left out, a log time does not depend on others.
fn needed_ms(timeline: &SettingsTimeline, rendition: Rendition, at_ms: u64) -> u64 {
    let begin_ms = at_ms - at_ms % WINDOW_MS;
    let (first, settings) = (timeline.at(begin_ms), timeline.at(at_ms));
    let is_plain = settings.budget.is_none() && settings.merge == Merge::Off && Arc::ptr_eq(first, settings);
    if is_plain && rendition != Rendition::Lite { at_ms } else { begin_ms }
}

/// Gives one log time to the selection.
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
            Event::Likes { .. } | Event::Votes(_) => {} // The totals have them.
        }
    }
    selection.close();
}

/// The poll that an event opens, closes or adds votes to.
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
