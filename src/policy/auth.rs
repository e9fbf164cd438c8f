//! Who a client is: the seam where authentication comes in. Until then every client is a guest.
//!
//! Does not know: the header or message that a token came in, how a refusal travels, or what the client will do.

use crate::protocol::codes::Close;
use crate::protocol::ids::GuestKey;
use crate::protocol::user::{Role, User};
use sha2::{Digest, Sha256};
use std::fmt;

/// The credentials in a client's upgrade request.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The key of a guest that comes back.
    pub guest: Option<GuestKey>,
    /// The token of `Authorization: Bearer`.
    pub token: Option<Token>,
}

/// A bearer token as it came. Its `Debug` hides it.
#[derive(Clone)]
pub struct Token(Box<str>);

impl Token {
    /// Takes the token without checking it: that is the [`Authenticator`]'s part.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret: not for logs, nor for any answer.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(REDACTED)")
    }
}

/// The identified person behind a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As other clients see the person.
    pub user: User,
}

/// Why a client was not identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The client presented a token, and this server takes none.
    #[error("this server has no accounts yet; connect without a token to be a guest")]
    NotAvailable,
    /// The token is malformed, or no key of this server has signed it.
    #[error("the token is not valid here; log in again and connect with the new token")]
    BadToken,
    /// The token was valid once.
    #[error("the token's time is over; connect with a new one")]
    Expired,
    /// The token is valid, and its bearer may not connect.
    #[error("the bearer of this token may not connect")]
    Forbidden,
}

/// How an [`AuthError`] is answered, before and after the upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthAnswer {
    /// The HTTP status of the refused upgrade.
    pub status: u16,
    /// The code in the HTTP answer's JSON.
    pub code: &'static str,
    /// The close code of a connection that is already upgraded.
    pub close: Close,
}

impl AuthError {
    /// Every error, for documentation and tests.
    pub const ALL: &[Self] = &[Self::NotAvailable, Self::BadToken, Self::Expired, Self::Forbidden];

    /// The table of answers; `docs/protocol.md` has the same rows.
    pub const fn answer(self) -> AuthAnswer {
        let (status, code, close) = match self {
            Self::NotAvailable => (401, "not_available", Close::BadToken),
            Self::BadToken => (401, "bad_token", Close::BadToken),
            Self::Expired => (401, "token_expired", Close::TokenExpired),
            Self::Forbidden => (403, "forbidden", Close::Forbidden),
        };
        AuthAnswer { status, code, close }
    }
}

/// Tells who presents which credentials. All threads share it, and the thread that accepts connections waits for it: it must
/// not block.
pub trait Authenticator: Send + Sync {
    /// Identifies a client before its connection is agreed to. Implementations never log the token.
    ///
    /// # Errors
    /// [`AuthError`]: the client is refused with [`AuthError::answer`].
    fn identify(&self, credentials: &Credentials) -> Result<Identity, AuthError>;
}

/// Takes every client for a guest and no token. The identity follows from the guest key, or is drawn for this connection. The
/// server chooses the name, so no client can call itself "admin".
#[derive(Clone, Copy, Debug, Default)]
pub struct Guests;

impl Authenticator for Guests {
    fn identify(&self, credentials: &Credentials) -> Result<Identity, AuthError> {
        match credentials.token {
            Some(_) => Err(AuthError::NotAvailable),
            None => Ok(self.guest(credentials.guest.as_ref())),
        }
    }
}

impl Guests {
    /// The guest of `key`, the same for the same key in every process; without a key, a new guest.
    pub fn guest(self, key: Option<&GuestKey>) -> Identity {
        guest(key.map_or_else(rand::random, number))
    }
}

/// The number of a key's guest. The number is public; the hash keeps the key secret.
fn number(key: &GuestKey) -> u64 {
    let hash = Sha256::new().chain_update("volley guest\0").chain_update(key.secret()).finalize();
    u64::from_le_bytes(std::array::from_fn(|i| hash[i]))
}

/// The guest of a random number: id `g-` and 13 digits of base32 (64 bits: with a million guests the
/// chance that any two share one is 3 in 10^8), name `guest` and 4 digits of the same number.
fn guest(number: u64) -> Identity {
    let id = format!("g-{}", base32(number));
    let name = format!("guest {:04}", number % 10_000);
    Identity { user: User { id: id.into(), name: name.into(), role: Role::Guest } }
}

/// RFC 4648's alphabet in lower case; 13 digits of 5 bits hold 65 bits.
fn base32(number: u64) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    (0..13).rev().map(|place| char::from(DIGITS[(number >> (5 * place)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_get_distinct_ids_and_names_from_the_server_alone() {
        let [one, two] = [(); 2].map(|()| Guests.identify(&Credentials::default()).unwrap().user);
        assert_ne!(one.id, two.id);
        for user in [one, two] {
            let digits = user.id.strip_prefix("g-").expect("a guest's prefix");
            assert_eq!(digits.len(), 13);
            assert!(digits.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)), "{digits}");
            let number = user.name.strip_prefix("guest ").expect("a guest's name");
            assert!(number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()), "{number}");
            assert_eq!(user.role, Role::Guest);
        }
    }

    #[test]
    fn a_key_makes_the_same_guest_everywhere_and_is_not_shown() {
        let key = |text: &str| GuestKey::new(text).unwrap();
        let guest = |text: &str| Guests.guest(Some(&key(text))).user;
        assert_eq!(guest("0123456789abcdef").id.as_ref(), "g-bop3bmnwek2xv", "also in the next version");
        assert_eq!(guest("0123456789abcdef"), guest("0123456789abcdef"));
        assert_ne!(guest("0123456789abcdef").id, guest("0123456789abcdeg").id);
        assert_ne!(Guests.guest(None).user.id, Guests.guest(None).user.id);
        assert!(!format!("{:?}", key("0123456789abcdef")).contains("0123"));
        for bad in ["", "0123456789abcde", "0123456789abcde f", "0123456789abcdeé", &"x".repeat(65)] {
            assert!(GuestKey::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn different_numbers_never_share_an_id() {
        let numbers = [0, 1, 31, 32, u64::from(u32::MAX), 1 << 63, u64::MAX - 1, u64::MAX];
        let ids: std::collections::HashSet<_> = numbers.iter().map(|n| base32(*n)).collect();
        assert_eq!(ids.len(), numbers.len());
        assert_eq!(base32(0), "aaaaaaaaaaaaa");
        assert_eq!(base32(u64::MAX), "p777777777777");
    }

    #[test]
    fn a_token_is_answered_not_available_and_never_repeated() {
        let credentials = Credentials { guest: None, token: Some(Token::new("CANARY-123")) };
        assert!(!format!("{credentials:?}").contains("CANARY"));
        let error = Guests.identify(&credentials).unwrap_err();
        assert_eq!(error, AuthError::NotAvailable);
        assert!(!error.to_string().contains("CANARY"));
    }

    #[test]
    fn every_error_is_a_refusal_before_and_after_the_upgrade() {
        for error in AuthError::ALL {
            let AuthAnswer { status, close, .. } = error.answer();
            assert!(matches!(status, 401 | 403), "{error:?}");
            assert!((4_000..5_000).contains(&close.code()), "{error:?}");
        }
    }
}
