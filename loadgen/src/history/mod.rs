//! What clients, an auditor and a fault driver saw and did, as JSON lines: the input of [`check`](crate::check).
//!
//! One event a line, in either form:
//!
//! ```text
//! {"t":1200,"send":{"author":"a1","id":"c1","room":"demo","hash":"9f3a"}}
//! {"t":1200,"event":"send","author":"a1","id":"c1","room":"demo","hash":"9f3a"}      ("type" does as well)
//! ```
//!
//! `t` is nanoseconds of one host's monotonic clock. The lines of one client stand in the order in which it saw
//! them, and a `send` before its answer; lines of different clients may interleave as they like. Names, ids, epochs,
//! digests and hashes are strings or numbers, compared as text. Fields that are not known are skipped; events
//! that are not known are skipped and counted. [`Event`] is the list of all events; `docs/history.md` shows one line of each.
//!
//! Does not know: what is right or wrong in a history, sockets, the server.

mod fields;
mod read;
mod write;

pub use read::{Broken, HistoryLine, LINE_BYTES_MAX, Reader};
pub use write::Writer;

use serde::{Serialize, Serializer, ser::SerializeSeq};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A name, id, epoch, digest or hash.
pub type Text<'a> = Cow<'a, str>;

/// A comment; what an item is if it does not say its kind.
pub const COMMENT: &str = "comment";

/// One event of a log as somebody saw it: `[offset, author, id, hash, times]`, then its kind if it is no comment,
/// then its lane if that is not `normal`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item<'a> {
    /// Where it is in the log.
    pub offset: u64,
    pub author: Option<Text<'a>>,
    /// The client's id for it; none when the comment had none.
    pub id: Option<Text<'a>>,
    /// Hash of the normalised text; none when the text was deleted.
    pub hash: Option<Text<'a>>,
    /// How many equal comments it stands for, itself included.
    pub times: u64,
    /// `comment` when none.
    pub kind: Option<Text<'a>>,
    /// `guaranteed`, `normal` or `low`; none: normal, or the observer does not know.
    pub lane: Option<Text<'a>>,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let fields = if self.lane.is_some() { 7 } else { 5 + usize::from(self.kind.is_some()) };
        let mut seq = s.serialize_seq(Some(fields))?;
        seq.serialize_element(&self.offset)?;
        seq.serialize_element(&self.author)?;
        seq.serialize_element(&self.id)?;
        seq.serialize_element(&self.hash)?;
        seq.serialize_element(&self.times)?;
        if fields > 5 {
            seq.serialize_element(self.kind.as_deref().unwrap_or(COMMENT))?;
        }
        if fields > 6 {
            seq.serialize_element(&self.lane)?;
        }
        seq.end()
    }
}

/// Which client it was. `client` names the lifetime across reconnects; without it, `session` does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Who<'a> {
    /// The same over all of a client's connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Text<'a>>,
    /// One connection, as the welcome named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Text<'a>>,
}

/// Which attempt to say something is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answered<'a> {
    pub author: Text<'a>,
    /// The client's id for it.
    pub id: Text<'a>,
    /// The room; needed only if the author uses the id in several rooms at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// The attempt's number, as in the `send`; without it the oldest unanswered one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
}

/// `send`: a comment left the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent<'a> {
    /// Who sent it, and over which connection.
    #[serde(flatten)]
    pub who: Who<'a>,
    /// Who says it.
    pub author: Text<'a>,
    /// The client's id for it; without one there is no answer.
    pub id: Option<Text<'a>>,
    pub room: Text<'a>,
    /// Hash of the normalised text.
    pub hash: Text<'a>,
    /// The attempt's number, for answers that name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// It repeats an id.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
}

/// `ok`: it is in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept<'a> {
    /// Which attempt.
    #[serde(flatten)]
    pub answered: Answered<'a>,
    /// The log's incarnation.
    pub epoch: Text<'a>,
    pub offset: u64,
    /// What viewers see of it: `shown`, `merged` or `shed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Text<'a>>,
    /// With `merged`: into what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<u64>,
}

/// `fail`: it is surely not in the log by this attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refused<'a> {
    /// Which attempt.
    #[serde(flatten)]
    pub answered: Answered<'a>,
    pub code: Text<'a>,
}

/// `unknown`: the connection ended before the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unsure<'a> {
    /// Which attempt.
    #[serde(flatten)]
    pub answered: Answered<'a>,
}

/// `welcome`: a connection begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Welcome<'a> {
    /// Who was welcomed.
    #[serde(flatten)]
    pub who: Who<'a>,
    pub room: Text<'a>,
    /// The log's incarnation.
    pub epoch: Text<'a>,
    /// The room's newest position.
    pub last: u64,
    /// Everything after the asked position follows.
    pub recovered: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// The position that the client asked for, if nothing before tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// When the client asked; `t` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// The snapshot: shown, but not delivered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item<'a>>,
}

/// `frame`: a stretch of the log was delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Frame<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// The position that it continues.
    pub prev: u64,
    /// The position after it.
    pub last: u64,
    /// Checksum over the log up to `last`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// What was delivered.
    pub items: Vec<Item<'a>>,
    /// `[offset, by]`: comments folded into an item that an earlier frame showed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raises: Vec<(u64, u64)>,
    /// Left out on purpose: comments under a lane's name (`normal`, `low`), other events under their kind's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shed: BTreeMap<Text<'a>, u64>,
}

/// `gap`: a stretch that the client was told it would not get.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gap<'a> {
    /// Who was told.
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// The position before it.
    pub from: u64,
    /// The position after it.
    pub to: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
}

/// `rendition`: from here on the client is sent more or less of the room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rendition<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// `viewer`, `lite` or `full`.
    pub now: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
}

/// `close`: a connection ended, by either side. 1000, 1001 and 4500–4999: the client does not come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Closed<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// The close code; 1006 when there was none.
    pub code: u64,
}

/// `live` (the client has caught up), `attempt` (it tries to connect), `expired` and `revoked` (its token ended).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moment<'a> {
    /// Whose moment.
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
}

/// `page`: one answer of the history API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page<'a> {
    /// Who answered.
    pub node: Text<'a>,
    pub room: Text<'a>,
    /// The log's incarnation; the room's newest one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Text<'a>>,
    /// The asked position.
    pub after: u64,
    /// When it was asked; `t` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// Every event after it, up to the last one here.
    pub items: Vec<Item<'a>>,
}

/// `deleted`: a deletion was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deleted<'a> {
    pub room: Text<'a>,
    /// The log's incarnation; every one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Text<'a>>,
    /// What was deleted.
    pub offset: u64,
}

/// `like_ok` (surely counted) and `like_unknown` (perhaps counted).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Liked<'a> {
    pub room: Text<'a>,
    /// How many likes.
    pub n: u64,
}

/// `likes`: a total was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total<'a> {
    /// Who saw it.
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// Likes in all.
    pub total: u64,
}

/// `fault`: something is broken on purpose from here on, or is whole again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fault<'a> {
    /// What kind; see [`check`](crate::check) for those that excuse something.
    pub kind: Text<'a>,
    /// Of what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Text<'a>>,
    /// It begins (true) or ends. In the file also `"off":true` and `"state":"on"|"off"`.
    pub on: bool,
    /// The log's durability while a `power_loss` happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Text<'a>>,
}

/// `audit`: a node's whole log of a room, read at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit<'a> {
    /// Whose log.
    pub node: Text<'a>,
    pub room: Text<'a>,
    /// The log's incarnation.
    pub epoch: Text<'a>,
    /// The first retained offset; everything before it is excused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// The newest position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Checksum over the log up to `last`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// The next `audit` of this node, room and epoch continues this one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Every event.
    pub items: Vec<Item<'a>>,
}

/// Everything that a line can say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant's type says what it is")]
pub enum Event<'a> {
    Send(Sent<'a>),
    Ok(Kept<'a>),
    Fail(Refused<'a>),
    Unknown(Unsure<'a>),
    Welcome(Welcome<'a>),
    Frame(Frame<'a>),
    Gap(Gap<'a>),
    Rendition(Rendition<'a>),
    Close(Closed<'a>),
    Live(Moment<'a>),
    Attempt(Moment<'a>),
    Expired(Moment<'a>),
    Revoked(Moment<'a>),
    Page(Page<'a>),
    Deleted(Deleted<'a>),
    LikeOk(Liked<'a>),
    LikeUnknown(Liked<'a>),
    Likes(Total<'a>),
    Fault(Fault<'a>),
    Audit(Audit<'a>),
}
