//! The scenarios by name: the fault of each, and what it shows.
//!
//! Does not know: how results are printed.

mod bugs;
mod crowds;
mod damage;
mod drains;
mod kills;
mod masses;
mod points;
mod storage;

use super::ground::{Ground, Trouble, broken};
use crate::check::{Rule, Verdict};
use std::fmt::Write as _;

#[derive(Clone, Copy)]
pub struct ChaosScenario {
    /// Its name on the command line.
    pub name: &'static str,
    pub inject: &'static str,
    /// What it shows when it passes.
    pub shows: &'static str,
    /// Whether it is in the selection for every change.
    pub is_short: bool,
    /// Runs the scenario. An error is a failure or a reason to skip it.
    pub run: fn(&mut Ground) -> Result<(), Trouble>,
}

/// All scenarios, in the order in which they run.
pub fn all() -> Vec<ChaosScenario> {
    [kills::ALL, points::ALL, storage::ALL, damage::ALL, drains::ALL, masses::ALL, crowds::ALL, bugs::ALL].concat()
}

/// Comments a second, clients and rooms of the runs with kills.
const LOAD: (f64, usize, usize) = (2_000.0, 300, 30);
/// Messages with likes per second in these runs.
const LIKES_PER_S: f64 = 50.0;

/// Starts the server, connects the crowd, and lets it send comments.
fn under_load(ground: &mut Ground) -> Result<(), Trouble> {
    let (comments, clients, rooms) = LOAD;
    ground.start()?;
    ground.invite(clients, rooms)?;
    ground.pace(comments, LIKES_PER_S, 2.0)
}

/// Ends the scenario, whose verdict must be good.
fn must_be_good(ground: &mut Ground) -> Result<(), Trouble> {
    let verdict = ground.verdict()?;
    note(ground, &verdict);
    if broken(&verdict).is_empty() { Ok(()) } else { super::ground::fail(examples(&verdict)) }
}

/// A page of the server's admin address.
fn admin_get(ground: &Ground, path: &str) -> Result<String, Trouble> {
    crate::chaos::audit::get(ground.recipe.addresses[1], path).map_err(Trouble::Fail)
}

/// Adds the figures of a verdict to the report.
fn note(ground: &mut Ground, verdict: &Verdict) {
    ground.figure("events checked", verdict.lines);
    let count = |late: bool| -> u64 {
        let of = verdict.rules.iter().filter(|(rule, _)| (*rule == Rule::L2) == late);
        of.map(|(_, finding)| finding.violations).sum()
    };
    ground.figure("violations", count(false));
    if count(true) > 0 {
        ground.figure("late deliveries (L2)", count(true));
    }
}

fn examples(verdict: &Verdict) -> String {
    let mut text = String::new();
    for (rule, finding) in verdict.rules.iter().filter(|(_, finding)| finding.violations > 0) {
        let _ = write!(text, "{} {}: {} violations", rule.number(), rule.name(), finding.violations);
        for example in finding.examples.iter().take(2) {
            let _ = write!(text, "; {}", example.text);
        }
        text.push('\n');
    }
    text
}
