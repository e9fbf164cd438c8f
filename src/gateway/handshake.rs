//! From an upgrade request to a decision (RFC 6455, 4.2), strictly: a request that is unclear is refused.
//! Pure: no socket, no room, no clock.

use super::Settings;
use super::answer::Answer;
use super::extension;
use super::parameters::{Query, percent_decode};
use crate::metrics::Refusal;
use crate::origin::Origins;
use crate::protocol::ids::{Epoch, GuestKey, Offset, RoomId};
use crate::protocol::variant::{Encoding, Rendition};
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const KNOWN_PROTOCOLS: &str = "volley.v1.json, volley.v1.msgpack";

/// Begins the subprotocol that carries a guest's key: browsers can set no other header, and addresses end up in logs.
const GUEST_PREFIX: &str = "volley.guest.";

/// What an upgrade request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// A room, by the name in the path, not yet checked.
    Room(&'a str),
    /// The echo endpoint.
    #[cfg(feature = "echo")]
    Echo,
}

/// A proper upgrade request.
#[derive(Debug, PartialEq)]
pub(super) struct Handshake {
    /// The room; `None` for the echo endpoint.
    pub(super) room: Option<RoomId>,
    pub(super) encoding: Encoding,
    /// Whether the client asked for a subprotocol, so that the answer names it.
    pub(super) protocol_asked: bool,
    /// The accepted extension.
    pub(super) extension: Option<&'static str>,
    /// The value of `Sec-WebSocket-Accept`.
    pub(super) accept: String,
    pub(super) rendition: Rendition,
    pub(super) resume: Option<(Epoch, Offset)>,
    pub(super) history: Option<usize>,
    pub(super) guest: Option<GuestKey>,
}

/// Whether `path` is an upgrade endpoint; everything else is the pages' business.
pub(super) fn target(path: &str) -> Option<Target<'_>> {
    #[cfg(feature = "echo")]
    if path == "/v1/echo" {
        return Some(Target::Echo);
    }
    let room = path.strip_prefix("/v1/rooms/")?.strip_suffix("/ws")?;
    (!room.contains('/')).then_some(Target::Room(room))
}

/// Checks everything that the request alone can tell.
pub(super) fn check<B>(request: &Request<B>, target: &Target<'_>, settings: &Settings) -> Result<Handshake, Answer> {
    let headers = request.headers();
    if request.method() != Method::GET {
        let only_get = Answer::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "a WebSocket begins with GET");
        return Err(only_get.with(ALLOW, "GET").and_close());
    }
    if request.version() != Version::HTTP_11 {
        return Err(bad_request("a WebSocket upgrade needs HTTP/1.1").and_close());
    }
    // Some proxies add a length of 0 to every request: that is no body either.
    let is_empty = !headers.contains_key(CONTENT_LENGTH) || single(headers, &CONTENT_LENGTH) == Some("0");
    if !is_empty || headers.contains_key(TRANSFER_ENCODING) {
        return Err(
            bad_request("an upgrade request has no body: leave out Content-Length and Transfer-Encoding").and_close()
        );
    }
    legible(headers)?;
    let room = room(target)?;
    let accept = websocket(headers)?;
    origin(headers, &settings.origins)?;
    let encoding = subprotocol(headers)?;
    let guest = guest(headers)?;
    let extension = extension::agree(headers, settings.compression)?;
    let query = Query::parse(request.uri().query().unwrap_or_default())?;
    Ok(Handshake {
        room,
        encoding: encoding.unwrap_or_default(),
        protocol_asked: encoding.is_some(),
        extension,
        accept,
        rendition: query.rendition,
        resume: query.resume,
        history: query.history,
        guest,
    })
}

/// The room that the path names; `None` for the echo endpoint.
pub(super) fn room(target: &Target<'_>) -> Result<Option<RoomId>, Answer> {
    match target {
        Target::Room(name) => RoomId::new(&percent_decode(name).unwrap_or_default())
            .map(Some)
            .map_err(|bad| Answer::new(StatusCode::BAD_REQUEST, "bad_room", bad.to_string())),
        #[cfg(feature = "echo")]
        Target::Echo => Ok(None),
    }
}

/// The headers that an upgrade is read from, except for `Origin`, which is compared as it is. An unreadable element could
/// hide one that counts.
const READ: [HeaderName; 6] =
    [CONNECTION, UPGRADE, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS];

fn legible(headers: &HeaderMap) -> Result<(), Answer> {
    for name in READ {
        if headers.get_all(&name).iter().any(|value| value.to_str().is_err()) {
            let message = format!("{name} holds bytes that are not printable ASCII");
            return Err(Answer::new(StatusCode::BAD_REQUEST, "bad_request", message));
        }
    }
    Ok(())
}

fn bad_request(message: &'static str) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST, "bad_request", message)
}

/// The header's value, if it is there exactly once. A value that is not ASCII counts as none.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The elements of a list, over all its lines. Empty ones are none (RFC 9110, 5.6.1.2): clients without a choice and
/// proxies that join lines send them.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|element| element.trim_matches([' ', '\t'])).filter(|e| !e.is_empty())
}

pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}

/// The fields of RFC 6455 itself; returns the answer to the key.
fn websocket(headers: &HeaderMap) -> Result<String, Answer> {
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Answer::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this address speaks WebSocket: send Connection: Upgrade and Upgrade: websocket",
        )
        .with(UPGRADE, "websocket"));
    }
    // One version, however often it is said; of several, a proxy may have seen a different one.
    let mut versions = elements(headers, &SEC_WEBSOCKET_VERSION).peekable();
    if versions.peek().is_none() || versions.any(|version| version != "13") {
        return Err(Answer::new(
            StatusCode::UPGRADE_REQUIRED,
            "bad_version",
            "only WebSocket version 13 is spoken here",
        )
        .with(SEC_WEBSOCKET_VERSION, "13"));
    }
    match single(headers, &SEC_WEBSOCKET_KEY) {
        Some(key) if is_key(key) => Ok(derive_accept_key(key.as_bytes())),
        _ => Err(Answer::new(
            StatusCode::BAD_REQUEST,
            "bad_key",
            "Sec-WebSocket-Key must be there once: 16 random bytes in base64",
        )),
    }
}

/// 16 bytes in base64 are 22 digits and two signs of padding.
fn is_key(key: &str) -> bool {
    let digit = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(digit)
}

pub(super) fn origin(headers: &HeaderMap, allowed: &Origins) -> Result<(), Answer> {
    // Not a browser: they always name one.
    if headers.get_all(ORIGIN).iter().all(HeaderValue::is_empty) {
        return Ok(());
    }
    match single(headers, &ORIGIN) {
        Some(origin) if allowed.admits(origin, host(headers)) => Ok(()),
        _ => Err(forbidden_origin()),
    }
}

/// The host that the client requested, unless a proxy changed it.
pub(super) fn host(headers: &HeaderMap) -> &str {
    single(headers, &HOST).unwrap_or_default()
}

pub(super) fn forbidden_origin() -> Answer {
    let message = "pages of this origin may not connect here: a proxy in front must pass the Host header on \
                   unchanged, or the operator adds the origin to admission.origins";
    Answer::new(StatusCode::FORBIDDEN, "forbidden_origin", message).counted_as(Refusal::Origin)
}

/// The client's first choice among those we know; `None` when it asked for none.
fn subprotocol(headers: &HeaderMap) -> Result<Option<Encoding>, Answer> {
    let mut asked = elements(headers, &SEC_WEBSOCKET_PROTOCOL).peekable();
    if asked.peek().is_none() {
        return Ok(None);
    }
    let known = |asked: &str| [Encoding::Json, Encoding::Msgpack].into_iter().find(|e| e.subprotocol() == asked);
    match asked.find_map(known) {
        Some(encoding) => Ok(Some(encoding)),
        None => Err(Answer::new(
            StatusCode::BAD_REQUEST,
            "unknown_subprotocol",
            format!("none of the asked subprotocols is spoken here; known: {KNOWN_PROTOCOLS}"),
        )),
    }
}

/// The guest's key, if the client brought one.
fn guest(headers: &HeaderMap) -> Result<Option<GuestKey>, Answer> {
    let mut keys = elements(headers, &SEC_WEBSOCKET_PROTOCOL).filter_map(|asked| asked.strip_prefix(GUEST_PREFIX));
    let Some(key) = keys.next() else { return Ok(None) };
    match GuestKey::new(key).filter(|_| keys.next().is_none()) {
        Some(key) => Ok(Some(key)),
        None => Err(Answer::new(
            StatusCode::BAD_REQUEST,
            "bad_guest_key",
            "volley.guest. is there once, followed by 16 to 64 characters of A-Z a-z 0-9 _ -",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_key_is_taken_beside_the_subprotocol_or_refused() {
        let asked = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(line));
            }
            (subprotocol(&headers).map_err(|answer| answer.code), guest(&headers).map_err(|answer| answer.code))
        };
        let key = GuestKey::new("0123456789abcdef");
        let both = Ok(Some(Encoding::Json));
        assert_eq!(asked(&["volley.v1.json"]), (both, Ok(None)));
        assert_eq!(asked(&["volley.v1.json, volley.guest.0123456789abcdef"]), (both, Ok(key.clone())));
        assert_eq!(asked(&["volley.guest.0123456789abcdef", "volley.v1.json"]), (both, Ok(key)));
        for bad in ["volley.guest.", "volley.guest.short", "volley.guest.0123456789abcde!"] {
            assert_eq!(asked(&["volley.v1.json", bad]), (both, Err("bad_guest_key")), "{bad}");
        }
        let two = ["volley.v1.json, volley.guest.0123456789abcdef, volley.guest.0123456789abcdef"];
        assert_eq!(asked(&two), (both, Err("bad_guest_key")));
        assert_eq!(asked(&["volley.guest.0123456789abcdef"]).0, Err("unknown_subprotocol"), "it is none by itself");
    }

    #[test]
    fn only_the_upgrade_endpoint_is_ours() {
        assert_eq!(target("/v1/rooms/demo/ws"), Some(Target::Room("demo")));
        assert_eq!(target("/v1/rooms//ws"), Some(Target::Room("")));
        for path in ["/", "/v1/rooms", "/v1/rooms/demo", "/v1/rooms/a/b/ws", "/v1/rooms/demo/ws/", "/v1/rooms/ws"] {
            assert_eq!(target(path), None, "{path}");
        }
    }

    #[test]
    fn a_key_is_sixteen_bytes_of_base64() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=a",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhl IHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQdGhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert!(!is_key(key), "{key}");
        }
    }
}
