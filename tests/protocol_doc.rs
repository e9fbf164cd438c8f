//! Checks `docs/protocol.md`: its examples parse as the real types, and its tables are complete.

use std::collections::{BTreeMap, BTreeSet};
use volley::protocol::codes::{self, Close, ErrorCode, Next};
use volley::protocol::encode;
use volley::protocol::frame::What;
use volley::protocol::kind::Kind;
use volley::protocol::message::{ClientMessage, ServerMessage};
use volley::protocol::parse::parse;
use volley::protocol::settings::{Classed, RoomSettings};
use volley::protocol::variant::{Encoding, Rendition};

const PAGE: &str = include_str!("../docs/protocol.md");

/// The bodies of the fenced blocks tagged `json {who}`.
fn examples(who: &str) -> Vec<&'static str> {
    let fence = format!("```json {who}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect()
}

/// The rows of the table under a heading, without header and rule, as trimmed cells.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()).collect()
}

fn only_key(value: &serde_json::Value) -> String {
    let object = value.as_object().expect("an object");
    assert_eq!(object.len(), 1, "{value}");
    object.keys().next().unwrap().clone()
}

fn keys_of(value: &serde_json::Value, into: &mut BTreeSet<String>) {
    match value {
        // Fields of the application have names that the protocol does not define.
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| {
            into.insert(key.clone());
            if key != "ext" {
                keys_of(value, into);
            }
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys_of(item, into)),
        _ => {}
    }
}

#[test]
fn every_fenced_example_says_whose_it_is() {
    let tagged = examples("client").len() + examples("server").len();
    assert_eq!(PAGE.matches("```json").count(), tagged);
    assert_eq!(PAGE.matches("```").count(), 2 * tagged);
}

#[test]
fn client_examples_parse_in_both_encodings_and_cover_every_kind() {
    let mut kinds = BTreeSet::new();
    for example in examples("client") {
        let message = parse(example.as_bytes(), Encoding::Json).unwrap_or_else(|e| panic!("{example}: {e}"));
        let value: serde_json::Value = serde_json::from_str(example).unwrap();
        let msgpack = encode::value(&value, Encoding::Msgpack);
        assert_eq!(parse(&msgpack, Encoding::Msgpack).as_ref(), Ok(&message), "{example}");
        // A new kind of message does not compile here until the page has it.
        kinds.insert(match message {
            ClientMessage::Comment(_) => "comment",
            ClientMessage::Like(_) => "like",
            ClientMessage::Auth(_) => "auth",
            ClientMessage::Rendition(_) => "rendition",
            ClientMessage::Vote(_) => "vote",
            ClientMessage::Ping => "ping",
        });
    }
    assert_eq!(kinds, ["auth", "comment", "like", "ping", "rendition", "vote"].into());
}

#[test]
fn server_examples_are_what_the_server_writes_and_cover_every_kind() {
    let mut kinds = BTreeSet::new();
    for example in examples("server") {
        let message: ServerMessage = serde_json::from_str(example).unwrap_or_else(|e| panic!("{example}: {e}"));
        // The types know every field of the example, and write no field that the example lacks.
        let shown: serde_json::Value = serde_json::from_str(example).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&encode::payload(&message, Encoding::Json)).unwrap();
        assert_eq!(shown, written, "{example}");
        let msgpack = encode::payload(&message, Encoding::Msgpack);
        assert_eq!(rmp_serde::from_slice::<ServerMessage>(&msgpack).unwrap(), message);
        let as_value: serde_json::Value = rmp_serde::from_slice(&msgpack).unwrap();
        assert_eq!(as_value, shown, "both encodings have one schema");
        kinds.insert(match message {
            ServerMessage::Welcome(_) => "welcome",
            ServerMessage::Frame(_) => "frame",
            ServerMessage::Ack(_) => "ack",
            ServerMessage::Error(_) => "error",
            ServerMessage::Gap(_) => "gap",
            ServerMessage::Heartbeat(_) => "heartbeat",
            ServerMessage::Bye(_) => "bye",
            ServerMessage::Rendition(_) => "rendition",
            ServerMessage::Pong(_) => "pong",
        });
        assert!(kinds.contains(only_key(&shown).as_str()));
    }
    assert_eq!(kinds, ["ack", "bye", "error", "frame", "gap", "heartbeat", "pong", "rendition", "welcome"].into());
}

#[test]
fn frames_in_the_examples_cover_every_kind_of_event() {
    let mut seen = BTreeSet::new();
    for example in examples("server") {
        let ServerMessage::Frame(frame) = serde_json::from_str(example).unwrap() else { continue };
        seen.extend(frame.events.iter().map(|event| match &event.what {
            What::Comment(_) => "comment",
            What::Raise(_) => "raise",
            What::Unknown => panic!("{example}"),
            // A new kind does not compile here until the page has it.
            What::Kind(kind) => match kind {
                Kind::Gift(_)
                | Kind::Announcement(_)
                | Kind::Custom(_)
                | Kind::Pin(_)
                | Kind::Unpin(_)
                | Kind::Delete(_)
                | Kind::Poll(_)
                | Kind::PollClose(_)
                | Kind::Enter(_)
                | Kind::Settings(_) => kind.name(),
            },
        }));
    }
    let kinds = table("Kinds of events").into_iter().map(|row| row[0]);
    let kinds: BTreeSet<_> = kinds.take_while(|kind| *kind != "field").collect();
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    assert_eq!(seen, kinds.into_iter().chain(["comment", "raise"]).collect());
}

#[test]
fn settings_and_renditions_in_the_tables_are_the_programs() {
    let settings = RoomSettings::new(Some(60), 100);
    let written = serde_json::to_value(&settings).unwrap();
    let section = PAGE.split_once("\n### Settings\n").unwrap().1.split("\n## ").next().unwrap();
    let rows: BTreeMap<_, _> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| line.split_once("` | ").unwrap())
        .collect();
    for (name, value) in written.as_object().unwrap() {
        let row = rows.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not documented"));
        let at_first = row.split(" | ").nth(1).unwrap().trim_matches('`');
        match value {
            serde_json::Value::Array(all) => assert!(at_first == "all three" && all.len() == 3, "{name}"),
            serde_json::Value::String(text) => assert_eq!(at_first, text, "{name}"),
            value => assert_eq!(at_first, value.to_string(), "{name}"),
        }
    }
    assert_eq!(rows.len(), written.as_object().unwrap().len() + 2, "`classes` and `words` are left out when empty");
    for classed in [
        Classed::Guest,
        Classed::Viewer,
        Classed::Vip,
        Classed::Moderator,
        Classed::Host,
        Classed::Gift,
        Classed::Custom,
        Classed::Enter,
    ] {
        let name = serde_json::to_value(classed).unwrap();
        assert!(rows["classes"].contains(&format!("`{}`", name.as_str().unwrap())), "{name}");
    }
    for rendition in Rendition::ALL {
        assert!(PAGE.contains(&format!("\n| `{}` | ", rendition.as_str())), "{rendition:?}");
    }
}

#[test]
fn every_key_in_an_example_is_explained() {
    let mut keys = BTreeSet::new();
    for example in examples("client").into_iter().chain(examples("server")) {
        keys_of(&serde_json::from_str(example).unwrap(), &mut keys);
    }
    assert!(keys.len() > 30, "{keys:?}");
    let prose: String = PAGE.split("```").step_by(2).collect();
    let spans: BTreeSet<&str> = prose.split('`').skip(1).step_by(2).collect();
    for key in keys {
        let dotted = format!(".{key}");
        let quoted = format!("\"{key}\":");
        let found = spans.iter().any(|span| *span == key || span.ends_with(&dotted) || span.contains(&quoted));
        assert!(found, "{key} is in an example and nowhere explained");
    }
}

/// The page with the rows of the table under `heading` replaced.
fn with_rows(page: &str, heading: &str, rows: &str) -> String {
    let begin = page.find(&format!("\n## {heading}\n")).expect("the heading is there");
    let rule = begin + page[begin..].find("\n|---").expect("a table") + 1;
    let first = rule + page[rule..].find('\n').expect("its rows") + 1;
    let end = first + page[first..].find("\n\n").expect("its end") + 1;
    format!("{}{rows}{}", &page[..first], &page[end..])
}

#[test]
fn the_tables_of_codes_are_the_programs() {
    let page = with_rows(PAGE, "Error codes", &codes::error_table());
    let page = with_rows(&page, "Close codes", &codes::close_table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md"), &page).expect("writes the page");
    } else if let Some((is, should)) = PAGE.lines().zip(page.lines()).find(|(is, should)| is != should) {
        panic!("\n  {is}\nshould be\n  {should}\nUPDATE_DOCS=1 cargo test --test protocol_doc writes the tables");
    } else {
        assert_eq!(PAGE, page);
    }
}

#[test]
fn codes_follow_their_range_and_have_one_name() {
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str(), "one name everywhere");
        assert!(code.words().iter().all(|words| !words.is_empty() && !words.contains(['|', '\n'])), "{code:?}");
    }
    for close in Close::ALL {
        assert!(close.words().iter().all(|words| !words.is_empty() && !words.contains(['|', '\n'])), "{close:?}");
        match close.code() {
            4000..=4499 => assert_eq!(close.next(), Next::Reconnect, "the range tells"),
            4500..=4999 => assert_eq!(close.next(), Next::Stop, "the range tells"),
            _ => {}
        }
    }
}

#[test]
fn no_table_of_the_documentation_has_a_row_twice() {
    for name in ["protocol", "api", "operations", "selection", "renditions", "reliability", "history", "configuration"]
    {
        let path = format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(&path).expect("the page is there");
        let mut seen = BTreeSet::new();
        for line in page.lines() {
            if !line.starts_with('|') {
                seen.clear();
                continue;
            }
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            // A row that continues the one above begins with an empty cell; in a table by status, the code identifies a
            // row.
            let name = if cells[0].parse::<u16>().is_ok() && cells[1].starts_with('`') { cells[1] } else { cells[0] };
            assert!(
                name.is_empty() || name.starts_with("---") || seen.insert(name.to_owned()),
                "twice in {path}: {line}"
            );
        }
    }
}

/// `4096` → `4,096`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
    groups.join(",")
}

#[test]
fn the_limits_are_the_defaults() {
    let config = volley::config::Config::default();
    let limits: BTreeMap<_, _> = table("Limits").into_iter().map(|row| (row[0], row[1])).collect();
    let rate = |rate: volley::config::Rate| {
        format!("{} a second, {} at once", grouped(rate.per_s.into()), grouped(rate.burst.into()))
    };
    let seconds = |ms: u64| format!("{} s", ms / 1_000);
    use volley::limits as fixed;
    for (what, limit) in [
        ("message", format!("{} bytes", grouped(config.admission.message_bytes_max as u64))),
        ("fragments of a message", fixed::FRAGMENTS_MAX.to_string()),
        ("a started message", seconds(fixed::MESSAGE_STALL_MS)),
        ("nesting", format!("{} levels", fixed::MESSAGE_DEPTH_MAX)),
        (
            "control frames",
            format!("{} a second, {} at once", fixed::CONTROL_FRAMES_PER_S, fixed::CONTROL_FRAMES_BURST),
        ),
        ("comments of a connection", rate(config.rates.comments_per_connection)),
        ("comments of a user", rate(config.rates.comments_per_user)),
        ("likes of a connection", rate(config.rates.likes_per_connection)),
        ("likes of a user", rate(config.rates.likes_per_user)),
        ("comments of a room", rate(config.rates.comments_per_room)),
        ("likes of a room", rate(config.rates.likes_per_room)),
        (
            "messages refused as `rate_limited",
            format!("{} in {}", fixed::RATE_REFUSALS_MAX, seconds(fixed::RATE_REFUSAL_WINDOW_MS)),
        ),
        (
            "protocol errors (see the table)",
            format!("{} within {}", fixed::SOFT_ERRORS_MAX, seconds(fixed::SOFT_ERROR_WINDOW_MS)),
        ),
        ("silence", seconds(config.connection.idle_ms)),
    ] {
        assert_eq!(limits.get(what), Some(&limit.as_str()), "{what}");
    }
    for text in [
        format!("no frame for {}", seconds(config.room.heartbeat_ms)),
        format!("pings after {}", seconds(config.connection.ping_ms)),
        format!("required, 1 to {}", config.admission.like_count_max),
        format!("{} characters (Unicode scalar values)", config.admission.text_chars_max),
        format!("or {} bytes left", grouped(config.admission.text_bytes_max as u64)),
        format!("at most {} bytes as compact JSON", fixed::EXT_BYTES_MAX),
        format!("oldest first, at most {}", config.room.snapshot_events),
        format!("in log order; at most {}", config.room.frame_events_max),
    ] {
        assert!(PAGE.contains(&text), "the page does not say: {text}");
    }
}
