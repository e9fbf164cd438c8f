//! What stands in the store's tables, and the checksums over it.
//!
//! Numbers of 64 bits that are no counts (epochs, digests) are stored as SQLite's signed integers, bit for bit.
//!
//! Does not know: transactions, files, who asks.

use crate::log::{Base, Head, Record, deleted};
use crate::protocol::event::{Event, Left};
use crate::protocol::ids::{Digest, Epoch, Hex64, Offset, RoomId};
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, named_params};

/// Bytes that a stored event counts beside its text: its numbers, and SQLite's headers.
const OVERHEAD_BYTES: usize = 48;

/// What an event of so many bytes of text counts for retention and for limits of reads.
pub(super) fn cost(body_bytes: usize) -> usize {
    body_bytes + OVERHEAD_BYTES
}

/// Why a row is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes are not those that were written.
    #[error("a checksum does not fit")]
    Sum,
    /// A column is not of its type.
    #[error("a column has the wrong type")]
    Shape,
    /// It is intact and still no event.
    #[error("an event cannot be read")]
    Event,
    /// A record is not there.
    #[error("a record is missing")]
    Missing,
    /// A record stands where the log does not reach.
    #[error("a record stands outside its log")]
    Stray,
    /// The digest does not follow from the records.
    #[error("the digest does not fit the records")]
    Digest,
}

/// A row of `events`, not yet decoded.
#[derive(Debug)]
pub(super) struct EventRow<'a> {
    pub(super) room: i64,
    pub(super) offset: Offset,
    pub(super) at_ms: u64,
    pub(super) digest: Digest,
    pub(super) sum: u32,
    pub(super) body: &'a [u8],
}

/// The columns that [`EventRow::of`] reads, in their order.
pub(super) const EVENT_COLUMNS: &str = "room, offset, at_ms, digest, sum, body";

impl<'a> EventRow<'a> {
    /// Reads the columns, and believes none of them yet.
    pub(super) fn of(row: &'a Row<'_>) -> rusqlite::Result<Result<Self, Damage>> {
        let (room, offset, at_ms) = (integer(row, 0)?, integer(row, 1)?, integer(row, 2)?);
        let (digest, sum, body) = (integer(row, 3)?, integer(row, 4)?, row.get_ref(5)?);
        let (Some(room), Some(offset), Some(at_ms), Some(digest), Some(sum)) = (room, offset, at_ms, digest, sum)
        else {
            return Ok(Err(Damage::Shape));
        };
        let (Ok(offset), Ok(at_ms), Ok(sum)) = (u64::try_from(offset), u64::try_from(at_ms), u32::try_from(sum)) else {
            return Ok(Err(Damage::Shape));
        };
        let ValueRef::Text(body) = body else { return Ok(Err(Damage::Shape)) };
        Ok(Ok(Self { room, offset, at_ms, digest: unsigned(digest), sum, body }))
    }

    /// Whether the row is what was written.
    pub(super) fn check(&self) -> Result<(), Damage> {
        let sum = event_sum(self.room, self.offset, self.at_ms, self.digest, self.body);
        if sum == self.sum { Ok(()) } else { Err(Damage::Sum) }
    }

    /// The record that a checked row holds.
    pub(super) fn record(&self) -> Result<Record, Damage> {
        let event: Event = serde_json::from_slice(self.body).map_err(|_| Damage::Event)?;
        Ok(Record { offset: self.offset, at_ms: self.at_ms, digest: self.digest, event })
    }
}

/// The checksum of a row of `events`.
pub(super) fn event_sum(room: i64, offset: Offset, at_ms: u64, digest: Digest, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&room.to_le_bytes());
    sum.update(&offset.to_le_bytes());
    sum.update(&at_ms.to_le_bytes());
    sum.update(&digest.0.to_le_bytes());
    sum.update(body);
    sum.finalize()
}

/// Stores one event; its text is `body`.
pub(super) fn insert_event(conn: &Connection, room: i64, record: &Record, body: &str) -> rusqlite::Result<()> {
    let sum = event_sum(room, record.offset, record.at_ms, record.digest, body.as_bytes());
    let mut insert = conn.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    insert.execute((room, record.offset, record.at_ms, signed(record.digest), sum, body))?;
    Ok(())
}

/// Takes the texts of `comments` away, each with what stays of it. Says how much less they count now.
pub(super) fn delete_comments(
    conn: &Connection,
    room: i64,
    comments: impl Iterator<Item = (Offset, Left)>,
) -> rusqlite::Result<usize> {
    let mut comments = comments.peekable();
    if comments.peek().is_none() {
        return Ok(0);
    }
    // Pages that a long text had to itself are filled with zeros too, this once: for all that retention drops it would cost
    // as many writes as the pages that it frees.
    conn.pragma_update(None, "secure_delete", "ON")?;
    let freed: rusqlite::Result<usize> = comments.map(|(offset, left)| delete_comment(conn, room, offset, left)).sum();
    conn.pragma_update(None, "secure_delete", "FAST")?;
    freed
}

/// Takes a comment's text away; its digest stays. Says how much less it counts now. What is there no more, no comment,
/// deleted before, or damaged is left as it is: the last of these can be read by nobody, and the next start puts it aside.
fn delete_comment(conn: &Connection, room: i64, offset: Offset, left: Left) -> rusqlite::Result<usize> {
    let mut select = conn.prepare_cached(const_str(&SELECT_EVENT))?;
    let mut rows = select.query((room, offset))?;
    let Some(found) = rows.next()? else { return Ok(0) };
    let record = EventRow::of(found)?.and_then(|row| {
        row.check()?;
        Ok((row.body.len(), row.record()?))
    });
    let (before, record) = match record {
        Ok((before, Record { offset, at_ms, digest, event: Event::Comment(comment) })) if !comment.deleted => {
            (before, Record { offset, at_ms, digest, event: Event::Comment(deleted(&comment, left)) })
        }
        Ok(_) => return Ok(0),
        Err(damage) => {
            tracing::error!(room, offset, why = %damage, "a record to be deleted is damaged; a restart heals the log");
            return Ok(0);
        }
    };
    drop(rows);
    let body = serde_json::to_string(&record.event)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sum = event_sum(room, offset, record.at_ms, record.digest, body.as_bytes());
    conn.prepare_cached("UPDATE events SET sum = ?3, body = ?4 WHERE room = ?1 AND offset = ?2")?.execute((
        room,
        offset,
        sum,
        body.as_str(),
    ))?;
    Ok(cost(before).saturating_sub(cost(body.len())))
}

/// A row of `rooms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoomRow {
    pub(super) id: i64,
    pub(super) name: RoomId,
    pub(super) epoch: Epoch,
    /// First retained offset; `last + 1` when nothing is.
    pub(super) first: Offset,
    pub(super) last: Offset,
    /// Retained events.
    pub(super) events: usize,
    /// What they count ([`cost`]).
    pub(super) bytes: usize,
    /// The digest before the first retained record.
    pub(super) digest_before: Digest,
    /// The digest of the newest record.
    pub(super) digest: Digest,
    /// The time of the newest record; 0 when there never was one.
    pub(super) at_ms: u64,
    /// When the room was opened last.
    pub(super) opened_ms: u64,
    pub(super) base: Option<Base>,
}

/// How far a stored row of `rooms` can be believed.
#[derive(Debug)]
pub(super) enum Belief {
    /// It is what was written.
    Whole(RoomRow),
    /// The name is what was written; the rest has to come from the events. A base with its own checksum is kept.
    Name(i64, RoomId, Option<Base>),
    /// Not even the name.
    Nothing,
}

/// The columns that [`RoomRow::of`] reads, in their order.
pub(super) const ROOM_COLUMNS: &str = "id, name, epoch, first, last, events, bytes, digest_before, digest, at_ms, \
     opened_ms, base_offset, base_state, sum_name, sum_base, sum";

impl RoomRow {
    pub(super) fn new(id: i64, name: RoomId, epoch: Epoch, now_ms: u64) -> Self {
        Self {
            id,
            name,
            epoch,
            first: 1,
            last: 0,
            events: 0,
            bytes: 0,
            digest_before: crate::log::digest::EMPTY,
            digest: crate::log::digest::EMPTY,
            at_ms: 0,
            opened_ms: now_ms,
            base: None,
        }
    }

    pub(super) fn head(&self) -> Head {
        Head { epoch: self.epoch, first: self.first, last: self.last }
    }

    /// Reads the columns and says how far they can be believed.
    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Belief> {
        let Some(id) = integer(row, 0)? else { return Ok(Belief::Nothing) };
        let name = match row.get_ref(1)? {
            ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(|text| RoomId::new(text).ok()),
            _ => None,
        };
        let Some(name) = name else { return Ok(Belief::Nothing) };
        let sum = |at| integer(row, at).map(|sum| sum.and_then(|sum| u32::try_from(sum).ok()));
        if sum(13)? != Some(name_sum(id, &name)) {
            return Ok(Belief::Nothing);
        }
        let base = base(row)?;
        let base_holds = sum(14)? == Some(base_sum(id, base.as_ref()));
        let base = if base_holds { base } else { None };
        let mut numbers = [0; 9];
        for (at, number) in numbers.iter_mut().enumerate() {
            match integer(row, at + 2)? {
                Some(found) => *number = found,
                None => return Ok(Belief::Name(id, name, base)),
            }
        }
        let [epoch, first, last, events, bytes, digest_before, digest, at_ms, opened_ms] = numbers;
        let count = |number: i64| usize::try_from(number).unwrap_or(0);
        let place = |number: i64| u64::try_from(number).unwrap_or(0);
        let (epoch, digest_before, digest) = (unsigned(epoch), unsigned(digest_before), unsigned(digest));
        let found = Self {
            id,
            name,
            epoch,
            first: place(first),
            last: place(last),
            events: count(events),
            bytes: count(bytes),
            digest_before,
            digest,
            at_ms: place(at_ms),
            opened_ms: place(opened_ms),
            base,
        };
        let whole = base_holds && sum(15)? == Some(found.sum());
        Ok(if whole { Belief::Whole(found) } else { Belief::Name(found.id, found.name, found.base) })
    }

    /// The checksum over the numbers.
    fn sum(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        let numbers = [
            self.id.cast_unsigned(),
            self.epoch.0,
            self.first,
            self.last,
            self.events as u64,
            self.bytes as u64,
            self.digest_before.0,
            self.digest.0,
            self.at_ms,
            self.opened_ms,
        ];
        for number in numbers {
            sum.update(&number.to_le_bytes());
        }
        sum.finalize()
    }

    /// Stores the row, new or changed.
    pub(super) fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut upsert = conn.prepare_cached(
            "INSERT INTO rooms VALUES (:id, :name, :epoch, :first, :last, :events, :bytes, :digest_before, :digest,
                 :at_ms, :opened_ms, :base_offset, :base_state, :sum_name, :sum_base, :sum)
             ON CONFLICT (id) DO UPDATE SET epoch = :epoch, first = :first, last = :last, events = :events,
                 bytes = :bytes, digest_before = :digest_before, digest = :digest, at_ms = :at_ms,
                 opened_ms = :opened_ms, base_offset = :base_offset, base_state = :base_state,
                 sum_base = :sum_base, sum = :sum",
        )?;
        upsert.execute(named_params! {
            ":id": self.id, ":name": self.name.as_str(), ":epoch": signed(self.epoch),
            ":first": self.first, ":last": self.last, ":events": self.events, ":bytes": self.bytes,
            ":digest_before": signed(self.digest_before), ":digest": signed(self.digest),
            ":at_ms": self.at_ms, ":opened_ms": self.opened_ms,
            ":base_offset": self.base.as_ref().map(|base| base.offset),
            ":base_state": self.base.as_ref().map(|base| &base.state[..]),
            ":sum_name": name_sum(self.id, &self.name), ":sum_base": base_sum(self.id, self.base.as_ref()),
            ":sum": self.sum(),
        })?;
        Ok(())
    }

    /// The room's row by name; `None` when there is none that can be believed.
    pub(super) fn by_name(conn: &Connection, name: &RoomId) -> rusqlite::Result<Option<Self>> {
        let mut select = conn.prepare_cached(const_str(&SELECT_BY_NAME))?;
        let mut rows = select.query([name.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        match Self::of(row)? {
            Belief::Whole(found) => Ok(Some(found)),
            Belief::Name(..) | Belief::Nothing => Err(damaged()),
        }
    }
}

static SELECT_EVENT: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| format!("SELECT {EVENT_COLUMNS} FROM events WHERE room = ?1 AND offset = ?2"));

static SELECT_BY_NAME: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| format!("SELECT {ROOM_COLUMNS} FROM rooms WHERE name = ?1"));

fn const_str(text: &'static std::sync::LazyLock<String>) -> &'static str {
    text.as_str()
}

/// A row that is not what was written, met while the log runs: for the caller as if the device had failed.
pub(super) fn damaged() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some("a stored row does not fit its checksum".into()))
}

fn name_sum(id: i64, name: &RoomId) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&id.to_le_bytes());
    sum.update(name.as_str().as_bytes());
    sum.finalize()
}

fn base_sum(id: i64, base: Option<&Base>) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&id.to_le_bytes());
    if let Some(base) = base {
        sum.update(&base.offset.to_le_bytes());
        sum.update(&base.state);
    }
    sum.finalize()
}

fn base(row: &Row<'_>) -> rusqlite::Result<Option<Base>> {
    let offset = integer(row, 11)?.and_then(|offset| u64::try_from(offset).ok());
    let ValueRef::Blob(state) = row.get_ref(12)? else { return Ok(None) };
    Ok(offset.map(|offset| Base { offset, state: Bytes::copy_from_slice(state) }))
}

fn integer(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<i64>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    })
}

fn signed(number: Hex64) -> i64 {
    number.0.cast_signed()
}

fn unsigned(number: i64) -> Hex64 {
    Hex64(number.cast_unsigned())
}
