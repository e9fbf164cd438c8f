//! The start: checks the log that a crash, a bad disk or a restored backup left, and repairs it or refuses it.
//!
//! 1. SQLite replays the write-ahead log and copies it into the database file.
//! 2. Every row is checked once ([`mod@scan`]): its checksum, that records have no holes, that each room's row matches
//!    its records, and that no room ends before its entry in the side file.
//! 3. A damaged room keeps its longest valid beginning and gets a new epoch ([`heal`]). The rest is moved to the tables
//!    `damaged_events` and `damaged_rooms`; no row is lost. All rooms are repaired in one transaction, so a start that
//!    is killed begins again from the same state.
//! 4. If SQLite's own structure is damaged, the readable rows are copied room by room into a new file, and the damaged
//!    file is kept beside it ([`salvage`]).
//!
//! Undamaged rooms do not change and keep their epochs.
//!
//! Does not know: open rooms, deliveries.

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

/// The most lines about damaged rooms that one start logs. One more line gives their total number.
const LINES_MAX: usize = 100;

/// Rows that are read at once when the side file is rewritten.
const PIECE_ROOMS: usize = 1_000;

/// A checked and repaired database with its side file.
pub(super) struct Stored {
    pub(super) conn: Connection,
    pub(super) heads: HeadsFile,
    pub(super) ids: Ids,
}

/// The result of a start, for the operator.
#[derive(Debug, Default)]
pub struct Report {
    rooms: usize,
    events: u64,
    cures: Vec<Cure>,
    /// The path to which a damaged database was moved.
    salvaged: Option<PathBuf>,
    took_us: u64,
    directory: PathBuf,
}

impl Report {
    /// The number of rooms that lost events, or may have.
    pub fn healed(&self) -> usize {
        self.cures.len()
    }

    /// Logs one line for each repaired room, and one for the whole log.
    pub fn log(&self) {
        for cure in self.cures.iter().take(LINES_MAX) {
            match &cure.row {
                Some(row) => tracing::error!(
                    room = %row.name, from = cure.at, kept_to = row.last, epoch = %row.epoch, why = %cure.why,
                    "the log of a room is damaged: its valid beginning is kept, in a new epoch"
                ),
                None => tracing::error!(
                    number = cure.id, from = cure.at, why = %cure.why,
                    "the log of a room is damaged and no part of it can be used; its records were moved to the table damaged_events"
                ),
            }
        }
        if self.cures.len() > LINES_MAX {
            tracing::error!(
                rooms = self.cures.len(),
                "more rooms are damaged than are listed; this is their total number"
            );
        }
        if let Some(path) = &self.salvaged {
            tracing::error!(kept = %path.display(), "the database was damaged; its readable rooms were copied into a new one, and the damaged one is kept");
        }
        tracing::info!(
            directory = %self.directory.display(), rooms = self.rooms, events = self.events, healed = self.cures.len(),
            ms = self.took_us / 1_000, "the log is open"
        );
    }
}

/// Opens the log of a directory, and repairs it if it is damaged.
pub(super) fn recover(directory: &Directory, options: &Options) -> Result<(Stored, Report), DiskError> {
    let began_us = clock::now_us();
    make_if_new(directory, options)?;
    let ids = || Ids::new(options.stored_max);
    fail_point!("in_recovery");
    let mut report = Report { directory: directory.path().to_owned(), ..Report::default() };
    let stored = match open(directory, options, ids()) {
        Ok(opened) => opened,
        Err(ScanError::Sql(error)) if is_structural(&error) => {
            tracing::error!(%error, database = %directory.database().display(), "the database is damaged; copying its readable rooms into a new one");
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
        heal::heal(&conn, &found.cures, clock::wall_ms()).map_err(|error| directory.error("repair the log", &error))?;
    }
    let heads = renew_heads(directory, &conn, heads, &found.cures)
        .map_err(|error| directory.error("write the side file volley.heads", &error))?;
    fail_point!("in_recovery");
    report.cures.extend(found.cures);
    report.took_us = clock::now_us() - began_us;
    Ok((Stored { conn, heads, ids: found.ids }, report))
}

/// Creates a missing database under a temporary name and renames it, so that a database under its own name is whole.
fn make_if_new(directory: &Directory, options: &Options) -> Result<(), DiskError> {
    for leftover in [directory.beside(".new"), directory.beside(".salvage")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(directory.error("remove a file that an earlier start left", &error));
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
        .map_err(|error| directory.error("create the database", &error))?;
    fs::rename(&new, &database)
        .and_then(|()| directory.sync())
        .map_err(|error| directory.error("create the database", &error))
}

fn open(
    directory: &Directory,
    options: &Options,
    ids: Ids,
) -> Result<(Connection, Option<HeadsFile>, ScanResult), ScanError> {
    let sync = options.durability == Durability::Fsync;
    let conn = schema::writer(&directory.database(), options.vfs.as_deref(), sync)?;
    // After a failed sync and a crash, frames may be in the file but not on the device. New commits must not build upon
    // them.
    schema::checkpoint(&conn, "TRUNCATE")?;
    let heads = HeadsFile::open(&directory.heads(), schema::instance(&conn)?)?;
    let found = scan(&conn, heads.as_ref(), ids, || Hex64(rand::random()))?;
    Ok((conn, heads, found))
}

/// Makes the side file agree with the database.
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

/// A random epoch, different from all others.
pub(super) fn new_epoch() -> Epoch {
    Hex64(rand::random())
}

/// Whether SQLite's own structure is damaged, and not only the content of a row.
pub(super) fn is_structural(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    // The file ends inside a page.
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
