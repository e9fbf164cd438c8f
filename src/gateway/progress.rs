//! The progress of a connection's HTTP, visible from outside while hyper owns the service.

use super::agree::Agreed;
use crate::clock;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// The progress of one connection.
#[derive(Default)]
pub(super) struct Progress {
    /// A complete request head has been read.
    pub(super) head_seen: AtomicBool,
    /// The framing of a head was ambiguous.
    pub(super) ambiguous: AtomicBool,
    /// The number of the incomplete head that is being read; 0 if there is none.
    pub(super) open_head: AtomicU32,
    /// Requests whose answers are not written yet.
    answering: AtomicU32,
    /// An upgrade was answered with 101.
    pub(super) agreed: Mutex<Option<Agreed>>,
    /// An answer of unknown length has begun.
    pub(super) streams: AtomicBool,
    /// Bytes written to the socket.
    pub(super) written: AtomicU64,
    /// When the connection was accepted or its last answer was written; monotonic microseconds.
    idle_since_us: AtomicU64,
    /// The connection's seat is needed for a different one.
    evicted: Notify,
    is_evicted: AtomicBool,
    is_reserved: AtomicBool,
}

impl Progress {
    /// The progress of a new connection.
    pub(super) fn begun_now() -> Arc<Self> {
        Arc::new(Self { idle_since_us: clock::now_us().into(), ..Self::default() })
    }

    /// When the last request was answered; `None` while one is being served.
    pub(super) fn idle_since_us(&self) -> Option<u64> {
        (self.answering.load(Ordering::Relaxed) == 0).then(|| self.idle_since_us.load(Ordering::Relaxed))
    }

    /// Marks a reserved seat: its eviction does not wait for the request that is being served.
    pub(super) fn is_on_reserve(&self) {
        self.is_reserved.store(true, Ordering::Relaxed);
    }

    /// Whether an eviction is immediate. A connection with an ordinary seat was idle when it was chosen; a request that came
    /// since is answered first.
    pub(super) fn must_leave_at_once(&self) -> bool {
        self.is_reserved.load(Ordering::Relaxed) || self.idle_since_us().is_some()
    }

    /// Asks the connection to end.
    pub(super) fn evict(&self) {
        self.is_evicted.store(true, Ordering::Relaxed);
        self.evicted.notify_one();
    }

    /// Completes when the connection has been asked to end.
    pub(super) async fn until_evicted(&self) {
        while !self.is_evicted.load(Ordering::Relaxed) {
            self.evicted.notified().await;
        }
    }

    #[cfg(test)]
    pub(super) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Relaxed)
    }

    /// Counts the bytes of a write, and returns its result.
    pub(super) fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        outcome
    }

    /// The number of the head that the client delays. While an answer is being written, no head is read.
    pub(super) fn awaited_head(&self) -> Option<u32> {
        let open = self.open_head.load(Ordering::Relaxed);
        (open > 0 && self.answering.load(Ordering::Relaxed) == 0).then_some(open)
    }

    /// Counts a request as being answered until the guard is dropped.
    pub(super) fn answering(self: &Arc<Self>) -> Answering {
        self.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }
}

/// A request that is being answered.
pub(super) struct Answering(Arc<Progress>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.idle_since_us.store(clock::now_us(), Ordering::Relaxed);
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Answering {
    /// Ends with the body, which hyper drops when it has written it.
    pub(super) fn until_written(self, body: Body) -> Body {
        // Nothing is to be written behind the head.
        if body.is_end_stream() { body } else { Body::new(Written { body, _answering: self }) }
    }
}

/// A body that holds on to its request.
struct Written {
    body: Body,
    _answering: Answering,
}

impl hyper::body::Body for Written {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
