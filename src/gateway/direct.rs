//! The short way to an upgrade: most sockets say one whole, proper upgrade request and nothing else. Those need no
//! HTTP server, no task and no timer: the request is read with the parser that hyper uses, checked by the checks that
//! hyper's requests go through, and agreed to.
//!
//! Whatever is not clearly that (half a head, another request, anything to refuse) is `None` here and goes to hyper
//! with the bytes that were read: only agreement is short, so no refusal can differ.

use super::Context;
use super::agree::{self, Agreed};
use super::handshake;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use std::mem::MaybeUninit;

/// Most header lines of a request that goes this way. Browsers send 15–25.
const HEADERS_MAX: usize = 48;

/// Agrees to the upgrade that `bytes` begin with; says how many of them were its request.
pub(super) fn agree(context: &Context, bytes: &[u8]) -> Option<(Agreed, usize)> {
    let (request, taken) = parse(bytes)?;
    agree::proper(&request).ok()?;
    // Hyper's 101 to a client that also wants the connection closed repeats the `close`.
    if handshake::has_token(request.headers(), &CONNECTION, "close") {
        return None;
    }
    if context.state.shutdown.has_begun() {
        return None;
    }
    let target = handshake::target(context.settings.base.inner(request.uri().path()))?;
    let agreed = agree::upgrade(context, &request, &target).ok()?;
    Some((agreed, taken))
}

/// A whole `GET … HTTP/1.1` head, and its length.
fn parse(bytes: &[u8]) -> Option<(Request<()>, usize)> {
    let mut lines = [MaybeUninit::uninit(); HEADERS_MAX];
    let mut head = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(taken)) = head.parse_with_uninit_headers(bytes, &mut lines) else { return None };
    if head.version != Some(1) || head.method != Some("GET") {
        return None;
    }
    let mut request = Request::new(());
    *request.uri_mut() = Uri::try_from(head.path?).ok()?;
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for line in head.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    *request.headers_mut() = headers;
    Some((request, taken))
}
