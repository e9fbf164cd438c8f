//! Writes events as lines.

use super::Event;
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct Stamped<'a> {
    t: u64,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// Writes a history, one event per line, without a buffer of its own: give it a buffered writer, and flush that.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes a history to `to`.
    pub fn new(to: W) -> Self {
        Self { to, line: Vec::new() }
    }

    /// Appends what happened at `t_ns`, as one `write_all`, so that a killed writer leaves at most one cut line.
    ///
    /// # Errors
    /// The error of the underlying writer.
    pub fn write(&mut self, t_ns: u64, event: &Event<'_>) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Stamped { t: t_ns, event })?;
        self.line.push(b'\n');
        self.to.write_all(&self.line)
    }

    pub fn into_inner(self) -> W {
        self.to
    }
}
