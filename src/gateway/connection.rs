//! One connecting socket: reads requests until one of them is an upgrade, within bounds of time, and
//! then hands the socket over or says why not.

use super::Context;
use super::answer::Answer;
use super::handover::{Claim, Purpose, Upgraded};
use super::handshake::{self, Handshake, Target};
use super::permit::Permit;
use super::strict::Watched;
use crate::clock;
use crate::limits::{HTTP_CONNECTION_MS_MAX, HTTP_DISCARD_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, LINGER_MS};
use crate::metrics::Refusal;
use crate::protocol::codes::Close;
use crate::protocol::encode::websocket_control;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::future::{Future, Ready, poll_fn, ready};
use std::io::Write;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{self, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Control;

pub(super) fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // The deadlines are our own: hyper's would need a boxed timer per connection.
    http.header_read_timeout(None).max_buf_size(HTTP_HEAD_BYTES_MAX).max_headers(HTTP_HEADERS_MAX).half_close(false);
    http
}

/// How a connection's HTTP ended.
enum End {
    /// Hyper is done, by error or in good order. What it read beyond the last request, and the socket.
    Done { stream: TcpStream, leftover: Bytes, clean: bool },
    /// Nothing but silence, or half a request head.
    TimedOut,
    /// It would not end.
    Overstayed,
}

/// Looked at from outside while hyper owns the service.
#[derive(Default)]
pub(super) struct Progress {
    /// A whole request head was there.
    head_seen: AtomicBool,
    /// A head could be read in two ways.
    pub(super) ambiguous: AtomicBool,
    /// An upgrade was answered with 101.
    agreed: Mutex<Option<(Purpose, crate::protocol::encode::Encoding)>>,
}

/// Serves one socket of the public side.
pub(super) async fn public(
    stream: TcpStream,
    peer: IpAddr,
    permit: Permit,
    accepted: Instant,
    context: Arc<Context>,
    pages: Router,
) {
    let began_us = clock::now_us();
    let progress = Arc::<Progress>::default();
    let front = Front { context: Some(context.clone()), pages, progress: progress.clone() };
    let end = drive(stream, front, &progress, accepted, context.settings.handshake).await;
    let metrics = &context.metrics;
    match end {
        End::TimedOut => metrics.refused(Refusal::HandshakeTimeout),
        End::Overstayed => metrics.refused(Refusal::Lifetime),
        End::Done { stream, leftover, clean } => {
            let agreed = progress.agreed.lock().take();
            let Some((purpose, encoding)) = agreed else {
                if !clean {
                    metrics.refused(Refusal::BadRequest);
                }
                return linger(stream).await;
            };
            // Off tokio's poller: the shard has its own.
            let Ok(stream) = stream.into_std() else { return metrics.refused(Refusal::Broken) };
            let upgraded = Upgraded { stream, leftover, purpose, encoding, peer, permit };
            match context.state.hand_over.hand_over(upgraded) {
                Ok(()) => metrics.handshake_seconds.record(seconds(clock::now_us() - began_us)),
                Err(upgraded) => {
                    metrics.refused(Refusal::InboxFull);
                    close_overloaded(upgraded);
                }
            }
        }
    }
}

/// Serves one socket of the admin side.
pub(super) async fn admin(stream: TcpStream, pages: Router) {
    let progress = Arc::<Progress>::default();
    let front = Front { context: None, pages, progress: progress.clone() };
    let patience = Duration::from_secs(5);
    if let End::Done { stream, .. } = drive(stream, front, &progress, Instant::now(), patience).await {
        linger(stream).await;
    }
}

#[allow(clippy::cast_precision_loss)] // A handshake's microseconds are far below 2^52.
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Runs hyper on the socket until it is done or its time is over: `patience` for the first request head,
/// [`HTTP_CONNECTION_MS_MAX`] for everything, and `patience` again for what was going on then.
async fn drive(stream: TcpStream, front: Front, progress: &Progress, accepted: Instant, patience: Duration) -> End {
    let socket = Watched::new(stream, front.progress.clone());
    let mut conn = http().serve_connection(TokioIo::new(socket), front);
    let mut deadline = pin!(sleep_until(accepted + patience));
    let mut closing = false;
    let clean = loop {
        tokio::select! {
            biased;
            done = poll_fn(|cx| conn.poll_without_shutdown(cx)) => break done.is_ok(),
            () = &mut deadline => {
                if !progress.head_seen.load(Ordering::Relaxed) {
                    return End::TimedOut;
                }
                let end = accepted + Duration::from_millis(HTTP_CONNECTION_MS_MAX).max(patience);
                if closing {
                    return End::Overstayed;
                } else if Instant::now() < end {
                    deadline.as_mut().reset(end);
                } else {
                    closing = true;
                    Pin::new(&mut conn).graceful_shutdown();
                    deadline.as_mut().reset(end + patience);
                }
            }
        }
    };
    let parts = conn.into_parts();
    // A copy, even of nothing: hyper's bytes would keep its whole read buffer of 8 KiB alive.
    let leftover = Bytes::copy_from_slice(&parts.read_buf);
    End::Done { stream: parts.io.into_inner().into_inner(), leftover, clean }
}

/// Closes so that the peer can read our last answer: closing a socket that holds unread bytes would reset
/// the connection under it.
pub(super) async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let discard = async {
        let mut scrap = [0; 4096];
        let mut left = HTTP_DISCARD_BYTES_MAX;
        // Peers that left already end this at once.
        while let Ok(n @ 1..) = stream.read(&mut scrap).await {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(Duration::from_millis(LINGER_MS), discard).await;
}

/// Best effort: an empty send buffer takes these few bytes, and a peer that is gone does not need them.
fn close_overloaded(mut upgraded: Upgraded) {
    let mut payload = Close::Overload.code().to_be_bytes().to_vec();
    payload.extend_from_slice(Close::Overload.reason().as_bytes());
    let _ = upgraded.stream.write(&websocket_control(&payload, Control::Close));
    let _ = upgraded.stream.shutdown(std::net::Shutdown::Write);
}

/// Decides about requests: guards, upgrades, and the pages for the rest.
struct Front {
    /// `None` on the admin side: no upgrades, and no end before the process.
    context: Option<Arc<Context>>,
    pages: Router,
    progress: Arc<Progress>,
}

type Routed = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Upgrades are answered on the spot; only pages need a boxed future.
enum Reply {
    Now(Ready<Result<Response<Body>, Infallible>>),
    Routed(Routed),
}

impl Future for Reply {
    type Output = Result<Response<Body>, Infallible>;
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(ready) => Pin::new(ready).poll(cx),
            Self::Routed(routed) => routed.as_mut().poll(cx),
        }
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        self.progress.head_seen.store(true, Ordering::Relaxed);
        let response = match self.answer(&request) {
            Ok(None) => {
                return Reply::Routed(Box::pin(TowerToHyperService::new(self.pages.clone()).call(request)));
            }
            Ok(Some(response)) => response,
            Err(answer) => {
                if let Some(context) = &self.context {
                    context.metrics.refused(answer.counted);
                }
                answer.response()
            }
        };
        Reply::Now(ready(Ok(response)))
    }
}

impl Front {
    /// What is decided here; `None` is for the pages.
    fn answer(&self, request: &Request<Incoming>) -> Result<Option<Response<Body>>, Answer> {
        if self.progress.ambiguous.load(Ordering::Relaxed) {
            let message = "more than one Content-Length or Transfer-Encoding in a request";
            return Err(bad_request(message));
        }
        if request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1 {
            return Err(bad_request("an HTTP/1.1 request has one Host header"));
        }
        // Cookies are never read, and some sites put other bytes there.
        if request.headers().iter().any(|(name, value)| name != COOKIE && value.to_str().is_err()) {
            return Err(bad_request("a header holds bytes that are not printable ASCII"));
        }
        if let Some(context) = &self.context {
            if context.state.shutdown.has_begun() {
                return Err(Answer::draining());
            }
            if let Some(target) = handshake::target(request.uri().path()) {
                return self.upgrade(context, request, &target).map(Some);
            }
        }
        if !request.body().is_end_stream() {
            let message = "no endpoint here takes a body";
            return Err(Answer::new(StatusCode::PAYLOAD_TOO_LARGE, "body_not_allowed", message).and_close());
        }
        Ok(None)
    }

    /// Agrees to an upgrade, claims the room, and leaves both for the time after the 101.
    fn upgrade(
        &self,
        context: &Context,
        request: &Request<Incoming>,
        target: &Target<'_>,
    ) -> Result<Response<Body>, Answer> {
        let Handshake { room, encoding, protocol_asked, accept, resume, guest } =
            handshake::check(request, target, &context.settings.origins)?;
        let purpose = match room {
            Some(room) => {
                let room = Claim::new(&context.state.rooms, &room).map_err(|_| Answer::rooms_full())?;
                Purpose::Watch { room, resume, guest }
            }
            #[cfg(feature = "echo")]
            None => Purpose::Echo,
            #[cfg(not(feature = "echo"))]
            None => unreachable!("without the echo endpoint every target is a room"),
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::from_str(&accept).expect("base64 is printable");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if protocol_asked {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(encoding.subprotocol()));
        }
        *self.progress.agreed.lock() = Some((purpose, encoding));
        Ok(response)
    }
}

fn bad_request(message: &'static str) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST, "bad_request", message).and_close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const PATIENCE: Duration = Duration::from_millis(100);

    /// Drives a connection that was accepted `age` ago, on which a client has said `words`; returns how it
    /// ended and what the client got to read.
    fn end(words: &str, age: Duration) -> (End, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.write_all(words.as_bytes()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            // The kernel may tell of the words a moment after the connection.
            stream.readable().await.unwrap();
            let progress = Arc::<Progress>::default();
            let front = Front { context: None, pages: Router::new(), progress: progress.clone() };
            let end = drive(stream, front, &progress, Instant::now() - age, PATIENCE).await;
            client.set_nonblocking(true).unwrap();
            let mut read = [0; 4096];
            let n = client.read(&mut read).unwrap_or(0);
            (end, String::from_utf8_lossy(&read[..n]).into_owned())
        })
    }

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const LIFETIME: Duration = Duration::from_millis(HTTP_CONNECTION_MS_MAX);

    #[test]
    fn an_old_idle_connection_is_closed_in_good_order() {
        let (end, read) = end(REQUEST, LIFETIME - PATIENCE);
        assert!(matches!(end, End::Done { clean: true, .. }), "it did not end well");
        assert!(read.starts_with("HTTP/1.1 404 "), "{read}");
    }

    #[test]
    fn an_old_connection_in_the_middle_of_a_request_has_to_end_too() {
        let (end, read) = end(&format!("{REQUEST}GET / HTTP/1.1\r\nHo"), LIFETIME);
        assert!(!matches!(end, End::TimedOut), "its first request was there");
        assert!(read.starts_with("HTTP/1.1 404 "), "{read}");
    }

    #[test]
    fn half_a_head_has_the_patience_of_one_handshake() {
        let (end, read) = end("GET / HTTP/1.1\r\nHo", Duration::ZERO);
        assert!(matches!(end, End::TimedOut));
        assert_eq!(read, "");
    }
}
