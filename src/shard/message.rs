//! The messages that a shard takes, and the load that it reports.
//!
//! Does not know: senders, or how a shard handles a message.

use crate::protocol::frame::EncodedFrame;
use crate::shard::tenant::{NewConn, Tenant};
use mio::Token;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::SyncSender;

/// The poll's token for the inbox's waker; the tokens of connections are their indexes.
pub(super) const WAKER: Token = Token(usize::MAX);

/// One entry of a shard's inbox.
pub enum Message<T: Tenant> {
    /// A connection that the shard takes over.
    Accept(Box<NewConn<T::Hello>>),
    /// A frame for the room's subscribers on this shard.
    Frame(Arc<EncodedFrame>),
    /// A message for the shard's tenant.
    Mail(T::Mail),
    /// The process stops: end the open ticks, then answer.
    Flush(SyncSender<()>),
    /// Close all connections. The n-th connection is told to come back after `first_ms + n × step_us / 1000` ms. The
    /// thread ends when all are closed, or at the deadline.
    Bye {
        /// The first connection comes back after this time.
        first_ms: u64,
        /// Added for each further connection.
        step_us: u64,
        /// Time, in monotonic microseconds, at which the remaining connections are dropped.
        deadline_us: u64,
    },
}

/// A shard's load, for the gateway and the health check.
#[derive(Debug, Default)]
pub struct Load {
    /// Includes connections that are on their way to the shard.
    pub connections: AtomicUsize,
    /// When the current duty cycle began, in monotonic microseconds.
    pub cycle_began_us: AtomicU64,
}
