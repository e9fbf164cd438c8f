//! `loadgen plan`: makes a show and a machine of the flags, and an error of each mistake.
//!
//! Does not know: formulas.

use super::machine::{Curve, Machine, Preset, SOCKET_BYTES};
use super::show::Show;
use crate::args::{WireArg, parse_range, parse_share};
use clap::{Args, ValueEnum};
use volley::protocol::variant::Encoding;

/// Plans a show: calculates the network, CPU, memory, descriptors and nodes that it needs, and shows the formulas. The
/// machine is a preset (--machine), this one (--calibrate: 6 seconds of two cores), or given by its cost of a send
/// (--send-us). Exit codes: 0 planned · 1 the machine could not be measured · 64 usage.
#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct PlanArgs {
    /// Total number of viewers
    #[arg(long)]
    pub viewers: f64,
    /// Rooms; viewers, comments and likes are spread evenly over them
    #[arg(long, default_value_t = 1.0)]
    pub rooms: f64,
    /// Comments per second over all rooms
    #[arg(long, default_value_t = 50.0)]
    pub comments: f64,
    /// Messages with likes per second over all rooms (loadgen puts one like into each, up to 1,000 messages/s)
    #[arg(long, default_value_t = 500.0)]
    pub likes: f64,
    /// The rooms' tick in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100.0)]
    pub tick_ms: f64,
    /// Length of a comment in characters of three bytes each, FEWEST..MOST
    #[arg(long, default_value = "12..30", value_parser = parse_range)]
    pub text_chars: (usize, usize),
    /// The encoding of messages; every viewer is on the rendition `viewer`
    #[arg(long, value_enum, default_value_t = WireArg::Json)]
    pub encoding: WireArg,
    /// Bytes on the wire ÷ bytes of messages, for compressed connections; measure it with your texts
    #[arg(long, default_value_t = 1.0)]
    pub compression_ratio: f64,
    /// Share of the viewers that may stop reading at the same time, for the kernel's memory
    #[arg(long, default_value = "10%", value_parser = parse_share)]
    pub stalled: f64,
    /// Seconds since the show began, for memory that grows with its length
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600.0)]
    pub after: f64,
    /// Where the rooms' logs are stored
    #[arg(long, value_enum, default_value_t = LogArg::Disk)]
    pub data: LogArg,

    /// A preset with the figures of a measured machine: vm, vm-busy
    #[arg(long, value_name = "NAME", default_value = "vm", conflicts_with_all = ["calibrate", "send_us"])]
    pub machine: String,
    /// Measure this machine; no other program should run meanwhile
    #[arg(long, conflicts_with = "send_us")]
    pub calibrate: bool,
    /// CPU time of one send in µs, for all sizes or by size: 4.4, or 512:4.4,4096:4.6 (as --calibrate prints it)
    #[arg(long, value_name = "µs|BYTES:µs,…", value_parser = clap::value_parser!(Curve))]
    pub send_us: Option<Curve>,
    /// Cores of a node [default: those of the machine; with --send-us 1]
    #[arg(long)]
    pub cores: Option<f64>,
    /// Memory of a node in GiB [default: with --calibrate that of this machine; otherwise unlimited]
    #[arg(long, value_name = "GIB")]
    pub memory_gib: Option<f64>,
    /// Network of a node in Gbit/s [default: unlimited]
    #[arg(long, value_name = "GBIT/S")]
    pub nic_gbit: Option<f64>,
    /// Descriptors that a process may open [default: with --calibrate the limit of this machine; otherwise 1048576]
    #[arg(long)]
    pub descriptors: Option<f64>,
    /// Share of cores, network and memory that may be used; the rest is for peaks, and for joins after a node fails
    #[arg(long, default_value = "70%", value_parser = parse_share)]
    pub busy: f64,
    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,
}

/// `--data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogArg {
    /// On disk, in SQLite
    Disk,
    /// In memory, lost when the process ends
    Memory,
}

/// The source of the machine's figures.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// Figures of a preset or from flags.
    Given(Machine),
    /// `--calibrate`.
    ThisMachine,
}

/// A node's figures from flags, which override those of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    cores: Option<f64>,
    memory_bytes: Option<f64>,
    nic_bits_per_s: Option<f64>,
    descriptors: Option<f64>,
    /// Share of the resources that may be used.
    pub busy: f64,
}

impl Node {
    /// `machine` with the figures from the flags.
    pub fn applied_to(&self, machine: Machine) -> Machine {
        Machine {
            cores: self.cores.unwrap_or(machine.cores),
            memory_bytes: self.memory_bytes.or(machine.memory_bytes),
            nic_bits_per_s: self.nic_bits_per_s.or(machine.nic_bits_per_s),
            descriptors: self.descriptors.unwrap_or(machine.descriptors),
            ..machine
        }
    }
}

impl PlanArgs {
    /// The show and the node, after a check of every value's range.
    /// # Errors
    /// A sentence with the flag, the value and the allowed values.
    pub fn check(&self) -> Result<(Show, Node), String> {
        let whole = |flag: &str, value: f64, most: f64| match value {
            v if (1.0..=most).contains(&v) && v.fract() == 0.0 => Ok(v),
            v => Err(format!("{flag} {v}: give a whole number from 1 to {most}")),
        };
        let within = |flag: &str, value: f64, least: f64, most: f64| match value {
            v if (least..=most).contains(&v) => Ok(v),
            v => Err(format!("{flag} {v}: give a number from {least} to {most}")),
        };
        let viewers = whole("--viewers", self.viewers, 1e9)?;
        let rooms = whole("--rooms", self.rooms, 1e7)?;
        if rooms > viewers {
            return Err(format!("--rooms {rooms}: at most one per viewer, and there are {viewers}"));
        }
        let show = Show {
            viewers,
            rooms,
            comments_per_s: within("--comments", self.comments, 0.0, 1e8)?,
            likes_per_s: within("--likes", self.likes, 0.0, 1e9)?,
            tick_s: within("--tick-ms", self.tick_ms, 5.0, 2_000.0)? / 1e3,
            chars: self.text_chars,
            encoding: if self.encoding == WireArg::Json { Encoding::Json } else { Encoding::Msgpack },
            compression_ratio: within("--compression-ratio", self.compression_ratio, 0.01, 1.0)?,
            stalled_share: self.stalled,
            seconds: within("--after", self.after, 1.0, 1e8)?,
            is_log_in_memory: self.data == LogArg::Memory,
        };
        let given = |flag: &str, value: Option<f64>, least: f64, most: f64| match value {
            Some(value) => within(flag, value, least, most).map(Some),
            None => Ok(None),
        };
        let node = Node {
            cores: given("--cores", self.cores, 1.0, 4_096.0)?,
            memory_bytes: given("--memory-gib", self.memory_gib, 0.1, 1e6)?.map(|gib| gib * 1_073_741_824.0),
            nic_bits_per_s: given("--nic-gbit", self.nic_gbit, 0.001, 1e5)?.map(|gbit| gbit * 1e9),
            descriptors: given("--descriptors", self.descriptors, 1_024.0, 1e9)?,
            busy: self.busy,
        };
        Ok((show, node))
    }

    /// The machine, or the order to measure this one.
    /// # Errors
    /// A sentence: no such preset.
    pub fn machine(&self) -> Result<From, String> {
        if self.calibrate {
            return Ok(From::ThisMachine);
        }
        let Some(sends) = &self.send_us else { return Ok(From::Given(Preset::find(&self.machine)?.machine())) };
        Ok(From::Given(Machine {
            says: format!("given: a send costs {} µs", sends.to_string().trim_start_matches("1:")),
            sends: sends.clone(),
            joined_us: None,
            socket_bytes: SOCKET_BYTES,
            cores: 1.0,
            memory_bytes: None,
            nic_bits_per_s: None,
            descriptors: super::machine::DESCRIPTORS,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    fn plan(flags: &[&str]) -> Result<(Show, Node, From), String> {
        let command = PlanArgs::augment_args(Command::new("plan"));
        let matches = command.try_get_matches_from(["plan"].iter().chain(flags)).map_err(|e| e.to_string())?;
        let args = PlanArgs::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        let (show, node) = args.check()?;
        Ok((show, node, args.machine()?))
    }

    #[test]
    fn viewers_alone_are_a_plan_for_the_canonical_show() {
        let (show, node, from) = plan(&["--viewers", "10000"]).unwrap();
        assert_eq!((show.viewers, show.rooms, show.comments_per_s, show.likes_per_s), (10_000.0, 1.0, 50.0, 500.0));
        assert_eq!((show.tick_s, show.chars, node.busy), (0.1, (12, 30), 0.7));
        let From::Given(machine) = from else { panic!("{from:?}") };
        assert_eq!(node.applied_to(machine.clone()), machine, "nothing was given");
    }

    #[test]
    fn flags_win_over_the_machine() {
        let flags =
            ["--viewers", "9", "--send-us", "512:4,4096:5", "--cores", "16", "--nic-gbit", "25", "--memory-gib", "2"];
        let (_, node, from) = plan(&flags).unwrap();
        let From::Given(machine) = from else { panic!("{from:?}") };
        let machine = node.applied_to(machine);
        assert_eq!(
            (machine.cores, machine.nic_bits_per_s, machine.memory_bytes),
            (16.0, Some(25e9), Some(2_147_483_648.0))
        );
        assert_eq!(machine.sends.at(2304.0), 4.5);
        assert_eq!(plan(&["--viewers", "9", "--calibrate"]).unwrap().2, From::ThisMachine);
    }

    #[test]
    fn every_mistake_names_its_flag() {
        for (flags, named) in [
            (&[][..], "--viewers"),
            (&["--viewers", "0"], "--viewers"),
            (&["--viewers", "1.5"], "--viewers"),
            (&["--viewers", "many"], "--viewers"),
            (&["--viewers", "inf"], "--viewers"),
            (&["--viewers", "9", "--rooms", "10"], "--rooms"),
            (&["--viewers", "9", "--comments", "-1"], "--comments"),
            (&["--viewers", "9", "--comments", "NaN"], "--comments"),
            (&["--viewers", "9", "--likes", "-1"], "--likes"),
            (&["--viewers", "9", "--tick-ms", "0"], "--tick-ms"),
            (&["--viewers", "9", "--tick-ms", "60000"], "--tick-ms"),
            (&["--viewers", "9", "--text-chars", "30..12"], "--text-chars"),
            (&["--viewers", "9", "--encoding", "xml"], "--encoding"),
            (&["--viewers", "9", "--compression-ratio", "0"], "--compression-ratio"),
            (&["--viewers", "9", "--compression-ratio", "1.1"], "--compression-ratio"),
            (&["--viewers", "9", "--stalled", "110%"], "--stalled"),
            (&["--viewers", "9", "--after", "0"], "--after"),
            (&["--viewers", "9", "--machine", "cray"], "--machine"),
            (&["--viewers", "9", "--machine", "vm", "--calibrate"], "--calibrate"),
            (&["--viewers", "9", "--send-us", "4:"], "--send-us"),
            (&["--viewers", "9", "--cores", "0"], "--cores"),
            (&["--viewers", "9", "--memory-gib", "0"], "--memory-gib"),
            (&["--viewers", "9", "--nic-gbit", "-1"], "--nic-gbit"),
            (&["--viewers", "9", "--descriptors", "3"], "--descriptors"),
            (&["--viewers", "9", "--busy", "0%"], "--busy"),
        ] {
            let error = plan(flags).err().unwrap_or_else(|| panic!("{flags:?} was accepted"));
            assert!(error.contains(named), "{flags:?}: {error}");
        }
    }
}
