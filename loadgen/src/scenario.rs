//! What a run is: validated, with every default decided, and cut into plans for workers.
//!
//! Does not know: flags, sockets, reports.

use crate::plan::{Comments, Line, WorkerPlan};
use std::net::SocketAddr;
use volley::protocol::encode::Encoding;

/// Sockets of one process. The project's machines allow 20,000 descriptors, and at 10 frames/s and
/// 3 µs each, 9,000 viewers take a third of a core.
pub const SOCKETS_PER_PROCESS_MAX: usize = 9_000;
/// Descriptors that a worker needs besides its sockets.
pub const OTHER_DESCRIPTORS: usize = 64;
/// Sockets per source address: below the server's default cap of 200.
pub const SOCKETS_PER_ADDRESS: usize = 150;

/// One run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where the server is.
    pub server: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// Rooms.
    pub rooms: Vec<String>,
    /// Viewers in all.
    pub viewers: usize,
    /// What is said.
    pub script: Script,
    /// Likes a second.
    pub likes_per_s: f64,
    /// Before the measuring.
    pub warmup_s: f64,
    /// Measured time.
    pub measured_s: f64,
    /// How messages are written.
    pub encoding: Encoding,
    /// Who stops reading, for how long.
    pub stall: Option<Stall>,
    /// The server's process.
    pub pid: Option<u32>,
    /// The server's admin address.
    pub admin: Option<String>,
    /// Worker processes.
    pub processes: usize,
    /// Source addresses; 0: the kernel's choice.
    pub addresses: usize,
    /// New connections a second.
    pub connect_per_s: f64,
}

/// What is said.
#[derive(Clone, Debug)]
pub enum Script {
    /// Made-up texts.
    Rate {
        /// Comments a second.
        per_s: f64,
        /// Fewest and most characters.
        chars: (usize, usize),
    },
    /// A recording.
    Recording {
        /// Oldest first.
        lines: Vec<Line>,
        /// How many times faster.
        speed: f64,
    },
}

/// A share of the viewers stops reading from a third into the measured time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// 0–1.
    pub share: f64,
    /// For how long.
    pub seconds: f64,
    /// `SO_RCVBUF` of those viewers.
    pub rcvbuf_bytes: usize,
}

/// How many processes `viewers` need when each may open `descriptors` files.
pub fn processes_for(viewers: usize, descriptors: usize) -> usize {
    viewers.div_ceil(descriptors.saturating_sub(OTHER_DESCRIPTORS).clamp(1, SOCKETS_PER_PROCESS_MAX)).max(1)
}

impl Scenario {
    /// One plan per worker.
    pub fn plans(&self, run_tag: u16) -> Vec<WorkerPlan> {
        let workers = self.processes;
        // A like message a millisecond at most, unless its count would pass what the server takes.
        let likes_per_message = (self.likes_per_s / 1_000.0).ceil().clamp(1.0, 100.0) as u64;
        let sockets_per_address = if self.addresses == 0 { 0 } else { self.viewers.div_ceil(self.addresses) };
        (0..workers)
            .map(|worker| {
                let first = self.viewers * worker / workers;
                WorkerPlan {
                    worker,
                    workers,
                    run_tag,
                    server: self.server,
                    host: self.host.clone(),
                    rooms: self.rooms.clone(),
                    viewer_first: first,
                    viewers: self.viewers * (worker + 1) / workers - first,
                    encoding: self.encoding,
                    connect_per_s: self.connect_per_s / workers as f64,
                    sockets_per_address,
                    comments: self.share(worker),
                    likes_per_s: self.likes_per_s,
                    likes_per_message,
                    stall_share: self.stall.map_or(0.0, |s| s.share),
                    stall_rcvbuf_bytes: self.stall.map_or(0, |s| s.rcvbuf_bytes),
                }
            })
            .collect()
    }

    fn share(&self, worker: usize) -> Comments {
        match &self.script {
            Script::Rate { per_s, chars } => Comments::Rate { per_s: *per_s, chars: *chars },
            Script::Recording { lines, speed } => {
                let lines = lines.iter().skip(worker).step_by(self.processes).cloned().collect();
                Comments::Recording { lines, speed: *speed }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volley::protocol::event::Mode;

    #[test]
    fn the_workers_plans_add_up_to_the_scenario() {
        let lines: Vec<Line> =
            (0..11).map(|n| Line { at_ms: n, mode: Mode::Scroll, color: 0, size: 25, text: n.to_string() }).collect();
        let scenario = Scenario {
            server: ([127, 0, 0, 1], 1).into(),
            host: "h".into(),
            rooms: vec!["a".into(), "b".into()],
            viewers: 10_001,
            script: Script::Recording { lines: lines.clone(), speed: 2.0 },
            likes_per_s: 5_000.0,
            warmup_s: 0.0,
            measured_s: 1.0,
            encoding: Encoding::Json,
            stall: None,
            pid: None,
            admin: None,
            processes: 3,
            addresses: 67,
            connect_per_s: 300.0,
        };
        let plans = scenario.plans(1);
        assert_eq!(plans.iter().map(|p| p.viewers).sum::<usize>(), 10_001);
        assert!(plans.windows(2).all(|w| w[0].viewer_first + w[0].viewers == w[1].viewer_first));
        assert_eq!(plans.iter().map(|p| p.connect_per_s).sum::<f64>(), 300.0);
        assert!(plans.iter().all(|p| p.likes_per_message == 5 && p.sockets_per_address == 150));
        let mut said: Vec<Line> = Vec::new();
        for plan in plans {
            let Comments::Recording { lines, .. } = plan.comments else { panic!("a recording stays one") };
            said.extend(lines);
        }
        said.sort_by_key(|line| line.at_ms);
        assert_eq!(said, lines);
    }

    #[test]
    fn processes_follow_the_descriptors() {
        assert_eq!(processes_for(1, 20_000), 1);
        assert_eq!(processes_for(9_000, 20_000), 1);
        assert_eq!(processes_for(9_001, 20_000), 2);
        assert_eq!(processes_for(18_000, 20_000), 2);
        assert_eq!(processes_for(1_000, 564), 2);
    }
}
