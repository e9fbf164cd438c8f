//! Shards: threads that own connections and send frames to them.
//!
//! A shard is one OS thread with one duty cycle: drain the inbox → serve readable sockets → a slice of the
//! pass → timers → park. Publishing a frame wakes shards, never viewers; a subscriber is a 16-byte slot.
//!
//! Does not know: JSON, users, or any rule of a room; those are its [`tenant::Tenant`]'s.

// What others see of a shard.
pub mod handle;
pub mod inbox;
pub mod message;
pub mod tenant;

// Its thread, one connection, and the way of a frame to many.
pub mod conn;
pub mod fanout;
pub mod worker;

#[doc(hidden)]
pub mod probe;
