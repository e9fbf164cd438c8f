//! What the durable log counts.

use ::metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

pub(super) const COMMIT_SECONDS: &str = "volley_log_commit_seconds";
pub(super) const GROUP_EVENTS: &str = "volley_log_group_events";

const COMMITS: &str = "volley_log_commits_total";
const GROUPS_FULL: &str = "volley_log_groups_full_total";
const EVENTS: &str = "volley_log_events_total";
const BYTES: &str = "volley_log_bytes_total";
const QUEUE_DEPTH: &str = "volley_log_queue_depth";
const FAILURES: &str = "volley_log_failures_total";
const SETTLED: &str = "volley_log_settled_total";
const REFUSED: &str = "volley_log_refused_total";
const DROPPED: &str = "volley_log_dropped_total";
const STORED_ROOMS: &str = "volley_log_stored_rooms";
const FILES_LOST: &str = "volley_log_files_lost";
const HEALED: &str = "volley_log_healed_rooms_total";

/// The handles. The storage thread owns them; refusals are counted where they happen.
#[derive(Debug)]
pub struct LogMetrics {
    /// Transactions.
    pub commits: Counter,
    /// How long one takes, sync included.
    pub commit_seconds: Histogram,
    /// Events in one.
    pub group_events: Histogram,
    /// Transactions that took as much as one may, and left the rest to the next.
    pub groups_full: Counter,
    /// Events stored.
    pub events: Counter,
    /// Bytes of them, as retention counts them.
    pub bytes: Counter,
    /// Appends and orders that wait now.
    pub queue_depth: Gauge,
    /// Transactions that failed.
    pub failures: Counter,
    /// Failed commits whose outcome was uncertain, and that were settled.
    pub settled: Counter,
    /// Batches refused because too much was waiting.
    pub refused_overloaded: Counter,
    /// Batches refused because the store was failing.
    pub refused_unavailable: Counter,
    /// Events that retention dropped.
    pub dropped: Counter,
    /// Rooms in the store, open or not.
    pub stored_rooms: Gauge,
    /// 1 while the log's files are not where they were opened, and nothing is stored.
    pub files_lost: Gauge,
    /// Rooms that lost something, or may have, and began a new epoch.
    pub healed: Counter,
}

impl LogMetrics {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        Self {
            commits: counter!(COMMITS),
            commit_seconds: histogram!(COMMIT_SECONDS),
            group_events: histogram!(GROUP_EVENTS),
            groups_full: counter!(GROUPS_FULL),
            events: counter!(EVENTS),
            bytes: counter!(BYTES),
            queue_depth: gauge!(QUEUE_DEPTH),
            failures: counter!(FAILURES),
            settled: counter!(SETTLED),
            refused_overloaded: counter!(REFUSED, "reason" => "overloaded"),
            refused_unavailable: counter!(REFUSED, "reason" => "unavailable"),
            dropped: counter!(DROPPED),
            stored_rooms: gauge!(STORED_ROOMS),
            files_lost: gauge!(FILES_LOST),
            healed: counter!(HEALED),
        }
    }
}

impl Default for LogMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives every metric its help text.
pub(super) fn describe() {
    describe_counter!(COMMITS, "Transactions of the log; one holds the batches of all rooms that were waiting.");
    describe_histogram!(COMMIT_SECONDS, "Time of one transaction of the log, the device's sync included.");
    describe_histogram!(GROUP_EVENTS, "Events in one transaction of the log.");
    describe_counter!(
        GROUPS_FULL,
        "Transactions of the log that held as much as one may: what else came waited for the next."
    );
    describe_counter!(EVENTS, "Events stored in the log.");
    describe_counter!(BYTES, "Bytes of events stored in the log, as retention counts them.");
    describe_gauge!(QUEUE_DEPTH, "Batches and orders that wait for the log's next transaction.");
    describe_counter!(FAILURES, "Transactions of the log that failed.");
    describe_counter!(SETTLED, "Failed commits of uncertain outcome that were made certain.");
    describe_counter!(REFUSED, "Batches that the log refused, by reason.");
    describe_counter!(DROPPED, "Events that retention dropped from the log.");
    describe_gauge!(STORED_ROOMS, "Rooms in the log, open or not.");
    describe_gauge!(FILES_LOST, "1 while the log's files are not where the server opened them, and nothing is stored.");
    describe_counter!(HEALED, "Rooms whose log was damaged or lost its tail, and that began a new epoch.");
}
