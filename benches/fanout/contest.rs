//! Runs the contestants in turn and prints medians.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// What runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// One `send` per frame and socket.
    Bare,
    /// One `send` of eight frames per socket; only for the unbounded workload.
    Joined,
    /// The shard.
    Volley,
}

impl Contestant {
    pub const ALL: [Self; 3] = [Self::Bare, Self::Joined, Self::Volley];
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Joined => "joined",
            Self::Volley => "volley",
        }
    }
}

/// The workload.
pub struct Plan {
    viewers: usize,
    bytes: usize,
    rounds: usize,
    seconds: u64,
    intervals_us: Vec<u64>,
}

impl Plan {
    pub fn from_args(args: impl Iterator<Item = String>) -> Self {
        let mut plan = Self { viewers: 10_000, bytes: 512, rounds: 3, seconds: 5, intervals_us: vec![100_000, 0] };
        let args: Vec<String> = args.collect();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|n| n.parse::<u64>().ok()).expect("a number after the flag");
            match word.as_str() {
                "--viewers" => plan.viewers = number() as usize,
                "--bytes" => plan.bytes = number() as usize,
                "--rounds" => plan.rounds = number() as usize,
                "--seconds" => plan.seconds = number(),
                "--fps" => plan.intervals_us = vec![1_000_000 / number()],
                // `cargo bench -- --test` asks whether the benchmark works at all.
                "--test" => (plan.viewers, plan.rounds, plan.seconds) = (100, 1, 1),
                _ => {}
            }
        }
        plan
    }
}

#[derive(Clone, Copy)]
struct Outcome {
    us_per_delivery: f64,
    deliveries_per_s: f64,
    reader_load: f64,
    server_load: f64,
    kib_per_viewer: f64,
}

pub fn main(plan: Plan, contestants: &[Contestant]) {
    println!(
        "fan-out: {} viewers, {} bytes, medians of {} rounds of {} s",
        plan.viewers, plan.bytes, plan.rounds, plan.seconds
    );
    for &interval_us in &plan.intervals_us {
        let paced = interval_us > 0;
        println!("{}", if paced { format!("{} frames/s:", 1_000_000 / interval_us) } else { "unbounded:".into() });
        let contestants: Vec<_> = contestants.iter().copied().filter(|c| !paced || *c != Contestant::Joined).collect();
        let mut outcomes = vec![Vec::new(); contestants.len()];
        for _ in 0..plan.rounds {
            for (n, contestant) in contestants.iter().enumerate() {
                outcomes[n].push(round(&plan, *contestant, interval_us));
            }
        }
        let ratios: Vec<f64> = (0..plan.rounds)
            .map(|r| outcomes.last().expect("volley")[r].us_per_delivery / outcomes[0][r].us_per_delivery)
            .collect();
        for (contestant, rounds) in contestants.iter().zip(&outcomes) {
            let of = |get: fn(&Outcome) -> f64| median(rounds.iter().map(get).collect());
            println!(
                "  {:7} {:7.3} µs CPU/delivery  {:9.0} deliveries/s  server {:3.0} %  reader {:3.0} %  {:.2} KiB/viewer",
                contestant.name(),
                of(|o| o.us_per_delivery),
                of(|o| o.deliveries_per_s),
                of(|o| o.server_load) * 100.0,
                of(|o| o.reader_load) * 100.0,
                of(|o| o.kib_per_viewer),
            );
        }
        println!("  volley / bare, per round: {}; median {:.3}", join(&ratios), median(ratios.clone()));
    }
}

fn join(ratios: &[f64]) -> String {
    ratios.iter().map(|r| format!("{r:.3}")).collect::<Vec<_>>().join(" ")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn round(plan: &Plan, contestant: Contestant, interval_us: u64) -> Outcome {
    let interval = interval_us.to_string();
    let (viewers, bytes) = (plan.viewers.to_string(), plan.bytes.to_string());
    let mut server = Role::start(&["role-server", contestant.name(), &viewers, &bytes, &interval]);
    let port = server.line();
    let mut client = Role::start(&["role-client", &port, &viewers]);
    assert_eq!((client.line().as_str(), server.line().as_str()), ("ready", "ready"));
    // Let the first frames pass: caches, allocator, the kernel's socket buffers.
    std::thread::sleep(Duration::from_millis(500));
    client.say("begin");
    server.say("begin");
    std::thread::sleep(Duration::from_secs(plan.seconds));
    server.say("end");
    let served = numbers(&server.line());
    client.say("end");
    let read = numbers(&client.line());
    let (deliveries, cpu_us, elapsed_us, rss_kib) = (served[0], served[1], served[2], served[3]);
    Outcome {
        us_per_delivery: cpu_us / deliveries,
        deliveries_per_s: deliveries / elapsed_us * 1e6,
        reader_load: read[1],
        server_load: cpu_us / elapsed_us,
        kib_per_viewer: rss_kib / plan.viewers as f64,
    }
}

fn numbers(line: &str) -> Vec<f64> {
    line.split(' ').map(|n| n.parse().expect("a number")).collect()
}

/// A child of this benchmark: the same program in another role. Ends with it.
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

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the child answers");
        line.trim().to_owned()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // By the handle that we hold: nobody else's process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
