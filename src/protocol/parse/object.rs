//! How an object of a client message is read: field by field, each once, unknown ones skipped.
//!
//! Does not know which objects and fields there are.

use super::super::value::{Notes, Skip, key};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// An object that takes its fields one by one.
pub(super) trait Fields {
    /// What it must be, for the client.
    const WANTED: &'static str;

    /// Takes the value of `key`; false (and nothing taken) if it is not one of its fields.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A, notes: &Notes) -> Result<bool, A::Error>;

    /// Called when all fields were read.
    fn check(&self, notes: &Notes) -> Result<(), &'static str> {
        let _ = notes;
        Ok(())
    }
}

pub(super) struct Object<'n, F> {
    fields: F,
    notes: &'n Notes,
}

impl<'n, F: Fields> Object<'n, F> {
    pub(super) const fn new(fields: F, notes: &'n Notes) -> Self {
        Self { fields, notes }
    }
}

impl<'de, F: Fields> DeserializeSeed<'de> for Object<'_, F> {
    type Value = F;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<F, D::Error> {
        self.notes.place.set(F::WANTED);
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fields> Visitor<'de> for Object<'_, F> {
    type Value = F;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(F::WANTED)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<F, A::Error> {
        loop {
            self.notes.place.set("keys must be strings");
            let Some(key) = key(&mut map)? else { break };
            if !self.fields.take(&key, &mut map, self.notes)? {
                self.notes.place.set("the value of an unknown key is malformed");
                map.next_value_seed(Skip::new(self.notes))?;
            }
        }
        self.fields.check(self.notes).map_err(|fault| {
            self.notes.place.set(fault);
            de::Error::custom(fault)
        })?;
        Ok(self.fields)
    }
}

/// Reads a field's value into its slot; a second one is an error. `wanted` says where and what.
pub(super) fn once<'de, A: MapAccess<'de>, S: DeserializeSeed<'de>>(
    slot: &mut Option<S::Value>,
    seed: S,
    wanted: &'static str,
    map: &mut A,
    notes: &Notes,
) -> Result<bool, A::Error> {
    if slot.is_some() {
        notes.place.set("a field is given twice");
        return Err(de::Error::custom("twice"));
    }
    notes.place.set(wanted);
    *slot = Some(map.next_value_seed(seed)?);
    Ok(true)
}

/// A value of type `T`, which reads nothing but the one kind of value that it should.
pub(super) const fn plain<T>() -> PhantomData<T> {
    PhantomData
}

/// `null` is the same as absent.
pub(super) struct Nullable<S>(pub(super) S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }
    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}
