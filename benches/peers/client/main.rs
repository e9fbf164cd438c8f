//! One client for all: Volley, its floor and its peers under the same viewers and the same publishing.
//!
//! ```text
//! benches/peers/run                                # the comparison: installs and starts the peers, uses this program
//! cargo bench --bench peers -- --test              # a quick check: the floor and Volley, 100 viewers, 1 s each peers
//! measure --peer ws --speaks websocket --port 18701 --workloads paced,unbounded --out FILE -- COMMAND… peers table
//! FILE                                 # the results as Markdown peers bare|joined PORT                           #
//! the floor: one `send` per viewer and message (per run of messages)
//! ```
//!
//! `measure` starts the peer on core 0 and runs on core 1 itself: one thread, one poll, and sockets that are read as
//! soon as they have bytes. CPU is the peer's own accounting (`/proc`, all its processes and threads), so it includes
//! the kernel's loopback path. The client's own load is printed beside each figure: near 100 % the client would be the
//! bottleneck.

#![allow(clippy::print_stdout)] // A benchmark prints its results.
#![allow(clippy::disallowed_methods)] // A benchmark reads the clock and waits.

mod bare;
mod crowd;
mod frames;
mod latency;
mod measure;
mod options;
mod process;
mod publish;
mod speaks;
mod table;
mod test;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` adds this to what its caller gave.
    args.retain(|arg| arg != "--bench");
    let done = match args.first().map(String::as_str) {
        Some("measure") => options::Options::parse(&args[1..]).and_then(|options| measure::main(&options)),
        Some("table") => table::main(&args[1..]),
        Some(kind @ ("bare" | "joined")) => bare::main(kind == "joined", &args[1..]),
        Some("--test") => test::main(),
        None => {
            println!("benches/peers/run measures; `cargo bench --bench peers -- --test` sees whether it can.");
            Ok(())
        }
        Some(other) => Err(format!("no command `{other}`; the first lines of benches/peers/client/main.rs name them")),
    };
    if let Err(error) = done {
        eprintln!("peers: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
