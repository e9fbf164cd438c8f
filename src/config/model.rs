//! What can be configured, as plain types, with the defaults.
//!
//! Every field has its row in [`super::keys`]; a test proves it.

use crate::base_path::BasePath;
use crate::host::Hosts;
use crate::origin::Origins;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that can be configured. [`Default`] is what a fresh `volley` runs with.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Config {
    /// What listens where. Its keys stand at the top level of the file.
    #[cfg_attr(test, serde(flatten))]
    pub addresses: Addresses,
    pub data: Data,
    /// When an append to a log on disk counts as done.
    pub durability: Durability,
    /// The rooms' tick, 5–2000 ms.
    pub tick_ms: u64,
    /// Shard threads; 0: one per core.
    pub shards: usize,
    /// For benchmarks: admission limits and display budget off.
    pub no_rate_limits: bool,
    /// How long SIGTERM spreads the clients' return over, and the deadline of the exit.
    pub drain_ms: u64,
    pub log: LogConfig,
    /// Where the pages are shown.
    pub pages: Pages,
    /// Who may come, and how many.
    pub admission: AdmissionConfig,
    pub room: Room,
    pub rates: Rates,
    /// One connection's bounds and timeouts.
    pub connection: Connection,
    pub compression: Compression,
}

/// The two addresses, and how each is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Addresses {
    /// Public address: pages and WebSockets.
    pub listen: SocketAddr,
    /// Below which path a proxy hands requests on.
    pub public_path: BasePath,
    /// Admin address: metrics, health, and the show's owner's events.
    pub admin: SocketAddr,
    /// Names beside loopback and its own addresses under which the admin address answers without a key.
    pub admin_hosts: Hosts,
    /// What a request to the admin address that changes something has to bring, if it is set.
    pub admin_key: Secret,
}

/// Where the pages are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Pages {
    /// Foreign origins whose pages may show ours in a frame.
    pub frame_ancestors: Origins,
}

/// A value that is never shown. Empty: not set.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize), serde(transparent))]
pub struct Secret(String);

impl Secret {
    /// Takes a value that was checked.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, if it is set: not for logs, nor for any answer.
    pub fn reveal(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(not set)" } else { "Secret(REDACTED)" })
    }
}

/// How alike comments have to be to become one, until the room's owner says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum DefaultMerge {
    Off,
    Equal,
    /// Texts that differ in width, case, repetitions, punctuation or trailing emoji only.
    #[default]
    Near,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize), serde(untagged))]
pub enum Data {
    /// In memory: gone with the process.
    Memory,
    /// On disk, in this directory.
    Directory(PathBuf),
}

impl Default for Data {
    fn default() -> Self {
        Self::Directory("./volley-data".into())
    }
}

/// When an append to a log on disk counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Durability {
    #[default]
    Fsync,
    /// The operating system has it.
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A `tracing` filter, such as `info` or `volley=debug`.
    pub filter: String,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Who may come, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct AdmissionConfig {
    /// Connections in all; 0: as many as the descriptor limit allows.
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    /// Foreign page origins that may open WebSockets, such as `https://shop.example`; the page's own
    /// origin always may.
    pub origins: Origins,
    /// From accept to the end of the upgrade.
    pub handshake_ms: u64,
    /// Largest client message in bytes.
    pub message_bytes_max: usize,
    pub text_chars_max: usize,
    /// Longest comment in bytes of UTF-8.
    pub text_bytes_max: usize,
    /// Most likes in one message.
    pub like_count_max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Room {
    pub rooms_max: usize,
    /// Rooms that a log on disk holds, open or not.
    pub stored_max: usize,
    /// A room without connections is forgotten after this long.
    pub idle_s: u64,
    /// Comments that wait for one tick; more are answered `overloaded`.
    pub batch_events_max: usize,
    /// Comments shown a second, until the room's owner says otherwise; 0: all of them.
    pub budget_per_s: u32,
    /// What becomes one, until the room's owner says otherwise.
    pub merge: DefaultMerge,
    /// Comments shown in one frame; the rest of the tick is shed and counted.
    pub frame_events_max: usize,
    /// Newest comments in a newcomer's snapshot.
    pub snapshot_events: usize,
    /// Events that a room's log keeps.
    pub log_events_max: usize,
    /// Bytes of events that a room's log keeps.
    pub log_bytes_max: usize,
    /// How long a room's log keeps an event.
    pub log_age_s: u64,
    /// A frame of counters alone, and nothing else, at most this often.
    pub counters_ms: u64,
    /// Without a frame for this long, a heartbeat.
    pub heartbeat_ms: u64,
    /// Rooms end their ticks in so many groups, spread over the tick.
    pub tick_groups: u32,
}

/// One token bucket: sustained rate and burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Rate {
    pub per_s: u32,
    pub burst: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Rates {
    pub comments_per_connection: Rate,
    pub comments_per_user: Rate,
    pub comments_per_room: Rate,
    /// Likes (each counts) of one connection.
    pub likes_per_connection: Rate,
    pub likes_per_user: Rate,
    pub likes_per_room: Rate,
    /// Users whose buckets are remembered; more are answered `overloaded`.
    pub users_max: usize,
}

/// One connection's bounds and timeouts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Connection {
    /// The server pings after this much silence.
    pub ping_ms: u64,
    /// Silence that ends a connection with 4003.
    pub idle_ms: u64,
    /// Frames that a slow subscriber may be behind before a gap.
    pub ring_frames: usize,
    /// A subscriber that stays more frames behind than this slides to the lite rendition; at 0 nobody does.
    pub lite_lag_frames: usize,
    /// Gaps within a minute that end a connection with 4001.
    pub gaps_max: u32,
    /// A blocked socket that takes nothing for this long is closed with 4001.
    pub stalled_ms: u64,
    /// `SO_SNDBUF` in bytes (the kernel doubles it).
    pub sndbuf_bytes: usize,
    /// `TCP_NOTSENT_LOWAT` in bytes.
    pub notsent_lowat_bytes: u32,
    /// `TCP_USER_TIMEOUT`. The kernel's own end of a peer that takes nothing: later than ours, which says why.
    pub user_timeout_ms: u32,
}

/// Compressed messages (`permessage-deflate`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Compression {
    /// Whether it is agreed to when a client offers it.
    pub enabled: bool,
    /// Smaller messages go out as they are.
    pub threshold_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            data: Data::default(),
            durability: Durability::default(),
            tick_ms: 100,
            shards: 0,
            no_rate_limits: false,
            drain_ms: 10_000,
            log: LogConfig::default(),
            pages: Pages::default(),
            admission: AdmissionConfig::default(),
            room: Room::default(),
            rates: Rates::default(),
            connection: Connection::default(),
            compression: Compression::default(),
        }
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_path: BasePath::default(),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            admin_hosts: Hosts::default(),
            admin_key: Secret::default(),
        }
    }
}

/// Defaults that are others when the log is in memory: what a busy room may hold there, and for how long.
pub(super) const MEMORY_DEFAULTS: &[(&str, u64)] =
    &[("room.log_events_max", 100_000), ("room.log_bytes_max", 16 << 20), ("room.log_age_s", 86_400)];

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            connections_max: 0,
            connections_per_address_max: 200,
            origins: Origins::default(),
            handshake_ms: 5_000,
            message_bytes_max: 4_096,
            text_chars_max: 512,
            text_bytes_max: 2_048,
            like_count_max: 100,
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self {
            rooms_max: 10_000,
            stored_max: 100_000,
            idle_s: 300,
            batch_events_max: 2_000,
            budget_per_s: 60,
            merge: DefaultMerge::default(),
            frame_events_max: 200,
            snapshot_events: 20,
            log_events_max: 1_000_000,
            log_bytes_max: 256 << 20,
            log_age_s: 7 * 86_400,
            counters_ms: 1_000,
            heartbeat_ms: 15_000,
            tick_groups: 1,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            comments_per_connection: Rate { per_s: 2, burst: 5 },
            comments_per_user: Rate { per_s: 2, burst: 10 },
            comments_per_room: Rate { per_s: 2_000, burst: 4_000 },
            likes_per_connection: Rate { per_s: 50, burst: 200 },
            likes_per_user: Rate { per_s: 50, burst: 200 },
            likes_per_room: Rate { per_s: 100_000, burst: 200_000 },
            users_max: 200_000,
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            ping_ms: 20_000,
            idle_ms: 60_000,
            ring_frames: 64,
            lite_lag_frames: 7,
            gaps_max: 3,
            stalled_ms: 30_000,
            sndbuf_bytes: 32 << 10,
            notsent_lowat_bytes: 16 << 10,
            user_timeout_ms: 90_000,
        }
    }
}

impl Default for Compression {
    /// Off: it trades the server's CPU for the network's bytes, which is the operator's to decide. From 1 KiB: what is smaller is
    /// one packet either way, and takes a phone's radio as long.
    fn default() -> Self {
        Self { enabled: false, threshold_bytes: 1_024 }
    }
}
