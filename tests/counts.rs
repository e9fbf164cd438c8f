//! The guard of `benches/counts`: which changes it accepts, and which it refuses.

#[path = "../benches/counts/compare.rs"]
mod compare;

use compare::{Baseline, Verdict, judge, rows, table};

fn baseline(counts: &[(&str, u64)]) -> Baseline {
    let environment =
        vec![("rustc".to_owned(), "rustc 1.95.0".to_owned()), ("cpu".to_owned(), "x86_64 avx2".to_owned())];
    Baseline { environment, counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect() }
}

fn verdict(before: &Baseline, now: &Baseline) -> Verdict {
    judge(&rows(before, now), &before.foreign_to(now))
}

#[test]
fn three_percent_more_pass_and_more_fails_with_the_remedy() {
    let before = baseline(&[("pass", 10_000), ("tick", 1_000)]);
    assert!(verdict(&before, &before).is_good);
    assert!(verdict(&before, &baseline(&[("pass", 10_300), ("tick", 980)])).is_good);
    let worse = verdict(&before, &baseline(&[("pass", 10_301), ("tick", 1_000)]));
    assert!(!worse.is_good);
    for said in ["pass +3.0 %", "--update", "benches/counts.baseline"] {
        assert!(worse.text.contains(said), "{}", worse.text);
    }
    assert!(!worse.text.contains("tick"), "only what is worse is named: {}", worse.text);
}

#[test]
fn a_small_workload_may_lose_one_inlined_call_and_no_more() {
    let before = baseline(&[("idle", 400)]);
    assert!(verdict(&before, &baseline(&[("idle", 430)])).is_good);
    assert!(!verdict(&before, &baseline(&[("idle", 431)])).is_good);
}

#[test]
fn an_improvement_is_reported_and_passes() {
    let better = verdict(&baseline(&[("pass", 10_000)]), &baseline(&[("pass", 5_000)]));
    assert!(better.is_good && better.text.contains("better: pass -50.0 %"), "{}", better.text);
}

#[test]
fn a_different_compiler_only_warns_and_is_named() {
    let mut now = baseline(&[("pass", 20_000)]);
    now.environment[0].1 = "rustc 1.96.0".into();
    let warned = verdict(&baseline(&[("pass", 10_000)]), &now);
    assert!(warned.is_good, "{}", warned.text);
    for said in ["rustc: rustc 1.95.0 there, rustc 1.96.0 here", "warning", "pass +100.0 %"] {
        assert!(warned.text.contains(said), "{}", warned.text);
    }
}

#[test]
fn a_workload_without_a_baseline_and_a_removed_one_fail() {
    let (one, two) = (baseline(&[("pass", 1)]), baseline(&[("pass", 1), ("tick", 1)]));
    for (before, now) in [(&one, &two), (&two, &one)] {
        let strange = verdict(before, now);
        assert!(!strange.is_good && strange.text.contains("tick"), "{}", strange.text);
    }
    assert!(table(&rows(&one, &two)).lines().any(|line| line.starts_with("tick") && line.contains('-')));
}

#[test]
fn the_file_comes_back_as_it_was_written_and_a_broken_line_is_named() {
    let written = baseline(&[("pass_1000x1", 12_345_678), ("tick", 9)]);
    assert!(written.text().contains("12,345,678"));
    assert_eq!(Baseline::parse(&written.text()), Ok(written));
    for broken in ["pass", "pass many", "pass 1.5"] {
        let error = Baseline::parse(&format!("# a comment\n\n{broken}\n")).unwrap_err();
        assert!(error.contains("counts.baseline:3") && error.contains(broken), "{error}");
    }
}

#[test]
fn the_committed_baseline_can_be_read_and_names_its_environment() {
    let text = include_str!("../benches/counts.baseline");
    let committed = Baseline::parse(text).unwrap();
    assert!(committed.counts.len() >= 10 && committed.counts.iter().all(|(_, count)| *count > 0));
    let names: Vec<&str> = committed.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["rustc", "libc", "valgrind", "cpu"]);
    assert_eq!(committed.text(), text, "written by --update, not by hand");
}
