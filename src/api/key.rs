//! Who may change something: whoever has the key, if one is configured; else whoever reaches the address, pages excepted.
//!
//! The key itself is not kept, only its hash, and hashes are compared whole: how long a refusal takes says nothing of the
//! key.

use super::posting::PostRefused;
use crate::bearer;
use axum::http::HeaderMap;
use axum::http::header::ORIGIN;
use sha2::{Digest, Sha256};

/// Why nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// There is no bearer key, or more than one.
    #[error("this address needs one header Authorization: Bearer with the key of admin_key")]
    Missing,
    /// It is another one.
    #[error("the key in Authorization is not the one of admin_key")]
    Wrong,
}

/// The configured key, as a hash.
pub struct Key(Option<[u8; 32]>);

impl Key {
    /// Remembers how to tell the key; `None`: there is none.
    pub fn new(key: Option<&str>) -> Self {
        Self(key.map(hash))
    }

    /// Lets a request through, or says why not.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), PostRefused> {
        let Some(expected) = &self.0 else {
            // A page that somebody on this machine looks at reaches what they reach; browsers say whose page it is.
            let is_a_page = headers.get_all(ORIGIN).iter().any(|origin| !origin.is_empty());
            return if is_a_page { Err(PostRefused::Origin) } else { Ok(()) };
        };
        let Ok(Some(key)) = bearer::token(headers) else { return Err(PostRefused::Key(KeyError::Missing)) };
        if is_equal(expected, &hash(key)) { Ok(()) } else { Err(PostRefused::Key(KeyError::Wrong)) }
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::new().chain_update("volley admin key\0").chain_update(key).finalize().into()
}

/// Looks at every byte, whatever the first ones say.
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
        let key = Key::new(Some("0123456789abcdef"));
        let check = |lines: &[(&'static str, &'static str)]| key.check(&headers(lines));
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef"] {
            assert_eq!(check(&[("authorization", right)]), Ok(()), "{right}");
            assert_eq!(check(&[("authorization", right), ("origin", "https://console.example")]), Ok(()));
        }
        let wrong = Err(PostRefused::Key(KeyError::Wrong));
        for other in ["Bearer 0123456789abcde", "Bearer 0123456789abcdeg", "Bearer 0123456789abcdef0"] {
            assert_eq!(check(&[("authorization", other)]), wrong, "{other}");
        }
        let missing = Err(PostRefused::Key(KeyError::Missing));
        assert_eq!(check(&[]), missing);
        for none in ["Basic 0123456789abcdef", "0123456789abcdef", "Bearer", "Bearer ", ""] {
            assert_eq!(check(&[("authorization", none)]), missing, "{none}");
        }
        let right = ("authorization", "Bearer 0123456789abcdef");
        assert_eq!(check(&[right, right]), missing, "two of them");
    }

    #[test]
    fn without_a_key_programs_are_let_in_and_pages_are_not() {
        let key = Key::new(None);
        assert_eq!(key.check(&headers(&[])), Ok(()));
        assert_eq!(key.check(&headers(&[("authorization", "Bearer whatever")])), Ok(()));
        assert_eq!(key.check(&headers(&[("origin", "null")])), Err(PostRefused::Origin));
    }
}
