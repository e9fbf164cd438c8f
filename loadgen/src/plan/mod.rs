//! `loadgen plan`: calculates what a show will need. A show (viewers, comments, likes, tick) and a machine (measured in
//! a few seconds, a preset, or given) determine egress, cores, memory, descriptors and nodes, each with its formula.
//!
//! Bytes are measured: a sample frame is encoded by the server's encoder. Time is counted in *sends*, whose cost is
//! measured per machine. `benches/runs/forecast.sh` compares a plan with a real run.

mod calibrate;
pub mod cli;
mod cost;
mod machine;
mod report;
mod show;

pub use cli::PlanArgs;

use std::io::Write;

const EXIT_GOOD: u8 = 0;
/// The plan could not be printed, or this machine could not be measured.
const EXIT_WRONG: u8 = 1;
const EXIT_USAGE: u8 = 64;

/// Plans, prints, and returns the exit code.
pub fn run(args: &PlanArgs) -> u8 {
    let (show, node) = match args.check() {
        Ok(asked) => asked,
        Err(error) => return say(EXIT_USAGE, &error),
    };
    let machine = match args.machine() {
        Ok(cli::From::Given(machine)) => machine,
        Ok(cli::From::ThisMachine) => match calibrate::calibrate(&calibrate::Effort::default()) {
            Ok(machine) => machine,
            Err(error) => return say(EXIT_WRONG, &format!("--calibrate: {error}")),
        },
        Err(error) => return say(EXIT_USAGE, &error),
    };
    let machine = node.applied_to(machine);
    let traffic = show::Traffic::of(&show);
    let forecast = cost::Forecast::new(&show, &traffic, &machine, node.busy);
    let text = if args.json {
        format!("{:#}\n", report::json(&show, &traffic, &machine, &forecast))
    } else {
        report::table(&show, &traffic, &machine, &forecast)
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => EXIT_GOOD,
        Err(error) => say(EXIT_WRONG, &format!("cannot print the plan: {error}")),
    }
}

fn say(code: u8, error: &str) -> u8 {
    // If stderr is closed, the exit code still reports the failure.
    let _ = writeln!(std::io::stderr(), "loadgen plan: {error}");
    code
}
