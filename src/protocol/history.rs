//! A room's log as the history API shows it: every event, with its position and its time.
//!
//! A frame shows viewers a selection with counters; these are the log's own events, so likes and votes are among them. Private
//! data is left out: the owner's idempotency keys, and how each user voted.

use super::event::{Comment, Event};
use super::ids::{ClientId, Epoch, Offset};
use super::kind::{Delete, Kind};
use serde::{Deserialize, Serialize, Serializer};

/// One event of the log: the offset, when it was appended, and the event under its kind's name, as in frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedEvent<E = PublicEvent> {
    /// Position in the room's log.
    pub offset: Offset,
    /// When it was appended: wall clock in milliseconds since the Unix epoch; never falls within a room.
    pub at: u64,
    /// What happened: a [`PublicEvent`] for who reads, a [`PublicEventRef`] for who writes.
    #[serde(flatten)]
    pub event: E,
}

/// An event as everybody may read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicEvent {
    /// Somebody said something; without its text if it was deleted.
    Comment(Comment),
    Likes {
        add: u64,
    },
    Votes {
        poll: ClientId,
        /// How many; second ones of a user are among them.
        count: usize,
    },
    /// Something that the show's owner made happen, under the name of its kind.
    #[serde(untagged)]
    Kind(Kind),
}

/// The same, borrowed from the log's event.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicEventRef<'a> {
    Comment(#[serde(serialize_with = "without_what_is_the_logs")] &'a Comment),
    Likes {
        add: u64,
    },
    Votes {
        poll: &'a ClientId,
        count: usize,
    },
    #[serde(untagged)]
    Kind(#[serde(serialize_with = "without_left")] &'a Kind),
}

/// A deletion as it is read, without what is for the log alone.
fn without_left<S: Serializer>(kind: &Kind, to: S) -> Result<S::Ok, S::Error> {
    match kind {
        Kind::Delete(delete) if !delete.left.is_empty() => {
            Kind::Delete(Delete { left: Vec::new(), ..delete.clone() }).serialize(to)
        }
        kind => kind.serialize(to),
    }
}

impl<'a> From<&'a Event> for PublicEventRef<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Comment(comment) => Self::Comment(comment),
            Event::Likes { add } => Self::Likes { add: *add },
            Event::Votes(votes) => Self::Votes { poll: &votes.poll, count: votes.ballots.len() },
            Event::Post(post) => Self::Kind(&post.kind),
        }
    }
}

/// A comment as it is read, without the hash beside the owner's key, and without what is left of a deleted one.
fn without_what_is_the_logs<S: Serializer>(comment: &Comment, serializer: S) -> Result<S::Ok, S::Error> {
    match (comment.posted, &comment.left) {
        (None, None) => comment.serialize(serializer),
        _ => Comment { posted: None, left: None, ..comment.clone() }.serialize(serializer),
    }
}

/// A stretch of a room's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage<E = PublicEvent> {
    pub epoch: Epoch,
    /// First retained offset; `last + 1` when nothing is retained.
    pub first: Offset,
    pub last: Offset,
    /// Oldest first, none left out.
    pub events: Vec<LoggedEvent<E>>,
    /// The `after` of the next page; absent when there was no more.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub next: Option<Offset>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::Hex64;
    use crate::protocol::kind::Left;
    use crate::protocol::kind::{Ballot, Custom, Delete, Gift, Post, PostKey, Unpin, Votes};
    use crate::protocol::user::{Role, User};
    use serde_json::json;

    /// What an event is in the API, and back.
    fn written(event: &Event) -> serde_json::Value {
        let json = serde_json::to_value(LoggedEvent { offset: 5, at: 7, event: PublicEventRef::from(event) }).unwrap();
        let read: LoggedEvent = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json, "who reads it reads all of it");
        json
    }

    fn id(text: &str) -> ClientId {
        ClientId::new(text).unwrap()
    }

    #[test]
    fn a_post_stands_under_its_kinds_name_without_its_key() {
        let post = |kind| {
            let key = Some(PostKey { id: id("top-secret"), sum: Hex64(1) });
            written(&Event::Post(Box::new(Post { key, kind })))
        };
        let user = User { id: "u".into(), name: "n".into(), role: Role::Vip };
        let gift = Gift { user, name: "Rose".into(), count: 3, value: 1, combo: Some(id("c")), total: None };
        let expected = json!({"offset": 5, "at": 7, "gift": {"user": {"id": "u", "name": "n", "role": "vip"},
            "name": "Rose", "count": 3, "value": 1, "combo": "c"}});
        assert_eq!(post(Kind::Gift(gift)), expected);
        assert_eq!(post(Kind::Unpin(Unpin {})), json!({"offset": 5, "at": 7, "unpin": {}}));
        let left = vec![(2, Left { into: None, bonus: 2 })];
        let delete = Delete { also: vec![3, 4], left, ..Delete::new(2) };
        let expected = json!({"offset": 5, "at": 7, "delete": {"offset": 2, "also": [3, 4]}});
        assert_eq!(post(Kind::Delete(delete)), expected, "what is for the log alone is not told");
        assert_eq!(post(Kind::Delete(Delete::new(2))), json!({"offset": 5, "at": 7, "delete": {"offset": 2}}));
        let custom = Custom { name: "shop.product".into(), data: json!({"likes": {"add": 1}}).into(), sticky: true };
        let expected = json!({"offset": 5, "at": 7,
            "custom": {"type": "shop.product", "data": {"likes": {"add": 1}}, "sticky": true}});
        assert_eq!(post(Kind::Custom(custom)), expected);
    }

    #[test]
    fn a_posted_comment_stands_without_the_hash_beside_its_key() {
        let user = User { id: "host".into(), name: "Host".into(), role: Role::Host };
        let posted = Comment { id: ClientId::new("k"), posted: Some(Hex64(1)), ..Comment::new(user, "hi") };
        let expected = json!({"offset": 5, "at": 7, "comment": {
            "user": {"id": "host", "name": "Host", "role": "host"}, "id": "k", "text": "hi"}});
        assert_eq!(written(&Event::Comment(posted)), expected);
    }

    #[test]
    fn who_voted_for_what_is_not_told() {
        let ballots = vec![Ballot { user: "u".into(), option: 1 }; 3];
        let votes = written(&Event::Votes(Votes { poll: id("p1"), ballots }));
        assert_eq!(votes, json!({"offset": 5, "at": 7, "votes": {"poll": "p1", "count": 3}}));
        assert_eq!(written(&Event::Likes { add: 9 }), json!({"offset": 5, "at": 7, "likes": {"add": 9}}));
    }
}
