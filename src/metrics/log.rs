//! The log on disk.

use super::table::{metrics, unlabelled};

/// A commit takes 0.1 ms where nothing is synced, some milliseconds on a good device, and seconds on a failing one.
const COMMIT_SECONDS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// One comment up to a whole node's tick.
const GROUP_EVENTS: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0];

metrics! {
    /// Owned by the storage thread; refusals are counted where they happen.
    pub struct LogMetrics {
        counter "volley_log_commits_total", "Transactions of the log; one holds the waiting batches of all rooms." => commits;
        histogram "volley_log_commit_seconds" in COMMIT_SECONDS, "Time of one transaction of the log, the device's sync included." => commit_seconds;
        histogram "volley_log_group_events" in GROUP_EVENTS, "Events in one transaction of the log." => group_events;
        counter "volley_log_groups_full_total", "Transactions of the log that reached their size limit and left batches to the next." => groups_full;
        counter "volley_log_events_total", "Events stored in the log." => events;
        counter "volley_log_bytes_total", "Bytes of events stored in the log, as retention counts them." => bytes;
        gauge "volley_log_queue_depth", "Batches and commands that wait for the log's next transaction." => queue_depth;
        counter "volley_log_failures_total", "Transactions of the log that failed." => failures;
        counter "volley_log_settled_total", "Failed commits whose uncertain outcome was determined." => settled;
        counter "volley_log_refused_total", "Batches that the log refused, by reason."
            => refused_overloaded ["reason" = "overloaded"], refused_unavailable ["reason" = "unavailable"];
        counter "volley_log_dropped_total", "Events that retention dropped from the log." => dropped;
        gauge "volley_log_stored_rooms", "Rooms in the log, open or not." => stored_rooms;
        gauge "volley_log_files_lost", "1 while the log's files are not where the server opened them, and nothing is stored." => files_lost;
        counter "volley_log_healed_rooms_total", "Rooms whose log was damaged or lost its tail, and which began a new epoch." => healed;
    }
}

unlabelled!(LogMetrics);
