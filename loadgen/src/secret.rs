//! The key of the admin address: taken from a file or the environment rather than from a command line, which others on the
//! machine can see, and never printed.
//!
//! Does not know: what the key opens.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest key that a server takes, and the line's end of a file.
const KEY_BYTES_MAX: u64 = 256 + 2;

/// A key that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The first line of a file, which has no more.
    ///
    /// # Errors
    /// What is wrong. The path is not repeated: it may be the key itself.
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
    /// When it cannot stand in a header.
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
