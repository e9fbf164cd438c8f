//! What a worker is told and what it tells: the plan, the commands, the reports. One JSON line each
//! when a worker is a process of its own.
//!
//! Does not know: how a scenario becomes plans, or who carries the lines.

use crate::run::ledger::Evidence;
use crate::run::wording::Wording;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use volley::protocol::encode::{Encoding, Rendition};
use volley::protocol::event::Mode;
use volley::protocol::ids::Offset;

/// What one worker does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerPlan {
    /// Its number.
    pub worker: usize,
    pub workers: usize,
    /// Upper bits of all comment numbers of the run.
    pub run_tag: u16,
    /// Where to connect.
    pub server: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The rooms of all groups.
    pub rooms: Vec<String>,
    /// Its share of each group; its viewers are theirs, one group after the other.
    pub groups: Vec<GroupPlan>,
    /// Number of its first viewer, of all workers' viewers.
    pub viewer_first: usize,
    /// How messages are written.
    pub encoding: Encoding,
    /// Whether the server has to agree to compress them.
    pub compression: bool,
    /// What viewers ask for.
    pub rendition: Rendition,
    /// New connections a second.
    pub connect_per_s: f64,
    /// Sockets per source address; 0: the kernel chooses the address.
    pub sockets_per_address: usize,
    /// Share of the viewers that stops reading, 0–1.
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
    /// Number of the share's first viewer, of the group's viewers.
    pub viewer_first: usize,
    /// The share's viewers.
    pub viewers: usize,
    pub comments: Comments,
    /// Share of the comments that the share's first viewer says, 0–1; the others say the rest by turns.
    pub hog: f64,
    /// Likes a second, of all workers.
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
    /// Texts at a steady rate, of all workers.
    Rate {
        /// Comments a second.
        per_s: f64,
        /// What they say.
        wording: Wording,
    },
    /// A recording: this worker's share of it.
    Recording {
        /// Oldest first.
        lines: Vec<RecordedComment>,
        /// How many times faster than it was.
        speed: f64,
    },
}

/// One comment of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedComment {
    /// Position in the show.
    pub at_ms: u64,
    /// Movement.
    pub mode: Mode,
    /// 0xRRGGBB.
    pub color: u32,
    /// Font size.
    pub size: u8,
    /// What was said, as recorded.
    pub text: String,
}

/// What the conductor says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerCommand {
    /// Connect, according to the plan. The first command.
    Connect(Box<WorkerPlan>),
    /// Send, from `start_ns` to `end_ns`; what counts begins at `measure_ns`.
    Begin(Times),
    /// Wait until every viewer of room `i` is at `targets[i]`, then close and report.
    Drain {
        /// Newest offset of each room that any worker knows of.
        targets: Vec<Offset>,
    },
}

/// When things happen, in nanoseconds of [`crate::clock::now_ns`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Times {
    /// Sending begins.
    pub start_ns: u64,
    /// Measuring begins.
    pub measure_ns: u64,
    /// Both end.
    pub end_ns: u64,
    /// The stall, if there is one.
    pub stall_ns: Option<(u64, u64)>,
}

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// How it goes, twice a second.
    Progress(Progress),
    /// Every viewer is in or has failed.
    Ready { live: usize },
    /// Everything is sent and answered (or was waited for long enough).
    Sent {
        /// Newest offset of each room.
        newest: Vec<Offset>,
    },
    /// The end.
    Done(Box<WorkerResult>),
    /// The worker cannot go on.
    Failed(String),
}

/// How it goes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Viewers that are in.
    pub live: usize,
    /// Viewers that failed or were lost.
    pub failed: u64,
    pub frames: u64,
    pub comments: u64,
    /// Latency so far.
    pub p99_us: u64,
}

/// Counts of one worker, or of all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Viewers that were ever in.
    pub connected: u64,
    /// Viewers that never got in, by cause.
    pub failed: BTreeMap<String, u64>,
    /// Viewers that were in and did not stay, by cause.
    pub lost: BTreeMap<String, u64>,
    /// The same for viewers that stopped reading on purpose.
    pub lost_stalled: BTreeMap<String, u64>,
    /// Viewers that stop reading in the stall.
    pub stalled: u64,
    /// Frames received.
    pub frames: u64,
    /// Of them, before everybody was in.
    pub frames_connecting: u64,
    /// Of them, in the measured window.
    pub frames_measured: u64,
    /// Bytes received in the measured window.
    pub bytes_measured: u64,
    /// Bytes of the measured frames on the wire, WebSocket headers included…
    pub frame_bytes: u64,
    /// …and those that the same frames have as uncompressed JSON.
    pub frame_json_bytes: u64,
    /// Changes of a viewer's rendition, by the new one and the reason.
    pub renditions: BTreeMap<String, u64>,
    /// Welcomes by what their snapshots held.
    pub welcomes: BTreeMap<String, u64>,
    /// Messages that could not be read, by cause.
    pub unreadable: BTreeMap<String, u64>,
    /// `bye` messages.
    pub byes: u64,
    /// Pings answered.
    pub pings: u64,
    pub comments_sent: u64,
    /// Comments acknowledged, by outcome.
    pub acked: BTreeMap<String, u64>,
    /// Comments refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Comments not sent, by cause.
    pub unsent: BTreeMap<String, u64>,
    /// Answers that name no comment of this worker.
    pub stray_answers: u64,
    pub likes_sent: u64,
    /// Likes refused, by code.
    pub likes_refused: BTreeMap<String, u64>,
    /// Likes that left on connections which were lost later: nobody knows whether they counted.
    pub likes_unsure: u64,
    /// Closing handshakes that the server answered.
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
    /// Adds another worker's.
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

/// Values and their counts: a histogram as it travels, in microseconds or bytes.
pub type Counts = Vec<(u64, u64)>;

/// Latencies from the intended send to the receipt, of viewers that read all the time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Of all comments of the measured window.
    pub all: Counts,
    /// Of those before the stall…
    pub before_stall: Counts,
    /// …and those in it.
    pub in_stall: Counts,
    /// From the intended send to the acknowledgement, of the measured window.
    pub acks: Counts,
    /// Of guaranteed events, from the intended post to the receipt.
    pub posts: Counts,
    /// No latency: bytes of the frames as uncompressed JSON.
    pub frame_bytes: Counts,
}

/// How busy a worker's thread was in the measured window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnLoad {
    /// Length of the window.
    pub window_ns: u64,
    /// CPU time that it used.
    pub cpu_ns: u64,
    /// Time that it was ready to run and waited for a core.
    pub waited_ns: u64,
    /// Longest time between two looks at the sockets.
    pub cycle_max_ns: u64,
    /// Time in cycles so long (over 20 ms) that they show in latencies.
    pub slow_cycles_ns: u64,
    /// Latest that a send left after its time.
    pub send_late_max_ns: u64,
}

/// What a worker found in one group of rooms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// Frames received in the measured window.
    pub frames_measured: u64,
    pub comments_sent: u64,
    pub latencies: Latencies,
    /// Of each viewer that spoke: comments that were acknowledged, and those of them that were shown.
    pub speakers: Vec<(u64, u64)>,
}

/// Everything that a worker found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WorkerResult {
    /// Counts.
    pub tally: Tally,
    /// What was counted by group.
    pub groups: Vec<GroupResult>,
    pub rooms: Vec<Evidence>,
    pub own: OwnLoad,
}
