//! Parses one line of JSON into an [`Event`], in the nested or the flat form, in one pass and without a tree of values.

use super::{
    Answered, Audit, Closed, Deleted, Event, Fault, Frame, Gap, Item, Kept, Liked, Moment, Page, Refused, Rendition,
    Sent, Text, Total, Unsure, Welcome, Who,
};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The names of all known events in the file.
const KINDS: &[&str] = &[
    "send",
    "ok",
    "fail",
    "unknown",
    "welcome",
    "frame",
    "gap",
    "rendition",
    "close",
    "live",
    "attempt",
    "expired",
    "revoked",
    "page",
    "deleted",
    "like_ok",
    "like_unknown",
    "likes",
    "fault",
    "audit",
];

/// A string, or a number taken as its digits.
struct FieldName<'a>(Text<'a>);

impl<'de> Deserialize<'de> for FieldName<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct FieldNameVisitor;
        impl<'de> Visitor<'de> for FieldNameVisitor {
            type Value = FieldName<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an integer")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(FieldName(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(FieldName(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(FieldName(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(FieldName(Cow::Owned(number.to_string())))
            }
        }
        d.deserialize_any(FieldNameVisitor)
    }
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Item<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item: [offset, author, id, hash, times]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let offset = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let mut name = |at| {
                    let name: Option<Option<FieldName<'de>>> = seq.next_element()?;
                    name.map(|name| name.map(|name| name.0)).ok_or_else(|| A::Error::invalid_length(at, &Items))
                };
                let (author, id, hash) = (name(1)?, name(2)?, name(3)?);
                let times: Option<u64> = seq.next_element()?.unwrap_or(Some(1));
                let mut rest = || -> Result<Option<Text<'de>>, A::Error> {
                    Ok(seq.next_element::<Option<FieldName<'de>>>()?.flatten().map(|name| name.0))
                };
                let (kind, lane) = (rest()?, rest()?);
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Item { offset, author, id, hash, times: times.unwrap_or(1), kind, lane })
            }
        }
        d.deserialize_seq(Items)
    }
}

/// A number, or numbers by name.
#[derive(Default)]
struct Shed<'a>(BTreeMap<Text<'a>, u64>);

impl<'de> Deserialize<'de> for Shed<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Sheds;
        impl<'de> Visitor<'de> for Sheds {
            type Value = Shed<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count, or an object of counts")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
                Ok(Shed(if n == 0 { BTreeMap::new() } else { [(Cow::Borrowed("normal"), n)].into() }))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut shed = BTreeMap::new();
                while let Some((FieldName(class), n)) = map.next_entry()? {
                    shed.insert(class, n);
                }
                Ok(Shed(shed))
            }
        }
        d.deserialize_any(Sheds)
    }
}

/// Every field that any event has.
#[derive(Default)]
struct Fields<'a> {
    names: [Option<Text<'a>>; NAMES.len()],
    numbers: [Option<u64>; NUMBERS.len()],
    flags: [Option<bool>; FLAGS.len()],
    items: Option<Vec<Item<'a>>>,
    raises: Vec<(u64, u64)>,
    shed: BTreeMap<Text<'a>, u64>,
}

const NAMES: &[&str] = &[
    "author",
    "id",
    "room",
    "hash",
    "epoch",
    "client",
    "session",
    "reason",
    "digest",
    "node",
    "kind",
    "target",
    "state",
    "durability",
    "code",
    "outcome",
    "now",
];
const NUMBERS: &[&str] =
    &["offset", "last", "prev", "after", "started", "from", "to", "n", "total", "first", "likes", "attempt", "into"];
const FLAGS: &[&str] = &["recovered", "retry", "more", "on", "off"];

const fn place(of: &str, list: &[&str]) -> usize {
    let mut at = 0;
    while at < list.len() {
        let (a, b) = (of.as_bytes(), list[at].as_bytes());
        let mut same = a.len() == b.len();
        let mut i = 0;
        while same && i < a.len() {
            same = a[i] == b[i];
            i += 1;
        }
        if same {
            return at;
        }
        at += 1;
    }
    panic!("no such field")
}

/// The index of a field in its list, computed by the compiler.
macro_rules! field {
    ($list:ident, $name:literal) => {{
        const AT: usize = place($name, $list);
        AT
    }};
}

impl<'de> Fields<'de> {
    /// Takes the value of `key`, if it is a field.
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let at = |list: &[&str]| list.iter().position(|name| *name == key);
        if let Some(at) = at(NAMES) {
            self.names[at] = map.next_value::<Option<FieldName<'de>>>()?.map(|name| name.0);
        } else if let Some(at) = at(NUMBERS) {
            self.numbers[at] = map.next_value()?;
        } else if let Some(at) = at(FLAGS) {
            self.flags[at] = map.next_value()?;
        } else {
            match key {
                "items" => self.items = map.next_value()?,
                "raises" => self.raises = map.next_value::<Option<Vec<_>>>()?.unwrap_or_default(),
                "shed" => self.shed = map.next_value::<Option<Shed<'de>>>()?.unwrap_or_default().0,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The value under an event's name: the event's fields, or in the flat form a field of that name.
struct Under<'f, 'de>(&'f mut Fields<'de>, &'f str);

impl<'de> DeserializeSeed<'de> for Under<'_, 'de> {
    /// Whether it was an object.
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<bool, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Under<'_, 'de> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fields of `{}`", self.1)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(key) = map.next_key::<FieldName<'de>>()? {
            self.0.take(&key.0, &mut map)?;
        }
        Ok(true)
    }
    fn visit_u64<E>(self, number: u64) -> Result<bool, E> {
        if let Some(at) = NUMBERS.iter().position(|name| *name == self.1) {
            self.0.numbers[at] = Some(number);
        }
        Ok(false)
    }
    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }
}

#[derive(Default)]
struct Whole<'a> {
    t_ns: Option<u64>,
    kind: Option<Text<'a>>,
    /// The name of an object that is not a known event.
    stranger: Option<Text<'a>>,
    fields: Fields<'a>,
}

impl<'de> Deserialize<'de> for Whole<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Wholes;
        impl<'de> Visitor<'de> for Wholes {
            type Value = Whole<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `t` and an event")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut whole = Whole::default();
                let is_field = |key: &str| {
                    NAMES.contains(&key)
                        || FLAGS.contains(&key)
                        || NUMBERS.contains(&key)
                        || ["items", "raises", "shed"].contains(&key)
                };
                while let Some(FieldName(key)) = map.next_key()? {
                    match &*key {
                        "t" => whole.t_ns = Some(map.next_value()?),
                        "type" | "event" => whole.kind = Some(map.next_value::<FieldName<'de>>()?.0),
                        known if KINDS.contains(&known) => {
                            if map.next_value_seed(Under(&mut whole.fields, known))?
                                && let Some(other) = whole.kind.replace(key.clone())
                            {
                                return Err(A::Error::custom(format!("two events, `{other}` and `{key}`")));
                            }
                        }
                        field if is_field(field) => whole.fields.take(field, &mut map)?,
                        stranger => {
                            let mut nowhere = Fields::default();
                            if map.next_value_seed(Under(&mut nowhere, stranger))? {
                                whole.stranger = Some(key);
                            }
                        }
                    }
                }
                Ok(whole)
            }
        }
        d.deserialize_map(Wholes)
    }
}

/// A line's time, and its event or the name of an unknown event. The error says what is wrong with the line.
pub(super) fn parse(line: &[u8]) -> Result<(u64, Result<Event<'_>, String>), String> {
    let whole: Whole<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let t_ns = whole.t_ns.ok_or("no time `t`")?;
    let Some(kind) = whole.kind.or(whole.stranger) else { return Err("no event in it".into()) };
    if !KINDS.contains(&&*kind) {
        return Ok((t_ns, Err(kind.into_owned())));
    }
    let event = event(&kind, whole.fields).map_err(|missing| format!("`{kind}` without {missing}"))?;
    Ok((t_ns, Ok(event)))
}

/// The event of a known kind; the error names a missing field.
fn event<'a>(kind: &str, mut f: Fields<'a>) -> Result<Event<'a>, &'static str> {
    macro_rules! name {
        ($name:literal) => {
            f.names[field!(NAMES, $name)].take()
        };
    }
    macro_rules! number {
        ($name:literal) => {
            f.numbers[field!(NUMBERS, $name)]
        };
    }
    macro_rules! flag {
        ($name:literal) => {
            f.flags[field!(FLAGS, $name)]
        };
    }
    macro_rules! need {
        ($kind:ident $name:literal) => {
            $kind!($name).ok_or(concat!("`", $name, "`"))?
        };
    }
    macro_rules! who {
        () => {{
            let who = Who { client: name!("client"), session: name!("session") };
            if who.client.is_none() && who.session.is_none() {
                return Err("`client` or `session`");
            }
            who
        }};
    }
    let (items, raises, shed) = (f.items, f.raises, f.shed);
    Ok(match kind {
        "send" => Event::Send(Sent {
            who: Who { client: name!("client"), session: name!("session") },
            author: need!(name "author"),
            id: name!("id"),
            room: need!(name "room"),
            hash: need!(name "hash"),
            attempt: number!("attempt"),
            retry: flag!("retry").unwrap_or(false),
        }),
        "ok" | "fail" | "unknown" => {
            let answered = Answered {
                author: need!(name "author"),
                id: need!(name "id"),
                room: name!("room"),
                attempt: number!("attempt"),
            };
            match kind {
                "ok" => Event::Ok(Kept {
                    answered,
                    epoch: need!(name "epoch"),
                    offset: need!(number "offset"),
                    outcome: name!("outcome"),
                    into: number!("into"),
                }),
                "fail" => Event::Fail(Refused { answered, code: need!(name "code") }),
                _ => Event::Unknown(Unsure { answered }),
            }
        }
        "welcome" => Event::Welcome(Welcome {
            who: who!(),
            room: need!(name "room"),
            epoch: need!(name "epoch"),
            last: need!(number "last"),
            recovered: need!(flag "recovered"),
            reason: name!("reason"),
            after: number!("after"),
            started: number!("started"),
            likes: number!("likes"),
            items: items.unwrap_or_default(),
        }),
        "frame" => Event::Frame(Frame {
            who: who!(),
            room: name!("room"),
            prev: need!(number "prev"),
            last: need!(number "last"),
            digest: name!("digest"),
            likes: number!("likes"),
            items: items.unwrap_or_default(),
            raises,
            shed,
        }),
        "gap" => Event::Gap(Gap {
            who: who!(),
            room: name!("room"),
            from: need!(number "from"),
            to: need!(number "to"),
            reason: name!("reason"),
        }),
        "rendition" => Event::Rendition(Rendition {
            who: who!(),
            room: name!("room"),
            now: need!(name "now"),
            reason: name!("reason"),
        }),
        "close" => {
            let code = need!(name "code").parse().map_err(|_| "a number as `code`")?;
            Event::Close(Closed { who: who!(), room: name!("room"), code })
        }
        "live" | "attempt" | "expired" | "revoked" => {
            let moment = Moment { who: who!(), room: name!("room") };
            match kind {
                "live" => Event::Live(moment),
                "attempt" => Event::Attempt(moment),
                "expired" => Event::Expired(moment),
                _ => Event::Revoked(moment),
            }
        }
        "page" => Event::Page(Page {
            node: need!(name "node"),
            room: need!(name "room"),
            epoch: name!("epoch"),
            after: need!(number "after"),
            started: number!("started"),
            items: items.ok_or("`items`")?,
        }),
        "deleted" => {
            Event::Deleted(Deleted { room: need!(name "room"), epoch: name!("epoch"), offset: need!(number "offset") })
        }
        "like_ok" | "like_unknown" => {
            let liked = Liked { room: need!(name "room"), n: need!(number "n") };
            if kind == "like_ok" { Event::LikeOk(liked) } else { Event::LikeUnknown(liked) }
        }
        "likes" => Event::Likes(Total { who: who!(), room: name!("room"), total: need!(number "total") }),
        "fault" => {
            let state = name!("state");
            let on = match (flag!("on"), flag!("off"), state.as_deref()) {
                (Some(on), ..) => on,
                (None, Some(off), _) => !off,
                (None, None, Some("on")) => true,
                (None, None, Some("off")) => false,
                _ => return Err("`on`, `off` or `state`"),
            };
            Event::Fault(Fault {
                kind: need!(name "kind"),
                target: name!("target"),
                on,
                durability: name!("durability"),
            })
        }
        _ => Event::Audit(Audit {
            node: need!(name "node"),
            room: need!(name "room"),
            epoch: need!(name "epoch"),
            first: number!("first"),
            last: number!("last"),
            digest: name!("digest"),
            likes: number!("likes"),
            more: flag!("more").unwrap_or(false),
            items: items.ok_or("`items`")?,
        }),
    })
}
