//! How a log on disk is set up.
//!
//! Does not know: SQLite, where an operator's values come from.

use crate::config::Durability;
use crate::health::Health;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory. Created if it does not exist; its parent must exist.
    pub directory: PathBuf,
    pub durability: Durability,
    /// Rooms that are open at the same time.
    pub open_max: usize,
    /// Rooms that are stored. At this bound, a new room takes the place of a closed one that is empty or expired.
    pub stored_max: usize,
    /// How long closed rooms keep an event. A closed room whose newest event is older is removed.
    pub age_ms: u64,
    /// The write-ahead log is copied into the database once about this much was written to it.
    pub checkpoint_bytes: usize,
    /// A commit begins once no batch has arrived for about this long: the batches of one tick arrive in a burst and
    /// share a commit. When every open room's batch is there, the commit does not wait.
    pub quiet_us: u64,
    /// Commits begin at least this far apart. No commit waits longer than this for the end of a burst.
    pub pace_us: u64,
    /// A SQLite VFS other than the default, for tests.
    pub vfs: Option<String>,
    /// Where the log reports that it fails.
    pub health: Health,
}

/// For [`Options::checkpoint_bytes`]: reading this much again after a crash takes far less than a second, and one copy
/// serves some hundred commits.
pub const CHECKPOINT_BYTES: usize = 32 << 20;

/// For [`Options::quiet_us`]: a shard hands over the batches of its rooms some microseconds apart. On an idle machine
/// half of it was enough, and twice as much gained nothing (`benches/disk_log.rs` measures all three).
pub const QUIET_US: u64 = 500;

/// For [`Options::pace_us`]. Rooms tick together, so there is usually one commit per tick. This bound matters for
/// batches that are out of step: ticks of a few milliseconds, late shards, batches delayed by a slow commit. Without
/// it, each of them would cause a commit.
pub const PACE_US: u64 = 10_000;
