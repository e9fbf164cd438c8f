//! Repair in place: untrusted records are moved to other tables, and the room continues in a new epoch.
//!
//! Does not know: how the damage was found.

use super::walk::Cure;
use crate::log::disk::row::{EVENT_COLUMNS, ROOM_COLUMNS};
use rusqlite::Connection;

/// Repairs all rooms in one transaction, which is durable when this returns.
pub(crate) fn heal(conn: &Connection, cures: &[Cure], now_ms: u64) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = cures.iter().try_for_each(|cure| heal_one(conn, cure, now_ms));
    match done.and_then(|()| conn.execute_batch("COMMIT")) {
        Ok(()) => Ok(()),
        Err(error) => {
            if !conn.is_autocommit() {
                conn.execute_batch("ROLLBACK")?;
            }
            Err(error)
        }
    }
}

fn heal_one(conn: &Connection, cure: &Cure, now_ms: u64) -> rusqlite::Result<()> {
    let why = cure.why.to_string();
    // The range that is kept: empty if the room has no row any more.
    let (first, last) = cure.row.as_ref().map_or((1, 0), |row| (row.first, row.last));
    conn.prepare_cached(&format!(
        "INSERT INTO damaged_events SELECT ?1, ?2, {EVENT_COLUMNS} FROM events
         WHERE room = ?3 AND NOT (offset BETWEEN ?4 AND ?5)"
    ))?
    .execute((now_ms, &why, cure.id, first, last))?;
    conn.prepare_cached("DELETE FROM events WHERE room = ?1 AND NOT (offset BETWEEN ?2 AND ?3)")?
        .execute((cure.id, first, last))?;
    // The old row is kept too, so that an operator can look up its epoch and base.
    conn.prepare_cached(&format!("INSERT INTO damaged_rooms SELECT ?1, ?2, {ROOM_COLUMNS} FROM rooms WHERE id = ?3"))?
        .execute((now_ms, &why, cure.id))?;
    match &cure.row {
        Some(row) => row.store(conn),
        None => conn.prepare_cached("DELETE FROM rooms WHERE id = ?1")?.execute([cure.id]).map(drop),
    }
}
