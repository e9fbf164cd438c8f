//! The command line: makes a [`Scenario`] of the flags, and an error of each mistake.
//!
//! Does not know: how a scenario is run.

use crate::args::{WireArg, parse_range, parse_share};
use crate::chaos::ChaosArgs;
use crate::check::CheckArgs;
use crate::plan::PlanArgs;
use crate::run::group::{Group, GroupText};
use crate::run::messages::RecordedComment;
use crate::run::recording::{self, OnBroken, Recording};
use crate::run::scenario::{SOCKETS_PER_ADDRESS, Scenario, Script, Stall, processes_for};
use crate::run::wording::Wording;
use crate::secret::Secret;
use clap::{Parser, Subcommand, ValueEnum};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use volley::protocol::ids::RoomId;
use volley::protocol::variant::{Encoding, Rendition};

/// The server's environment variable for the admin key.
const KEY_VARIABLE: &str = "VOLLEY_ADMIN_KEY";

/// Opens real WebSocket viewers against a Volley server, sends comments and likes or replays a recording, and reports
/// what the viewers saw. Without flags: 1,000 viewers, 50 comments/s, 500 likes/s, 15 s, on ws://127.0.0.1:8080.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, max_term_width = 110, allow_negative_numbers = true)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// A command other than a run
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The server: ws://HOST:PORT
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
    pub url: String,
    /// The room (with --rooms: the beginning of the rooms' names)
    #[arg(long, default_value = "loadgen")]
    pub room: String,
    /// Number of rooms, named ROOM-0, ROOM-1, …; viewers are spread evenly over them
    #[arg(long)]
    pub rooms: Option<usize>,
    /// A kind of rooms, reported separately; repeat it for further kinds: NAME=ROOMSxVIEWERS (viewers of each room),
    /// then the comments and likes per second of all its rooms, such as hot=1x18000,comments=50 and
    /// quiet=1000x1,comments=100
    #[arg(long = "group", value_name = "KIND", conflicts_with_all = ["rooms", "viewers", "comments", "likes", "replay"])]
    pub groups: Vec<GroupText>,
    /// Total number of viewers
    #[arg(long, default_value_t = 1_000)]
    pub viewers: usize,
    /// Comments per second over all rooms
    #[arg(long, default_value_t = 50.0, conflicts_with = "replay", allow_negative_numbers = true)]
    pub comments: f64,
    /// Likes per second over all rooms
    #[arg(long, default_value_t = 500.0, allow_negative_numbers = true)]
    pub likes: f64,
    /// Measured seconds, after all viewers have joined [default: 15; with --stall twice --stall-seconds; with --replay
    /// the recording's length]
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Seconds of sending before the measured time
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Length of the made-up Chinese texts in characters, FEWEST..MOST
    #[arg(long, default_value = "12..30", value_parser = parse_range)]
    pub text_chars: (usize, usize),
    /// Send the texts of a recording (Bilibili XML), in order, at the rate of --comments
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub texts: Option<PathBuf>,
    /// Share of the comments that are near-duplicates of a few popular texts, such as 40%
    #[arg(long, value_parser = parse_share, conflicts_with = "replay", value_name = "SHARE")]
    pub near_duplicates: Option<f64>,
    /// Share of the comments that one viewer sends, such as 50%; the other viewers send the rest in turns
    #[arg(long, value_parser = parse_share, conflicts_with_all = ["replay", "groups"], value_name = "SHARE")]
    pub hog: Option<f64>,
    /// Gifts, announcements and product cards per second, posted through --admin; their latency is reported separately
    #[arg(long, default_value_t = 0.0, requires = "admin", value_name = "PER_S")]
    pub posts: f64,
    /// The rendition that viewers ask for
    #[arg(long, value_enum, default_value_t = RenditionArg::Viewer)]
    pub rendition: RenditionArg,
    /// The encoding of messages
    #[arg(long, value_enum, default_value_t = WireArg::Json)]
    pub encoding: WireArg,
    /// Viewers ask for compressed messages (permessage-deflate); a server that refuses fails the run
    #[arg(long)]
    pub compression: bool,
    /// Replay a recording (Bilibili XML) instead of made-up texts
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Replay the recording this many times faster
    #[arg(long, default_value_t = 1.0, requires = "replay")]
    pub speed: f64,
    /// What to do with a recording's broken entries
    #[arg(long, value_enum, default_value_t = BrokenArg::Refuse)]
    pub broken: BrokenArg,
    /// Share of the viewers that stop reading after a third of the measured time, such as 10%
    #[arg(long, value_parser = parse_share)]
    pub stall: Option<f64>,
    /// How many seconds these viewers do not read
    #[arg(long, default_value_t = 20.0)]
    pub stall_seconds: f64,
    /// Receive buffer of these viewers' sockets in bytes: small, so that the server notices the stall within seconds
    #[arg(long, default_value_t = 4_096)]
    pub stall_rcvbuf: usize,
    /// The server's process id, to report its CPU time and resident memory
    #[arg(long)]
    pub pid: Option<u32>,
    /// The server's admin address, to report its counters, such as http://127.0.0.1:8081
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// The file with the admin key, which posts need; the variable VOLLEY_ADMIN_KEY can hold the key instead
    #[arg(long, value_name = "FILE", requires = "admin", conflicts_with = "admin_key")]
    pub admin_key_file: Option<PathBuf>,
    /// The admin key itself; other users of this machine can see it
    #[arg(long, value_name = "KEY", requires = "admin")]
    pub admin_key: Option<Secret>,
    /// Worker processes; 0: one per 9,000 viewers
    #[arg(long, default_value_t = 0)]
    pub processes: usize,
    /// Number of source addresses 127.0.0.1, 127.0.0.2, …; 0: one per 150 viewers if the server is on this host
    #[arg(long, default_value_t = 0)]
    pub addresses: usize,
    /// New connections per second
    #[arg(long, default_value_t = 10_000.0)]
    pub connect_rate: f64,
    /// Write the full report as JSON to a file, or with - to stdout (the table then goes to stderr)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<String>,
    /// Show no progress line
    #[arg(long)]
    pub quiet: bool,
}

/// The commands beside a run.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Check a history that clients wrote (docs/history.md)
    Check(CheckArgs),
    /// Break a server on purpose (docs/reliability.md)
    Chaos(ChaosArgs),
    /// Calculate what a show will need (docs/operations.md)
    Plan(PlanArgs),
}

/// `--rendition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RenditionArg {
    /// Equal comments merged, and a choice of them
    Viewer,
    /// Less, for slow connections
    Lite,
    /// Everything.
    Full,
}

/// `--broken`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BrokenArg {
    /// Refuse the file, and name the line and the reason
    Refuse,
    /// Leave broken entries out and count them by reason
    Skip,
}

/// Why a command line is refused, and the exit code for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CliError {
    /// Exit 64.
    #[error("{0}")]
    Usage(String),
    /// Exit 65.
    #[error("{0}")]
    Recording(String),
}

/// A scenario, and the recording that it replays.
pub type Chosen = (Scenario, Option<Recording>);

impl Args {
    /// Decides every default and checks every value.
    ///
    /// # Errors
    /// [`CliError`], with the flag, the value and the remedy.
    pub fn scenario(&self) -> Result<Chosen, CliError> {
        let (server, host) = server(&self.url)?;
        positive("--viewers", self.viewers as f64)?;
        for (flag, value) in
            [("--comments", self.comments), ("--likes", self.likes), ("--warmup", self.warmup), ("--posts", self.posts)]
        {
            not_negative(flag, value)?;
        }
        for (flag, value) in
            [("--speed", self.speed), ("--connect-rate", self.connect_rate), ("--stall-seconds", self.stall_seconds)]
        {
            positive(flag, value)?;
        }
        if let Some(seconds) = self.seconds {
            positive("--seconds", seconds)?;
        }
        let recording = self.recording()?;
        let measured_s = self.measured_s(recording.as_ref());
        let stall =
            self.stall.map(|share| Stall { share, seconds: self.stall_seconds, rcvbuf_bytes: self.stall_rcvbuf });
        if stall.is_some_and(|stall| measured_s < 1.5 * stall.seconds) {
            return usage(format!(
                "--seconds {measured_s} is too short for --stall-seconds {}: the stall begins after a third; give at least {}",
                self.stall_seconds,
                1.5 * self.stall_seconds
            ));
        }
        let rooms = self.room_names()?;
        let groups = self.groups(recording.as_ref(), rooms.len(), &self.wording()?);
        let viewers: usize = groups.iter().map(|group| group.viewers).sum();
        let processes = self.processes(viewers)?;
        if let Some(group) = groups.iter().find(|group| group.viewers < processes) {
            return usage(format!(
                "--group {}: it needs at least one viewer per process ({processes}); give more viewers or fewer --processes",
                group.name
            ));
        }
        if self.hog.is_some() && processes > 1 {
            return usage(format!(
                "--hog works only in one process, but {viewers} viewers need {processes}; give fewer viewers"
            ));
        }
        let is_local = server.ip().is_loopback() && server.is_ipv4();
        let addresses = match (self.addresses, is_local) {
            (0, true) => viewers.div_ceil(SOCKETS_PER_ADDRESS),
            (0, false) => 0,
            (n, true) => n,
            (_, false) => {
                return usage("--addresses works only with a server on 127.0.0.0/8; leave it out".into());
            }
        };
        let scenario = Scenario {
            server,
            host,
            rooms,
            groups,
            warmup_s: if recording.is_some() { 0.0 } else { self.warmup },
            measured_s,
            encoding: if self.encoding == WireArg::Json { Encoding::Json } else { Encoding::Msgpack },
            compression: self.compression,
            rendition: match self.rendition {
                RenditionArg::Viewer => Rendition::Viewer,
                RenditionArg::Lite => Rendition::Lite,
                RenditionArg::Full => Rendition::Full,
            },
            posts_per_s: self.posts,
            admin_key: self.key()?,
            stall,
            pid: self.pid,
            admin: self.admin.clone(),
            processes,
            addresses,
            connect_per_s: self.connect_rate,
        };
        Ok((scenario, recording))
    }

    fn key(&self) -> Result<Option<Secret>, CliError> {
        let (flag, key) = match (&self.admin_key_file, &self.admin_key, &self.admin) {
            (Some(path), ..) => ("--admin-key-file", Secret::read(path)),
            (None, Some(key), _) => ("--admin-key", Ok(key.clone())),
            (None, None, Some(_)) => match std::env::var(KEY_VARIABLE) {
                Ok(key) => (KEY_VARIABLE, Ok(key.into())),
                Err(_) => return Ok(None),
            },
            (None, None, None) => return Ok(None),
        };
        key.and_then(Secret::check).map(Some).map_err(|why| CliError::Usage(format!("{flag}: {why}")))
    }

    fn room_names(&self) -> Result<Vec<String>, CliError> {
        let numbered = |name: String, n: usize| (0..n).map(move |i| format!("{name}-{i}"));
        let names: Vec<String> = match self.rooms {
            Some(0) => return usage("--rooms 0: give at least 1".into()),
            Some(n) => numbered(self.room.clone(), n).collect(),
            None if self.groups.is_empty() => vec![self.room.clone()],
            None => self
                .groups
                .iter()
                .flat_map(|group| numbered(format!("{}-{}", self.room, group.name), group.rooms))
                .collect(),
        };
        for name in &names {
            if let Err(error) = RoomId::new(name) {
                return usage(format!("--room {name:?}: {error}"));
            }
        }
        Ok(names)
    }

    fn wording(&self) -> Result<Wording, CliError> {
        let mut wording = Wording::of(self.text_chars);
        wording.near_duplicates = self.near_duplicates.unwrap_or(0.0);
        if let Some(path) = &self.texts {
            let recording = self.read("--texts", path)?;
            wording.recorded = recording.lines.into_iter().map(|line| line.text).collect();
        }
        Ok(wording)
    }

    fn recording(&self) -> Result<Option<Recording>, CliError> {
        self.replay.as_ref().map(|path| self.read("--replay", path)).transpose()
    }

    fn read(&self, flag: &str, path: &Path) -> Result<Recording, CliError> {
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|e| CliError::Usage(format!("{flag} {shown}: {e}")))?;
        let on_broken = if self.broken == BrokenArg::Skip { OnBroken::Skip } else { OnBroken::Refuse };
        let recording = recording::parse(&bytes, on_broken).map_err(|broken| {
            let way_out =
                if on_broken == OnBroken::Refuse { "  (--broken skip leaves broken entries out)" } else { "" };
            CliError::Recording(format!("{shown}: {broken}{way_out}"))
        })?;
        if recording.lines.is_empty() {
            return Err(CliError::Recording(format!(
                "{shown}: it has no comments of the modes 1, 4, 5 or 6; give a different recording"
            )));
        }
        Ok(recording)
    }

    fn measured_s(&self, recording: Option<&Recording>) -> f64 {
        let last = recording.and_then(|r| r.lines.last()).map(|line: &RecordedComment| line.at_ms);
        match (self.seconds, last, self.stall) {
            (Some(seconds), ..) => seconds,
            // A little past the last comment, so that it is inside the measured time.
            (None, Some(last_ms), _) => last_ms as f64 / 1_000.0 / self.speed + 0.5,
            (None, None, Some(_)) => 2.0 * self.stall_seconds,
            (None, None, None) => 15.0,
        }
    }

    fn groups(&self, recording: Option<&Recording>, rooms: usize, wording: &Wording) -> Vec<Group> {
        if self.groups.is_empty() {
            let script = match recording {
                Some(recording) => Script::Recording { lines: recording.lines.clone(), speed: self.speed },
                None => Script::Rate { per_s: self.comments, wording: wording.clone() },
            };
            let (viewers, likes_per_s, hog) = (self.viewers, self.likes, self.hog.unwrap_or(0.0));
            return vec![Group { name: self.room.clone(), rooms: 0..rooms, viewers, script, likes_per_s, hog }];
        }
        let mut rooms_before = 0;
        let of = |text: &GroupText| {
            let group = text.group(rooms_before, wording);
            rooms_before = group.rooms.end;
            group
        };
        self.groups.iter().map(of).collect()
    }

    fn processes(&self, viewers: usize) -> Result<usize, CliError> {
        let descriptors = rlimit::increase_nofile_limit(u64::MAX)
            .or_else(|_| rlimit::getrlimit(rlimit::Resource::NOFILE).map(|l| l.0));
        let descriptors = usize::try_from(descriptors.unwrap_or(1_024)).unwrap_or(usize::MAX);
        let needed = processes_for(viewers, descriptors);
        if needed > 256 {
            return usage(format!(
                "--viewers {viewers} needs {needed} processes, but the limit is 256; raise `ulimit -n`, or give fewer viewers"
            ));
        }
        match self.processes {
            0 => Ok(needed),
            n if n > viewers || n > 256 => usage(format!("--processes {n}: at most one per viewer, and at most 256")),
            n if viewers.div_ceil(n) + crate::run::scenario::OTHER_DESCRIPTORS > descriptors => usage(format!(
                "--processes {n} is too few: {} viewers in each, but a process may open {descriptors} files; \
                 give {needed}, or raise `ulimit -n`",
                viewers.div_ceil(n)
            )),
            n => Ok(n),
        }
    }
}

fn usage<T>(text: String) -> Result<T, CliError> {
    Err(CliError::Usage(text))
}

fn positive(flag: &str, value: f64) -> Result<(), CliError> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { usage(format!("{flag} {value}: give a number above 0")) }
}

fn not_negative(flag: &str, value: f64) -> Result<(), CliError> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        usage(format!("{flag} {value}: give a number of at least 0"))
    }
}

fn server(url: &str) -> Result<(SocketAddr, String), CliError> {
    if url.contains('@') {
        // The part before the @ may have a password, so the URL is not repeated.
        return usage("--url: it has a user name; give only ws://HOST:PORT".into());
    }
    let Some(rest) = url.strip_prefix("ws://") else {
        return usage(format!("--url {url}: give ws://HOST:PORT (loadgen does not support TLS)"));
    };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return usage(format!("--url {url}: give only ws://HOST:PORT; the room is --room"));
    }
    let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut addresses = with_port.to_socket_addrs().map_err(|e| CliError::Usage(format!("--url {url}: {e}")))?;
    match addresses.next() {
        Some(address) => Ok((address, host.to_owned())),
        None => usage(format!("--url {url}: the host name has no address; check its spelling")),
    }
}

#[cfg(test)]
mod tests;
