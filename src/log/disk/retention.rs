//! The removal of events and rooms: by order of an open room, and by age from closed rooms.
//!
//! Does not know: deliveries, threads. Everything happens inside a transaction of the caller.

use super::row::{Belief, ROOM_COLUMNS, RoomRow, cost};
use crate::faults::fail_point;
use crate::log::{Base, Retention};
use crate::protocol::ids::{Digest, Hex64, Offset};
use rusqlite::Connection;
use std::sync::LazyLock;

/// Removes the room's events that `retention` does not keep, oldest first: at most `events_max`, and only events that
/// `base` covers. Changes `row`, which the caller stores. Returns the number of removed events.
pub(super) fn trim(
    conn: &Connection,
    row: &mut RoomRow,
    retention: &Retention,
    now_ms: u64,
    base: Option<&Base>,
    events_max: usize,
) -> rusqlite::Result<usize> {
    let Some(base) = base else { return Ok(0) };
    let mut oldest = conn.prepare_cached(
        "SELECT offset, at_ms, digest, octet_length(body) FROM events
         WHERE room = ?1 AND offset >= ?2 ORDER BY offset LIMIT ?3",
    )?;
    let (mut events, mut bytes) = (row.events, row.bytes);
    let mut cut: Option<(Offset, Digest)> = None;
    let mut rows = oldest.query((row.id, row.first, i64::try_from(events_max).unwrap_or(i64::MAX)))?;
    while let Some(found) = rows.next()? {
        let (offset, at_ms): (Offset, u64) = (found.get(0)?, found.get(1)?);
        let is_old = now_ms.saturating_sub(at_ms) > retention.age_ms;
        let fits = !is_old && events <= retention.events && bytes <= retention.bytes;
        if fits || offset > base.offset {
            break;
        }
        events = events.saturating_sub(1);
        bytes = bytes.saturating_sub(cost(found.get(3)?));
        cut = Some((offset, Hex64(found.get::<_, i64>(2)?.cast_unsigned())));
    }
    let Some((offset, digest)) = cut else { return Ok(0) };
    let mut delete = conn.prepare_cached("DELETE FROM events WHERE room = ?1 AND offset <= ?2")?;
    let gone = delete.execute((row.id, offset))?;
    fail_point!("in_retention");
    row.first = offset + 1;
    row.digest_before = digest;
    (row.events, row.bytes) = (events, bytes);
    Ok(gone)
}

static SELECT_FROM: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {ROOM_COLUMNS} FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2"));

/// The stored rooms after number `after`, in order, and where to continue. Damaged rows are left out; the next start
/// repairs them.
pub(super) fn rooms_after(
    conn: &Connection,
    after: i64,
    count: usize,
) -> rusqlite::Result<(Vec<RoomRow>, Option<i64>)> {
    let mut select = conn.prepare_cached(&SELECT_FROM)?;
    let mut rows = select.query((after, count))?;
    let (mut found, mut last, mut seen) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        seen += 1;
        last = Some(row.get(0)?);
        if let Belief::Whole(row) = RoomRow::of(row)? {
            found.push(row);
        }
    }
    Ok((found, if seen < count { None } else { last }))
}

/// Whether a closed room can be removed: its newest event and its last opening are older than `age_ms`.
pub(super) fn is_expired(row: &RoomRow, age_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(row.at_ms.max(row.opened_ms)) > age_ms
}

/// Removes a room from the log at once. [`sweep_doomed`] removes its events in bounded pieces; until then its number is
/// in use.
pub(super) fn doom(conn: &Connection, id: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM rooms WHERE id = ?1")?.execute([id])?;
    conn.prepare_cached("INSERT INTO doomed VALUES (?1)")?.execute([id])?;
    Ok(())
}

/// Removes at most `events_max` events of doomed rooms. Returns how many, and the room number that is free now.
pub(super) fn sweep_doomed(conn: &Connection, events_max: usize) -> rusqlite::Result<(usize, Option<i64>)> {
    let mut next = conn.prepare_cached("SELECT room FROM doomed LIMIT 1")?;
    let mut rows = next.query([])?;
    let Some(row) = rows.next()? else { return Ok((0, None)) };
    let id: i64 = row.get(0)?;
    let mut delete = conn.prepare_cached(
        "DELETE FROM events WHERE room = ?1 AND offset <= (SELECT max(offset) FROM
             (SELECT offset FROM events WHERE room = ?1 ORDER BY offset LIMIT ?2))",
    )?;
    let gone = delete.execute((id, events_max))?;
    if gone == events_max {
        return Ok((gone, None));
    }
    conn.prepare_cached("DELETE FROM doomed WHERE room = ?1")?.execute([id])?;
    Ok((gone, Some(id)))
}
