//! The data directory: who owns it, what its files are called, whether its format is ours.
//!
//! Does not know: what stands in the files.

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
    /// A link without an end.
    #[error(
        "the data directory {0} is a link that leads nowhere; is a disk not mounted? Otherwise make what it leads to"
    )]
    Dangling(PathBuf),
    /// Every user may put files into it.
    #[error(
        "every user may write into the data directory {0}, and could replace the log; chmod it to 700, or give --data a \
         directory of its own"
    )]
    Open(PathBuf),
    /// A name in it does not lead to a file of its own.
    #[error("{path} is {what}; remove it, or give --data a directory that Volley alone uses. Nothing was changed")]
    NotOurs {
        /// The name.
        path: PathBuf,
        /// What stands there.
        what: &'static str,
    },
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
    /// Both locked while they are open: a lock file can be deleted, and then somebody else's would be a different one.
    _locks: (File, File),
}

impl Directory {
    /// Makes the directory if need be and takes it. A log of another format is refused before anything is touched.
    pub(super) fn claim(path: &Path) -> Result<Self, DiskError> {
        let error = |what, error: &dyn std::fmt::Display| system(path, what, error);
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(DiskError::NotADirectory(path.into())),
            Ok(found) if found.mode() & 0o002 != 0 => return Err(DiskError::Open(path.into())),
            Ok(_) => check_format(path)?,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let made = fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path);
                match made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE))) {
                    Ok(()) => tracing::info!(directory = %path.display(), "made the data directory: the log is empty"),
                    Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                        return Err(DiskError::NoParent(path.into()));
                    }
                    Err(_) if path.is_symlink() => return Err(DiskError::Dangling(path.into())),
                    // Two that start at the same time.
                    Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(refused) => return Err(error("make it", &refused)),
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
            .map_err(|refused| error("make the lock file", &refused))?;
        // Refused when it is somebody else's, who lets us write it.
        let _ = files::set_mode(&lock, FILE_MODE);
        let locked = [&lock, &whole].map(|file| flock(file, FlockOperation::NonBlockingLockExclusive));
        if locked.contains(&Err(rustix::io::Errno::WOULDBLOCK)) {
            return Err(DiskError::Locked { directory: path.into(), owner: owner(&mut lock) });
        }
        // Some filesystems lock no directories.
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

    /// Makes what was renamed or made in the directory last.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    pub(super) fn error(&self, what: &'static str, error: &dyn std::fmt::Display) -> DiskError {
        system(&self.path, what, error)
    }
}

/// The names in a data directory that are Volley's.
fn ours(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let names = ["", "-wal", "-shm", ".new", ".salvage"].map(|suffix| format!("{DATABASE}{suffix}"));
    names.into_iter().chain([HEADS, LOCK].map(Into::into)).map(|name| directory.join(name))
}

/// Refuses names of ours that lead elsewhere, before anything is opened.
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

/// Takes what others may read away from them, from databases that were put aside too. The directory itself stays as it is when it holds more than a log: then it may
/// be somebody's home, or a mount that others need.
fn make_private(directory: &Path) -> Result<(), DiskError> {
    let refused = |error: io::Error| system(directory, "take the rights of others away", &error);
    let mut narrowed = 0;
    let entries = fs::read_dir(directory).map_err(refused)?;
    let names: Vec<_> = entries.map_while(Result::ok).map(|entry| entry.file_name()).collect();
    let is_ours = |name: &&std::ffi::OsString| name.to_str().is_some_and(|name| name.starts_with("volley."));
    for path in names.iter().filter(is_ours).map(|name| directory.join(name)).filter(|path| is_regular(path)) {
        match files::make_private(&path, FILE_MODE) {
            Ok(was_wide) => narrowed += u32::from(was_wide),
            // They belong to somebody else, who lets us write them.
            Err(error) => tracing::warn!(path = %path.display(), %error, "others have rights to a file of the log"),
        }
    }
    if narrowed > 0 {
        tracing::warn!(directory = %directory.display(), files = narrowed, "others could read the log's files; now its owner alone can");
    }
    let is_all_ours = names.iter().all(|name| is_ours(&name) || name == "lost+found");
    // The owner's own rights, and the group's if the operator gave it some on purpose (a set-group-id directory).
    let found = fs::metadata(directory).map_err(refused)?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&found.uid()) {
        tracing::warn!(directory = %directory.display(), uid = found.uid(), "the data directory belongs to a different user, who can replace the log");
    }
    let is_shared_on_purpose = found.mode() & 0o2000 != 0;
    if is_all_ours && !is_shared_on_purpose {
        match files::make_private(directory, DIRECTORY_MODE) {
            Ok(true) => {
                tracing::warn!(directory = %directory.display(), "others could look into the data directory; now its owner alone can");
            }
            Ok(false) => {}
            // Somebody else's mount: the files in it are private all the same.
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "others can look into the data directory");
            }
        }
    }
    Ok(())
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
    // It may be about to write it.
    let _ = lock.take(32).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".into(),
    }
}
