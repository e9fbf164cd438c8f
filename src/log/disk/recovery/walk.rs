//! One room's records, looked at in their order: how far they are what was written.
//!
//! Does not know: where the rows come from, and where they go.

use crate::faults::planted;
use crate::log::Base;
use crate::log::disk::heads::NotedHead;
use crate::log::disk::row::{Damage, EventRow, RoomRow, cost};
use crate::protocol::ids::{Digest, Epoch, Offset};

/// What the store says of a room before its records were looked at.
#[derive(Debug)]
pub(crate) enum RoomClaim {
    /// The room's row is what was written.
    Whole(RoomRow),
    /// Only its name and number are believed, and perhaps its base; here is a row to fill in.
    Name(RoomRow),
}

/// What is wrong with a room, and what it is from now on.
#[derive(Debug)]
pub(crate) struct Cure {
    pub(crate) id: i64,
    /// The room as it goes on, in a new epoch; `None` when nothing of it can be believed.
    pub(crate) row: Option<RoomRow>,
    /// The first record in question.
    pub(crate) at: Offset,
    pub(crate) why: Why,
}

/// What happened to a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A record is not what was written.
    #[error("{0}")]
    Record(Damage),
    /// The room's own row is not what was written.
    #[error("the room's row is damaged")]
    Row,
    /// Events without a room.
    #[error("these records belong to no room")]
    Orphans,
    /// The side file has seen a later end.
    #[error("the log ended at {0} once: its tail is lost")]
    LostTail(Offset),
    /// The side file knows the room in another epoch.
    #[error("the log was in epoch {0} once: what came after it is lost")]
    OtherEpoch(Epoch),
    /// Whether the tail is lost cannot be known.
    #[error("the side file of heads is missing or damaged: whether the log lost its tail cannot be known")]
    Unknown,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Walk {
    claim: RoomClaim,
    next: Option<Offset>,
    /// Of the last record that holds.
    digest: Option<Digest>,
    at_ms: u64,
    events: usize,
    bytes: usize,
    /// Offset, digest and cost of the first record that holds.
    first: Option<(Offset, Digest, usize)>,
    bad: Option<(Offset, Damage)>,
}

impl Walk {
    pub(crate) fn new(claim: RoomClaim) -> Self {
        let next = match &claim {
            RoomClaim::Whole(row) => Some(row.first),
            RoomClaim::Name(_) => None,
        };
        Self { claim, next, digest: None, at_ms: 0, events: 0, bytes: 0, first: None, bad: None }
    }

    /// Looks at the next record. Says whether it belongs to what is kept.
    pub(crate) fn step(&mut self, found: &Result<EventRow<'_>, Damage>) -> bool {
        if self.bad.is_some() {
            return false;
        }
        let judged = match found {
            Err(damage) => Err((self.next.unwrap_or(1), *damage)),
            Ok(event) => self.judge(event),
        };
        match judged {
            Ok((event, bytes)) => {
                self.first.get_or_insert((event.offset, event.digest, bytes));
                self.next = Some(event.offset + 1);
                self.digest = Some(event.digest);
                self.at_ms = event.at_ms;
                self.events += 1;
                self.bytes += bytes;
                true
            }
            Err(bad) => {
                self.bad = Some(bad);
                false
            }
        }
    }

    fn judge<'a, 'b>(&self, event: &'a EventRow<'b>) -> Result<(&'a EventRow<'b>, usize), (Offset, Damage)> {
        let expected = self.next.unwrap_or(event.offset);
        event.check().map_err(|damage| (expected, damage))?;
        let tail = if planted!("lost_tail") { 2 } else { 0 };
        let is_beyond = matches!(&self.claim, RoomClaim::Whole(row) if event.offset + tail > row.last);
        if is_beyond || event.offset < expected {
            return Err((expected, Damage::Stray));
        }
        if event.offset > expected {
            return Err((expected, Damage::Missing));
        }
        Ok((event, cost(event.body.len())))
    }

    /// The reading of records came to an end before it should: the rest counts as missing.
    pub(crate) fn broke_off(&mut self) {
        let next = self.next.unwrap_or(1);
        self.bad.get_or_insert((next, Damage::Missing));
    }

    /// The room, when all is well, or what to make of it. `known` is what the side file says, `None` without one.
    pub(crate) fn end(mut self, known: Option<NotedHead>, epoch: impl Fn() -> Epoch) -> Result<RoomRow, Box<Cure>> {
        let row = match &self.claim {
            RoomClaim::Name(row) => {
                let row = self.rebuilt(row.clone(), epoch());
                return Err(Box::new(Cure { id: row.id, at: row.last + 1, row: Some(row), why: Why::Row }));
            }
            RoomClaim::Whole(row) => row.clone(),
        };
        let next = self.next.unwrap_or(row.first);
        if self.bad.is_none() && next <= row.last {
            self.bad = Some((next, Damage::Missing));
        }
        if self.bad.is_none() && self.digest.unwrap_or(row.digest_before) != row.digest {
            self.bad = Some((next, Damage::Digest));
        }
        if let Some((at, damage)) = self.bad {
            let epoch = if planted!("lost_tail") { row.epoch } else { epoch() };
            let row = self.cut(row, epoch);
            return Err(Box::new(Cure { id: row.id, row: Some(row), at, why: Why::Record(damage) }));
        }
        let why = match known {
            Some(NotedHead::Head(epoch, last)) if epoch == row.epoch && last <= row.last => return Ok(row),
            Some(NotedHead::Head(epoch, last)) if epoch == row.epoch => Why::LostTail(last),
            // Either the database lost the healing that began the other epoch, or nobody was told of this one yet.
            Some(NotedHead::Head(other, _)) => Why::OtherEpoch(other),
            // Its entry was synced before its opening was answered: without one, either nobody was told of this epoch, or
            // the side file is damaged.
            Some(NotedHead::Nothing | NotedHead::Damaged) | None => Why::Unknown,
        };
        let at = row.last + 1;
        Err(Box::new(Cure { id: row.id, row: Some(RoomRow { epoch: epoch(), ..row }), at, why }))
    }

    /// The room up to where its records hold.
    fn cut(&self, row: RoomRow, epoch: Epoch) -> RoomRow {
        let last = self.next.unwrap_or(row.first) - 1;
        RoomRow {
            epoch,
            last,
            events: self.events,
            bytes: self.bytes,
            digest: self.digest.unwrap_or(row.digest_before),
            base: row.base.clone().filter(|base| base.offset <= last),
            ..row
        }
    }

    /// A room whose own row is lost, from its records. What stood before the first one is not known, so unless
    /// that is the very first, it only serves to say with which digest the rest begins.
    fn rebuilt(&self, row: RoomRow, epoch: Epoch) -> RoomRow {
        let Some((offset, digest, bytes)) = self.first else { return RoomRow { epoch, base: None, ..row } };
        let last = self.next.unwrap_or(1) - 1;
        let is_beginning = offset == 1;
        let first = if is_beginning { 1 } else { offset + 1 };
        let covers = |base: &Base| base.offset <= last && base.offset + 1 >= first;
        RoomRow {
            epoch,
            first,
            last,
            events: self.events - usize::from(!is_beginning),
            bytes: self.bytes - if is_beginning { 0 } else { bytes },
            digest_before: if is_beginning { row.digest_before } else { digest },
            digest: self.digest.unwrap_or(digest),
            at_ms: self.at_ms,
            base: row.base.clone().filter(covers),
            ..row
        }
    }
}
