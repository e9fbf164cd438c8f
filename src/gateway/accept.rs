//! What happens to sockets that are too many, and when none can be accepted.

use super::Context;
use super::answer::Answer;
use super::connection;
use super::permit::Full;
use crate::base_path::BasePath;
use crate::explain::Reader;
use crate::limits::{ACCEPT_PAUSE_MS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, LINGER_MS};
use crate::metrics::Refusal;
use http::header::{ACCEPT, ACCEPT_LANGUAGE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// Says why, if not too many are being told so already.
pub(super) fn turn_away(
    context: &Context,
    stream: std::net::TcpStream,
    peer: SocketAddr,
    full: Full,
    answers: &Arc<Semaphore>,
) {
    let answer = match full {
        Full::Address => Answer::address_full(),
        Full::Total => Answer::connections_full(),
    };
    context.metrics.refused(answer.counted);
    context.journal.connection(&answer, peer.ip());
    let base = context.settings.base.clone();
    match (answers.clone().try_acquire_owned(), TcpStream::from_std(stream)) {
        (Ok(place), Ok(stream)) => {
            tokio::spawn(async move {
                tell(stream, &answer, &base).await;
                drop(place);
            });
        }
        (Err(_), Ok(stream)) => {
            context.metrics.refused(Refusal::Unanswered);
            tell_at_once(&stream, &answer, &base);
        }
        (_, Err(_)) => context.metrics.refused(Refusal::Unanswered),
    }
}

/// Without waiting for anything: the answer gets through unless the peer says more meanwhile.
pub(super) fn tell_at_once(stream: &TcpStream, answer: &Answer, base: &BasePath) {
    // Unread bytes of the client would reset the connection before the answer is read.
    let mut head = [0; 4096];
    let said = stream.try_read(&mut head).unwrap_or(0);
    // An empty send buffer takes these few bytes. A peer that is gone does not need them.
    let _ = SockRef::from(stream).send(&answer.bytes(reader(&head[..said], base).as_ref()));
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}

/// Waits a moment for the request's head, so that the answer is not lost to a reset, and answers whatever it was.
async fn tell(mut stream: TcpStream, answer: &Answer, base: &BasePath) {
    let mut head = Vec::with_capacity(1024);
    let whole = async {
        while head.len() < HTTP_HEAD_BYTES_MAX && !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let Ok(1..) = stream.read_buf(&mut head).await else { return };
        }
    };
    // A client that sends nothing gets the answer too.
    let _ = timeout(Duration::from_millis(LINGER_MS), whole).await;
    let answering = async {
        if stream.write_all(&answer.bytes(reader(&head, base).as_ref())).await.is_ok() {
            connection::linger(stream).await;
        }
    };
    let _ = timeout(Duration::from_millis(LINGER_MS), answering).await;
}

/// The person behind a request head, if it is one and a page was asked for.
fn reader(head: &[u8], base: &BasePath) -> Option<Reader> {
    let mut lines = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut lines);
    request.parse(head).ok()?;
    let mut headers = HeaderMap::new();
    for line in request.headers.iter() {
        if [ACCEPT.as_str(), ACCEPT_LANGUAGE.as_str()].iter().any(|name| line.name.eq_ignore_ascii_case(name)) {
            headers
                .append(HeaderName::from_bytes(line.name.as_bytes()).ok()?, HeaderValue::from_bytes(line.value).ok()?);
        }
    }
    let uri: Uri = request.path?.parse().ok()?;
    Some(Reader::of(&uri, &headers, true)?.at(base.inner(uri.path())))
}

/// Keeps a listener that cannot accept from burning CPU and from flooding the log.
#[derive(Default)]
pub(super) struct AcceptErrors {
    pause_ms: u64,
    told: Option<Instant>,
    untold: u64,
}

impl AcceptErrors {
    /// One was accepted.
    pub(super) fn none(&mut self) {
        self.pause_ms = 0;
    }

    /// How long to wait before the next try, if at all.
    pub(super) fn pause(&mut self, error: &io::Error) -> Option<Duration> {
        self.untold += 1;
        if self.told.is_none_or(|told| told.elapsed() >= Duration::from_secs(1)) {
            warn!(%error, times = self.untold, "cannot accept connections; check the descriptor limit (ulimit -n)");
            self.told = Some(Instant::now());
            self.untold = 0;
        }
        // A peer that was gone before it was accepted is its own affair: the next one may be well.
        if concerns_one_peer(error) {
            return None;
        }
        self.pause_ms = (self.pause_ms * 2).clamp(10, ACCEPT_PAUSE_MS_MAX);
        Some(Duration::from_millis(self.pause_ms))
    }
}

fn concerns_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
