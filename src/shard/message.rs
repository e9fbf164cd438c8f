//! What reaches a shard, and what a shard tells everybody without being asked.
//!
//! Does not know: who sends, or what a shard does with it.

use crate::protocol::frame::EncodedFrame;
use crate::shard::tenant::{NewConn, Tenant};
use mio::Token;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::SyncSender;

/// The poll's token of the inbox' waker; connections use their index.
pub(super) const WAKER: Token = Token(usize::MAX);

/// One entry of a shard's inbox.
pub enum Message<T: Tenant> {
    /// A connection to own.
    Accept(Box<NewConn<T::Hello>>),
    /// A frame for the subscribers here.
    Frame(Arc<EncodedFrame>),
    /// For the tenant.
    Mail(T::Mail),
    /// The process stops: finish what was gathered, then answer.
    Flush(SyncSender<()>),
    /// Say goodbye to everybody; the n-th connection gets the hint `first_ms + n × step_us / 1000`. The
    /// shard ends when all are gone or at the deadline.
    Bye {
        /// Hint of the first connection.
        first_ms: u64,
        /// Added for each next one.
        step_us: u64,
        /// Monotonic microseconds after which the remaining connections are dropped.
        deadline_us: u64,
    },
}

/// A shard's figures for the gateway and the health check.
#[derive(Debug, Default)]
pub struct Load {
    /// Connections that it owns.
    pub connections: AtomicUsize,
    /// When its duty cycle last began (monotonic microseconds), for the health check.
    pub cycle_began_us: AtomicU64,
}
