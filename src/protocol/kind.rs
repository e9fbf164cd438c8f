//! Events that the show's owner posts, and what each may hold.
//!
//! Ranges are checked where events come in (`policy`); the log and everything behind it trust them.

use super::ids::{ClientId, Hex64, Offset};
use super::settings::SettingsPatch;
use super::user::User;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An event from the show's owner, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Post {
    /// What makes a retry harmless, if the owner gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PostKey>,
    #[serde(flatten)]
    pub kind: Kind,
}

/// An idempotency key: the same key with the same content is the same event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostKey {
    pub id: ClientId,
    /// Hash of the content that came with it first.
    pub sum: Hex64,
}

/// What the show's owner can make happen, under its name on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Gift(Gift),
    Announcement(Announcement),
    /// The application's own: a product card, a coupon, an order's status…
    Custom(Custom),
    /// A notice that stays in sight until it is unpinned or another one is pinned.
    Pin(Pin),
    /// Nothing is pinned any more.
    Unpin(Unpin),
    /// A comment is gone: its text is neither shown nor kept any longer.
    Delete(Delete),
    /// A poll begins. There is at most one open poll; opening another closes it.
    Poll(Poll),
    PollClose(PollClose),
    Enter(Enter),
    Settings(SettingsPatch),
}

impl Kind {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gift(_) => "gift",
            Self::Announcement(_) => "announcement",
            Self::Custom(_) => "custom",
            Self::Pin(_) => "pin",
            Self::Unpin(_) => "unpin",
            Self::Delete(_) => "delete",
            Self::Poll(_) => "poll",
            Self::PollClose(_) => "poll_close",
            Self::Enter(_) => "enter",
            Self::Settings(_) => "settings",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gift {
    pub user: User,
    /// What it is called: 1–64 characters.
    pub name: Arc<str>,
    /// How many, 1 to 1,000,000.
    pub count: u64,
    /// What one is worth, in the application's smallest unit: 0 to 10^12.
    pub value: u64,
    /// Gifts of one user with the same combo are one running count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combo: Option<ClientId>,
    /// With a combo: the running count, this one included, of gifts with at most 60 s of log time between them. Set by the
    /// room when it goes to the log; absent in what the owner sends, and in logs of versions that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// How much an announcement insists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    #[default]
    Info,
    Urgent,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// 1–512 characters.
    pub text: Arc<str>,
    #[serde(default)]
    pub level: Level,
    /// Until when newcomers are shown it too: wall clock in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Custom {
    /// Whose and what, such as `shop.product`: 1–64 of `[a-z0-9_.-]`, with a dot.
    #[serde(rename = "type")]
    pub name: Arc<str>,
    /// What it says: at most 1 KiB of JSON.
    pub data: Arc<serde_json::Value>,
    /// The newest of its type is shown to newcomers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
}

/// A notice that stays in sight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// 1–512 characters.
    pub text: Arc<str>,
    /// Who said it, if it is a comment that is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
}

/// Nothing is pinned any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpin {}

/// A comment is gone, and with one that stood for several all that it stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    pub offset: Offset,
    /// What it stood for, rising. The room writes it when the deletion goes to the log; frames have it in the full rendition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Offset>,
    /// What stays of those of which it does not go without saying, by offset; only in the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<(Offset, Left)>,
}

/// What a room's choice needs of a comment whose text is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The comment that stood for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<Offset>,
    /// How many turns its text made it come earlier.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bonus: u16,
}

fn is_zero(bonus: &u16) -> bool {
    *bonus == 0
}

impl Delete {
    /// The deletion of one comment.
    pub fn new(offset: Offset) -> Self {
        Self { offset, also: Vec::new(), left: Vec::new() }
    }

    /// Every comment that it takes, with what stays of it.
    pub fn takes(&self) -> impl Iterator<Item = (Offset, Left)> {
        let known = |offset| self.left.binary_search_by_key(&offset, |(of, _)| *of).ok().map(|at| self.left[at].1);
        let first = known(self.offset).unwrap_or_default();
        // They say the same: so do their bonuses.
        let usual = Left { into: Some(self.offset), ..first };
        let also = self.also.iter().map(move |offset| (*offset, known(*offset).unwrap_or(usual)));
        std::iter::once((self.offset, first)).chain(also)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// The owner's name for it, new within the room.
    pub id: ClientId,
    /// 1–256 characters.
    pub question: Arc<str>,
    /// 2–10 answers of 1–64 characters.
    pub options: Vec<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollClose {
    pub id: ClientId,
}

/// Votes of one tick, as the log keeps them; frames show tallies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes {
    pub poll: ClientId,
    /// In order of arrival; only a user's first one counts.
    pub ballots: Vec<Ballot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    pub user: Arc<str>,
    /// For which option, from 0.
    pub option: u8,
}

/// A poll as it stands: absolute numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub id: ClientId,
    pub votes: Vec<u64>,
    /// Whether it still takes votes.
    pub open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enter {
    pub user: User,
}
