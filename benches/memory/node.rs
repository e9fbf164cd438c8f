//! The observed node, and its viewers.

use super::report::{Snapshot, report};
use super::watched;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use volley::app::Node;
use volley::config::{Addresses, Config, Data};

/// Viewers that are traced, in the middle of all.
const CLOSE: usize = 8;

/// After this time, queues and timers have released what connecting left in them.
const SETTLE: Duration = Duration::from_millis(1_500);

pub fn main(viewers: usize) {
    rlimit::increase_nofile_limit(u64::MAX).expect("RLIMIT_NOFILE can be read");
    let mut config = Config {
        addresses: Addresses {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Addresses::default()
        },
        drain_ms: 0,
        data: Data::Memory,
        shards: 1,
        ..Config::default()
    };
    config.admission.connections_max = viewers + 100;
    config.admission.connections_per_address_max = viewers;
    let node = Node::start(config).expect("starts");
    let program = std::env::current_exe().expect("this program");
    let mut client = Command::new(program)
        .args(["role-client", &node.public_address().to_string(), &viewers.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = client.stdin.take().expect("piped");
    let mut output = BufReader::new(client.stdout.take().expect("piped"));
    let mut connect = |count: usize| {
        writeln!(input, "{count}").expect("the client listens");
        let mut line = String::new();
        output.read_line(&mut line).expect("the client answers");
        if line != "in\n" {
            // The error is printed already. This must not panic, because the node's threads would continue.
            std::process::exit(1);
        }
    };
    // The first viewers open the room and initialise everything that is created once.
    let first = CLOSE;
    connect(first);
    std::thread::sleep(SETTLE);
    let before = Snapshot::take();
    let more = viewers - first;
    connect(more / 2);
    watched::look_closely(true);
    connect(CLOSE);
    std::thread::sleep(SETTLE);
    watched::look_closely(false);
    connect(more - more / 2 - CLOSE);
    std::thread::sleep(SETTLE);
    print!("{}", report(viewers, more, CLOSE, &before, &Snapshot::take()));
    // By its handle. The node needs no drain, because it stores nothing.
    let _ = client.kill();
    let _ = client.wait();
    std::process::exit(0);
}
