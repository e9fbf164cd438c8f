//! Copies the readable rooms of a database whose own structure is damaged into a new file.
//!
//! The damaged file is kept under the first free name of `volley.db.damaged-1`, `-2`, …. The new file takes its place
//! in one rename, so that `volley.db` is always one of the two. A start that is killed here begins again.
//!
//! Does not know: what happens to rooms that lost events, beyond their new epoch.

use super::new_epoch;
use super::scan::doomed;
use super::walk::{Cure, RoomClaim, Walk};
use crate::log::disk::directory::{Directory, DiskError};
use crate::log::disk::heads::HeadsFile;
use crate::log::disk::options::Options;
use crate::log::disk::row::{Belief, EVENT_COLUMNS, EventRow, ROOM_COLUMNS, RoomRow};
use crate::log::disk::schema;
use crate::protocol::ids::Epoch;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

/// The result of a salvage.
pub(crate) struct Salvaged {
    /// Rooms that lost events, or may have.
    pub(crate) cures: Vec<Cure>,
    /// The path of the damaged file.
    pub(crate) kept: PathBuf,
}

/// Replaces the damaged database with a new one that has its readable rooms.
pub(crate) fn salvage(directory: &Directory, options: &Options) -> Result<Salvaged, DiskError> {
    let database = directory.database();
    let damaged = |error: &dyn std::fmt::Display| DiskError::Damaged { path: database.clone(), why: error.to_string() };
    let old = open_damaged(directory, options).map_err(|error| damaged(&error))?;
    let instance = schema::instance(&old).unwrap_or_else(|_| rand::random());
    let rooms = read_rooms(&old).map_err(|error| damaged(&error))?;
    let new_path = directory.beside(".salvage");
    let failed = |error: &dyn std::fmt::Display| directory.error("write the copy of the damaged database", error);
    schema::create(&new_path, options.vfs.as_deref(), instance).map_err(|error| failed(&error))?;
    let heads = HeadsFile::open(&directory.heads(), instance).map_err(|error| failed(&error))?;
    let cures = copy(&old, &new_path, options, rooms, heads.as_ref()).map_err(|error| failed(&error))?;
    drop(old);
    let kept = swap(directory).map_err(|error| failed(&error))?;
    Ok(Salvaged { cures, kept })
}

/// Opens a database that SQLite would refuse, such as a file that was cut.
fn open_damaged(directory: &Directory, options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let path = directory.database();
    let conn = match options.vfs.as_deref() {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    conn.execute_batch("PRAGMA writable_schema = ON; PRAGMA cell_size_check = ON;")?;
    // The write-ahead log belongs to this file and must not be replayed into the new one.
    if schema::checkpoint(&conn, "TRUNCATE").is_err() {
        tracing::error!("the write-ahead log of the damaged database cannot be copied into it; its events may be lost");
    }
    Ok(conn)
}

/// The rooms that can be read from either end of the table, and how far their rows can be trusted.
fn read_rooms(conn: &Connection) -> rusqlite::Result<BTreeMap<i64, RoomClaim>> {
    let doomed = doomed(conn).unwrap_or_default();
    let mut rooms = BTreeMap::new();
    let mut first_error = None;
    for order in ["ASC", "DESC"] {
        let mut take = || -> rusqlite::Result<()> {
            let mut select = conn.prepare(&format!("SELECT {ROOM_COLUMNS} FROM rooms ORDER BY id {order}"))?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let claim = match RoomRow::of(row)? {
                    Belief::Whole(row) => RoomClaim::Whole(row),
                    Belief::Name(id, name, base) => {
                        RoomClaim::Name(RoomRow { base, ..RoomRow::new(id, name, Epoch::default(), 0) })
                    }
                    Belief::Nothing => continue,
                };
                let (RoomClaim::Whole(row) | RoomClaim::Name(row)) = &claim;
                if !doomed.contains(&row.id) {
                    rooms.entry(row.id).or_insert(claim);
                }
            }
            Ok(())
        };
        if let Err(error) = take() {
            first_error.get_or_insert(error);
        }
    }
    match first_error {
        Some(error) if rooms.is_empty() => Err(error),
        Some(error) => {
            tracing::error!(%error, readable = rooms.len(), "some rooms of the damaged database cannot be read");
            Ok(rooms)
        }
        None => Ok(rooms),
    }
}

fn copy(
    old: &Connection,
    new_path: &std::path::Path,
    options: &Options,
    rooms: BTreeMap<i64, RoomClaim>,
    heads: Option<&HeadsFile>,
) -> rusqlite::Result<Vec<Cure>> {
    let new = schema::plain_writer(new_path, options.vfs.as_deref())?;
    new.execute_batch("BEGIN IMMEDIATE")?;
    let mut known = heads.map(HeadsFile::reader);
    let (mut cures, mut names) = (Vec::new(), std::collections::HashSet::new());
    for (id, claim) in rooms {
        let (RoomClaim::Whole(row) | RoomClaim::Name(row)) = &claim;
        if !names.insert(row.name.clone()) {
            continue; // Two rows have one name, so the table is damaged. The lower number is older.
        }
        let mut walk = Walk::new(claim);
        if let Err(error) = copy_events(old, &new, id, &mut walk) {
            tracing::debug!(%error, id, "a room cannot be read to its end");
            walk.broke_off();
        }
        let known = match known.as_mut().map(|known| known.get(id)) {
            Some(Ok(known)) => Some(known),
            _ => None,
        };
        let row = match walk.end(known, new_epoch) {
            Ok(row) => row,
            Err(cure) => {
                let Some(row) = cure.row.clone() else { continue };
                cures.push(*cure);
                row
            }
        };
        new.prepare_cached("DELETE FROM events WHERE room = ?1 AND NOT (offset BETWEEN ?2 AND ?3)")?
            .execute((id, row.first, row.last))?;
        row.store(&new)?;
    }
    new.execute_batch("COMMIT")?;
    new.close().map_err(|(_, error)| error)?;
    Ok(cures)
}

/// Copies the records of a room up to the first damaged one.
fn copy_events(old: &Connection, new: &Connection, id: i64, walk: &mut Walk) -> rusqlite::Result<()> {
    let mut select =
        old.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM events WHERE room = ?1 ORDER BY room, offset"))?;
    let mut insert = new.prepare_cached("INSERT OR IGNORE INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut rows = select.query([id])?;
    while let Some(row) = rows.next()? {
        let event = EventRow::of(row)?;
        if !walk.step(&event) {
            return Ok(());
        }
        let column = |at: usize| row.get_ref(at);
        insert.execute(rusqlite::params![
            column(0)?.as_i64()?,
            column(1)?.as_i64()?,
            column(2)?.as_i64()?,
            column(3)?.as_i64()?,
            column(4)?.as_i64()?,
            column(5)?.as_str()?
        ])?;
    }
    Ok(())
}

/// Renames the damaged file, and gives its name to the new one.
fn swap(directory: &Directory) -> io::Result<PathBuf> {
    let (database, wal) = (directory.database(), directory.beside("-wal"));
    let mut number = 1;
    let kept = loop {
        let name = directory.beside(&format!(".damaged-{number}"));
        match fs::hard_link(&database, &name) {
            Ok(()) => break name,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    // SQLite would replay the damaged file's write-ahead log into the new file.
    let is_empty = fs::metadata(&wal).map_or(true, |found| found.len() == 0);
    if is_empty {
        let _ = fs::remove_file(&wal);
    } else {
        fs::rename(&wal, directory.beside(&format!(".damaged-{number}-wal")))?;
    }
    let _ = fs::remove_file(directory.beside("-shm"));
    directory.sync()?;
    fs::rename(directory.beside(".salvage"), &database)?;
    directory.sync()?;
    Ok(kept)
}
