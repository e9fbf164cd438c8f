//! Opening rooms, making pages, and resuming.

use super::buckets::HANDSHAKE_SECONDS;
use super::table::{metrics, unlabelled};

metrics! {
    /// Counted by the threads that read the log, and by the shards that hand them jobs.
    pub struct LogPoolMetrics {
        gauge "volley_library_jobs", "Rooms to open and pages to make that no log thread has taken yet." => jobs;
        counter "volley_library_refused_total", "Joins, posts and page requests refused because the queue of the log threads was full." => refused;
        histogram "volley_room_open_seconds" in HANDSHAKE_SECONDS, "Time to open a room, with the replay of its log." => open_seconds;
        histogram "volley_page_seconds" in HANDSHAKE_SECONDS, "Time to read and encode a page for clients that catch up." => page_seconds;
        counter "volley_page_requests_total", "Page requests of clients that catch up: read, joined (a read under way) or known (cached)."
            => pages_read ["answer" = "read"], pages_joined ["answer" = "joined"], pages_known ["answer" = "known"];
    }

    /// Results of resuming from a position.
    pub struct ResumeMetrics {
        counter "volley_resumes_total", "Clients that resumed from a position, by result: ring and pages are whole, the others failed."
            => ring ["result" = "ring"], pages ["result" = "pages"], epoch_changed ["result" = "epoch_changed"],
               too_old ["result" = "too_old"], ahead ["result" = "ahead"], unavailable ["result" = "unavailable"];
    }
}

unlabelled!(LogPoolMetrics, ResumeMetrics);
