//! Reads events line by line. Memory is needed for the longest line, not for the history.

use super::{Event, fields};
use std::io::{BufRead, Read};

/// The longest line: an audit of some millions of events. Longer audits must be split with `more`.
pub const LINE_BYTES_MAX: u64 = 1 << 30;

/// A line that is not an event, or could not be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Broken {
    /// From 1.
    pub line: u64,
    pub why: String,
}

#[derive(Debug)]
pub struct HistoryLine<'a> {
    /// From 1.
    pub number: u64,
    /// The time in nanoseconds.
    pub t_ns: u64,
    /// The event, or the name of an unknown one.
    pub event: Result<Event<'a>, String>,
}

#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads a history from `from`.
    pub fn new(from: R) -> Self {
        Self { from, line: Vec::new(), number: 0 }
    }

    /// The next line that is not blank; `None` at the end.
    ///
    /// # Errors
    /// [`Broken`]. A later call continues with the next line.
    pub fn read(&mut self) -> Result<Option<HistoryLine<'_>>, Broken> {
        loop {
            self.line.clear();
            self.number += 1;
            let number = self.number;
            let broken = |why: String| Broken { line: number, why };
            let read = self.from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
            match read.map_err(|error| broken(format!("cannot be read: {error}")))? {
                0 => return Ok(None),
                n if n as u64 == LINE_BYTES_MAX && self.line.last() != Some(&b'\n') => {
                    return Err(broken(format!("longer than {LINE_BYTES_MAX} bytes; split audits with \"more\":true")));
                }
                _ => {}
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let number = self.number;
        // An editor may have put a byte order mark before the first line.
        let mark = if number == 1 { "\u{feff}".as_bytes() } else { b"" };
        let line = self.line.strip_prefix(mark).unwrap_or(&self.line);
        let (t_ns, event) = fields::parse(line).map_err(|why| Broken { line: number, why })?;
        Ok(Some(HistoryLine { number, t_ns, event }))
    }
}

#[cfg(test)]
mod tests;
