//! The tables, and how a connection to them is set up.
//!
//! The file `volley.db` is a SQLite database, which the `sqlite3` shell can open. Its header has Volley's
//! `application_id` and the version of the format as `user_version`, so both are known before SQLite opens it.
//!
//! Does not know: what the rows mean to a room.

use super::files;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// "VOLY" in ASCII.
pub(super) const APPLICATION_ID: u32 = 0x564f_4c59;

/// The version of the format that this program reads and writes.
pub(super) const FORMAT: u32 = 1;

/// How long a connection waits for a lock of a different one, such as an operator's shell that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The page cache of the storage thread: 8 MiB.
const WRITER_CACHE_KIB: i64 = 8_192;

/// The page cache of each reader: 1 MiB.
const READER_CACHE_KIB: i64 = 1_024;

/// The size to which SQLite shortens the WAL file when it starts again at its beginning.
pub(super) const WAL_BYTES_KEPT: u64 = 64 << 20;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    digest_before INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    opened_ms INTEGER NOT NULL,
    base_offset INTEGER,
    base_state BLOB,
    sum_name INTEGER NOT NULL,
    sum_base INTEGER NOT NULL,
    sum INTEGER NOT NULL
);
CREATE TABLE events (
    room INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
CREATE TABLE doomed (room INTEGER PRIMARY KEY);
CREATE TABLE damaged_rooms (found_ms INTEGER NOT NULL, why TEXT NOT NULL, id, name, epoch, first, last, events, bytes,
    digest_before, digest, at_ms, opened_ms, base_offset, base_state, sum_name, sum_base, sum);
CREATE TABLE damaged_events (found_ms INTEGER NOT NULL, why TEXT NOT NULL, room, offset, at_ms, digest, sum, body);
";

/// Creates an empty database in a file that does not exist yet. `instance` identifies the database.
pub(super) fn create(path: &Path, vfs: Option<&str>, instance: u64) -> rusqlite::Result<()> {
    // SQLite would create it readable for all users. The files that SQLite creates beside it get its rights.
    files::make(path).map_err(|_| cannot_open(format!("{} cannot be created", path.display())))?;
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, vfs)?;
    conn.execute_batch("PRAGMA page_size = 4096; PRAGMA synchronous = FULL; BEGIN IMMEDIATE;")?;
    conn.execute_batch(TABLES)?;
    let mut meta = conn.prepare("INSERT INTO meta VALUES (?1, ?2)")?;
    meta.execute(("instance", instance.cast_signed()))?;
    meta.execute(("settled", 0))?;
    drop(meta);
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.pragma_update(None, "user_version", FORMAT)?;
    conn.execute_batch("COMMIT")?;
    conn.close().map_err(|(_, error)| error)
}

/// The storage thread's connection. `sync`: every commit waits for the device.
pub(super) fn writer(path: &Path, vfs: Option<&str>, sync: bool) -> rusqlite::Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, vfs)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(cannot_open(format!("this file system does not support a write-ahead log (journal mode {mode})")));
    }
    // No automatic checkpoints, because SQLite hides their errors. No page reaches the disk before its commit. Freed
    // space in a page is filled with zeros, even where a row was moved, so that no deleted text remains.
    conn.execute_batch(&format!(
        "PRAGMA secure_delete = FAST; PRAGMA synchronous = {}; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {WAL_BYTES_KEPT};
         PRAGMA cache_spill = OFF; PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA temp_store = MEMORY;",
        if sync { "FULL" } else { "NORMAL" }
    ))?;
    Ok(conn)
}

pub(super) fn cannot_open(why: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN), Some(why))
}

/// A connection to a new file that no other connection uses: for one transaction, without a write-ahead log.
pub(super) fn plain_writer(path: &Path, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, vfs)?;
    // After a crash before the rename, the next start creates the file again.
    conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL;")?;
    Ok(conn)
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, vfs)?;
    conn.execute_batch(&format!("PRAGMA query_only = ON; PRAGMA cache_size = -{READER_CACHE_KIB};"))?;
    Ok(conn)
}

fn connect(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(32);
    // A close must not checkpoint: after a failed sync it could copy frames that were never durable.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A malformed page is an error when it is read, instead of an odd row.
    conn.execute_batch("PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;")?;
    Ok(conn)
}

/// The random number that identifies this database; its side file has the same.
pub(super) fn instance(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("SELECT value FROM meta WHERE name = 'instance'", [], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

/// Copies the WAL into the database. Returns whether all of it was copied.
pub(super) fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<bool> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (busy, frames, copied): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && frames == copied)
    })
}
