//! From bytes to client messages.

use super::encode::Encoding;
use super::message::{AuthRequest, ClientMessage, CommentRequest, LikeRequest};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// Why a payload is not a client message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not the encoding, wrong types, trailing bytes, too deep.
    #[error("{0}")]
    BadPayload(String),
    /// One key, but not one of ours.
    #[error("unknown message {0:?}; known: comment, like, auth, rendition")]
    UnknownOp(String),
}

/// Reads one client message.
///
/// # Errors
/// [`ParseError`]; its text is meant for the client and never repeats more than a short key.
pub fn parse(payload: &[u8], encoding: Encoding) -> Result<ClientMessage, ParseError> {
    let outer = match encoding {
        Encoding::Json => {
            let mut de = serde_json::Deserializer::from_slice(payload);
            let outer = Seed.deserialize(&mut de).map_err(bad)?;
            de.end().map_err(bad)?;
            outer
        }
        Encoding::Msgpack => {
            // Over a reader, whose `get_ref` is what remains; that of `from_read_ref` is the whole payload.
            let mut de = rmp_serde::Deserializer::new(payload);
            de.set_max_depth(crate::limits::MESSAGE_DEPTH_MAX);
            let outer = Seed.deserialize(&mut de).map_err(bad)?;
            if !de.get_ref().is_empty() {
                return Err(ParseError::BadPayload("bytes after the message".into()));
            }
            outer
        }
    };
    match outer {
        Outer::Known(message) => Ok(message),
        Outer::Unknown(key) => Err(ParseError::UnknownOp(key)),
    }
}

fn bad(error: impl fmt::Display) -> ParseError {
    ParseError::BadPayload(error.to_string())
}

enum Outer {
    Known(ClientMessage),
    Unknown(String),
}

struct Seed;

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Outer;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Outer, D::Error> {
        deserializer.deserialize_map(OneKey)
    }
}

struct OneKey;

impl<'de> Visitor<'de> for OneKey {
    type Value = Outer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one key: comment, like, auth or rendition")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outer, A::Error> {
        let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? else {
            return Err(de::Error::custom("an empty object; expected one key: comment, like, auth or rendition"));
        };
        let outer = match key.as_ref() {
            "comment" => Outer::Known(ClientMessage::Comment(map.next_value::<CommentRequest>()?)),
            "like" => Outer::Known(ClientMessage::Like(map.next_value::<LikeRequest>()?)),
            "auth" => Outer::Known(ClientMessage::Auth(map.next_value::<AuthRequest>()?)),
            "rendition" => Outer::Known(ClientMessage::Rendition(map.next_value()?)),
            _ => {
                map.next_value::<IgnoredAny>()?;
                Outer::Unknown(key.chars().take(32).collect())
            }
        };
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(de::Error::custom("more than one key in the message"));
        }
        Ok(outer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::encode;

    const MESSAGES: [&str; 5] = [
        r#"{"comment":{"id":"c1","text":"还有吗 😀","style":{"mode":"top","color":255},"media_ms":5,"ext":{"a":[1,null]}}}"#,
        r#"{"comment":{"text":"","unknown":{"fields":["are","ignored"]}}}"#,
        r#"{"like":{"count":3}}"#,
        r#"{"auth":{"token":"t"}}"#,
        r#"{"rendition":"lite"}"#,
    ];

    fn msgpack(json: &str) -> Vec<u8> {
        encode::value(&serde_json::from_str::<serde_json::Value>(json).unwrap(), Encoding::Msgpack)
    }

    #[test]
    fn a_message_reads_the_same_in_both_encodings() {
        for json in MESSAGES {
            let message = parse(json.as_bytes(), Encoding::Json).unwrap();
            assert_eq!(parse(&msgpack(json), Encoding::Msgpack), Ok(message), "{json}");
        }
    }

    #[test]
    fn bytes_after_a_message_are_refused_and_a_cut_one_too() {
        for json in MESSAGES {
            for (mut payload, encoding) in [(json.into(), Encoding::Json), (msgpack(json), Encoding::Msgpack)] {
                let last = payload.pop().unwrap();
                assert!(matches!(parse(&payload, encoding), Err(ParseError::BadPayload(_))), "cut: {json}");
                payload.extend([last, b'1']);
                assert!(matches!(parse(&payload, encoding), Err(ParseError::BadPayload(_))), "trailing: {json}");
            }
        }
    }

    #[test]
    fn a_length_that_lies_costs_no_memory_and_depth_no_stack() {
        // A map of one, the key "comment", a map of one, the key "text", a string of 4 GiB.
        let liar = b"\x81\xa7comment\x81\xa4text\xdb\xff\xff\xff\xffabc";
        assert!(matches!(parse(liar, Encoding::Msgpack), Err(ParseError::BadPayload(_))));
        let deep = [b"\x81\xa1x".as_slice(), &[0x91; 10_000], &[0xc0]].concat();
        assert!(matches!(parse(&deep, Encoding::Msgpack), Err(ParseError::BadPayload(_))));
        let list = ["[".repeat(10_000), "]".repeat(10_000)].concat();
        let deep = format!(r#"{{"comment":{{"text":"a","ext":{{"x":{list}}}}}}}"#);
        assert!(matches!(parse(deep.as_bytes(), Encoding::Json), Err(ParseError::BadPayload(_))));
    }
}
