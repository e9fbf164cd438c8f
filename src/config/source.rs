//! Where a value came from: the ground on which the readers and their errors stand.

use super::quoted::quoted;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    #[default]
    Default,
    File {
        path: Arc<PathBuf>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// An environment variable, by name.
    Env(String),
    /// A flag, as it was written: `--tick`, `--set room.idle_s`.
    Flag(String),
}

impl Source {
    /// The place of a mistake; for a file with its column, which [`Display`](fmt::Display) leaves out.
    pub(super) fn fmt_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { column, .. } => write!(f, "{self}:{column}"),
            _ => write!(f, "{self}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, .. } => {
                write!(f, "{}:{line}", quoted(&path.display().to_string()))
            }
            Self::Env(name) | Self::Flag(name) => f.write_str(&quoted(name)),
        }
    }
}
