//! Events: what happened in a room. The log stores them, frames carry them.

use super::ids::{ClientId, Hex64};
use super::kind::{Left, Post, Votes};
use super::user::User;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a comment moves over the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Scroll,
    Top,
    Bottom,
    Reverse,
}

/// A comment's looks. Fields at their default are left out on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Style {
    #[serde(skip_serializing_if = "is_scroll")]
    pub mode: Mode,
    /// 0xRRGGBB, at most [`Style::COLOR_MAX`].
    #[serde(skip_serializing_if = "is_white")]
    pub color: u32,
    /// Font size in the recordings' unit: 25 is normal, 18 small, 36 large.
    #[serde(skip_serializing_if = "is_normal_size")]
    pub size: u8,
}

impl Style {
    pub const COLOR_MAX: u32 = 0xff_ffff;
    pub const SIZES: std::ops::RangeInclusive<u8> = 12..=64;

    /// Whether nothing differs from the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Style {
    fn default() -> Self {
        Self { mode: Mode::Scroll, color: Self::COLOR_MAX, size: 25 }
    }
}

fn is_scroll(mode: &Mode) -> bool {
    *mode == Mode::Scroll
}
fn is_white(color: &u32) -> bool {
    *color == Style::COLOR_MAX
}
fn is_normal_size(size: &u8) -> bool {
    *size == 25
}

/// A comment, admitted and normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comment {
    pub user: User,
    /// The author's own id for it, if they gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId>,
    /// Normalised text (`policy::text`), 1–512 characters.
    pub text: Arc<str>,
    #[serde(default, skip_serializing_if = "Style::is_default")]
    pub style: Style,
    /// Position in the show's media, in milliseconds, if the player knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_ms: Option<u64>,
    /// The application's own fields: an object of at most 512 bytes of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Arc<serde_json::Map<String, serde_json::Value>>>,
    /// The author's first one here, as far as the room remembers. The room says so when the comment goes to the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// A moderator took it away: its text and fields are gone from the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// The show's owner posted it with an idempotency key, which is `id`: the hash of what came with the key. In the log
    /// alone: viewers and readers of the history are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<Hex64>,
    /// What stays of a deleted one for those who choose again what was shown; only in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Box<Left>>,
}

impl Comment {
    /// What `user` says, without anything else.
    pub fn new(user: User, text: impl Into<Arc<str>>) -> Self {
        Self {
            user,
            id: None,
            text: text.into(),
            style: Style::default(),
            media_ms: None,
            ext: None,
            first: false,
            deleted: false,
            posted: None,
            left: None,
        }
    }
}

/// One thing that happened in a room, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Comment(Comment),
    /// Likes of one tick, folded into one event; frames show only the running total.
    Likes {
        add: u64,
    },
    /// Votes of one tick; frames show only tallies.
    Votes(Votes),
    /// Something that the show's owner made happen.
    Post(Box<Post>),
}
