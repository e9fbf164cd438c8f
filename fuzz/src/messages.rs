//! Client messages in both encodings.
//!
//! Promises: no input panics; a message is read as it was sent, the same in both encodings; no key counts twice; a
//! message ends where its encoding says; a refusal gives its reason in short ASCII that never repeats the client's
//! bytes.

use serde_json::{Map, Value, json};
use volley::protocol::encode;
use volley::protocol::event::Mode;
use volley::protocol::message::ClientMessage;
use volley::protocol::parse::{ParseError, parse};
use volley::protocol::variant::Encoding;

pub fn json(data: &[u8]) {
    let value = serde_json::from_slice::<Value>(data);
    match parse(data, Encoding::Json) {
        Ok(message) => {
            let value = value.expect("a message is JSON");
            shows(&value, &message);
            same_in_msgpack(&message);
            ends_with_its_bytes(data.trim_ascii_end(), Encoding::Json);
        }
        Err(ParseError::UnknownOp) => {
            let value = value.expect("a message is JSON, even with an unknown key");
            assert!(value.as_object().is_some_and(|object| object.len() == 1), "{value}");
        }
        Err(error) => {
            refusal_is_fit_to_send(&error);
            let ParseError::BadPayload { id: Some(id), .. } = error else { return };
            assert!(id.as_str().bytes().all(|b| (0x20..0x7f).contains(&b)) && id.as_str().len() <= 64, "{id:?}");
        }
    }
}

pub fn msgpack(data: &[u8]) {
    match parse(data, Encoding::Msgpack) {
        Ok(message) => {
            same_in_msgpack(&message);
            same_in_json(&message);
            ends_with_its_bytes(data, Encoding::Msgpack);
        }
        Err(ParseError::UnknownOp) => ends_with_its_bytes(data, Encoding::Msgpack),
        Err(error) => refusal_is_fit_to_send(&error),
    }
}

/// Asserts that a message with a byte less or more is refused.
fn ends_with_its_bytes(data: &[u8], encoding: Encoding) {
    let bad = |data: &[u8]| {
        let read = parse(data, encoding);
        assert!(matches!(read, Err(ParseError::BadPayload { .. })), "{read:?} out of {data:02x?}");
    };
    bad(&data[..data.len() - 1]);
    bad(&[data, b"0"].concat());
}

/// Asserts that a refusal is short, in printable ASCII, and readable by the client's library.
pub fn refusal_is_fit_to_send(error: &ParseError) {
    let message = error.clone().into_message();
    let text = &message.message;
    assert!((1..=160).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text:?}");
    // After these words serde quotes the input, which must not be sent to a client.
    for quoting in ["invalid type", "invalid value", "unknown variant", "unknown field", "duplicate field"] {
        assert!(!text.contains(quoting), "{text:?}");
    }
}

/// The message as a different program would write it.
pub fn written(message: &ClientMessage) -> Value {
    match message {
        ClientMessage::Comment(comment) => json!({ "comment": comment }),
        ClientMessage::Like(like) => json!({ "like": like }),
        ClientMessage::Auth(auth) => json!({ "auth": auth }),
        ClientMessage::Rendition(name) => json!({ "rendition": name }),
        ClientMessage::Vote(vote) => json!({ "vote": vote }),
        ClientMessage::Ping => json!({ "ping": {} }),
    }
}

fn same_in_msgpack(message: &ClientMessage) {
    no_field_counts_twice(message);
    let bytes = encode::value(&written(message), Encoding::Msgpack);
    assert_eq!(parse(&bytes, Encoding::Msgpack).as_ref(), Ok(message), "{bytes:02x?}");
}

fn no_field_counts_twice(message: &ClientMessage) {
    let again = match message {
        ClientMessage::Comment(_) => "{\"text\":\"\",",
        ClientMessage::Like(_) => "{\"count\":1,",
        ClientMessage::Auth(_) => "{\"token\":\"\",",
        ClientMessage::Vote(_) => "{\"option\":1,",
        ClientMessage::Rendition(_) | ClientMessage::Ping => return,
    };
    let twice = written(message).to_string().replacen(":{", &format!(":{again}"), 1);
    let read = parse(twice.as_bytes(), Encoding::Json);
    assert!(matches!(read, Err(ParseError::BadPayload { .. })), "{read:?} out of {twice}");
}

fn same_in_json(message: &ClientMessage) {
    let bytes = encode::value(&written(message), Encoding::Json);
    assert_eq!(parse(&bytes, Encoding::Json).as_ref(), Ok(message), "{}", String::from_utf8_lossy(&bytes));
}

/// Asserts that `value` has the content of `message`. Other fields of `value` are ignored.
fn shows(value: &Value, message: &ClientMessage) {
    let object = value.as_object().expect("a message is an object");
    assert_eq!(object.len(), 1, "one key: {value}");
    let is = |fields: &Map<String, Value>, name: &str, expected: Value| {
        assert_eq!(fields.get(name).unwrap_or(&Value::Null), &expected, "{name} in {value}");
    };
    let fields = |name: &str| value[name].as_object().unwrap_or_else(|| panic!("no {name} in {value}"));
    match message {
        ClientMessage::Comment(comment) => {
            let there = fields("comment");
            is(there, "text", json!(comment.text));
            is(there, "id", json!(comment.id));
            is(there, "media_ms", json!(comment.media_ms));
            is(there, "ext", json!(comment.ext));
            let style = there.get("style").unwrap_or(&Value::Null);
            let Some(read) = comment.style else { return assert_eq!(style, &Value::Null) };
            let style = style.as_object().expect("a style is an object");
            is(style, "color", json!(read.color));
            is(style, "size", json!(read.size));
            is(style, "mode", json!(read.mode.map(name_of)));
        }
        ClientMessage::Like(like) => is(fields("like"), "count", json!(like.count)),
        ClientMessage::Auth(auth) => is(fields("auth"), "token", json!(auth.token)),
        ClientMessage::Rendition(name) => is(object, "rendition", json!(name)),
        ClientMessage::Ping => assert!(fields("ping").len() <= object["ping"].as_object().map_or(0, Map::len)),
        ClientMessage::Vote(vote) => {
            let there = fields("vote");
            is(there, "id", json!(vote.id));
            is(there, "poll", json!(vote.poll));
            is(there, "option", json!(vote.option));
        }
    }
}

const fn name_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Scroll => "scroll",
        Mode::Top => "top",
        Mode::Bottom => "bottom",
        Mode::Reverse => "reverse",
    }
}
