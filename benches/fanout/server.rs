//! The sending process: the bare loop or Volley's shard, behind the same commands.

use bytes::Bytes;
use std::io::{BufRead, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use volley::protocol::encode;
use volley::protocol::variant::Encoding;

/// The parameters of a burst.
#[derive(Clone, Copy)]
pub struct Burst {
    pub bytes: usize,
    /// Between frames; 0: none.
    pub interval_us: u64,
    /// Frames that one write joins, or that wait for each subscriber; for unbounded bursts.
    pub join: usize,
}

/// Totals handed to the kernel since the start.
#[derive(Clone, Copy, Default)]
pub struct Sent {
    pub deliveries: u64,
    pub bytes: u64,
    pub sends: u64,
    /// Gaps announced to sockets that the reader left full for too long; the floor waits instead.
    pub gaps: u64,
}

/// A contestant.
pub trait Sender {
    /// Begins to send frames.
    fn begin(&mut self, burst: Burst);
    /// Stops; returns the totals when everything was handed over.
    fn end(&mut self) -> Sent;
}

/// `floor|volley viewers`: prints its port, accepts the viewers, prints `ready`. Commands, one per line:
///
/// - `begin BYTES INTERVAL_US JOIN`: frames go out. Answers `begun`.
/// - `end`: answers `deliveries bytes sends gaps cpu_us rss_kib` of the burst; memory beyond that before the first
///   viewer.
pub fn main(mut args: impl Iterator<Item = String>) {
    let kind = args.next().expect("kind");
    let viewers = args.next().and_then(|a| a.parse::<usize>().ok()).expect("viewers");
    pin(0);
    rlimit::increase_nofile_limit(u64::MAX).expect("RLIMIT_NOFILE can be read");
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    say(&listener.local_addr().expect("bound").port().to_string());
    let idle_kib = rss_kib();
    let sockets = (0..viewers).map(|_| prepare(listener.accept().expect("a viewer").0));
    let mut sender: Box<dyn Sender> = match kind.as_str() {
        "floor" => Box::new(super::floor::Floor::new(sockets.collect())),
        _ => Box::new(super::volleyed::Volley::new(sockets, viewers)),
    };
    // Bytes that came with the sockets (welcomes) belong to no burst.
    let mut before = sender.end();
    say("ready");
    let mut cpu_before = cpu(true);
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the parent speaks");
        let mut words = line.split(' ');
        if words.next() == Some("begin") {
            let mut number = || words.next().and_then(|n| n.parse::<u64>().ok()).expect("bytes, interval, join");
            let (bytes, interval_us, join) = (number() as usize, number(), number() as usize);
            cpu_before = cpu(true);
            sender.begin(Burst { bytes, interval_us, join });
            say("begun");
        } else {
            let sent = sender.end();
            let cpu_us = (cpu(true) - cpu_before).as_micros();
            let rss_kib = rss_kib().saturating_sub(idle_kib);
            let counts = |sent: Sent| [sent.deliveries, sent.bytes, sent.sends, sent.gaps];
            let [now, then] = [sent, before].map(counts);
            let [deliveries, bytes, sends, gaps] = std::array::from_fn(|n| now[n] - then[n]);
            say(&format!("{deliveries} {bytes} {sends} {gaps} {cpu_us} {rss_kib}"));
            before = sent;
        }
    }
}

/// A whole WebSocket frame of `bytes` bytes.
pub fn frame(bytes: usize) -> Bytes {
    let header_bytes = if bytes < 128 { 2 } else { 4 };
    // A number that divides no size: a frame that is cut wrongly or sent twice in part does not match.
    let payload: Vec<u8> = (0..bytes - header_bytes).map(|n| b'a' + (n % 23) as u8).collect();
    let frame = encode::framed(&payload, Encoding::Json);
    assert_eq!(frame.len(), bytes, "2 to 65,535 bytes");
    frame
}

/// User and system CPU time of this process so far. With `but_first` without its first thread, which in a sending
/// process only talks to the parent and reads metrics for it.
pub fn cpu(but_first: bool) -> Duration {
    let first = std::process::id().to_string();
    let total: u64 = std::fs::read_dir("/proc/self/task")
        .expect("tasks")
        .filter_map(Result::ok)
        .filter(|task| !(but_first && task.file_name() == first.as_str()))
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(total)
}

/// Keeps this process on one core, if there are two.
pub fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    // With a single core, the processes cannot be separated.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// To the parent.
pub fn say(line: &str) {
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
