//! What a room is configured with.

use crate::log::Retention;
use crate::policy::rate::Rate;
use crate::protocol::deflate::Deflate;
use crate::protocol::settings::RoomSettings;
use std::sync::Arc;

/// A room's bounds and pace.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tick.
    pub tick_us: u64,
    /// What a room's owner can change, as it is before anybody did.
    pub room: RoomSettings,
    /// Rooms end their ticks in so many groups, spread over the tick.
    pub tick_groups: u32,
    /// Comments that wait for one tick; more are answered `overloaded`.
    pub batch_events_max: usize,
    /// Comments shown in one frame.
    pub frame_events_max: usize,
    /// Newest comments in a newcomer's snapshot.
    pub snapshot_events: usize,
    /// A frame of counters alone, at most this often.
    pub counters_us: u64,
    /// Without a frame for this long, a heartbeat.
    pub heartbeat_us: u64,
    /// Without anybody for this long, the room is over.
    pub idle_us: u64,
    /// What the log keeps.
    pub retention: Retention,
    /// Comments of the whole room; `None`: unlimited.
    pub comment_rate: Option<Rate>,
    /// Likes of the whole room; `None`: unlimited.
    pub like_rate: Option<Rate>,
    /// Compresses frames for those who take them so.
    pub deflate: Arc<Deflate>,
}

impl Settings {
    /// The tick under the room's settings in force: to the microsecond, unless the owner changed it.
    pub(super) fn tick_us(&self, in_force: &RoomSettings) -> u64 {
        if in_force.tick_ms == self.room.tick_ms { self.tick_us } else { in_force.tick_ms * 1_000 }
    }
}
