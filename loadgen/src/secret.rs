//! The key of the admin address. It comes from a file or the environment, because other users can see a command line,
//! and is never printed.
//!
//! Does not know: what the key is used for.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest key that a server accepts, and the line ending of a file.
const KEY_BYTES_MAX: u64 = 256 + 2;

/// A key that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads a file of one line.
    ///
    /// # Errors
    /// The reason. It does not repeat the path, which may be the key itself.
    pub fn read(path: &Path) -> Result<Self, String> {
        let is_file = std::fs::metadata(path).map_err(|e| e.to_string())?.is_file();
        if !is_file {
            return Err("give a regular file".into());
        }
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(KEY_BYTES_MAX + 1).read_to_string(&mut text));
        read.map_err(|e: io::Error| e.to_string())?;
        Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// # Errors
    /// If the key cannot be sent in a header.
    pub fn check(self) -> Result<Self, String> {
        let is_fine = !self.0.is_empty() && self.0.len() as u64 <= 256 && self.0.bytes().all(|b| b.is_ascii_graphic());
        if is_fine { Ok(self) } else { Err("a key has up to 256 printable ASCII characters and no spaces".into()) }
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(REDACTED)")
    }
}
