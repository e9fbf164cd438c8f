//! Who is this? The seam where authentication comes in; until then everybody is a guest.
//!
//! Does not know: where a token came from, or what its bearer wants to do.

use crate::protocol::codes::ErrorCode;
use crate::protocol::ids::GuestKey;
use crate::protocol::message::ErrorMessage;
use crate::protocol::user::{Role, User};
use sha2::{Digest, Sha256};

/// What the server knows about the person behind a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As others see them.
    pub user: User,
}

/// Why nobody was identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A token was presented, and this server takes none.
    #[error("this server has no accounts yet; connect without a token to be a guest")]
    NotAvailable,
}

impl AuthError {
    /// The refusal as the client reads it.
    pub fn to_message(self) -> ErrorMessage {
        let code = match self {
            Self::NotAvailable => ErrorCode::NotAvailable,
        };
        ErrorMessage { id: None, code, message: self.to_string(), retry_after_ms: None }
    }
}

/// Tells who presents a token, or nothing. Shared by all threads; must not block.
pub trait Authenticator: Send + Sync {
    /// Identifies the bearer of `token`. Implementations never log or return it.
    ///
    /// # Errors
    /// [`AuthError`].
    fn authenticate(&self, token: Option<&str>) -> Result<Identity, AuthError>;

    /// The guest who holds `key`: the same for the same key, in every process; a new one without a key.
    fn guest(&self, key: Option<&GuestKey>) -> Identity;
}

/// Everybody is a guest, with the identity that follows from their key or a new random one per connection, and a name
/// that only the server chooses: nobody can call themselves "admin".
#[derive(Clone, Copy, Debug, Default)]
pub struct Guests;

impl Authenticator for Guests {
    fn authenticate(&self, token: Option<&str>) -> Result<Identity, AuthError> {
        match token {
            Some(_) => Err(AuthError::NotAvailable),
            None => Ok(self.guest(None)),
        }
    }

    fn guest(&self, key: Option<&GuestKey>) -> Identity {
        guest(key.map_or_else(rand::random, number))
    }
}

/// The number of a key's guest. Nobody gets from the number, which everybody sees, to the key.
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
        let [one, two] = [(); 2].map(|()| Guests.authenticate(None).unwrap().user);
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
        let error = Guests.authenticate(Some("CANARY-123")).unwrap_err();
        let message = error.to_message();
        assert_eq!(message.code, ErrorCode::NotAvailable);
        assert!(!message.message.contains("CANARY"));
    }
}
