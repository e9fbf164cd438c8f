//! The side file `volley.heads`: each room's newest offset, outside of the database.
//!
//! A database whose write-ahead log is lost, cut or older than it was looks whole: it merely ends earlier, and
//! subscribers who have seen more would take what comes next for what they have. So after each commit the newest
//! offset of each room in it is written here too. What the process wrote survives its death, so after a SIGKILL the two
//! agree exactly; after a power loss this file may be behind, never ahead (it is written after the commit is durable), and
//! being behind says nothing. A room's first entry is synced before its opening is answered, so that a missing one is damage. A room whose log ends before its entry here has lost its tail.
//!
//! One 32-byte entry per room number, so that none crosses a sector: epoch, offset, CRC-32 of the two and the number.
//! Entry 0 is the header: magic, the database's instance, CRC-32. An entry of zeros says nothing.
//!
//! Does not know: SQLite, what becomes of a room that lost its tail.

use super::files;
use crate::protocol::ids::{Epoch, Hex64, Offset};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const ENTRY_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"VOLYHDS1";

/// Entries that are read at once when the file is looked through: 64 KiB.
const PIECE_ENTRIES: u64 = 2_048;

/// The open side file.
#[derive(Debug)]
pub(super) struct HeadsFile {
    file: File,
}

/// What the file says of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotedHead {
    /// Nothing.
    Nothing,
    /// It reached this offset in this epoch.
    Head(Epoch, Offset),
    /// The entry is damaged.
    Damaged,
}

impl HeadsFile {
    /// Opens the file that belongs to `instance`; `None` when there is none, or another one's.
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

    /// Makes an empty file, in place of one that may be there.
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

    /// Notes a room's newest offset. To the operating system, not to the device.
    pub(super) fn note(&self, room: i64, epoch: Epoch, last: Offset) -> io::Result<()> {
        self.file.write_all_at(&entry(room, epoch, last), at(room))
    }

    /// Forgets a room.
    pub(super) fn forget(&self, room: i64) -> io::Result<()> {
        self.file.write_all_at(&[0; ENTRY_BYTES], at(room))
    }

    /// To the device.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads entries in the order of their numbers.
    pub(super) fn reader(&self) -> HeadsReader<'_> {
        HeadsReader { heads: self, from: 0, piece: Vec::new() }
    }
}

/// Looks through the file in pieces: ask for rising numbers.
pub(super) struct HeadsReader<'a> {
    heads: &'a HeadsFile,
    from: u64,
    piece: Vec<u8>,
}

impl HeadsReader<'_> {
    /// What the file says of `room`.
    pub(super) fn get(&mut self, room: i64) -> io::Result<NotedHead> {
        let Ok(number) = u64::try_from(room) else { return Ok(NotedHead::Nothing) };
        let from = number - number % PIECE_ENTRIES;
        if self.piece.is_empty() || from != self.from {
            self.from = from;
            self.piece = vec![0; PIECE_ENTRIES as usize * ENTRY_BYTES];
            let mut done = 0;
            while done < self.piece.len() {
                match self.heads.file.read_at(&mut self.piece[done..], from * ENTRY_BYTES as u64 + done as u64) {
                    Ok(0) => break, // Beyond the end nothing was ever noted.
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
