//! What is counted about opening rooms, making pages and coming back.

use ::metrics::histogram;
use ::metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge};

pub(super) const ROOM_OPEN_SECONDS: &str = "volley_room_open_seconds";
pub(super) const PAGE_SECONDS: &str = "volley_page_seconds";

const LOG_JOBS: &str = "volley_library_jobs";
const LOG_JOBS_REFUSED: &str = "volley_library_refused_total";
const PAGE_REQUESTS: &str = "volley_page_requests_total";
const RESUMES: &str = "volley_resumes_total";

/// Counted by the threads that read the log, and by the shards that hand them jobs.
#[derive(Debug)]
pub struct LogPoolMetrics {
    /// Jobs that no thread has taken yet.
    pub jobs: Gauge,
    /// Jobs that found the queue full, and arrivals that found no place to wait for a room's opening.
    pub refused: Counter,
    /// Time to open a room, whatever came of it.
    pub open_seconds: Histogram,
    /// Time to read and encode a page, whatever came of it.
    pub page_seconds: Histogram,
    /// Page requests that needed a read.
    pub pages_read: Counter,
    /// Page requests that shared a read that was under way.
    pub pages_joined: Counter,
    /// Page requests that were answered with a known page.
    pub pages_known: Counter,
}

impl LogPoolMetrics {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        let requests = |answer: &'static str| counter!(PAGE_REQUESTS, "answer" => answer);
        Self {
            jobs: gauge!(LOG_JOBS),
            refused: counter!(LOG_JOBS_REFUSED),
            open_seconds: histogram!(ROOM_OPEN_SECONDS),
            page_seconds: histogram!(PAGE_SECONDS),
            pages_read: requests("read"),
            pages_joined: requests("joined"),
            pages_known: requests("known"),
        }
    }
}

impl Default for LogPoolMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// How resumes ended.
#[derive(Debug)]
pub struct ResumeMetrics {
    /// Whole, from a shard's ring.
    pub ring: Counter,
    /// Whole, in pages from the log.
    pub pages: Counter,
    /// Refused: another log.
    pub epoch_changed: Counter,
    /// Refused: no longer retained.
    pub too_old: Counter,
    /// Refused: a position that the log does not have yet.
    pub ahead: Counter,
    /// Refused: the log could not be read.
    pub unavailable: Counter,
}

impl ResumeMetrics {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        let result = |result: &'static str| counter!(RESUMES, "result" => result);
        Self {
            ring: result("ring"),
            pages: result("pages"),
            epoch_changed: result("epoch_changed"),
            too_old: result("too_old"),
            ahead: result("ahead"),
            unavailable: result("unavailable"),
        }
    }
}

impl Default for ResumeMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives every metric its help text.
pub(super) fn describe() {
    describe_gauge!(LOG_JOBS, "Rooms to open and pages to make that wait for a reader of the log.");
    describe_counter!(LOG_JOBS_REFUSED, "Arrivals that were refused because too much waited for the log to be read.");
    describe_histogram!(ROOM_OPEN_SECONDS, "Time to open a room: its log, and the replay of what is needed of it.");
    describe_histogram!(PAGE_SECONDS, "Time to read and encode a page for viewers that catch up.");
    describe_counter!(PAGE_REQUESTS, "Pages that viewers who catch up asked for, by where the answer came from.");
    describe_counter!(RESUMES, "Viewers that came back to a position, by what came of it.");
}
