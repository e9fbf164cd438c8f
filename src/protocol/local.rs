//! Node-local names: they never travel on the wire.

/// One incarnation of a room on this node; never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomKey(pub u64);

/// One connection: the shard that owns it, its place there, and which use of that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnRef {
    pub shard: u16,
    /// Index in the shard's table.
    pub index: u32,
    /// Counts the uses of that index, so that a late answer never reaches a stranger.
    pub generation: u32,
}
