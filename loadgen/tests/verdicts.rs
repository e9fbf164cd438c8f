//! loadgen against a server with one error at a time: each error must be named and fail the run, and correct behaviour
//! must not.

mod faulty;

use faulty::{Fault, Server};
use serde_json::Value;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_loadgen");

fn run(server: &Server, flags: &[&str]) -> (i32, Value, String) {
    let url = format!("ws://127.0.0.1:{}", server.port);
    let common = ["--viewers", "12", "--comments", "60", "--likes", "40", "--seconds", "1.2"];
    let Output { status, stdout, stderr } = Command::new(PROGRAM)
        .args(["--url", &url, "--json", "-", "--quiet", "--warmup", "0.2"])
        .args(common)
        .args(flags)
        .output()
        .unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    let json = serde_json::from_slice(&stdout).unwrap_or_else(|e| panic!("{e}: {stderr}"));
    (status.code().unwrap(), json, stderr)
}

/// Runs against `fault` and returns the verdict; the run must be good or bad, as expected.
fn verdict(fault: Fault, is_good: bool) -> (Value, String) {
    let server = Server::start(fault);
    let (code, json, stderr) = run(&server, &[]);
    assert_eq!((code, json["good"].as_bool()), (i32::from(!is_good), Some(is_good)), "{fault:?}\n{stderr}");
    (json, stderr)
}

fn number(json: &Value, path: &str) -> i64 {
    json.pointer(path).and_then(Value::as_i64).unwrap_or_else(|| panic!("no {path} in {json:#}"))
}

#[test]
fn an_honest_server_is_found_honest_in_both_encodings_and_in_several_processes() {
    let server = Server::start(Fault::None);
    for flags in [&[][..], &["--encoding", "msgpack"], &["--processes", "3"]] {
        let (code, json, stderr) = run(&server, flags);
        assert_eq!(code, 0, "{flags:?}: {stderr}");
        assert_eq!(number(&json, "/tally/connected"), 12);
        let sent = number(&json, "/tally/comments_sent");
        assert!(sent >= 70, "{sent}");
        assert_eq!(number(&json, "/tally/acked/shown"), sent);
        assert_eq!(number(&json, "/verdict/expected"), sent * 12);
        assert_eq!(number(&json, "/verdict/delivered"), sent * 12);
        assert_eq!(number(&json, "/verdict/likes_gained"), number(&json, "/tally/likes_sent"));
        assert_eq!(number(&json, "/tally/closed_clean"), 12);
        let p99 = json["latency"]["p99_ms"].as_f64().unwrap();
        assert!(p99 > 1.0 && p99 < 2_000.0, "a 40 ms tick cannot give {p99} ms");
    }
}

#[test]
fn a_dropped_frame_is_missing() {
    let (json, stderr) = verdict(Fault::DropFrame, false);
    assert!(number(&json, "/verdict/missing") >= 1 && number(&json, "/verdict/holes") == 1, "{stderr}");
    assert_eq!(number(&json, "/verdict/unaccounted"), 0);
}

#[test]
fn an_announced_gap_is_accounted_for_and_a_short_one_is_not() {
    let (json, _) = verdict(Fault::AnnouncedGap, true);
    assert!(number(&json, "/verdict/gap_announced") >= 1);
    assert_eq!(number(&json, "/verdict/missing"), 0);
    let (json, _) = verdict(Fault::ShortGap, false);
    assert!(number(&json, "/verdict/missing") >= 1);
}

#[test]
fn a_repeated_frame_is_a_duplicate_and_nothing_is_missing() {
    let (json, _) = verdict(Fault::Duplicate, false);
    assert!(number(&json, "/verdict/duplicates") >= 1);
    assert_eq!((number(&json, "/verdict/missing"), number(&json, "/verdict/unaccounted")), (0, 0));
}

#[test]
fn swapped_frames_break_the_order_and_nothing_is_missing() {
    let (json, _) = verdict(Fault::Swap, false);
    assert!(number(&json, "/verdict/order_violations") >= 1);
    assert_eq!((number(&json, "/verdict/missing"), number(&json, "/verdict/unaccounted")), (0, 0));
}

#[test]
fn a_different_digest_at_the_same_position_is_a_conflict() {
    let (json, _) = verdict(Fault::WrongDigest, false);
    assert_eq!(number(&json, "/verdict/digest_conflicts"), 1);
}

#[test]
fn a_comment_hidden_from_one_viewer_is_missing_once() {
    let (json, _) = verdict(Fault::HideComment, false);
    assert_eq!(number(&json, "/verdict/missing"), 1);
}

#[test]
fn an_acknowledged_comment_in_no_frame_is_missing_for_every_viewer() {
    let (json, _) = verdict(Fault::LoseComment, false);
    assert_eq!(number(&json, "/verdict/missing"), 12);
    assert_eq!(number(&json, "/verdict/contradictions"), 1);
}

#[test]
fn shed_comments_are_accounted_for_only_if_they_are_counted() {
    let (json, _) = verdict(Fault::Shed, true);
    assert!(number(&json, "/verdict/shed") >= 12 && number(&json, "/tally/acked/shed") >= 1);
    let (json, _) = verdict(Fault::ShedUncounted, false);
    assert!(number(&json, "/verdict/missing") >= 12);
}

#[test]
fn merged_comments_are_accounted_for_only_if_they_are_counted() {
    let (json, _) = verdict(Fault::Merge, true);
    assert!(number(&json, "/verdict/merged") >= 12 && number(&json, "/tally/acked/merged") >= 1);
    assert!(json["crowded"]["fairness"]["gini_shown"].as_f64().unwrap() > 0.0);
    let (json, _) = verdict(Fault::MergeUncounted, false);
    assert!(number(&json, "/verdict/missing") >= 12);
}

#[test]
fn frames_that_never_come_are_missing_at_the_end() {
    let (json, _) = verdict(Fault::LoseTail, false);
    assert!(number(&json, "/verdict/missing") >= 12);
}

#[test]
fn refusals_are_counted_by_code_and_silence_is_not_accepted() {
    let (json, _) = verdict(Fault::Refuse, true);
    assert!(number(&json, "/tally/refused/rate_limited") >= 20);
    let (json, _) = verdict(Fault::NoAnswer, false);
    assert_eq!(number(&json, "/verdict/unsettled"), 1);
}

#[test]
fn lost_likes_are_found() {
    let (json, stderr) = verdict(Fault::LoseLikes, false);
    let sent = number(&json, "/tally/likes_sent");
    assert!(sent >= 40 && stderr.contains(&format!("likes lost: {} of {sent}", sent / 2)), "{stderr}");
}

#[test]
fn a_closed_connection_and_an_unreadable_message_are_named() {
    let (json, _) = verdict(Fault::Close, false);
    assert_eq!(number(&json, "/tally/lost/close 4001"), 1);
    let (json, _) = verdict(Fault::Garbage, false);
    assert_eq!(json["tally"]["unreadable"].as_object().unwrap().len(), 1);
}

#[test]
fn a_server_that_refuses_every_viewer_is_a_failure_by_status() {
    let (json, stderr) = verdict(Fault::Busy, false);
    assert_eq!(number(&json, "/tally/failed/http 503"), 12);
    assert!(stderr.contains("nobody connected"), "{stderr}");
}

#[test]
fn several_rooms_are_judged_separately() {
    let (code, json, stderr) = run(&Server::start(Fault::None), &["--rooms", "3", "--processes", "2"]);
    assert_eq!((code, number(&json, "/tally/connected")), (0, 12), "{stderr}");
    // Four viewers in each room, and every comment is in one room.
    assert_eq!(number(&json, "/verdict/expected"), number(&json, "/tally/comments_sent") * 4);
    // The fault is in each room's first connection.
    let (code, json, _) = run(&Server::start(Fault::WrongDigest), &["--rooms", "3"]);
    assert_eq!((code, number(&json, "/verdict/digest_conflicts")), (1, 3));
}
