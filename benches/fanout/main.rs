//! Fan-out over real sockets, beside a bare loop of `send`s (the floor), in one run.
//!
//! ```text
//! cargo bench --bench fanout                      # 10,000 viewers, 512 bytes, 10 frames/s and unbounded; about a
//! minute cargo bench --bench fanout -- --matrix          # every number of viewers, size and load of
//! docs/benchmarks.md; 10 minutes cargo bench --bench fanout -- --viewers 5000 --bytes 4096 --fps 3 --rounds 5
//! ```
//!
//! A sending process runs on core 0, its reading process on core 1; the floor and Volley each have such a pair, with
//! all sockets open all the time, and take turns. A round is a burst: the clock starts, frames go out for some seconds,
//! and it stops when the reader has the last byte, so that nothing is in flight when anything is counted. CPU is the
//! sending process's own accounting (user and system, the kernel's loopback receive path included).
//!
//! First it shows that the reader is not the bottleneck, by its throughput when it is flooded. Then it prints the
//! reader's load for each row, and marks a row in which the reader was nearly full.

#![allow(clippy::print_stdout)] // A benchmark prints its results.
#![allow(clippy::disallowed_methods)] // A benchmark reads the clock and waits.

mod client;
mod contest;
mod floor;
mod pair;
mod plan;
mod server;
mod table;
mod volleyed;

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    match args.peek().map(String::as_str) {
        Some("role-server") => server::main(args.skip(1)),
        Some("role-client") => client::main(args.skip(1)),
        _ => contest::main(&plan::Plan::from_args(args)),
    }
}
