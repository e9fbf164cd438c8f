//! What becomes of a request, on either side: refused, upgraded, or passed to the pages.

use super::Context;
use super::agree;
use super::answer::Answer;
use super::handshake;
use super::inquiry;
use super::journal::Journal;
use super::progress::Progress;
use super::seats::Seat;
use crate::explain::Reader;
use crate::host::Hosts;
use crate::metrics::GatewayMetrics;
use axum::Router;
use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};

/// Decides about requests: guards, upgrades, and the pages for the rest.
pub(super) struct Front {
    pub(super) side: Side,
    pub(super) peer: IpAddr,
    pub(super) pages: Router,
    pub(super) progress: Arc<Progress>,
}

/// The side of the server that a connection came to.
pub(super) enum Side {
    Public(Arc<Context>),
    /// No upgrades, and no end before the process.
    Admin {
        desk: AdminFront,
        /// Where the connection came in.
        local: IpAddr,
        /// Which requests its seat serves.
        seat: Seat,
    },
}

/// Paths that a reserved seat serves.
const RESERVED_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Shared by the connections of the admin side.
#[derive(Clone)]
pub(super) struct AdminFront {
    /// `None`: every name is accepted.
    pub(super) names: Option<Names>,
    pub(super) metrics: Arc<GatewayMetrics>,
    pub(super) journal: Arc<Journal>,
}

/// Names under which the admin address may be requested.
#[derive(Clone)]
pub(super) struct Names {
    pub(super) hosts: Arc<Hosts>,
    /// The address that it listens on, which may be the unspecified one.
    pub(super) bound: IpAddr,
}

type Routed = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Upgrades are answered at once; only pages need a boxed future.
pub(super) enum Reply {
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
        let answering = self.progress.answering();
        let reader = match &self.side {
            Side::Public(context) => Reader::of(request.uri(), request.headers(), true)
                .map(|reader| reader.at(context.settings.base.inner(request.uri().path()))),
            Side::Admin { .. } => Reader::of(request.uri(), request.headers(), false),
        };
        let for_reader = move |response| match reader {
            Some(reader) => reader.explained(response),
            None => response,
        };
        let response = match self.answer(&request) {
            Ok(None) => {
                let page = TowerToHyperService::new(self.pages.clone()).call(request);
                let progress = self.progress.clone();
                let is_last = matches!(self.side, Side::Admin { seat: Seat::Reserved, .. });
                return Reply::Routed(Box::pin(async move {
                    let mut response = for_reader(page.await?);
                    if is_last {
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    if response.body().size_hint().exact().is_none() {
                        progress.streams.store(true, Ordering::Relaxed);
                    }
                    Ok(response.map(|body| answering.until_written(body)))
                }));
            }
            Ok(Some(response)) => response,
            Err(answer) => {
                let (metrics, journal) = match &self.side {
                    Side::Public(context) => (&context.metrics, &context.journal),
                    Side::Admin { desk, .. } => (&*desk.metrics, &*desk.journal),
                };
                metrics.refused(answer.counted);
                journal.request(&answer, &request, self.peer);
                for_reader(answer.response())
            }
        };
        Reply::Now(ready(Ok(response)))
    }
}

impl Front {
    /// The answer that is decided here; `None` leaves the request to the pages.
    fn answer(&self, request: &Request<Incoming>) -> Result<Option<Response<Body>>, Answer> {
        if self.progress.ambiguous.load(Ordering::Relaxed) {
            let message = "more than one Content-Length or Transfer-Encoding in a request";
            return Err(agree::bad_request(message));
        }
        agree::proper(request)?;
        if let Side::Admin { desk: AdminFront { names: Some(names), .. }, local, .. } = &self.side
            && !matches!(request.uri().path(), "/healthz" | "/readyz")
            && !names.hosts.admit(handshake::host(request.headers()), &[names.bound, *local])
        {
            return Err(Answer::wrong_host());
        }
        if let Side::Public(context) = &self.side {
            if context.state.shutdown.has_begun() {
                return Err(Answer::draining());
            }
            if let Some(target) = handshake::target(context.settings.base.inner(request.uri().path())) {
                if inquiry::is_one(request) && request.body().is_end_stream() {
                    return Ok(Some(inquiry::answer(context, request, &target)));
                }
                let agreed = agree::upgrade(context, request, &target)?;
                let response = agreed.response();
                *self.progress.agreed.lock() = Some(agreed);
                return Ok(Some(response));
            }
        }
        if matches!(self.side, Side::Admin { seat: Seat::Reserved, .. })
            && !RESERVED_PATHS.contains(&request.uri().path())
        {
            return Err(Answer::admin_busy());
        }
        // On the admin side a POST has a body, which its handler bounds.
        let takes_body = matches!(self.side, Side::Admin { .. }) && request.method() == Method::POST;
        if !request.body().is_end_stream() && !takes_body {
            let message = "no endpoint here takes a body";
            return Err(Answer::new(StatusCode::PAYLOAD_TOO_LARGE, "body_not_allowed", message).and_close());
        }
        Ok(None)
    }
}
