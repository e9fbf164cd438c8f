//! The data directory: its lock, the names and rights of its files, and the check of the database's format.
//!
//! Does not know: the content of the files.

use super::files::{self, DIRECTORY_MODE, FILE_MODE};
use super::schema::{APPLICATION_ID, FORMAT};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const DATABASE: &str = "volley.db";
const HEADS: &str = "volley.heads";
const LOCK: &str = "volley.lock";

/// Why the log could not be opened. Each text says what is wrong, where, and what the operator can do.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("the data directory {0} is not a directory; give --data another path, or move that file away")]
    NotADirectory(PathBuf),
    #[error(
        "the data directory {0} cannot be created because its parent does not exist; mount the missing disk, or create the \
         parent"
    )]
    NoParent(PathBuf),
    /// A symbolic link to a missing target.
    #[error(
        "the data directory {0} is a symbolic link to a missing directory; mount the missing disk, or create the directory"
    )]
    Dangling(PathBuf),
    #[error(
        "every user may write into the data directory {0} and could replace the log; chmod it to 700, or give \
         --data another directory"
    )]
    Open(PathBuf),
    /// A name of the log's does not lead to a file of the log's.
    #[error("{path} is {what}; remove it, or give --data a directory that only Volley uses. Nothing was changed")]
    NotOurs { path: PathBuf, what: &'static str },
    #[error("the data directory {directory} is in use by {owner}; stop that process, or give --data another path")]
    Locked {
        directory: PathBuf,
        /// `process 123`, or `another process` if the lock file has no number.
        owner: String,
    },
    #[error(
        "{path} has format {found}, but this version of Volley reads format {FORMAT}; run the version that wrote it. Nothing \
         was changed"
    )]
    Newer { path: PathBuf, found: u32 },
    #[error(
        "{0} is not a Volley log, or its beginning is damaged; restore it from a backup, or move it away to begin an empty log. \
         Nothing was changed"
    )]
    Foreign(PathBuf),
    /// The database is missing, but files that belong to it exist.
    #[error(
        "{database} is missing, but {other} exists; restore the database from a backup, or move {other} away to begin an empty \
         log"
    )]
    Gone { database: PathBuf, other: PathBuf },
    #[error("there is no log in {0}; give --data the data directory of a server")]
    Empty(PathBuf),
    #[error("{path} is damaged ({why}); restart the server, which repairs the log as far as possible")]
    Unreadable { path: PathBuf, why: String },
    #[error(
        "{path} is damaged and no part of it can be read ({why}); restore it from a backup, or move it away to begin an empty log"
    )]
    Damaged { path: PathBuf, why: String },
    #[error(
        "cannot {what} in the data directory {directory}: {why}; check that it is writable and that its disk has space"
    )]
    System { directory: PathBuf, what: &'static str, why: String },
}

/// The data directory, locked by this process until it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The lock file and the directory itself, both locked: if the lock file is deleted, another process would lock a
    /// new one.
    _locks: (File, File),
}

impl Directory {
    /// Locks the directory, and creates it if it does not exist. A log of another format is refused before anything is
    /// changed.
    pub(super) fn claim(path: &Path) -> Result<Self, DiskError> {
        let error = |what, error: &dyn std::fmt::Display| system(path, what, error);
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(DiskError::NotADirectory(path.into())),
            Ok(found) if found.mode() & 0o002 != 0 => return Err(DiskError::Open(path.into())),
            Ok(_) => check_format(path)?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let made = fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path);
                match made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE))) {
                    Ok(()) => {
                        tracing::info!(directory = %path.display(), "created the data directory: the log is empty");
                    }
                    Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                        return Err(DiskError::NoParent(path.into()));
                    }
                    Err(_) if path.is_symlink() => return Err(DiskError::Dangling(path.into())),
                    // Another process created it at the same time.
                    Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(refused) => return Err(error("create it", &refused)),
                }
            }
            Err(wrong) if wrong.kind() == io::ErrorKind::NotADirectory => {
                return Err(DiskError::NoParent(path.into()));
            }
            Err(refused) => return Err(error("look", &refused)),
        }
        check_files(path)?;
        let whole = File::open(path).map_err(|refused| error("open it", &refused))?;
        let mut lock = files::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(|refused| error("create the lock file", &refused))?;
        // Refused if another user owns the file and lets this one write it.
        let _ = files::set_mode(&lock, FILE_MODE);
        let locked = [&lock, &whole].map(|file| flock(file, FlockOperation::NonBlockingLockExclusive));
        if locked.contains(&Err(rustix::io::Errno::WOULDBLOCK)) {
            return Err(DiskError::Locked { directory: path.into(), owner: owner(&mut lock) });
        }
        // Some file systems cannot lock directories.
        locked[0].map_err(|refused| error("lock", &refused))?;
        make_private(path)?;
        let note = |lock: &mut File| {
            lock.set_len(0)?;
            lock.seek(SeekFrom::Start(0))?;
            writeln!(lock, "{}", std::process::id())
        };
        note(&mut lock).map_err(|refused| error("write the lock file", &refused))?;
        check_format(path)?;
        Ok(Self { path: path.to_owned(), _locks: (lock, whole) })
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

    /// Makes created and renamed files of the directory durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    pub(super) fn error(&self, what: &'static str, error: &dyn std::fmt::Display) -> DiskError {
        system(&self.path, what, error)
    }
}

/// The paths in a data directory that Volley uses.
fn ours(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let names = ["", "-wal", "-shm", ".new", ".salvage"].map(|suffix| format!("{DATABASE}{suffix}"));
    names.into_iter().chain([HEADS, LOCK].map(Into::into)).map(|name| directory.join(name))
}

/// Refuses links, devices and the like at Volley's paths, before any of them is opened.
pub(super) fn check_files(directory: &Path) -> Result<(), DiskError> {
    ours(directory).try_for_each(|path| check_file(&path))
}

pub(super) fn check_file(path: &Path) -> Result<(), DiskError> {
    let directory = path.parent().unwrap_or(path);
    match files::fault(path).map_err(|error| system(directory, "look", &error))? {
        Some(what) => Err(DiskError::NotOurs { path: path.into(), what }),
        None => Ok(()),
    }
}

fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// Removes other users' rights to the log's files, including databases that were put aside. The directory keeps its
/// rights if it holds other files too: then it may be a home directory, or a mount that other programs need.
fn make_private(directory: &Path) -> Result<(), DiskError> {
    let refused = |error: io::Error| system(directory, "remove other users' rights", &error);
    let mut narrowed = 0;
    let entries = fs::read_dir(directory).map_err(refused)?;
    let names: Vec<_> = entries.map_while(Result::ok).map(|entry| entry.file_name()).collect();
    let is_ours = |name: &&std::ffi::OsString| name.to_str().is_some_and(|name| name.starts_with("volley."));
    for path in names.iter().filter(is_ours).map(|name| directory.join(name)).filter(|path| is_regular(path)) {
        match files::make_private(&path, FILE_MODE) {
            Ok(was_wide) => narrowed += u32::from(was_wide),
            // Another user owns the file and lets this one write it.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "other users may read or write a file of the log, and its rights cannot be changed; chown it to the server's user");
            }
        }
    }
    if narrowed > 0 {
        tracing::warn!(directory = %directory.display(), files = narrowed, "other users could read the log's files; their rights were removed");
    }
    let is_all_ours = names.iter().all(|name| is_ours(&name) || name == "lost+found");
    // The owner keeps its rights. So does the group of a set-group-id directory, which the operator set on purpose.
    let found = fs::metadata(directory).map_err(refused)?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&found.uid()) {
        tracing::warn!(directory = %directory.display(), uid = found.uid(), "the data directory belongs to a different user, who can replace the log; chown it to the server's user");
    }
    let is_shared_on_purpose = found.mode() & 0o2000 != 0;
    if is_all_ours && !is_shared_on_purpose {
        match files::make_private(directory, DIRECTORY_MODE) {
            Ok(true) => {
                tracing::warn!(directory = %directory.display(), "other users could list the data directory; their rights were removed");
            }
            Ok(false) => {}
            // The mount belongs to another user. The files in it are private all the same.
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "other users can list the data directory, and its rights cannot be changed");
            }
        }
    }
    Ok(())
}

/// The path of the database in a directory that another process may have locked.
pub(super) fn database_of(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

pub(super) fn system(directory: &Path, what: &'static str, error: &dyn std::fmt::Display) -> DiskError {
    DiskError::System { directory: directory.into(), what, why: error.to_string() }
}

/// Checks the database's header and reads nothing else. A missing database is accepted.
pub(super) fn check_format(directory: &Path) -> Result<(), DiskError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let path = database_of(directory);
    let mut header = [0; 100];
    check_file(&path)?;
    match files::options().open(&path).and_then(|mut file| file.read_exact(&mut header)) {
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
    // The other process may not have written its number yet.
    let _ = lock.take(32).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".into(),
    }
}
