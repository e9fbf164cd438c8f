//! The memory of an idle viewer, block by block: a whole node whose allocator is observed while viewers connect.
//!
//! ```text
//! cargo bench --bench memory                      # 1,000, 5,000, 10,000 and 18,000 viewers; about a minute
//! cargo bench --bench memory -- --viewers 5000
//! ```
//!
//! Each number of viewers has a separate pair of processes: a node with one shard and its log in memory, whose
//! allocations are counted by size, and a process that connects the viewers as fast as possible and then only listens.
//! A few viewers in the middle are traced: for each of their remaining blocks, the report names the line that allocated
//! it. Tables (blocks over 2 KiB) are listed with their resident part, because the end of a table that was just doubled
//! is not resident.

#![allow(clippy::print_stdout)] // A benchmark prints its results.
#![allow(clippy::disallowed_methods)] // A benchmark reads the clock and waits.

mod client;
mod node;
mod report;
mod watched;

use std::process::Command;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("role-node") => return node::main(args[1].parse().expect("viewers")),
        Some("role-client") => return client::main(&args[1], args[2].parse().expect("viewers")),
        _ => {}
    }
    let mut counts = vec![1_000, 5_000, 10_000, 18_000];
    if args.iter().any(|arg| arg == "--test") {
        counts = vec![200];
    }
    if let Some(at) = args.iter().position(|arg| arg == "--viewers") {
        counts = vec![args.get(at + 1).and_then(|n| n.parse::<u32>().ok()).expect("a number after the flag")];
    }
    for count in counts {
        let program = std::env::current_exe().expect("this program");
        let status = Command::new(program).args(["role-node", &count.to_string()]).status().expect("starts");
        assert!(status.success(), "{count} viewers: {status}");
    }
}
