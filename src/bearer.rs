//! Reads `Authorization: Bearer` (RFC 6750, 2.1) the same way for every address.
//!
//! Another scheme is not a bearer token: a proxy in front may ask for `Basic` and pass it on.
//!
//! Does not know: what a token means, or which tokens are right.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The request has a bearer token that two readers could understand differently, or that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Authorization: Bearer must be the request's only Authorization header, followed by a token of printable ASCII"
)]
pub struct UnclearBearer;

/// The token of the request's `Authorization: Bearer`, without the spaces around it; `None` when the request has no such
/// header. The caller never logs or repeats it.
///
/// # Errors
/// [`UnclearBearer`] when a bearer token stands beside a second `Authorization`, is empty, or is not printable ASCII.
pub fn token(headers: &HeaderMap) -> Result<Option<&str>, UnclearBearer> {
    let lines = headers.get_all(AUTHORIZATION);
    let Some(token) = lines.iter().find_map(|line| after_scheme(line.as_bytes())) else { return Ok(None) };
    let is_only_one = lines.iter().nth(1).is_none();
    let token = token.trim_ascii();
    let is_plain = !token.is_empty() && token.iter().all(|byte| matches!(byte, b' '..=b'~'));
    match str::from_utf8(token) {
        Ok(token) if is_only_one && is_plain => Ok(Some(token)),
        _ => Err(UnclearBearer),
    }
}

/// What follows `Bearer` in the header's value; `None` for another scheme.
fn after_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("bearer".len())?;
    let ends = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    (ends && scheme.eq_ignore_ascii_case(b"bearer")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(values: &[&[u8]]) -> Result<Option<String>, UnclearBearer> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        token(&headers).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn a_token_is_read_whatever_the_case_and_the_spaces() {
        for value in ["Bearer a.b-c", "bearer  a.b-c", "BEARER\ta.b-c ", "Bearer a.b-c\t"] {
            assert_eq!(read(&[value.as_bytes()]), Ok(Some("a.b-c".to_owned())), "{value}");
        }
    }

    #[test]
    fn another_scheme_is_no_token_and_is_not_judged() {
        let none: [&[&[u8]]; 6] =
            [&[], &[b""], &[b"Basic dTpw"], &[b"Basic \xe4", b"Digest x"], &[b"Bearertoken"], &[b"xBearer a"]];
        for values in none {
            assert_eq!(read(values), Ok(None), "{values:?}");
        }
    }

    #[test]
    fn a_token_that_two_readers_could_understand_differently_is_unclear() {
        let unclear: [&[&[u8]]; 6] = [
            &[b"Bearer"],
            &[b"Bearer  "],
            &[b"Bearer \xe4"],
            &[b"Bearer a", b"Bearer a"],
            &[b"Basic dTpw", b"Bearer a"],
            &[b"Bearer a", b"Basic dTpw"],
        ];
        for values in unclear {
            assert_eq!(read(values), Err(UnclearBearer), "{values:?}");
        }
    }
}
