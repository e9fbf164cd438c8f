//! The start: what a crash, a bad disk or a restored backup left becomes a log that can be trusted, or a clear refusal.
//!
//! 1. SQLite replays the write-ahead log; all of it goes into the database file.
//! 2. Every row is looked at once ([`mod@scan`]): checksums, that records follow one another, that each room's row fits its records,
//!    and that no room ends before the side file saw it end.
//! 3. A room with damage keeps its longest valid beginning and gets a new epoch ([`heal`]). What is cut goes to the tables
//!    `damaged_events` and `damaged_rooms`; nothing is deleted. All rooms in one transaction: a start that is killed begins again from the
//!    same state.
//! 4. When SQLite's own structure is damaged, what can be read goes room by room into a new file, and the damaged
//!    one stays beside it ([`salvage`]).
//!
//! Other rooms are not touched and keep their epochs.
//!
//! Does not know: rooms that are open, deliveries.

pub(super) mod heal;
pub(super) mod salvage;
pub(super) mod scan;
pub(super) mod walk;

use super::directory::{Directory, DiskError};
use super::heads::HeadsFile;
use super::ids::Ids;
use super::options::Options;
use super::retention::rooms_after;
use super::schema;
use crate::clock;
use crate::config::Durability;
use crate::faults::fail_point;
use crate::protocol::ids::{Epoch, Hex64};
use rusqlite::Connection;
use scan::{ScanError, ScanResult, scan};
use std::fs;
use std::io;
use std::path::PathBuf;
use walk::Cure;

pub use walk::Why;

/// Lines about healed rooms that one start writes at most; the rest is a number.
const LINES_MAX: usize = 100;

/// Rows that are read at once when the side file is written anew.
const PIECE_ROOMS: usize = 1_000;

/// A store that was looked through and can be used.
pub(super) struct Stored {
    pub(super) conn: Connection,
    pub(super) heads: HeadsFile,
    pub(super) ids: Ids,
}

/// What a start found, for the operator.
#[derive(Debug, Default)]
pub struct Report {
    rooms: usize,
    events: u64,
    cures: Vec<Cure>,
    /// Where the damaged database is now.
    salvaged: Option<PathBuf>,
    took_us: u64,
    directory: PathBuf,
}

impl Report {
    /// Rooms that lost something, or may have.
    pub fn healed(&self) -> usize {
        self.cures.len()
    }

    /// One line for each room that was healed, and one for the whole.
    pub fn log(&self) {
        for cure in self.cures.iter().take(LINES_MAX) {
            match &cure.row {
                Some(row) => tracing::error!(
                    room = %row.name, from = cure.at, kept_to = row.last, epoch = %row.epoch, why = %cure.why,
                    "the log of a room is damaged: its valid beginning is kept, in a new epoch"
                ),
                None => tracing::error!(
                    number = cure.id, from = cure.at, why = %cure.why,
                    "the log of a room is damaged: nothing of it can be used; it is put aside in damaged_events"
                ),
            }
        }
        if self.cures.len() > LINES_MAX {
            tracing::error!(rooms = self.cures.len(), "so many rooms in all were damaged");
        }
        if let Some(path) = &self.salvaged {
            tracing::error!(kept = %path.display(), "the database was damaged; what could be read is in a new one, the damaged one is kept");
        }
        tracing::info!(
            directory = %self.directory.display(), rooms = self.rooms, events = self.events, healed = self.cures.len(),
            ms = self.took_us / 1_000, "the log is open"
        );
    }
}

/// Opens the store of a directory, whatever state it is in.
pub(super) fn recover(directory: &Directory, options: &Options) -> Result<(Stored, Report), DiskError> {
    let began_us = clock::now_us();
    make_if_new(directory, options)?;
    let ids = || Ids::new(options.stored_max);
    fail_point!("in_recovery");
    let mut report = Report { directory: directory.path().to_owned(), ..Report::default() };
    let stored = match open(directory, options, ids()) {
        Ok(opened) => opened,
        Err(ScanError::Sql(error)) if is_structural(&error) => {
            tracing::error!(%error, database = %directory.database().display(), "the database is damaged; reading what can be read");
            let salvaged = salvage::salvage(directory, options)?;
            report.cures = salvaged.cures;
            report.salvaged = Some(salvaged.kept);
            open(directory, options, ids()).map_err(|error| refuse(directory, &error))?
        }
        Err(error) => return Err(refuse(directory, &error)),
    };
    let (conn, heads, found) = stored;
    (report.rooms, report.events) = (found.rooms, found.events);
    fail_point!("in_recovery");
    if !found.cures.is_empty() {
        heal::heal(&conn, &found.cures, clock::wall_ms()).map_err(|error| directory.error("heal the log", &error))?;
    }
    let heads = renew_heads(directory, &conn, heads, &found.cures)
        .map_err(|error| directory.error("write the side file volley.heads", &error))?;
    fail_point!("in_recovery");
    report.cures.extend(found.cures);
    report.took_us = clock::now_us() - began_us;
    Ok((Stored { conn, heads, ids: found.ids }, report))
}

/// A database that does not exist is made beside its name and then renamed: either it is there and whole, or it is not.
fn make_if_new(directory: &Directory, options: &Options) -> Result<(), DiskError> {
    for leftover in [directory.beside(".new"), directory.beside(".salvage")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(directory.error("remove what an earlier start left", &error));
            }
            _ => {}
        }
    }
    let database = directory.database();
    if database.exists() {
        return Ok(());
    }
    for other in [directory.beside("-wal"), directory.heads()] {
        if other.exists() {
            return Err(DiskError::Gone { database, other });
        }
    }
    let new = directory.beside(".new");
    schema::create(&new, options.vfs.as_deref(), rand::random())
        .map_err(|error| directory.error("make the database", &error))?;
    fs::rename(&new, &database)
        .and_then(|()| directory.sync())
        .map_err(|error| directory.error("make the database", &error))
}

fn open(
    directory: &Directory,
    options: &Options,
    ids: Ids,
) -> Result<(Connection, Option<HeadsFile>, ScanResult), ScanError> {
    let sync = options.durability == Durability::Fsync;
    let conn = schema::writer(&directory.database(), options.vfs.as_deref(), sync)?;
    // After a sync that failed before a crash, frames may be in the file and not on the device: they are not built upon.
    schema::checkpoint(&conn, "TRUNCATE")?;
    let heads = HeadsFile::open(&directory.heads(), schema::instance(&conn)?)?;
    let found = scan(&conn, heads.as_ref(), ids, || Hex64(rand::random()))?;
    Ok((conn, heads, found))
}

/// The side file says what the database says now.
fn renew_heads(
    directory: &Directory,
    conn: &Connection,
    heads: Option<HeadsFile>,
    cures: &[Cure],
) -> io::Result<HeadsFile> {
    let note_all = |heads: &HeadsFile| {
        let mut after = 0;
        loop {
            let (rooms, next) = rooms_after(conn, after, PIECE_ROOMS).map_err(io::Error::other)?;
            for row in rooms {
                heads.note(row.id, row.epoch, row.last)?;
            }
            let Some(next) = next else { return Ok::<(), io::Error>(()) };
            after = next;
        }
    };
    match heads {
        Some(heads) => {
            for cure in cures {
                match &cure.row {
                    Some(row) => heads.note(row.id, row.epoch, row.last)?,
                    None => heads.forget(cure.id)?,
                }
            }
            if !cures.is_empty() {
                heads.sync()?;
            }
            Ok(heads)
        }
        None => {
            let instance = schema::instance(conn).map_err(io::Error::other)?;
            let heads = HeadsFile::create(&directory.heads(), instance)?;
            note_all(&heads)?;
            heads.sync()?;
            Ok(heads)
        }
    }
}

/// A new epoch, unlike any other.
pub(super) fn new_epoch() -> Epoch {
    Hex64(rand::random())
}

/// SQLite's own structure is damaged, not only what stands in it.
pub(super) fn is_structural(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    // A file that ends inside a page.
    let is_short =
        error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ);
    if is_short {
        return true;
    }
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(error, rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::QueryReturnedNoRows)
}

fn refuse(directory: &Directory, error: &ScanError) -> DiskError {
    match error {
        ScanError::Sql(sql) if is_structural(sql) => {
            DiskError::Damaged { path: directory.database(), why: sql.to_string() }
        }
        other => directory.error("open the log", other),
    }
}
