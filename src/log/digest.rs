//! The running checksum over a room's log.
//!
//! FNV-1a, 64 bits (Fowler, Noll, Vo): `h = (h ^ byte) * prime` for each byte, from the offset basis. The digest after
//! a record is the hash continued over that record's canonical bytes. So it depends on every record before it and on
//! their order, but not on frames, batches or nodes.
//!
//! Canonical bytes: the offset, then the event. Numbers are little-endian of fixed width, strings begin with their
//! length (u32), an absent field is one 0 byte and a present one begins with 1. So two different records never have the
//! same bytes. `ext` and the owner's events are JSON without white space, with sorted keys.
//!
//! Equal digests show that honest nodes agree; they are no defence against forgery.

use crate::protocol::event::{Comment, Event, Mode};
use crate::protocol::ids::{Digest, Hex64, Offset};
use crate::protocol::user::Role;

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The digest of an empty log.
pub const EMPTY: Digest = Hex64(BASIS);

/// The digest after `event` at `offset`, given the one before it.
pub fn extend(digest: Digest, offset: Offset, event: &Event) -> Digest {
    let mut hash = Fnv(digest.0);
    hash.number(offset);
    match event {
        Event::Comment(comment) => {
            hash.byte(match (comment.first, comment.posted) {
                (false, None) => 1,
                (true, None) => 5,
                (false, Some(_)) => 6,
                (true, Some(_)) => 7,
            });
            hash.comment(comment);
            if let Some(sum) = comment.posted {
                hash.number(sum.0);
            }
        }
        Event::Likes { add } => {
            hash.byte(2);
            hash.number(*add);
        }
        Event::Votes(votes) => {
            hash.byte(3);
            hash.text(votes.poll.as_str().as_bytes());
            hash.number(votes.ballots.len() as u64);
            for ballot in &votes.ballots {
                hash.text(ballot.user.as_bytes());
                hash.byte(ballot.option);
            }
        }
        Event::Post(post) => {
            hash.byte(4);
            // A post is made of structs with string keys, which always serialise.
            hash.text(&serde_json::to_vec(post).unwrap_or_default());
        }
    }
    Hex64(hash.0)
}

/// FNV-1a over plain bytes. Unlike std's hashers it gives the same hash in every process.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = Fnv(BASIS);
    hash.bytes(bytes);
    hash.0
}

struct Fnv(u64);

impl Fnv {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.bytes(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes(text);
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                write(self, value);
            }
        }
    }

    fn comment(&mut self, comment: &Comment) {
        self.text(comment.user.id.as_bytes());
        self.text(comment.user.name.as_bytes());
        self.byte(match comment.user.role {
            Role::Guest => 0,
            Role::Viewer => 1,
            Role::Moderator => 2,
            Role::Host => 3,
            Role::Vip => 4,
        });
        self.optional(comment.id.as_ref(), |hash, id| hash.text(id.as_str().as_bytes()));
        self.text(comment.text.as_bytes());
        self.byte(match comment.style.mode {
            Mode::Scroll => 0,
            Mode::Top => 1,
            Mode::Bottom => 2,
            Mode::Reverse => 3,
        });
        self.bytes(&comment.style.color.to_le_bytes());
        self.byte(comment.style.size);
        self.optional(comment.media_ms, Self::number);
        self.optional(comment.ext.as_ref(), |hash, ext| {
            // A map of JSON values always serialises; should that ever fail, the field counts as empty.
            hash.text(&serde_json::to_vec(&**ext).unwrap_or_default());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::suite::comment;

    #[test]
    fn fnv1a_gives_the_published_values() {
        // From the authors' own test vectors.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_field_and_the_order_change_the_digest() {
        let base = comment("u1", "text");
        let mut all = vec![base.clone(); 11];
        all[1].user.id = "u2".into();
        all[2].user.name = "another".into();
        all[3].user.role = Role::Host;
        all[4].id = crate::protocol::ids::ClientId::new("c1");
        all[5].style.color = 1;
        all[6].media_ms = Some(0);
        all[7].ext = Some(std::sync::Arc::default());
        all[8].style.mode = Mode::Top;
        all[9].posted = Some(Hex64(0));
        all[10].first = true;
        let mut digests: Vec<_> = all
            .iter()
            .map(|c| extend(EMPTY, 1, &Event::Comment(c.clone())))
            .chain([extend(EMPTY, 2, &Event::Comment(base.clone())), extend(EMPTY, 1, &Event::Likes { add: 1 })])
            .collect();
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count, "two different records have one digest");

        let (a, b) = ((1, Event::Likes { add: 1 }), (2, Event::Likes { add: 2 }));
        let both = |x: &(u64, Event), y: &(u64, Event)| extend(extend(EMPTY, x.0, &x.1), y.0, &y.1);
        assert_ne!(both(&a, &b), both(&b, &a));
    }

    #[test]
    fn text_cannot_slide_from_one_field_into_the_next() {
        let (mut a, mut b) = (comment("ab", "x"), comment("a", "x"));
        a.user.name = "c".into();
        b.user.name = "bc".into();
        let of = |c: Comment| extend(EMPTY, 1, &Event::Comment(c));
        assert_ne!(of(a), of(b));
    }
}
