//! A whole server in this process. Tests that start one in the same binary take turns.

use super::{Client, PATIENCE, http};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use volley::app::Node;
use volley::config::{Addresses, Config, Data, DefaultMerge};
use volley::log::Log;

/// One server at a time per process, because metrics belong to the process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A server on free ports, stopped at the end of the test.
pub struct Server {
    node: Option<Node>,
    /// Counters as they were at the start.
    before: String,
    _turn: MutexGuard<'static, ()>,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

impl Server {
    /// The defaults, but without merging and display budget, changed by `change`. The limit of connections is one that
    /// this process can serve.
    pub fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(change, Node::start)
    }

    /// The same on the test's log.
    pub fn start_on(log: Arc<dyn Log>, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(change, |config| Node::start_on(config, log))
    }

    fn start_by(
        change: impl FnOnce(&mut Config),
        start: impl FnOnce(Config) -> Result<Node, volley::app::StartError>,
    ) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = Config {
            addresses: Addresses {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                admin: SocketAddr::from(([127, 0, 0, 1], 0)),
                ..Addresses::default()
            },
            drain_ms: 1_000,
            data: Data::Memory,
            shards: 2,
            ..Config::default()
        };
        config.admission.connections_max = 4_000;
        // Every comment is shown individually, unless the test is about crowds.
        (config.room.merge, config.room.budget_per_s) = (DefaultMerge::Off, 0);
        // Also to a client that its test lets wait.
        config.connection.lite_lag_frames = 0;
        change(&mut config);
        let node = start(config).expect("starts");
        let (public, admin) = (node.public_address(), node.admin_address());
        let mut server = Self { public, admin, node: Some(node), before: String::new(), _turn: turn };
        server.before = server.get(admin, "/metrics").1;
        server
    }

    /// A client in `room`, its welcome read.
    pub fn join(&self, room: &str) -> Client {
        let mut client = self.connect(room, "");
        client.welcome = client.next("welcome");
        client
    }

    /// A client that has not read its welcome.
    pub fn connect(&self, room: &str, query: &str) -> Client {
        Client::connect(self.public, &format!("/v1/rooms/{room}/ws{query}"), None).expect("upgrades")
    }

    /// The body of a GET, whatever the status.
    pub fn get(&self, address: SocketAddr, path: &str) -> (u16, String) {
        http(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
    }

    /// One metric, summed over its labels that contain `labels`; counters since this server's start.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let now = sum(&self.get(self.admin, "/metrics").1, name, labels);
        if name.ends_with("_total") { now - sum(&self.before, name, labels) } else { now }
    }

    /// Waits until `condition` holds.
    pub fn eventually(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            assert!(began.elapsed() < PATIENCE, "never happened: {what}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    pub fn drain(mut self) -> usize {
        self.node.take().expect("running").drain()
    }

    /// Takes the node out, for tests that drain it on a different thread.
    pub fn take(&mut self) -> Node {
        self.node.take().expect("running")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.drain();
        }
    }
}

fn sum(text: &str, name: &str, labels: &str) -> f64 {
    text.lines()
        .filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(labels)
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
