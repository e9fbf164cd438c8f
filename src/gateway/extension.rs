//! Negotiates `permessage-deflate` (RFC 7692), as far as a frame that is compressed once for all receivers can satisfy an
//! offer. Pure.
//!
//! Compressed bytes are shared, so each message is compressed independently (`server_no_context_takeover`) with the largest
//! window; an offer that asks for a smaller window is declined, and the client's next offer is considered. The server keeps
//! no inflater per connection, so the client's messages must be independent too (`client_no_context_takeover`); its window
//! may have any size.

use super::answer::Answer;
use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, StatusCode};
use std::borrow::Cow;

const NAME: &str = "permessage-deflate";

/// The server's window is zlib's largest, and cannot be smaller for one of many receivers.
const WINDOW_BITS: u8 = 15;

/// The answer to an offer…
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// …and to one that names the server's window, which the answer has to repeat (RFC 7692, 7.1.2.1).
const AGREED_WITH_WINDOW: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

/// The answer to the first offer that can be satisfied; `None` when there is none, or compression is off.
///
/// # Errors
/// The header is not a list of extensions: then the connection fails (RFC 6455, 9.1). An offer with wrong parameters is only
/// declined (RFC 7692, 7.1).
pub(super) fn agree(headers: &HeaderMap, enabled: bool) -> Result<Option<&'static str>, Answer> {
    let mut agreed = None;
    for line in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let mut line = Scan(line.as_bytes());
        loop {
            line.skip_space();
            if !line.0.is_empty() && line.0[0] != b',' {
                let answer = offer(&mut line).ok_or_else(malformed)?;
                agreed = agreed.or(answer.filter(|_| enabled));
            }
            if line.0.is_empty() {
                break;
            }
            if !line.takes(b',') {
                return Err(malformed());
            }
        }
    }
    Ok(agreed)
}

fn malformed() -> Answer {
    let message = "Sec-WebSocket-Extensions: give extensions with their parameters, as in RFC 6455, 9.1";
    Answer::new(StatusCode::BAD_REQUEST, "bad_extensions", message)
}

/// Reads one offer, and judges it. `None`: it cannot be read; `Some(None)`: it is declined.
fn offer(line: &mut Scan<'_>) -> Option<Option<&'static str>> {
    let is_ours = line.token()? == NAME.as_bytes();
    let (mut wanted, mut window) = (is_ours, false);
    let mut seen = [false; 4];
    while line.takes(b';') {
        let (name, value) = line.parameter()?;
        if !wanted {
            continue; // Only its form still matters.
        }
        let (place, is_fine) = match (name, value.as_deref()) {
            (b"server_no_context_takeover", None) => (0, true),
            (b"client_no_context_takeover", None) => (1, true),
            (b"server_max_window_bits", Some(bits)) => (2, window_bits(bits) == Some(WINDOW_BITS)),
            (b"client_max_window_bits", None) => (3, true),
            (b"client_max_window_bits", Some(bits)) => (3, window_bits(bits).is_some()),
            _ => (0, false),
        };
        wanted = is_fine && !std::mem::replace(&mut seen[place], true);
        window |= place == 2;
    }
    Some(wanted.then_some(if window { AGREED_WITH_WINDOW } else { AGREED }))
}

/// 8 to 15, without a leading zero.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// A parameter's name, and its value if it has one.
type Parameter<'a> = (&'a [u8], Option<Cow<'a, [u8]>>);

/// What is left of a header line.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// Whether `byte` comes next, perhaps between spaces; then it is taken.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_next = self.0.first() == Some(&byte);
        if is_next {
            self.0 = &self.0[1..];
            self.skip_space();
        }
        is_next
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let is_end = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
        let length = self.0.iter().position(is_end).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    fn parameter(&mut self) -> Option<Parameter<'a>> {
        let name = self.token()?;
        if !self.takes(b'=') {
            return Some((name, None));
        }
        let value = if self.0.first() == Some(&b'"') { self.quoted()?.into() } else { self.token()?.into() };
        Some((name, Some(value)))
    }

    /// A quoted string, which has to hold a token (RFC 6455, 9.1).
    fn quoted(&mut self) -> Option<Vec<u8>> {
        let (mut value, mut rest) = (Vec::new(), self.0.get(1..)?);
        loop {
            match rest {
                [b'"', after @ ..] => {
                    self.0 = after;
                    let is_token = Scan(&value).token().is_some_and(|token| token.len() == value.len());
                    return is_token.then_some(value);
                }
                [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                    value.push(*byte);
                    rest = after;
                }
                [] => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn asked(lines: &[&'static str], enabled: bool) -> Result<Option<&'static str>, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(line));
        }
        agree(&headers, enabled).map_err(|answer| answer.code)
    }

    #[test]
    fn an_offer_that_shared_frames_can_satisfy_is_agreed_to() {
        for (offer, answer) in [
            ("permessage-deflate", AGREED),
            // Chromium, Safari, Firefox, Node's ws, Python's websockets.
            ("permessage-deflate; client_max_window_bits", AGREED),
            ("permessage-deflate; server_max_window_bits=15; client_max_window_bits=15", AGREED_WITH_WINDOW),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", AGREED),
            ("permessage-deflate;client_max_window_bits=8;server_no_context_takeover", AGREED),
            ("permessage-deflate ; client_max_window_bits = \"9\"", AGREED),
            ("permessage-deflate; client_max_window_bits=\"1\\0\"", AGREED),
            ("permessage-deflate; server_max_window_bits=\"15\"", AGREED_WITH_WINDOW),
            ("x-webkit-deflate-frame; a=b; c, permessage-deflate", AGREED),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits", AGREED),
            ("permessage-deflate; server_max_window_bits=15, permessage-deflate", AGREED_WITH_WINDOW),
            (",, permessage-deflate ,,", AGREED),
        ] {
            assert_eq!(asked(&[offer], true), Ok(Some(answer)), "{offer}");
            assert_eq!(asked(&[offer], false), Ok(None), "{offer}");
            assert_eq!(asked(&["another; x=1", offer], true), Ok(Some(answer)), "{offer} in a second line");
        }
        assert!(AGREED_WITH_WINDOW.starts_with(AGREED) && AGREED_WITH_WINDOW.ends_with(&format!("={WINDOW_BITS}")));
    }

    #[test]
    fn an_offer_that_they_cannot_satisfy_or_that_is_wrong_is_declined() {
        assert_eq!(asked(&[], true), Ok(None));
        for offer in [
            "",
            "bbf-usp-protocol",
            "permessage-deflate; server_max_window_bits=14",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=015",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=15; client_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1; client_max_window_bits",
        ] {
            assert_eq!(asked(&[offer], true), Ok(None), "{offer}");
            // The offers behind it are considered too.
            assert_eq!(asked(&[offer, "permessage-deflate"], true), Ok(Some(AGREED)), "{offer}");
        }
    }

    #[test]
    fn what_is_no_list_of_extensions_is_refused() {
        for line in [
            ";",
            "=",
            "permessage-deflate;",
            "permessage-deflate; ;",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; client_max_window_bits=\"a b\"",
            "permessage-deflate; client_max_window_bits=\"1\\",
            "permessage-deflate; =10",
            "permessage/deflate",
            "permessage-deflate, (x)",
        ] {
            for enabled in [true, false] {
                assert_eq!(asked(&[line], enabled), Err("bad_extensions"), "{line}");
                assert_eq!(asked(&["permessage-deflate", line], enabled), Err("bad_extensions"), "{line}");
            }
        }
    }
}
