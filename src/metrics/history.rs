//! What the history API counts.

use ::metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

const PAGES: &str = "volley_history_pages_total";
const REFUSALS: &str = "volley_history_refusals_total";
const EXPORTS: &str = "volley_exports_total";
const EXPORTS_RUNNING: &str = "volley_exports_running";
const EXPORTS_CUT: &str = "volley_exports_cut_total";

/// Pages and exports of rooms' logs.
#[derive(Debug)]
pub struct HistoryMetrics {
    /// Pages answered.
    pub pages: Counter,
    /// Pages refused because as many were under way as may be.
    pub pages_refused: Counter,
    /// Exports begun.
    pub exports: Counter,
    /// Exports refused because as many ran as may.
    pub exports_refused: Counter,
    /// Exports running now; change it with `increment` and `decrement`.
    pub exports_running: Gauge,
    /// Exports ended before their end because the reader left or took too little.
    pub exports_cut_reader: Counter,
    /// Exports ended before their end because the log could not be read on.
    pub exports_cut_log: Counter,
}

impl HistoryMetrics {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        Self {
            pages: counter!(PAGES),
            pages_refused: counter!(REFUSALS, "what" => "page"),
            exports: counter!(EXPORTS),
            exports_refused: counter!(REFUSALS, "what" => "export"),
            exports_running: gauge!(EXPORTS_RUNNING),
            exports_cut_reader: counter!(EXPORTS_CUT, "reason" => "reader"),
            exports_cut_log: counter!(EXPORTS_CUT, "reason" => "log"),
        }
    }
}

impl Default for HistoryMetrics {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn describe() {
    describe_counter!(PAGES, "History pages answered.");
    describe_counter!(REFUSALS, "History pages and exports refused because as many were under way as may be.");
    describe_counter!(EXPORTS, "Exports begun.");
    describe_gauge!(EXPORTS_RUNNING, "Exports running now.");
    describe_counter!(
        EXPORTS_CUT,
        "Exports cut short, by reason: reader (left or too slow) or log (could not be read)."
    );
}
