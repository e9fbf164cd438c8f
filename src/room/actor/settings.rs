//! The configuration of a room.

use crate::log::Retention;
use crate::policy::rate::Rate;
use crate::protocol::deflate::Deflate;
use crate::protocol::settings::RoomSettings;
use std::sync::Arc;

/// The bounds and times of a room.
#[derive(Clone, Debug)]
pub struct ActorSettings {
    /// The length of a tick.
    pub tick_us: u64,
    /// The settings that the room's owner can change, with their initial values.
    pub room: RoomSettings,
    /// The number of groups in which rooms end their ticks, spread over the tick.
    pub tick_groups: u32,
    /// Comments in one tick; a further one is answered with `overloaded`.
    pub batch_events_max: usize,
    /// Comments shown in one frame.
    pub frame_events_max: usize,
    /// Newest comments in the snapshot for a newcomer.
    pub snapshot_events: usize,
    /// The minimum time between two frames that have only counters.
    pub counters_us: u64,
    /// The time without a frame after which a heartbeat is sent.
    pub heartbeat_us: u64,
    /// The time without subscribers after which the room expires.
    pub idle_us: u64,
    /// The records that the log keeps.
    pub retention: Retention,
    /// The rate of comments for the whole room; `None`: unlimited.
    pub comment_rate: Option<Rate>,
    /// The rate of likes for the whole room; `None`: unlimited.
    pub like_rate: Option<Rate>,
    /// Compresses frames for connections with compression.
    pub deflate: Arc<Deflate>,
}

impl ActorSettings {
    /// The tick under the settings in force: exact to the microsecond unless the owner changed it.
    pub(super) fn tick_us(&self, in_force: &RoomSettings) -> u64 {
        if in_force.tick_ms == self.room.tick_ms { self.tick_us } else { in_force.tick_ms * 1_000 }
    }
}
