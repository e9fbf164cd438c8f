//! The cost of a show's traffic on a machine. CPU is counted in sends: the server's other work for a frame, a comment
//! or a message with likes was measured relative to the sends of the same run, so one figure of a machine determines
//! all costs.
//!
//! Does not know: flags, the report, how a machine was measured.

use super::machine::Machine;
use super::show::{Show, Traffic, record_bytes};
use volley::config::Config;
use volley::config::capacity::{RESERVED_DESCRIPTORS, RESERVED_DESCRIPTORS_PER_SHARD};

/// The server's CPU per delivery beside a bare loop of sends: medians of `cargo bench --bench fanout`.
pub const SHARD_FACTOR: f64 = 1.03;
/// Cost of an incoming comment in sends: wake-up, read, parse, mail, log, and its acknowledgement, which is a send
/// itself. It was 26 µs where a send took 4.4 µs (100 viewers, 2,000 comments/s), and is less if the shard is awake
/// anyway.
pub const COMMENT_SENDS: f64 = 6.0;
/// Cost of an incoming message with likes in sends, nearly all of it the wake-up: 30 µs on the same machine (100
/// viewers, 1,000 messages/s).
pub const LIKES_SENDS: f64 = 6.0;
/// Cost of making and encoding a room's frame and waking its shard, in sends: 22 µs on the same machine, 11 µs of it
/// for a tick with 20 comments.
pub const FRAME_SENDS: f64 = 5.0;
/// Resident memory after the start: the program, its threads, SQLite's pages, empty tables.
pub const BASE_BYTES: f64 = 11.7 * MIB;
/// Resident memory per viewer, with 5,000 to 15,000 viewers: the connection's state, the guest's identity, the
/// allocator's rounding.
pub const VIEWER_BYTES: f64 = 0.50 * KIB;
/// Memory of a comment id, which a room remembers so that a retry is harmless: entries in two tables that double when
/// they are full, 165 to 235 bytes by a counting allocator.
pub const ID_BYTES: f64 = 200.0;
/// Bytes of kernel buffer per byte of content: small buffers are rounded up, and each has a header.
const KERNEL_BUFFER_FACTOR: f64 = 2.0;

/// 1,024.
pub const KIB: f64 = 1_024.0;
/// 1,024².
pub const MIB: f64 = KIB * KIB;

/// Cores in use, by purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpu {
    pub deliveries: f64,
    /// Incoming comments and their acknowledgements.
    pub comments: f64,
    pub likes: f64,
    pub frames: f64,
}

impl Cpu {
    pub fn total(&self) -> f64 {
        self.deliveries + self.comments + self.likes + self.frames
    }
}

/// Resident memory in bytes, by purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    pub base: f64,
    pub viewers: f64,
    pub rings: f64,
    pub logs: f64,
    pub ids: f64,
}

impl Memory {
    pub fn total(&self) -> f64 {
        self.base + self.viewers + self.rings + self.logs + self.ids
    }
}

/// Kernel memory in bytes, by purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kernel {
    /// Idle sockets.
    pub sockets: f64,
    /// One frame in the send buffers of all viewers.
    pub frames: f64,
    /// Full send buffers of viewers that stopped reading.
    pub stalled: f64,
}

impl Kernel {
    pub fn total(&self) -> f64 {
        self.sockets + self.frames + self.stalled
    }
}

/// The number of nodes that one resource requires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    pub by: &'static str,
    pub nodes: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// µs of one send of a frame on the machine.
    pub send_us: f64,
    pub cpu: Cpu,
    pub memory: Memory,
    pub kernel: Kernel,
    pub descriptors: f64,
    /// The requirement of each resource; those that the machine does not limit are left out.
    pub bounds: Vec<Bound>,
    /// The greatest of these, rounded up.
    pub nodes: f64,
}

impl Forecast {
    /// Calculates the cost of `traffic`; `busy` is the share of cores and network that may be used.
    pub fn new(show: &Show, traffic: &Traffic, machine: &Machine, busy: f64) -> Self {
        let config = Config::default();
        let send_us = machine.sends.at(traffic.send_bytes);
        let small_us = machine.sends.at(traffic.ack_bytes);
        let cores = |times_per_s: f64, us: f64| times_per_s * us / 1e6;
        let cpu = Cpu {
            deliveries: cores(traffic.deliveries_per_s, send_us * SHARD_FACTOR),
            comments: cores(show.comments_per_s, small_us * COMMENT_SENDS),
            likes: cores(show.likes_per_s, small_us * LIKES_SENDS),
            frames: cores(traffic.frames_per_s * show.rooms, small_us * FRAME_SENDS),
        };
        let log_bytes = Traffic::comments_kept(show, 100_000) * record_bytes(show);
        let memory = Memory {
            base: BASE_BYTES,
            viewers: show.viewers * VIEWER_BYTES,
            rings: show.rooms
                * traffic.send_bytes
                * (config.connection.ring_frames as f64).min(traffic.frames_per_s * show.seconds),
            logs: if show.is_log_in_memory { show.rooms * log_bytes.min(16.0 * MIB) } else { 0.0 },
            ids: show.rooms * Traffic::ids_kept(show) * ID_BYTES,
        };
        let kernel = Kernel {
            sockets: show.viewers * machine.socket_bytes,
            frames: show.viewers * traffic.send_bytes * KERNEL_BUFFER_FACTOR,
            stalled: show.viewers * show.stalled_share * 2.0 * config.connection.sndbuf_bytes as f64,
        };
        let reserved = RESERVED_DESCRIPTORS as f64 + RESERVED_DESCRIPTORS_PER_SHARD as f64 * machine.cores;
        let all_memory = memory.total() + kernel.total();
        let wire_bits = traffic.wire_bytes_per_s * 8.0;
        let bounds: Vec<Bound> = [
            ("CPU", Some(cpu.total() / (machine.cores * busy))),
            ("network", machine.nic_bits_per_s.map(|nic| wire_bits / (nic * busy))),
            ("memory", machine.memory_bytes.map(|bytes| all_memory / (bytes * busy))),
            ("descriptors", Some(show.viewers / (machine.descriptors - reserved).max(1.0))),
        ]
        .into_iter()
        .filter_map(|(by, nodes)| Some(Bound { by, nodes: nodes? }))
        .collect();
        let nodes = bounds.iter().map(|bound| bound.nodes.ceil()).fold(1.0, f64::max);
        let descriptors = show.viewers + nodes * reserved;
        Self { send_us, cpu, memory, kernel, descriptors, bounds, nodes }
    }

    /// The resource that determines the number of nodes.
    pub fn bound(&self) -> &Bound {
        self.bounds.iter().max_by(|a, b| a.nodes.total_cmp(&b.nodes)).expect("the CPU is always one")
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Preset;
    use super::super::show::tests::show;
    use super::*;

    fn forecast(show: &Show, machine: &Machine) -> Forecast {
        Forecast::new(show, &Traffic::of(show), machine, 0.7)
    }

    fn machine() -> Machine {
        Preset::find("vm").unwrap().machine()
    }

    #[test]
    fn cpu_is_the_formula_and_grows_in_a_straight_line_with_viewers() {
        let (one, ten) = (show(), Show { viewers: 100_000.0, ..show() });
        let (small, large) = (forecast(&one, &machine()), forecast(&ten, &machine()));
        let traffic = Traffic::of(&one);
        let by_hand = one.viewers * traffic.frames_per_s * machine().sends.at(traffic.send_bytes) * SHARD_FACTOR / 1e6;
        assert!((small.cpu.deliveries - by_hand).abs() < 1e-9);
        assert!((large.cpu.deliveries / small.cpu.deliveries - 10.0).abs() < 1e-3);
        assert_eq!(large.cpu.comments, small.cpu.comments, "comments cost once, however many watch");
        assert!((large.memory.viewers / small.memory.viewers - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_longer_tick_costs_less() {
        let (fast, slow) = (show(), Show { tick_s: 0.2, ..show() });
        let ratio = forecast(&fast, &machine()).cpu.deliveries / forecast(&slow, &machine()).cpu.deliveries;
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_scarcest_resource_decides_about_nodes() {
        let show = Show { viewers: 1_000_000.0, ..show() };
        let by = |machine: &Machine| {
            let forecast = forecast(&show, machine);
            assert!(forecast.nodes >= forecast.bound().nodes && forecast.nodes < forecast.bound().nodes + 1.0);
            forecast.bound().by
        };
        let large = Machine { cores: 256.0, descriptors: 1e7, ..machine() };
        assert_eq!(by(&machine()), "CPU");
        assert_eq!(by(&Machine { nic_bits_per_s: Some(1e9), ..large.clone() }), "network");
        assert_eq!(by(&Machine { memory_bytes: Some(1e9), ..large.clone() }), "memory");
        assert_eq!(by(&Machine { descriptors: 2_000.0, ..large.clone() }), "descriptors");
        assert!(forecast(&show, &large).bounds.iter().all(|bound| bound.by == "CPU" || bound.by == "descriptors"));
    }

    #[test]
    fn memory_that_grows_with_time_is_bounded() {
        let after = |seconds| forecast(&Show { seconds, is_log_in_memory: true, ..show() }, &machine()).memory;
        let (minute, day, week) = (after(60.0), after(86_400.0), after(604_800.0));
        assert!(minute.ids < day.ids && minute.logs < day.logs && minute.rings == day.rings);
        assert_eq!(day, week);
        assert!(day.logs <= 16.0 * MIB && day.ids <= 2.0 * 100_000.0 * ID_BYTES);
    }
}
