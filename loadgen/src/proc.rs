//! Figures of a process from Linux: CPU time, resident memory, a thread's waiting time.
//!
//! Does not know: whose process it is.

use std::fs;

/// CPU time and resident memory of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUse {
    /// User and system time of all its threads, including ended ones.
    pub cpu_us: u64,
    pub rss_bytes: u64,
}

impl ProcessUse {
    /// Reads `/proc/PID`.
    ///
    /// # Errors
    /// A sentence: the process does not exist, or may not be read.
    pub fn read(pid: u32) -> Result<Self, String> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_err(|e| format!("cannot read /proc/{pid}/stat ({e}): is {pid} the server's process id?"))?;
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| format!("/proc/{pid}/status: {e}"))?;
        let ticks_per_s = rustix::param::clock_ticks_per_second().max(1);
        let cpu_ticks = cpu_ticks(&stat).ok_or_else(|| format!("/proc/{pid}/stat has an unknown form"))?;
        Ok(Self { cpu_us: cpu_ticks * 1_000_000 / ticks_per_s, rss_bytes: rss_bytes(&status).unwrap_or(0) })
    }
}

/// Fields 14 and 15 of `stat`, counted after the name, which may hold spaces and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1_024)
}

/// CPU time of the calling thread, and how long it was ready to run without a core.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadTimes {
    pub cpu_ns: u64,
    pub waited_ns: u64,
}

impl ThreadTimes {
    /// `None` if the kernel does not record them.
    pub fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut fields = text.split_ascii_whitespace().map(str::parse);
        Some(Self { cpu_ns: fields.next()?.ok()?, waited_ns: fields.next()?.ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4194560 100 0 0 0 123 77 0 0 20 0 3 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(200));
        assert_eq!(rss_bytes("Name:\tx\nVmRSS:\t    2048 kB\nVmData: 1 kB\n"), Some(2 << 20));
    }

    #[test]
    fn our_own_process_and_thread_have_figures() {
        // The thread may get little CPU time, so it spins until both figures have grown.
        let spin = std::time::Instant::now();
        loop {
            let (own, thread) = (ProcessUse::read(std::process::id()).unwrap(), ThreadTimes::read().unwrap());
            assert!(own.rss_bytes > 100_000, "{own:?}");
            if own.cpu_us >= 10_000 && thread.cpu_ns > 10_000_000 {
                break;
            }
            assert!(spin.elapsed().as_secs() < 20, "{own:?}, {thread:?}");
        }
        assert!(ProcessUse::read(u32::MAX).unwrap_err().contains("process id"));
    }
}
