//! The measurements as Markdown tables for docs/benchmarks.md.

use super::contest::Row;
use super::pair::Outcome;
use super::plan::{Cell, Load, Plan};
use std::fmt::Write;

/// A core that is busier than this counts as full: latencies and ratios are then those of a full core.
const FULL: f64 = 0.9;

pub fn title(plan: &Plan) -> String {
    format!(
        "Fan-out: medians (lowest–highest) of {} rounds of {:.1} s, the contestants alternate; about {:.0} minutes.\n",
        plan.rounds,
        plan.burst.as_secs_f64(),
        (plan.takes().as_secs_f64() / 60.0).ceil()
    )
}

/// The reader's capacity, calculated from its load in a flood.
pub fn capacity(cell: Cell, join: usize, flood: &Outcome) -> String {
    let by_load = |rate: f64| rate / flood.reader.max(0.001);
    format!(
        "reader, flooded with {} bytes × {join} per send by {} sockets: {:.2} GB/s in {:.0} k reads/s at {:.0} % of its core \
         (sending core {:.0} %). Its capacity is {:.1} GB/s or {:.0} k reads/s.",
        cell.bytes,
        grouped(cell.viewers),
        flood.deliveries_per_s * cell.bytes as f64 / 1e9,
        flood.reads_per_s / 1e3,
        flood.reader * 100.0,
        flood.core * 100.0,
        by_load(flood.deliveries_per_s * cell.bytes as f64) / 1e9,
        by_load(flood.reads_per_s) / 1e3,
    )
}

/// One table for paced loads and one for unbounded ones; each cell has one figure.
pub fn rows(rows: &[Row]) -> String {
    const PACED: &[&str] = &["viewers", "bytes", "frames/s", "floor", "Volley", "Volley ÷ floor"];
    const UNBOUNDED: &[&str] = &[
        "viewers",
        "bytes",
        "floor",
        "Volley",
        "Volley ÷ floor",
        "frames per send, floor",
        "frames per send, Volley",
        "CPU, floor",
        "CPU, Volley",
    ];
    const BUSY: &[&str] = &["core, floor", "core, Volley", "reader, floor", "reader, Volley", "note"];
    let mut out = String::new();
    for (is_paced, head) in [(true, PACED), (false, UNBOUNDED)] {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.cell.load.is_paced() == is_paced).collect();
        if rows.is_empty() {
            continue;
        }
        let head = [head, BUSY].concat();
        writeln!(out, "\n| {} |\n|{}", head.join(" | "), "---|".repeat(head.len())).expect("a String takes all");
        for row in rows {
            writeln!(out, "| {} |", cells(row).join(" | ")).expect("a String takes all");
        }
    }
    out
}

fn cells(row: &Row) -> Vec<String> {
    let Cell { viewers, bytes, load } = row.cell;
    let both = |show: fn(&[Outcome]) -> String| [show(&row.floor), show(&row.volley)];
    let ratios = ratios(row);
    let ratio = format!(
        "**{:.3}** ({:.3}–{:.3})",
        middle(ratios.clone()),
        ratios.iter().copied().fold(f64::MAX, f64::min),
        ratios.iter().copied().fold(0.0, f64::max)
    );
    let mut cells = vec![grouped(viewers), grouped(bytes)];
    match load {
        Load::Paced(fps) => {
            cells.push(fps.to_string());
            cells.extend(both(|of| format!("{} µs", spread(of, |o| o.us_per_delivery, 1.0, 2))));
            cells.push(ratio);
        }
        Load::Unbounded => {
            cells.extend(both(|of| format!("{} k/s", spread(of, |o| o.deliveries_per_s, 1e-3, 0))));
            cells.push(ratio);
            cells.extend(both(|of| format!("{:.1}", median(of, |o| o.frames_per_send))));
            cells.extend(both(|of| format!("{} µs", spread(of, |o| o.us_per_delivery, 1.0, 2))));
        }
    }
    cells.extend(both(|of| format!("{:.0} %", median(of, |o| o.core) * 100.0)));
    cells.extend(both(|of| format!("{:.0} %", median(of, |o| o.reader) * 100.0)));
    cells.push(marks(row));
    cells
}

/// Whether the goals are reached: the worst row for each goal.
pub fn verdict(rows: &[Row]) -> String {
    let is_free = |row: &&Row| median(&row.floor, |o| o.core) < FULL && median(&row.volley, |o| o.core) < FULL;
    let paced = rows.iter().filter(|row| row.cell.load.is_paced()).filter(is_free).map(|row| middle(ratios(row)));
    let unbounded = rows.iter().filter(|row| !row.cell.load.is_paced()).map(|row| middle(ratios(row)));
    let mut out = String::new();
    if let Some(worst) = paced.reduce(f64::max) {
        writeln!(out, "CPU per delivery, core under 90 % busy: at most {worst:.3} × the floor (goal: 1.05)")
            .expect("a String takes all");
    }
    if let Some(worst) = unbounded.reduce(f64::min) {
        writeln!(out, "deliveries/s, unbounded: at least {worst:.3} × the joining floor (goal: 0.95)")
            .expect("a String takes all");
    }
    let memory: Vec<String> = rows
        .chunk_by(|a, b| a.cell.viewers == b.cell.viewers)
        .filter_map(|rows| Some((rows[0].cell.viewers, rows[0].volley.first()?.kib_per_viewer)))
        .map(|(viewers, kib)| format!("{kib:.2} ({})", grouped(viewers)))
        .collect();
    writeln!(out, "KiB resident per viewer of the bare shard, first burst: {}", memory.join(", "))
        .expect("a String takes all");
    out
}

/// Volley ÷ floor of each round: CPU per delivery, or deliveries per second.
fn ratios(row: &Row) -> Vec<f64> {
    let get: fn(&Outcome) -> f64 =
        if row.cell.load.is_paced() { |o| o.us_per_delivery } else { |o| o.deliveries_per_s };
    row.volley.iter().zip(&row.floor).map(|(volley, floor)| get(volley) / get(floor)).collect()
}

/// Limits that a row reached, and faults in it.
fn marks(row: &Row) -> String {
    let mut marks = Vec::new();
    let is_full = |get: fn(&Outcome) -> f64| [&row.floor, &row.volley].iter().any(|of| median(of, get) >= FULL);
    if is_full(|o| o.reader) {
        marks.push("reader full".to_owned());
    }
    if row.cell.load.is_paced() && is_full(|o| o.core) {
        marks.push("core full".to_owned());
    }
    let gaps: u64 = row.volley.iter().map(|o| o.gaps).sum();
    if gaps > 0 {
        marks.push(format!("{gaps} gaps announced"));
    }
    let wrong: u64 = row.floor.iter().chain(&row.volley).map(|o| o.wrong).sum();
    if wrong > 0 {
        marks.push(format!("**{wrong} bytes or sockets not as sent**"));
    }
    marks.join("; ")
}

/// `median (lowest–highest)`.
fn spread(of: &[Outcome], get: fn(&Outcome) -> f64, scale: f64, digits: usize) -> String {
    let values: Vec<f64> = of.iter().map(|o| get(o) * scale).collect();
    let low = values.iter().copied().fold(f64::MAX, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    format!("{:.digits$} ({low:.digits$}–{high:.digits$})", middle(values))
}

fn median(of: &[Outcome], get: fn(&Outcome) -> f64) -> f64 {
    middle(of.iter().map(get).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `12345` → `12,345`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let pieces: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|p| std::str::from_utf8(p).expect("digits")).collect();
    pieces.join(",")
}
