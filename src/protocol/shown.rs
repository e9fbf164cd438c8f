//! One event as a frame shows it.
//!
//! On the wire it is one map: the offset and the event under its kind's name, and for consoles what became of it. It is written
//! by hand: a derived `flatten` would buffer every event, in the hottest encoder that there is.

use super::event::{Comment, Style};
use super::ids::{ClientId, Offset};
use super::kind::{Announcement, Custom, Delete, Enter, Gift, Kind, Pin, Poll, PollClose, Unpin};
use super::settings::SettingsPatch;
use super::user::User;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;

/// One event of a frame.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "ReadEvent")]
pub struct FrameEvent {
    /// Position in the room's log; of a [`What::Raise`], the one of the comment that grows.
    pub offset: Offset,
    pub what: What,
    /// What became of it for viewers; only in the full rendition.
    pub outcome: Option<Outcome>,
    /// Into which comment it was folded; only with [`Outcome::Merged`].
    pub into: Option<Offset>,
}

/// What viewers see of an acknowledged comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the frame.
    Shown,
    /// It was folded into an equal one.
    Merged,
    /// It was left out of the frame and counted there.
    Shed,
}

/// What happened, under its name on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Somebody said something, or several people the same.
    Comment(ShownComment),
    /// An earlier comment stands for more now.
    Raise(Raise),
    /// Something that the show's owner made happen.
    Kind(Kind),
    /// Of a kind that this version does not know.
    Unknown,
}

/// A comment, and how many it stands for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "ReadComment")]
pub struct ShownComment {
    pub comment: Comment,
    /// How many equal comments it stands for, itself included.
    pub times: u64,
    /// Names of up to three others who said it.
    pub names: Vec<Arc<str>>,
}

/// An earlier comment stands for more now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    pub offset: Offset,
    pub by: u64,
    /// How many it stands for now, itself included.
    pub times: u64,
}

impl FrameEvent {
    /// A comment that stands for itself alone.
    pub fn comment(offset: Offset, comment: Comment) -> Self {
        Self::new(offset, What::Comment(ShownComment { comment, times: 1, names: Vec::new() }))
    }

    pub fn new(offset: Offset, what: What) -> Self {
        Self { offset, what, outcome: None, into: None }
    }

    /// The comment that it is, if it is one.
    pub fn as_comment(&self) -> Option<&ShownComment> {
        if let What::Comment(shown) = &self.what { Some(shown) } else { None }
    }
}

impl Serialize for FrameEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_offset = !matches!(self.what, What::Raise(_));
        let has_kind = !matches!(self.what, What::Unknown);
        let fields = [has_offset, has_kind, self.outcome.is_some(), self.into.is_some()];
        let count = fields.into_iter().map(usize::from).sum();
        let mut map = serializer.serialize_struct("FrameEvent", count)?;
        if has_offset {
            map.serialize_field("offset", &self.offset)?;
        }
        match &self.what {
            What::Comment(shown) => map.serialize_field("comment", &WriteComment::of(shown))?,
            What::Raise(raise) => map.serialize_field("raise", raise)?,
            What::Kind(kind) => match kind {
                Kind::Gift(gift) => map.serialize_field("gift", gift)?,
                Kind::Announcement(announcement) => map.serialize_field("announcement", announcement)?,
                Kind::Custom(custom) => map.serialize_field("custom", custom)?,
                Kind::Pin(pin) => map.serialize_field("pin", pin)?,
                Kind::Unpin(unpin) => map.serialize_field("unpin", unpin)?,
                Kind::Delete(delete) => map.serialize_field("delete", delete)?,
                Kind::Poll(poll) => map.serialize_field("poll", poll)?,
                Kind::PollClose(close) => map.serialize_field("poll_close", close)?,
                Kind::Enter(enter) => map.serialize_field("enter", enter)?,
                Kind::Settings(patch) => map.serialize_field("settings", patch)?,
            },
            What::Unknown => {}
        }
        if let Some(outcome) = &self.outcome {
            map.serialize_field("outcome", outcome)?;
        }
        if let Some(into) = &self.into {
            map.serialize_field("into", into)?;
        }
        map.end()
    }
}

/// An event as it is read.
#[derive(Deserialize)]
struct ReadEvent {
    offset: Option<Offset>,
    comment: Option<ShownComment>,
    raise: Option<Raise>,
    gift: Option<Gift>,
    announcement: Option<Announcement>,
    custom: Option<Custom>,
    pin: Option<Pin>,
    unpin: Option<Unpin>,
    delete: Option<Delete>,
    poll: Option<Poll>,
    poll_close: Option<PollClose>,
    enter: Option<Enter>,
    settings: Option<SettingsPatch>,
    outcome: Option<Outcome>,
    into: Option<Offset>,
}

impl From<ReadEvent> for FrameEvent {
    fn from(read: ReadEvent) -> Self {
        let kind = read
            .gift
            .map(Kind::Gift)
            .or(read.announcement.map(Kind::Announcement))
            .or(read.custom.map(Kind::Custom))
            .or(read.pin.map(Kind::Pin))
            .or(read.unpin.map(Kind::Unpin))
            .or(read.delete.map(Kind::Delete))
            .or(read.poll.map(Kind::Poll))
            .or(read.poll_close.map(Kind::PollClose))
            .or(read.enter.map(Kind::Enter))
            .or(read.settings.map(Kind::Settings));
        let raised = read.raise.map(|raise| raise.offset);
        let what = read.comment.map(What::Comment).or(read.raise.map(What::Raise)).or(kind.map(What::Kind));
        Self {
            offset: read.offset.or(raised).unwrap_or_default(),
            what: what.unwrap_or(What::Unknown),
            outcome: read.outcome,
            into: read.into,
        }
    }
}

/// A comment's fields in their order on the wire.
#[derive(Serialize)]
struct WriteComment<'a> {
    user: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a ClientId>,
    text: &'a str,
    #[serde(skip_serializing_if = "Style::is_default")]
    style: Style,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<&'a serde_json::Map<String, serde_json::Value>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    first: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(skip_serializing_if = "is_one")]
    times: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    names: &'a [Arc<str>],
}

impl<'a> WriteComment<'a> {
    fn of(shown: &'a ShownComment) -> Self {
        let ShownComment { comment, times, names } = shown;
        let Comment { user, id, text, style, media_ms, ext, first, deleted, posted: _, left: _ } = comment;
        Self {
            user,
            id: id.as_ref(),
            text,
            style: *style,
            media_ms: *media_ms,
            ext: ext.as_deref(),
            first: *first,
            deleted: *deleted,
            times: *times,
            names,
        }
    }
}

fn is_one(times: &u64) -> bool {
    *times == 1
}

/// The same as it is read.
#[derive(Deserialize)]
struct ReadComment {
    user: User,
    id: Option<ClientId>,
    text: Arc<str>,
    #[serde(default)]
    style: Style,
    media_ms: Option<u64>,
    ext: Option<Arc<serde_json::Map<String, serde_json::Value>>>,
    #[serde(default)]
    first: bool,
    #[serde(default)]
    deleted: bool,
    times: Option<u64>,
    #[serde(default)]
    names: Vec<Arc<str>>,
}

impl From<ReadComment> for ShownComment {
    fn from(read: ReadComment) -> Self {
        let ReadComment { user, id, text, style, media_ms, ext, first, deleted, times, names } = read;
        let comment = Comment { user, id, text, style, media_ms, ext, first, deleted, posted: None, left: None };
        Self { comment, times: times.unwrap_or(1), names }
    }
}
