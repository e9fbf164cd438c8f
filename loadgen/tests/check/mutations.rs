//! A good history that is mutated in one place must be reported under the right rule, and under no unrelated one.

mod counts;
mod store;
mod stream;

use crate::check;
use crate::history::History;
use crate::show::{self, Dice};
use loadgen::check::Rule::{self, L3};
use serde_json::Value;
use std::collections::HashMap;

/// Histories in which each mutation is tried, if it is possible there.
const SEEDS: u64 = 12;

/// Per mutation; more seeds find the same in much more time.
const ENOUGH: u32 = 6;

type Mutate = fn(&mut History) -> Option<()>;

/// A mutation, the rules that must report it, and those that may.
struct Case {
    name: &'static str,
    must: &'static [Rule],
    may: &'static [Rule],
    mutate: Mutate,
}
/// All mutations.
fn cases() -> impl Iterator<Item = &'static Case> {
    stream::CASES.iter().chain(store::CASES).chain(counts::CASES)
}

#[test]
fn every_mutation_is_reported_under_its_number_and_no_other() {
    let mut wrong = Vec::new();
    let mut good: HashMap<u64, Vec<Value>> = HashMap::new();
    for case in cases() {
        let mut applied = 0;
        for seed in 0..SEEDS {
            if applied == ENOUGH {
                break;
            }
            let lines = good.entry(seed).or_insert_with(|| show::good(seed)).clone();
            let mut history = History { lines, dice: Dice::new(seed ^ 0xabcd) };
            if (case.mutate)(&mut history).is_none() {
                continue;
            }
            applied += 1;
            let verdict = check(&history.lines);
            let found = verdict.violated();
            let missed: Vec<_> = case.must.iter().filter(|rule| !found.contains(rule)).collect();
            let strange: Vec<_> = found.iter().filter(|r| !case.must.contains(r) && !case.may.contains(r)).collect();
            if !missed.is_empty() || !strange.is_empty() {
                let table = verdict.table();
                wrong.push(format!("{:?}, seed {seed}: missed {missed:?}, also {strange:?}\n{table}", case.name));
            }
        }
        if applied < 3 {
            wrong.push(format!("{:?} could be made in {applied} of {SEEDS} histories only", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_rule_that_a_history_can_show_has_a_mutation() {
    let covered: Vec<Rule> = cases().flat_map(|case| case.must).copied().collect();
    let left: Vec<_> = Rule::ALL.iter().filter(|rule| !covered.contains(rule)).collect();
    assert_eq!(left, [&L3]);
}
