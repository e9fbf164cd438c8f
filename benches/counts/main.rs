//! Instructions of the hot paths, counted by callgrind and compared with `benches/counts.baseline`.
//!
//! ```text
//! cargo bench --bench counts                 # compare; fails if a workload needs over 3 % more
//! cargo bench --bench counts -- --update     # write a new baseline
//! cargo bench --bench counts -- pass         # only the workloads with `pass` in their names
//! ```
//!
//! A count has no noise from other programs, so the accepted difference is small. It does not show caches, branches or
//! system calls, which `benches/pass.rs` and `benches/fanout` measure. Each workload runs twice in a separate process
//! under valgrind, N and 2N times: the difference is N iterations, without start-up and preparation.

#![allow(clippy::print_stdout)] // What it counted is printed.

mod compare;
mod valgrind;
mod workloads;

use compare::Baseline;
use std::process::ExitCode;
use workloads::{WORKLOADS, Workload};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts.baseline");

fn main() -> ExitCode {
    // Cargo says `--bench` to every benchmark.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        // The arguments with which this program starts itself under valgrind.
        ["role-run", name, times] => role_run(name, times),
        ["role-cpu"] => {
            println!("{}", valgrind::cpu());
            Ok(true)
        }
        ["--test"] => try_all(),
        ["--update"] => update(),
        [] => check(""),
        [part] if !part.starts_with('-') => check(part),
        _ => Err(format!("cannot read {args:?}; give --update, or part of a workload's name, or nothing")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn role_run(name: &str, times: &str) -> Result<bool, String> {
    let workload = WORKLOADS.iter().find(|w| w.name == name).ok_or_else(|| format!("no workload {name}"))?;
    let times = times.parse().map_err(|_| format!("{times} is no number"))?;
    workload.run(times);
    Ok(true)
}

/// `cargo bench -- --test`: every workload runs, uncounted.
fn try_all() -> Result<bool, String> {
    WORKLOADS.iter().for_each(|workload| workload.run(1));
    println!("counts: {} workloads run", WORKLOADS.len());
    Ok(true)
}

fn count(chosen: &[&Workload]) -> Result<Baseline, String> {
    let environment = valgrind::environment()?;
    let counts = valgrind::count(chosen)?;
    Ok(Baseline { environment, counts })
}

fn update() -> Result<bool, String> {
    let now = count(&WORKLOADS.iter().collect::<Vec<_>>())?;
    if let Ok(text) = std::fs::read_to_string(BASELINE) {
        print!("{}", compare::table(&compare::rows(&Baseline::parse(&text)?, &now)));
    }
    std::fs::write(BASELINE, now.text()).map_err(|e| format!("{BASELINE}: {e}"))?;
    println!("benches/counts.baseline is written. Commit it with the change that moved it, and say why in the commit.");
    Ok(true)
}

fn check(part: &str) -> Result<bool, String> {
    let chosen: Vec<&Workload> = WORKLOADS.iter().filter(|w| w.name.contains(part)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = WORKLOADS.iter().map(|w| w.name).collect();
        return Err(format!("no workload has {part:?} in its name; there are {}", names.join(", ")));
    }
    let text = std::fs::read_to_string(BASELINE).map_err(|e| format!("{BASELINE}: {e}; --update writes it"))?;
    let mut baseline = Baseline::parse(&text)?;
    baseline.counts.retain(|(name, _)| name.contains(part));
    let now = count(&chosen)?;
    let rows = compare::rows(&baseline, &now);
    print!("{}", compare::table(&rows));
    let verdict = compare::judge(&rows, &baseline.foreign_to(&now));
    print!("{}", verdict.text);
    Ok(verdict.is_good)
}
