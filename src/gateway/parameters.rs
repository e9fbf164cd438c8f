//! The parameters of the upgrade's address. Pure.

use super::answer::Answer;
use crate::limits::{HISTORY_MAX, OFFSET_MAX};
use crate::protocol::ids::{Epoch, Offset};
use crate::protocol::variant::Rendition;
use http::StatusCode;
use std::borrow::Cow;

/// The parameters that we know. Unknown ones, `token` among them, are ignored and never repeated.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) rendition: Rendition,
    pub(super) resume: Option<(Epoch, Offset)>,
    pub(super) history: Option<usize>,
}

impl Query {
    pub(super) fn parse(query: &str) -> Result<Self, Answer> {
        let (mut rendition, mut epoch, mut after, mut history) = (None, None, None, None);
        for pair in query.split('&') {
            let (raw, value) = pair.split_once('=').unwrap_or((pair, ""));
            // An encoded name equals the plain one; a name that cannot be decoded is unknown.
            let Some(name) = percent_decode(raw) else { continue };
            let slot = match &*name {
                "rendition" => &mut rendition,
                "epoch" => &mut epoch,
                "after" => &mut after,
                "history" => &mut history,
                _ => continue,
            };
            let value = percent_decode(value).ok_or_else(|| bad_payload(format!("{name}: broken percent-encoding")))?;
            if slot.replace(value).is_some() {
                return Err(bad_payload(format!("{name} is there twice")));
            }
        }
        let rendition = rendition.map_or(Ok(Rendition::default()), |name| {
            let message = "rendition: this server offers viewer, lite and full";
            Rendition::of(&name).ok_or_else(|| Answer::new(StatusCode::BAD_REQUEST, "not_available", message))
        })?;
        let resume = match (epoch, after) {
            (None, None) => None,
            (Some(epoch), Some(after)) => Some((parse_epoch(&epoch)?, parse_after(&after)?)),
            (Some(_), None) => return Err(bad_payload("after is missing: epoch and after come together")),
            (None, Some(_)) => return Err(bad_payload("epoch is missing: epoch and after come together")),
        };
        Ok(Self { rendition, resume, history: history.map(|history| parse_history(&history)).transpose()? })
    }
}

fn parse_epoch(text: &str) -> Result<Epoch, Answer> {
    Epoch::parse(text).ok_or_else(|| bad_payload("epoch must be 1 to 16 hex digits, as the welcome said it"))
}

fn parse_after(text: &str) -> Result<Offset, Answer> {
    let digits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let offset = if digits { text.parse().ok().filter(|offset| *offset <= OFFSET_MAX) } else { None };
    offset.ok_or_else(|| bad_payload("after must be a whole number from 0 to 2^53 - 1"))
}

/// A whole number; larger values mean the maximum.
fn parse_history(text: &str) -> Result<usize, Answer> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad_payload(format!("history must be a whole number from 0 to {HISTORY_MAX}")));
    }
    Ok(text.parse().map_or(HISTORY_MAX, |count: usize| count.min(HISTORY_MAX)))
}

pub(super) fn bad_payload(message: impl Into<Cow<'static, str>>) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST, "bad_payload", message)
}

/// The decoded value of one parameter that may be there once.
///
/// # Errors
/// It is there twice, or its percent-encoding is broken.
pub(super) fn once<'a>(query: &'a str, wanted: &str) -> Result<Option<Cow<'a, str>>, Answer> {
    let mut found = None;
    for (name, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
        if percent_decode(name).as_deref() != Some(wanted) {
            continue;
        }
        let value = percent_decode(value).ok_or_else(|| bad_payload(format!("{wanted}: broken percent-encoding")))?;
        if found.replace(value).is_some() {
            return Err(bad_payload(format!("{wanted} is there twice")));
        }
    }
    Ok(found)
}

/// Decodes `%XX`; `None` when it is broken or not UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let (high, low) = (digit(bytes.get(at + 1))?, digit(bytes.get(at + 2))?);
            out.push(u8::try_from(high * 16 + low).ok()?);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_whole_or_refused_by_name() {
        let resume = |query: &str| Query::parse(query).map(|query| query.resume);
        assert_eq!(resume("").unwrap(), None);
        assert_eq!(resume("epoch=9f3a&after=0").unwrap(), Some((Epoch::parse("9f3a").unwrap(), 0)));
        assert_eq!(resume("x=1&&after=9007199254740991&epoch=1&token=secret").unwrap().unwrap().1, OFFSET_MAX);
        for (query, name) in [
            ("epoch=1", "after"),
            ("after=1", "epoch"),
            ("epoch=xyz&after=1", "epoch"),
            ("epoch=&after=1", "epoch"),
            ("epoch=00000000000000001&after=1", "epoch"),
            ("epoch=1&after=-1", "after"),
            ("epoch=1&after=+1", "after"),
            ("epoch=1&after=1.5", "after"),
            ("epoch=1&after=9007199254740992", "after"),
            ("epoch=1&after=18446744073709551616", "after"),
            ("epoch=1&after=%zz", "after"),
            ("epoch=1&epoch=1&after=1", "epoch"),
        ] {
            let answer = resume(query).unwrap_err();
            assert_eq!(answer.code, "bad_payload", "{query}");
            assert!(answer.message.starts_with(name), "{query}: {}", answer.message);
        }
    }

    #[test]
    fn a_history_is_a_number_clamped_or_refused_by_name() {
        let history = |query: &str| Query::parse(query).map(|query| query.history);
        for (query, count) in [
            ("", None),
            ("history=0", Some(0)),
            ("history=7&x=1", Some(7)),
            ("history=200", Some(200)),
            ("history=201", Some(200)),
            ("history=1000000000", Some(200)),
            ("history=99999999999999999999999999", Some(200)),
        ] {
            assert_eq!(history(query).unwrap(), count, "{query}");
        }
        for query in
            ["history=-1", "history=", "history", "history=x", "history=1.5", "history=+1", "history=1&history=1"]
        {
            let answer = history(query).unwrap_err();
            assert_eq!(answer.code, "bad_payload", "{query}");
            assert!(answer.message.starts_with("history"), "{query}: {}", answer.message);
        }
    }

    #[test]
    fn renditions_that_are_not_there_are_not_available() {
        assert_eq!(Query::parse("").unwrap().rendition, Rendition::Viewer);
        for rendition in Rendition::ALL {
            let query = Query::parse(&format!("rendition={}&x=1", rendition.as_str())).unwrap();
            assert_eq!(query.rendition, rendition);
        }
        for query in ["rendition=audio", "rendition=", "rendition=VIEWER", "rendition=lite%20"] {
            assert_eq!(Query::parse(query).unwrap_err().code, "not_available", "{query}");
        }
    }
}
