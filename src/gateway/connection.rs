//! One connecting socket. If its first bytes are an upgrade request, it is handed over at once. Otherwise a task reads
//! requests, within time limits, until one of them is an upgrade, and hands the socket over or refuses it.

use super::Context;
use super::direct;
use super::front::{AdminFront, Front, Side};
use super::handover::Upgraded;
use super::permit::Permit;
use super::progress::Progress;
use super::seats::Seat;
use super::strict::Watched;
use crate::clock;
use crate::limits::{
    HTTP_CONNECTION_MS_MAX, HTTP_DISCARD_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_STREAM_BYTES_MIN,
    LINGER_MS,
};
use crate::metrics::Refusal;
use crate::protocol::codes::Close;
use crate::protocol::websocket;
use axum::Router;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Bytes of the first read: a browser's upgrade request has 0.5–2 KiB. Longer requests are read by hyper.
const FIRST_READ_BYTES: usize = 4_096;

/// How many times the patience with a handshake a stream's reader has for [`HTTP_STREAM_BYTES_MIN`].
const STREAM_PATIENCE: u32 = 6;

pub(super) fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // The deadlines are our own: hyper's would need a boxed timer per connection.
    http.header_read_timeout(None).max_buf_size(HTTP_HEAD_BYTES_MAX).max_headers(HTTP_HEADERS_MAX).half_close(false);
    http.auto_date_header(clock::has_a_date());
    http
}

/// How a connection's HTTP ended.
enum End {
    /// Hyper has ended, with or without an error: the socket, and the bytes read beyond the last request.
    Done { stream: TcpStream, leftover: Bytes, clean: bool },
    /// Nothing but silence, or half a request head.
    TimedOut,
    /// It would not end.
    Overstayed,
    /// Its seat was wanted, and it does not get to finish.
    Evicted(TcpStream),
}

/// A socket of the public side that was accepted and is not upgraded.
pub(super) struct Newcomer {
    /// Non-blocking, on no poller of tokio.
    pub(super) stream: std::net::TcpStream,
    pub(super) accepted: Instant,
    began_us: u64,
    peer: IpAddr,
    permit: Permit,
}

impl Newcomer {
    /// Accepted just now.
    pub(super) fn new(stream: std::net::TcpStream, peer: IpAddr, permit: Permit) -> Self {
        Self { stream, accepted: Instant::now(), began_us: clock::now_us(), peer, permit }
    }
}

/// Serves the first bytes of a connection: at once if they are an upgrade request, otherwise by a task.
///
/// # Errors
/// Gives the connection back when it has sent nothing yet.
pub(super) fn greet(mut newcomer: Newcomer, context: &Arc<Context>, pages: &Router) -> Result<(), Newcomer> {
    let mut words = [0; FIRST_READ_BYTES];
    let said = match newcomer.stream.read(&mut words) {
        Ok(n) => n,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Err(newcomer),
        Err(_) => 0, // Hyper will find it again.
    };
    match direct::agree(context, &words[..said]) {
        Some((agreed, taken)) => {
            let leftover = Bytes::copy_from_slice(&words[taken..said]);
            let Newcomer { stream, began_us, peer, permit, .. } = newcomer;
            hand_over(agreed.upgraded(stream, leftover, peer, permit), context, began_us);
        }
        None => serve(newcomer, &words[..said], context, pages),
    }
    Ok(())
}

/// Makes a newcomer that has said `said` so far a task of the runtime.
pub(super) fn serve(newcomer: Newcomer, said: &[u8], context: &Arc<Context>, pages: &Router) {
    tokio::spawn(public(newcomer, Bytes::copy_from_slice(said), context.clone(), pages.clone()));
}

/// Serves one socket of the public side by hyper.
async fn public(newcomer: Newcomer, said: Bytes, context: Arc<Context>, pages: Router) {
    let Newcomer { stream, accepted, began_us, peer, permit } = newcomer;
    let Ok(stream) = TcpStream::from_std(stream) else { return context.metrics.refused(Refusal::Broken) };
    let patience = context.settings.handshake;
    // A new socket is writable, but its poller does not know that yet, and hyper tries to write the answer to a malformed
    // request only once.
    if timeout_at(accepted + patience, stream.writable()).await.is_err() {
        return context.metrics.refused(Refusal::HandshakeTimeout);
    }
    let progress = Arc::<Progress>::default();
    let front = Front { side: Side::Public(context.clone()), peer, pages, progress: progress.clone() };
    let end = drive(stream, said, front, &progress, accepted, patience).await;
    let metrics = &context.metrics;
    match end {
        End::TimedOut => metrics.refused(Refusal::HandshakeTimeout),
        End::Overstayed | End::Evicted(_) => metrics.refused(Refusal::Lifetime),
        End::Done { stream, leftover, clean } => {
            let agreed = progress.agreed.lock().take();
            let Some(agreed) = agreed else {
                if !clean {
                    metrics.refused(Refusal::BadRequest);
                }
                return linger(stream).await;
            };
            // Off tokio's poller: the shard has its own.
            let Ok(stream) = stream.into_std() else { return metrics.refused(Refusal::Broken) };
            let upgraded = agreed.upgraded(stream, leftover, peer, permit);
            let answer = Bytes::new(); // Hyper has sent it.
            hand_over(Upgraded { answer, ..upgraded }, &context, began_us);
        }
    }
}

fn hand_over(upgraded: Upgraded, context: &Context, began_us: u64) {
    match context.state.hand_over.hand_over(upgraded) {
        Ok(()) => context.metrics.handshake_seconds.record(seconds(clock::now_us() - began_us)),
        Err(upgraded) => {
            context.metrics.refused(Refusal::InboxFull);
            close_overloaded(upgraded);
        }
    }
}

/// Serves one socket of the admin side. Gives it back when its seat was wanted for another.
pub(super) async fn admin(
    stream: TcpStream,
    pages: &Router,
    desk: AdminFront,
    seat: Seat,
    progress: &Arc<Progress>,
) -> Option<TcpStream> {
    let ip = |address: std::io::Result<SocketAddr>| address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
    let (local, peer) = (ip(stream.local_addr()), ip(stream.peer_addr()));
    let side = Side::Admin { desk, local, seat };
    let front = Front { side, peer, pages: pages.clone(), progress: progress.clone() };
    let patience = Duration::from_secs(5);
    match drive(stream, Bytes::new(), front, progress, Instant::now(), patience).await {
        // Ends early when the seat is needed; otherwise a flood of short requests would pile up.
        End::Done { stream, .. } => tokio::select! {
            () = linger(stream) => {}
            () = progress.until_evicted() => {}
        },
        End::Evicted(stream) => return Some(stream),
        End::TimedOut | End::Overstayed => {}
    }
    None
}

#[allow(clippy::cast_precision_loss)] // A handshake's microseconds are far below 2^52.
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// The result of polling hyper's connection.
enum Step {
    /// It has ended; whether without an error.
    Done(bool),
    /// The head that is awaited has changed.
    Head(Option<u32>),
}

/// Runs hyper on the socket until it ends or runs out of time: `patience` for each request head from its first byte (for the
/// first head, from the accept), [`HTTP_CONNECTION_MS_MAX`] for the connection, and `patience` more for the request that is
/// being served then. A stream may go on while its reader takes [`HTTP_STREAM_BYTES_MIN`] per [`STREAM_PATIENCE`].
async fn drive(
    stream: TcpStream,
    said: Bytes,
    front: Front,
    progress: &Progress,
    accepted: Instant,
    patience: Duration,
) -> End {
    let socket = Watched::new(stream, said, front.progress.clone());
    let mut conn = http().serve_connection(TokioIo::new(socket), front);
    let end = accepted + Duration::from_millis(HTTP_CONNECTION_MS_MAX).max(patience);
    let mut head_due = Some(accepted + patience);
    let mut awaited = None;
    let mut life_due = end;
    let mut closing = false;
    let mut written = 0;
    let mut deadline = pin!(sleep_until(accepted + patience));
    let clean = loop {
        let step = poll_fn(|cx| match conn.poll_without_shutdown(cx) {
            Poll::Ready(done) => Poll::Ready(Step::Done(done.is_ok())),
            Poll::Pending => match progress.awaited_head() {
                // The first head's time began with the connection.
                head if head != awaited && progress.head_seen.load(Ordering::Relaxed) => Poll::Ready(Step::Head(head)),
                _ => Poll::Pending,
            },
        });
        tokio::select! {
            biased;
            step = step => match step {
                Step::Done(clean) => break clean,
                Step::Head(head) => {
                    awaited = head;
                    head_due = head.map(|_| Instant::now() + patience);
                }
            },
            () = progress.until_evicted(), if !closing => {
                if progress.must_leave_at_once() {
                    return End::Evicted(conn.into_parts().io.into_inner().into_inner());
                }
                closing = true;
                Pin::new(&mut conn).graceful_shutdown();
                life_due = Instant::now() + Duration::from_millis(LINGER_MS);
            }
            () = &mut deadline => {
                let now = Instant::now();
                if awaited.is_none() && progress.head_seen.load(Ordering::Relaxed) {
                    head_due = None; // The first head's.
                }
                if head_due.is_some_and(|due| due <= now) {
                    return End::TimedOut;
                }
                if life_due <= now {
                    let streams = progress.streams.load(Ordering::Relaxed);
                    let taken = progress.written.load(Ordering::Relaxed) - written;
                    if closing && (!streams || taken < HTTP_STREAM_BYTES_MIN) {
                        return End::Overstayed;
                    }
                    written += taken;
                    life_due = now + if streams { patience * STREAM_PATIENCE } else { patience };
                    if !closing {
                        closing = true;
                        Pin::new(&mut conn).graceful_shutdown();
                    }
                }
            }
        }
        deadline.as_mut().reset(head_due.map_or(life_due, |due| due.min(life_due)));
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
    let close = websocket::close(Close::Overload);
    let _ = upgraded.stream.write(&[&upgraded.answer[..], &close[..]].concat());
    let _ = upgraded.stream.shutdown(std::net::Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task;

    const PATIENCE: Duration = Duration::from_millis(100);

    /// Drives a connection that was accepted `age` ago, on which a client has said `words`; returns how it
    /// ended and what the client got to read.
    fn end(words: &str, age: Duration) -> (End, String) {
        end_with(Router::new(), words, age, false)
    }

    /// The same with pages; the client reads all the time or only after the end.
    fn end_with(pages: Router, words: &str, age: Duration, reads: bool) -> (End, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.write_all(words.as_bytes()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            // The kernel may tell of the words a moment after the connection.
            stream.readable().await.unwrap();
            let progress = Arc::<Progress>::default();
            let desk = AdminFront { names: None, metrics: Arc::default(), journal: Arc::default() };
            let (local, peer) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST));
            let front = Front {
                side: Side::Admin { desk, local, seat: Seat::Ordinary },
                peer,
                pages,
                progress: progress.clone(),
            };
            let mut reader = client.try_clone().unwrap();
            let reader = reads.then(|| std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink())));
            let end = drive(stream, Bytes::new(), front, &progress, Instant::now() - age, PATIENCE).await;
            if reader.is_some() {
                return (end, String::new()); // The reader ends with the socket.
            }
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
        assert!(!matches!(end, End::Overstayed), "it had no time left for a second try");
        assert!(read.starts_with("HTTP/1.1 404 "), "{read}");
    }

    /// 64 KiB at a time, every 20 ms, so many times.
    struct Stream {
        left: u32,
        pause: Pin<Box<tokio::time::Sleep>>,
    }

    impl hyper::body::Body for Stream {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut task::Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
            std::task::ready!(self.pause.as_mut().poll(cx));
            self.pause.as_mut().reset(Instant::now() + Duration::from_millis(20));
            self.left = self.left.saturating_sub(1);
            Poll::Ready((self.left > 0).then(|| Ok(hyper::body::Frame::data(vec![0; 64 * 1024].into()))))
        }
    }

    fn streaming(pieces: u32) -> Router {
        let stream = move || async move {
            Body::new(Stream { left: pieces, pause: Box::pin(tokio::time::sleep(Duration::ZERO)) })
        };
        Router::new().route("/", axum::routing::get(stream))
    }

    #[test]
    fn a_stream_goes_on_beyond_the_lifetime_while_its_reader_takes_it() {
        // Twice as long as a reader has for one minimum.
        let (end, _) = end_with(streaming(60), REQUEST, LIFETIME, true);
        assert!(matches!(end, End::Done { clean: true, .. }), "it was cut");
    }

    #[test]
    fn a_stream_that_nobody_takes_is_cut() {
        let (end, _) = end_with(streaming(u32::MAX), REQUEST, LIFETIME, false);
        assert!(matches!(end, End::Overstayed), "it ended by itself");
    }

    #[test]
    fn half_a_head_has_the_patience_of_one_handshake() {
        let (end, read) = end("GET / HTTP/1.1\r\nHo", Duration::ZERO);
        assert!(matches!(end, End::TimedOut));
        assert_eq!(read, "");
    }

    #[test]
    fn so_has_half_a_head_behind_whole_ones() {
        for half in ["G", "GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1\r\nHost: a\r\n\r"] {
            for before in [REQUEST.to_owned(), REQUEST.repeat(3), format!("\r\n{REQUEST}\r\n")] {
                let began = Instant::now();
                let (end, read) = end(&format!("{before}{half}"), Duration::ZERO);
                assert!(matches!(end, End::TimedOut), "{before}{half}");
                assert_eq!(read.matches("HTTP/1.1 404 ").count(), before.matches("GET").count(), "{read}");
                let took = began.elapsed();
                assert!(took >= PATIENCE && took < LIFETIME / 10, "{before}{half}: {took:?}");
            }
        }
    }

    /// While the answer to the request before it takes its time, the server does not read.
    #[test]
    fn a_head_behind_a_long_answer_has_its_time_after_it() {
        // 30 pieces, 20 ms apart: six times the patience.
        let (end, read) = end_with(streaming(30), &format!("{REQUEST}GET / HTTP/1.1\r\nHo"), Duration::ZERO, true);
        assert!(matches!(end, End::TimedOut), "the end of the answer was {read:?}");
    }
}
