//! Text that people type, and how other viewers receive it: over a real socket, in both encodings.

mod support;

use serde_json::{Value, json};
use support::viewer::{ENCODINGS, enter, text};
use support::{Client, Server};

/// The sent and the received text; `None`: the answer is `empty`.
const TABLE: &[(&str, &str, Option<&str>)] = &[
    ("plain", "还有吗 yes", Some("还有吗 yes")),
    ("a script", "<script>alert(1)</script>", Some("<script>alert(1)</script>")),
    ("an image", "<img src=x onerror=alert(1)>", Some("<img src=x onerror=alert(1)>")),
    ("a link", "javascript:alert(1)", Some("javascript:alert(1)")),
    ("an entity", "&lt;b&gt; &#x41;", Some("&lt;b&gt; &#x41;")),
    ("quotes and backslashes", r#"" ' \ \n \u0041 "#, Some(r#"" ' \ \n \u0041"#)),
    ("line separators", "a\u{2028}b\u{2029}c", Some("a b c")),
    ("bidi embeddings", "\u{202a}\u{202b}a\u{202c}\u{202d}\u{202e}b", Some("ab")),
    ("bidi isolates", "a\u{2066}b\u{2067}c\u{2068}d\u{2069}", Some("abcd")),
    ("bidi marks", "a\u{200e}b\u{200f}c\u{061c}d", Some("abcd")),
    ("only zero width", "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}", None),
    ("only bidi", "\u{202e}\u{2066}", None),
    ("only soft hyphens", "\u{ad}\u{ad}", None),
    ("only fillers", "\u{3164}\u{115f}\u{1160}\u{ffa0}\u{2800}", None),
    ("only spaces of all kinds", " \t\u{a0}\u{2003}\u{3000}\u{205f}", None),
    ("only NUL", "\0\0", None),
    ("zero width inside", "a\u{200b}b\u{2060}c\u{feff}d\u{ad}e", Some("abcde")),
    ("a joiner between letters", "a\u{200d}b", Some("ab")),
    ("a non-joiner between letters", "a\u{200c}b", Some("ab")),
    ("a family", "👨\u{200d}👩\u{200d}👧", Some("👨\u{200d}👩\u{200d}👧")),
    ("a skin tone and a job", "👩🏽\u{200d}🚀", Some("👩🏽\u{200d}🚀")),
    ("a heart on fire", "❤\u{fe0f}\u{200d}🔥", Some("❤\u{fe0f}\u{200d}🔥")),
    ("a keycap", "1\u{fe0f}\u{20e3}", Some("1\u{fe0f}\u{20e3}")),
    ("a flag", "🇨🇳", Some("🇨🇳")),
    (
        "the flag of Scotland",
        "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
        Some("🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}"),
    ),
    ("Persian", "می\u{200c}خواهم", Some("می\u{200c}خواهم")),
    ("Hindi", "क्\u{200c}ष क्\u{200d}ष", Some("क्\u{200c}ष क्\u{200d}ष")),
    ("Arabic with its vowels", "مُحَمَّد", Some("مُحَمَّد")),
    ("Thai", "น้ำ", Some("น้ำ")),
    ("NUL inside", "a\0b", Some("ab")),
    ("C0 and C1", "a\u{1}\u{7}\u{8}b\u{7f}\u{80}\u{9f}c", Some("abc")),
    ("an ANSI colour", "\u{1b}[31mred\u{1b}[0m", Some("[31mred[0m")),
    ("CR LF", "a\r\nb", Some("a b")),
    ("a log line of one's own", "x\n2025-01-01 INFO all is well", Some("x 2025-01-01 INFO all is well")),
    ("noncharacters", "a\u{fdd0}\u{fffe}\u{ffff}\u{1ffff}\u{10ffff}b", Some("ab")),
    ("private use", "a\u{e000}\u{f8ff}\u{f0000}\u{100000}b", Some("ab")),
    ("tags without a flag", "a\u{e0001}\u{e0041}\u{e0042}\u{e007f}b", Some("ab")),
    ("spaces around and between", "   a \u{3000}\t\n  b  ", Some("a b")),
    ("decomposed", "e\u{301}", Some("é")),
    (
        "a pile of marks",
        "Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}",
        Some("Z\u{300}\u{301}\u{302}\u{303}"),
    ),
    ("a Cyrillic admin", "аdmin", Some("аdmin")),
    ("a formula", "=cmd|' /C calc'!A0", Some("=cmd|' /C calc'!A0")),
    ("a format string", "%s%n {0} ${x} {{7*7}}", Some("%s%n {0} ${x} {{7*7}}")),
];

/// Sends `said` and returns what a different viewer receives; `None`: the answer was `empty`.
fn say(talker: &mut Client, viewers: &mut [Client], id: &str, said: &str) -> Option<Value> {
    talker.send_value(&json!({"comment": {"id": id, "text": said}}));
    loop {
        let message = talker.read().expect("open");
        if let Some(error) = message.get("error") {
            assert_eq!((text(error, "code"), text(error, "id")), ("empty", id), "{error}");
            return None;
        }
        if let Some(ack) = message.get("ack") {
            assert_eq!((text(ack, "id"), text(ack, "outcome")), (id, "shown"));
            break;
        }
    }
    let got: Vec<Value> = viewers.iter_mut().map(|viewer| comment(viewer, id)).collect();
    assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "all get the same: {got:?}");
    got.into_iter().next()
}

/// Waits for the comment `id`.
fn comment(viewer: &mut Client, id: &str) -> Value {
    loop {
        let frame = viewer.next("frame");
        let events = frame["events"].as_array().unwrap().clone();
        if let Some(event) = events.into_iter().find(|event| event["comment"]["id"] == id) {
            return event["comment"].clone();
        }
    }
}

#[test]
fn typed_text_arrives_normalised_and_unchanged_when_sent_again() {
    let server = Server::start(|config| {
        config.no_rate_limits = true;
        config.tick_ms = 10;
    });
    let mut viewers = ENCODINGS.map(|subprotocol| enter(&server, "people", "", subprotocol));
    for subprotocol in ENCODINGS {
        let mut talker = enter(&server, "people", "", subprotocol);
        let name = &subprotocol[10..];
        for (n, (what, said, expected)) in TABLE.iter().enumerate() {
            let got = say(&mut talker, &mut viewers, &format!("{name}-{n}"), said);
            let got = got.as_ref().map(|comment| text(comment, "text"));
            assert_eq!(got, *expected, "{subprotocol}: {what}");
            if let Some(once) = got {
                let twice = say(&mut talker, &mut viewers, &format!("{name}-{n}-again"), once).expect("not empty");
                assert_eq!(text(&twice, "text"), once, "said again it changes: {what}");
            }
        }
    }
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
}

#[test]
fn five_hundred_spaces_or_line_feeds_are_one() {
    let server = Server::start(|_| ());
    let mut viewers = [server.join("wide")];
    for (n, space) in [" ", "\n", "\u{3000}", "\u{2028}"].into_iter().enumerate() {
        let mut talker = server.join("wide");
        let said = format!("a{}b", space.repeat(500));
        let got = say(&mut talker, &mut viewers, &n.to_string(), &said).unwrap();
        assert_eq!(text(&got, "text"), "a b", "{space:?}");
    }
}

#[test]
fn only_the_server_gives_names() {
    let server = Server::start(|_| ());
    let mut viewers = ENCODINGS.map(|subprotocol| enter(&server, "names", "", subprotocol));
    for subprotocol in ENCODINGS {
        let query = "?name=admin&user=admin&role=host&token=admin";
        let mut talker = enter(&server, "names", query, subprotocol);
        let you = talker.welcome["you"].clone();
        assert!(text(&you, "name").starts_with("guest "), "{you}");
        assert!(you.get("role").is_none_or(|role| role == "guest"));
        talker.send_value(&json!({"comment": {
            "id": format!("n-{subprotocol}"), "text": "I am аdmin", "name": "admin", "role": "host", "offset": 7,
            "user": {"id": "u-1", "name": "admin", "role": "moderator"}, "times": 1_000_000,
        }}));
        assert_eq!(talker.next("ack")["outcome"], "shown");
        for viewer in &mut viewers {
            let got = comment(viewer, &format!("n-{subprotocol}"));
            assert_eq!(got["user"], you);
            let fields: Vec<_> = got.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(
                fields.iter().filter(|field| **field != "first").collect::<Vec<_>>(),
                [&"id", &"text", &"user"],
                "nothing of the client's own making travels: {got}"
            );
        }
    }
    // Two connections are two users.
    assert_ne!(viewers[0].welcome["you"]["id"], viewers[1].welcome["you"]["id"]);
    assert_ne!(viewers[0].welcome["session"], viewers[1].welcome["session"]);
}

#[test]
fn no_page_and_no_list_contains_texts_of_comments() {
    let server = Server::start(|_| ());
    let mut talker = server.join("quotes");
    let said = "</script><script>CANARY\u{2028}";
    talker.comment("c", said);
    for path in ["/", "/rooms/quotes", "/v1/rooms"] {
        let (status, body) = server.get(server.public, path);
        assert_eq!(status, 200, "{path}");
        assert!(!body.contains("CANARY"), "{path}");
    }
    for path in ["/metrics", "/v1/rooms"] {
        let (_, body) = server.get(server.admin, path);
        assert!(!body.contains("CANARY"), "{path}");
    }
    // A new viewer receives it as data in one line, without a raw character that could end a line or a script.
    let newcomer = server.join("quotes");
    assert_eq!(newcomer.welcome["snapshot"]["events"][0]["comment"]["text"], "</script><script>CANARY");
}
