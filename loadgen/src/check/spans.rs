//! Stretches that were delivered to one client without a break, and periods in which a client had no connection.

use super::log::{LogId, Seen};
use super::names::Name;

/// A stretch that was delivered to one client without a break.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// The position before its first event.
    pub from: u64,
    /// The line of the welcome or gap that began it.
    pub from_line: u64,
    pub to: u64,
    /// The line of its last frame.
    pub to_line: u64,
    /// The time of its last frame.
    pub to_t: u64,
    /// Delivered comments, including merged ones.
    pub comments: u64,
    /// Comments left out and counted.
    pub shed: u64,
    /// Events of other kinds, delivered and shed.
    pub others: Vec<(Name, u64)>,
    /// Offsets of delivered events that may be guaranteed: other kinds than comments, and comments with a lane.
    pub special: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client read to the end of it.
    Whole,
    /// The client was too slow: a gap, or close code 4001.
    Slow,
}

/// An ended span, with facts that can be judged only at the end of the history.
#[derive(Clone, Debug)]
pub struct Ended {
    pub client: Name,
    pub log: LogId,
    pub span: Span,
    /// If the client kept up, so that its deliveries had to be in time: since when it was live, and the time and line
    /// of its last event.
    pub live: Option<(u64, u64, u64)>,
    /// Late deliveries: offset, time when due, time of arrival, line.
    pub late: Vec<(u64, u64, u64, u64)>,
}

/// A period in which a client had no connection.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub client: Name,
    /// When its connection ended, in line `line`.
    pub from: u64,
    /// When it was live again.
    pub to: Option<u64>,
    pub line: u64,
}

impl Span {
    /// Counts an item that arrived for the first time.
    pub fn count(&mut self, seen: &Seen, times: u64) {
        if seen.is_comment() {
            self.comments += times;
        } else {
            self.other(seen.kind, 1);
        }
        if !seen.is_comment() || seen.lane != Name::NONE {
            self.special.push(seen.offset);
        }
    }

    /// Counts events of a kind other than comments, delivered or shed.
    pub fn other(&mut self, kind: Name, n: u64) {
        match self.others.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += n,
            None => self.others.push((kind, n)),
        }
    }
}
