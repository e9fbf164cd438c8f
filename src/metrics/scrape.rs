//! The part of a scrape that is not counted but looked at when asked: admission verdicts, the top
//! rooms, the process.

use std::borrow::Cow;
use std::fmt::Write;
use std::fs;

/// Rooms that get series of their own; the rest is summed as `room="other"`.
pub const ROOMS_TOP_MAX: usize = 100;

const OTHER: &str = "other";

const DROPPED_LINES: &str = "volley_console_lines_dropped_total";

/// One room's figures at the time of the scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomFigure {
    pub room: String,
    pub online: u64,
    /// Since the room was opened, like all totals here.
    pub likes: u64,
    pub comments: u64,
    /// Events left out of its frames.
    pub shed: u64,
    /// Comments merged into equal ones.
    pub merged: u64,
}

/// Admission's verdicts: how many messages of a kind got which answer.
pub fn admission<'a>(out: &mut String, verdicts: impl Iterator<Item = (&'a str, &'a str, u64)>) {
    head(out, "volley_admission_total", "counter", "Messages of clients by kind and admission's verdict.");
    for (kind, verdict, count) in verdicts {
        let (kind, verdict) = (escape(kind), escape(verdict));
        let _ = writeln!(out, "volley_admission_total{{kind=\"{kind}\",verdict=\"{verdict}\"}} {count}");
    }
}

/// The rooms with most viewers, and the others' sum. Gauges: a room may leave the top, or expire.
pub fn rooms(out: &mut String, mut rooms: Vec<RoomFigure>) {
    // A room with this name is added to the sum: a second series of that name would spoil the scrape.
    rooms.sort_unstable_by(|a, b| {
        (a.room == OTHER).cmp(&(b.room == OTHER)).then(b.online.cmp(&a.online)).then_with(|| a.room.cmp(&b.room))
    });
    let named = rooms.iter().filter(|room| room.room != OTHER).count();
    let rest = rooms.split_off(named.min(ROOMS_TOP_MAX));
    let mut other = RoomFigure { room: OTHER.into(), ..RoomFigure::default() };
    for room in &rest {
        other.online += room.online;
        other.likes += room.likes;
        other.comments += room.comments;
        other.shed += room.shed;
        other.merged += room.merged;
    }
    if !rest.is_empty() {
        rooms.push(other);
    }
    let mut series = |name: &str, help: &str, figure: fn(&RoomFigure) -> u64| {
        head(out, name, "gauge", help);
        for room in &rooms {
            let _ = writeln!(out, "{name}{{room=\"{}\"}} {}", escape(&room.room), figure(room));
        }
    };
    series(
        "volley_room_online",
        "Connections that follow a room; all but the largest rooms are summed as other.",
        |r| r.online,
    );
    series("volley_room_likes", "Likes of a room since it opened.", |r| r.likes);
    series("volley_room_comments", "Comments of a room since it opened.", |r| r.comments);
    series("volley_room_shed", "Events left out of a room's frames since it opened.", |r| r.shed);
    series("volley_room_merged", "Comments of a room merged into equal ones since it opened.", |r| r.merged);
}

/// The process, under the names that every Prometheus client library uses.
pub fn process(out: &mut String) {
    head(out, "volley_build_info", "gauge", "Always 1; the label is the running version.");
    let _ = writeln!(out, "volley_build_info{{version=\"{}\"}} 1", escape(env!("CARGO_PKG_VERSION")));
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    head(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
    let _ = writeln!(out, "process_cpu_seconds_total {}.{:06}", cpu.tv_sec, cpu.tv_nsec / 1_000);
    gauge(out, "process_resident_memory_bytes", "Resident memory size in bytes.", resident_bytes());
    gauge(out, "process_open_fds", "Number of open file descriptors.", open_descriptors());
    gauge(out, "process_max_fds", "Maximum number of open file descriptors.", descriptors_max());
}

/// Lines that were lost on standard output and standard error: the stream, the number lost because its queue was full,
/// and the number lost because the system refused the write.
pub fn console(out: &mut String, streams: &[(&str, u64, u64)]) {
    head(out, DROPPED_LINES, "counter", "Lines lost on standard output or standard error.");
    for (stream, full, failed) in streams {
        let _ = writeln!(out, "{DROPPED_LINES}{{stream=\"{stream}\",reason=\"full\"}} {full}");
        let _ = writeln!(out, "{DROPPED_LINES}{{stream=\"{stream}\",reason=\"failed\"}} {failed}");
    }
}

/// A value that could not be read is left out: no value is better than a wrong one.
fn gauge(out: &mut String, name: &str, help: &str, value: Option<u64>) {
    if let Some(value) = value {
        head(out, name, "gauge", help);
        let _ = writeln!(out, "{name} {value}");
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn open_descriptors() -> Option<u64> {
    // One of them is the directory that is being read.
    fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1) as u64)
}

fn descriptors_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

fn escape(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return value.into();
    }
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(room: &str, online: u64) -> RoomFigure {
        RoomFigure { room: room.into(), online, likes: 1, comments: 2, shed: 3, merged: 4 }
    }

    #[test]
    fn rooms_beyond_the_top_are_summed_and_not_lost() {
        let all: Vec<_> = (0..150).map(|n| figure(&format!("r{n:03}"), n)).collect();
        let mut text = String::new();
        rooms(&mut text, all);
        assert_eq!(text.lines().filter(|line| line.starts_with("volley_room_online{")).count(), ROOMS_TOP_MAX + 1);
        assert!(text.contains("volley_room_online{room=\"r149\"} 149\n"));
        assert!(text.contains(&format!("volley_room_online{{room=\"other\"}} {}\n", (0..50).sum::<u64>())));
        assert!(text.contains("volley_room_shed{room=\"other\"} 150\n"));
        assert!(text.contains("volley_room_merged{room=\"other\"} 200\n"));
    }

    #[test]
    fn a_room_called_other_does_not_spoil_the_scrape() {
        let mut text = String::new();
        rooms(&mut text, vec![figure("other", 90), figure("demo", 3)]);
        assert_eq!(text.matches("volley_room_online{room=\"other\"} 90\n").count(), 1);
        assert_eq!(text.matches("volley_room_online{room=\"demo\"} 3\n").count(), 1);
        assert_eq!(text.matches("volley_room_online{").count(), 2);
    }

    #[test]
    fn label_values_cannot_break_out_of_their_quotes() {
        let mut text = String::new();
        admission(&mut text, [("com\"ment\n", "a\\b", 7)].into_iter());
        assert!(text.ends_with("volley_admission_total{kind=\"com\\\"ment\\n\",verdict=\"a\\\\b\"} 7\n"), "{text}");
    }

    #[test]
    fn the_process_tells_its_own_size() {
        let mut text = String::new();
        process(&mut text);
        for name in
            ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"]
        {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
            assert!(line[name.len() + 1..].parse::<f64>().unwrap() > 0.0, "{line}");
        }
    }
}
