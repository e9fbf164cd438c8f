//! The rows of the database's tables, and their checksums.
//!
//! Epochs and digests, which are unsigned numbers of 64 bits, are stored bit for bit as SQLite's signed integers.
//!
//! Does not know: transactions, files.

use crate::log::{Base, Head, Record, deleted};
use crate::protocol::event::Event;
use crate::protocol::ids::{Digest, Epoch, Hex64, Offset, RoomId};
use crate::protocol::kind::Left;
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, named_params};

/// Bytes that an event counts beside its body: its numbers, and SQLite's headers.
const OVERHEAD_BYTES: usize = 48;

/// The bytes that an event counts for retention and for the limits of reads.
pub(super) fn cost(body_bytes: usize) -> usize {
    body_bytes + OVERHEAD_BYTES
}

/// Why a row cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("a checksum does not match")]
    Sum,
    #[error("a column has the wrong type")]
    Shape,
    /// The checksum matches, but the body is not an event.
    #[error("an event cannot be decoded")]
    Event,
    #[error("a record is missing")]
    Missing,
    /// A record has an offset outside the room's bounds, or out of order.
    #[error("a record is outside the bounds of its room")]
    Stray,
    #[error("the digest does not match the records")]
    Digest,
}

/// A row of `events` whose checksum is not yet checked and whose body is not yet decoded.
#[derive(Debug)]
pub(super) struct EventRow<'a> {
    pub(super) room: i64,
    pub(super) offset: Offset,
    pub(super) at_ms: u64,
    pub(super) digest: Digest,
    pub(super) sum: u32,
    pub(super) body: &'a [u8],
}

/// The columns that [`EventRow::of`] reads, in this order.
pub(super) const EVENT_COLUMNS: &str = "room, offset, at_ms, digest, sum, body";

impl<'a> EventRow<'a> {
    /// Reads the columns and checks their types only.
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

    /// Checks the row's checksum.
    pub(super) fn check(&self) -> Result<(), Damage> {
        let sum = event_sum(self.room, self.offset, self.at_ms, self.digest, self.body);
        if sum == self.sum { Ok(()) } else { Err(Damage::Sum) }
    }

    /// Decodes a checked row.
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

/// Stores one event, whose JSON is `body`.
pub(super) fn insert_event(conn: &Connection, room: i64, record: &Record, body: &str) -> rusqlite::Result<()> {
    let sum = event_sum(room, record.offset, record.at_ms, record.digest, body.as_bytes());
    let mut insert = conn.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    insert.execute((room, record.offset, record.at_ms, signed(record.digest), sum, body))?;
    Ok(())
}

/// Removes the texts of `comments`; each comes with what is left of it. Returns the bytes that they no longer count.
pub(super) fn delete_comments(
    conn: &Connection,
    room: i64,
    comments: impl Iterator<Item = (Offset, Left)>,
) -> rusqlite::Result<usize> {
    let mut comments = comments.peekable();
    if comments.peek().is_none() {
        return Ok(0);
    }
    // With ON, SQLite also fills pages with zeros that held only a part of a long text. For everything that retention
    // removes, that would cost one write per freed page.
    conn.pragma_update(None, "secure_delete", "ON")?;
    let freed: rusqlite::Result<usize> = comments.map(|(offset, left)| delete_comment(conn, room, offset, left)).sum();
    conn.pragma_update(None, "secure_delete", "FAST")?;
    freed
}

/// Removes a comment's text, but not its digest. Returns the bytes that it no longer counts. A record that is missing,
/// is not a comment, was deleted before, or is damaged does not change. A damaged one cannot be read, and the next
/// start puts it aside.
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
            tracing::error!(room, offset, why = %damage, "a record to be deleted is damaged; restart the server, which repairs the log");
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoomRow {
    pub(super) id: i64,
    pub(super) name: RoomId,
    pub(super) epoch: Epoch,
    /// First retained offset; `last + 1` when no event is retained.
    pub(super) first: Offset,
    pub(super) last: Offset,
    /// Retained events, and the bytes that they count ([`cost`]).
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// The digest before the first retained record.
    pub(super) digest_before: Digest,
    /// The digest of the newest record.
    pub(super) digest: Digest,
    /// The time of the newest record; 0 if the room never had one.
    pub(super) at_ms: u64,
    /// Wall clock of the room's last opening.
    pub(super) opened_ms: u64,
    pub(super) base: Option<Base>,
}

/// How far a stored row of `rooms` can be trusted.
#[derive(Debug)]
pub(super) enum Belief {
    /// All checksums match.
    Whole(RoomRow),
    /// Only the checksum of number and name matches, and perhaps that of the base. The rest has to come from the
    /// events.
    Name(i64, RoomId, Option<Base>),
    Nothing,
}

/// The columns that [`RoomRow::of`] reads, in this order.
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

    /// Reads the columns and checks their checksums.
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

    /// The room's row by name; `None` if there is none.
    ///
    /// # Errors
    /// If SQLite fails, or if the row is damaged.
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

/// The error for a damaged row that is found while the log runs. Callers treat it like a failure of the device.
pub(super) fn damaged() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some("a stored row does not match its checksum".into()))
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
