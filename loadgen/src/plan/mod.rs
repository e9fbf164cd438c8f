//! `loadgen plan`: what a show will need, before it. A show (viewers, comments, likes, tick) and a machine (measured here in
//! a few seconds, named, or given) become egress, cores, memory, descriptors and nodes, each with its formula.
//!
//! Nothing about bytes is a guess: a sample frame goes through the server's encoder. Everything about time is counted
//! in *sends*, which is what a machine is measured by. `benches/runs/forecast.sh` holds a plan against a real run.

mod calibrate;
pub mod cli;
mod cost;
mod machine;
mod report;
mod show;

pub use cli::PlanArgs;

use std::io::Write;

/// The plan was printed.
const EXIT_GOOD: u8 = 0;
/// It could not be printed, or this machine not be measured.
const EXIT_WRONG: u8 = 1;
/// A wrong command line.
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
    // A closed stderr leaves the exit code to say it.
    let _ = writeln!(std::io::stderr(), "loadgen plan: {error}");
    code
}
