//! Stops the log while its files are not where they were, and starts it again when they are back.
//!
//! A batch stored in a deleted file would be acknowledged and lost.
//!
//! Does not know: what stands in the files.

use crate::health::Part;
use crate::log::disk::files::FileWatch;

pub(super) struct FileGuard {
    watch: FileWatch,
    health: Part,
    is_lost: bool,
}

impl FileGuard {
    pub(super) fn new(watch: FileWatch, health: Part) -> Self {
        Self { watch, health, is_lost: false }
    }

    /// Looks whether the files are there: a few system calls, made before each commit, which waits for a device.
    ///
    /// # Errors
    /// What happened to which file.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let found = self.watch.look();
        match &found {
            Ok(()) if self.is_lost => {
                self.health.recover();
                tracing::warn!("the log's files are back; comments are stored again");
            }
            Ok(()) => {}
            Err(what) => self.health.fail(what.as_str()),
        }
        self.is_lost = found.is_err();
        found
    }

    /// Whether the last look missed a file.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The database was opened again, and with that its write-ahead log and index were made anew.
    pub(super) fn renew(&mut self) {
        self.watch.renew();
    }
}
