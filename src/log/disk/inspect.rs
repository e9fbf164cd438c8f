//! Inspection of a log for `volley log`. It only reads, and works beside a running server.
//!
//! Each room is read in a transaction of its own, so that it never delays the server's checkpoints for long. Commits of
//! the server between two rooms are visible in the later room only.
//!
//! Does not know: how damage is healed, how a room is printed.

use super::directory::{DiskError, check_files, check_format, database_of, system};
use super::recovery::walk::{RoomClaim, Walk};
use super::row::{Belief, Damage, EVENT_COLUMNS, EventRow, ROOM_COLUMNS, RoomRow};
use super::schema;
use crate::log::digest;
use crate::protocol::event::Event;
use crate::protocol::ids::{Epoch, Offset};
use rusqlite::Connection;
use std::path::Path;

/// A stored room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    /// The room's id; `#` and its number if the id cannot be read.
    pub name: String,
    pub epoch: Epoch,
    pub first: Offset,
    pub last: Offset,
    /// Retained events, and the bytes that they count for retention.
    pub events: usize,
    pub bytes: usize,
    /// Time of the newest event, in milliseconds since the Unix epoch; 0 if the room never had one.
    pub at_ms: u64,
    /// The first damage found; always `None` unless the room was verified.
    pub damage: Option<String>,
}

/// A log that is open for inspection.
pub struct Inspector {
    conn: Connection,
    path: std::path::PathBuf,
    after: i64,
}

impl Inspector {
    /// Opens the log in `directory`.
    ///
    /// # Errors
    /// [`DiskError`] if there is no log, or if it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, DiskError> {
        let path = database_of(directory);
        match std::fs::metadata(directory) {
            Ok(found) if !found.is_dir() => return Err(DiskError::NotADirectory(directory.into())),
            Ok(_) if path.symlink_metadata().is_err() => return Err(DiskError::Empty(directory.into())),
            // A reader too writes the index of the write-ahead log.
            Ok(_) => check_files(directory).and_then(|()| check_format(directory))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(DiskError::Empty(directory.into()));
            }
            Err(error) => return Err(system(directory, "find the log", &error)),
        }
        let conn = schema::reader(&path, None).map_err(|error| system(directory, "open the log", &error))?;
        Ok(Self { conn, path, after: 0 })
    }

    /// The next room, in the order of the rooms' numbers; `None` after the last one. `verify`: check all of its
    /// records.
    ///
    /// # Errors
    /// [`DiskError::Unreadable`] if SQLite cannot read on.
    pub fn next(&mut self, verify: bool) -> Result<Option<RoomInfo>, DiskError> {
        let done = self
            .look(verify)
            .map_err(|error| DiskError::Unreadable { path: self.path.clone(), why: error.to_string() });
        // The transaction only served to read one room at one moment.
        let _ = self.conn.execute_batch("ROLLBACK");
        done
    }

    /// The number of damaged records that earlier starts put aside.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn put_aside(&self) -> Result<u64, DiskError> {
        self.conn
            .query_row("SELECT count(*) FROM damaged_events", [], |row| row.get(0))
            .map_err(|error| DiskError::Unreadable { path: self.path.clone(), why: error.to_string() })
    }

    /// The first damage that SQLite finds in its own structure; `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn structure(&self) -> Result<Option<String>, DiskError> {
        self.conn
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
            .map(|said| (said != "ok").then_some(said))
            .map_err(|error| DiskError::Unreadable { path: self.path.clone(), why: error.to_string() })
    }

    fn look(&mut self, verify: bool) -> rusqlite::Result<Option<RoomInfo>> {
        self.conn.execute_batch("BEGIN")?;
        let mut select =
            self.conn.prepare_cached(&format!("SELECT {ROOM_COLUMNS} FROM rooms WHERE id > ?1 ORDER BY id LIMIT 1"))?;
        let mut rows = select.query([self.after])?;
        let Some(found) = rows.next()? else { return Ok(None) };
        let id: i64 = found.get(0)?;
        let (row, damage) = match RoomRow::of(found)? {
            Belief::Whole(row) => (row, None),
            Belief::Name(id, name, _) => {
                (RoomRow::new(id, name, Epoch::default(), 0), Some("the room's row is damaged".to_owned()))
            }
            Belief::Nothing => {
                self.after = id;
                return Ok(Some(RoomInfo {
                    name: format!("#{id}"),
                    epoch: Epoch::default(),
                    first: 1,
                    last: 0,
                    events: 0,
                    bytes: 0,
                    at_ms: 0,
                    damage: Some("the room's row is damaged, including its name".to_owned()),
                }));
            }
        };
        let damage = match damage {
            None if verify => verify_room(&self.conn, &row)?,
            known => known,
        };
        self.after = id;
        let RoomRow { name, epoch, first, last, events, bytes, at_ms, .. } = row;
        let name = name.to_string();
        Ok(Some(RoomInfo { name, epoch, first, last, events, bytes, at_ms, damage }))
    }
}

/// Checks all records of a room: their checksums and order, that each can be decoded, and the chain of digests.
fn verify_room(conn: &Connection, row: &RoomRow) -> rusqlite::Result<Option<String>> {
    let mut select =
        conn.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM events WHERE room = ?1 ORDER BY room, offset"))?;
    let mut rows = select.query([row.id])?;
    let mut walk = Walk::new(RoomClaim::Whole(row.clone()));
    let mut digest = row.digest_before;
    while let Some(found) = rows.next()? {
        let event = EventRow::of(found)?;
        if !walk.step(&event) {
            break;
        }
        let Ok(event) = event else { break };
        let wrong = |why: Damage| Ok(Some(format!("at offset {}: {why}", event.offset)));
        let Ok(record) = event.record() else { return wrong(Damage::Event) };
        // The digest of a deleted comment cannot be computed again. The chain continues from the stored one, which the
        // row's checksum covers.
        let is_deleted = matches!(&record.event, Event::Comment(comment) if comment.deleted);
        if !is_deleted && digest::extend(digest, record.offset, &record.event) != record.digest {
            return wrong(Damage::Digest);
        }
        digest = record.digest;
    }
    // The side file is not read here; the next start checks it.
    let known = Some(super::heads::NotedHead::Head(row.epoch, row.last));
    Ok(walk.end(known, Epoch::default).err().map(|cure| format!("at offset {}: {}", cure.at, cure.why)))
}
