//! How admission decided, counted.

use crate::protocol::codes::ErrorCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kind of message that a verdict is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    Comment,
    Like,
    Auth,
    Rendition,
    Vote,
    Ping,
    /// It could not be read.
    Unreadable,
}

const KINDS: [(MessageKind, &str); 7] = [
    (MessageKind::Comment, "comment"),
    (MessageKind::Like, "like"),
    (MessageKind::Auth, "auth"),
    (MessageKind::Rendition, "rendition"),
    (MessageKind::Vote, "vote"),
    (MessageKind::Ping, "ping"),
    (MessageKind::Unreadable, "unreadable"),
];

/// Verdicts that each kind can get; the first is acceptance. Others would only be zeros on a dashboard.
const fn possible(kind: MessageKind) -> &'static [Option<ErrorCode>] {
    use ErrorCode::{BadPayload, Empty, NotAvailable, Overloaded, RateLimited, TooLong, UnknownOp};
    match kind {
        MessageKind::Comment => {
            &[None, Some(BadPayload), Some(Empty), Some(TooLong), Some(RateLimited), Some(Overloaded)]
        }
        MessageKind::Like => &[None, Some(BadPayload), Some(RateLimited), Some(Overloaded)],
        MessageKind::Auth => &[Some(NotAvailable), Some(RateLimited)],
        MessageKind::Rendition => &[None, Some(NotAvailable), Some(RateLimited)],
        MessageKind::Vote | MessageKind::Ping => &[None, Some(RateLimited)],
        MessageKind::Unreadable => &[Some(BadPayload), Some(UnknownOp)],
    }
}

/// The most verdicts of one kind.
const COLUMNS: usize = 6;

/// Counters of all verdicts, shared by all shards.
#[derive(Debug, Default)]
pub(super) struct Verdicts([[AtomicU64; COLUMNS]; KINDS.len()]);

impl Verdicts {
    pub(super) fn count(&self, kind: MessageKind, verdict: Option<ErrorCode>) {
        let column = possible(kind).iter().position(|v| *v == verdict);
        debug_assert!(column.is_some(), "{kind:?} {verdict:?} is in no table");
        if let Some(column) = column {
            self.0[kind as usize][column].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// (kind, verdict, how often), zeros included, so that rates have a beginning.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        KINDS.into_iter().flat_map(move |(kind, name)| {
            possible(kind).iter().zip(&self.0[kind as usize]).map(move |(verdict, count)| {
                (name, verdict.map_or("accepted", ErrorCode::as_str), count.load(Ordering::Relaxed))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_row_and_its_verdicts_fit() {
        for (row, (kind, _)) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, row);
            assert!(possible(kind).len() <= COLUMNS);
        }
    }
}
