//! Payloads from the internet, and the answer each gets.

use super::*;
use crate::protocol::encode;
use proptest::prelude::*;
use serde_json::json;

fn json(payload: impl AsRef<[u8]>) -> Result<ClientMessage, ParseError> {
    parse(payload.as_ref(), Encoding::Json)
}

fn msgpack(payload: impl AsRef<[u8]>) -> Result<ClientMessage, ParseError> {
    parse(payload.as_ref(), Encoding::Msgpack)
}

#[track_caller]
fn bad(result: Result<ClientMessage, ParseError>) -> String {
    match result {
        Err(ParseError::BadPayload { message, .. }) => message,
        other => panic!("expected bad_payload, got {other:?}"),
    }
}

fn text(text: &str) -> ClientMessage {
    ClientMessage::Comment(CommentRequest { text: text.into(), ..CommentRequest::default() })
}

/// MessagePack by hand: what no serializer of ours would write.
mod raw {
    pub(super) fn string(text: &str) -> Vec<u8> {
        [&[0xd9, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    pub(super) fn map(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut out = vec![0x80 | u8::try_from(entries.len()).unwrap()];
        for (key, value) in entries {
            out.extend(key);
            out.extend(value);
        }
        out
    }

    pub(super) fn comment(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        map(&[(string("comment"), map(entries))])
    }
}
use raw::{comment, map, string};

#[test]
fn json_that_is_no_message_is_bad_payload() {
    for payload in [
        "",
        " ",
        "{",
        "nope",
        "null",
        "true",
        "7",
        "\"comment\"",
        "[]",
        "{}",
        r#"{"comment":{"text":"a"}"#,
        r#"{"comment":{"text":"a"}}}"#,
        r#"{"comment":{"text":"a"}} x"#,
        r#"{"comment":{"text":"a"}}{"comment":{"text":"b"}}"#,
        r#"{"comment":{"text":"a"},"like":{"count":1}}"#,
        r#"{"comment":{"text":"a"},"comment":{"text":"b"}}"#,
        r#"{"comment":{"text":"a","text":"b"}}"#,
        r#"{"comment":{"id":"1","id":"2","text":"a"}}"#,
        r#"{"comment":{"text":"a","ext":{"k":1,"k":1}}}"#,
        r#"{"comment":{"text":"a","ext":{"k":1,"\u006b":2}}}"#,
        r#"{"comment":{"text":"a","ext":{"a":[{"b":{"c":1,"d":2,"c":null}}]}}}"#,
        r#"{"comment":{"text":NaN}}"#,
        r#"{"like":{"count":NaN}}"#,
        r#"{"like":{"count":Infinity}}"#,
        r#"{"comment":{"text":"a",}}"#,
        r#"{'comment':{'text':'a'}}"#,
        r#"{"comment":{}}"#,
        r#"{"comment":{"text":null}}"#,
        r#"{"comment":{"text":7}}"#,
        r#"{"comment":{"text":["a"]}}"#,
        r#"{"comment":null}"#,
        r#"{"comment":"a"}"#,
        r#"{"comment":["c1","a",null,null,null]}"#,
        r#"["comment",{"text":"a"}]"#,
        r#"[{"comment":{"text":"a"}}]"#,
        r#"{"like":[3]}"#,
        r#"{"like":3}"#,
        r#"{"like":{}}"#,
        r#"{"vote":{}}"#,
        r#"{"vote":"p"}"#,
        r#"{"vote":["p",0]}"#,
        r#"{"vote":{"poll":"p"}}"#,
        r#"{"vote":{"option":0}}"#,
        r#"{"vote":{"poll":"p","option":null}}"#,
        r#"{"vote":{"poll":null,"option":0}}"#,
        r#"{"vote":{"poll":7,"option":0}}"#,
        r#"{"vote":{"poll":"","option":0}}"#,
        r#"{"vote":{"poll":"p","option":-1}}"#,
        r#"{"vote":{"poll":"p","option":256}}"#,
        r#"{"vote":{"poll":"p","option":0.5}}"#,
        r#"{"vote":{"poll":"p","option":"0"}}"#,
        r#"{"vote":{"poll":"p","option":0,"option":1}}"#,
        r#"{"vote":{"poll":"p","option":0,"id":7}}"#,
        r#"{"auth":["t"]}"#,
        r#"{"auth":{}}"#,
        r#"{"rendition":{"lite":null}}"#,
        r#"{"rendition":7}"#,
        r#"{"ping":null}"#,
        r#"{"ping":[]}"#,
        r#"{"ping":{},"like":{"count":1}}"#,
        r#""Comment""#,
        r#"{"comment":{"text":"\ud800"}}"#,
        r#"{"comment":{"text":"\udc00\ud800"}}"#,
        r#"{"comment":{"text":"a","x":"\ud800"}}"#,
        r#"{"comment":{"text":"a\u0"}}"#,
        "{\"comment\":{\"text\":\"a\nb\"}}",
        "\u{feff}{\"comment\":{\"text\":\"a\"}}",
        r#"{"like":{"count":1e309}}"#,
        r#"{"like":{"count":99999999999999999999999999999999}}"#,
        r#"{"comment":{"text":"a","x":1e999}}"#,
    ] {
        bad(json(payload));
    }
    bad(json(b"{\"comment\":{\"text\":\"\xff\"}}"));
    bad(json(b"{\"comment\":{\"text\":\"\xc0\xaf\"}}"));
    bad(json(b"\x81\xa4like\x81\xa5count\x01"));
}

#[test]
fn client_ids_are_strings_of_printable_ascii() {
    for id in ["7", "-1", "1.5", "18446744073709551616", "1e309", "true", "[]", r#""""#, r#""é""#, r#""a\nb""#] {
        let message = bad(json(format!(r#"{{"comment":{{"id":{id},"text":"a"}}}}"#)));
        assert!(id == "1e309" || message.starts_with("comment.id"), "{id}: {message}");
    }
    bad(json(format!(r#"{{"comment":{{"id":"{}","text":"a"}}}}"#, "x".repeat(65))));
    for id in ["7", &"x".repeat(64)] {
        assert!(json(format!(r#"{{"comment":{{"id":"{id}","text":"a"}}}}"#)).is_ok());
    }
}

#[test]
fn unknown_fields_are_ignored_and_unknown_messages_named() {
    assert_eq!(json(r#"{"comment":{"x":{"y":[1,{"z":null}]},"text":"a","v":2}}"#), Ok(text("a")));
    assert_eq!(json(r#"{"comm\u0065nt":{"t\u0065xt":"a"}}"#), Ok(text("a")));
    for payload in [r#"{"CANARY":{"a":[1]}}"#, r#"{"":null}"#, r#"{"Comment":{"text":"a"}}"#] {
        let error = json(payload).unwrap_err();
        assert_eq!(error, ParseError::UnknownOp, "{payload}");
        assert!(!error.to_string().contains("CANARY"));
    }
    bad(json(r#"{"nope":1,"comment":{"text":"a"}}"#));
    assert_eq!(msgpack(map(&[(string("nope"), vec![0xc0])])), Err(ParseError::UnknownOp));
}

#[test]
fn depth_is_bounded_everywhere_without_recursion_running_away() {
    for n in [33, 10_000, 1_000_000] {
        let (open, close) = ("[".repeat(n), "]".repeat(n));
        bad(json(&open));
        bad(json(format!("{open}{close}")));
        bad(json(r#"{"a":"#.repeat(n)));
        for payload in [
            format!(r#"{{"comment":{{"text":"a","x":{open}{close}}}}}"#),
            format!(r#"{{"comment":{{"text":"a","ext":{{"x":{open}{close}}}}}}}"#),
            format!(r#"{{"nope":{open}{close}}}"#),
        ] {
            assert!(bad(json(&payload)).contains("too deeply"), "{n}");
        }
        bad(msgpack(vec![0x91; n]));
        bad(msgpack(b"\x81\xa1a".repeat(n)));
        let mut deep = vec![0x91; n];
        deep.push(0xc0);
        for key in ["x", "ext"] {
            let value = if key == "ext" { map(&[(string("k"), deep.clone())]) } else { deep.clone() };
            let payload = comment(&[(string("text"), string("a")), (string(key), value)]);
            assert!(bad(msgpack(payload)).contains("too deeply"), "{n}");
        }
    }
}

#[test]
fn messagepack_is_as_strict_as_json() {
    let a = || (string("text"), string("a"));
    assert_eq!(msgpack(comment(&[a()])), Ok(text("a")));
    let nil = || vec![0xc0];
    for (name, payload) in [
        ("empty", vec![]),
        ("nil", nil()),
        ("reserved", vec![0xc1]),
        ("empty map", vec![0x80]),
        ("cut", comment(&[a()])[..8].to_vec()),
        ("trailing", [comment(&[a()]), nil()].concat()),
        ("two documents", comment(&[a()]).repeat(2)),
        ("array for the comment", map(&[(string("comment"), [vec![0x92, 0xc0], string("a")].concat())])),
        ("array for the like", map(&[(string("like"), vec![0x91, 3])])),
        ("integer keys", comment(&[(vec![1], string("a"))])),
        ("integer key beside", comment(&[a(), (vec![7], nil())])),
        ("integer operation", map(&[(vec![0], map(&[a()]))])),
        ("nil key", comment(&[a(), (nil(), nil())])),
        ("bytes for text", comment(&[(string("text"), vec![0xc4, 1, b'a'])])),
        ("bytes for a key", comment(&[(vec![0xc4, 4, b't', b'e', b'x', b't'], string("a"))])),
        ("text that is not UTF-8", comment(&[(string("text"), vec![0xa1, 0xff])])),
        ("surrogate in UTF-8", comment(&[(string("text"), vec![0xa3, 0xed, 0xa0, 0x80])])),
        ("key that is not UTF-8", comment(&[a(), (vec![0xa1, 0xff], nil())])),
        ("two keys", map(&[(string("comment"), map(&[a()])), (string("like"), map(&[(string("count"), vec![1])]))])),
        ("the same field twice", comment(&[a(), a()])),
        ("mode by number", comment(&[a(), (string("style"), map(&[(string("mode"), vec![1])]))])),
        ("mode as a map", comment(&[a(), (string("style"), map(&[(string("mode"), map(&[(string("top"), nil())]))]))])),
        (
            "mode as an array",
            comment(&[a(), (string("style"), map(&[(string("mode"), [vec![0x91], string("top")].concat())]))]),
        ),
        ("style by position", comment(&[a(), (string("style"), vec![0x93, 0xc0, 1, 25])])),
        ("negative colour", comment(&[a(), (string("style"), map(&[(string("color"), vec![0xff])]))])),
        ("float count", map(&[(string("like"), map(&[(string("count"), vec![0xca, 0x3f, 0x80, 0, 0])]))])),
        ("NaN count", map(&[(string("like"), map(&[(string("count"), vec![0xca, 0x7f, 0xc0, 0, 0])]))])),
        ("NaN in ext", comment(&[a(), (string("ext"), map(&[(string("k"), vec![0xca, 0x7f, 0xc0, 0, 0])]))])),
        ("bytes in ext", comment(&[a(), (string("ext"), map(&[(string("k"), vec![0xc4, 1, 0])]))])),
        ("integer key in ext", comment(&[a(), (string("ext"), map(&[(vec![1], nil())]))])),
        (
            "a key twice in ext",
            comment(&[a(), (string("ext"), map(&[(string("k"), vec![1]), (string("k"), vec![1])]))]),
        ),
        ("extension in ext", comment(&[a(), (string("ext"), map(&[(string("k"), vec![0xd4, 1, 0])]))])),
        ("array of four billion", map(&[(string("comment"), vec![0xdd, 0xff, 0xff, 0xff, 0xff])])),
        ("map of four billion", vec![0xdf, 0xff, 0xff, 0xff, 0xff]),
        ("string of four billion", vec![0x81, 0xdb, 0xff, 0xff, 0xff, 0xff]),
        ("JSON", br#"{"comment":{"text":"a"}}"#.to_vec()),
    ] {
        assert!(matches!(msgpack(&payload), Err(ParseError::BadPayload { .. })), "{name}: {:?}", msgpack(&payload));
    }
    // Unknown fields may hold whatever MessagePack has.
    for value in [vec![0xc4, 1, 0], vec![0xd4, 1, 0], vec![0xca, 0x7f, 0xc0, 0, 0], map(&[(vec![1], nil())])] {
        assert_eq!(msgpack(comment(&[(string("x"), value.clone()), a()])), Ok(text("a")), "{value:x?}");
    }
}

#[test]
fn the_id_comes_back_wherever_it_stands() {
    let id_of = |result: Result<ClientMessage, ParseError>| match result {
        Err(ParseError::BadPayload { id, .. }) => id.map(|id| id.as_str().to_owned()),
        other => panic!("expected bad_payload, got {other:?}"),
    };
    for payload in [
        r#"{"comment":{"id":"c1","text":7}}"#,
        r#"{"comment":{"text":7,"id":"c1"}}"#,
        r#"{"comment":{"style":[1,2],"ext":7,"id":"c1"}}"#,
        r#"{"comment":{"id":"c1"}}"#,
        r#"{"comment":{"id":"c1","text":"a"#,
        r#"{"comment":{"id":"c1","text":"a"}} trailing"#,
        r#"{"comment":{"text":"a","text":"b","id":"c1"}}"#,
        r#"{"comment":{"style":{"id":"not this"},"text":7,"id":"c1"}}"#,
        r#"{"vote":{"poll":"p","option":-1,"id":"c1"}}"#,
        r#"{"vote":{"id":"c1","option":0}}"#,
    ] {
        assert_eq!(id_of(json(payload)).as_deref(), Some("c1"), "{payload}");
    }
    for payload in [
        r#"{"comment":{"id":7,"text":7}}"#,
        r#"{"comment":{"text":7,"style":{"id":"c1"}}}"#,
        r#"{"comment":{"text":7"#,
        r#"{"like":{"id":"c1","count":0.5}}"#,
        "nope",
    ] {
        assert_eq!(id_of(json(payload)), None, "{payload}");
    }
    let payload = comment(&[(string("text"), vec![7]), (string("id"), string("c1"))]);
    assert_eq!(id_of(msgpack(payload)).as_deref(), Some("c1"));
}

#[test]
fn errors_never_repeat_what_the_client_sent() {
    for payload in [
        r#"{"comment":{"text":["CANARY"]}}"#,
        r#"{"comment":{"text":"a","style":"CANARY"}}"#,
        r#"{"comment":{"text":"a","style":{"mode":"CANARY"}}}"#,
        r#"{"comment":{"text":"a","CANARY":CANARY}}"#,
        r#"{"like":{"count":"CANARY"}}"#,
        r#"{"auth":{"token":{"CANARY":1}}}"#,
        r#"{"CANARY":1}"#,
        r#""CANARY""#,
        "CANARY",
    ] {
        let message = json(payload).unwrap_err().into_message();
        assert!(!message.message.contains("CANARY"), "{payload}: {}", message.message);
        assert!(!message.message.is_empty());
        let value: Result<serde_json::Value, _> = serde_json::from_str(payload);
        if let Ok(value) = value {
            let message = msgpack(rmp_serde::to_vec_named(&value).unwrap()).unwrap_err().into_message();
            assert!(!message.message.contains("CANARY"), "{payload}: {}", message.message);
        }
    }
    let debug = format!("{:?}", json(r#"{"auth":{"token":"CANARY"}}"#).unwrap());
    assert!(!debug.contains("CANARY"));
}

const MESSAGES: [&str; 7] = [
    r#"{"comment":{"id":"c1","text":"还有吗 😀","style":{"mode":"top","color":255},"media_ms":5,"ext":{"a":[1,null]}}}"#,
    r#"{"comment":{"text":"","unknown":{"fields":["are","ignored"]}}}"#,
    r#"{"like":{"count":3}}"#,
    r#"{"vote":{"poll":"p1","option":0,"id":"v1"}}"#,
    r#"{"auth":{"token":"t"}}"#,
    r#"{"rendition":"lite"}"#,
    r#"{"ping":{}}"#,
];

fn as_msgpack(json: &str) -> Vec<u8> {
    encode::value(&serde_json::from_str::<serde_json::Value>(json).unwrap(), Encoding::Msgpack)
}

#[test]
fn a_message_reads_the_same_in_both_encodings() {
    for json in MESSAGES {
        let message = parse(json.as_bytes(), Encoding::Json).unwrap();
        assert_eq!(parse(&as_msgpack(json), Encoding::Msgpack), Ok(message), "{json}");
    }
}

#[test]
fn bytes_after_a_message_are_refused_and_a_cut_one_too() {
    for json in MESSAGES {
        for (mut payload, encoding) in [(json.into(), Encoding::Json), (as_msgpack(json), Encoding::Msgpack)] {
            let last = payload.pop().unwrap();
            assert!(matches!(parse(&payload, encoding), Err(ParseError::BadPayload { .. })), "cut: {json}");
            payload.extend([last, b'1']);
            assert!(matches!(parse(&payload, encoding), Err(ParseError::BadPayload { .. })), "trailing: {json}");
        }
    }
}

#[test]
fn a_length_that_lies_costs_no_memory_and_depth_no_stack() {
    // A map of one, the key "comment", a map of one, the key "text", a string of 4 GiB.
    let liar = b"\x81\xa7comment\x81\xa4text\xdb\xff\xff\xff\xffabc";
    assert!(matches!(parse(liar, Encoding::Msgpack), Err(ParseError::BadPayload { .. })));
    let deep = [b"\x81\xa1x".as_slice(), &[0x91; 10_000], &[0xc0]].concat();
    assert!(matches!(parse(&deep, Encoding::Msgpack), Err(ParseError::BadPayload { .. })));
    let list = ["[".repeat(10_000), "]".repeat(10_000)].concat();
    let deep = format!(r#"{{"comment":{{"text":"a","ext":{{"x":{list}}}}}}}"#);
    assert!(matches!(parse(deep.as_bytes(), Encoding::Json), Err(ParseError::BadPayload { .. })));
}

#[test]
fn a_fraction_is_read_to_its_last_bit_in_both_encodings() {
    for fraction in [-9.183_549_615_799_121e-41, 0.1, 1e-320, f64::MIN_POSITIVE, f64::MAX] {
        let value = json!({ "comment": { "text": "a", "ext": { "x": fraction } } });
        for read in [json(value.to_string()), msgpack(rmp_serde::to_vec_named(&value).unwrap())] {
            let Ok(ClientMessage::Comment(comment)) = read else { panic!("{read:?}") };
            let bits = comment.ext.unwrap()["x"].as_f64().unwrap().to_bits();
            assert_eq!(bits, fraction.to_bits(), "{fraction:e}");
        }
    }
}

/// JSON values with our keys in them, so that random ones get past the first key.
fn values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        proptest::sample::select(vec!["scroll", "c1", "viewer"]).prop_map(Into::into),
    ];
    let keys = [
        "comment",
        "like",
        "auth",
        "rendition",
        "id",
        "text",
        "style",
        "mode",
        "color",
        "size",
        "media_ms",
        "ext",
        "count",
        "vote",
        "poll",
        "option",
        "token",
        "x",
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            5 => proptest::collection::btree_map(proptest::sample::select(keys.to_vec()), inner, 0..5)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

/// `value` in both encodings, where the object number `twice`, from 0, has its first key once more; `None` when there are not
/// as many objects with keys.
fn with_a_key_twice(value: &serde_json::Value, mut twice: usize) -> Option<(String, Vec<u8>)> {
    fn write(value: &serde_json::Value, twice: &mut Option<usize>, json: &mut String, packed: &mut Vec<u8>) {
        match value {
            serde_json::Value::Object(map) if !map.is_empty() => {
                let repeats = *twice == Some(0);
                *twice = if repeats { None } else { twice.map(|left| left - 1) };
                packed.push(0x80 | u8::try_from(map.len() + usize::from(repeats)).unwrap());
                let again = map.iter().take(usize::from(repeats));
                for (n, (key, value)) in map.iter().chain(again).enumerate() {
                    json.push(if n == 0 { '{' } else { ',' });
                    // The second one is written in another way and is the same key.
                    let escaped = key.chars().map(|c| format!("\\u{:04x}", u32::from(c)));
                    let key_json = if n < map.len() { key.clone() } else { escaped.collect() };
                    json.push_str(&format!("\"{key_json}\":"));
                    packed.extend(rmp_serde::to_vec(key).unwrap());
                    write(value, twice, json, packed);
                }
                json.push('}');
            }
            serde_json::Value::Array(list) => {
                packed.push(0x90 | u8::try_from(list.len()).unwrap());
                json.push('[');
                for (n, value) in list.iter().enumerate() {
                    json.push_str(if n == 0 { "" } else { "," });
                    write(value, twice, json, packed);
                }
                json.push(']');
            }
            leaf => {
                json.push_str(&leaf.to_string());
                packed.extend(rmp_serde::to_vec(leaf).unwrap());
            }
        }
    }
    // The message and the comment are objects too, and have their own rule.
    twice += 2;
    let message = json!({ "comment": { "text": "a", "ext": { "all": value } } });
    let (mut json, mut packed, mut left) = (String::new(), Vec::new(), Some(twice));
    write(&message, &mut left, &mut json, &mut packed);
    left.is_none().then_some((json, packed))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_key_counts_once_however_deep_it_stands_and_however_it_is_written(value in values(), at in 0_usize..12) {
        let whole = json!({ "comment": { "text": "a", "ext": { "all": value } } });
        let is_fine = json(whole.to_string()).is_ok();
        let Some((text, packed)) = with_a_key_twice(&value, at) else { return Ok(()) };
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        for read in [json(&text), msgpack(&packed)] {
            let Err(ParseError::BadPayload { message, .. }) = read else { panic!("{read:?} out of {text}") };
            prop_assert!(!is_fine || message.contains("ext has a key twice"), "{}: {}", text, message);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = json(&bytes);
        let _ = msgpack(&bytes);
    }

    #[test]
    fn both_encodings_read_the_same(op in proptest::sample::select(vec!["comment", "like", "vote", "auth", "rendition", "ping"]), value in values()) {
        let value = json!({ op: value });
        prop_assert_eq!(json(value.to_string()), msgpack(rmp_serde::to_vec_named(&value).unwrap()), "{}", value);
    }

    #[test]
    fn a_broken_message_never_panics(value in values(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let value = json!({ "comment": value });
        for (mut bytes, read) in [
            (value.to_string().into_bytes(), json as fn(Vec<u8>) -> _),
            (rmp_serde::to_vec_named(&value).unwrap(), msgpack),
        ] {
            let at = at.index(bytes.len());
            let _ = read(bytes[..at].to_vec());
            bytes[at] = byte;
            let _ = read(bytes);
        }
    }
}
