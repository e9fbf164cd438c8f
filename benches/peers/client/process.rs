//! The peer's processes: started on core 0, measured, and ended by their ids.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a peer may take to end after the signal.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A started process and its descendants.
pub struct Peer {
    child: Child,
}

/// What the peer has used.
#[derive(Clone, Copy, Default)]
pub struct Uses {
    /// User and system time of all threads of all its processes.
    pub cpu: Duration,
    /// Resident memory, summed over its processes.
    pub rss_kib: u64,
}

/// Pins this thread, and processes that it starts from now on, to one core; with a single core this has no effect.
pub fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// CPU time of this thread.
pub fn own_cpu() -> Duration {
    first_number("/proc/thread-self/schedstat").map_or(Duration::ZERO, Duration::from_nanos)
}

fn first_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

impl Peer {
    /// # Errors
    /// The command cannot be started.
    pub fn start(command: &[String], log: &str) -> Result<Self, String> {
        let open = || File::options().create(true).append(true).open(log).map_err(|e| format!("{log}: {e}"));
        pin(0); // The child inherits it.
        let child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", command[0]));
        pin(1);
        Ok(Self { child: child? })
    }

    /// Whether it runs still.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn uses(&self) -> Uses {
        let mut uses = Uses::default();
        for (pid, _) in self.tree() {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let cpu_ns = tasks.filter_map(|task| first_number(task.path().join("schedstat").to_str()?));
            uses.cpu += Duration::from_nanos(cpu_ns.sum());
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            uses.rss_kib += rss.and_then(|rss| rss.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0);
        }
        uses
    }

    /// The child and its descendants, each with its start time, which distinguishes it from a later process with the
    /// same id.
    fn tree(&self) -> Vec<(u32, u64)> {
        let all: Vec<(u32, u32, u64)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|pid| parent_and_start(pid).map(|(parent, start)| (pid, parent, start)))
            .collect();
        let own = self.child.id();
        let mut tree: Vec<(u32, u64)> = all.iter().filter(|(pid, ..)| *pid == own).map(|p| (p.0, p.2)).collect();
        let mut next = 0;
        while let Some(&(parent, _)) = tree.get(next) {
            tree.extend(all.iter().filter(|(_, of, _)| *of == parent).map(|p| (p.0, p.2)));
            next += 1;
        }
        tree
    }
}

/// Fields 4 and 22 of `/proc/PID/stat`, counted after the name, which may hold spaces and parentheses.
fn parent_and_start(pid: u32) -> Option<(u32, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal); // The process may have ended meanwhile.
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let tree = self.tree();
        if self.lives() {
            signal(self.child.id(), Signal::TERM);
        }
        let until = Instant::now() + END_WITHIN;
        while self.lives() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Processes that a killed parent left behind.
        for (pid, start) in tree.into_iter().skip(1) {
            if parent_and_start(pid).is_some_and(|(_, of)| of == start) {
                signal(pid, Signal::KILL);
            }
        }
    }
}
