//! The results: for people, for programs, and for docs/reliability.md.
//!
//! Does not know: how they came about.

use super::scenario::Scenario;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

const TABLE_WIDTH: u16 = 130;
/// Between these two lines of the document the results stand; the rest of it is written by hand.
const MARKS: [&str; 2] = ["<!-- results: begin -->", "<!-- results: end -->"];

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should.
    Passed,
    /// Not run, and why.
    Skipped(String),
    /// Not as it should, and why.
    Failed(String),
}

impl State {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "FAILED",
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Skipped(why) | Self::Failed(why) => Some(why),
        }
    }
}

/// One scenario's result.
#[derive(Clone)]
pub struct Row {
    /// Which.
    pub scenario: Scenario,
    /// How it ended.
    pub state: State,
    /// What was counted.
    pub figures: Vec<(String, String)>,
    /// How long it took.
    pub seconds: f64,
}

impl Row {
    fn figures(&self) -> String {
        self.figures.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" · ")
    }
}

/// For people.
pub fn text(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
    for row in rows {
        let said = match row.state.why() {
            Some(why) => format!("{why}\n{}", row.figures()),
            None => row.figures(),
        };
        table.add_row([row.scenario.name, row.state.word(), &format!("{:.0} s", row.seconds), said.trim_end()]);
    }
    let count = |word| rows.iter().filter(|row| row.state.word() == word).count();
    format!("{table}\n{} passed, {} skipped, {} failed\n", count("passed"), count("skipped"), count("FAILED"))
}

/// For programs.
pub fn json(rows: &[Row], seed: u64) -> Value {
    let one = |row: &Row| {
        let figures: serde_json::Map<_, _> = row.figures.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        json!({
            "name": row.scenario.name, "inject": row.scenario.inject, "shows": row.scenario.shows,
            "state": row.state.word().to_lowercase(), "why": row.state.why(), "seconds": row.seconds, "figures": figures,
        })
    };
    json!({ "seed": seed, "scenarios": rows.iter().map(one).collect::<Vec<_>>() })
}

/// Puts the results into the document at `path`, between its two marks; makes the document if there is none.
///
/// # Errors
/// It cannot be read or written, or has no marks.
pub fn write_markdown(path: &Path, rows: &[Row]) -> std::io::Result<()> {
    let [begin, end] = MARKS;
    let page = match std::fs::read_to_string(path) {
        Ok(page) => page,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("{begin}\n{end}\n"),
        Err(error) => return Err(error),
    };
    let parts = page.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let Some((before, after)) = parts else {
        return Err(std::io::Error::other(format!("it has no lines `{begin}` and `{end}`")));
    };
    std::fs::write(path, format!("{before}{begin}\n{}{end}{after}", markdown(rows)))
}

fn markdown(rows: &[Row]) -> String {
    let mut text = format!("Machine: {}.\n\n", machine());
    text.push_str("| scenario | inject | result | figures | what it shows |\n|---|---|---|---|---|\n");
    for row in rows {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let result = match &row.state {
            State::Skipped(why) => format!("skipped: {}", cell(why)),
            state => state.word().to_owned(),
        };
        let Scenario { name, inject, shows, .. } = row.scenario;
        let _ =
            writeln!(text, "| `{name}` | {} | {result} | {} | {} |", cell(inject), cell(&row.figures()), cell(shows));
    }
    text
}

/// Cores, model and kernel, as Linux says them.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, model)| model));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: String = release.trim().split('-').next().unwrap_or_default().to_owned();
    format!("{cores} cores ({}), Linux {version}; server and clients share them", model.unwrap_or("unknown").trim())
}
