//! Tests of the checker: good histories pass, each mutation is reported under its rule, and the program's output is
//! right.

mod history;
mod mutations;
mod program;
mod room;
mod show;

use loadgen::check::{Checker, Options, Rate, Rule, Verdict};
use serde_json::Value;
use show::text;

/// The rate that no author of a show exceeds.
pub const RATE: Rate = Rate { per_s: 20.0, burst: 20.0 };

fn check(lines: &[Value]) -> Verdict {
    Checker::read(Options { rate: Some(RATE), tick_ms: 100 }, text(lines).as_bytes()).expect("no broken line")
}

#[test]
fn good_histories_of_many_seeds_have_no_violation() {
    let mut checked = std::collections::BTreeMap::<Rule, u64>::new();
    for seed in 0..40 {
        let verdict = check(&show::good(seed));
        assert!(verdict.is_good(), "seed {seed}:\n{}", verdict.table());
        for (rule, finding) in &verdict.rules {
            *checked.entry(*rule).or_default() += finding.checked;
        }
    }
    for (rule, n) in checked {
        assert!(
            n >= 20 || rule == Rule::L3,
            "{} is only checked {n} times: these histories prove nothing",
            rule.number()
        );
    }
}

#[test]
fn the_order_of_clients_in_the_file_does_not_matter() {
    for seed in 0..8 {
        let mut lines = show::good(seed);
        // Each client's lines stay in order; lines without a client come first.
        lines.sort_by_key(|line| {
            show::fields(line).get("author").or(show::fields(line).get("client")).map(|who| {
                // Senders and clients are the same here: a1 is v1.
                who.as_str().unwrap_or_default()[1..].to_owned()
            })
        });
        let verdict = check(&lines);
        assert!(verdict.is_good(), "seed {seed}:\n{}", verdict.table());
        let why = verdict.of(Rule::L2).why_not.as_deref().unwrap_or_default();
        assert!(why.starts_with("the lines are not in order of time"), "{why}");
    }
}
