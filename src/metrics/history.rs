//! Pages of history and exports, as the HTTP API serves them.

use super::table::{metrics, unlabelled};

metrics! {
    /// Pages and exports of rooms' logs.
    pub struct HistoryMetrics {
        counter "volley_history_pages_total", "History pages answered." => pages;
        counter "volley_history_refusals_total", "History pages and exports refused because the limit of concurrent ones was reached."
            => pages_refused ["what" = "page"], exports_refused ["what" = "export"];
        counter "volley_exports_total", "Exports begun." => exports;
        gauge "volley_exports_running", "Exports running now." => exports_running;
        counter "volley_exports_cut_total", "Exports ended early: reader (it left or was too slow) or log (it could not be read)."
            => exports_cut_reader ["reason" = "reader"], exports_cut_log ["reason" = "log"];
    }
}

unlabelled!(HistoryMetrics);
