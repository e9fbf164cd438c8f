//! `loadgen chaos`: chooses the scenarios, runs them in turn, and returns the exit code.

use super::ground::{Ground, Trouble};
use super::scenario::{self, ChaosScenario};
use super::table::{self, Row, RowState};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const EXIT_GOOD: u8 = 0;
const EXIT_WRONG: u8 = 1;
const EXIT_USAGE: u8 = 64;

/// Breaks a server on purpose, and lets the checker judge what its clients saw. Without names it runs the short
/// selection. Exit codes: 0 all passed or were skipped with a reason · 1 a scenario failed · 64 usage.
#[derive(Clone, Debug, Args)]
pub struct ChaosArgs {
    /// Names of scenarios; --list shows them
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Run every scenario
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Run the selection for every change, which takes at most 5 minutes
    #[arg(long, conflicts_with_all = ["names", "all"])]
    pub short: bool,
    /// List the scenarios
    #[arg(long)]
    pub list: bool,
    /// The server, built with --features faults [default: volley-faults beside this program]
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,
    /// Where the scenarios' folders are created [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The seed of a run's random moments and victims; the same seed repeats them [default: from the clock]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Keep every scenario's folder, not only those of failures
    #[arg(long)]
    pub keep: bool,
    /// Write the results as JSON to stdout, and the table to stderr
    #[arg(long)]
    pub json: bool,
    /// Write the results into the table of docs/reliability.md, or of a page with the same marks
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// Runs the scenarios; returns the exit code.
pub fn run(args: &ChaosArgs) -> u8 {
    let all = scenario::all();
    if args.list {
        let list =
            all.iter().map(|s| format!("{:<28}{} {}\n", s.name, if s.is_short { "short" } else { "     " }, s.inject));
        return say(EXIT_GOOD, &list.collect::<String>());
    }
    let chosen = match choose(args, &all) {
        Ok(chosen) => chosen,
        Err(error) => return complain(EXIT_USAGE, &error),
    };
    let binary = match binary(args.server.as_deref()) {
        Ok(binary) => binary,
        Err(error) => return complain(EXIT_USAGE, &error),
    };
    // Crowds of thousands need many descriptors; a scenario that needs more is skipped with a reason.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let seed = args.seed.unwrap_or(clock);
    let base = args.folder.clone().unwrap_or_else(std::env::temp_dir).join(format!("chaos-{}", std::process::id()));
    let mut rows = Vec::new();
    for scenario in &chosen {
        note(&format!("{:<28}{}", scenario.name, scenario.inject));
        let row = one(scenario, &binary, &base.join(scenario.name), seed, args.keep);
        let why = row.state.why().map_or(String::new(), |why| format!(": {}", why.lines().next().unwrap_or_default()));
        note(&format!("{:<28}{} after {:.0} s{why}", "", row.state.word(), row.seconds));
        rows.push(row);
    }
    // Removed only if it is empty: failures leave their folders in it.
    let _ = std::fs::remove_dir(&base);
    report(args, &rows, seed)
}

fn choose(args: &ChaosArgs, all: &[ChaosScenario]) -> Result<Vec<ChaosScenario>, String> {
    if args.all {
        return Ok(all.to_vec());
    }
    if args.names.is_empty() {
        return Ok(all.iter().filter(|scenario| scenario.is_short).copied().collect());
    }
    let find = |name: &String| all.iter().find(|scenario| scenario.name == name).copied();
    args.names.iter().map(|name| find(name).ok_or_else(|| format!("no scenario `{name}`; --list names them"))).collect()
}

fn binary(given: Option<&Path>) -> Result<PathBuf, String> {
    let sibling = || Some(std::env::current_exe().ok()?.parent()?.join("volley-faults"));
    let path = given.map(Path::to_owned).or_else(sibling).ok_or("cannot find this program's folder: give --server")?;
    let bytes = std::fs::read(&path).map_err(|e| {
        format!("{}: {e}; build it with `cargo build --release --features faults --bin volley-faults`", path.display())
    })?;
    // A server without the hooks would pass scenarios whose faults never happened.
    let mark = b"this build of volley can be told to fail";
    if bytes.windows(mark.len()).any(|window| window == mark) {
        Ok(path)
    } else {
        Err(format!(
            "{}: it was built without --features faults; build it with `cargo build --release --features faults --bin volley-faults`",
            path.display()
        ))
    }
}

fn one(scenario: &ChaosScenario, binary: &Path, folder: &Path, seed: u64, keep: bool) -> Row {
    let began = Instant::now();
    let (outcome, figures) = match Ground::new(folder.to_owned(), binary, seed) {
        Ok(mut ground) => {
            let outcome = (scenario.run)(&mut ground);
            (outcome, std::mem::take(&mut ground.figures))
        }
        Err(error) => (Err(error), Vec::new()),
    };
    let state = match outcome {
        Ok(()) => RowState::Passed,
        Err(Trouble::Skip(why)) => RowState::Skipped(why),
        Err(Trouble::Fail(why)) => RowState::Failed(format!("{why} (kept: {})", folder.display())),
    };
    if !keep && !matches!(state, RowState::Failed(_)) {
        // A folder that cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(folder);
    }
    Row { scenario: *scenario, state, figures, seconds: began.elapsed().as_secs_f64() }
}

fn report(args: &ChaosArgs, rows: &[Row], seed: u64) -> u8 {
    let text = format!("{}seed {seed}\n", table::text(rows));
    let is_good = rows.iter().all(|row| !matches!(row.state, RowState::Failed(_)));
    let code = if is_good { EXIT_GOOD } else { EXIT_WRONG };
    if let Some(path) = &args.markdown
        && let Err(error) = table::write_markdown(path, rows)
    {
        return complain(EXIT_WRONG, &format!("{}: {error}", path.display()));
    }
    if args.json {
        note(&text);
        return say(code, &format!("{:#}\n", table::json(rows, seed)));
    }
    say(code, &text)
}

fn say(code: u8, text: &str) -> u8 {
    if std::io::stdout().write_all(text.as_bytes()).is_ok() { code } else { EXIT_WRONG }
}

fn note(text: &str) {
    // If stderr is closed, the exit code still reports the failure.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn complain(code: u8, error: &str) -> u8 {
    note(&format!("loadgen chaos: {error}"));
    code
}
