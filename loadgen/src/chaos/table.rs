//! The results, as text for people, as JSON for programs, and as a table for docs/reliability.md.
//!
//! Does not know: how the scenarios ran.

use super::scenario::ChaosScenario;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use std::path::Path;

const TABLE_WIDTH: u16 = 130;
/// The results are between these two lines of the document; the rest is written by hand.
const MARKS: [&str; 2] = ["<!-- results: begin -->", "<!-- results: end -->"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    Passed,
    Skipped(String),
    /// The reason why it failed.
    Failed(String),
}

impl RowState {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "FAILED",
        }
    }

    /// The reason of a skip or a failure.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Skipped(why) | Self::Failed(why) => Some(why),
        }
    }
}

#[derive(Clone)]
pub struct Row {
    pub scenario: ChaosScenario,
    pub state: RowState,
    pub figures: Vec<(String, String)>,
    pub seconds: f64,
}

impl Row {
    fn figures(&self) -> String {
        self.figures.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" · ")
    }
}

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

/// Writes the results into the document at `path`, between its two marks; creates the document if it does not exist.
/// Scenarios that did not run now keep their line.
///
/// # Errors
/// The document cannot be read or written, or has no marks.
pub fn write_markdown(path: &Path, rows: &[Row]) -> std::io::Result<()> {
    let [begin, end] = MARKS;
    let page = match std::fs::read_to_string(path) {
        Ok(page) => page,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("{begin}\n{end}\n"),
        Err(error) => return Err(error),
    };
    let parts = page.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?)));
    let Some((before, (known, after))) = parts else {
        return Err(std::io::Error::other(format!(
            "it needs the lines `{begin}` and `{end}`, between which the results are written"
        )));
    };
    std::fs::write(path, format!("{before}{begin}\n{}{end}{after}", markdown(rows, known)))
}

fn markdown(rows: &[Row], known: &str) -> String {
    let mut text = format!("Machine: {}.\n\n", machine());
    text.push_str("| scenario | inject | result | figures | what it shows |\n|---|---|---|---|---|\n");
    for ChaosScenario { name, .. } in super::scenario::all() {
        let begin = format!("| `{name}` |");
        match (rows.iter().find(|row| row.scenario.name == name), known.lines().find(|line| line.starts_with(&begin))) {
            (Some(row), _) => text.push_str(&line(row)),
            (None, Some(line)) => text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    text
}

/// One scenario's line of the document.
fn line(row: &Row) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let result = match &row.state {
        RowState::Passed => "passed".to_owned(),
        RowState::Skipped(why) => format!("skipped: {}", cell(why)),
        // Without the path of the kept folder, which means nothing on other machines.
        RowState::Failed(why) => {
            format!("**failed**: {}", cell(why.split(" (kept: ").next().unwrap_or_default().trim_end()))
        }
    };
    let ChaosScenario { name, inject, shows, .. } = row.scenario;
    format!("| `{name}` | {} | {result} | {} | {} |\n", cell(inject), cell(&row.figures()), cell(shows))
}

/// Cores, model and kernel of this machine, from Linux.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, model)| model));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: String = release.trim().split('-').next().unwrap_or_default().to_owned();
    format!("{cores} cores ({}), Linux {version}; server and clients share them", model.unwrap_or("unknown").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: usize, state: RowState) -> Row {
        let scenario = crate::chaos::scenario::all()[at];
        Row { scenario, state, figures: vec![("kills".into(), "3".into())], seconds: 1.5 }
    }

    #[test]
    fn a_run_of_some_keeps_the_lines_of_the_others_in_order() {
        let path = std::env::temp_dir().join(format!("table-{}.md", std::process::id()));
        std::fs::write(&path, format!("above\n{}\n{}\nbelow\n", MARKS[0], MARKS[1])).unwrap();
        write_markdown(&path, &[row(2, RowState::Passed), row(0, RowState::Failed("a|b (kept: here)".into()))])
            .unwrap();
        write_markdown(&path, &[row(1, RowState::Skipped("no root".into())), row(2, RowState::Failed("late".into()))])
            .unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let said = ["**failed**: a\\|b | kills 3", "skipped: no root", "**failed**: late"];
        assert!(lines.len() == 3 && lines.iter().zip(said).all(|(line, said)| line.contains(said)), "{page}");
        assert!(page.starts_with("above\n") && page.ends_with("below\n") && !page.contains("kept:"));
    }

    #[test]
    fn a_page_without_its_marks_is_not_written() {
        let path = std::env::temp_dir().join(format!("table-{}-plain.md", std::process::id()));
        std::fs::write(&path, "mine\n").unwrap();
        assert!(write_markdown(&path, &[]).unwrap_err().to_string().contains("results: begin"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine\n");
        std::fs::remove_file(&path).unwrap();
    }
}
