//! The files of a log as the operating system sees them: regular, private, and in their places.
//!
//! A name in the data directory may be a link, a device, or a pipe that blocks its reader. Volley follows no link there
//! and opens only regular files. While the log runs, an operator or a script may move or delete its files. Writes to
//! the open descriptors would still succeed, but the data would be lost. [`FileWatch`] notices that.
//!
//! Does not know: the content of the files, SQLite.

use rustix::fs::OFlags;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Only the owner reads and writes the files, because they hold what people said. The umask does not change that.
pub(super) const FILE_MODE: u32 = 0o600;

pub(super) const DIRECTORY_MODE: u32 = 0o700;

/// Options that open a file without following a link and without waiting for the other end of a pipe.
pub(super) fn options() -> fs::OpenOptions {
    let mut options = File::options();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options.read(true).mode(FILE_MODE).custom_flags(flags.cast_signed());
    options
}

/// Why the log must not use the file at `path`; `None` if it may, or if the file does not exist.
///
/// # Errors
/// When the file cannot be examined.
pub(super) fn fault(path: &Path) -> io::Result<Option<&'static str>> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(match () {
        () if found.is_symlink() => Some("a link, and Volley would write into the file that it leads to"),
        () if found.is_dir() => Some("a directory"),
        () if found.file_type().is_fifo() => Some("a named pipe"),
        () if !found.is_file() => Some("a device or a socket"),
        () if found.mode() & 0o002 != 0 => {
            Some("a file that every user may write; if its content is right, chmod it to 600")
        }
        // Volley would write into the file under its other name too, which may be a backup.
        () if found.nlink() > 1 + put_aside(path, &found) => Some(
            "a file with a second name (a hard link), which would be written too; copy it and put the copy in its place",
        ),
        () => None,
    })
}

/// Counts the names `PATH.damaged-…` of the same file. A start that is killed while it puts a damaged database aside
/// leaves one.
fn put_aside(path: &Path, file: &Metadata) -> u64 {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return 0 };
    let prefix = format!("{name}.damaged-");
    let is_same = |entry: &fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix))
            && entry.metadata().is_ok_and(|found| identity(&found) == identity(file))
    };
    fs::read_dir(folder).map_or(0, |entries| entries.map_while(Result::ok).filter(is_same).count() as u64)
}

/// Gives a file or directory that was just created exactly the rights of `mode`, whatever the umask is.
///
/// # Errors
/// When the system refuses.
pub(super) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    if file.metadata()?.mode() & 0o777 == mode { Ok(()) } else { file.set_permissions(Permissions::from_mode(mode)) }
}

/// Removes the rights of other users from `path`. Returns whether there were any.
///
/// # Errors
/// When the system refuses.
pub(super) fn make_private(path: &Path, mode: u32) -> io::Result<bool> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // The target of a link may belong to another program; its rights do not change.
    let is_wide = !found.is_symlink() && found.mode() & 0o777 & !mode != 0;
    if is_wide {
        fs::set_permissions(path, Permissions::from_mode(found.mode() & mode))?;
    }
    Ok(is_wide)
}

/// Creates an empty file with the rights of [`FILE_MODE`], for SQLite, which would give it more.
///
/// # Errors
/// When the file exists, or the system refuses.
pub(super) fn make(path: &Path) -> io::Result<()> {
    set_mode(&options().write(true).create_new(true).open(path)?, FILE_MODE)
}

/// Device and inode of a file: equal for two descriptors of one file.
pub(super) type FileId = (u64, u64);

fn identity(found: &Metadata) -> FileId {
    (found.dev(), found.ino())
}

/// The regular file at `path`; `None` if there is none.
pub(super) fn identity_at(path: &Path) -> Option<FileId> {
    fs::symlink_metadata(path).ok().filter(Metadata::is_file).map(|found| identity(&found))
}

/// Checks whether the open files are still in their places.
#[derive(Debug)]
pub(super) struct FileWatch {
    files: [WatchedFile; 4],
    /// Set when a file was shorter than before. It is never unset, because the data that was cut off is lost.
    cut: Option<String>,
}

#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    /// Set by the first look that finds the file.
    identity: Option<FileId>,
    /// The file's greatest length so far.
    bytes: u64,
    /// SQLite never shortens the file below this length.
    kept: u64,
    /// SQLite creates the file again whenever it opens the database.
    is_made_anew: bool,
}

impl FileWatch {
    /// Watches an open database, the side file, and the write-ahead log with its index, which SQLite may create again
    /// when it opens the database. While the database is open, SQLite never shortens the write-ahead log below
    /// `wal_kept` bytes.
    pub(super) fn new(database: PathBuf, heads: PathBuf, wal: PathBuf, index: PathBuf, wal_kept: u64) -> Self {
        let files = [(database, u64::MAX, false), (heads, u64::MAX, false), (wal, wal_kept, true), (index, 0, true)];
        let files =
            files.map(|(path, kept, is_made_anew)| WatchedFile { path, identity: None, bytes: 0, kept, is_made_anew });
        let mut watch = Self { files, cut: None };
        // A file that is missing now is not an error later: SQLite creates some of them when it needs them.
        let _ = watch.look();
        watch
    }

    /// The database was opened again: the files that SQLite created with it are the right ones from now on.
    pub(super) fn renew(&mut self) {
        for file in self.files.iter_mut().filter(|file| file.is_made_anew) {
            (file.identity, file.bytes) = (None, 0);
        }
    }

    /// Takes a few system calls.
    ///
    /// # Errors
    /// Which file is not in its place, and why, for the operator.
    pub(super) fn look(&mut self) -> Result<(), String> {
        if let Some(cut) = &self.cut {
            return Err(cut.clone());
        }
        for file in &mut self.files {
            let path = file.path.display();
            let found = match fs::symlink_metadata(&file.path) {
                Ok(found) => found,
                Err(_) if file.identity.is_none() => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    return Err(format!("{path} is gone; it was deleted or moved away while the server runs"));
                }
                Err(error) => return Err(format!("{path} cannot be reached: {error}")),
            };
            if *file.identity.get_or_insert(identity(&found)) != identity(&found) {
                return Err(format!("{path} is a different file than the one that the server opened"));
            }
            // A write behind the cut would leave a hole, and the next start would stop reading there.
            if found.len() < file.bytes.min(file.kept) {
                let cut = format!("{path} was cut from {} to {} bytes while the server runs", file.bytes, found.len());
                return Err(self.cut.insert(cut).clone());
            }
            file.bytes = found.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("volley-files-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn removed_replaced_and_cut_files_are_noticed_until_they_are_back() {
        let dir = scratch("watch");
        let (database, wal) = (dir.join("db"), dir.join("wal"));
        fs::write(&database, "12345").unwrap();
        let watch = || FileWatch::new(database.clone(), dir.join("heads"), wal.clone(), dir.join("shm"), 4);
        let mut watch_this = watch();
        assert_eq!(watch_this.look(), Ok(()), "the second file never existed");
        fs::write(&wal, "").unwrap();
        assert_eq!(watch_this.look(), Ok(()));
        fs::rename(&wal, dir.join("aside")).unwrap();
        assert!(watch_this.look().unwrap_err().contains("wal is gone"));
        fs::write(&wal, "").unwrap();
        assert!(watch_this.look().unwrap_err().contains("different file"));
        fs::rename(dir.join("aside"), &wal).unwrap();
        assert_eq!(watch_this.look(), Ok(()), "the file is back");
        fs::remove_file(&wal).unwrap();
        fs::write(&wal, "").unwrap();
        watch_this.renew();
        assert_eq!(watch_this.look(), Ok(()), "the database was opened again");

        fs::write(&database, "1234567").unwrap();
        assert_eq!(watch_this.look(), Ok(()), "a longer file is accepted");
        fs::write(&database, "123").unwrap();
        assert!(watch_this.look().unwrap_err().contains("cut from 7 to 3 bytes"));
        fs::write(&database, "1234567").unwrap();
        assert!(watch_this.look().is_err(), "data that was cut off is lost");

        let mut watch_this = watch();
        fs::rename(&dir, dir.with_extension("moved")).unwrap();
        assert!(watch_this.look().unwrap_err().contains("is gone"));
        fs::write(&dir, "a file in the place of the directory").unwrap();
        assert!(watch_this.look().unwrap_err().contains("is gone"));
        fs::remove_file(&dir).unwrap();
        fs::remove_dir_all(dir.with_extension("moved")).unwrap();
    }

    #[test]
    fn only_regular_files_that_others_cannot_write_are_accepted() {
        let dir = scratch("faults");
        let at = |name: &str| dir.join(name);
        let told = |name: &str| fault(&at(name)).unwrap();
        assert_eq!(told("nothing"), None);
        make(&at("file")).unwrap();
        assert_eq!(told("file"), None);
        assert_eq!(fs::metadata(at("file")).unwrap().mode() & 0o777, FILE_MODE);
        assert!(make(&at("file")).is_err(), "an existing file is not overwritten");
        for target in ["file", "nothing"] {
            let name = format!("to-{target}");
            std::os::unix::fs::symlink(at(target), at(&name)).unwrap();
            assert!(told(&name).is_some_and(|what| what.starts_with("a link")), "{name}");
            assert!(options().open(at(&name)).is_err(), "no link is followed");
        }
        fs::create_dir(at("dir")).unwrap();
        assert_eq!(told("dir"), Some("a directory"));
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert_eq!(told("socket"), Some("a device or a socket"));
        fs::set_permissions(at("file"), Permissions::from_mode(0o602)).unwrap();
        assert!(told("file").is_some_and(|what| what.contains("every user may write")));
        fs::set_permissions(at("file"), Permissions::from_mode(0o664)).unwrap();
        assert_eq!(
            (make_private(&at("file"), FILE_MODE).unwrap(), make_private(&at("file"), FILE_MODE).unwrap()),
            (true, false)
        );
        assert_eq!(fs::metadata(at("file")).unwrap().mode() & 0o777, 0o600);
        assert!(!make_private(&at("nothing"), FILE_MODE).unwrap());
        fs::remove_dir_all(dir).unwrap();
    }
}
