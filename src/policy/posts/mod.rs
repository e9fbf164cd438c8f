//! Reads the posts of the show's owner: from the bytes of a body to checked events, or to a fault.
//!
//! Reading is strict, because a program sends the body: an unknown field or kind is refused with its name, a key may appear
//! once, and a misspelled field is never ignored. A fault names the field and its valid values.
//!
//! Does not know: rooms, idempotency keys, how a body arrived or how an answer travels.

mod fields;
mod kinds;
mod tree;

#[cfg(test)]
mod tests;

use crate::limits::POST_EVENTS_MAX;
use crate::protocol::event::Event;
use fields::PostFields;
pub use fields::quoted;

/// An error in a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What kind of mistake it is.
    pub kind: FaultKind,
    /// Where, and what would be right; begins with the field's name when one is to blame.
    pub message: String,
}

/// Kinds of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Not JSON, not of the type that it should be, unknown, missing or there twice.
    BadPayload,
    /// A number, a list or an id outside its range.
    OutOfRange,
    /// Nothing is left of a text after normalisation.
    Empty,
    /// A text or a value is longer than it may be.
    TooLong,
}

impl Fault {
    fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(FaultKind::BadPayload, message)
    }

    fn range(message: impl Into<String>) -> Self {
        Self::new(FaultKind::OutOfRange, message)
    }
}

/// A body that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// 1 to [`POST_EVENTS_MAX`] events, without keys: they are about the request, not about its body.
    pub events: Vec<Event>,
    /// Whether it was `{"events":[…]}`.
    pub is_batch: bool,
}

/// Reads a body: one event, or `{"events":[…]}`.
///
/// # Errors
/// [`Fault`]; then nothing of it counts.
pub fn read(body: &[u8]) -> Result<Submission, Fault> {
    let mut root = PostFields::of("", tree::parse(body)?)?;
    let Some(events) = root.take("events") else {
        return Ok(Submission { events: vec![kinds::event("", root)?], is_batch: false });
    };
    root.end()?;
    let serde_json::Value::Array(events) = events else {
        return Err(Fault::bad("events must be a list of events"));
    };
    if events.is_empty() || events.len() > POST_EVENTS_MAX {
        return Err(Fault::range(format!("events must hold 1 to {POST_EVENTS_MAX} events, not {}", events.len())));
    }
    let event = |(at, event)| {
        let place = format!("events[{at}]");
        kinds::event(&place, PostFields::of(&place, event)?)
    };
    Ok(Submission { events: events.into_iter().enumerate().map(event).collect::<Result<_, _>>()?, is_batch: true })
}
