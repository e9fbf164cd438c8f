//! A few read-only connections, for reads of history beside the storage thread.
//!
//! Each read is one transaction and sees the log at one moment. A checkpoint cannot finish during a read, so the limits
//! of a read keep it short.
//!
//! Does not know: which rooms are open, the storage thread.

use super::files::{self, FileId};
use super::row::{EVENT_COLUMNS, EventRow, RoomRow, cost};
use super::schema;
use crate::clock;
use crate::log::{Head, Limit, ReadError, Record};
use crate::protocol::ids::{Offset, RoomId};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Connections at the same time; further readers wait. Few threads read, and each connection has a cache.
const CONNECTIONS_MAX: usize = 4;

/// At most one line a second says that the log cannot be read.
const COMPLAIN_US: u64 = 1_000_000;

static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {EVENT_COLUMNS} FROM events WHERE room = ?1 AND offset > ?2 ORDER BY offset LIMIT ?3")
});

pub(super) struct Readers {
    path: PathBuf,
    /// The database that was opened. A different file may appear under its name later.
    database: Option<FileId>,
    vfs: Option<String>,
    pool: Mutex<Pool>,
    changed: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    lent: usize,
    /// No connection is lent while the storage thread closes and opens the database.
    is_paused: bool,
    complained_us: Option<u64>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, vfs: Option<String>) -> Self {
        Self { database: files::identity_at(&path), path, vfs, pool: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn read(&self, room: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError> {
        self.with(|conn| read(conn, room, after, limit))?
    }

    pub(super) fn head(&self, room: &RoomId) -> Result<Option<Head>, ReadError> {
        self.with(|conn| Ok(RoomRow::by_name(conn, room)?.map(|row| row.head())))
    }

    /// Waits for reads in progress and closes all connections. Reads after this wait for [`Self::resume`].
    pub(super) fn pause(&self) {
        let mut pool = self.pool.lock();
        pool.is_paused = true;
        while pool.lent > 0 {
            self.changed.wait(&mut pool);
        }
        pool.idle.clear();
    }

    pub(super) fn resume(&self) {
        self.pool.lock().is_paused = false;
        self.changed.notify_all();
    }

    /// Refuses a different file in the database's place: a pipe would block the reader, and a copy would be outdated.
    fn connect(&self) -> rusqlite::Result<Connection> {
        if files::identity_at(&self.path) != self.database {
            return Err(schema::cannot_open(format!("{} is not the file that the server opened", self.path.display())));
        }
        schema::reader(&self.path, self.vfs.as_deref())
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ReadError> {
        let mut pool = self.pool.lock();
        while pool.is_paused || pool.lent >= CONNECTIONS_MAX {
            self.changed.wait(&mut pool);
        }
        pool.lent += 1;
        let idle = pool.idle.pop();
        drop(pool);
        let done = idle.map_or_else(|| self.connect(), Ok).and_then(|conn| {
            conn.execute_batch("BEGIN")?;
            let found = work(&conn);
            conn.execute_batch("ROLLBACK")?;
            found.map(|found| (found, conn))
        });
        let mut pool = self.pool.lock();
        pool.lent -= 1;
        let done = match done {
            Ok((found, conn)) => {
                pool.idle.push(conn);
                Ok(found)
            }
            // The connection is closed too, because it may be the cause of the error.
            Err(error) => {
                let now_us = clock::now_us();
                if pool.complained_us.is_none_or(|us| now_us.saturating_sub(us) >= COMPLAIN_US) {
                    pool.complained_us = Some(now_us);
                    tracing::error!(%error, "the log cannot be read; check the disk");
                }
                Err(ReadError::Unavailable)
            }
        };
        drop(pool);
        self.changed.notify_all();
        done
    }
}

/// Runs inside a transaction, so that the bounds and the rows are of one moment.
fn read(
    conn: &Connection,
    room: &RoomId,
    after: Offset,
    limit: Limit,
) -> rusqlite::Result<Result<Vec<Record>, ReadError>> {
    let Some(row) = RoomRow::by_name(conn, room)? else { return Ok(Err(ReadError::Unknown)) };
    if after > row.last {
        return Ok(Err(ReadError::Ahead { last: row.last }));
    }
    if after + 1 < row.first {
        return Ok(Err(ReadError::TooOld { first: row.first }));
    }
    let mut select = conn.prepare_cached(&SELECT)?;
    let count = i64::try_from(limit.events).unwrap_or(i64::MAX);
    let mut rows = select.query((row.id, after, count))?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(found) = rows.next()? {
        // Damage that occurred since the start is an error here; the next start repairs it.
        let checked = EventRow::of(found)?.and_then(|event| {
            event.check()?;
            bytes += cost(event.body.len());
            let follows = event.offset == after + 1 + records.len() as u64;
            if follows { Ok(event) } else { Err(super::row::Damage::Missing) }
        });
        let checked = checked.and_then(|event| {
            if records.is_empty() || bytes <= limit.bytes { event.record().map(Some) } else { Ok(None) }
        });
        match checked {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return Ok(Ok(records)),
            Err(damage) => {
                tracing::error!(%room, offset = after + 1 + records.len() as u64, why = %damage, "the log is damaged; restart the server, which repairs it");
                return Ok(Err(ReadError::Unavailable));
            }
        }
    }
    let reached = after + records.len() as u64;
    if reached < row.last && records.len() < limit.events {
        tracing::error!(%room, offset = reached + 1, "the log is damaged: a record is missing; restart the server, which repairs it");
        return Ok(Err(ReadError::Unavailable));
    }
    Ok(Ok(records))
}
