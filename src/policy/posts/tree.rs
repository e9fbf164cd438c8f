//! From bytes to a JSON value, within a depth, each key once.

use super::Fault;
use crate::limits::MESSAGE_DEPTH_MAX;
use crate::protocol::encode::BYTE_ORDER_MARK;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

const TOO_DEEP: &str = "nested too deeply; at most 32 levels";
const _: () = assert!(MESSAGE_DEPTH_MAX == 32, "the text above names it");
const TWICE: &str = "a key stands twice in one object";

/// The single JSON value of `body`. Values below the depth limit are not read, so that nesting cannot exhaust the stack.
///
/// A byte order mark before it is skipped, as RFC 8259 allows: some programs on Windows write one.
pub(super) fn parse(body: &[u8]) -> Result<Value, Fault> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let fault = Cell::new("");
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Tree { depth: 0, fault: &fault }.deserialize(&mut reader);
    read.and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        use serde_json::error::Category;
        match error.classify() {
            Category::Data => Fault::bad(fault.get()),
            _ if body.trim_ascii().is_empty() => Fault::bad("the body is empty; send one event or {\"events\":[...]}"),
            _ if let Some(encoding) = foreign_encoding(body) => {
                Fault::bad(format!("not UTF-8: {encoding}; send UTF-8"))
            }
            Category::Eof => Fault::bad("not JSON: it ends too early"),
            // serde_json's syntax messages name the expected token and the position, never the input.
            Category::Syntax | Category::Io => Fault::bad(format!("not JSON: {error}")),
        }
    })
}

/// The encoding of a body that is not UTF-8, if its beginning shows it.
fn foreign_encoding(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x1f, 0x8b, ..] => Some("the body is packed with gzip"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'{', ..] | [b'{', 0, ..] => Some("the body is UTF-16 or UTF-32"),
        _ => None,
    }
}

#[derive(Clone, Copy)]
struct Tree<'n> {
    depth: usize,
    fault: &'n Cell<&'static str>,
}

impl Tree<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MESSAGE_DEPTH_MAX {
            return Err(self.fault(TOO_DEEP));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn fault<E: de::Error>(self, fault: &'static str) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
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
        Number::from_f64(value).map(Value::Number).ok_or_else(|| self.fault("a number is not finite"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(deeper)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.insert(key, map.next_value_seed(deeper)?).is_some() {
                return Err(self.fault(TWICE));
            }
        }
        Ok(Value::Object(object))
    }
}
