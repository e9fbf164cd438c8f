//! Stretches that were delivered to one client, and the times in which a client had no connection.

use super::log::{LogId, Seen};
use super::names::Name;

/// A stretch that was delivered to one client in one piece.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Where it began: the position before it.
    pub from: u64,
    /// The line of the welcome or gap that began it.
    pub from_line: u64,
    /// Where it ended.
    pub to: u64,
    /// The line of its last frame, and that one's time.
    pub to_line: u64,
    /// When the last frame came.
    pub to_t: u64,
    /// Comments delivered, merged ones counted.
    pub comments: u64,
    /// Comments left out and counted.
    pub shed: u64,
    /// Other kinds: delivered and shed.
    pub others: Vec<(Name, u64)>,
    /// Where each delivered event is that may have been guaranteed: no comment, or one with a lane of its own.
    pub special: Vec<u64>,
}

/// How a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client read to the end of it.
    Whole,
    /// It did not keep up: a gap, or 4001.
    Slow,
}

/// A span with what only the end of the history can judge.
#[derive(Clone, Debug)]
pub struct Ended {
    pub client: Name,
    pub log: LogId,
    /// The counts.
    pub span: Span,
    /// Kept up, so that its deliveries had to be in time: since when it was live, and when and where it was last heard of.
    pub live: Option<(u64, u64, u64)>,
    /// Late deliveries: offset, since when it was due, when it came, line.
    pub late: Vec<(u64, u64, u64, u64)>,
}

/// A client without a connection: since when, until when, the line of its end.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub client: Name,
    /// When its connection ended.
    pub from: u64,
    /// When it was live again.
    pub to: Option<u64>,
    /// Where the connection ended.
    pub line: u64,
}

impl Span {
    /// An item arrived for the first time.
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

    /// Some events of a kind that is no comment were delivered or shed.
    pub fn other(&mut self, kind: Name, n: u64) {
        match self.others.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += n,
            None => self.others.push((kind, n)),
        }
    }
}
