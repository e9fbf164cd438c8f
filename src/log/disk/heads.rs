//! The side file `volley.heads`: each room's newest offset, outside of the database.
//!
//! A database whose write-ahead log is lost, cut or outdated looks whole: it only ends earlier. Subscribers that have
//! seen later events would mistake new ones for those. So after each commit the newest offset of each of its rooms is
//! written here too. A room whose log ends before its entry has lost its tail.
//!
//! After a SIGKILL the file and the database agree exactly, because the system keeps what the process wrote. After a
//! power loss the file may be behind, which is no damage. It is never ahead, because it is written after the commit is
//! durable. A room's first entry is synced before its opening is answered, so a missing entry is damage.
//!
//! There is one 32-byte entry per room number, so that no entry crosses a sector: epoch, offset, CRC-32 of the two and
//! the number. Entry 0 is the header: magic, the database's instance, CRC-32. An entry of zeros is unused.
//!
//! Does not know: SQLite, what happens to a room that lost its tail.

use super::files;
use crate::protocol::ids::{Epoch, Hex64, Offset};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const ENTRY_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"VOLYHDS1";

/// Entries that a [`HeadsReader`] reads at once: 64 KiB.
const PIECE_ENTRIES: u64 = 2_048;

#[derive(Debug)]
pub(super) struct HeadsFile {
    file: File,
}

/// A room's entry in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotedHead {
    Nothing,
    /// The log reached this offset in this epoch.
    Head(Epoch, Offset),
    Damaged,
}

impl HeadsFile {
    /// Opens the file of the database `instance`; `None` if it does not exist or belongs to a different database.
    pub(super) fn open(path: &Path, instance: u64) -> io::Result<Option<Self>> {
        let file = match files::options().write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut header = [0; ENTRY_BYTES];
        let is_ours = match file.read_exact_at(&mut header, 0) {
            Ok(()) => header == Self::header(instance),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        Ok(is_ours.then(|| Self { file }))
    }

    /// Creates an empty file, or replaces an existing one.
    pub(super) fn create(path: &Path, instance: u64) -> io::Result<Self> {
        let file = files::options().write(true).create(true).truncate(true).open(path)?;
        files::set_mode(&file, files::FILE_MODE)?;
        file.write_all_at(&Self::header(instance), 0)?;
        file.sync_all()?;
        Ok(Self { file })
    }

    fn header(instance: u64) -> [u8; ENTRY_BYTES] {
        let mut header = [0; ENTRY_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&instance.to_le_bytes());
        let sum = crc32fast::hash(&header[..16]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header
    }

    /// Writes a room's newest offset, without a sync.
    pub(super) fn note(&self, room: i64, epoch: Epoch, last: Offset) -> io::Result<()> {
        self.file.write_all_at(&entry(room, epoch, last), at(room))
    }

    pub(super) fn forget(&self, room: i64) -> io::Result<()> {
        self.file.write_all_at(&[0; ENTRY_BYTES], at(room))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// A reader of entries, to be asked for rising numbers.
    pub(super) fn reader(&self) -> HeadsReader<'_> {
        HeadsReader { heads: self, from: 0, piece: Vec::new() }
    }
}

/// Reads the file in pieces, which is fast if the numbers asked for rise.
pub(super) struct HeadsReader<'a> {
    heads: &'a HeadsFile,
    from: u64,
    piece: Vec<u8>,
}

impl HeadsReader<'_> {
    pub(super) fn get(&mut self, room: i64) -> io::Result<NotedHead> {
        let Ok(number) = u64::try_from(room) else { return Ok(NotedHead::Nothing) };
        let from = number - number % PIECE_ENTRIES;
        if self.piece.is_empty() || from != self.from {
            self.from = from;
            self.piece = vec![0; PIECE_ENTRIES as usize * ENTRY_BYTES];
            let mut done = 0;
            while done < self.piece.len() {
                match self.heads.file.read_at(&mut self.piece[done..], from * ENTRY_BYTES as u64 + done as u64) {
                    Ok(0) => break, // Entries beyond the end were never written.
                    Ok(count) => done += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let begin = (number - from) as usize * ENTRY_BYTES;
        let found = &self.piece[begin..begin + ENTRY_BYTES];
        if found.iter().all(|byte| *byte == 0) {
            return Ok(NotedHead::Nothing);
        }
        let number = |range: std::ops::Range<usize>| u64::from_le_bytes(found[range].try_into().expect("eight bytes"));
        let (epoch, last) = (Hex64(number(0..8)), number(8..16));
        Ok(if found == entry(room, epoch, last) { NotedHead::Head(epoch, last) } else { NotedHead::Damaged })
    }
}

fn at(room: i64) -> u64 {
    room.cast_unsigned() * ENTRY_BYTES as u64
}

fn entry(room: i64, epoch: Epoch, last: Offset) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&epoch.0.to_le_bytes());
    entry[8..16].copy_from_slice(&last.to_le_bytes());
    entry[16..24].copy_from_slice(&room.to_le_bytes());
    let sum = crc32fast::hash(&entry[..24]);
    entry[24..28].copy_from_slice(&sum.to_le_bytes());
    entry
}
