//! One room's tick, in one process and without sockets, with 1,000 to 1,000,000 subscribers on 1, 2 and 4 shard
//! threads: room core, log in memory, encoding, inboxes with their wake-ups, rings, passes and counters are the real
//! ones, and only the sinks are replaced with counters.
//!
//! ```text
//! cargo bench --bench million                                     # the table; about 30 s
//! cargo bench --bench million -- --svg docs/img/million.svg       # and the plot
//! ```
//!
//! It shows that no cost in Volley grows faster than the number of subscribers, and Volley's own cost per delivery. The
//! cost of a socket is a thousand times higher; `benches/fanout` measures it.

#![allow(clippy::print_stdout)] // A benchmark prints its results.
#![allow(clippy::disallowed_methods)] // A benchmark reads the clock.

mod memory;
mod node;
mod plot;
mod wire;

use node::Outcome;
use plot::{Guide, Panel, Scale, Series};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

/// Subscribers of the room, all shards together.
const SLOTS: [u32; 7] = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];
/// Shard threads.
const SHARDS: [u16; 3] = [1, 2, 4];
/// Rounds, interleaved; medians are shown.
const ROUNDS: usize = 3;
/// Of one measurement.
const TIME: Duration = Duration::from_millis(450);

fn main() -> ExitCode {
    let (mut svg, mut slots, mut rounds, mut time) = (None, &SLOTS[..], ROUNDS, TIME);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.len()) {
            ("--bench", _) => {}
            // `cargo bench -- --test` checks that the benchmark works.
            ("--test", _) => (slots, rounds, time) = (&SLOTS[..2], 1, Duration::ZERO),
            ("--svg", 1..) => svg = args.next().map(PathBuf::from),
            _ => {
                eprintln!("million: cannot read {arg:?}; give --svg FILE, or nothing");
                return ExitCode::FAILURE;
            }
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if let Err(error) = volley::metrics::install() {
        eprintln!("million: {error}");
        return ExitCode::FAILURE;
    }
    let cases: Vec<(u32, u16)> = slots.iter().flat_map(|slots| SHARDS.map(|shards| (*slots, shards))).collect();
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for ((slots, shards), outcomes) in cases.iter().zip(&mut outcomes) {
            outcomes.push(node::measure(*slots, *shards, time));
        }
    }
    let results: Vec<((u32, u16), Outcome)> =
        cases.into_iter().zip(outcomes.iter().map(|rounds| Outcome::median(rounds))).collect();
    println!(
        "One room's tick, 20 comments and likes, to every slot; in-process, sinks that count, no sockets; {cores} cores."
    );
    println!("Medians of {rounds} rounds; times are the ticks' median (p99).\n");
    print!("{}", table(&results));
    let Some(path) = svg else { return ExitCode::SUCCESS };
    match std::fs::write(&path, drawn(&results, cores)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("million: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// The table of docs/benchmarks.md: a row per number of slots, a column per number of shards.
fn table(results: &[((u32, u16), Outcome)]) -> String {
    let times = SHARDS.map(|shards| format!("{shards} shard{}", if shards == 1 { "" } else { "s" })).join(" | ");
    let shards = SHARDS.map(|shards| shards.to_string()).join(" · ");
    let mut out = format!("| slots | {times} | CPU per delivery, {shards} shards | memory per slot |\n|");
    out.push_str(&"---|".repeat(SHARDS.len() + 3));
    for row in results.chunks(SHARDS.len()) {
        let time = |us: f64| if us < 1_000.0 { format!("{us:.0} µs") } else { format!("{:.2} ms", us / 1e3) };
        let times = row.iter().map(|(_, o)| format!("{} ({})", time(o.median_us), time(o.p99_us)));
        let cpu = row.iter().map(|(_, o)| format!("{:.1}", o.cpu_ns));
        let (times, cpu) = (times.collect::<Vec<_>>().join(" | "), cpu.collect::<Vec<_>>().join(" · "));
        let ((slots, _), Outcome { bytes, .. }) = row[0];
        out.push_str(&format!("\n| {} | {times} | {cpu} ns | {bytes:.1} bytes |", grouped(slots)));
    }
    out + "\n"
}

/// `1000000` → `1,000,000`.
fn grouped(n: u32) -> String {
    match (n / 1_000_000, n / 1_000 % 1_000, n % 1_000) {
        (0, 0, ones) => ones.to_string(),
        (0, thousands, ones) => format!("{thousands},{ones:03}"),
        (millions, thousands, ones) => format!("{millions},{thousands:03},{ones:03}"),
    }
}

/// The three panels of the plot.
fn drawn(results: &[((u32, u16), Outcome)], cores: usize) -> String {
    let series = |of: fn(&Outcome) -> f64| -> Vec<Series> {
        SHARDS
            .iter()
            .map(|shards| {
                let mine = results.iter().filter(|((_, n), _)| n == shards);
                let points = mine.map(|((slots, _), outcome)| (f64::from(*slots), of(outcome))).collect();
                Series { name: format!("{shards} shard{}", if *shards == 1 { "" } else { "s" }), points }
            })
            .collect()
    };
    let panels = [
        Panel {
            title: "Time from the tick to the last slot",
            label: |us| if us >= 1e3 { format!("{} ms", us / 1e3) } else { format!("{us} µs") },
            scale: Scale::Log,
            series: series(|o| o.median_us),
            guide: Guide::Slope,
        },
        Panel {
            title: "CPU per delivery, everything included",
            label: |ns| format!("{ns} ns"),
            scale: Scale::Log,
            series: series(|o| o.cpu_ns),
            guide: Guide::None,
        },
        Panel {
            title: "Memory per slot",
            label: |bytes| format!("{bytes} B"),
            scale: Scale::Linear,
            series: series(|o| o.bytes),
            guide: Guide::Level(16.0, "the slot itself: 16 bytes; the rest is the array's reserve"),
        },
    ];
    let note = format!(
        "In-process, {cores} cores: one room, 20 comments a tick; room, encoding, inboxes, rings, passes and counters are real, the sinks only count. No sockets."
    );
    plot::draw("From 1,000 to 1,000,000 subscribers of one room", &note, "subscribers of the room", &panels)
}
