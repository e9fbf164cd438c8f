//! `docs/api.md` is true: its example is what the server writes, its numbers are the program's.

use volley::limits::{EXPORT_STALLED_MS, EXPORTS_MAX, PAGE_BYTES_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX, PAGES_MAX};
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
fn the_numbers_are_the_programs() {
    let kib = PAGE_BYTES_MAX / 1024;
    for text in [
        format!("| {PAGE_EVENTS_DEFAULT} | events in the page"),
        "more than 1,000 is 1,000".to_owned(),
        format!("about {kib} KiB"),
        format!("a piece ({kib} KiB) in {} s", EXPORT_STALLED_MS / 1_000),
        format!("At most {PAGES_MAX} pages"),
        format!("At most {EXPORTS_MAX} exports"),
    ] {
        assert!(PAGE.contains(&text), "the page does not say: {text}");
    }
    assert_eq!(PAGE_EVENTS_MAX, 1_000);
}
