//! Standard output and standard error. Writing a line never fails, blocks or panics, even if the disk is full or the
//! pipe is closed or not read.
//!
//! Lines wait in a bounded queue for a thread that may block ([`stream`]). Lines that do not fit or cannot be written
//! are dropped and counted; a log line gives their number once lines can be written again. No other module uses the two
//! descriptors, because `eprintln!` panics when its write fails.
//!
//! Does not know: the content of a line, its author.

mod stream;

pub use stream::{DroppedLines, Stream};

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

static OUT: Stream = Stream::standard(|| Box::new(io::stdout()), |_| {});
static ERR: Stream = Stream::standard(|| Box::new(io::stderr()), report_dropped_lines);

/// Standard output, for a server's messages beside its log.
pub fn out() -> &'static Stream {
    &OUT
}

/// Standard error, to which the log goes.
pub fn err() -> &'static Stream {
    &ERR
}

/// Waits until both streams have written their lines, for at most 2 s in total. For the end of the process.
pub fn flush() {
    // Standard error comes first, so that a blocked standard output does not use up its time.
    ERR.flush();
    OUT.flush();
}

/// Whether standard error is a terminal.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Prints the whole output of a command on standard output, and waits for a slow reader.
///
/// # Errors
/// The error of the system. A reader that has left (`volley config | head`) is no error.
pub fn print(text: &str) -> io::Result<()> {
    match stream::write(io::stdout().as_fd(), text.as_bytes()) {
        Err((_, rustix::io::Errno::PIPE)) | Ok(()) => Ok(()),
        Err((_, error)) => Err(error.into()),
    }
}

/// A writer for the log library, which writes each line in one piece.
#[derive(Debug)]
pub struct LogLine;

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        ERR.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn report_dropped_lines(lines: u64) {
    tracing::warn!(lines, "log lines were dropped because standard error did not accept them");
}
