//! A history as JSON lines: what clients, an auditor and a fault driver saw and did. It is the input of
//! [`check`](crate::check).
//!
//! Each line is one event, in one of two forms:
//!
//! ```text
//! {"t":1200,"send":{"author":"a1","id":"c1","room":"demo","hash":"9f3a"}}
//! {"t":1200,"event":"send","author":"a1","id":"c1","room":"demo","hash":"9f3a"}      ("type" does as well)
//! ```
//!
//! `t` is nanoseconds of one host's monotonic clock. The lines of one client are in the order in which it saw them, and
//! a `send` is before its answer. Lines of different clients may interleave in any way. Names, ids, epochs, digests and
//! hashes are strings or numbers, compared as text. Unknown fields are skipped; unknown events are skipped and counted.
//! [`Event`] is the list of all events; `docs/history.md` shows one line of each.
//!
//! Does not know: the rules that a history must keep, sockets, the server.

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

/// The kind of a comment, and of an item without a kind.
pub const COMMENT: &str = "comment";

/// One event of a log as an observer saw it: `[offset, author, id, hash, times]`, then its kind unless it is a comment,
/// then its lane unless that is `normal`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its position in the log.
    pub offset: u64,
    pub author: Option<Text<'a>>,
    /// The client's id for it; none if the comment had no id.
    pub id: Option<Text<'a>>,
    /// Hash of the normalised text; none if the text was deleted.
    pub hash: Option<Text<'a>>,
    /// How many equal comments it stands for, itself included.
    pub times: u64,
    /// None means `comment`.
    pub kind: Option<Text<'a>>,
    /// `guaranteed`, `normal` or `low`; none means normal, or unknown to the observer.
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

/// A client. `client` names its lifetime across reconnects; without it, `session` does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Who<'a> {
    /// The same over all of a client's connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Text<'a>>,
    /// One connection, by the session of its welcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Text<'a>>,
}

/// The attempt to send a comment that an answer belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answered<'a> {
    pub author: Text<'a>,
    /// The client's id for it.
    pub id: Text<'a>,
    /// The room; needed only if the author uses the id in several rooms at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// The attempt's number, as in its `send`; without it, the answer is for the oldest unanswered attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
}

/// `send`: a comment left the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent<'a> {
    /// The sender and its connection.
    #[serde(flatten)]
    pub who: Who<'a>,
    pub author: Text<'a>,
    /// The client's id for it; a comment without one gets no answer.
    pub id: Option<Text<'a>>,
    pub room: Text<'a>,
    /// Hash of the normalised text.
    pub hash: Text<'a>,
    /// The attempt's number, for answers that name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
}

/// `ok`: it is in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept<'a> {
    #[serde(flatten)]
    pub answered: Answered<'a>,
    pub epoch: Text<'a>,
    pub offset: u64,
    /// What viewers see of the comment: `shown`, `merged` or `shed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Text<'a>>,
    /// With `merged`: the offset of the comment that stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<u64>,
}

/// `fail`: this attempt surely did not store the comment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refused<'a> {
    #[serde(flatten)]
    pub answered: Answered<'a>,
    pub code: Text<'a>,
}

/// `unknown`: the connection ended before the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unsure<'a> {
    #[serde(flatten)]
    pub answered: Answered<'a>,
}

/// `welcome`: a connection begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Welcome<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    pub room: Text<'a>,
    pub epoch: Text<'a>,
    pub last: u64,
    /// The welcome promises everything after the client's position.
    pub recovered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
    /// The position that the client asked for, if no earlier line gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// When the client asked; `t` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// The snapshot. Its items are shown, but do not count as delivered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item<'a>>,
}

/// `frame`: a stretch of the log was delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Frame<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// The position before the frame.
    pub prev: u64,
    pub last: u64,
    /// Checksum over the log up to `last`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    pub items: Vec<Item<'a>>,
    /// `[offset, by]`: the item at `offset` of an earlier frame stands for `by` more comments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raises: Vec<(u64, u64)>,
    /// Numbers of events left out on purpose: comments under their lane (`normal`, `low`), other events under their
    /// kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shed: BTreeMap<Text<'a>, u64>,
}

/// `gap`: a stretch that the server announced as not delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gap<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    pub from: u64,
    pub to: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
}

/// `rendition`: from here on the client receives a different rendition of the room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rendition<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// `viewer`, `lite` or `full`.
    pub now: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<'a>>,
}

/// `close`: a connection ended, by either side. After 1000, 1001 and 4500–4999 the client does not reconnect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Closed<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    /// The close code; 1006 if there was none.
    pub code: u64,
}

/// `live` (the client has caught up), `attempt` (it tries to connect), `expired` and `revoked` (its token ended).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moment<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
}

/// `page`: one answer of the history API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page<'a> {
    pub node: Text<'a>,
    pub room: Text<'a>,
    /// The log's incarnation; the room's newest one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Text<'a>>,
    pub after: u64,
    /// The time of the request; `t` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// Every event after `after`, up to the last item.
    pub items: Vec<Item<'a>>,
}

/// `deleted`: a deletion was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deleted<'a> {
    pub room: Text<'a>,
    /// The log's incarnation; all of the room's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Text<'a>>,
    pub offset: u64,
}

/// `like_ok` (surely counted) and `like_unknown` (perhaps counted).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Liked<'a> {
    pub room: Text<'a>,
    pub n: u64,
}

/// `likes`: a total was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total<'a> {
    #[serde(flatten)]
    pub who: Who<'a>,
    /// The room; the session's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Text<'a>>,
    pub total: u64,
}

/// `fault`: a fault on purpose begins or ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fault<'a> {
    /// The kind of fault; [`check`](crate::check) lists those that excuse violations.
    pub kind: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Text<'a>>,
    /// True if the fault begins. The file may also have `"off":true` or `"state":"on"|"off"`.
    pub on: bool,
    /// The log's durability at a `power_loss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Text<'a>>,
}

/// `audit`: a node's whole log of a room, read at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit<'a> {
    pub node: Text<'a>,
    pub room: Text<'a>,
    pub epoch: Text<'a>,
    /// The first retained offset; events before it need not be in the audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
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
    pub items: Vec<Item<'a>>,
}

/// Every kind of line.
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
