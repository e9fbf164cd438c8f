//! A sending process and its reading process, and one burst between them.

use super::plan::{Cell, JOINED, WARM_UP};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The results of one burst.
#[derive(Clone, Copy)]
pub struct Outcome {
    pub us_per_delivery: f64,
    pub deliveries_per_s: f64,
    /// Share of the sending process's core.
    pub core: f64,
    /// Share of the reading process's core.
    pub reader: f64,
    pub frames_per_send: f64,
    pub reads_per_s: f64,
    pub kib_per_viewer: f64,
    /// Gaps that the contestant announced because the reader was too slow.
    pub gaps: u64,
    /// Without these: sockets that received anything but the frames, and bytes received in excess of, or short of,
    /// those sent.
    pub wrong: u64,
}

/// Two processes with all sockets between them. Dropping it ends them.
pub struct Pair {
    server: Role,
    reader: Role,
    viewers: usize,
}

impl Pair {
    /// `kind`: `floor` or `volley`.
    pub fn start(kind: &str, viewers: usize) -> Self {
        let count = viewers.to_string();
        let mut server = Role::start(&["role-server", kind, &count]);
        let port = server.line();
        let mut reader = Role::start(&["role-client", &port, &count]);
        assert_eq!((reader.line().as_str(), server.line().as_str()), ("ready", "ready"));
        Self { server, reader, viewers }
    }

    /// A short burst whose bytes are compared, and then a measured one.
    pub fn measure(&mut self, cell: Cell, burst: Duration) -> Outcome {
        let warm_up = self.burst(cell, JOINED, WARM_UP, cell.bytes);
        let measured = self.burst(cell, JOINED, burst, 0);
        Outcome { wrong: warm_up.wrong + measured.wrong, gaps: warm_up.gaps + measured.gaps, ..measured }
    }

    /// Sends frames of `cell.bytes` for a time. With `compared`, the frames' length, their bytes are checked.
    pub fn burst(&mut self, cell: Cell, join: usize, length: Duration, compared: usize) -> Outcome {
        self.reader.ask(&format!("mark {compared}"), "marked");
        self.server.ask(&format!("begin {} {} {join}", cell.bytes, cell.load.interval_us()), "begun");
        std::thread::sleep(length);
        self.server.say("end");
        let [deliveries, bytes, sends, gaps, cpu_us, rss_kib] = numbers(&self.server.line());
        self.reader.say(&format!("until {bytes}"));
        let [got, reads, elapsed_us, reader_us, wrong] = numbers(&self.reader.line());
        let elapsed_us = elapsed_us.max(1) as f64;
        let per_s = |count: u64| count as f64 / elapsed_us * 1e6;
        Outcome {
            us_per_delivery: cpu_us as f64 / deliveries.max(1) as f64,
            deliveries_per_s: per_s(deliveries),
            core: cpu_us as f64 / elapsed_us,
            reader: reader_us as f64 / elapsed_us,
            frames_per_send: deliveries as f64 / sends.max(1) as f64,
            reads_per_s: per_s(reads),
            kib_per_viewer: rss_kib as f64 / self.viewers as f64,
            gaps,
            wrong: if gaps == 0 { wrong } else { 0 } + got.abs_diff(bytes),
        }
    }
}

fn numbers<const N: usize>(line: &str) -> [u64; N] {
    let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
    numbers.try_into().expect("as many as are said")
}

/// A child of this benchmark: the same program in a different role. It ends with the benchmark.
struct Role {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Role {
    fn start(args: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, input, output: BufReader::new(output) }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the child listens");
    }

    fn ask(&mut self, line: &str, answer: &str) {
        self.say(line);
        assert_eq!(self.line(), answer);
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the child answers");
        line.trim().to_owned()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // By its handle, so no other process can be hit.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
