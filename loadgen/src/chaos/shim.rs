//! The library between the server and libc (`shim.c`): compiled on demand, and controlled through a file that both
//! processes map.
//!
//! Simulates a power loss too: the data directory is replaced with its shadow.
//!
//! Does not know: scenarios.

use super::dice::Dice;
use super::ground::Trouble;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("shim.c");
/// Bytes that reach the disk as a whole or not at all, which every disk guarantees.
const SECTOR_BYTES: usize = 4_096;

/// The fields of `struct control`, in this order, of 8 bytes each.
#[derive(Clone, Copy, Debug)]
enum Field {
    WallOffsetNs,
    SyncDelayMs,
    SyncsFail,
    KillBeforeSync,
    Syncs,
    SyncsFailed,
}
const FIELDS: u64 = 6;

/// A compiled shim and its control file.
#[derive(Debug)]
pub struct Shim {
    library: PathBuf,
    control_path: PathBuf,
    control: File,
    data: PathBuf,
    shadow: PathBuf,
}

impl Shim {
    /// Compiles the shim into `folder`, for the data directory `data`.
    ///
    /// # Errors
    /// There is no C compiler (a reason to skip), or the files cannot be created.
    pub fn build(folder: &Path, data: &Path) -> Result<Self, Trouble> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        fs::write(&source, SOURCE)?;
        let cc =
            Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl").output();
        let cc = cc.map_err(|error| Trouble::Skip(format!("needs a C compiler: cc: {error}")))?;
        if !cc.status.success() {
            return Err(Trouble::Fail(format!("cc shim.c: {}", String::from_utf8_lossy(&cc.stderr))));
        }
        let control_path = folder.join("shim.control");
        let control = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&control_path)?;
        control.set_len(FIELDS * 8)?;
        let shadow = folder.join("shadow");
        fs::create_dir_all(&shadow)?;
        Ok(Self { library, control_path, control, data: data.to_owned(), shadow })
    }

    /// The environment variables that load it into a server.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("FAULT_SHIM", text(&self.control_path)),
            ("FAULT_DATA", text(&self.data)),
            ("FAULT_SHADOW", text(&self.shadow)),
        ]
    }

    fn put(&self, field: Field, value: u64) -> io::Result<()> {
        // Both processes map the same page of the file; eight aligned bytes are written at once.
        self.control.write_all_at(&value.to_ne_bytes(), field as u64 * 8)
    }

    fn get(&self, field: Field) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, field as u64 * 8)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// Shifts the server's wall clock.
    ///
    /// # Errors
    /// The control file cannot be written, as in all of these methods.
    pub fn wall_offset_s(&self, seconds: i64) -> io::Result<()> {
        self.put(Field::WallOffsetNs, (seconds * 1_000_000_000).cast_unsigned())
    }

    /// Delays every sync by `ms`.
    ///
    /// # Errors
    /// See above.
    pub fn sync_delay_ms(&self, ms: u64) -> io::Result<()> {
        self.put(Field::SyncDelayMs, ms)
    }

    /// Lets the next `count` syncs fail; the data that they should have written is lost.
    ///
    /// # Errors
    /// See above.
    pub fn fail_syncs(&self, count: u64) -> io::Result<()> {
        self.put(Field::SyncsFail, count)
    }

    /// Kills the process right before the `n`-th sync from now.
    ///
    /// # Errors
    /// See above.
    pub fn kill_before_sync(&self, n: u64) -> io::Result<()> {
        self.put(Field::KillBeforeSync, n)
    }

    /// The number of syncs, and how many of them failed.
    ///
    /// # Errors
    /// See above.
    pub fn syncs(&self) -> io::Result<(u64, u64)> {
        Ok((self.get(Field::Syncs)?, self.get(Field::SyncsFailed)?))
    }

    /// Simulates a power loss: only synced data remains in the data directory. With `dice`, each sector that was
    /// written but not synced remains at random. The server must have ended. Returns the number of written bytes that
    /// are lost.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn lose_power(&self, mut dice: Option<&mut Dice>) -> io::Result<u64> {
        let mut lost = 0;
        for name in names(&self.data)?.into_iter().chain(names(&self.shadow)?) {
            let (data, shadow) = (self.data.join(&name), self.shadow.join(&name));
            if !shadow.exists() {
                // The file was never synced.
                if data.exists() {
                    lost += fs::metadata(&data)?.len();
                    fs::remove_file(&data)?;
                }
                continue;
            }
            let kept = fs::read(&shadow)?;
            let written = match fs::read(&data) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            };
            let mixed = mix(&kept, &written, dice.as_deref_mut());
            lost += written.chunks(SECTOR_BYTES).zip(mixed.chunks(SECTOR_BYTES)).filter(|(a, b)| a != b).count() as u64
                * SECTOR_BYTES as u64;
            lost += written.len().saturating_sub(mixed.len()) as u64;
            fs::write(&data, &mixed)?;
            fs::write(&shadow, &mixed)?;
        }
        Ok(lost)
    }
}

/// A file's content after the loss: `kept`, with random sectors of `written` over it.
fn mix(kept: &[u8], written: &[u8], dice: Option<&mut Dice>) -> Vec<u8> {
    let mut mixed = kept.to_vec();
    let Some(dice) = dice else { return mixed };
    // The file's length too may have been written or not.
    if written.len() > kept.len() && dice.below(2) == 0 {
        mixed.resize(written.len(), 0);
    }
    for from in (0..mixed.len().min(written.len())).step_by(SECTOR_BYTES) {
        let to = (from + SECTOR_BYTES).min(mixed.len()).min(written.len());
        if mixed[from..to] != written[from..to] && dice.below(2) == 0 {
            mixed[from..to].copy_from_slice(&written[from..to]);
        }
    }
    mixed
}

/// Regular files of a flat folder.
fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name().into());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
