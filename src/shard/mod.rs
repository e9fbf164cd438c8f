//! Shards: threads that own connections and send frames to them.
//!
//! A shard is one OS thread with one duty cycle: drain the inbox → serve readable sockets → a slice of the
//! pass → timers → park. Publishing a frame wakes shards, never viewers; a subscriber is a 16-byte slot.
//!
//! Does not know: JSON, users, or any rule of a room; those are its [`tenant::Tenant`]'s.

pub mod tenant;

pub mod handle;
pub mod inbox;

pub mod worker;

mod catchup;
mod conn;
mod inbound;
mod inspect;
mod kept;
mod lag;
mod lifecycle;
mod outbound;
mod pace;
mod peer;
mod raw;
mod renditions;
mod report;
mod rooms;
mod wheel;

pub mod pass;
#[doc(hidden)]
pub mod probe;
pub mod ring;
