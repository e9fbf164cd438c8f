//! Which variants of a room's messages exist: rendition × encoding × compression × framing.
//!
//! Does not know: how bytes are made ([`super::encode`], [`super::websocket`]), or which variants are in use.

use serde::{Deserialize, Serialize};

/// How a message is written as a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Text frames; subprotocol `volley.v1.json`; the default.
    #[default]
    Json,
    /// Binary frames; subprotocol `volley.v1.msgpack`.
    Msgpack,
}

impl Encoding {
    /// Dense number: 0 or 1.
    pub const fn index(self) -> usize {
        match self {
            Self::Json => 0,
            Self::Msgpack => 1,
        }
    }

    /// The WebSocket subprotocol that asks for this encoding.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "volley.v1.json",
            Self::Msgpack => "volley.v1.msgpack",
        }
    }
}

/// How much of a room a subscriber gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rendition {
    /// Equal comments merged, and a selection within the room's budget.
    #[default]
    Viewer,
    /// For slow connections: guaranteed events, the comments that stand for most others, counters.
    Lite,
    /// For consoles: every event, each with its outcome for viewers.
    Full,
}

impl Rendition {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Lite, Self::Full];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Lite => "lite",
            Self::Full => "full",
        }
    }

    /// Whether it is the default, which the welcome leaves out.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub fn is_viewer(&self) -> bool {
        *self == Self::Viewer
    }

    /// Dense number, `0..3`: its place in [`Rendition::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Viewer => 0,
            Self::Lite => 1,
            Self::Full => 2,
        }
    }

    /// The rendition with this name on the wire.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rendition| rendition.as_str() == name)
    }
}

/// How the bytes of one message are told from those of the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// One message per WebSocket message ([`super::websocket`]).
    #[default]
    WebSocket,
}

impl Framing {
    pub const ALL: [Self; 1] = [Self::WebSocket];

    /// Dense number: its place in [`Framing::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::WebSocket => 0,
        }
    }
}

/// The form in which a subscriber gets its messages. A frame is encoded at most once per variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    pub rendition: Rendition,
    pub encoding: Encoding,
    /// Whether messages may be compressed (`permessage-deflate`). Messages that do not shrink are sent uncompressed.
    pub compressed: bool,
    pub framing: Framing,
}

/// Variants of one framing: three renditions, two encodings, compressed or not.
const PER_FRAMING: usize = 12;

/// The number of variants, which is the size of the arrays that frames and rooms keep per variant.
pub const VARIANTS: usize = PER_FRAMING * Framing::ALL.len();

impl Variant {
    /// All variants, in the order of [`Variant::index`].
    pub const ALL: [Self; VARIANTS] = {
        let mut all = [Self::new(Encoding::Json, false); VARIANTS];
        let mut index = 0;
        while index < VARIANTS {
            all[index] = Self {
                rendition: Rendition::ALL[index % PER_FRAMING / 4],
                encoding: if index % 2 == 0 { Encoding::Json } else { Encoding::Msgpack },
                compressed: index % 4 > 1,
                framing: Framing::ALL[index / PER_FRAMING],
            };
            index += 1;
        }
        all
    };

    /// The `viewer` rendition over a WebSocket.
    pub const fn new(encoding: Encoding, compressed: bool) -> Self {
        Self { rendition: Rendition::Viewer, encoding, compressed, framing: Framing::WebSocket }
    }

    /// The same variant with a different rendition.
    pub const fn with(self, rendition: Rendition) -> Self {
        Self { rendition, ..self }
    }

    /// Dense number, `0..VARIANTS`.
    pub const fn index(self) -> usize {
        let within = self.rendition.index() * 4 + self.encoding.index() + if self.compressed { 2 } else { 0 };
        self.framing.index() * PER_FRAMING + within
    }
}

impl From<Encoding> for Variant {
    /// The `viewer` rendition over a WebSocket, not compressed.
    fn from(encoding: Encoding) -> Self {
        Self::new(encoding, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variants_number_is_its_place() {
        for (place, variant) in Variant::ALL.into_iter().enumerate() {
            assert_eq!(variant.index(), place);
        }
        assert_eq!(Variant::default(), Variant::ALL[0]);
        assert_eq!(size_of::<Variant>(), 3, "a framing costs a slot nothing while there is one");
    }
}
