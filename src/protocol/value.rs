//! Seeds for values that derived code reads too generously: keys and texts that must be strings, values
//! to skip within the depth limit, and JSON values that both encodings can carry.

use super::ids::ClientId;
use crate::limits::MESSAGE_DEPTH_MAX;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

pub(super) const TOO_DEEP: &str = "nested too deeply; at most 32 levels";
const _: () = assert!(MESSAGE_DEPTH_MAX == 32, "the text above names it");

/// What the seeds leave for the error message: errors of serde quote the input, so only the place is
/// taken from them.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) place: Cell<&'static str>,
    depth: Cell<bool>,
    pub(super) id: RefCell<Option<ClientId>>,
}

impl Notes {
    /// The text for the client: where the fault is, and what is expected there.
    pub(super) fn fault(&self) -> String {
        if self.depth.get() { TOO_DEEP.into() } else { self.place.get().into() }
    }

    /// Notes that an object of free JSON has a key twice.
    pub(super) fn twice<E: de::Error>(&self) -> E {
        self.place.set("comment.ext has a key twice in one object; give each once");
        E::custom("twice")
    }

    /// Notes that the nesting is too deep.
    pub(super) fn too_deep<E: de::Error>(&self) -> E {
        self.depth.set(true);
        E::custom(TOO_DEEP)
    }
}

/// The next key of a map, which must be a string; borrowed when it needs no unescaping.
pub(super) fn key<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    map.next_key_seed(Str)
}

struct Str;

impl<'de> DeserializeSeed<'de> for Str {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Str {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A string: not bytes that happen to be UTF-8.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        Str.deserialize(deserializer).map(Cow::into_owned)
    }
}

/// Any value, read for its grammar alone, down to the depth limit.
#[derive(Clone, Copy)]
pub(super) struct Skip<'n> {
    notes: &'n Notes,
    depth: usize,
}

/// Levels above a field's value: the message and the operation's object.
const DEPTH_OF_FIELDS: usize = 2;

impl<'n> Skip<'n> {
    pub(super) const fn new(notes: &'n Notes) -> Self {
        Self { notes, depth: DEPTH_OF_FIELDS }
    }

    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= MESSAGE_DEPTH_MAX {
            return Err(self.notes.too_deep());
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Skip<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_bytes<E>(self, _: &[u8]) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // A MessagePack extension: a type number and bytes.
        IgnoredAny.visit_newtype_struct(deserializer).map(|_| ())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while seq.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while map.next_key_seed(deeper)?.is_some() {
            map.next_value_seed(deeper)?;
        }
        Ok(())
    }
}

/// An object of JSON values. What JSON cannot carry (bytes, NaN, keys that are not strings) is an
/// error, so that every subscriber reads the same, whatever encoding its author used.
#[derive(Clone, Copy)]
pub(super) struct Ext<'n>(Skip<'n>);

impl<'n> Ext<'n> {
    pub(super) const fn new(notes: &'n Notes) -> Self {
        Self(Skip::new(notes))
    }
}

impl<'de> DeserializeSeed<'de> for Ext<'_> {
    type Value = Map<String, Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Ext<'_> {
    type Value = Map<String, Value>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let deeper = self.0.deeper()?;
        let mut out = Map::new();
        while let Some(key) = key(&mut map)? {
            // As it reads once unescaped. Which of two would count depends on the reader.
            let Entry::Vacant(place) = out.entry(key) else { return Err(deeper.notes.twice()) };
            place.insert(map.next_value_seed(Json(deeper))?);
        }
        Ok(out)
    }
}

#[derive(Clone, Copy)]
struct Json<'n>(Skip<'n>);

impl<'de> DeserializeSeed<'de> for Json<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| de::Error::custom("not a finite number"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let deeper = Self(self.0.deeper()?);
        let mut out = Vec::new();
        while let Some(value) = seq.next_element_seed(deeper)? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Ext(self.0).visit_map(map).map(Value::Object)
    }
}
