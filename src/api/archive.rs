//! Rooms' logs as HTTP reads them: off the runtime's thread, a bounded number at a time.
//!
//! Does not know: how a page is used, or how a log is stored.

use super::refused::HistoryRefused;
use crate::limits::LOG_READS_MAX;
use crate::log::{Head, Limit, Log, ReadError, Record};
use crate::protocol::ids::{Epoch, Offset, RoomId};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How often a read is begun again because retention or a restart of the log came between its steps.
const TRIES: usize = 3;

/// Reads logs where it may wait for a device. Cheap to clone.
#[derive(Clone)]
pub(super) struct Archive {
    log: Arc<dyn Log>,
    reads: Arc<Semaphore>,
}

/// A stretch of a room's log.
#[derive(Debug)]
pub(super) struct LogStretch {
    /// The log as it stood when the records had been read, of the same epoch.
    pub(super) head: Head,
    /// The position that they follow.
    pub(super) after: Offset,
    /// Oldest first.
    pub(super) records: Vec<Record>,
}

impl Archive {
    pub(super) fn new(log: Arc<dyn Log>) -> Self {
        Self { log, reads: Arc::new(Semaphore::new(LOG_READS_MAX)) }
    }

    /// Runs `work` on a thread that may block, when it is its turn. The callers bound the number of waiting calls.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Log) -> Result<T, HistoryRefused> + Send + 'static,
    ) -> Result<T, HistoryRefused> {
        let permit = self.reads.clone().acquire_owned().await.map_err(|_| HistoryRefused::Unavailable)?;
        let log = self.log.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // With the thread, not with the request: a request may be given up while the device is still at it.
            let _permit = permit;
            work(&*log)
        });
        reading.await.unwrap_or_else(|error| {
            if error.is_panic() {
                tracing::error!(%error, "reading a log failed");
            }
            Err(HistoryRefused::Unavailable)
        })
    }
}

/// The records of `room` after `after` (`None`: from the first retained one), all of one epoch: `epoch`, if given.
pub(super) fn read(
    log: &dyn Log,
    room: &RoomId,
    epoch: Option<Epoch>,
    after: Option<Offset>,
    limit: Limit,
) -> Result<LogStretch, HistoryRefused> {
    let head = || log.head(room)?.ok_or(HistoryRefused::NoSuchRoom);
    for _ in 0..TRIES {
        let before = head()?;
        if epoch.is_some_and(|epoch| epoch != before.epoch) {
            return Err(HistoryRefused::EpochChanged { epoch: before.epoch });
        }
        let from = after.unwrap_or(before.first.saturating_sub(1));
        let records = match log.read(room, from, limit) {
            Ok(records) => records,
            Err(ReadError::TooOld { .. }) if after.is_none() => continue, // Retention was faster.
            Err(error) => return Err(error.into()),
        };
        let now = head()?;
        // A room may close and open again in between: then the records may be the next log's.
        if now.epoch == before.epoch {
            return Ok(LogStretch { head: now, after: from, records });
        }
    }
    Err(HistoryRefused::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{AppendError, Base, OpenError, Opened, Retention, Sink, Ticket};
    use crate::protocol::event::Event;
    use crate::protocol::ids::Hex64;
    use parking_lot::Mutex;
    use std::collections::VecDeque;

    /// A log whose heads and reads are written down beforehand.
    struct Scripted {
        heads: Mutex<VecDeque<Option<Head>>>,
        reads: Mutex<VecDeque<Result<Vec<Record>, ReadError>>>,
    }

    impl Log for Scripted {
        fn read(&self, _: &RoomId, _: Offset, _: Limit) -> Result<Vec<Record>, ReadError> {
            self.reads.lock().pop_front().expect("no more reads than scripted")
        }
        fn head(&self, _: &RoomId) -> Result<Option<Head>, ReadError> {
            Ok(self.heads.lock().pop_front().expect("no more heads than scripted"))
        }
        fn open(&self, _: &RoomId, _: Arc<dyn Sink>) -> Result<Opened, OpenError> {
            Err(OpenError::Unavailable)
        }
        fn append(&self, _: &RoomId, _: Ticket, _: Vec<Event>, _: u64) -> Result<(), AppendError> {
            Err(AppendError::Closed)
        }
        fn nudge(&self, _: &RoomId) {}
        fn retain(&self, _: &RoomId, _: &Retention, _: u64, _: Base) {}
        fn close(&self, _: &RoomId) {}
    }

    fn head(epoch: u64, first: Offset) -> Option<Head> {
        Some(Head { epoch: Hex64(epoch), first, last: 9 })
    }

    fn outcome(
        after: Option<Offset>,
        heads: Vec<Option<Head>>,
        reads: Vec<Result<Vec<Record>, ReadError>>,
    ) -> Result<(Epoch, Offset), HistoryRefused> {
        let log = Scripted { heads: Mutex::new(heads.into()), reads: Mutex::new(reads.into()) };
        let room = RoomId::new("r").unwrap();
        let stretch = read(&log, &room, None, after, Limit::events(1))?;
        assert!(log.heads.lock().is_empty() && log.reads.lock().is_empty(), "everything scripted was asked for");
        Ok((stretch.head.epoch, stretch.after))
    }

    #[test]
    fn records_of_another_epoch_are_never_taken_for_this_ones() {
        let read = || Ok(Vec::new());
        let again = outcome(None, vec![head(1, 3), head(2, 5), head(2, 5), head(2, 5)], vec![read(), read()]);
        assert_eq!(again, Ok((Hex64(2), 4)));
        let changing = (1..=6).map(|epoch| head(epoch, 1)).collect();
        assert_eq!(outcome(None, changing, vec![read(), read(), read()]), Err(HistoryRefused::Unavailable));
        assert_eq!(outcome(None, vec![head(1, 1), None], vec![read()]), Err(HistoryRefused::NoSuchRoom));
    }

    #[test]
    fn retention_that_overtakes_a_beginning_is_met_by_beginning_again() {
        let gone = || Err(ReadError::TooOld { first: 7 });
        let met = outcome(None, vec![head(1, 3), head(1, 7), head(1, 7)], vec![gone(), Ok(Vec::new())]);
        assert_eq!(met, Ok((Hex64(1), 6)));
        assert_eq!(outcome(Some(3), vec![head(1, 3)], vec![gone()]), Err(HistoryRefused::TooOld { first: 7 }));
    }

    #[tokio::test]
    async fn a_read_that_panics_is_an_answer_and_frees_its_place() {
        let log = Arc::new(Scripted { heads: Mutex::default(), reads: Mutex::default() });
        let archive = Archive::new(log);
        for _ in 0..=LOG_READS_MAX {
            let outcome = archive.run(|_| -> Result<(), HistoryRefused> { panic!("planted") }).await;
            assert_eq!(outcome, Err(HistoryRefused::Unavailable));
        }
        assert_eq!(archive.reads.available_permits(), LOG_READS_MAX);
    }
}
