//! The configuration file on its disk: what may be read, and who else can read or write it.
//!
//! Does not know: what stands in the file.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest configuration file: all keys with all comments of the documentation are 8 KiB. A device
/// or a recording given by mistake is refused instead of filling the memory.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where a shell puts what it was told to read: `--config <(decrypt volley.toml)`. Such a pipe has its writer already.
const INHERITED: [&str; 3] = ["/dev/fd/", "/proc/self/fd/", "/dev/stdin"];

/// Reads a file of at most 64 KiB that no stranger can write.
///
/// # Errors
/// What is wrong with the file, and what to do.
pub(super) fn read_bounded(path: &Path) -> io::Result<String> {
    let is_inherited = INHERITED.iter().any(|prefix| path.to_str().is_some_and(|path| path.starts_with(prefix)));
    // A named pipe would wait for a writer.
    let flags = if is_inherited { 0 } else { rustix::fs::OFlags::NONBLOCK.bits().cast_signed() };
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !is_inherited {
        check(path, &file.metadata()?)?;
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 KiB, surely no configuration"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let is_wide = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        let why = if is_wide { "it is UTF-16; save it as UTF-8" } else { "it is not UTF-8; save it as UTF-8" };
        io::Error::new(io::ErrorKind::InvalidData, why)
    })
}

fn check(path: &Path, found: &Metadata) -> io::Result<()> {
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    let kind = found.file_type();
    if !kind.is_file() {
        let what = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a named pipe",
            () => "a device or a socket",
        };
        return refused(format!("it is {what}; name a regular file"));
    }
    if found.mode() & 0o002 != 0 {
        return refused("every user may write it, and could configure this server; chmod it to 600".into());
    }
    // Who may write the directory may put a different file there, unless it is sticky, as /tmp is.
    let directory = fs::canonicalize(path).ok().and_then(|path| path.parent().map(PathBuf::from));
    if let Some(directory) = directory
        && fs::metadata(&directory).is_ok_and(|found| found.mode() & 0o1002 == 0o002)
    {
        let why = "every user may write into its directory, and could replace it; chmod the directory to 755";
        return refused(why.into());
    }
    Ok(())
}

/// What to tell the operator of a file with a secret in it; `None`: its owner alone can read it.
pub(super) fn exposure(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok().filter(Metadata::is_file)?;
    let mode = found.mode();
    let shown = super::quoted::quoted(&path.display().to_string());
    if ![0, rustix::process::geteuid().as_raw()].contains(&found.uid()) {
        return Some(format!(
            "{shown}, which has a key in it, belongs to user {}, who can read and change it",
            found.uid()
        ));
    }
    let who = if mode & 0o004 != 0 { "every user" } else { "its group" };
    let what = match mode & 0o060 {
        _ if mode & 0o004 != 0 => "can read",
        0 => return None,
        0o020 => "can write",
        _ => "can read",
    };
    Some(format!(
        "{who} {what} {shown}, which has a key in it: chmod it to 600, and take a new key if somebody may have read it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_regular_files_that_strangers_cannot_change_are_read() {
        let dir = std::env::temp_dir().join(format!("volley-config-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        let path = dir.join("volley.toml");
        fs::write(&path, "tick_ms = 50").unwrap();
        let told = |mode: u32| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            (read_bounded(&path).map_err(|error| error.to_string()), exposure(&path))
        };
        assert_eq!(told(0o600), (Ok("tick_ms = 50".into()), None));
        for (mode, who) in
            [(0o644, "every user can read"), (0o640, "its group can read"), (0o620, "its group can write")]
        {
            let (read, exposed) = told(mode);
            assert!(read.is_ok() && exposed.unwrap().starts_with(who), "{mode:o}");
        }
        for mode in [0o602, 0o666, 0o777] {
            assert!(told(mode).0.unwrap_err().contains("every user may write it"), "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
        assert!(read_bounded(&path).unwrap_err().to_string().contains("into its directory"));
        fs::set_permissions(&dir, Permissions::from_mode(0o1777)).unwrap();
        assert!(read_bounded(&path).is_ok(), "sticky: others cannot replace it");
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        // Only root can give files away.
        if std::os::unix::fs::chown(&path, Some(54_321), None).is_ok() {
            assert!(exposure(&path).unwrap().contains("belongs to user 54321"));
            assert!(read_bounded(&path).is_ok(), "as containers have it that mount a file of their host");
            std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        }
        let link = dir.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read_bounded(&link).is_ok(), "a link is how secrets are mounted");
        assert!(read_bounded(&dir).unwrap_err().to_string().contains("a directory"));
        assert!(read_bounded(Path::new("/dev/zero")).unwrap_err().to_string().contains("a device"));
        let socket = dir.join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(read_bounded(&socket).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
