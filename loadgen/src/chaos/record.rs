//! The recorder, with which all parts of a scenario write one history, in order of time.
//!
//! Does not know: the rules that are checked.

use crate::clock::now_ns;
use crate::history::{Event, Fault, Writer};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes gathered before they go to the file.
const BUFFER_BYTES: usize = 256 * 1024;

/// A history that several threads write. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    path: PathBuf,
    open: Arc<Mutex<RecorderState>>,
}

#[derive(Debug)]
struct RecorderState {
    writer: Option<Writer<BufWriter<File>>>,
    /// The first failure, which fails the scenario: a history with a hole proves nothing.
    failed: Option<io::Error>,
}

impl Recorder {
    /// A new history in the file `path`.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn new(path: &Path) -> io::Result<Self> {
        let writer = Writer::new(BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?));
        let open = RecorderState { writer: Some(writer), failed: None };
        Ok(Self { path: path.to_owned(), open: Arc::new(Mutex::new(open)) })
    }

    /// Records an event that happens now. The time is taken under the lock, so that lines are in order of time.
    pub fn write(&self, event: &Event<'_>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let RecorderState { writer: Some(writer), failed: failed @ None } = &mut *open else { return };
        if let Err(error) = writer.write(now_ns(), event) {
            *failed = Some(error);
        }
    }

    /// A fault begins or ends.
    pub fn fault(&self, kind: &str, target: Option<&str>, on: bool, durability: Option<&str>) {
        let (target, durability) = (target.map(Into::into), durability.map(Into::into));
        self.write(&Event::Fault(Fault { kind: kind.into(), target, on, durability }));
    }

    /// Ends the history and opens it for reading.
    ///
    /// # Errors
    /// An event could not be written, or the file cannot be read.
    pub fn into_reader(self) -> io::Result<BufReader<File>> {
        let (writer, failed) = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            (open.writer.take(), open.failed.take())
        };
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(writer) = writer {
            writer.into_inner().flush()?;
        }
        Ok(BufReader::with_capacity(BUFFER_BYTES, File::open(&self.path)?))
    }
}
