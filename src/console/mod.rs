//! Standard output and standard error. Writing a line never fails, blocks or panics, whatever the descriptor is: a full
//! disk, a closed pipe, a pipe that nobody reads.
//!
//! Lines wait in a bounded queue for a thread that may block ([`stream`]). What does not fit, or cannot be written, is
//! dropped and counted, and said once lines can be written again. The only module that touches the two descriptors:
//! `eprintln!` panics when its write fails.
//!
//! Does not know: what a line says, or who writes it.

mod stream;

pub use stream::{Dropped, Stream};

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

static OUT: Stream = Stream::standard(|| Box::new(io::stdout()), |_| {});
static ERR: Stream = Stream::standard(|| Box::new(io::stderr()), say_what_was_dropped);

/// Standard output, for what a server says beside its log.
pub fn out() -> &'static Stream {
    &OUT
}

/// Standard error: the log.
pub fn err() -> &'static Stream {
    &ERR
}

/// Waits until both have written what they were given, for 2 s at most. Before the process ends.
pub fn flush() {
    // Standard error first: a standard output that blocks must not use up its time.
    ERR.flush();
    OUT.flush();
}

/// Whether a person reads standard error.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Prints the whole answer of a command on standard output, however long its reader takes.
///
/// # Errors
/// What the system said. A reader that has left (`volley config | head`) is no error.
pub fn print(text: &str) -> io::Result<()> {
    match stream::write(io::stdout().as_fd(), text.as_bytes()) {
        Err((_, rustix::io::Errno::PIPE)) | Ok(()) => Ok(()),
        Err((_, error)) => Err(error.into()),
    }
}

/// Takes a line of the log library, which hands over each in one piece.
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

fn say_what_was_dropped(lines: u64) {
    tracing::warn!(lines, "log lines were dropped: standard error did not take them");
}
