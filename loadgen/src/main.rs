//! The program. A run: flags → scenario → run → table, JSON and exit code. `check`: history → verdict. `plan`: show →
//! its needs.
//!
//! Exit codes of a run: 0 everything is accounted for · 1 something is missing or wrong, nobody connected, or the run
//! failed · 64 usage · 65 a broken recording.

use clap::Parser;
use loadgen::args::without_strays;
use loadgen::cli::{Args, CliError, Command};
use loadgen::run::progress::ProgressLine;
use loadgen::run::report::Outcome;
use loadgen::run::{children, conductor};
use loadgen::{chaos, check, plan};
use std::io::Write;
use std::process::ExitCode;

const EXIT_WRONG: u8 = 1;
const EXIT_USAGE: u8 = 64;
const EXIT_RECORDING: u8 = 65;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == children::WORKER_ARGUMENT) {
        // The parent has raised the limit of descriptors, which a child inherits.
        children::worker_process();
        return ExitCode::SUCCESS;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are not errors and go to stdout.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            let _ = without_strays(error).print();
            return code.into();
        }
    };
    match &args.command {
        Some(Command::Check(check)) => return check::run(check).into(),
        Some(Command::Chaos(chaos)) => return chaos::run(chaos).into(),
        Some(Command::Plan(args)) => return plan::run(args).into(),
        None => {}
    }
    let (scenario, recording) = match args.scenario() {
        Ok(chosen) => chosen,
        Err(error @ CliError::Usage(_)) => return fail(EXIT_USAGE, &error.to_string()),
        Err(error @ CliError::Recording(_)) => return fail(EXIT_RECORDING, &error.to_string()),
    };
    if let Err(error) = conductor::knock(&scenario) {
        return fail(EXIT_WRONG, &error);
    }
    let mut line = ProgressLine::new(args.quiet);
    let findings = conductor::run(&scenario, &mut |glance| line.show(&glance));
    line.end();
    let findings = match findings {
        Ok(findings) => findings,
        Err(error) => return fail(EXIT_WRONG, &error),
    };
    let outcome = Outcome::judge(&scenario, &findings);
    let table = outcome.table(&scenario, recording.as_ref(), &findings);
    let json = || format!("{:#}\n", outcome.json(&scenario, recording.as_ref(), &findings));
    let written = match args.json.as_deref() {
        None => std::io::stdout().write_all(table.as_bytes()),
        Some("-") => {
            std::io::stderr().write_all(table.as_bytes()).and_then(|()| std::io::stdout().write_all(json().as_bytes()))
        }
        Some(path) => std::io::stdout().write_all(table.as_bytes()).and_then(|()| std::fs::write(path, json())),
    };
    if let Err(error) = written {
        return fail(EXIT_WRONG, &format!("cannot write the report: {error}"));
    }
    if outcome.is_good { ExitCode::SUCCESS } else { EXIT_WRONG.into() }
}

fn fail(code: u8, error: &str) -> ExitCode {
    // If stderr is closed, the exit code still reports the failure.
    let _ = writeln!(std::io::stderr(), "loadgen: {error}");
    code.into()
}
