//! Looking at a log from the outside: what `volley log` prints. Only reads, and works beside a running server.
//!
//! Each room is looked at in a transaction of its own, so that the server's checkpoints are never held up for long; what the
//! server does in between is seen or not seen, a room at a time.
//!
//! Does not know: how anything is healed, how it is printed.

use super::directory::{DiskError, check_files, check_format, database_of, system};
use super::recovery::walk::{RoomClaim, Walk};
use super::row::{Belief, Damage, EVENT_COLUMNS, EventRow, ROOM_COLUMNS, RoomRow};
use super::schema;
use crate::log::digest;
use crate::protocol::event::Event;
use crate::protocol::ids::{Epoch, Offset};
use rusqlite::Connection;
use std::path::Path;

/// One room as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its id; `#` and its number when that cannot be read.
    pub name: String,
    /// Its incarnation.
    pub epoch: Epoch,
    /// First retained offset.
    pub first: Offset,
    /// Newest offset.
    pub last: Offset,
    /// Retained events.
    pub events: usize,
    /// What they count for retention.
    pub bytes: usize,
    /// Wall clock of the newest, in milliseconds since the Unix epoch; 0 when there never was one.
    pub at_ms: u64,
    /// What is wrong, if it was looked for and found.
    pub damage: Option<String>,
}

/// A log that is looked at.
pub struct Inspector {
    conn: Connection,
    path: std::path::PathBuf,
    after: i64,
}

impl Inspector {
    /// Opens the log in `directory`.
    ///
    /// # Errors
    /// [`DiskError`]: there is none, or it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, DiskError> {
        let path = database_of(directory);
        match std::fs::metadata(directory) {
            Ok(found) if !found.is_dir() => return Err(DiskError::NotADirectory(directory.into())),
            Ok(_) if path.symlink_metadata().is_err() => return Err(DiskError::Empty(directory.into())),
            // Even a reader writes the index of the write-ahead log.
            Ok(_) => check_files(directory).and_then(|()| check_format(directory))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(DiskError::Empty(directory.into()));
            }
            Err(error) => return Err(system(directory, "look", &error)),
        }
        let conn = schema::reader(&path, None).map_err(|error| system(directory, "open the log", &error))?;
        Ok(Self { conn, path, after: 0 })
    }

    /// The next room, in the order of their numbers; `None` after the last.
    ///
    /// # Errors
    /// [`DiskError::Damaged`] when SQLite cannot read on.
    pub fn next(&mut self, verify: bool) -> Result<Option<RoomInfo>, DiskError> {
        let done = self
            .look(verify)
            .map_err(|error| DiskError::Unreadable { path: self.path.clone(), why: error.to_string() });
        // The transaction only held one room still.
        let _ = self.conn.execute_batch("ROLLBACK");
        done
    }

    /// Records that an earlier start put aside because they were damaged.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn put_aside(&self) -> Result<u64, DiskError> {
        self.conn
            .query_row("SELECT count(*) FROM damaged_events", [], |row| row.get(0))
            .map_err(|error| DiskError::Unreadable { path: self.path.clone(), why: error.to_string() })
    }

    /// What SQLite says of its own structure; `None` when all is well.
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
                    damage: Some("the room's row is damaged, its name too".to_owned()),
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

/// Checks all records of a room: checksums, order, that each can be read, and the chain of digests.
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
        // Of a deleted comment the digest cannot be had again; it goes on from the one that its checksum covers.
        let is_deleted = matches!(&record.event, Event::Comment(comment) if comment.deleted);
        if !is_deleted && digest::extend(digest, record.offset, &record.event) != record.digest {
            return wrong(Damage::Digest);
        }
        digest = record.digest;
    }
    // The side file is for the next start.
    let known = Some(super::heads::NotedHead::Head(row.epoch, row.last));
    Ok(walk.end(known, Epoch::default).err().map(|cure| format!("at offset {}: {}", cure.at, cure.why)))
}
