//! `loadgen check`: flags, the file, the table and the exit code.

use super::{Checker, Options, Rate};
use clap::Args;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// No violation.
const EXIT_GOOD: u8 = 0;
/// Violations, or the report could not be written.
const EXIT_WRONG: u8 = 1;
/// A wrong command line, or a file that cannot be opened.
const EXIT_USAGE: u8 = 64;
/// A line of the history is not an event.
const EXIT_BROKEN: u8 = 65;
const BUFFER_BYTES: usize = 256 * 1024;

/// Checks a history against the rules that must always hold, and names the rules that it cannot check. Exit codes: 0 no
/// violation · 1 violations · 64 usage · 65 a broken line.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The history, as JSON lines; - reads it from stdin
    #[arg(value_name = "HISTORY")]
    pub file: PathBuf,
    /// The server's rate limit for comments of one author, as PER_S,BURST; without it S17 is not checked
    #[arg(long, value_name = "PER_S,BURST")]
    pub rate: Option<Rate>,
    /// The rooms' tick in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub tick_ms: u64,
    /// Write the verdict as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Checks, writes the verdict to stdout, and returns the exit code.
pub fn run(args: &CheckArgs) -> u8 {
    let from: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        match File::open(&args.file) {
            Ok(file) => Box::new(file),
            Err(error) => return say(EXIT_USAGE, &format!("{}: {error}", args.file.display())),
        }
    };
    let options = Options { rate: args.rate, tick_ms: args.tick_ms };
    let verdict = match Checker::read(options, BufReader::with_capacity(BUFFER_BYTES, from)) {
        Ok(verdict) => verdict,
        Err(broken) => return say(EXIT_BROKEN, &format!("{}: {broken}", args.file.display())),
    };
    let text = if args.json { format!("{:#}\n", verdict.json()) } else { verdict.table() };
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return say(EXIT_WRONG, &format!("cannot write the verdict: {error}"));
    }
    if verdict.is_good() { EXIT_GOOD } else { EXIT_WRONG }
}

fn say(code: u8, error: &str) -> u8 {
    // If stderr is closed, the exit code still reports the failure.
    let _ = writeln!(std::io::stderr(), "loadgen check: {error}");
    code
}
