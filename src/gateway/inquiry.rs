//! Answers whether an upgrade would be accepted, without one. A browser hides the reason of a refused WebSocket from the
//! page, so the page asks the same address with a plain request, which takes the same way through every proxy.
//!
//! Decides nothing itself: the room, the origin, the parameters, the token and the bound on rooms are judged as for an upgrade. The
//! subprotocol is not judged, because a guest's key does not belong in an address.

use super::Context;
use super::agree;
use super::answer::Answer;
use super::handshake::{self, Target};
use super::parameters::{self, Query};
use axum::body::Body;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, UPGRADE};
use http::{HeaderValue, Method, Request, Response};

/// The query parameter that makes a plain request an inquiry.
const CHECK: &str = "check";
/// The page's origin: browsers send no `Origin` with requests to the page's own server.
const PAGE: &str = "origin";

/// Whether the request is an inquiry.
pub(super) fn is_one<B>(request: &Request<B>) -> bool {
    let names = |query: &str| query.split('&').any(|pair| pair.split('=').next() == Some(CHECK));
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !handshake::has_token(request.headers(), &UPGRADE, "websocket")
        && request.uri().query().is_some_and(names)
}

/// Answers an inquiry: 200, or the refusal of the upgrade.
pub(super) fn answer<B>(context: &Context, request: &Request<B>, target: &Target<'_>) -> Response<Body> {
    let mut response = match judge(context, request, target) {
        Ok(()) => {
            let mut response = Response::new(Body::from("{\"ok\":true}\n"));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(answer) => answer.response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A page that is refused for its origin has to be able to read that.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn judge<B>(context: &Context, request: &Request<B>, target: &Target<'_>) -> Result<(), Answer> {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    let room = handshake::room(target)?;
    let allowed = &context.settings.origins;
    match parameters::once(query, PAGE)? {
        Some(page) if !allowed.admits(&page, handshake::host(headers)) => return Err(handshake::forbidden_origin()),
        Some(_) => {}
        None => handshake::origin(headers, allowed)?,
    }
    Query::parse(query)?;
    // A proxy may add a token to every request.
    agree::identify(context, headers, None)?;
    match room {
        Some(room) if !context.state.rooms.has_place(&room) => Err(Answer::rooms_full()),
        _ => Ok(()),
    }
}
