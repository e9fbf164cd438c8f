//! Reads a stretch of a room's log, one whole log time after the other, and enough records before it.
//!
//! Does not know: the use of the records.

use crate::limits::{PAGE_LOOKBACK_EVENTS, RESUME_BYTES_MAX, RESUME_EVENTS_MAX};
use crate::log::{Limit, Log, ReadError, Record};
use crate::protocol::ids::{Offset, RoomId};
use crate::protocol::message::ResumeFailure;

/// The number of records read before the stretch at first: in a room that is not busy, more than a window.
const BEFORE_FIRST: u64 = 256;

/// The bounds of one read.
const PIECE: Limit = Limit { events: RESUME_EVENTS_MAX + BEFORE_FIRST as usize + 1, bytes: 4 * RESUME_BYTES_MAX };

pub(super) struct LogTimes<'a> {
    log: &'a dyn Log,
    room: &'a RoomId,
    /// The end of the stretch, which is the end of a log time.
    upto: Offset,
    records: Vec<Record>,
    /// The number of records returned so far.
    given: usize,
}

impl<'a> LogTimes<'a> {
    /// The log after `after` up to `upto`, the end of a log time. It begins with the log time that `needed_ms` returns
    /// for the first record after `after`, or later if the log does not reach back to it or too many records are in
    /// between.
    pub(super) fn around(
        log: &'a dyn Log,
        room: &'a RoomId,
        after: Offset,
        upto: Offset,
        needed_ms: impl Fn(u64) -> u64,
    ) -> Result<Self, ResumeFailure> {
        let mut times = Self { log, room, upto, records: Vec::new(), given: 0 };
        let mut from = after.saturating_sub(BEFORE_FIRST);
        let oldest = times.begin(&mut from, after)?;
        while times.records.last().is_some_and(|record| record.offset <= after) && times.more()? {}
        let own = times.records.iter().find(|record| record.offset > after);
        let Some(needed_ms) = own.map(|record| needed_ms(record.at_ms)) else { return Ok(times) };
        let mut known = times.records.first().map(|record| record.at_ms);
        let mut reach = BEFORE_FIRST;
        let begin = from;
        while known.is_some_and(|at_ms| at_ms >= needed_ms) && from > oldest && reach < PAGE_LOOKBACK_EVENTS {
            reach *= 2;
            from = after.saturating_sub(reach).max(oldest);
            known = match log.read(room, from, Limit::events(1)) {
                Ok(records) => records.first().map(|record| record.at_ms),
                Err(ReadError::TooOld { .. }) => None,
                Err(error) => return Err(failure(error)),
            };
        }
        if from < begin {
            times.begin(&mut from, after)?;
        }
        // Records before the needed time are skipped.
        times.given = times.records.partition_point(|record| record.at_ms < needed_ms && record.offset <= after);
        Ok(times)
    }

    /// Reads the first piece after `from`, or from the log's oldest record if the log begins between `from` and
    /// `after`. Returns a position before which the log has nothing, or 0.
    fn begin(&mut self, from: &mut Offset, after: Offset) -> Result<Offset, ResumeFailure> {
        let mut oldest = 0;
        let mut read = self.log.read(self.room, *from, PIECE);
        if let Err(ReadError::TooOld { first }) = read
            && first <= after + 1
        {
            (oldest, *from) = (first - 1, first - 1);
            read = self.log.read(self.room, *from, PIECE);
        }
        self.records = read.map_err(failure)?;
        Ok(oldest)
    }

    /// The next whole log time; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<&[Record]>, ResumeFailure> {
        loop {
            let rest = &self.records[self.given..];
            if rest.is_empty() && self.records.last().is_some_and(|record| record.offset >= self.upto) {
                return Ok(None);
            }
            let count = rest.first().map_or(0, |first| rest.partition_point(|record| record.at_ms == first.at_ms));
            let is_whole = count < rest.len() || rest.last().is_some_and(|record| record.offset >= self.upto);
            if !is_whole && self.more()? {
                continue;
            }
            let begin = self.given;
            self.given += count;
            let time = &self.records[begin..self.given];
            return Ok(time.first().filter(|first| first.offset <= self.upto).map(|_| time));
        }
    }

    /// Reads the next piece. Returns whether there was one.
    fn more(&mut self) -> Result<bool, ResumeFailure> {
        let Some(newest) = self.records.last().map(|record| record.offset) else { return Ok(false) };
        let piece = self.log.read(self.room, newest, PIECE).map_err(failure)?;
        self.records.drain(..self.given);
        self.given = 0;
        self.records.extend_from_slice(&piece);
        Ok(!piece.is_empty())
    }
}

fn failure(error: ReadError) -> ResumeFailure {
    match error {
        ReadError::TooOld { .. } => ResumeFailure::TooOld,
        // The room has told positions up to the stretch's end, so a log that ends before it cannot be read.
        ReadError::Ahead { .. } | ReadError::Unknown | ReadError::Unavailable => ResumeFailure::Unavailable,
    }
}
