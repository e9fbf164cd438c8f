//! The librarians: threads that wait for the log's device, so that no shard ever does.
//!
//! They open rooms and make pages, and mail what they made to the room's home. Openings and pages wait in a bounded queue
//! each, for librarians of their own: a new room waits for the log's next commit, and many have to wait for the same one; a
//! page costs work, and few at a time are enough. A job that does not fit is given back, and its asker refuses politely.
//!
//! Does not know: who waits for what, or what becomes of it.

use super::homes::Waker;
use super::mail::{Made, Mail, Opened};
use crate::clock;
use crate::health::{Health, thread};
use crate::limits::{LIBRARIANS, LIBRARY_JOBS, OPENERS};
use crate::log::{Log, OpenError};
use crate::metrics::LibraryMetrics;
use crate::protocol::message::ResumeFailure;
use crate::room::actor::{Actor, Settings};
use crate::room::registry::RoomHandle;
use crate::room::resume::{self, PageRequest};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a librarian is asked for.
pub(super) enum Job {
    /// To open a room: answered by [`Mail::Opened`].
    Open {
        /// Which.
        room: Arc<RoomHandle>,
        /// Wakes its home when the log delivers.
        waker: Waker,
    },
    /// To make a page: answered by [`Mail::Made`].
    Page {
        /// Of which room.
        room: Arc<RoomHandle>,
        /// Which.
        request: Box<PageRequest>,
    },
}

/// Where jobs are handed in. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    openings: Sender<Job>,
    pages: Sender<Job>,
    metrics: Arc<LibraryMetrics>,
}

/// The other end of a [`Library`], before anybody works there.
pub struct Vacancy {
    openings: Receiver<Job>,
    pages: Receiver<Job>,
    metrics: Arc<LibraryMetrics>,
}

impl Library {
    /// A library without librarians.
    pub fn new() -> (Self, Vacancy) {
        let (openings, to_open) = bounded(LIBRARY_JOBS);
        let (pages, to_page) = bounded(LIBRARY_JOBS);
        let metrics = Arc::new(LibraryMetrics::new());
        (Self { openings, pages, metrics: metrics.clone() }, Vacancy { openings: to_open, pages: to_page, metrics })
    }

    /// Hands a job in.
    ///
    /// # Errors
    /// Gives it back when as many wait as may.
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

    /// What pages and openings are counted with.
    pub(super) fn metrics(&self) -> &LibraryMetrics {
        &self.metrics
    }
}

/// What librarians work with.
pub struct Tools {
    /// The log that they read.
    pub log: Arc<dyn Log>,
    /// How rooms are opened.
    pub rooms: Settings,
    /// Takes a mail to a shard; may wait while its inbox is full.
    pub deliver: Box<dyn Fn(u16, Mail) + Send + Sync>,
}

/// The threads.
pub struct Librarians {
    stop: Arc<AtomicBool>,
    /// Disconnected when the last thread has ended.
    working: Receiver<()>,
}

impl Vacancy {
    /// Starts the librarians. They end with the last [`Library`].
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn fill(self, tools: Tools, health: &Health) -> io::Result<Librarians> {
        let (alive, working) = bounded(0);
        let (stop, tools) = (Arc::new(AtomicBool::new(false)), Arc::new(tools));
        for (name, jobs, count) in [("opener", &self.openings, OPENERS), ("librarian", &self.pages, LIBRARIANS)] {
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
        Ok(Librarians { stop, working })
    }
}

/// After a restart a thousand rooms may be replayed at once: whoever watches already goes first. (On Linux this is the
/// calling thread's alone.) Without it the work is done all the same.
fn yield_to_shards() {
    let _ = rustix::process::nice(10);
}

impl Librarians {
    /// Lets them end, when nobody can hand in jobs any more. One that still waits for its device after `patience` is
    /// left to the end of the process.
    pub fn stop(self, patience: Duration) {
        self.stop.store(true, Ordering::Release);
        if self.working.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the log's device did not answer a reader in time");
        }
    }
}

fn work(job: Job, tools: &Tools, metrics: &LibraryMetrics) {
    let began_us = clock::now_us();
    let seconds = || clock::now_us().saturating_sub(began_us) as f64 / 1e6;
    // A bug in one room's history must not take the others' readers with it.
    match job {
        Job::Open { room, waker } => {
            let (log, settings) = (tools.log.clone(), tools.rooms.clone());
            let open = || Actor::open(room.clone(), log, settings, waker, began_us);
            let actor = catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
                tracing::error!(room = %room.id, "opening the room ended by a bug");
                Err(OpenError::Unavailable)
            });
            metrics.open_seconds.record(seconds());
            (tools.deliver)(room.home, Mail::Opened(Box::new(Opened { room: room.clone(), actor })));
        }
        Job::Page { room, request } => {
            let make = || resume::page(&*tools.log, &room.id, &request, &tools.rooms.deflate).map(Arc::new);
            let page = catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| {
                tracing::error!(room = %room.id, after = request.after, "making a page ended by a bug");
                Err(ResumeFailure::Unavailable)
            });
            metrics.page_seconds.record(seconds());
            let made = Made { room: room.key, after: request.after, variant: request.variant, page };
            (tools.deliver)(room.home, Mail::Made(Box::new(made)));
        }
    }
}
