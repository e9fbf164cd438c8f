//! Bodies from a program, and what each becomes.

use super::*;
use crate::protocol::kind::{Kind, Level};
use crate::protocol::settings::{Allowed, Class, Classed, Merge};
use crate::protocol::user::Role;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn kind(event: Value) -> Kind {
    match read(event.to_string().as_bytes()) {
        Ok(Submission { events, is_batch: false }) => match &events[..] {
            [Event::Post(post)] => post.kind.clone(),
            other => panic!("{event}: {other:?}"),
        },
        other => panic!("{event}: {other:?}"),
    }
}

#[track_caller]
fn fault(body: impl AsRef<[u8]>) -> Fault {
    match read(body.as_ref()) {
        Err(fault) => {
            let is_plain = fault.message.bytes().all(|b| (0x20..0x7f).contains(&b));
            assert!(is_plain && (1..=400).contains(&fault.message.len()), "{fault:?}");
            fault
        }
        Ok(read) => panic!("expected a fault, got {read:?}"),
    }
}

/// The fault begins with its place.
#[track_caller]
fn faulty(event: Value, kind: FaultKind, place: &str) {
    let fault = fault(event.to_string());
    assert_eq!(fault.kind, kind, "{event}: {fault}");
    assert!(fault.message.starts_with(place), "{event}: {fault}");
    // The same inside of a batch, with its place there.
    let second = json!({"events": [{"unpin": {}}, event]});
    if event.as_object().is_some_and(|event| event.len() == 1 && !event.contains_key("events")) {
        let fault = self::fault(second.to_string());
        assert_eq!(fault.kind, kind, "{second}: {fault}");
        assert!(fault.message.contains("events[1]"), "{second}: {fault}");
    }
}

fn somebody() -> Value {
    json!({"id": "u-1", "name": "  小明\u{200b} ", "role": "vip"})
}

#[test]
fn every_kind_is_read_with_its_texts_normalised() {
    let gift =
        kind(json!({"gift": {"user": somebody(), "name": "玫\u{200b}瑰", "count": 99, "value": 0, "combo": "c1"}}));
    let Kind::Gift(gift) = gift else { panic!("{gift:?}") };
    assert_eq!((&*gift.user.name, gift.user.role, &*gift.name), ("小明", Role::Vip, "玫瑰"));
    assert_eq!((gift.count, gift.value, gift.total), (99, 0, None));
    let said = kind(json!({"announcement": {"text": " a\r\nb ", "level": "urgent", "until": 1_796_083_540_000_u64}}));
    let Kind::Announcement(said) = said else { panic!("{said:?}") };
    assert_eq!((&*said.text, said.level, said.until), ("a b", Level::Urgent, Some(1_796_083_540_000)));
    let custom =
        kind(json!({"custom": {"type": "shop.product", "data": {"b": [1, 2.5, null], "a": " x "}, "sticky": true}}));
    let Kind::Custom(custom) = custom else { panic!("{custom:?}") };
    assert_eq!(*custom.data, json!({"a": " x ", "b": [1, 2.5, null]}), "its data is its own");
    assert!(custom.sticky && &*custom.name == "shop.product");
    let Kind::Custom(custom) = kind(json!({"custom": {"type": "a.b", "data": null}})) else { panic!() };
    assert_eq!((&*custom.data, custom.sticky), (&Value::Null, false));
    let Kind::Poll(poll) = kind(json!({"poll": {"id": "p1", "question": "?", "options": ["A", " B "]}})) else {
        panic!()
    };
    assert_eq!(poll.options.iter().map(|option| &**option).collect::<Vec<_>>(), ["A", "B"]);
    assert!(matches!(kind(json!({"pin": {"text": "x", "user": null}})), Kind::Pin(pin) if pin.user.is_none()));
    assert!(matches!(kind(json!({"unpin": {}})), Kind::Unpin(_)));
    assert!(matches!(kind(json!({"delete": {"offset": 813}})), Kind::Delete(delete) if delete.offset == 813));
    assert!(matches!(kind(json!({"poll_close": {"id": "p1"}})), Kind::PollClose(_)));
    assert!(matches!(kind(json!({"enter": {"user": somebody()}})), Kind::Enter(enter) if &*enter.user.id == "u-1"));
    let patch = kind(json!({"settings": {"budget": 0, "merge": "equal", "allowed": ["like"], "text_max": 512,
        "classes": {"gift": "normal"}, "word_bonus": 10, "words": [" price "]}}));
    let Kind::Settings(patch) = patch else { panic!("{patch:?}") };
    assert_eq!((patch.budget, patch.merge, patch.text_max), (Some(0), Some(Merge::Equal), Some(512)));
    assert_eq!(patch.allowed, Some(BTreeSet::from([Allowed::Like])));
    assert_eq!((patch.classes[&Classed::Gift], patch.classes.len()), (Class::Normal, 1));
    assert_eq!((patch.word_bonus, patch.words.map(|words| words.concat())), (Some(10), Some("price".into())));
    assert_eq!((patch.tick_ms, patch.slow_ms, patch.mute_all, patch.question_bonus), (None, None, None, None));
}

#[test]
fn the_hosts_words_are_a_comment() {
    let body = json!({"comment": {"user": {"id": "host", "name": "Host", "role": "host"}, "text": " hi ",
        "style": {"color": 255}, "media_ms": 7, "ext": {}}});
    let read = read(body.to_string().as_bytes()).unwrap();
    let [Event::Comment(comment)] = &read.events[..] else { panic!("{read:?}") };
    assert_eq!((comment.user.role, &*comment.text, comment.style.color), (Role::Host, "hi", 255));
    assert_eq!((comment.id.as_ref(), comment.media_ms, comment.ext.as_ref()), (None, Some(7), None));
}

#[test]
fn a_batch_is_read_in_its_order_and_bounded() {
    let batch = |n: usize| json!({"events": vec![json!({"delete": {"offset": n}}); n]}).to_string();
    let Submission { events, is_batch } = read(batch(POST_EVENTS_MAX).as_bytes()).unwrap();
    assert!(is_batch && events.len() == POST_EVENTS_MAX);
    for body in [batch(0), batch(POST_EVENTS_MAX + 1)] {
        assert_eq!(fault(body).kind, FaultKind::OutOfRange);
    }
    for body in
        [json!({"events": {}}), json!({"events": [], "unpin": {}}), json!({"events": [[]]}), json!({"events": [{}]})]
    {
        assert_eq!(fault(body.to_string()).kind, FaultKind::BadPayload, "{body}");
    }
}

#[test]
fn what_is_no_post_is_named() {
    for body in [
        "",
        " ",
        "{",
        "nope",
        "null",
        "7",
        "\"gift\"",
        "[]",
        "{}",
        "{\"unpin\":{}} x",
        "{\"unpin\":{}}{\"unpin\":{}}",
        "{\"unpin\":{},}",
        "{'unpin':{}}",
        "{\"unpin\":null}",
        "{\"unpin\":[]}",
        "{\"unpin\":7}",
        "{\"delete\":{\"offset\":NaN}}",
        "{\"delete\":{\"offset\":1e999}}",
        "{\"unpin\":{},\"delete\":{\"offset\":1}}",
        "{\"unpin\":{},\"unpin\":{}}",
        "{\"delete\":{\"offset\":1,\"offset\":1}}",
        "{\"custom\":{\"type\":\"a.b\",\"data\":{\"x\":1,\"x\":1}}}",
    ] {
        assert_eq!(fault(body).kind, FaultKind::BadPayload, "{body}");
    }
    assert_eq!(fault(b"{\"pin\":{\"text\":\"\xff\"}}").kind, FaultKind::BadPayload);
    faulty(
        json!({"dance": {}}),
        FaultKind::BadPayload,
        "an event: \"dance\" is no kind of event; known are \"comment\", ",
    );
    faulty(json!({"likes": {"add": 1}}), FaultKind::BadPayload, "an event: \"likes\" is no kind");
    faulty(
        json!({"announcement": {"text": "x", "colour": 1}}),
        FaultKind::BadPayload,
        "\"colour\" is no field of announcement",
    );
    faulty(json!({"unpin": {"x\n\u{202e}y": 1}}), FaultKind::BadPayload, "\"x\\n\\u{202e}y\" is no field");
    faulty(json!({"unpin": {"y".repeat(500): 1}}), FaultKind::BadPayload, "\"yyyy");
    faulty(
        json!({"enter": {"user": {"id": "a", "name": "b", "vip": true}}}),
        FaultKind::BadPayload,
        "\"vip\" is no field of enter.user",
    );
    faulty(
        json!({"gift": {"user": somebody(), "name": "x", "count": 1, "value": 1, "total": 1}}),
        FaultKind::BadPayload,
        "gift.total is counted by the room",
    );
    faulty(
        json!({"comment": {"user": somebody(), "text": "x", "id": "c1"}}),
        FaultKind::BadPayload,
        "comment.id: use the header",
    );
}

#[test]
fn a_depth_is_a_fault_and_no_stack() {
    for n in [31, 10_000, 100_000] {
        let (open, close) = ("[".repeat(n), "]".repeat(n));
        for body in [
            format!(r#"{{"custom":{{"type":"a.b","data":{open}{close}}}}}"#),
            format!(r#"{{"events":[{{"x":{open}{close}}}]}}"#),
            open,
            r#"{"x":"#.repeat(n + 2),
        ] {
            let fault = fault(&body);
            assert!(fault.message.contains("too deeply") || n == 31, "{fault}");
        }
    }
    let data = |n: usize| format!(r#"{{"custom":{{"type":"a.b","data":{}{}}}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(read(data(30).as_bytes()).is_ok(), "32 levels");
    assert!(fault(data(31)).message.contains("too deeply"));
}

#[test]
fn numbers_outside_of_their_range_are_told_the_range() {
    let gift =
        |count: Value, value: Value| json!({"gift": {"user": somebody(), "name": "x", "count": count, "value": value}});
    let huge = serde_json::from_str::<Value>("1000000000000000000000000000000").unwrap();
    for bad in [json!(-1), json!(1_000_000_000_000_000_000_u64), json!(1_000_000_000_001_u64), huge] {
        faulty(gift(json!(1), bad), FaultKind::OutOfRange, "gift.value must be a whole number from 0 to 1000000000000");
    }
    for bad in [json!(0), json!(-1), json!(1_000_001)] {
        faulty(gift(bad, json!(1)), FaultKind::OutOfRange, "gift.count must be a whole number from 1 to 1000000");
    }
    for bad in [json!(1.5), json!("1"), json!([1]), json!(true), json!(0.0)] {
        faulty(gift(json!(1), bad), FaultKind::BadPayload, "gift.value must be a whole number");
    }
    faulty(gift(json!(1), Value::Null), FaultKind::BadPayload, "gift.value is missing");
    assert!(matches!(kind(gift(json!(1_000_000), json!(1_000_000_000_000_u64))), Kind::Gift(_)));
    faulty(json!({"delete": {"offset": 0}}), FaultKind::OutOfRange, "delete.offset");
    faulty(json!({"delete": {"offset": 1_u64 << 53}}), FaultKind::OutOfRange, "delete.offset");
    faulty(json!({"announcement": {"text": "x", "until": -1}}), FaultKind::OutOfRange, "announcement.until");
    for (until, hint) in [
        (1_796_083_540_u64, "and 1796083540 looks like seconds: multiply by 1,000"),
        (1, "looks like seconds"),
        (1_796_083_540_000_000, "looks like microseconds: divide by 1,000"),
        (1_796_083_540_000_000_000, "looks like nanoseconds: divide by 1,000,000"),
        (u64::MAX, "looks like nanoseconds"),
        (0, "must be a whole number from 100000000000 to 99999999999999"),
    ] {
        let body = json!({"announcement": {"text": "x", "until": until}});
        faulty(body, FaultKind::OutOfRange, "announcement.until ");
        let fault = read(json!({"announcement": {"text": "x", "until": until}}).to_string().as_bytes()).unwrap_err();
        assert!(fault.message.contains(hint), "{fault}");
    }
    for bad in [json!(1_796_083_540.5), json!("1796083540000"), json!("tomorrow")] {
        faulty(json!({"announcement": {"text": "x", "until": bad}}), FaultKind::BadPayload, "announcement.until");
    }
    for ms in [1, 5, 99] {
        let hint = format!("settings.slow_ms is in milliseconds, 0 or at least 100; {ms} looks like seconds");
        faulty(json!({"settings": {"slow_ms": ms}}), FaultKind::OutOfRange, &hint);
    }
    for ms in [0, 100, 3_600_000] {
        assert!(matches!(kind(json!({"settings": {"slow_ms": ms}})), Kind::Settings(_)), "{ms}");
    }
    let settings = |name: &str, value: Value| json!({"settings": {name: value}});
    for (name, low, high) in [
        ("budget", None, 1_001),
        ("tick_ms", Some(4), 2_001),
        ("slow_ms", None, 3_600_001), // From 1 to 99 it looks like seconds: see below.
        ("text_max", Some(0), 513),
        ("question_bonus", None, 11),
        ("word_bonus", None, 11),
    ] {
        let below = low.map_or(json!(-1), Value::from);
        for bad in [below, json!(high), json!(u64::MAX)] {
            faulty(settings(name, bad), FaultKind::OutOfRange, &format!("settings.{name} must be"));
        }
        assert!(matches!(kind(settings(name, json!(high - 1))), Kind::Settings(_)));
    }
    faulty(settings("words", json!(vec!["w"; 33])), FaultKind::OutOfRange, "settings.words must hold at most 32");
    for (name, bad) in [
        ("merge", json!("some")),
        ("merge", json!(1)),
        ("allowed", json!(["gift"])),
        ("allowed", json!("like")),
        ("mute_all", json!(1)),
        ("classes", json!({"gift": "best"})),
        ("classes", json!(["gift"])),
        ("words", json!([1])),
    ] {
        faulty(settings(name, bad), FaultKind::BadPayload, &format!("settings.{name}"));
    }
    faulty(
        settings("classes", json!({"emperor": "low"})),
        FaultKind::BadPayload,
        "\"emperor\" is no field of settings.classes",
    );
    faulty(json!({"settings": {}}), FaultKind::BadPayload, "settings must change something");
    faulty(settings("budget", Value::Null), FaultKind::BadPayload, "settings must change something");
    faulty(settings("budgets", json!(5)), FaultKind::BadPayload, "\"budgets\" is no field of settings");
}

#[test]
fn texts_are_bounded_after_normalisation() {
    let long = |n: usize| "字".repeat(n);
    let poll =
        |question: String, options: Value| json!({"poll": {"id": "p", "question": question, "options": options}});
    for (event, place) in [
        (json!({"announcement": {"text": long(513)}}), "announcement.text"),
        (json!({"announcement": {"text": "x".repeat(1_000_000)}}), "announcement.text"),
        (json!({"pin": {"text": long(513)}}), "pin.text"),
        (json!({"comment": {"user": somebody(), "text": long(513)}}), "comment.text"),
        (json!({"enter": {"user": {"id": "a", "name": long(65)}}}), "enter.user.name"),
        (poll(long(257), json!(["a", "b"])), "poll.question"),
        (poll(long(1), json!(["a", long(65)])), "poll.options[1]"),
        (json!({"settings": {"words": [long(33)]}}), "settings.words[0]"),
        (json!({"custom": {"type": "a.b", "data": "x".repeat(1_023)}}), "custom.data"),
        (json!({"comment": {"user": somebody(), "text": "x", "ext": {"x": "y".repeat(512)}}}), "comment.ext"),
    ] {
        faulty(event, FaultKind::TooLong, place);
    }
    for (event, place) in [
        (json!({"announcement": {"text": ""}}), "announcement.text"),
        (json!({"pin": {"text": " \u{200b}\n"}}), "pin.text"),
        (json!({"enter": {"user": {"id": "a", "name": "\u{202e}"}}}), "enter.user.name"),
        (poll(long(1), json!(["a", " "])), "poll.options[1]"),
    ] {
        faulty(event, FaultKind::Empty, place);
    }
    kind(json!({"announcement": {"text": format!("  {}\u{200b} ", long(512))}}));
    kind(json!({"custom": {"type": "a.b", "data": "x".repeat(1_022)}}));
    kind(poll(long(256), json!([long(64), "b"])));
}

#[test]
fn names_have_their_alphabet() {
    for id in ["", "a b", "a.b", "é", "a\n", &"x".repeat(65)] {
        faulty(
            json!({"enter": {"user": {"id": id, "name": "x"}}}),
            FaultKind::OutOfRange,
            "enter.user.id must have 1 to 64",
        );
    }
    for name in
        ["", "product", "Shop.product", "shop.product!", "shop product.x", "店.x", &format!("a.{}", "x".repeat(63))]
    {
        faulty(json!({"custom": {"type": name, "data": 1}}), FaultKind::OutOfRange, "custom.type must have");
    }
    for id in ["", "é", "a\n", &"x".repeat(65)] {
        faulty(json!({"poll_close": {"id": id}}), FaultKind::OutOfRange, "poll_close.id must have 1 to 64");
    }
    faulty(
        json!({"enter": {"user": {"id": "a", "name": "x", "role": "emperor"}}}),
        FaultKind::BadPayload,
        "enter.user.role must be \"guest\", ",
    );
    faulty(json!({"enter": {"user": "a"}}), FaultKind::BadPayload, "enter.user must be an object");
    faulty(json!({"enter": {}}), FaultKind::BadPayload, "enter.user is missing");
    let poll = |options: Value| json!({"poll": {"id": "p", "question": "?", "options": options}});
    for options in
        [json!([]), json!(["a"]), json!((0..11).map(|n| n.to_string()).collect::<Vec<_>>()), json!(["a", " a"])]
    {
        faulty(poll(options), FaultKind::OutOfRange, "poll.options must");
    }
    faulty(poll(json!({"a": 1})), FaultKind::BadPayload, "poll.options must be a list");
}
