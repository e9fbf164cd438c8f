//! Rooms, all together: no counter has a room label.

use super::buckets::STEP_SECONDS;
use super::renditions::RENDITIONS;
use super::table::{metrics, unlabelled};

/// Classes of events that are not shown by themselves: comments by their class, others by their kind.
const CLASSES: [&str; 5] = ["normal", "low", "gift", "custom", "enter"];

metrics! {
    /// Counted by the shards that run rooms.
    pub struct RoomMetrics {
        counter "volley_room_wakes_total", "Times that a room was run; an idle room runs for its heartbeat only." => wakes;
        counter "volley_ticks_total", "Ticks of rooms." => ticks;
        counter "volley_ticks_late_total", "Ticks that began more than one tick late." => ticks_late;
        histogram "volley_tick_seconds" in STEP_SECONDS, "Duration of one room's tick: select, encode, publish." => tick_seconds;
        counter "volley_comments_total", "Comments in the log." => comments;
        counter "volley_likes_total", "Likes in the log." => likes;
        counter "volley_shed_total", "Events left out of frames, by class." => shed ["class" each CLASSES];
        counter "volley_merged_total", "Comments merged into others with the same text, by class." => merged ["class" each CLASSES];
        gauge "volley_rooms", "Rooms open now." => rooms;
        counter "volley_rooms_refused_total", "Rooms that could not be opened." => rooms_refused;
        counter "volley_log_append_failures_total", "Batches of rooms that the log did not take." => log_append_failures;
        counter "volley_room_encodes_total", "Encodings of frames, by rendition; at most one per variant in use and frame." => encodes ["rendition" each RENDITIONS];
    }
}

unlabelled!(RoomMetrics);
