use super::super::*;
use super::*;

fn read(text: &str) -> Vec<Result<(u64, String), String>> {
    let mut reader = Reader::new(text.as_bytes());
    let mut all = Vec::new();
    loop {
        match reader.read() {
            Ok(None) => return all,
            Ok(Some(line)) => all.push(Ok((line.number, format!("{:?} at {}", line.event, line.t_ns)))),
            Err(broken) => all.push(Err(broken.to_string())),
        }
    }
}

/// One event of every kind, with every field.
fn every_event() -> Vec<Event<'static>> {
    let name = |text: &'static str| Some(Text::Borrowed(text));
    let who = || Who { client: name("v1"), session: name("s1") };
    let answered = || Answered { author: "a".into(), id: "c1".into(), room: name("demo"), attempt: Some(2) };
    let moment = || Moment { who: who(), room: name("demo") };
    let items = || {
        let comment =
            Item { offset: 7, author: name("a"), id: name("c1"), hash: name("h\"1"), times: 3, ..Item::default() };
        let likes = Item { offset: 8, times: 1, kind: name("likes"), ..Item::default() };
        let gift = Item { offset: 9, times: 1, kind: name("gift"), lane: name("guaranteed"), ..Item::default() };
        let said = Item { offset: 10, times: 1, kind: name(COMMENT), lane: name("guaranteed"), ..Item::default() };
        vec![comment, likes, gift, said]
    };
    vec![
        Event::Send(Sent {
            who: who(),
            author: "a".into(),
            id: name("c1"),
            room: "demo".into(),
            hash: "h".into(),
            attempt: Some(2),
            retry: true,
        }),
        Event::Send(Sent { author: "a".into(), room: "demo".into(), hash: "h".into(), ..Sent::default() }),
        Event::Ok(Kept { answered: answered(), epoch: "e".into(), offset: 7, outcome: name("merged"), into: Some(3) }),
        Event::Ok(Kept { answered: answered(), epoch: "e".into(), offset: 7, outcome: None, into: None }),
        Event::Rendition(Rendition { who: who(), room: name("demo"), now: "lite".into(), reason: name("slow") }),
        Event::Fail(Refused { answered: answered(), code: "rate_limited".into() }),
        Event::Unknown(Unsure { answered: answered() }),
        Event::Welcome(Welcome {
            who: who(),
            room: "demo".into(),
            epoch: "e".into(),
            last: 9,
            recovered: true,
            reason: name("too_old"),
            after: Some(3),
            started: Some(11),
            likes: Some(12),
            items: items(),
        }),
        Event::Frame(Frame {
            who: who(),
            room: name("demo"),
            prev: 5,
            last: 9,
            digest: name("d"),
            likes: Some(2),
            items: items(),
            raises: vec![(3, 2)],
            shed: [("low".into(), 2), ("gift".into(), 1)].into(),
        }),
        Event::Gap(Gap { who: who(), room: name("demo"), from: 9, to: 12, reason: name("slow") }),
        Event::Close(Closed { who: who(), room: name("demo"), code: 4001 }),
        Event::Live(moment()),
        Event::Attempt(moment()),
        Event::Expired(moment()),
        Event::Revoked(moment()),
        Event::Page(Page {
            node: "n".into(),
            room: "demo".into(),
            epoch: name("e"),
            after: 5,
            started: Some(4),
            items: items(),
        }),
        Event::Deleted(Deleted { room: "demo".into(), epoch: name("e"), offset: 7 }),
        Event::LikeOk(Liked { room: "demo".into(), n: 3 }),
        Event::LikeUnknown(Liked { room: "demo".into(), n: 3 }),
        Event::Likes(Total { who: who(), room: name("demo"), total: 3 }),
        Event::Fault(Fault { kind: "power_loss".into(), target: name("n"), on: false, durability: name("write") }),
        Event::Audit(Audit {
            node: "n".into(),
            room: "demo".into(),
            epoch: "e".into(),
            first: Some(1),
            last: Some(9),
            digest: name("d"),
            likes: Some(4),
            more: true,
            items: items(),
        }),
    ]
}

#[test]
fn written_events_are_read_in_both_forms() {
    for event in every_event() {
        let mut writer = Writer::new(Vec::new());
        writer.write(17, &event).unwrap();
        let nested = writer.into_inner();
        let mut value: serde_json::Value = serde_json::from_slice(&nested).unwrap();
        let object = value.as_object_mut().unwrap();
        let kind = object.keys().find(|key| *key != "t").unwrap().clone();
        let mut flat = object.remove(&kind).unwrap();
        for key in ["event", "type"] {
            let flat = flat.as_object_mut().unwrap();
            flat.remove("event");
            flat.insert("t".into(), 17.into());
            flat.insert(key.into(), kind.clone().into());
            for line in [nested.clone(), serde_json::to_vec(&flat).unwrap()] {
                let mut reader = Reader::new(&line[..]);
                let read = reader.read().unwrap().unwrap();
                assert_eq!((read.number, read.t_ns, read.event), (1, 17, Ok(event.clone())));
            }
        }
    }
}

#[test]
fn numbers_serve_as_names_and_a_plain_count_as_shed() {
    let line = r#"{"t":1,"frame":{"session":7,"prev":0,"last":2,"digest":99,"items":[[1,4,5,6],[2,"a",null,"h",2]],"shed":3,"more_to_come":{"x":[1]}}}"#;
    let mut reader = Reader::new(line.as_bytes());
    let Ok(Event::Frame(frame)) = reader.read().unwrap().unwrap().event else { panic!("a frame") };
    assert_eq!(frame.who.session.as_deref(), Some("7"));
    assert_eq!(frame.digest.as_deref(), Some("99"));
    assert_eq!(frame.items[0].hash.as_deref(), Some("6"));
    assert_eq!((frame.items[0].times, frame.items[1].times), (1, 2));
    assert_eq!(frame.shed, [("normal".into(), 3)].into());
}

#[test]
fn unknown_events_are_named_and_blank_lines_skipped() {
    let read = read("{\"t\":1,\"poll\":{\"x\":1}}\n\n  \n{\"t\":2,\"type\":\"vote\",\"room\":\"r\"}\n");
    assert_eq!(read, [Ok((1, "Err(\"poll\") at 1".into())), Ok((4, "Err(\"vote\") at 2".into()))]);
}

#[test]
fn a_broken_line_is_named_with_its_number_and_the_reason() {
    for (line, why) in [
        ("{\"t\":1,\"send\":{\"author\":\"a\"}}", "line 2: `send` without `room`"),
        ("{\"t\":1,\"frame\":{\"session\":\"s\",\"prev\":-1,\"last\":2}}", "line 2: invalid value: integer `-1`"),
        ("{\"t\":1,\"frame\":{\"prev\":1,\"last\":2}}", "line 2: `frame` without `client` or `session`"),
        ("{\"t\":1,\"close\":{\"client\":\"c\",\"code\":\"x\"}}", "line 2: `close` without a number as `code`"),
        ("{\"t\":1,\"fault\":{\"kind\":\"x\"}}", "line 2: `fault` without `on`, `off` or `state`"),
        ("{\"t\":1,\"page\":{\"node\":\"n\",\"room\":\"r\",\"after\":0,\"items\":[[1,2]]}}", "line 2: invalid length"),
        ("{\"live\":{\"client\":\"c\"}}", "line 2: no time `t`"),
        ("{\"t\":1}", "line 2: no event in it"),
        ("{\"t\":1,\"live\":{\"client\":\"c\"},\"gap\":{\"from\":1}}", "line 2: two events, `live` and `gap`"),
        ("{\"t\":1,\"live\":{\"client\":\"c\"", "line 2: EOF while parsing"),
        ("[1]", "line 2: invalid type: sequence"),
        ("\u{0}", "line 2: expected value"),
    ] {
        let read = read(&format!("{{\"t\":1,\"live\":{{\"client\":\"c\"}}}}\n{line}\n{{\"t\":2,\"x\":{{}}}}"));
        assert!(matches!(&read[1], Err(error) if error.starts_with(why)), "{line}: {:?}", read[1]);
        assert!(read[2].is_ok(), "reading goes on after it");
    }
}

#[test]
fn a_byte_order_mark_before_the_first_line_and_carriage_returns_are_no_part_of_it() {
    let line = "{\"t\":1,\"poll\":{\"x\":1}}";
    let first = read(&format!("\u{feff}{line}\r\n"));
    assert_eq!(first, [Ok((1, "Err(\"poll\") at 1".into()))]);
    let marked = read(&format!("{line}\n\u{feff}{line}\n"));
    assert!(marked[0] == first[0] && marked[1].is_err(), "{marked:?}");
}
