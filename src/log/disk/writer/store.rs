//! The database, its side file and the rooms' numbers, as the storage thread holds them.
//!
//! Does not know: commands, deliveries, when anything is written.

use crate::clock;
use crate::config::Durability;
use crate::log::disk::heads::HeadsFile;
use crate::log::disk::ids::Ids;
use crate::log::disk::options::Options;
use crate::log::disk::readers::Readers;
use crate::log::disk::recovery::Stored;
use crate::log::disk::row::RoomRow;
use crate::log::disk::schema;
use rusqlite::{Connection, ErrorCode};
use std::fmt::Display;
use std::path::PathBuf;

/// At most one line a second says that the store fails: each group of commands may fail anew.
const COMPLAIN_US: u64 = 1_000_000;

pub(super) struct DiskStore {
    /// The only connection that writes.
    pub(super) conn: Connection,
    pub(super) ids: Ids,
    heads: HeadsFile,
    database: PathBuf,
    vfs: Option<String>,
    /// [`Durability::Fsync`]: what is committed is on the device.
    is_synced: bool,
    /// A checkpoint failed: SQLite may remember pages as copied that are not on the device.
    must_reconnect: bool,
    complained_us: Option<u64>,
}

/// Why a transaction is not in the log.
pub(super) enum Failure {
    /// The transaction surely is not in the log.
    Sure(rusqlite::Error),
    /// A recovery after a crash may find it.
    Doubt(rusqlite::Error),
}

impl DiskStore {
    pub(super) fn new(stored: Stored, database: PathBuf, options: &Options) -> Self {
        let Stored { conn, heads, ids } = stored;
        Self {
            conn,
            ids,
            heads,
            database,
            vfs: options.vfs.clone(),
            is_synced: options.durability == Durability::Fsync,
            must_reconnect: false,
            complained_us: None,
        }
    }

    /// Ends the transaction. Distinguishes a commit that surely failed from one that is in doubt.
    pub(super) fn commit(&self) -> Result<(), Failure> {
        self.conn.execute_batch("COMMIT").map_err(|error| match code(&error) {
            // The frame with the commit mark is written last, and nothing is written after the write that failed.
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => Failure::Sure(error),
            _ => Failure::Doubt(error),
        })
    }

    /// SQLite itself rolls back after most errors of a commit; this covers the rest.
    pub(super) fn roll_back(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            self.complain("a transaction cannot be rolled back", &error);
        }
    }

    /// A transaction that no caller waits for: when it is in doubt, the next commit writes over it.
    pub(super) fn in_transaction<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let done = self
            .conn
            .execute_batch("BEGIN IMMEDIATE")
            .and_then(|()| work(&self.conn))
            .map_err(Failure::Sure)
            .and_then(|done| self.commit().map(|()| done));
        match done {
            Ok(done) => Some(done),
            Err(Failure::Sure(error) | Failure::Doubt(error)) => {
                self.roll_back();
                self.complain("old events and rooms cannot be removed from the log", &error);
                None
            }
        }
    }

    /// Commits something harmless over the frames that are in doubt (see the page of [`crate::log::disk`]). Says
    /// whether that is on the device, so that they are surely not in the log.
    pub(super) fn overwrite_doubt(&mut self) -> bool {
        let done = self
            .conn
            .execute_batch("BEGIN IMMEDIATE; UPDATE meta SET value = value + 1 WHERE name = 'settled';")
            .map_err(Failure::Doubt)
            .and_then(|()| self.commit());
        let Err(Failure::Sure(error) | Failure::Doubt(error)) = done else { return true };
        self.roll_back();
        self.complain("a failed commit is still in doubt; check the disk", &error);
        false
    }

    /// Notes the newest offsets of rooms in the side file. `has_new_rooms`: their first entries have to reach the
    /// device.
    pub(super) fn note_heads(&mut self, rows: &[RoomRow], has_new_rooms: bool) {
        for row in rows {
            if let Err(error) = self.heads.note(row.id, row.epoch, row.last) {
                self.complain("the side file volley.heads cannot be written; check the disk", &error);
                break;
            }
        }
        if self.is_synced && has_new_rooms {
            self.sync_heads();
        }
    }

    pub(super) fn sync_heads(&mut self) {
        if let Err(error) = self.heads.sync() {
            self.complain("the side file volley.heads cannot be synced; check the disk", &error);
        }
    }

    /// Makes the number of a room that is not stored any more available to a new room.
    pub(super) fn free(&mut self, id: i64) {
        if let Err(error) = self.heads.forget(id) {
            self.complain("the side file volley.heads cannot be written; check the disk", &error);
        }
        self.ids.give_back(id);
    }

    /// Copies the write-ahead log into the database. Says whether all of it was copied; readers may hold some of it.
    pub(super) fn checkpoint(&mut self) -> Result<bool, ()> {
        let done = schema::checkpoint(&self.conn, "PASSIVE").map_err(|error| {
            self.complain_of_checkpoint(&error);
            self.must_reconnect = code(&error) != Some(ErrorCode::DiskFull);
        });
        self.sync_heads();
        done
    }

    /// Copies the write-ahead log into the database and empties it, so that one file holds the whole log.
    pub(super) fn finish(&mut self) {
        if let Err(error) = schema::checkpoint(&self.conn, "TRUNCATE") {
            self.complain_of_checkpoint(&error);
        }
        self.sync_heads();
    }

    pub(super) fn must_reconnect(&self) -> bool {
        self.must_reconnect
    }

    /// Closes all connections and opens new ones, so that SQLite reads the whole WAL again. Says whether that
    /// succeeded.
    pub(super) fn reconnect(&mut self, readers: &Readers) -> bool {
        readers.pause();
        // The old connection is closed before the new one is opened: otherwise they would share the index to be
        // forgotten.
        let closed = Connection::open_in_memory().map(|empty| std::mem::replace(&mut self.conn, empty));
        drop(closed);
        match schema::writer(&self.database, self.vfs.as_deref(), self.is_synced) {
            Ok(conn) => {
                self.conn = conn;
                self.must_reconnect = false;
            }
            Err(error) => {
                self.complain("the database cannot be opened again; check the disk, or restart the server", &error);
            }
        }
        readers.resume();
        !self.must_reconnect
    }

    fn complain_of_checkpoint(&mut self, error: &rusqlite::Error) {
        self.complain("the write-ahead log cannot be copied into the database; check the disk", error);
    }

    /// Tells the operator that `what` failed.
    pub(super) fn complain(&mut self, what: &str, error: &dyn Display) {
        let now_us = clock::now_us();
        if self.complained_us.is_none_or(|us| now_us.saturating_sub(us) >= COMPLAIN_US) {
            self.complained_us = Some(now_us);
            tracing::error!(%error, database = %self.database.display(), "{what}");
        }
    }
}

pub(super) fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

/// SQLite found its file damaged, or a row did not fit its checksum.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
