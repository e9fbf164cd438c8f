//! `loadgen check` as a process: exit codes, the table, JSON, stdin.

use crate::show::{self, fields_mut, kind, text};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the checker with `input` on stdin.
fn run(args: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .arg("check")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may stop reading at a broken line.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the program ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("volley-check-{}-{name}.jsonl", std::process::id()));
    std::fs::write(&path, text).expect("a temporary file");
    path
}

fn bad_history() -> String {
    let mut lines = show::good(1);
    for line in lines.iter_mut().filter(|line| kind(line) == "frame").skip(9).step_by(3).take(40) {
        fields_mut(line)["digest"] = "other".into();
    }
    text(&lines)
}

#[test]
fn a_good_history_exits_0_and_names_every_rule() {
    let path = file("good", &text(&show::good(1)));
    let ran = run(&[path.to_str().unwrap(), "--tick-ms", "100"], "");
    std::fs::remove_file(&path).unwrap();
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    for rule in loadgen::check::Rule::ALL {
        assert!(ran.out.contains(&format!(" {} ", rule.number())), "{rule:?}: {}", ran.out);
    }
    assert!(ran.out.contains(" checked)") && ran.out.contains("not checkable: the rate is not known"), "{}", ran.out);
    assert!(ran.out.contains("\ngood: no violation in "), "{}", ran.out);
}

#[test]
fn violations_exit_1_with_at_most_five_examples_of_each_rule() {
    let ran = run(&["-"], &bad_history());
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(" S11 ") && ran.out.contains("the digest of room-"), "{}", ran.out);
    assert!(
        ran.out.matches("the digest of").count() == 5 && ran.out.contains(" more ") && ran.out.contains("\nVIOLATED: "),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("not checkable: L3 "), "what was not checked is said all the same: {}", ran.out);
}

#[test]
fn json_says_the_same_to_machines() {
    let ran = run(&["--json", "--rate", "20,20", "-"], &bad_history());
    let json: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((ran.code, json["good"].as_bool()), (1, Some(false)));
    let rule = |name: &str| json["rules"].as_array().unwrap().iter().find(|r| r["rule"] == name).unwrap().clone();
    let digests = rule("S11");
    assert!(digests["violations"].as_u64() > Some(0) && digests["not_checkable"].is_null());
    let examples = digests["examples"].as_array().unwrap();
    assert!((1..=5).contains(&examples.len()) && examples[0]["line"].is_u64(), "{digests}");
    assert!(rule("S17")["checked"].as_u64() > Some(0));
    assert!(rule("L3")["not_checkable"].is_string());
}

#[test]
fn a_broken_line_exits_65_with_its_number() {
    let good = text(&show::good(1));
    let cut = &good[..good.len() - 20];
    for (input, why) in [
        ("{\"t\":1,\"live\":{\"client\":\"v\"}}\nnonsense\n", "line 2: "),
        ("", "line 1: the history has no known event"),
        ("{\"t\":1,\"vote\":{}}\n", "line 1: the history has no known event"),
        (cut, "EOF while parsing"),
    ] {
        let ran = run(&["-"], input);
        assert_eq!((ran.code, ran.out.as_str()), (65, ""), "{}", ran.err);
        assert!(ran.err.starts_with("loadgen check: -: line ") && ran.err.contains(why), "{}", ran.err);
    }
}

#[test]
fn wrong_usage_exits_64() {
    for args in [
        &[][..],
        &["a.jsonl", "b.jsonl"],
        &["-", "--rate", "x"],
        &["-", "--rate", "2,-1"],
        &["-", "--tick-ms", "0"],
        &["-", "--viewers", "3"],
        &["there/is/no/such/file.jsonl"],
    ] {
        let ran = run(args, "");
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{args:?}: {}", ran.err);
        assert!(!ran.err.is_empty());
    }
}

#[test]
fn unknown_events_are_skipped_and_reported() {
    let mut input = String::from("{\"t\":1,\"vote\":{\"x\":1}}\n{\"t\":2,\"vote\":{}}\n");
    input.push_str(&text(&show::good(1)));
    let ran = run(&["-"], &input);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("note: 2 events `vote` were skipped"), "{}", ran.out);
}

#[test]
fn every_example_of_the_documentation_is_an_event() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/history.md")).expect("the page");
    let lines: String =
        page.lines().filter(|line| line.starts_with("{\"t\":")).map(|line| format!("{line}\n")).collect();
    let mut reader = loadgen::history::Reader::new(lines.as_bytes());
    let mut kinds = std::collections::BTreeSet::new();
    while let Some(line) = reader.read().expect("an event") {
        let event = line.event.expect("a known event");
        let value = serde_json::to_value(&event).expect("JSON");
        kinds.extend(value.as_object().expect("an object").keys().cloned());
    }
    assert_eq!(kinds.len(), 20, "{kinds:?}");
    for rule in loadgen::check::Rule::ALL {
        let row = format!("| {} | {} |", rule.number(), rule.name());
        assert!(page.contains(&row), "the page lacks {row}");
    }
}
