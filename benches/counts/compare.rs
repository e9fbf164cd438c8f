//! The baseline's file, and the comparison of counts with it.
//!
//! Does not know: how instructions are counted.

use std::fmt::Write;

/// The growth of a workload that is accepted, in percent. Counts are equal in each run except for the room's tick,
/// whose tables have random hash seeds: eleven runs were within 0.6 %. The same code built in a different folder
/// differed by up to 0.3 %. One more instruction per visit of the pass is 1.3 %.
pub const TOLERANCE_PERCENT: u64 = 3;

/// Instructions by which a count may grow in any case: whether the compiler inlines a call can depend on unrelated
/// code. The count of an idle room (some 400) varied by 23 with unrelated changes.
pub const SLACK: u64 = 30;

/// Counts, and their environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// What determines instructions beside the code: compiler, C library, valgrind, and the CPU that valgrind
    /// simulates.
    pub environment: Vec<(String, String)>,
    /// Instructions of one iteration, by workload.
    pub counts: Vec<(String, u64)>,
}

impl Baseline {
    /// Reads the file.
    ///
    /// # Errors
    /// The malformed line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut baseline = Self { environment: Vec::new(), counts: Vec::new() };
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || format!("counts.baseline:{}: cannot read {line:?}; --update writes the file anew", at + 1);
            if let Some((what, value)) = line.split_once(" = ") {
                baseline.environment.push((what.trim().to_owned(), value.trim().to_owned()));
            } else {
                let (name, count) = line.split_once(' ').ok_or_else(wrong)?;
                let count = count.trim().replace(',', "").parse().map_err(|_| wrong())?;
                baseline.counts.push((name.to_owned(), count));
            }
        }
        Ok(baseline)
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut out = String::from(
            "# Instructions of one iteration of each workload in benches/counts/workloads.rs, counted by callgrind.\n\
             # Written by `cargo bench --bench counts -- --update`; CONTRIBUTING.md says when.\n\n",
        );
        for (what, value) in &self.environment {
            let _ = writeln!(out, "{what} = {value}");
        }
        out.push('\n');
        for (name, count) in &self.counts {
            let _ = writeln!(out, "{name:20} {:>12}", grouped(*count));
        }
        out
    }

    /// The parts of the environment that differ from `now`'s, one line each.
    pub fn foreign_to(&self, now: &Self) -> Vec<String> {
        let of = |list: &[(String, String)], what: &str| {
            list.iter().find(|(name, _)| name == what).map_or("unknown".to_owned(), |(_, value)| value.clone())
        };
        let is = |what: &str| (of(&self.environment, what), of(&now.environment, what));
        let names = now.environment.iter().map(|(name, _)| name);
        names
            .map(|name| (name, is(name)))
            .filter(|(_, (before, here))| before != here)
            .map(|(name, (before, here))| format!("{name}: {before} there, {here} here"))
            .collect()
    }
}

/// One workload and its baseline; `None`: it is not in the baseline, or no longer counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The workload.
    pub name: String,
    /// The baseline's count.
    pub before: Option<u64>,
    /// The count.
    pub now: Option<u64>,
}

impl Row {
    /// The growth in percent.
    pub fn change_percent(&self) -> Option<f64> {
        let (before, now) = (self.before?, self.now?);
        Some((now as f64 / before.max(1) as f64 - 1.0) * 100.0)
    }

    /// Whether it needs more, or less, than is accepted.
    fn is_worse(&self) -> bool {
        self.before.zip(self.now).is_some_and(|(before, now)| now > before + allowed(before))
    }

    fn is_better(&self) -> bool {
        self.before.zip(self.now).is_some_and(|(before, now)| now + allowed(before) < before)
    }
}

/// The accepted difference from `before`.
fn allowed(before: u64) -> u64 {
    (before * TOLERANCE_PERCENT / 100).max(SLACK)
}

/// Every workload of either, in the baseline's order first.
pub fn rows(baseline: &Baseline, now: &Baseline) -> Vec<Row> {
    let find = |counts: &[(String, u64)], name: &str| counts.iter().find(|(n, _)| n == name).map(|(_, count)| *count);
    let old = baseline.counts.iter().map(|(name, count)| {
        let now = find(&now.counts, name);
        Row { name: name.clone(), before: Some(*count), now }
    });
    let new = now.counts.iter().filter(|(name, _)| find(&baseline.counts, name).is_none());
    old.chain(new.map(|(name, count)| Row { name: name.clone(), before: None, now: Some(*count) })).collect()
}

/// For people.
pub fn table(rows: &[Row]) -> String {
    let mut out = format!("{:20} {:>12} {:>12} {:>9}\n", "instructions of", "baseline", "now", "change");
    let shown = |count: Option<u64>| count.map_or("-".to_owned(), grouped);
    for row in rows {
        let change = row.change_percent().map_or("-".to_owned(), |percent| format!("{percent:+.2} %"));
        let _ = writeln!(out, "{:20} {:>12} {:>12} {change:>9}", row.name, shown(row.before), shown(row.now));
    }
    out
}

/// Whether the guard accepts the change, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// No workload needs more than it may, or the environment differs.
    pub is_good: bool,
    /// Lines for people.
    pub text: String,
}

/// Judges `rows`; `foreign` has the differences of the environment from the baseline's.
pub fn judge(rows: &[Row], foreign: &[String]) -> Verdict {
    let list = |keep: &dyn Fn(&&Row) -> bool| -> Vec<String> {
        let describe = |row: &Row| match row.change_percent() {
            Some(percent) => format!("{} {percent:+.1} %", row.name),
            None => row.name.clone(),
        };
        rows.iter().filter(keep).map(describe).collect()
    };
    let worse = list(&|row| row.is_worse());
    let better = list(&|row| row.is_better());
    let strange = list(&|row| row.before.is_none() || row.now.is_none());
    let mut text = String::new();
    if !foreign.is_empty() {
        text.push_str("note: the baseline was counted with something else, so that differences only warn here:\n");
        foreign.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    let is_ours = foreign.is_empty();
    if !worse.is_empty() {
        let word = if is_ours { "TOO MANY" } else { "warning, more" };
        text.push_str(&format!(
            "{word} instructions (over {TOLERANCE_PERCENT} %): {}\n  find out why (`callgrind_annotate` shows where), or, if it is worth it:\n  \
             cargo bench --bench counts -- --update, and commit benches/counts.baseline with the reason\n",
            worse.join(", ")
        ));
    }
    if !better.is_empty() {
        text.push_str(&format!(
            "better: {}\n  keep it: cargo bench --bench counts -- --update, and commit benches/counts.baseline\n",
            better.join(", ")
        ));
    }
    if !strange.is_empty() {
        text.push_str(&format!(
            "NOT IN BOTH, the baseline and the benchmark: {}\n  cargo bench --bench counts -- --update\n",
            strange.join(", ")
        ));
    }
    let is_good = (worse.is_empty() || !is_ours) && strange.is_empty();
    if is_good && worse.is_empty() && better.is_empty() {
        text.push_str(&format!("no workload needs over {TOLERANCE_PERCENT} % more or less than the baseline\n"));
    }
    Verdict { is_good, text }
}

/// `12345678` → `12,345,678`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
