//! The log on disk: the speed of the device, the speed of the log on it, and the time of a start.
//!
//! `cargo bench --bench disk_log [-- DIRECTORY]`: in DIRECTORY (default: the system's temporary one), which decides
//! what is measured. It prints, in this order: a plain write and `fdatasync` of 4 KiB; one room whose next batch waits
//! for the one before; 300 rooms with a batch each per 100 ms, at the same instant, as rooms tick, or one after the
//! other, with different rules for the beginning of commits; the maximum throughput; the start with 1,000,000 events in
//! 1,000 rooms, and the memory after it. With `--test` everything runs once and small.

#![allow(missing_docs, clippy::print_stdout)]

use parking_lot::{Condvar, Mutex};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use volley::log::disk::{CHECKPOINT_BYTES, DiskLog, Durability, Options, PACE_US, QUIET_US};
use volley::log::{Delivery, Log, Sink};
use volley::protocol::event::{Comment, Event, Style};
use volley::protocol::ids::RoomId;
use volley::protocol::user::User;

/// Counts batches, and notes how long each took.
#[derive(Default)]
struct Count {
    done: Mutex<Vec<f64>>,
    began: Mutex<Vec<Instant>>,
    changed: Condvar,
}

impl Sink for Count {
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        let Delivery::Appended { ticket: Some(ticket), .. } = delivery else { panic!("{delivery:?}") };
        let took = self.began.lock()[ticket as usize].elapsed().as_secs_f64();
        self.done.lock().push(took);
        self.changed.notify_all();
        Ok(())
    }
}

impl Count {
    fn wait(&self, count: usize) {
        let mut done = self.done.lock();
        while done.len() < count {
            self.changed.wait(&mut done);
        }
    }

    fn append(&self, log: &DiskLog, room: &RoomId, events: Vec<Event>) {
        let mut began = self.began.lock();
        let ticket = began.len() as u64;
        began.push(Instant::now());
        drop(began);
        let first = Instant::now();
        while let Err(error) = log.append(room, ticket, events.clone(), 1) {
            assert!(first.elapsed() < Duration::from_secs(30), "the log takes nothing: {error:?}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn options(directory: &Path, durability: Durability) -> Options {
    Options {
        directory: directory.into(),
        durability,
        open_max: 10_000,
        stored_max: 10_000,
        age_ms: u64::MAX,
        checkpoint_bytes: CHECKPOINT_BYTES,
        quiet_us: QUIET_US,
        pace_us: PACE_US,
        vfs: None,
        health: Default::default(),
    }
}

fn comment(n: usize) -> Event {
    let user = User { id: format!("guest-{:08x}", n * 7_919).into(), name: "观众".into(), role: Default::default() };
    let text = "主播今天这件还有货吗，想要大码的".into();
    Event::Comment(Comment {
        user,
        id: volley::protocol::ids::ClientId::new(&format!("c{n}")),
        text,
        style: Style::default(),
        media_ms: Some(81_234),
        ext: None,
        first: false,
        deleted: false,
        posted: None,
        left: None,
    })
}

fn rooms(log: &DiskLog, count: usize) -> Vec<(RoomId, Arc<Count>)> {
    let make = |n| (RoomId::new(&format!("room-{n}")).unwrap(), Arc::new(Count::default()));
    let rooms: Vec<_> = (0..count).map(make).collect();
    std::thread::scope(|scope| {
        for part in rooms.chunks(count.div_ceil(32)) {
            scope.spawn(move || part.iter().for_each(|(room, sink)| drop(log.open(room, sink.clone()).unwrap())));
        }
    });
    rooms
}

fn quantiles(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize] * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms", at(0.5), at(0.99), at(1.0))
}

fn device(directory: &Path, count: usize) {
    let mut file = File::create(directory.join("device")).unwrap();
    let page = [7; 4_096];
    let times = (0..count).map(|_| {
        let began = Instant::now();
        file.write_all(&page).unwrap();
        file.sync_data().unwrap();
        began.elapsed().as_secs_f64()
    });
    println!("4 KiB and fdatasync      {}", quantiles(times.collect()));
}

fn one_by_one(directory: &Path, durability: Durability, count: usize) {
    let log = DiskLog::start(&options(directory, durability)).unwrap();
    let (room, sink) = rooms(&log, 1).remove(0);
    for n in 0..count {
        sink.append(&log, &room, vec![comment(n)]);
        sink.wait(n + 1);
        // Longer than the pace of commits, so that the batch arrives alone.
        std::thread::sleep(Duration::from_millis(12));
    }
    println!("one batch alone, {durability:?}  {}", quantiles(std::mem::take(&mut sink.done.lock())));
}

/// How 300 rooms end their ticks, and how commits begin.
struct Beat {
    /// At one instant, or evenly over the tick.
    is_aligned: bool,
    quiet_us: u64,
    pace_us: u64,
}

fn paced(directory: &Path, count: usize, ticks: usize, beat: &Beat) {
    let Beat { is_aligned, quiet_us, pace_us } = *beat;
    let log = DiskLog::start(&Options { quiet_us, pace_us, ..options(directory, Durability::Fsync) }).unwrap();
    // One room stays silent, so no group ends because all rooms' batches are there.
    let rooms = &rooms(&log, count + 1)[..count];
    let (began, cpu, commits) = (Instant::now(), cpu_seconds(), commits());
    std::thread::scope(|scope| {
        // Two threads, as rooms are on shards.
        for part in 0..2 {
            let log = &log;
            scope.spawn(move || {
                for tick in 0..ticks {
                    for (n, (room, sink)) in rooms.iter().enumerate().skip(part).step_by(2) {
                        let shift = if is_aligned { 0 } else { n * 100_000 / count };
                        let due = Duration::from_micros((tick * 100_000 + shift) as u64);
                        std::thread::sleep(due.saturating_sub(began.elapsed()));
                        sink.append(log, room, (0..7).map(comment).collect());
                    }
                }
            });
        }
    });
    let mut times = Vec::new();
    for (_, sink) in rooms {
        sink.wait(ticks);
        times.append(&mut sink.done.lock());
    }
    println!(
        "{count} rooms, 7 a tick, {}, quiet {quiet_us} µs, at least {} ms apart   {:.1} commits a tick, {}, CPU {:.0} % of a core",
        if is_aligned { "at one instant" } else { "shifted" },
        pace_us / 1_000,
        (self::commits() - commits) / ticks as f64,
        quantiles(times),
        (cpu_seconds() - cpu) / began.elapsed().as_secs_f64() * 100.0
    );
}

/// Transactions of this process so far.
fn commits() -> f64 {
    let text = volley::metrics::install().unwrap().render();
    let line = text.lines().find_map(|line| line.strip_prefix("volley_log_commits_total "));
    line.map_or(0.0, |count| count.parse().unwrap())
}

fn flood(directory: &Path, count: usize, batches: usize, events: usize) {
    let log = DiskLog::start(&options(directory, Durability::Fsync)).unwrap();
    let rooms = rooms(&log, count);
    let body = serde_json::to_vec(&comment(1)).unwrap().len();
    let began = Instant::now();
    for _ in 0..batches {
        for (room, sink) in &rooms {
            sink.append(&log, room, (0..events).map(comment).collect());
        }
    }
    rooms.iter().for_each(|(_, sink)| sink.wait(batches));
    let (rows, seconds) = ((count * batches * events) as f64, began.elapsed().as_secs_f64());
    drop(log);
    let size: u64 =
        ["volley.db", "volley.heads"].map(|name| std::fs::metadata(directory.join(name)).unwrap().len()).iter().sum();
    println!(
        "{count} rooms, {events} a batch     {:.0} events/s, {body} bytes of JSON each, {:.2} bytes on disk for each byte",
        rows / seconds,
        size as f64 / (rows * body as f64)
    );
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let all = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
    let nanoseconds: f64 = all.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum();
    nanoseconds / 1e9
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Measures a start in a separate process, so that the memory is only the start's.
fn start(directory: &Path) {
    let (before, began) = (resident_kib(), Instant::now());
    let log = DiskLog::start(&options(directory, Durability::Fsync)).unwrap();
    let took = began.elapsed();
    println!(
        "start                    {:.2} s, {:.1} MiB more resident",
        took.as_secs_f64(),
        resident_kib().saturating_sub(before) as f64 / 1_024.0
    );
    drop(log);
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--start") {
        return start(Path::new(&arguments[at + 1]));
    }
    let is_test = arguments.iter().any(|argument| argument == "--test");
    arguments.retain(|argument| !argument.starts_with('-'));
    let parent = arguments.first().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("volley-disk-log-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let scale = if is_test { 100 } else { 1 };
    // Before the first log, whose counters are registered then.
    commits();
    device(&directory, 1_000 / scale);
    one_by_one(&directory.join("sync"), Durability::Fsync, 300 / scale);
    one_by_one(&directory.join("write"), Durability::Write, 300 / scale);
    let shifted = [(0, 0), (0, PACE_US), (0, 100_000)].map(|(quiet_us, pace_us)| (false, quiet_us, pace_us));
    let aligned = [0, QUIET_US / 2, QUIET_US, 2 * QUIET_US].map(|quiet_us| (true, quiet_us, PACE_US));
    for (n, (is_aligned, quiet_us, pace_us)) in shifted.into_iter().chain(aligned).enumerate() {
        let beat = Beat { is_aligned, quiet_us, pace_us };
        paced(&directory.join(format!("paced-{n}")), 300, 150_usize.div_ceil(scale), &beat);
    }
    flood(&directory.join("flood"), 100, 1_000 / scale, 20);
    flood(&directory.join("million"), 1_000, 10, 100 / scale);
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("--start")
        .arg(directory.join("million"))
        .status()
        .unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(status.success());
}
