//! The key of the admin address. If one is configured, a request has to bring it; otherwise every request is let
//! through, except for those of web pages.
//!
//! Only the key's hash is kept, and hashes are compared whole, so the time of a refusal says nothing about the key.

use crate::bearer;
use axum::http::HeaderMap;
use axum::http::header::ORIGIN;
use sha2::{Digest, Sha256};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// The request has no bearer key, or more than one.
    #[error("this address needs one header Authorization: Bearer with the key of admin_key")]
    Missing,
    #[error("the key in Authorization is not the one of admin_key")]
    Wrong,
    /// A page of another origin asks, and there is no key.
    #[error("requests from web pages need a key: set admin_key and send Authorization: Bearer")]
    Page,
}

/// The configured key, as a hash.
pub struct AdminKey(Option<[u8; 32]>);

impl AdminKey {
    /// Keeps the key's hash; `None` when no key is configured.
    pub fn new(key: Option<&str>) -> Self {
        Self(key.map(hash))
    }

    /// Lets a request through, or says why not.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), KeyError> {
        let Some(expected) = &self.0 else {
            // A page in a browser on this machine can reach the address too; the browser names the page's origin.
            let is_a_page = headers.get_all(ORIGIN).iter().any(|origin| !origin.is_empty());
            return if is_a_page { Err(KeyError::Page) } else { Ok(()) };
        };
        let Ok(Some(key)) = bearer::token(headers) else { return Err(KeyError::Missing) };
        if is_equal(expected, &hash(key)) { Ok(()) } else { Err(KeyError::Wrong) }
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::new().chain_update("volley admin key\0").chain_update(key).finalize().into()
}

/// Compares every byte, so that the time does not depend on the first difference.
fn is_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differing = a.iter().zip(b).fold(0, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_the_whole_key_opens() {
        let key = AdminKey::new(Some("0123456789abcdef"));
        let check = |lines: &[(&'static str, &'static str)]| key.check(&headers(lines));
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef"] {
            assert_eq!(check(&[("authorization", right)]), Ok(()), "{right}");
            assert_eq!(check(&[("authorization", right), ("origin", "https://console.example")]), Ok(()));
        }
        let wrong = Err(KeyError::Wrong);
        for other in ["Bearer 0123456789abcde", "Bearer 0123456789abcdeg", "Bearer 0123456789abcdef0"] {
            assert_eq!(check(&[("authorization", other)]), wrong, "{other}");
        }
        let missing = Err(KeyError::Missing);
        assert_eq!(check(&[]), missing);
        for none in ["Basic 0123456789abcdef", "0123456789abcdef", "Bearer", "Bearer ", ""] {
            assert_eq!(check(&[("authorization", none)]), missing, "{none}");
        }
        let right = ("authorization", "Bearer 0123456789abcdef");
        assert_eq!(check(&[right, right]), missing, "two of them");
    }

    #[test]
    fn without_a_key_programs_are_let_in_and_pages_are_not() {
        let key = AdminKey::new(None);
        assert_eq!(key.check(&headers(&[])), Ok(()));
        assert_eq!(key.check(&headers(&[("authorization", "Bearer whatever")])), Ok(()));
        assert_eq!(key.check(&headers(&[("origin", "null")])), Err(KeyError::Page));
    }
}
