//! The data directory: who owns it, what its files are called, whether its format is ours.
//!
//! Does not know: what stands in the files.

use super::schema::{APPLICATION_ID, FORMAT};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const DATABASE: &str = "volley.db";
const HEADS: &str = "volley.heads";
const LOCK: &str = "volley.lock";

/// Why the log could not be opened. Each says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It is something else.
    #[error("the data directory {0} is not a directory; give --data another path, or move that file away")]
    NotADirectory(PathBuf),
    /// Nothing to make it in.
    #[error(
        "the data directory {0} cannot be made: its parent does not exist; is a disk not mounted? Otherwise make the parent"
    )]
    NoParent(PathBuf),
    /// Another process has it.
    #[error("the data directory {directory} is in use by {owner}; stop that process, or give --data another path")]
    Locked {
        /// Which.
        directory: PathBuf,
        /// `process 123`, or `another process` when it did not say.
        owner: String,
    },
    /// A later version of Volley wrote it.
    #[error(
        "{path} has format {found}, and this version knows format {FORMAT}; run the version that wrote it. Nothing was changed"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Something else wrote it, or its beginning is destroyed.
    #[error(
        "{0} is no log of Volley's, or its beginning is damaged; restore it from a backup, or move it away to begin an empty log. \
         Nothing was changed"
    )]
    Foreign(PathBuf),
    /// The database is gone while files that belong to it are there.
    #[error(
        "{database} is missing, but {other} is there; restore the database from a backup, or move {other} away to begin an empty \
         log"
    )]
    Gone {
        /// What is missing.
        database: PathBuf,
        /// What is not.
        other: PathBuf,
    },
    /// There is no log to look at.
    #[error("there is no log in {0}; --data names the directory that a server writes")]
    Empty(PathBuf),
    /// SQLite cannot read on.
    #[error("{path} is damaged ({why}); the next start of the server heals what can be healed")]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// Not even a part of it can be read.
    #[error(
        "{path} is damaged and nothing of it can be read ({why}); restore it from a backup, or move it away to begin an empty log"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// The system refused something.
    #[error(
        "cannot {what} in the data directory {directory}: {why}; check that it is writable and that its disk has space"
    )]
    System {
        /// Which.
        directory: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What it said.
        why: String,
    },
}

/// The directory, owned by this process until it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked while it is open.
    _lock: File,
}

impl Directory {
    /// Makes the directory if need be and takes it. A log of another format is refused before anything is touched.
    pub(super) fn claim(path: &Path) -> Result<Self, DiskError> {
        let error = |what, error: &dyn std::fmt::Display| system(path, what, error);
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(DiskError::NotADirectory(path.into())),
            Ok(_) => check_format(path)?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => match fs::create_dir(path) {
                Ok(()) => tracing::info!(directory = %path.display(), "made the data directory: the log is empty"),
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                    return Err(DiskError::NoParent(path.into()));
                }
                // Two that start at the same time.
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
                Err(refused) => return Err(error("make it", &refused)),
            },
            Err(wrong) if wrong.kind() == io::ErrorKind::NotADirectory => {
                return Err(DiskError::NoParent(path.into()));
            }
            Err(refused) => return Err(error("look", &refused)),
        }
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(|refused| error("make the lock file", &refused))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DiskError::Locked { directory: path.into(), owner: owner(&mut lock) });
            }
            Err(refused) => return Err(error("lock", &refused)),
        }
        let note = |lock: &mut File| {
            lock.set_len(0)?;
            lock.seek(SeekFrom::Start(0))?;
            writeln!(lock, "{}", std::process::id())
        };
        note(&mut lock).map_err(|refused| error("write the lock file", &refused))?;
        check_format(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn heads(&self) -> PathBuf {
        self.path.join(HEADS)
    }

    /// A file beside the database, such as `volley.db-wal`.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        self.path.join(format!("{DATABASE}{suffix}"))
    }

    /// Makes what was renamed or made in the directory last.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    pub(super) fn error(&self, what: &'static str, error: &dyn std::fmt::Display) -> DiskError {
        system(&self.path, what, error)
    }
}

/// The database of a directory that somebody else may own.
pub(super) fn database_of(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

pub(super) fn system(directory: &Path, what: &'static str, error: &dyn std::fmt::Display) -> DiskError {
    DiskError::System { directory: directory.into(), what, why: error.to_string() }
}

/// Looks at the database's first bytes, and at nothing else. No database is fine.
pub(super) fn check_format(directory: &Path) -> Result<(), DiskError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let path = database_of(directory);
    let mut header = [0; 100];
    match File::open(&path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(DiskError::Foreign(path)),
        Err(error) => return Err(system(directory, "read the database", &error)),
    }
    let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
    if &header[..16] != MAGIC || number(68) != APPLICATION_ID {
        return Err(DiskError::Foreign(path));
    }
    match number(60) {
        FORMAT => Ok(()),
        0 => Err(DiskError::Foreign(path)),
        found => Err(DiskError::Newer { path, found }),
    }
}

fn owner(lock: &mut File) -> String {
    let mut text = String::new();
    // It may be about to write it.
    let _ = lock.take(32).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".into(),
    }
}
