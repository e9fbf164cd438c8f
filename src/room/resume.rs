//! What a returning subscriber missed, in pages: each exactly what live frames showed of its stretch of the log.
//!
//! A page is made from the log and a [`PageRequest`] alone, by whatever thread may wait for the log's device; the room
//! goes on meanwhile. What a page says stays true for ever, so pages are shared by all who come back to one position.
//!
//! Does not know: subscribers, how far they got, how pages reach them.

use super::recent::encoded_bytes;
use super::select::Selection;
use crate::limits::{PAGE_LOOKBACK_EVENTS, RESUME_BYTES_MAX, RESUME_EVENTS_MAX};
use crate::log::{Limit, Log, ReadError, Record};
use crate::protocol::deflate::Deflate;
use crate::protocol::encode::Variant;
use crate::protocol::event::{Comment, Event};
use crate::protocol::ids::{Offset, RoomId};
use crate::protocol::message::ResumeFailure;
use crate::protocol::page::{EncodedPage, Stretch};

/// Which page, and what of the room it takes to make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The position that the page continues.
    pub after: Offset,
    /// Where it ends at the latest: a position that a frame has told. Later records come with live frames.
    pub upto: Offset,
    /// How it is written.
    pub variant: Variant,
    /// The room's budget of shown comments per log time.
    pub frame_events_max: usize,
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
    stretch(log, room, request).map(|stretch| EncodedPage::new(&stretch, request.variant, deflate))
}

fn stretch(log: &dyn Log, room: &RoomId, request: &PageRequest) -> Result<Stretch, ResumeFailure> {
    let &PageRequest { after, upto, frame_events_max, .. } = request;
    // One record more on each side: those before and after tell whether the page begins and ends with a log time.
    let limit = Limit { events: RESUME_EVENTS_MAX + 2, bytes: 4 * RESUME_BYTES_MAX };
    let mut records = match log.read(room, after.saturating_sub(1), limit) {
        // The record before may be gone although those after it are there.
        Err(ReadError::TooOld { .. }) if after > 0 => log.read(room, after, limit),
        read => read,
    }
    .map_err(failure)?;
    records.truncate(records.partition_point(|record| record.offset <= upto));
    let begin = records.partition_point(|record| record.offset <= after);
    let before = begin.checked_sub(1).map(|at| records[at].at_ms);
    let records = &records[begin..];
    // The log said that it reaches to `upto`: one that has nothing now has lost something.
    let Some(first) = records.first() else { return Err(ResumeFailure::Unavailable) };

    let mut selection = Selection::new(frame_events_max);
    if before == Some(first.at_ms) {
        selection.resume(first.at_ms, shown_before(log, room, request, first.at_ms)?);
    }
    let end = end(records, selection.clone(), request);
    for record in &records[..end] {
        if let Some(comment) = effective(record, request) {
            selection.offer(record.offset, record.at_ms, comment);
        }
    }
    let newest = &records[end - 1];
    let (events, shed) = selection.take();
    Ok(Stretch { prev: after, last: newest.offset, at: newest.at_ms, digest: newest.digest, events, shed })
}

fn failure(error: ReadError) -> ResumeFailure {
    match error {
        ReadError::TooOld { .. } => ResumeFailure::TooOld,
        // The room has told positions up to `upto`: a log that ends before is one that cannot be read.
        ReadError::Ahead { .. } | ReadError::Unknown | ReadError::Unavailable => ResumeFailure::Unavailable,
    }
}

/// The record's comment, unless a retry made it void.
fn effective<'a>(record: &'a Record, request: &PageRequest) -> Option<&'a Comment> {
    match &record.event {
        Event::Comment(comment) if request.voids.binary_search(&record.offset).is_err() => Some(comment),
        Event::Comment(_) | Event::Likes { .. } | Event::Votes(_) | Event::Post(_) => None, // Totals have the likes.
    }
}

/// How many of the records the page takes (at least one): what fits, up to the end of a log time if there is one.
fn end(records: &[Record], mut budget: Selection, request: &PageRequest) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Record| {
        if let Some(comment) = effective(record, request)
            && budget.admits(record.at_ms)
        {
            bytes += encoded_bytes(comment);
        }
        bytes <= RESUME_BYTES_MAX
    };
    let count = records.iter().take(RESUME_EVENTS_MAX).take_while(fits).count().max(1);
    let is_all = count == records.len() && records[count - 1].offset == request.upto;
    let boundary = |end: &usize| records.get(*end).is_some_and(|next| next.at_ms != records[end - 1].at_ms);
    if is_all { count } else { (1..=count).rev().find(boundary).unwrap_or(count) }
}

/// How many comments of the log time `at_ms` were shown up to the request's position: for a page that begins inside one.
fn shown_before(log: &dyn Log, room: &RoomId, request: &PageRequest, at_ms: u64) -> Result<usize, ResumeFailure> {
    let mut reach = 256;
    loop {
        let mut from = request.after.saturating_sub(reach);
        let limit = Limit::events(usize::try_from(reach).unwrap_or(usize::MAX));
        let mut read = log.read(room, from, limit);
        if let Err(ReadError::TooOld { first }) = read {
            // What is gone is not counted: nobody knows it any more.
            (from, reach) = (first.saturating_sub(1), PAGE_LOOKBACK_EVENTS);
            read = log.read(room, from, limit);
        }
        let records = read.map_err(failure)?;
        let known = &records[..records.partition_point(|record| record.offset <= request.after)];
        let same = known.iter().rev().take_while(|record| record.at_ms == at_ms);
        let (mut all, mut shown) = (0, 0);
        for record in same {
            all += 1;
            shown += usize::from(effective(record, request).is_some());
        }
        let is_enough = shown >= request.frame_events_max || all < known.len();
        if is_enough || from == 0 || reach >= PAGE_LOOKBACK_EVENTS {
            return Ok(shown.min(request.frame_events_max));
        }
        reach *= 4;
    }
}
