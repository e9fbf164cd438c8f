//! Checks `docs/api.md`: its example is what the server writes, and its numbers are those of the program.

use volley::limits::{
    ANNOUNCE_ANSWER_MS, CLIENT_ID_BYTES_MAX, CUSTOM_BYTES_MAX, EXPORT_STALLED_MS, EXPORTS_MAX, MESSAGE_DEPTH_MAX,
    PAGE_BYTES_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX, PAGES_MAX, POST_ANSWER_MS, POST_BODY_MS, POST_BYTES_MAX,
    POST_EVENTS_MAX,
};
use volley::policy::posts;
use volley::protocol::history::HistoryPage;

const PAGE: &str = include_str!("../docs/api.md");

#[test]
fn the_example_is_what_the_server_writes() {
    let example = PAGE.split("```json page\n").nth(1).expect("an example").split("```").next().unwrap();
    let page: HistoryPage = serde_json::from_str(example).unwrap();
    let shown: serde_json::Value = serde_json::from_str(example).unwrap();
    assert_eq!(serde_json::to_value(&page).unwrap(), shown, "nothing unknown, nothing missing");
    assert!(page.events.len() > 1 && page.next.is_some(), "every field is shown");
    for key in shown.as_object().unwrap().keys() {
        assert!(PAGE.contains(&format!("| `{key}` |")), "{key} is not explained");
    }
}

#[test]
fn the_posted_examples_are_taken_and_show_every_kind() {
    let example = PAGE.split("```json posts\n").nth(1).expect("an example").split("```").next().unwrap();
    let read = posts::read(example.as_bytes()).unwrap_or_else(|fault| panic!("{fault}"));
    assert!(read.is_batch);
    let Err(fault) = posts::read(b"{\"dance\":{}}") else { panic!("a dance was taken") };
    let known: Vec<&str> = fault.message.split("known are ").nth(1).unwrap().split('"').skip(1).step_by(2).collect();
    assert_eq!(read.events.len(), known.len());
    for kind in known {
        assert!(example.contains(&format!("{{\"{kind}\":")) && PAGE.contains(&format!("| `{kind}` | ")), "{kind}");
    }
    let curl = PAGE.split("-d '").nth(1).expect("a command").split('\'').next().unwrap();
    assert!(posts::read(curl.as_bytes()).is_ok());
}

#[test]
fn the_numbers_are_the_programs() {
    let kib = PAGE_BYTES_MAX / 1024;
    for text in [
        format!("| {PAGE_EVENTS_DEFAULT} | events in the page"),
        "more than 1,000 is 1,000".to_owned(),
        format!("about {kib} KiB"),
        format!("a piece ({kib} KiB) in {} s", EXPORT_STALLED_MS / 1_000),
        format!("At most {PAGES_MAX} pages"),
        format!("At most {EXPORTS_MAX} exports"),
        format!("with 1 to {POST_EVENTS_MAX} of them"),
        format!("at most {MESSAGE_DEPTH_MAX} levels deep"),
        format!("1\u{2013}{CLIENT_ID_BYTES_MAX} printable ASCII characters (for a batch 61)"),
        format!("did not arrive completely within {} s", POST_BODY_MS / 1_000),
        format!("the room did not answer within {} s", POST_ANSWER_MS / 1_000),
        format!("are asked again for {} s", ANNOUNCE_ANSWER_MS / 1_000),
    ] {
        assert!(PAGE.contains(&text), "the page does not say: {text}");
    }
    assert_eq!((PAGE_EVENTS_MAX, POST_BYTES_MAX, CUSTOM_BYTES_MAX), (1_000, 262_144, 1_024));
}
