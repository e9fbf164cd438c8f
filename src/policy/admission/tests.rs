//! One table per kind of message: payload in, verdict out.

use super::*;
use crate::protocol::event::Mode;
use crate::protocol::message::VoteRequest;
use crate::protocol::user::Role;
use serde_json::json;

fn user(id: &str) -> User {
    User { id: id.into(), name: "guest 0001".into(), role: Role::Guest }
}

fn unlimited() -> Admission {
    Admission::new(&Config { no_rate_limits: true, ..Config::default() })
}

/// Judges one payload on a fresh connection without rate limits.
fn judge(payload: &[u8], encoding: Encoding) -> Admitted {
    unlimited().admit(payload, encoding, &user("u"), &mut SessionMeter::default(), 0)
}

fn judge_json(payload: &str) -> Admitted {
    judge(payload.as_bytes(), Encoding::Json)
}

fn msgpack(value: &serde_json::Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

#[track_caller]
fn refused(admitted: Admitted) -> ErrorMessage {
    match admitted {
        Admitted::Refused(message) => message,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn comment_of(admitted: Admitted) -> Comment {
    match admitted {
        Admitted::Said(Said::Comment(comment)) => *comment,
        other => panic!("expected a comment, got {other:?}"),
    }
}

#[test]
fn a_comment_arrives_normalised_with_its_fields_in_both_encodings() {
    let value = json!({"comment": {
        "id": "c1", "text": "  还有吗\u{200B}\r\n?", "style": {"mode": "top", "color": 255, "size": 36},
        "media_ms": 81234, "ext": {"k": [1, 2.5, null, {"x": "y"}]}, "unknown": {"deep": [1]},
    }});
    for comment in [comment_of(judge_json(&value.to_string())), comment_of(judge(&msgpack(&value), Encoding::Msgpack))]
    {
        assert_eq!(comment.user, user("u"));
        assert_eq!(comment.id.as_ref().map(ClientId::as_str), Some("c1"));
        assert_eq!(&*comment.text, "还有吗 ?");
        assert_eq!(comment.style, Style { mode: Mode::Top, color: 255, size: 36 });
        assert_eq!(comment.media_ms, Some(81234));
        assert_eq!(serde_json::Value::Object((*comment.ext.unwrap()).clone()), value["comment"]["ext"]);
    }
}

#[test]
fn absent_and_null_fields_are_the_defaults() {
    let comment = comment_of(judge_json(
        r#"{"comment":{"text":"hi","id":null,"style":{"mode":null,"color":null},"media_ms":null,"ext":null}}"#,
    ));
    assert_eq!(comment.style, Style::default());
    assert_eq!((comment.id, comment.media_ms, comment.ext), (None, None, None));
}

#[test]
fn wrong_values_are_bad_payload_and_name_the_place_and_keep_the_id() {
    for (field, place) in [
        (r#""style":{"color":-1}"#, "comment.style.color"),
        (r#""style":{"color":16777216}"#, "comment.style.color"),
        (r#""style":{"color":"red"}"#, "comment.style.color"),
        (r#""style":{"size":1000000}"#, "comment.style.size"),
        (r#""style":{"size":11}"#, "comment.style.size"),
        (r#""style":{"size":65}"#, "comment.style.size"),
        (r#""style":{"mode":"CANARY"}"#, "comment.style.mode"),
        (r#""style":{"mode":{"scroll":null}}"#, "comment.style.mode"),
        (r#""style":{"mode":0}"#, "comment.style.mode"),
        (r#""style":["scroll",1,25]"#, "comment.style"),
        (r#""style":"CANARY""#, "comment.style"),
        (r#""media_ms":9007199254740993"#, "comment.media_ms"),
        (r#""media_ms":18446744073709551616"#, "comment.media_ms"),
        (r#""media_ms":-1"#, "comment.media_ms"),
        (r#""media_ms":1.5"#, "comment.media_ms"),
        (r#""ext":[1]"#, "comment.ext"),
        (r#""ext":"CANARY""#, "comment.ext"),
    ] {
        for payload in [
            format!(r#"{{"comment":{{"id":"c7","text":"CANARY",{field}}}}}"#),
            format!(r#"{{"comment":{{{field},"text":"CANARY","id":"c7"}}}}"#),
        ] {
            let message = refused(judge_json(&payload));
            assert_eq!(message.code, ErrorCode::BadPayload, "{payload}");
            assert!(message.message.starts_with(place), "{payload}: {}", message.message);
            assert_eq!(message.id.as_ref().map(ClientId::as_str), Some("c7"), "{payload}");
            assert!(!message.message.contains("CANARY"), "{}", message.message);
            assert_eq!(message.retry_after_ms, None);
        }
    }
}

#[test]
fn ext_has_a_size_and_a_depth() {
    let ext = |n: usize| json!({"comment": {"id": "c", "text": "t", "ext": {"k": "x".repeat(n)}}});
    let overhead = r#"{"k":""}"#.len();
    comment_of(judge_json(&ext(EXT_BYTES_MAX - overhead).to_string()));
    let message = refused(judge_json(&ext(EXT_BYTES_MAX - overhead + 1).to_string()));
    assert_eq!(message.code, ErrorCode::BadPayload);
    assert!(message.message.contains("comment.ext") && message.message.contains("512"), "{}", message.message);
    assert!(message.id.is_some());
    let nested = |n: usize| format!(r#"{{"comment":{{"text":"t","ext":{{"k":{}{}}}}}}}"#, "[".repeat(n), "]".repeat(n));
    comment_of(judge_json(&nested(29)));
    assert!(refused(judge_json(&nested(30))).message.contains("deep"));
    assert_eq!(comment_of(judge_json(r#"{"comment":{"text":"t","ext":{}}}"#)).ext, None);
}

#[test]
fn texts_that_are_empty_or_too_long_say_so_with_their_id() {
    for (text, code) in [
        (String::new(), ErrorCode::Empty),
        ("\u{200B}\u{2060}".into(), ErrorCode::Empty),
        (" ".repeat(500), ErrorCode::Empty),
        ("a".repeat(513), ErrorCode::TooLong),
        ("\u{20000}".repeat(512) + "a", ErrorCode::TooLong),
    ] {
        let message = refused(judge_json(&json!({"comment": {"id": "c1", "text": text}}).to_string()));
        assert_eq!((message.code, message.id.is_some()), (code, true));
    }
}

#[test]
fn like_counts_have_a_floor_and_a_cap() {
    for (count, wanted) in [("1", Some(1)), ("100", Some(100)), ("0", None), ("101", None), ("-1", None)] {
        let admitted = judge_json(&format!(r#"{{"like":{{"count":{count}}}}}"#));
        match wanted {
            Some(n) => assert_eq!(admitted, Admitted::Said(Said::Like(n))),
            None => assert_eq!(refused(admitted).code, ErrorCode::BadPayload, "{count}"),
        }
    }
    for count in ["1000000000", "1e309", "1.5", "\"7\"", "null", "18446744073709551616"] {
        assert_eq!(refused(judge_json(&format!(r#"{{"like":{{"count":{count}}}}}"#))).code, ErrorCode::BadPayload);
    }
}

#[test]
fn the_like_cap_never_exceeds_what_a_bucket_can_hold() {
    let mut config = Config::default();
    config.rates.likes_per_user.burst = 7;
    let admission = Admission::new(&config);
    assert_eq!(admission.limits().like_count_max, 7);
    let like = |count: u64| {
        let payload = json!({"like": {"count": count}}).to_string();
        admission.admit(payload.as_bytes(), Encoding::Json, &user("u"), &mut SessionMeter::default(), 0)
    };
    assert_eq!(refused(like(8)).code, ErrorCode::BadPayload);
    assert_eq!(like(7), Admitted::Said(Said::Like(7)));
    let limited = refused(like(7));
    assert_eq!(limited.code, ErrorCode::RateLimited);
    assert!(limited.retry_after_ms.is_some(), "a retry can succeed");
}

#[test]
fn a_token_and_an_unknown_rendition_are_not_available_and_not_repeated() {
    let message = refused(judge_json(r#"{"auth":{"token":"CANARY"}}"#));
    assert_eq!(message.code, ErrorCode::NotAvailable);
    assert!(!message.message.contains("CANARY"));
    for other in ["CANARY", "Viewer", ""] {
        let message = refused(judge_json(&json!({ "rendition": other }).to_string()));
        assert_eq!(message.code, ErrorCode::NotAvailable);
        assert!(!message.message.contains("CANARY") && message.message.contains("lite"), "{message:?}");
    }
    for rendition in Rendition::ALL {
        let payload = json!({ "rendition": rendition.as_str() }).to_string();
        assert_eq!(judge_json(&payload), Admitted::Rendition(rendition));
    }
}

#[test]
fn a_ping_is_admitted_beside_comments_and_limited_by_the_likes_of_its_connection() {
    let ping = |admission: &Admission, meter: &mut SessionMeter| {
        admission.admit(br#"{"ping":{"later":1}}"#, Encoding::Json, &user("u"), meter, 0)
    };
    let admission = Admission::new(&Config::default());
    let mut meter = SessionMeter::default();
    // Every comment that the connection may say at once was said.
    while matches!(
        admission.admit(br#"{"comment":{"text":"hi"}}"#, Encoding::Json, &user("u"), &mut meter, 0),
        Admitted::Said(_)
    ) {}
    let admitted = (0..1_000).take_while(|_| ping(&admission, &mut meter) == Admitted::Ping).count();
    assert!((200..=201).contains(&admitted), "{admitted} at once, as likes");
    let limited = refused(ping(&admission, &mut meter));
    assert_eq!((limited.code, limited.id), (ErrorCode::RateLimited, None));
    assert!(limited.retry_after_ms.is_some());
}

#[test]
fn a_vote_goes_to_the_room_and_takes_a_comments_token() {
    let vote = json!({"vote": {"poll": "p1", "option": 2, "id": "v1"}}).to_string();
    let poll = ClientId::new("p1").unwrap();
    let admission = Admission::new(&Config::default());
    let (me, mut meter) = (user("u"), SessionMeter::default());
    let request = VoteRequest { id: ClientId::new("v1"), poll, option: 2 };
    let expected = Admitted::Said(Said::Vote(Box::new((me.clone(), request))));
    let mut admit = || admission.admit(vote.as_bytes(), Encoding::Json, &me, &mut meter, 0);
    (0..5).for_each(|_| assert_eq!(admit(), expected));
    let limited = refused(admit());
    assert_eq!((limited.code, limited.id), (ErrorCode::RateLimited, ClientId::new("v1")));
    let comment = admission.admit(br#"{"comment":{"text":"hi"}}"#, Encoding::Json, &me, &mut meter, 0);
    assert_eq!(refused(comment).code, ErrorCode::RateLimited, "one purse");
}

#[test]
fn comments_are_limited_per_connection_with_a_hint_that_holds() {
    let admission = Admission::new(&Config::default());
    let (me, mut meter) = (user("u"), SessionMeter::default());
    let mut send =
        |now_us| admission.admit(br#"{"comment":{"id":"c","text":"hi"}}"#, Encoding::Json, &me, &mut meter, now_us);
    for _ in 0..5 {
        comment_of(send(0));
    }
    let message = refused(send(0));
    assert_eq!((message.code, message.retry_after_ms), (ErrorCode::RateLimited, Some(500)));
    assert!(message.id.is_some());
    refused(send(499_999));
    comment_of(send(500_000));
}

#[test]
fn a_user_on_many_connections_has_one_bucket_and_a_refusal_costs_the_connection_nothing() {
    let admission = Admission::new(&Config::default());
    let me = user("u");
    let mut meters = [SessionMeter::default(); 4];
    let payload = br#"{"comment":{"text":"hi"}}"#;
    let mut admitted = 0;
    for meter in &mut meters {
        for _ in 0..5 {
            let verdict = admission.admit(payload, Encoding::Json, &me, meter, 0);
            admitted += usize::from(matches!(verdict, Admitted::Said(Said::Comment(_))));
        }
    }
    assert_eq!(admitted, 10, "the user's burst");
    // The last connection's own bucket is untouched: another user could spend all of it.
    let verdict = admission.admit(payload, Encoding::Json, &user("v"), &mut meters[3], 0);
    comment_of(verdict);
    assert_eq!(admission.users(), 2);
    assert_eq!(admission.sweep_at(60_000_000), 2);
}

#[test]
fn a_full_table_of_users_is_overloaded_and_counted() {
    let mut config = Config::default();
    config.rates.users_max = 1;
    let admission = Admission::new(&config);
    let payload = br#"{"comment":{"id":"x","text":"hi"}}"#;
    let mut meter = SessionMeter::default();
    comment_of(admission.admit(payload, Encoding::Json, &user("a"), &mut meter, 0));
    let message = refused(admission.admit(payload, Encoding::Json, &user("b"), &mut meter, 0));
    assert_eq!((message.code, message.retry_after_ms), (ErrorCode::Overloaded, Some(OVERLOAD_RETRY_MS)));
    assert!(admission.verdicts().any(|v| v == ("comment", "overloaded", 1)));
}

#[test]
fn a_refused_text_still_takes_a_token() {
    let admission = Admission::new(&Config::default());
    let (me, mut meter) = (user("u"), SessionMeter::default());
    let mut send = || admission.admit(br#"{"comment":{"text":""}}"#, Encoding::Json, &me, &mut meter, 0);
    for _ in 0..5 {
        assert_eq!(refused(send()).code, ErrorCode::Empty);
    }
    assert_eq!(refused(send()).code, ErrorCode::RateLimited);
}

#[test]
fn the_third_soft_error_within_ten_seconds_is_fatal() {
    let admission = unlimited();
    let me = user("u");
    let bad = |meter: &mut SessionMeter, now_us| admission.admit(b"{", Encoding::Json, &me, meter, now_us);
    let mut meter = SessionMeter::default();
    refused(bad(&mut meter, 0));
    refused(bad(&mut meter, 5_000_000));
    assert!(
        matches!(bad(&mut meter, 9_990_000), Admitted::Fatal(Close::BadProtocol, m) if m.code == ErrorCode::BadPayload)
    );
    // Spread out, they never are.
    let mut meter = SessionMeter::default();
    for n in 0..20 {
        refused(bad(&mut meter, n * 5_000_000));
    }
    // Refusals for other reasons are no protocol errors.
    let mut meter = SessionMeter::default();
    for _ in 0..10 {
        refused(admission.admit(br#"{"comment":{"text":""}}"#, Encoding::Json, &me, &mut meter, 0));
    }
}

#[test]
fn a_flood_far_over_the_rate_is_closed_with_4029() {
    let admission = Admission::new(&Config::default());
    let me = user("u");
    for payload in [&br#"{"comment":{"text":"hi"}}"#[..], br#"{"auth":{"token":"t"}}"#, br#"{"rendition":"viewer"}"#] {
        let mut meter = SessionMeter::default();
        let fatal = (0..300)
            .map(|_| admission.admit(payload, Encoding::Json, &me, &mut meter, 0))
            .position(|v| matches!(v, Admitted::Fatal(Close::RateLimited, m) if m.code == ErrorCode::RateLimited));
        let fatal = fatal.expect("closed");
        assert!((99..=110).contains(&fatal), "after {fatal}");
    }
    // Ten a second over the limit is the bound; five a second over it is only told to wait.
    let mut meter = SessionMeter::default();
    for n in 0..1_000 {
        let verdict =
            admission.admit(br#"{"comment":{"text":"hi"}}"#, Encoding::Json, &user("v"), &mut meter, n * 140_000);
        assert!(!matches!(verdict, Admitted::Fatal(..)));
    }
}

#[test]
fn without_rate_limits_nothing_is_limited_but_shapes() {
    let admission = unlimited();
    let (me, mut meter) = (user("u"), SessionMeter::default());
    for _ in 0..10_000 {
        comment_of(admission.admit(br#"{"comment":{"text":"hi"}}"#, Encoding::Json, &me, &mut meter, 0));
    }
    assert_eq!(admission.users(), 0);
}

#[test]
fn verdicts_count_every_message_once() {
    let admission = unlimited();
    let me = user("u");
    let payloads: [&[u8]; 8] = [
        br#"{"comment":{"text":"hi"}}"#,
        br#"{"comment":{"text":""}}"#,
        br#"{"like":{"count":1}}"#,
        br#"{"like":{"count":0}}"#,
        br#"{"auth":{"token":"t"}}"#,
        br#"{"vote":{"poll":"p","option":0}}"#,
        br#"{"nope":1}"#,
        b"nope",
    ];
    for payload in payloads {
        admission.admit(payload, Encoding::Json, &me, &mut SessionMeter::default(), 0);
    }
    let counted: Vec<_> = admission.verdicts().filter(|(.., n)| *n > 0).collect();
    assert_eq!(
        counted,
        [
            ("comment", "accepted", 1),
            ("comment", "empty", 1),
            ("like", "accepted", 1),
            ("like", "bad_payload", 1),
            ("auth", "not_available", 1),
            ("vote", "accepted", 1),
            ("unreadable", "bad_payload", 1),
            ("unreadable", "unknown_op", 1),
        ]
    );
}
