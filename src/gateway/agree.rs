//! Shared by both ways to an upgrade: the checks of every request, the agreement, and the 101 response.

use super::Context;
use super::answer::Answer;
use super::handover::{Claim, Purpose, Upgraded};
use super::handshake::{self, Handshake, Target};
use super::permit::Permit;
use crate::bearer;
use crate::policy::auth::{Credentials, Identity, Token};
use crate::protocol::ids::GuestKey;
use crate::protocol::variant::Encoding;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use std::net::{IpAddr, TcpStream};

/// An upgrade that was agreed to: the purpose of the socket, and the content of the 101.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) purpose: Purpose,
    pub(super) encoding: Encoding,
    protocol_asked: bool,
    /// The accepted extension: `permessage-deflate`, or none.
    extension: Option<&'static str>,
    accept: String,
}

/// Checks every request, whatever its path. Only headers that are read here are judged: to a server that does not read a
/// header, its value is opaque bytes (RFC 9110, 5.5).
pub(super) fn proper<B>(request: &Request<B>) -> Result<(), Answer> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.as_bytes(),
        (None, _) if request.version() < Version::HTTP_11 => b"",
        _ => return Err(bad_request("an HTTP/1.1 request has one Host header")),
    };
    let host = match host {
        b"" => None,
        _ => Some(authority(host).ok_or_else(|| bad_request("Host must be a host's name, perhaps with a port"))?),
    };
    match request.uri().authority() {
        Some(target) if request.method() != Method::CONNECT && !is_same(target, host.as_ref(), request.uri()) => {
            Err(bad_request("the request's target and its Host header name different hosts"))
        }
        _ => Ok(()),
    }
}

/// A host with an optional port, as RFC 3986 writes it, without user information.
pub(super) fn authority(bytes: &[u8]) -> Option<Authority> {
    Authority::try_from(bytes).ok().filter(|authority| !authority.as_str().contains('@'))
}

/// Whether an absolute target names the server that `Host` names: one reader goes by the one, another by the other.
fn is_same(target: &Authority, host: Option<&Authority>, uri: &Uri) -> bool {
    let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    !target.as_str().contains('@')
        && host.is_some_and(|host| host.host().eq_ignore_ascii_case(target.host()) && port(host) == port(target))
}

/// Agrees to an upgrade and claims the room.
pub(super) fn upgrade<B>(context: &Context, request: &Request<B>, target: &Target<'_>) -> Result<Agreed, Answer> {
    let Handshake { room, encoding, protocol_asked, extension, accept, rendition, resume, history, guest } =
        handshake::check(request, target, &context.settings)?;
    let purpose = match room {
        Some(room) => {
            // Before the claim: a client that is refused opens no room.
            let identity = identify(context, request.headers(), guest)?;
            let room = Claim::new(&context.state.rooms, &room).map_err(|_| Answer::rooms_full())?;
            Purpose::Watch { room, rendition, resume, history, identity }
        }
        #[cfg(feature = "echo")]
        None => Purpose::Echo,
        #[cfg(not(feature = "echo"))]
        None => unreachable!("without the echo endpoint every target is a room"),
    };
    Ok(Agreed { purpose, encoding, protocol_asked, extension, accept })
}

/// Says who the client is, by its guest key and its bearer token.
pub(super) fn identify(context: &Context, headers: &HeaderMap, guest: Option<GuestKey>) -> Result<Identity, Answer> {
    let token = bearer::token(headers)
        .map_err(|unclear| Answer::new(StatusCode::BAD_REQUEST, "bad_request", unclear.to_string()))?
        .map(Token::new);
    let identified = context.state.auth.identify(&Credentials { guest, token });
    identified.map_err(Answer::unidentified)
}

impl Agreed {
    /// Whether messages may be compressed.
    pub(super) fn compressed(&self) -> bool {
        self.extension.is_some()
    }

    /// The 101, for hyper.
    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is printable");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if self.protocol_asked {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.encoding.subprotocol()));
        }
        if let Some(extension) = self.extension {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(extension));
        }
        response
    }

    /// The socket with everything that was agreed, the 101 unsent.
    pub(super) fn upgraded(self, stream: TcpStream, leftover: Bytes, peer: IpAddr, permit: Permit) -> Upgraded {
        let answer = self.bytes().into();
        let compressed = self.compressed();
        let Self { purpose, encoding, .. } = self;
        Upgraded { stream, answer, leftover, purpose, encoding, compressed, peer, permit }
    }

    /// The 101 as bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(384);
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ",
        );
        out.extend_from_slice(self.accept.as_bytes());
        if self.protocol_asked {
            out.extend_from_slice(b"\r\nsec-websocket-protocol: ");
            out.extend_from_slice(self.encoding.subprotocol().as_bytes());
        }
        if let Some(extension) = self.extension {
            out.extend_from_slice(b"\r\nsec-websocket-extensions: ");
            out.extend_from_slice(extension.as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
        out
    }
}

pub(super) fn bad_request(message: &'static str) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST, "bad_request", message).and_close()
}
