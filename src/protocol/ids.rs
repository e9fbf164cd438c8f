//! Names of things: rooms, users, sessions, epochs, offsets.

use crate::limits::{CLIENT_ID_BYTES_MAX, GUEST_KEY_BYTES, ROOM_ID_BYTES_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::sync::Arc;

/// An event's position in its room's log: strictly increasing, not necessarily contiguous, at most
/// [`crate::limits::OFFSET_MAX`]. 0 is "before the first event".
pub type Offset = u64;

/// A room's id: 1–64 characters of `[A-Za-z0-9_-]`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RoomId(Arc<str>);

/// The characters of a [`RoomId`], as people read it.
pub const ROOM_ID_ALPHABET: &str = "A-Z a-z 0-9 _ -";

/// Whether `text` could be a [`RoomId`]. The ids of users have the same shape.
pub fn is_room_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=ROOM_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Why a string is not a [`RoomId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room id is 1 to 64 characters of {ROOM_ID_ALPHABET}")]
pub struct BadRoomId;

impl RoomId {
    /// Checks and takes `text`.
    ///
    /// # Errors
    /// [`BadRoomId`] when it is empty, too long, or has another character.
    pub fn new(text: &str) -> Result<Self, BadRoomId> {
        if is_room_id(text) { Ok(Self(text.into())) } else { Err(BadRoomId) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// The id that a client gave its comment: 1–64 bytes of printable ASCII, unique within its author.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Checks and takes `text`; `None` when it is empty, longer than 64 bytes, or not printable ASCII.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=CLIENT_ID_BYTES_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        (fits && plain).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| de::Error::custom("an id is 1 to 64 bytes of printable ASCII"))
    }
}

/// A guest's own secret, drawn by its client: 16–64 characters of `[A-Za-z0-9_-]`. Who presents it again is the same
/// guest again. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestKey(Box<str>);

impl GuestKey {
    /// Checks and takes `text`; `None` when it is too short, too long, or has another character.
    pub fn new(text: &str) -> Option<Self> {
        let fits = GUEST_KEY_BYTES.contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        (fits && plain).then(|| Self(text.into()))
    }

    /// The secret: not for logs, nor for any answer.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GuestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestKey(REDACTED)")
    }
}

/// A 64-bit number that travels as 16 lower-case hex digits, so that every client reads it exactly.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hex64(pub u64);

/// Identity of one incarnation of a room's log; changes only if the log lost or forked its past.
pub type Epoch = Hex64;

pub type SessionId = Hex64;

/// Running checksum over a room's log up to an offset.
pub type Digest = Hex64;

impl Hex64 {
    /// Reads 1–16 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if plain { u64::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

impl fmt::Display for Hex64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Hex64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hex64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("expected up to 16 hex digits"))
    }
}
