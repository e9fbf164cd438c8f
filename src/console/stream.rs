//! One descriptor, its queue of lines, and the thread that writes them.
//!
//! Does not know: which descriptor it is.

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The most lines that wait for the descriptor.
const LINES_MAX: usize = 2_048;

/// The most bytes of waiting lines: many times what a start, a drain or a burst of faults writes. An empty queue also
/// takes a single longer line.
const BYTES_MAX: usize = 1 << 20;

/// How long the end of the process waits for a blocked descriptor.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

type Descriptor = Box<dyn AsFd + Send>;

/// A descriptor to which lines are written without waiting.
pub struct Stream {
    queue: OnceLock<Queue>,
    open: fn() -> Descriptor,
    /// Called when lines can be written again, with the number of dropped ones.
    regained: fn(u64),
}

/// Numbers of lines that were dropped, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedLines {
    /// The queue was full, because the descriptor is blocked or too slow.
    pub full: u64,
    /// The system refused the write, for lack of space or of a reader.
    pub failed: u64,
}

impl Stream {
    pub(super) const fn standard(open: fn() -> Descriptor, regained: fn(u64)) -> Self {
        Self { queue: OnceLock::new(), open, regained }
    }

    /// Queues a line, which includes its line feed. Returns at once.
    pub fn line(&self, line: &[u8]) {
        let queue = self.queue.get_or_init(|| Queue::start((self.open)(), self.regained));
        if queue.push(line).is_err() {
            write_if_ready((self.open)().as_fd(), line);
        }
    }

    /// Waits until every line is written or dropped, for at most 1 s.
    pub fn flush(&self) {
        if let Some(queue) = self.queue.get() {
            queue.shared.flush();
        }
    }

    pub fn dropped(&self) -> DroppedLines {
        self.queue.get().map_or_else(DroppedLines::default, |queue| queue.shared.dropped())
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.dropped().fmt(f)
    }
}

/// The system had no thread to write the lines.
struct NoThread;

struct Queue {
    lines: Sender<Box<[u8]>>,
    shared: Arc<QueueCounts>,
}

#[derive(Default)]
struct QueueCounts {
    bytes: AtomicUsize,
    /// Lines that were queued, and how many of them were written or dropped.
    taken: AtomicU64,
    done: AtomicU64,
    full: AtomicU64,
    failed: AtomicU64,
    idle: Mutex<()>,
    is_idle: Condvar,
}

impl Queue {
    fn start(descriptor: Descriptor, regained: fn(u64)) -> Self {
        let (lines, waiting) = bounded(LINES_MAX);
        let shared = Arc::<QueueCounts>::default();
        let mut writer =
            StreamWriter { descriptor, waiting, shared: shared.clone(), regained, told: 0, is_mid_line: false };
        let run = move || {
            // A bug here must not silence the log permanently. Each round takes a line, so the loop ends.
            while catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {}
        };
        // An error drops the receiver, which `push` sees.
        let _ = std::thread::Builder::new().name("console".into()).spawn(run);
        Self { lines, shared }
    }

    /// # Errors
    /// [`NoThread`].
    fn push(&self, line: &[u8]) -> Result<(), NoThread> {
        let shared = &self.shared;
        let fits = |bytes: usize| (bytes == 0 || bytes + line.len() <= BYTES_MAX).then_some(bytes + line.len());
        if shared.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            shared.full.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        match self.lines.try_send(line.into()) {
            Ok(()) => {
                shared.taken.fetch_add(1, Ordering::AcqRel);
            }
            Err(error) => {
                shared.bytes.fetch_sub(line.len(), Ordering::AcqRel);
                shared.full.fetch_add(1, Ordering::AcqRel);
                if matches!(error, TrySendError::Disconnected(_)) {
                    return Err(NoThread);
                }
            }
        }
        Ok(())
    }
}

impl QueueCounts {
    fn dropped(&self) -> DroppedLines {
        DroppedLines { full: self.full.load(Ordering::Acquire), failed: self.failed.load(Ordering::Acquire) }
    }

    fn has_work(&self) -> bool {
        self.done.load(Ordering::Acquire) < self.taken.load(Ordering::Acquire)
    }

    fn flush(&self) {
        let mut idle = self.idle.lock();
        self.is_idle.wait_while_for(&mut idle, |()| self.has_work(), FLUSH_TIMEOUT);
    }
}

struct StreamWriter {
    descriptor: Descriptor,
    waiting: Receiver<Box<[u8]>>,
    shared: Arc<QueueCounts>,
    regained: fn(u64),
    /// Dropped lines that a log line has reported.
    told: u64,
    /// The last write ended inside a line.
    is_mid_line: bool,
}

impl StreamWriter {
    /// Returns when the queue is dropped.
    fn run(&mut self) {
        while let Ok(line) = self.waiting.recv() {
            let done = Done(self.shared.clone(), line.len());
            match self.write(&line) {
                Ok(()) => self.tell(),
                Err(_) => {
                    self.shared.failed.fetch_add(1, Ordering::AcqRel);
                }
            }
            drop(done);
        }
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Errno> {
        if self.is_mid_line {
            write(self.descriptor.as_fd(), b"\n").map_err(|(_, error)| error)?;
            self.is_mid_line = false;
        }
        write(self.descriptor.as_fd(), line).map_err(|(written, error)| {
            self.is_mid_line = written > 0;
            error
        })
    }

    /// Reports the number of dropped lines. Its own line goes through the queue; if it is dropped, the report is
    /// repeated.
    fn tell(&mut self) {
        let dropped = || {
            let DroppedLines { full, failed } = self.shared.dropped();
            full + failed
        };
        let lost = dropped();
        if lost > self.told {
            (self.regained)(lost - self.told);
            if dropped() == lost {
                self.told = lost;
            }
        }
    }
}

/// A line that left the queue counts as done even if writing it panics.
struct Done(Arc<QueueCounts>, usize);

impl Drop for Done {
    fn drop(&mut self) {
        let Self(shared, bytes) = self;
        shared.bytes.fetch_sub(*bytes, Ordering::AcqRel);
        shared.done.fetch_add(1, Ordering::AcqRel);
        if !shared.has_work() {
            // Under the lock, so that a flush cannot miss it between its check and its sleep.
            let _idle = shared.idle.lock();
            shared.is_idle.notify_all();
        }
    }
}

/// Writes a line without a thread that may wait, if it fits at once. A pipe that is ready takes a line of one page
/// whole.
fn write_if_ready(descriptor: BorrowedFd<'_>, line: &[u8]) {
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_ready = poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], Some(&now)) == Ok(1);
    if is_ready && line.len() <= 4_096 {
        // The line is already counted as dropped.
        let _ = rustix::io::write(descriptor, line);
    }
}

/// Writes all bytes and waits for the descriptor, even if it is a non-blocking one. The error comes with the number of
/// bytes written before it.
pub(super) fn write(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), (usize, Errno)> {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(descriptor, &bytes[written..]) {
            Ok(0) => return Err((written, Errno::IO)),
            Ok(n) => written += n,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // A reader that hangs up ends the wait too; the next write returns its error.
                let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], None);
                // Some descriptors are ready with less space than a write needs.
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::io::Read;

    /// A pipe that is full, its reading end, and how many bytes fill it.
    fn full_pipe() -> (File, File, usize) {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let mut filled = 0;
        while let Ok(n) = rustix::io::write(&writer, &[b'.'; 4_096]) {
            filled += n;
        }
        (reader.into(), writer.into(), filled)
    }

    fn put(queue: &Queue, line: &[u8]) {
        assert!(queue.push(line).is_ok(), "there are threads");
    }

    fn set_blocking(file: &File) {
        rustix::fs::fcntl_setfl(file, rustix::fs::OFlags::empty()).unwrap();
    }

    fn number(n: usize) -> String {
        format!("line {n:06}\n")
    }

    #[test]
    fn a_blocked_pipe_delays_no_writer_and_keeps_the_order_of_lines() {
        for is_blocking in [true, false] {
            let (mut reader, writer, filled) = full_pipe();
            set_blocking(&reader);
            if is_blocking {
                set_blocking(&writer);
            }
            let queue = Queue::start(Box::new(writer), |_| {});
            put(&queue, number(0).as_bytes());
            while !queue.lines.is_empty() {
                std::thread::yield_now(); // Until the thread has taken the line.
            }
            (1..10_000).for_each(|n| put(&queue, number(n).as_bytes()));
            queue.shared.flush();
            let DroppedLines { full, failed } = queue.shared.dropped();
            let kept = 10_000 - full as usize;
            assert_eq!((kept, failed), (LINES_MAX + 1, 0));
            let mut text = vec![0; filled];
            reader.read_exact(&mut text).unwrap();
            text.resize(kept * number(0).len(), 0);
            reader.read_exact(&mut text).unwrap();
            let expected: String = (0..kept).map(number).collect();
            assert!(String::from_utf8(text).unwrap() == expected, "the oldest are kept, in their order");
        }
    }

    #[test]
    fn bytes_are_bounded_and_a_longer_line_fits_alone() {
        let (_reader, writer, _) = full_pipe();
        let queue = Queue::start(Box::new(writer), |_| {});
        put(&queue, &vec![b'x'; 3 * BYTES_MAX]);
        put(&queue, b"does not fit behind it\n");
        assert_eq!(queue.shared.dropped(), DroppedLines { full: 1, failed: 0 });
    }

    #[test]
    fn what_the_system_refuses_is_counted_and_the_thread_lives_on() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (_, broken) = rustix::pipe::pipe().unwrap();
        for descriptor in [Box::new(full) as Descriptor, Box::new(File::from(broken))] {
            let queue = Queue::start(descriptor, |_| panic!("nothing was written"));
            (0..100).for_each(|n| put(&queue, number(n).as_bytes()));
            queue.shared.flush();
            assert_eq!(queue.shared.dropped(), DroppedLines { full: 0, failed: 100 });
        }
    }

    static REGAINED: AtomicU64 = AtomicU64::new(0);

    #[test]
    fn what_was_dropped_is_told_once_when_lines_are_taken_again() {
        let (mut reader, writer, filled) = full_pipe();
        set_blocking(&reader);
        let queue = Queue::start(Box::new(writer), |lines| {
            REGAINED.fetch_add(lines, Ordering::AcqRel);
        });
        (0..3_000).for_each(|n| put(&queue, number(n).as_bytes()));
        let dropped = queue.shared.dropped().full;
        let kept = 3_000 - dropped as usize;
        reader.read_exact(&mut vec![0; filled + kept * number(0).len()]).unwrap();
        queue.shared.flush();
        assert_eq!(REGAINED.load(Ordering::Acquire), dropped);
    }

    #[test]
    fn a_panic_while_reporting_loses_one_line_only() {
        let (mut reader, writer, filled) = full_pipe();
        set_blocking(&reader);
        let queue = Queue::start(Box::new(writer), |_| panic!("a bug"));
        (0..3_000).for_each(|n| put(&queue, number(n).as_bytes()));
        let kept = 3_000 - queue.shared.dropped().full as usize;
        reader.read_exact(&mut vec![0; filled + kept * number(0).len()]).unwrap();
        put(&queue, b"after it\n");
        queue.shared.flush();
        let mut text = [0; 9];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"after it\n");
    }
}
