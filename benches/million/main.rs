//! The road to a million, in-process: no sockets. One room's tick with 1,000 to 1,000,000 subscribers on 1, 2 and 4 shard
//! threads: room core, log in memory, encoding, inboxes with their wake-ups, rings, passes and counters are the real ones;
//! the sinks only count.
//!
//! ```text
//! cargo bench --bench million                                     # the table; about 30 s
//! cargo bench --bench million -- --svg docs/img/million.svg       # and the plot
//! ```
//!
//! It shows that nothing in Volley grows faster than the number of subscribers, and what Volley itself costs
//! per delivery. What a socket costs beside that is in `benches/fanout`: a thousand times as much.

#![allow(clippy::print_stdout)] // What it measured is printed.
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
            // `cargo bench -- --test` asks whether the benchmark works at all.
            ("--test", _) => (slots, rounds, time) = (&SLOTS[..2], 1, Duration::ZERO),
            ("--svg", 1..) => svg = args.next().map(PathBuf::from),
            _ => {
                eprintln!("million: cannot read {arg:?}; give --svg FILE, or nothing");
                return ExitCode::FAILURE;
            }
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "one room's tick, 20 comments and likes, to every slot: in-process, sinks that count, no sockets; {cores} cores"
    );
    println!("  slots      shards   tick to last slot: median      p99   CPU per delivery   memory per slot");
    let metrics = volley::metrics::install();
    if let Err(error) = metrics {
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
    for ((slots, shards), o) in &results {
        println!(
            "{slots:>9} {shards:>8} {:>24.1} µs {:>8.1} µs {:>12.1} ns {:>15.1} bytes",
            o.median_us, o.p99_us, o.cpu_ns, o.bytes
        );
    }
    let Some(path) = svg else { return ExitCode::SUCCESS };
    match std::fs::write(&path, drawn(&results, cores)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("million: {}: {error}", path.display());
            ExitCode::FAILURE
        }
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
