//! Watches request heads go by and remembers framing that two readers could understand differently.
//!
//! Hyper resolves `Content-Length` beside `Transfer-Encoding`, and equal lengths said twice, by itself and
//! forgets that they were there. A proxy in front of us may resolve them the other way (RFC 9112, 6.3:
//! request smuggling), so they are refused. Bodies go by too, on the admin side: no JSON has a line that begins with the name of
//! a framing header, and a body without a line feed at its end only swallows the next request's first line, which has none.

use super::connection::Progress;
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
    /// What was read from it before, and comes first.
    said: Bytes,
    heads: Heads,
    progress: Arc<Progress>,
}

impl Watched {
    /// Marks `progress` as ambiguous, for good, when a head has more than one framing header.
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

const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
const LONGEST: usize = FRAMING[1].len();

/// Counts framing headers per head, over any cut of the bytes into reads.
#[derive(Default)]
struct Heads {
    framing: u32,
    /// Bytes of the current line, carriage returns not counted.
    line_bytes: usize,
    /// The line's name so far, in lower case; `named` once it is complete or cannot be one of ours.
    name: [u8; LONGEST],
    named: bool,
}

impl Heads {
    /// Whether a head among these bytes has more than one framing header.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut ambiguous = false;
        for &byte in bytes {
            match byte {
                b'\n' => {
                    if self.line_bytes == 0 {
                        self.framing = 0; // The head is over.
                    }
                    self.line_bytes = 0;
                    self.named = false;
                    continue;
                }
                b'\r' => continue,
                _ if self.named => {}
                b':' => {
                    self.named = true;
                    let name = &self.name[..self.line_bytes.min(LONGEST)];
                    self.framing += u32::from(FRAMING.contains(&name));
                    ambiguous |= self.framing > 1;
                }
                _ if self.line_bytes < LONGEST => self.name[self.line_bytes] = byte.to_ascii_lowercase(),
                _ => self.named = true,
            }
            self.line_bytes += 1;
        }
        ambiguous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(head: &str, cut: usize) -> bool {
        let mut heads = Heads::default();
        head.as_bytes().chunks(cut).any(|chunk| heads.feed(chunk))
    }

    #[test]
    fn two_framing_headers_are_seen_however_the_bytes_are_cut() {
        for cut in [1, 2, 3, 7, 1_000] {
            for head in [
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nX: y\r\nCONTENT-LENGTH: 5\r\n\r\n",
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\nContent-Length: 0\nContent-Length: 0\n\n",
            ] {
                assert!(ambiguous(head, cut), "{head:?} cut at {cut}");
            }
            for head in [
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nX-Content-Length: 5\r\nContent-Length-X: 5\r\n\r\n",
                "GET /content-length: HTTP/1.1\r\nHost: content-length:transfer-encoding:\r\n\r\n",
                "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
                "GET / HTTP/1.1\r\nTransfer-EncodingX: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            ] {
                assert!(!ambiguous(head, cut), "{head:?} cut at {cut}");
            }
        }
    }
}
