//! An object whose fields are taken out and checked one by one; the fields left at the end are unknown.

use super::{Fault, FaultKind};
use crate::limits::OFFSET_MAX;
use crate::policy::text::{TextError, TextLimits, normalise};
use crate::protocol::ids::{ClientId, ROOM_ID_ALPHABET, is_room_id};
use crate::protocol::user::{Role, User};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Longest name of somebody or something, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Longest piece of a foreign name that a fault repeats, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// Bytes of UTF-8 that a character takes at most.
const CHAR_BYTES_MAX: usize = 4;

/// Wall clocks in milliseconds: from 1973, below which are the seconds of the next thousand years, to 5138, above which are microseconds since 1973.
const MOMENTS: RangeInclusive<u64> = 100_000_000_000..=99_999_999_999_999;

/// See the module's page.
pub(super) struct PostFields {
    place: String,
    map: Map<String, Value>,
}

impl PostFields {
    /// `value`, which has to be an object; `place` is its path, empty at the root.
    pub(super) fn of(place: &str, value: Value) -> Result<Self, Fault> {
        match value {
            Value::Object(map) => Ok(Self { place: place.to_owned(), map }),
            _ if place.is_empty() => Err(Fault::bad("a body is an object: one event, or {\"events\":[...]}")),
            _ => Err(Fault::bad(format!("{place} must be an object"))),
        }
    }

    /// The value of `name`, if it is there; `null` is not there.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// The same, where `null` is a value.
    pub(super) fn take_any(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    /// Its own path.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// A field that was not taken.
    pub(super) fn any(&self) -> Option<&str> {
        self.map.keys().next().map(String::as_str)
    }

    /// The path of a field.
    pub(super) fn path(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// Nothing else may be there.
    pub(super) fn end(self) -> Result<(), Fault> {
        match self.any() {
            None => Ok(()),
            Some(name) if self.place.is_empty() => Err(Fault::bad(format!("{} is no field here", quoted(name)))),
            Some(name) => Err(Fault::bad(format!("{} is no field of {}", quoted(name), self.place))),
        }
    }

    fn missing(&self, name: &str) -> Fault {
        Fault::bad(format!("{} is missing", self.path(name)))
    }

    /// A string as it came, if it is there.
    pub(super) fn raw(&mut self, name: &str) -> Result<Option<String>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::bad(format!("{} must be a string", self.path(name)))),
        }
    }

    /// A text for people, normalised, of 1 to `chars_max` characters.
    pub(super) fn text(&mut self, name: &str, chars_max: usize) -> Result<Arc<str>, Fault> {
        let raw = self.raw(name)?.ok_or_else(|| self.missing(name))?;
        people(&self.path(name), &raw, chars_max)
    }

    /// What something is called.
    pub(super) fn name(&mut self, name: &str) -> Result<Arc<str>, Fault> {
        self.text(name, NAME_CHARS_MAX)
    }

    /// A whole number in `range`, if it is there.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let must = format!("{} must be a whole number from {} to {}", self.path(name), range.start(), range.end());
        match &value {
            Value::Number(number) => match number.as_u64() {
                Some(number) if range.contains(&number) => Ok(Some(number)),
                Some(_) => Err(Fault::range(must)),
                // Negative, or beyond 64 bits: a number all the same. A fraction is none of ours.
                None if number.is_i64() || number.as_f64().is_some_and(|n| n.abs() >= 1e18) => Err(Fault::range(must)),
                None => Err(Fault::bad(must)),
            },
            _ => Err(Fault::bad(must)),
        }
    }

    /// A whole number in `range` that has to be there.
    pub(super) fn needed_number(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<u64, Fault> {
        self.number(name, range)?.ok_or_else(|| self.missing(name))
    }

    /// A position or a time.
    pub(super) fn position(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        self.number(name, 0..=OFFSET_MAX)
    }

    /// An optional time in milliseconds of the wall clock. A value in a different unit is recognised by its size.
    pub(super) fn moment(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        let guess = match self.peek(name) {
            Some(0) | None => None,
            Some(value) if value < *MOMENTS.start() => Some((value, "seconds: multiply by 1,000")),
            Some(value) if value <= *MOMENTS.end() => None,
            Some(value) if value / 1_000 <= *MOMENTS.end() => Some((value, "microseconds: divide by 1,000")),
            Some(value) => Some((value, "nanoseconds: divide by 1,000,000")),
        };
        if let Some((value, guess)) = guess {
            let path = self.path(name);
            return Err(Fault::range(format!("{path} is in milliseconds since 1970, and {value} looks like {guess}")));
        }
        self.number(name, MOMENTS)
    }

    /// A duration in milliseconds, if it is there: none at all, or one in `range`.
    pub(super) fn duration(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Fault> {
        match self.peek(name) {
            Some(0) => self.number(name, 0..=0),
            Some(value) if value < *range.start() => {
                let (path, least) = (self.path(name), range.start());
                let message = format!("{path} is in milliseconds, 0 or at least {least}; {value} looks like seconds");
                Err(Fault::range(message))
            }
            _ => self.number(name, range),
        }
    }

    /// A field that is a whole number, without taking it.
    fn peek(&self, name: &str) -> Option<u64> {
        self.map.get(name).and_then(Value::as_u64)
    }

    /// `true` or `false`, if it is there.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(Fault::bad(format!("{} must be true or false", self.path(name)))),
        }
    }

    /// One of a few words, if it is there.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => one_of(&self.path(name), &value, words).map(Some),
        }
    }

    /// A list, if it is there.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(Fault::bad(format!("{} must be a list", self.path(name)))),
        }
    }

    /// A name that the owner gives something, if it is there.
    pub(super) fn id(&mut self, name: &str) -> Result<Option<ClientId>, Fault> {
        let Some(raw) = self.raw(name)? else { return Ok(None) };
        let wrong = || Fault::range(format!("{} must have 1 to 64 printable ASCII characters", self.path(name)));
        ClientId::new(&raw).ok_or_else(wrong).map(Some)
    }

    /// The same, needed.
    pub(super) fn needed_id(&mut self, name: &str) -> Result<ClientId, Fault> {
        self.id(name)?.ok_or_else(|| self.missing(name))
    }

    /// Somebody, if they are there.
    pub(super) fn user(&mut self, name: &str) -> Result<Option<User>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let mut fields = PostFields::of(&self.path(name), value)?;
        let id = fields.raw("id")?.ok_or_else(|| fields.missing("id"))?;
        if !is_room_id(&id) {
            return Err(Fault::range(format!(
                "{} must have 1 to 64 characters of {ROOM_ID_ALPHABET}",
                fields.path("id")
            )));
        }
        let user =
            User { id: id.into(), name: fields.name("name")?, role: fields.word("role", ROLES)?.unwrap_or_default() };
        fields.end()?;
        Ok(Some(user))
    }

    /// A required user.
    pub(super) fn needed_user(&mut self) -> Result<User, Fault> {
        self.user("user")?.ok_or_else(|| self.missing("user"))
    }
}

const ROLES: &[(&str, Role)] = &[
    ("guest", Role::Guest),
    ("viewer", Role::Viewer),
    ("vip", Role::Vip),
    ("moderator", Role::Moderator),
    ("host", Role::Host),
];

/// `raw`, normalised, if it then has 1 to `chars_max` characters.
pub(super) fn people(path: &str, raw: &str, chars_max: usize) -> Result<Arc<str>, Fault> {
    let limits = TextLimits { chars_max, bytes_max: chars_max * CHAR_BYTES_MAX };
    match normalise(raw, &limits) {
        Ok(text) => Ok(Arc::from(text.as_ref())),
        Err(TextError::Empty) => {
            Err(Fault::new(FaultKind::Empty, format!("{path}: nothing visible is left of the text")))
        }
        Err(TextError::TooLong { chars, .. }) => {
            let message = format!("{path} must have 1 to {chars_max} characters, not {chars}");
            Err(Fault::new(FaultKind::TooLong, message))
        }
    }
}

/// `value` as one of `words`.
pub(super) fn one_of<T: Copy>(path: &str, value: &Value, words: &[(&str, T)]) -> Result<T, Fault> {
    let known = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
    known.map(|(_, meant)| *meant).ok_or_else(|| Fault::bad(format!("{path} must be {}", any_of(words))))
}

/// The words as a sentence has them.
pub(super) fn any_of<T>(words: &[(&str, T)]) -> String {
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// A foreign name, short and in printable ASCII.
pub fn quoted(name: &str) -> String {
    let mut shown = String::new();
    for c in name.chars().map(char::escape_default) {
        // Half an escape would name another character.
        if shown.len() + c.len() > QUOTED_CHARS_MAX {
            shown.push_str("...");
            break;
        }
        shown.extend(c);
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_is_cut_between_its_characters() {
        for n in 0..50 {
            for unit in ["字", "😀", "\u{301}", "x", "\n"] {
                let shown = quoted(&format!("{}{}", "a".repeat(n), unit.repeat(20)));
                let inner = shown.trim_matches('"').trim_end_matches("...").trim_start_matches('a');
                let whole: String = unit.chars().flat_map(char::escape_default).collect();
                assert!(shown.len() <= QUOTED_CHARS_MAX + 5, "{shown}");
                assert_eq!(inner.replace(&whole, ""), "", "{shown}");
            }
        }
    }
}
