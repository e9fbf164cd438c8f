//! Watches the bytes of requests, and notes ambiguous framing and unfinished heads.
//!
//! Hyper silently resolves `Content-Length` beside `Transfer-Encoding`, and a repeated equal length. A proxy in front of the
//! server may resolve them differently (RFC 9112, 6.3: request smuggling), so they are refused.

use super::heads::Heads;
use super::progress::Progress;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket whose incoming heads are watched.
pub(super) struct Watched {
    stream: TcpStream,
    /// Bytes that were read before; they come first.
    said: Bytes,
    heads: Heads,
    progress: Arc<Progress>,
}

impl Watched {
    /// Marks `progress` as ambiguous when a head has more than one framing header.
    pub(super) fn new(stream: TcpStream, said: Bytes, progress: Arc<Progress>) -> Self {
        Self { stream, said, heads: Heads::default(), progress }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = if this.said.is_empty() {
            Pin::new(&mut this.stream).poll_read(cx, buf)
        } else {
            let n = this.said.len().min(buf.remaining());
            buf.put_slice(&this.said.split_to(n));
            Poll::Ready(Ok(()))
        };
        if this.heads.feed(&buf.filled()[before..]) {
            this.progress.ambiguous.store(true, Ordering::Relaxed);
        }
        this.progress.open_head.store(this.heads.open().unwrap_or_default(), Ordering::Relaxed);
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.progress.wrote(Pin::new(&mut this.stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.progress.wrote(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
