//! The sending process: the bare loop, the bare loop that joins, or Volley's shard.

use bytes::Bytes;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{BufRead, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use volley::protocol::codes::Close;
use volley::protocol::encode::{self, Encoding, Variant};
use volley::protocol::frame::{EncodedFrame, RoomKey};
use volley::protocol::local::ConnRef;
use volley::protocol::message::ResumeFailure;
use volley::shard::handle::Shards;
use volley::shard::tenant::{Caps, Command, Cx, Inbound, NewConn, ResumeSource, Tenant};
use volley::shard::worker::Settings;

const ROOM: RoomKey = RoomKey(1);

/// User and system CPU time of this process so far.
pub fn cpu() -> Duration {
    let total: u64 = std::fs::read_dir("/proc/self/task")
        .expect("tasks")
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(total)
}

/// Keeps this process on one core, if there are two.
pub fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    // With one core there is nothing to keep apart.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// `kind viewers bytes interval_us` (interval 0: unbounded, 8 frames joined): prints its port, takes the viewers, says
/// `ready`; at each `begin` line measures until the next line, and prints `deliveries cpu_us elapsed_us rss_kib`.
pub fn main(mut args: impl Iterator<Item = String>) {
    let kind = args.next().expect("kind");
    let mut number = || args.next().and_then(|a| a.parse::<usize>().ok()).expect("viewers, bytes, interval");
    let (viewers, bytes, interval_us) = (number(), number(), number() as u64);
    pin(0);
    rlimit::increase_nofile_limit(u64::MAX).expect("RLIMIT_NOFILE can be read");
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    say(&listener.local_addr().expect("bound").port().to_string());
    let deliveries = Arc::new(AtomicU64::new(0));
    let accept = |n: usize| (0..n).map(|_| prepare(listener.accept().expect("a viewer").0)).collect::<Vec<_>>();
    let payload = vec![b'x'; bytes - if bytes - 4 < 65_536 && bytes - 2 >= 126 { 4 } else { 2 }];
    let frame = encode::websocket_frame(&payload, Encoding::Json);
    assert_eq!(frame.len(), bytes);
    let idle_kib = rss_kib();
    match kind.as_str() {
        "bare" | "joined" => {
            let (sockets, counter) = (accept(viewers), deliveries.clone());
            let join = if kind == "joined" { 8 } else { 1 };
            std::thread::spawn(move || bare(&sockets, &frame, interval_us, join, &counter));
        }
        "volley" => {
            let settings = Settings {
                ring_frames: 64,
                ping_us: 3_600_000_000,
                idle_us: 7_200_000_000,
                stalled_us: 30_000_000,
                gaps_max: 1_000_000,
            };
            let counter = deliveries.clone();
            let exporter = volley::metrics::install().expect("the first recorder");
            let (shards, _threads) =
                Shards::start(1, settings, move |_, _| Publisher::new(frame.clone(), interval_us, viewers as u64))
                    .expect("a shard");
            for stream in accept(viewers) {
                let caps =
                    Caps { message_bytes_max: 4_096, fragments_max: 16, backlog_bytes_max: 4_096, any_type: false };
                let new = NewConn {
                    stream,
                    answer: Bytes::new(),
                    leftover: Bytes::new(),
                    encoding: Encoding::Json,
                    caps,
                    hello: (),
                };
                assert!(shards.accept(Box::new(new)).is_ok(), "the inbox takes all viewers");
            }
            std::thread::spawn(move || {
                loop {
                    std::thread::park_timeout(Duration::from_millis(50));
                    let text = exporter.render();
                    let line = text.lines().find_map(|l| l.strip_prefix("volley_deliveries_total{shard=\"0\"} "));
                    counter.store(line.and_then(|n| n.parse().ok()).unwrap_or(0), Ordering::Relaxed);
                    let _keep = &shards;
                }
            });
        }
        other => panic!("no contestant {other}"),
    }
    say("ready");
    let mut start = None;
    for _ in std::io::stdin().lock().lines() {
        // The counter of the shard is read from its metrics every 50 ms: wait for the next reading.
        std::thread::park_timeout(Duration::from_millis(120));
        let now = (deliveries.load(Ordering::Relaxed), cpu(), Instant::now());
        if let Some((d, c, t)) = start {
            let (d, c, t): (u64, Duration, Instant) = (d, c, t);
            let rss = rss_kib().saturating_sub(idle_kib);
            say(&format!("{} {} {} {rss}", now.0 - d, (now.1 - c).as_micros(), now.2.duration_since(t).as_micros()));
        }
        start = Some(now);
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent reads");
}

fn rss_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    text.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).expect("pages") * 4
}

/// The socket options that Volley's gateway sets, for all contestants alike.
fn prepare(stream: TcpStream) -> TcpStream {
    let socket = socket2::SockRef::from(&stream);
    socket.set_tcp_nodelay(true).expect("TCP_NODELAY");
    socket.set_send_buffer_size(32 << 10).expect("SO_SNDBUF");
    stream.set_nonblocking(true).expect("non-blocking");
    stream
}

/// The floor: one `send` of the same bytes per socket and frame; blocked sockets are waited out, so that nothing is
/// left out. It also looks for inbound bytes once per round, as any server must, on one socket in a hundred.
fn bare(sockets: &[TcpStream], frame: &Bytes, interval_us: u64, join: usize, deliveries: &AtomicU64) {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let joined: Vec<u8> = frame.repeat(join);
    let mut next = Instant::now();
    let mut scratch = [0; 16];
    loop {
        for (n, socket) in sockets.iter().enumerate() {
            let mut rest = &joined[..];
            while !rest.is_empty() {
                match send(socket, rest, flags) {
                    Ok(sent) => rest = &rest[sent..],
                    Err(rustix::io::Errno::AGAIN) => std::thread::yield_now(),
                    Err(_) => return,
                }
            }
            deliveries.fetch_add(join as u64, Ordering::Relaxed);
            if n % 100 == 0 {
                let _ = recv(socket, &mut scratch[..], RecvFlags::DONTWAIT);
            }
        }
        if interval_us > 0 {
            next += Duration::from_micros(interval_us);
            std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        }
    }
}

/// A tenant that makes every connection a subscriber and publishes at its interval, or, unbounded, so that about 8
/// frames wait for each subscriber when the pass comes to it.
struct Publisher {
    frame: Bytes,
    interval_us: u64,
    next_us: u64,
    last: u64,
    cycles_per_frame: u64,
    cycle: u64,
}

impl Publisher {
    fn new(frame: Bytes, interval_us: u64, viewers: u64) -> Self {
        let cycles_per_pass = viewers.div_ceil(volley::limits::PASS_SLICE_SENDS as u64);
        Self { frame, interval_us, next_us: 0, last: 0, cycles_per_frame: (cycles_per_pass / 8).max(1), cycle: 0 }
    }
}

impl Tenant for Publisher {
    type Hello = ();
    type Session = ();
    type Mail = ();

    fn open(&mut self, cx: &mut Cx<'_, ()>, conn: ConnRef, _: Encoding, (): ()) -> Result<(), Close> {
        cx.commands.push(Command::Watch { conn, room: ROOM });
        let welcome = encode::websocket_frame(b"{}", Encoding::Json);
        cx.commands.push(Command::Subscribe { conn, variant: Variant::default(), welcome, last: self.last, likes: 0 });
        Ok(())
    }

    fn message(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): &mut (), _: Inbound<'_>) {}
    fn closed(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): ()) {}
    fn mail(&mut self, _: &mut Cx<'_, ()>, (): ()) {}
    fn is_answer((): &()) -> bool {
        false
    }
    fn undelivered(&mut self, _: &mut Cx<'_, ()>, (): ()) {}

    fn wake(&mut self, cx: &mut Cx<'_, ()>) {
        if self.interval_us > 0 {
            self.next_us = (self.next_us + self.interval_us).max(cx.now_us);
        } else {
            self.cycle += 1;
            if !self.cycle.is_multiple_of(self.cycles_per_frame) {
                return;
            }
        }
        let mut frame = EncodedFrame::new(ROOM, self.last, self.last + 1, cx.now_us);
        frame.set(Variant::default(), self.frame.clone());
        self.last += 1;
        cx.commands.push(Command::Frame { shard: cx.shard, frame: Arc::new(frame) });
    }

    fn due_us(&self) -> Option<u64> {
        Some(self.next_us)
    }

    fn welcome(&mut self, _: ConnRef, _: u64, _: ResumeSource) -> Bytes {
        unreachable!("nobody comes back")
    }
    fn not_resumed(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, _: ResumeFailure) {}
    fn forget(&mut self, _: ConnRef) {}
    fn page(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): &(), _: u64) {}
    fn flush(&mut self, _: &mut Cx<'_, ()>) {}

    fn bye(&mut self, (): &(), _: Encoding, _: u64) -> Bytes {
        Bytes::new()
    }
}
