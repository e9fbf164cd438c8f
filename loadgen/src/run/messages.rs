//! The messages between conductor and worker: plan, commands, reports. Each is one JSON line if the worker is a
//! process.
//!
//! Does not know: how a scenario becomes plans, how the lines are transported.

use crate::run::ledger::Evidence;
use crate::run::wording::Wording;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use volley::protocol::event::Mode;
use volley::protocol::ids::Offset;
use volley::protocol::variant::{Encoding, Rendition};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerPlan {
    pub worker: usize,
    pub workers: usize,
    /// Upper bits of all comment numbers of the run.
    pub run_tag: u16,
    pub server: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The rooms of all groups.
    pub rooms: Vec<String>,
    /// Its share of each group. Its viewers are those of the groups, in this order.
    pub groups: Vec<GroupPlan>,
    /// Number of its first viewer among all workers' viewers.
    pub viewer_first: usize,
    pub encoding: Encoding,
    /// Whether the server must agree to compression.
    pub compression: bool,
    pub rendition: Rendition,
    pub connect_per_s: f64,
    /// Sockets per source address; 0: the kernel chooses the address.
    pub sockets_per_address: usize,
    /// Share of the viewers that stop reading, 0–1.
    pub stall_share: f64,
    /// `SO_RCVBUF` of those viewers, so that a stall reaches the server within seconds.
    pub stall_rcvbuf_bytes: usize,
}

/// One worker's share of a group of rooms.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupPlan {
    /// Index of the group's first room.
    pub room_first: usize,
    pub rooms: usize,
    /// Number of the share's first viewer among the group's viewers.
    pub viewer_first: usize,
    pub viewers: usize,
    pub comments: Comments,
    /// Share of the comments that the share's first viewer sends, 0–1; the others send the rest in turns.
    pub hog: f64,
    /// Likes per second of all workers together.
    pub likes_per_s: f64,
    pub likes_per_message: u64,
}

impl GroupPlan {
    /// The room of the share's `n`-th viewer.
    pub fn room_of(&self, n: usize) -> usize {
        self.room_first + (self.viewer_first + n) % self.rooms.max(1)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comments {
    /// Texts at a steady rate, over all workers.
    Rate { per_s: f64, wording: Wording },
    /// A recording: this worker's share of it.
    Recording {
        /// Oldest first.
        lines: Vec<RecordedComment>,
        /// How many times faster it is replayed.
        speed: f64,
    },
}

/// One comment of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedComment {
    pub at_ms: u64,
    pub mode: Mode,
    /// 0xRRGGBB.
    pub color: u32,
    pub size: u8,
    /// The recorded text.
    pub text: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerCommand {
    /// Connect, according to the plan. The first command.
    Connect(Box<WorkerPlan>),
    /// Send from `start_ns` to `end_ns`; measure from `measure_ns`.
    Begin(Times),
    /// Wait until every viewer of room `i` is at `targets[i]`, then close and report.
    Drain {
        /// Newest offset of each room that any worker knows.
        targets: Vec<Offset>,
    },
}

/// The times of a run, in nanoseconds of [`crate::clock::now_ns`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Times {
    pub start_ns: u64,
    pub measure_ns: u64,
    pub end_ns: u64,
    /// The stall, if there is one.
    pub stall_ns: Option<(u64, u64)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The state of the run, twice a second.
    Progress(Progress),
    /// Every viewer has joined or failed.
    Ready {
        live: usize,
    },
    /// Everything is sent, and answered or no longer waited for.
    Sent {
        /// Newest offset of each room.
        newest: Vec<Offset>,
    },
    Done(Box<WorkerResult>),
    /// The worker failed, and why.
    Failed(String),
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    pub live: usize,
    /// Viewers that failed to join or were lost.
    pub failed: u64,
    pub frames: u64,
    pub comments: u64,
    pub p99_us: u64,
}

/// Counts of one worker, or of all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Viewers that joined.
    pub connected: u64,
    /// Viewers that did not join, by cause.
    pub failed: BTreeMap<String, u64>,
    /// Viewers that joined and were lost, by cause.
    pub lost: BTreeMap<String, u64>,
    /// The same, of viewers that stopped reading on purpose.
    pub lost_stalled: BTreeMap<String, u64>,
    /// Viewers that stop reading in the stall.
    pub stalled: u64,
    pub frames: u64,
    /// Frames received before all viewers had joined.
    pub frames_connecting: u64,
    /// Frames received in the measured window.
    pub frames_measured: u64,
    /// Bytes received in the measured window.
    pub bytes_measured: u64,
    /// Bytes of the measured frames on the wire, with WebSocket headers.
    pub frame_bytes: u64,
    /// Bytes of the same frames as uncompressed JSON.
    pub frame_json_bytes: u64,
    /// Changes of a viewer's rendition, by the new one and the reason.
    pub renditions: BTreeMap<String, u64>,
    /// Welcomes by the content of their snapshots.
    pub welcomes: BTreeMap<String, u64>,
    /// Messages that could not be read, by cause.
    pub unreadable: BTreeMap<String, u64>,
    /// `bye` messages.
    pub byes: u64,
    pub pings: u64,
    pub comments_sent: u64,
    pub acked: BTreeMap<String, u64>,
    /// Comments refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Comments not sent, by cause.
    pub unsent: BTreeMap<String, u64>,
    /// Answers to comments that this worker did not send.
    pub stray_answers: u64,
    pub likes_sent: u64,
    /// Likes refused, by code.
    pub likes_refused: BTreeMap<String, u64>,
    /// Likes on connections that were lost later: it is unknown whether they counted.
    pub likes_unsure: u64,
    /// Closing handshakes that the server completed.
    pub closed_clean: u64,
}

/// Adds `n` to the count of `cause`.
pub fn bump(counts: &mut BTreeMap<String, u64>, cause: &str, n: u64) {
    match counts.get_mut(cause) {
        Some(count) => *count += n,
        None => drop(counts.insert(cause.to_owned(), n)),
    }
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.connected += other.connected;
        self.stalled += other.stalled;
        self.frames += other.frames;
        self.frames_connecting += other.frames_connecting;
        self.frames_measured += other.frames_measured;
        self.bytes_measured += other.bytes_measured;
        self.frame_bytes += other.frame_bytes;
        self.frame_json_bytes += other.frame_json_bytes;
        self.byes += other.byes;
        self.pings += other.pings;
        self.comments_sent += other.comments_sent;
        self.stray_answers += other.stray_answers;
        self.likes_sent += other.likes_sent;
        self.likes_unsure += other.likes_unsure;
        self.closed_clean += other.closed_clean;
        for (mine, theirs) in [
            (&mut self.failed, &other.failed),
            (&mut self.lost, &other.lost),
            (&mut self.lost_stalled, &other.lost_stalled),
            (&mut self.unreadable, &other.unreadable),
            (&mut self.acked, &other.acked),
            (&mut self.refused, &other.refused),
            (&mut self.unsent, &other.unsent),
            (&mut self.likes_refused, &other.likes_refused),
            (&mut self.renditions, &other.renditions),
            (&mut self.welcomes, &other.welcomes),
        ] {
            for (cause, n) in theirs {
                bump(mine, cause, *n);
            }
        }
    }
}

/// A histogram as pairs of value (microseconds or bytes) and count.
pub type Counts = Vec<(u64, u64)>;

/// Latencies from the intended send time to the receipt, of viewers that read all the time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Latencies of all comments of the measured window.
    pub all: Counts,
    /// Latencies of comments before the stall.
    pub before_stall: Counts,
    pub in_stall: Counts,
    /// From the intended send time to the acknowledgement, in the measured window.
    pub acks: Counts,
    /// Latencies of guaranteed events, from the intended post time to the receipt.
    pub posts: Counts,
    /// Not a latency, but the frames' bytes as uncompressed JSON.
    pub frame_bytes: Counts,
}

/// How busy a worker's thread was in the measured window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnLoad {
    pub window_ns: u64,
    /// CPU time that it used.
    pub cpu_ns: u64,
    /// Time in which it was ready to run and waited for a core.
    pub waited_ns: u64,
    /// Longest time between two polls of the sockets.
    pub cycle_max_ns: u64,
    /// Total time of cycles over 20 ms, which are long enough to affect latencies.
    pub slow_cycles_ns: u64,
    /// The greatest lateness of a send.
    pub send_late_max_ns: u64,
}

/// A worker's results for one group of rooms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// Frames received in the measured window.
    pub frames_measured: u64,
    pub comments_sent: u64,
    pub latencies: Latencies,
    /// For each viewer that sent comments: the number acknowledged, and how many of those were shown.
    pub speakers: Vec<(u64, u64)>,
}

/// A worker's results.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorkerResult {
    pub tally: Tally,
    /// The results by group.
    pub groups: Vec<GroupResult>,
    pub rooms: Vec<Evidence>,
    pub own: OwnLoad,
}
