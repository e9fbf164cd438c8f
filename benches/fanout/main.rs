//! Fan-out over real sockets, beside a bare loop of one `send` per socket (the floor), in one run.
//!
//! ```text
//! cargo bench --bench fanout                      # 10,000 viewers, 512 bytes, 10 frames/s and unbounded
//! cargo bench --bench fanout -- --viewers 5000 --bytes 4096 --rounds 5
//! ```
//!
//! The server process runs on core 0 with one shard, the reading process on core 1. CPU is the server process's own
//! accounting (`getrusage`: user + system, the kernel's loopback receive path included). Rounds of the contestants are
//! interleaved; medians are printed. The reader's own load is printed too: at 100 % it would be what is measured.

#![allow(clippy::print_stdout)] // What it measured is printed.
#![allow(clippy::disallowed_methods)] // A benchmark reads the clock and waits.

mod client;
mod contest;
mod server;

use contest::{Contestant, Plan};

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    match args.peek().map(String::as_str) {
        Some("role-server") => server::main(args.skip(1)),
        Some("role-client") => client::main(args.skip(1)),
        _ => contest::main(Plan::from_args(args), &Contestant::ALL),
    }
}
