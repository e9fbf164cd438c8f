//! From an upgrade request to a decision (RFC 6455, 4.2), strictly: a request that is unclear is refused.
//! Pure: no socket, no room, no clock.

use super::Settings;
use super::answer::Answer;
use super::extension;
use super::origin::Allowed;
use crate::limits::{HISTORY_MAX, OFFSET_MAX};
use crate::metrics::Refusal;
use crate::protocol::encode::{Encoding, Rendition};
use crate::protocol::ids::{Epoch, GuestKey, Offset, RoomId};
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version};
use std::borrow::Cow;
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
    /// What is answered to the offered extensions.
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
    if headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING) {
        return Err(
            bad_request("an upgrade request has no body: leave out Content-Length and Transfer-Encoding").and_close()
        );
    }
    let room = match target {
        Target::Room(name) => Some(
            RoomId::new(&percent_decode(name).unwrap_or_default())
                .map_err(|bad| Answer::new(StatusCode::BAD_REQUEST, "bad_room", bad.to_string()))?,
        ),
        #[cfg(feature = "echo")]
        Target::Echo => None,
    };
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

fn bad_request(message: &'static str) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST, "bad_request", message)
}

/// The header's value, if it is there exactly once. A value that is not ASCII counts as none.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
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
    if single(headers, &SEC_WEBSOCKET_VERSION) != Some("13") {
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

fn origin(headers: &HeaderMap, allowed: &Allowed) -> Result<(), Answer> {
    if !headers.contains_key(ORIGIN) {
        return Ok(()); // Not a browser: they always say it.
    }
    let host = single(headers, &HOST).unwrap_or_default();
    match single(headers, &ORIGIN) {
        Some(origin) if allowed.admits(origin, host) => Ok(()),
        _ => Err(Answer::new(
            StatusCode::FORBIDDEN,
            "forbidden_origin",
            "pages of this origin may not connect here; the operator can add it to admission.origins",
        )
        .counted_as(Refusal::Origin)),
    }
}

/// The client's first choice among those we know; `None` when it asked for none.
fn subprotocol(headers: &HeaderMap) -> Result<Option<Encoding>, Answer> {
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Ok(None);
    }
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let known = |asked: &str| [Encoding::Json, Encoding::Msgpack].into_iter().find(|e| e.subprotocol() == asked);
    match values.flat_map(|value| value.split(',')).find_map(|asked| known(asked.trim())) {
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
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut keys =
        values.flat_map(|value| value.split(',')).filter_map(|asked| asked.trim().strip_prefix(GUEST_PREFIX));
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

/// The parameters that we know. Unknown ones, `token` among them, are ignored and never repeated.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    rendition: Rendition,
    resume: Option<(Epoch, Offset)>,
    history: Option<usize>,
}

impl Query {
    fn parse(query: &str) -> Result<Self, Answer> {
        let (mut rendition, mut epoch, mut after, mut history) = (None, None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "rendition" => &mut rendition,
                "epoch" => &mut epoch,
                "after" => &mut after,
                "history" => &mut history,
                _ => continue,
            };
            let value = percent_decode(value).ok_or_else(|| bad_payload(format!("{name}: broken percent-encoding")))?;
            if slot.replace(value).is_some() {
                return Err(bad_payload(format!("{name} is there twice")));
            }
        }
        let rendition = rendition.map_or(Ok(Rendition::default()), |name| {
            let message = "rendition: this server offers viewer, lite and full";
            Rendition::of(&name).ok_or_else(|| Answer::new(StatusCode::BAD_REQUEST, "not_available", message))
        })?;
        let resume = match (epoch, after) {
            (None, None) => None,
            (Some(epoch), Some(after)) => Some((parse_epoch(&epoch)?, parse_after(&after)?)),
            (Some(_), None) => return Err(bad_payload("after is missing: epoch and after come together")),
            (None, Some(_)) => return Err(bad_payload("epoch is missing: epoch and after come together")),
        };
        Ok(Self { rendition, resume, history: history.map(|history| parse_history(&history)).transpose()? })
    }
}

fn parse_epoch(text: &str) -> Result<Epoch, Answer> {
    Epoch::parse(text).ok_or_else(|| bad_payload("epoch must be 1 to 16 hex digits, as the welcome said it"))
}

fn parse_after(text: &str) -> Result<Offset, Answer> {
    let digits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let offset = if digits { text.parse().ok().filter(|offset| *offset <= OFFSET_MAX) } else { None };
    offset.ok_or_else(|| bad_payload("after must be a whole number from 0 to 2^53 - 1"))
}

/// A whole number; more than anybody gets is as much as anybody gets.
fn parse_history(text: &str) -> Result<usize, Answer> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad_payload(format!("history must be a whole number from 0 to {HISTORY_MAX}")));
    }
    Ok(text.parse().map_or(HISTORY_MAX, |count: usize| count.min(HISTORY_MAX)))
}

fn bad_payload(message: impl Into<Cow<'static, str>>) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST, "bad_payload", message)
}

/// Decodes `%XX`; `None` when it is broken or not UTF-8.
fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let (high, low) = (digit(bytes.get(at + 1))?, digit(bytes.get(at + 2))?);
            out.push(u8::try_from(high * 16 + low).ok()?);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_position_is_whole_or_refused_by_name() {
        let resume = |query: &str| Query::parse(query).map(|query| query.resume);
        assert_eq!(resume("").unwrap(), None);
        assert_eq!(resume("epoch=9f3a&after=0").unwrap(), Some((Epoch::parse("9f3a").unwrap(), 0)));
        assert_eq!(resume("x=1&&after=9007199254740991&epoch=1&token=secret").unwrap().unwrap().1, OFFSET_MAX);
        for (query, name) in [
            ("epoch=1", "after"),
            ("after=1", "epoch"),
            ("epoch=xyz&after=1", "epoch"),
            ("epoch=&after=1", "epoch"),
            ("epoch=00000000000000001&after=1", "epoch"),
            ("epoch=1&after=-1", "after"),
            ("epoch=1&after=+1", "after"),
            ("epoch=1&after=1.5", "after"),
            ("epoch=1&after=9007199254740992", "after"),
            ("epoch=1&after=18446744073709551616", "after"),
            ("epoch=1&after=%zz", "after"),
            ("epoch=1&epoch=1&after=1", "epoch"),
        ] {
            let answer = resume(query).unwrap_err();
            assert_eq!(answer.code, "bad_payload", "{query}");
            assert!(answer.message.starts_with(name), "{query}: {}", answer.message);
        }
    }

    #[test]
    fn a_history_is_a_number_clamped_or_refused_by_name() {
        let history = |query: &str| Query::parse(query).map(|query| query.history);
        for (query, count) in [
            ("", None),
            ("history=0", Some(0)),
            ("history=7&x=1", Some(7)),
            ("history=200", Some(200)),
            ("history=201", Some(200)),
            ("history=1000000000", Some(200)),
            ("history=99999999999999999999999999", Some(200)),
        ] {
            assert_eq!(history(query).unwrap(), count, "{query}");
        }
        for query in
            ["history=-1", "history=", "history", "history=x", "history=1.5", "history=+1", "history=1&history=1"]
        {
            let answer = history(query).unwrap_err();
            assert_eq!(answer.code, "bad_payload", "{query}");
            assert!(answer.message.starts_with("history"), "{query}: {}", answer.message);
        }
    }

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
    fn renditions_that_are_not_there_are_not_available() {
        assert_eq!(Query::parse("").unwrap().rendition, Rendition::Viewer);
        for rendition in Rendition::ALL {
            let query = Query::parse(&format!("rendition={}&x=1", rendition.as_str())).unwrap();
            assert_eq!(query.rendition, rendition);
        }
        for query in ["rendition=audio", "rendition=", "rendition=VIEWER", "rendition=lite%20"] {
            assert_eq!(Query::parse(query).unwrap_err().code, "not_available", "{query}");
        }
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
