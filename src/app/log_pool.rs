//! Threads that wait for the log's device, so that no shard does.
//!
//! They open rooms and make pages, and mail the result to the room's home. Each kind of job has a bounded queue and
//! threads of its own: opening a room waits for the log's next commit, and many rooms can wait for the same commit; a
//! page costs work, so a few threads are enough. A job that does not fit is given back, and the shard refuses the client.
//!
//! Does not know: which connection waits for a job, or how its result is used.

use super::mail::{Mail, PageMade, RoomOpened, Waker};
use crate::clock;
use crate::health::{Health, thread};
use crate::limits::{LOG_JOBS_MAX, LOG_OPENERS, LOG_READERS};
use crate::log::{Log, OpenError};
use crate::metrics::LogPoolMetrics;
use crate::protocol::message::ResumeFailure;
use crate::room::actor::{Actor, ActorSettings};
use crate::room::past::resume::{self, PageRequest};
use crate::room::registry::RoomHandle;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One job for a log thread.
pub(super) enum Job {
    /// Opens a room; answered by [`Mail::RoomOpened`].
    Open {
        room: Arc<RoomHandle>,
        /// Wakes the home when the log delivers.
        waker: Waker,
    },
    /// Makes a page; answered by [`Mail::PageMade`].
    Page { room: Arc<RoomHandle>, request: Box<PageRequest> },
}

/// Takes jobs for the log threads. Cheap to clone.
#[derive(Clone)]
pub struct LogPool {
    openings: Sender<Job>,
    pages: Sender<Job>,
    metrics: Arc<LogPoolMetrics>,
}

/// The other end of a [`LogPool`], before its threads are started.
pub struct LogQueues {
    openings: Receiver<Job>,
    pages: Receiver<Job>,
    metrics: Arc<LogPoolMetrics>,
}

impl LogPool {
    /// A pool without threads; jobs wait until [`LogQueues::serve`].
    pub fn new() -> (Self, LogQueues) {
        let (openings, to_open) = bounded(LOG_JOBS_MAX);
        let (pages, to_page) = bounded(LOG_JOBS_MAX);
        let metrics = Arc::new(LogPoolMetrics::new());
        (Self { openings, pages, metrics: metrics.clone() }, LogQueues { openings: to_open, pages: to_page, metrics })
    }

    /// Queues a job.
    ///
    /// # Errors
    /// Gives the job back when its queue is full.
    pub(super) fn submit(&self, job: Job) -> Result<(), Job> {
        let queue = match &job {
            Job::Open { .. } => &self.openings,
            Job::Page { .. } => &self.pages,
        };
        let submitted = queue.try_send(job).map_err(TrySendError::into_inner);
        if submitted.is_err() {
            self.metrics.refused.increment(1);
        }
        self.metrics.jobs.set((self.openings.len() + self.pages.len()) as f64);
        submitted
    }

    pub(super) fn metrics(&self) -> &LogPoolMetrics {
        &self.metrics
    }
}

/// Shared by all log threads.
pub struct Tools {
    pub log: Arc<dyn Log>,
    pub rooms: ActorSettings,
    /// Sends a mail to a shard; may wait while its inbox is full.
    pub deliver: Box<dyn Fn(u16, Mail) + Send + Sync>,
}

/// The running log threads, and the sign that they have ended.
pub struct LogThreads {
    stop: Arc<AtomicBool>,
    /// Disconnected when the last thread has ended.
    working: Receiver<()>,
}

impl LogQueues {
    /// Starts the threads. They end with the last [`LogPool`].
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn serve(self, tools: Tools, health: &Health) -> io::Result<LogThreads> {
        let (alive, working) = bounded(0);
        let (stop, tools) = (Arc::new(AtomicBool::new(false)), Arc::new(tools));
        for (name, jobs, count) in
            [("log-opener", &self.openings, LOG_OPENERS), ("log-reader", &self.pages, LOG_READERS)]
        {
            for n in 0..count {
                let (jobs, all) = (jobs.clone(), [self.openings.clone(), self.pages.clone()]);
                let (tools, stop, alive, metrics) = (tools.clone(), stop.clone(), alive.clone(), self.metrics.clone());
                thread::vital(health, format!("{name}-{n}"), move || {
                    yield_to_shards();
                    for job in &jobs {
                        metrics.jobs.set(all.iter().map(Receiver::len).sum::<usize>() as f64);
                        if !stop.load(Ordering::Acquire) {
                            work(job, &tools, &metrics);
                        }
                    }
                    drop(tools);
                    drop(alive);
                })?;
            }
        }
        Ok(LogThreads { stop, working })
    }
}

/// Lowers the priority of the calling thread (on Linux `nice` concerns one thread): after a restart a thousand rooms may
/// be replayed at once, and the shards serve connected viewers first. A failure is harmless.
fn yield_to_shards() {
    let _ = rustix::process::nice(10);
}

impl LogThreads {
    /// Waits until the threads have ended, after the last [`LogPool`] is gone. A thread that still waits for its device
    /// after `patience` is left to the end of the process.
    pub fn stop(self, patience: Duration) {
        self.stop.store(true, Ordering::Release);
        if self.working.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the log's device did not answer a reader in time");
        }
    }
}

fn work(job: Job, tools: &Tools, metrics: &LogPoolMetrics) {
    let began_us = clock::now_us();
    let seconds = || clock::now_us().saturating_sub(began_us) as f64 / 1e6;
    // A bug that one room's history triggers must not end a thread that serves all rooms.
    match job {
        Job::Open { room, waker } => {
            let (log, settings) = (tools.log.clone(), tools.rooms.clone());
            let open = || Actor::open(room.clone(), log, settings, waker, began_us);
            let actor = catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
                tracing::error!(room = %room.id, "opening the room ended by a bug");
                Err(OpenError::Unavailable)
            });
            metrics.open_seconds.record(seconds());
            (tools.deliver)(room.home, Mail::RoomOpened(Box::new(RoomOpened { room: room.clone(), actor })));
        }
        Job::Page { room, request } => {
            let make = || resume::page(&*tools.log, &room.id, &request, &tools.rooms.deflate).map(Arc::new);
            let page = catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| {
                tracing::error!(room = %room.id, after = request.after, "making a page ended by a bug");
                Err(ResumeFailure::Unavailable)
            });
            metrics.page_seconds.record(seconds());
            let made = PageMade { room: room.key, after: request.after, variant: request.variant, page };
            (tools.deliver)(room.home, Mail::PageMade(Box::new(made)));
        }
    }
}
