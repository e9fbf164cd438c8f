//! One peer under its workloads, from start to end; a line of JSON for each.

use super::crowd::Crowd;
use super::options::{Options, Workload};
use super::process::{self, Peer};
use super::publish::{PUBLISHERS, Press, Shape};
use super::speaks::{Role, Speaks};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a peer may take to listen, and to accept all viewers.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
const LETS_IN_WITHIN: Duration = Duration::from_secs(60);
/// How long the first message, and the rest of a workload, may take.
const QUIET_WITHIN: Duration = Duration::from_secs(4);
/// Messages that wait in the unbounded workload, per viewer.
const WAITING: u64 = 8;
/// After this time without a delivery, outstanding messages count as lost.
const STALLED: Duration = Duration::from_millis(500);
/// A peer that buffers more is stopped, because the machine has other users.
const RSS_KIB_MAX: u64 = 8 << 20;

/// When messages are due.
#[derive(Clone, Copy)]
enum Pace {
    Silent,
    Even(f64),
    Waiting,
    Show { comments_per_s: f64, likes_per_s: f64 },
}

/// The results of a period.
struct Window {
    seconds: f64,
    deliveries: u64,
    bytes: u64,
    cpu_us: f64,
    own_cpu_us: f64,
}

struct Run<'a> {
    options: &'a Options,
    peer: Peer,
    crowd: Crowd,
    press: Press,
    shape: Shape,
    kib_per_viewer: f64,
    connect_s: f64,
    /// The time to settle, and to warm up: a second, if there is time.
    settle_s: f64,
}

/// Measures, and appends a line for each workload, even for a failed one.
///
/// # Errors
/// The result cannot be written, or a workload failed.
pub fn main(options: &Options) -> Result<(), String> {
    all(options).map(drop)
}

/// The same, with the figures.
///
/// # Errors
/// As above.
pub fn all(options: &Options) -> Result<Vec<Value>, String> {
    rlimit::increase_nofile_limit(u64::MAX).map_err(|e| format!("RLIMIT_NOFILE: {e}"))?;
    let (mut failed, mut done) = (None, Vec::new());
    let mut run = Run::start(options);
    for &workload in &options.workloads {
        let result = run.as_mut().map_err(|e| e.clone()).and_then(|run| run.measure(workload));
        let line = result.unwrap_or_else(|error| {
            failed = Some(format!("{}, {}: {error}", options.peer, workload.name()));
            json!({ "error": error })
        });
        record(options, workload, line.clone())?;
        done.push(line);
    }
    failed.map_or(Ok(done), Err)
}

fn record(options: &Options, workload: Workload, mut line: Value) -> Result<(), String> {
    line["peer"] = json!(options.peer);
    line["about"] = json!(options.about);
    line["workload"] = json!(workload.name());
    line["viewers"] = json!(options.viewers);
    let Some(path) = &options.out else { return Ok(()) };
    eprintln!("   {line}");
    let mut file = std::fs::File::options().create(true).append(true).open(path).map_err(|e| format!("{path}: {e}"))?;
    writeln!(file, "{line}").map_err(|e| format!("{path}: {e}"))
}

impl<'a> Run<'a> {
    /// Starts the peer and connects all viewers.
    fn start(options: &'a Options) -> Result<Self, String> {
        if TcpStream::connect(("127.0.0.1", options.port)).is_ok() {
            return Err(format!("somebody else listens on port {}", options.port));
        }
        let mut peer = Peer::start(&options.command, &options.log)?;
        let until = Instant::now() + LISTENS_WITHIN;
        while TcpStream::connect(("127.0.0.1", options.port)).is_err() {
            if Instant::now() > until || !peer.lives() {
                return Err(format!("it does not listen on port {}; see {}", options.port, options.log));
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let mut crowd = Crowd::new(options.speaks, options.port, options.viewers)?;
        // The first viewer causes everything that is created once.
        crowd.connect(Role::Viewer, 1, LISTENS_WITHIN)?;
        let (press, shape) = (Press::new(options.speaks), Shape::Comment);
        let settle_s = options.seconds.min(1.0);
        let mut run = Self { options, peer, crowd, press, shape, kib_per_viewer: 0.0, connect_s: 0.0, settle_s };
        run.go(Pace::Silent, settle_s)?;
        let before = run.peer.uses();
        let began = Instant::now();
        run.crowd.connect(Role::Viewer, options.viewers - 1, LETS_IN_WITHIN)?;
        run.connect_s = began.elapsed().as_secs_f64();
        run.go(Pace::Silent, settle_s)?;
        let grown_kib = run.peer.uses().rss_kib.saturating_sub(before.rss_kib);
        run.kib_per_viewer = grown_kib as f64 / (options.viewers - 1).max(1) as f64;
        run.crowd.connect(Role::Publisher, PUBLISHERS, LISTENS_WITHIN)?;
        Ok(run)
    }

    fn measure(&mut self, workload: Workload) -> Result<Value, String> {
        let options = self.options;
        let pace = match workload {
            Workload::Paced => Pace::Even(options.messages_per_s),
            Workload::Unbounded => Pace::Waiting,
            Workload::Show => Pace::Show { comments_per_s: options.comments_per_s, likes_per_s: options.likes_per_s },
        };
        self.shape = if workload == Workload::Show { Shape::Comment } else { self.message_shape()? };
        let before = (self.crowd.tally.deliveries, self.press.offered, self.press.unsent);
        self.go(pace, self.settle_s)?; // Caches, allocators, socket buffers.
        self.crowd.tally.latencies.clear();
        let window = self.window(pace, options.seconds)?;
        let offered = self.press.offered - before.1;
        let due = offered * options.viewers as u64;
        self.await_deliveries(before.0 + due, Duration::from_secs_f64(options.drain_s))?;
        let share = (self.crowd.tally.deliveries - before.0) as f64 / due.max(1) as f64;
        let late = self.crowd.tally.latencies.quantiles(&[0.5, 0.99]);
        let per_delivery = |value: f64| value / window.deliveries.max(1) as f64;
        let figures = json!({
            "seconds": window.seconds,
            "offered_per_s": options.comments_per_s,
            "deliveries": window.deliveries,
            "cpu_us_per_delivery": per_delivery(window.cpu_us),
            "deliveries_per_s": window.deliveries as f64 / window.seconds,
            "deliveries_per_core_s": window.deliveries as f64 / (window.cpu_us / 1e6),
            "delivered_share": share,
            "server_load": window.cpu_us / 1e6 / window.seconds,
            "client_load": window.own_cpu_us / 1e6 / window.seconds,
            "kib_per_viewer": self.kib_per_viewer,
            "connect_s": self.connect_s,
            "p50_ms": late.first(),
            "p99_ms": late.get(1),
            "wire_kib_per_viewer_s": window.bytes as f64 / 1_024.0 / window.seconds / options.viewers as f64,
            "wire_bytes_per_delivery": per_delivery(window.bytes as f64),
            "unsent": self.press.unsent - before.2,
            "gaps": self.crowd.tally.gaps,
            "holes": self.crowd.tally.holes,
            "lost": self.crowd.tally.lost,
            "why_lost": self.crowd.why_lost(),
        });
        if options.workloads.last() != Some(&workload) {
            self.await_deliveries(before.0 + due, QUIET_WITHIN)?; // The next workload begins with nothing in flight.
        }
        if window.deliveries == 0 { Err(format!("nothing was delivered: {figures}")) } else { Ok(figures) }
    }

    /// For Volley, a text length with which a frame of one comment has the message's size; for others, that size.
    fn message_shape(&mut self) -> Result<Shape, String> {
        const PROBE_BYTES: usize = 100;
        let wanted = self.options.message_bytes;
        if self.options.speaks != Speaks::Volley {
            return Ok(Shape::Bytes(wanted));
        }
        self.shape = Shape::Bytes(PROBE_BYTES);
        let before = self.crowd.tally.deliveries;
        let due_ns = self.crowd.now_ns();
        self.press.say(self.shape, due_ns);
        let goal = before + self.options.viewers as u64;
        self.await_deliveries(goal, QUIET_WITHIN)?;
        if self.crowd.tally.deliveries < goal {
            return Err("the first comment did not come to everybody".into());
        }
        let around = self.crowd.tally.newest_bytes - PROBE_BYTES;
        Ok(Shape::Bytes(wanted.checked_sub(around).ok_or("no message is that short")?))
    }

    /// Reads until a total number of deliveries, or for a time.
    fn await_deliveries(&mut self, goal: u64, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        while self.crowd.tally.deliveries < goal && Instant::now() < until {
            self.go(Pace::Silent, 0.02)?;
        }
        Ok(())
    }

    fn window(&mut self, pace: Pace, seconds: f64) -> Result<Window, String> {
        let (deliveries, bytes) = (self.crowd.tally.deliveries, self.crowd.tally.bytes);
        let (uses, own, began) = (self.peer.uses(), process::own_cpu(), Instant::now());
        self.go(pace, seconds)?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Window {
            seconds,
            deliveries: self.crowd.tally.deliveries - deliveries,
            bytes: self.crowd.tally.bytes - bytes,
            own_cpu_us: (process::own_cpu() - own).as_secs_f64() * 1e6,
            cpu_us: (self.peer.uses().cpu.saturating_sub(uses.cpu)).as_secs_f64() * 1e6,
        })
    }

    /// Publishes and reads for a time.
    fn go(&mut self, pace: Pace, seconds: f64) -> Result<(), String> {
        let (began, began_ns) = (Instant::now(), self.crowd.now_ns());
        let (mut said, mut likes) = (0_u64, 0_u64);
        let deliveries = self.crowd.tally.deliveries;
        let viewers = self.options.viewers as u64;
        let (mut newest, mut moved, mut written_off, mut looked) = (deliveries, began, 0, began);
        loop {
            let now = Instant::now();
            let elapsed = (now - began).as_secs_f64();
            if elapsed >= seconds {
                return Ok(());
            }
            // Each is due at its own time, even if it is sent late.
            let due = |rate: f64, n: u64| began_ns + (n as f64 / rate * 1e9) as u64;
            match pace {
                Pace::Silent => {}
                Pace::Even(rate) | Pace::Show { comments_per_s: rate, .. } => {
                    while (said as f64) < elapsed * rate {
                        self.press.say(self.shape, due(rate, said));
                        said += 1;
                    }
                }
                Pace::Waiting => {
                    if self.crowd.tally.deliveries != newest {
                        (newest, moved) = (self.crowd.tally.deliveries, now);
                    } else if now - moved > STALLED {
                        // Missing messages count as dropped, which a peer may do.
                        written_off = (said * viewers).saturating_sub(newest - deliveries);
                        moved = now;
                    }
                    while said < (newest - deliveries + written_off) / viewers + WAITING {
                        self.press.say(self.shape, self.crowd.now_ns());
                        said += 1;
                    }
                }
            }
            if let Pace::Show { likes_per_s, .. } = pace {
                let due = (elapsed * likes_per_s) as u64;
                if self.options.speaks == Speaks::Volley {
                    (likes..due).for_each(|_| self.press.like());
                    likes = due;
                } else if (due - likes) as f64 >= likes_per_s {
                    // Other peers receive the likes folded into one message per second, to their advantage.
                    self.press.likes(due);
                    likes = due;
                }
            }
            self.press.write(self.crowd.publishers())?;
            self.crowd.turn(Duration::from_millis(1))?;
            if now - looked > STALLED {
                looked = now;
                let rss_kib = self.peer.uses().rss_kib;
                if !self.peer.lives() || rss_kib > RSS_KIB_MAX {
                    return Err(format!("it ended, or buffers too much: {} MiB resident", rss_kib >> 10));
                }
            }
        }
    }
}
