//! Checks one room's records in order, and finds how many of the first ones are valid.
//!
//! Does not know: where the rows come from, and where they go.

use crate::faults::spoil;
use crate::log::Base;
use crate::log::disk::heads::NotedHead;
use crate::log::disk::row::{Damage, EventRow, RoomRow, cost};
use crate::protocol::ids::{Digest, Epoch, Offset};

/// A room's row before its records are checked.
#[derive(Debug)]
pub(crate) enum RoomClaim {
    /// The row can be trusted.
    Whole(RoomRow),
    /// Only name and number, and perhaps the base, can be trusted. The other fields are to be rebuilt from the records.
    Name(RoomRow),
}

/// The damage of a room, and its repaired row.
#[derive(Debug)]
pub(crate) struct Cure {
    pub(crate) id: i64,
    /// The row with which the room continues, in a new epoch; `None` if no part of the room can be used.
    pub(crate) row: Option<RoomRow>,
    /// The first offset that is not kept.
    pub(crate) at: Offset,
    pub(crate) why: Why,
}

/// Why a room is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("{0}")]
    Record(Damage),
    #[error("the room's row is damaged")]
    Row,
    #[error("these records belong to no room")]
    Orphans,
    /// The room's entry in the side file has a later offset.
    #[error("its newest events are lost: the log ended at {0} before")]
    LostTail(Offset),
    /// The room's entry in the side file has a different epoch.
    #[error("the log had the epoch {0} before, so later changes are lost")]
    OtherEpoch(Epoch),
    /// The room has no valid entry in the side file.
    #[error("its entry in volley.heads is missing or damaged, so the newest events may be lost")]
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Walk {
    claim: RoomClaim,
    next: Option<Offset>,
    /// The digest of the last valid record.
    digest: Option<Digest>,
    at_ms: u64,
    events: usize,
    bytes: usize,
    /// Offset, digest and cost of the first valid record.
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

    /// Checks the next record. Returns whether it is kept.
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
        let tail = spoil!(lost_tail, 0, 2);
        let is_beyond = matches!(&self.claim, RoomClaim::Whole(row) if event.offset + tail > row.last);
        if is_beyond || event.offset < expected {
            return Err((expected, Damage::Stray));
        }
        if event.offset > expected {
            return Err((expected, Damage::Missing));
        }
        Ok((event, cost(event.body.len())))
    }

    /// Reading failed before the last record: the rest counts as missing.
    pub(crate) fn broke_off(&mut self) {
        let next = self.next.unwrap_or(1);
        self.bad.get_or_insert((next, Damage::Missing));
    }

    /// The row of an undamaged room, or the repair of a damaged one. `known` is the room's entry in the side file,
    /// `None` without a side file.
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
            let epoch = spoil!(lost_tail, epoch(), row.epoch);
            let row = self.cut(row, epoch);
            return Err(Box::new(Cure { id: row.id, row: Some(row), at, why: Why::Record(damage) }));
        }
        let why = match known {
            Some(NotedHead::Head(epoch, last)) if epoch == row.epoch && last <= row.last => return Ok(row),
            Some(NotedHead::Head(epoch, last)) if epoch == row.epoch => Why::LostTail(last),
            // Either the database lost the repair that began the other epoch, or no client knows this epoch yet.
            Some(NotedHead::Head(other, _)) => Why::OtherEpoch(other),
            // The entry is synced before the room's opening is answered. Without it, either no client knows this epoch
            // yet, or the side file is damaged.
            Some(NotedHead::Nothing | NotedHead::Damaged) | None => Why::Unknown,
        };
        let at = row.last + 1;
        Err(Box::new(Cure { id: row.id, row: Some(RoomRow { epoch: epoch(), ..row }), at, why }))
    }

    /// The row of the room up to its last valid record.
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

    /// Rebuilds a lost row from the room's records. The digest before the first record is not stored anywhere else. So
    /// unless that record has offset 1, it is not kept, and its digest is the one before the rest.
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
