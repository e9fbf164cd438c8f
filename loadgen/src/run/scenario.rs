//! A run: its validated parameters, with every default decided, and its division into plans for workers.
//!
//! Does not know: flags, sockets, reports.

pub use crate::run::group::{Group, Script};

use crate::run::messages::WorkerPlan;
use crate::secret::Secret;
use std::net::SocketAddr;
use volley::protocol::variant::{Encoding, Rendition};

/// The most sockets of one process. The project's machines allow 20,000 descriptors, and at 10 frames/s and
/// 3 µs each, 9,000 viewers take a third of a core.
pub const SOCKETS_PER_PROCESS_MAX: usize = 9_000;
/// Descriptors that a worker needs besides its sockets.
pub const OTHER_DESCRIPTORS: usize = 64;
/// Sockets per source address: below the server's default cap of 200.
pub const SOCKETS_PER_ADDRESS: usize = 150;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub server: SocketAddr,
    /// The `Host` header.
    pub host: String,
    pub rooms: Vec<String>,
    /// The groups of these rooms. Never empty.
    pub groups: Vec<Group>,
    pub warmup_s: f64,
    pub measured_s: f64,
    pub encoding: Encoding,
    /// Whether viewers request compressed messages.
    pub compression: bool,
    /// The rendition that viewers ask for.
    pub rendition: Rendition,
    /// Guaranteed events per second, posted through the admin address.
    pub posts_per_s: f64,
    /// The admin key, if the address requires one.
    pub admin_key: Option<Secret>,
    /// Which viewers stop reading, and for how long.
    pub stall: Option<Stall>,
    pub pid: Option<u32>,
    pub admin: Option<String>,
    pub processes: usize,
    /// Source addresses; 0: the kernel chooses.
    pub addresses: usize,
    pub connect_per_s: f64,
}

/// A share of the viewers stops reading from a third into the measured time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// 0–1.
    pub share: f64,
    pub seconds: f64,
    /// `SO_RCVBUF` of those viewers.
    pub rcvbuf_bytes: usize,
}

/// The number of processes that `viewers` need if each may open `descriptors` files.
pub fn processes_for(viewers: usize, descriptors: usize) -> usize {
    viewers.div_ceil(descriptors.saturating_sub(OTHER_DESCRIPTORS).clamp(1, SOCKETS_PER_PROCESS_MAX)).max(1)
}

impl Scenario {
    /// One plan per worker.
    pub fn plans(&self, run_tag: u16) -> Vec<WorkerPlan> {
        let workers = self.processes;
        let sockets_per_address = if self.addresses == 0 { 0 } else { self.viewers().div_ceil(self.addresses) };
        let mut viewer_first = 0;
        (0..workers)
            .map(|worker| {
                let groups: Vec<_> = self.groups.iter().map(|group| group.share(worker, workers)).collect();
                let first = viewer_first;
                viewer_first += groups.iter().map(|group| group.viewers).sum::<usize>();
                WorkerPlan {
                    worker,
                    workers,
                    run_tag,
                    server: self.server,
                    host: self.host.clone(),
                    rooms: self.rooms.clone(),
                    groups,
                    viewer_first: first,
                    encoding: self.encoding,
                    compression: self.compression,
                    rendition: self.rendition,
                    connect_per_s: self.connect_per_s / workers as f64,
                    sockets_per_address,
                    stall_share: self.stall.map_or(0.0, |s| s.share),
                    stall_rcvbuf_bytes: self.stall.map_or(0, |s| s.rcvbuf_bytes),
                }
            })
            .collect()
    }

    pub fn viewers(&self) -> usize {
        self.groups.iter().map(|group| group.viewers).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::messages::{Comments, RecordedComment};
    use volley::protocol::event::Mode;

    #[test]
    fn the_workers_plans_add_up_to_the_scenario() {
        let lines: Vec<RecordedComment> = (0..11)
            .map(|n| RecordedComment { at_ms: n, mode: Mode::Scroll, color: 0, size: 25, text: n.to_string() })
            .collect();
        let scenario = Scenario {
            server: ([127, 0, 0, 1], 1).into(),
            host: "h".into(),
            rooms: vec!["a".into(), "b".into()],
            groups: vec![Group {
                name: "all".into(),
                rooms: 0..2,
                viewers: 10_001,
                script: Script::Recording { lines: lines.clone(), speed: 2.0 },
                likes_per_s: 5_000.0,
                hog: 0.0,
            }],
            warmup_s: 0.0,
            measured_s: 1.0,
            encoding: Encoding::Json,
            compression: false,
            rendition: Rendition::Viewer,
            posts_per_s: 0.0,
            admin_key: None,
            stall: None,
            pid: None,
            admin: None,
            processes: 3,
            addresses: 67,
            connect_per_s: 300.0,
        };
        let plans = scenario.plans(1);
        assert_eq!(plans.iter().map(|p| p.groups[0].viewers).sum::<usize>(), 10_001);
        assert!(plans.windows(2).all(|w| w[0].viewer_first + w[0].groups[0].viewers == w[1].viewer_first));
        assert_eq!(plans.iter().map(|p| p.connect_per_s).sum::<f64>(), 300.0);
        assert!(plans.iter().all(|p| p.groups[0].likes_per_message == 5 && p.sockets_per_address == 150));
        let mut said: Vec<RecordedComment> = Vec::new();
        for mut plan in plans {
            let Comments::Recording { lines, .. } = plan.groups.remove(0).comments else {
                panic!("a recording stays one")
            };
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
