//! The accept loops, and what happens to sockets that are too many.

use super::Context;
use super::answer::Answer;
use super::connection;
use super::permit::{Full, Permits};
use crate::limits::{ACCEPT_PAUSE_MS_MAX, ADMIN_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, LINGER_MS, OVER_CAP_ANSWERS_MAX};
use crate::metrics::{GatewayMetrics, Refusal};
use axum::Router;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

/// Accepts until the shutdown begins.
pub(super) async fn public(listener: TcpListener, context: Arc<Context>, pages: Router) {
    let over_cap_answers = Arc::new(Semaphore::new(OVER_CAP_ANSWERS_MAX));
    let mut errors = AcceptErrors::default();
    let shutdown = context.state.shutdown.clone();
    let mut stop = pin!(shutdown.begun());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                context.metrics.accept_errors.increment(1);
                errors.wait(&error).await;
                continue;
            }
        };
        errors.pause_ms = 0;
        context.metrics.accepts.increment(1);
        match context.state.permits.take(peer.ip()) {
            Ok(permit) => {
                let (context, pages) = (context.clone(), pages.clone());
                tokio::spawn(connection::public(stream, peer.ip(), permit, Instant::now(), context, pages));
            }
            Err(full) => turn_away(&context, stream, peer, full, &over_cap_answers),
        }
    }
}

/// Accepts until it is dropped.
pub(super) async fn admin(listener: TcpListener, pages: Router) {
    let metrics = GatewayMetrics::new();
    let permits = Permits::new(ADMIN_CONNECTIONS_MAX, None);
    let mut errors = AcceptErrors::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                errors.pause_ms = 0;
                // Beyond the bound: closed without a word, the next scrape comes soon.
                let Ok(permit) = permits.take(peer.ip()) else {
                    metrics.refused(Refusal::Unanswered);
                    continue;
                };
                let pages = pages.clone();
                tokio::spawn(async move {
                    connection::admin(stream, pages).await;
                    drop(permit);
                });
            }
            Err(error) => {
                metrics.accept_errors.increment(1);
                errors.wait(&error).await;
            }
        }
    }
}

/// Says why, if not too many are being told so already.
fn turn_away(context: &Context, stream: TcpStream, peer: SocketAddr, full: Full, answers: &Arc<Semaphore>) {
    let answer = match full {
        Full::Address => Answer::address_full(),
        Full::Total => Answer::connections_full(),
    };
    context.metrics.refused(answer.counted);
    debug!(%peer, code = answer.code, "turned a connection away");
    match answers.clone().try_acquire_owned() {
        Ok(place) => {
            tokio::spawn(async move {
                let _ = timeout(Duration::from_millis(LINGER_MS), tell(stream, &answer)).await;
                drop(place);
            });
        }
        Err(_) => context.metrics.refused(Refusal::Unanswered),
    }
}

/// Waits for the request's head, so that the answer is not lost to a reset, and answers whatever it was.
async fn tell(mut stream: TcpStream, answer: &Answer) {
    let mut head = Vec::with_capacity(1024);
    while head.len() < HTTP_HEAD_BYTES_MAX && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(1..) => {}
            _ => return,
        }
    }
    if stream.write_all(&answer.bytes()).await.is_ok() {
        connection::linger(stream).await;
    }
}

/// Keeps a listener that cannot accept from burning CPU and from flooding the log.
#[derive(Default)]
struct AcceptErrors {
    pause_ms: u64,
    told: Option<Instant>,
    untold: u64,
}

impl AcceptErrors {
    async fn wait(&mut self, error: &io::Error) {
        self.untold += 1;
        if self.told.is_none_or(|told| told.elapsed() >= Duration::from_secs(1)) {
            warn!(%error, times = self.untold, "cannot accept connections; check the descriptor limit (ulimit -n)");
            self.told = Some(Instant::now());
            self.untold = 0;
        }
        // A peer that was gone before it was accepted is its own affair: the next one may be well.
        if concerns_one_peer(error) {
            return;
        }
        self.pause_ms = (self.pause_ms * 2).clamp(10, ACCEPT_PAUSE_MS_MAX);
        sleep(Duration::from_millis(self.pause_ms)).await;
    }
}

fn concerns_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
