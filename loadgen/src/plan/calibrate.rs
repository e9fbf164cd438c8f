//! Measures this machine in a few seconds: the cost of a send to a cold socket, by size, and of a send of eight frames.
//!
//! It uses real sockets over loopback, with one send per socket and pass and ten passes per second, like the server.
//! One core sends and a different core reads. The sender's figure includes the kernel's receiving side, as in any
//! loopback test; with a network card a send costs less.

use super::machine::{Curve, DESCRIPTORS, Machine};
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::net::{RecvFlags, SendFlags, recv, send, sendmsg};
use rustix::time::{ClockId, clock_gettime};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use volley::config::Config;

/// Sizes of frames: a quiet tick, the canonical one, a busy one, a flood.
const SIZES: [usize; 4] = [256, 1_024, 4_096, 16_384];
/// Number of frames in a joined send, and bytes of each.
const JOINED: (usize, usize) = (8, 512);
/// Linux acknowledges up to 16 segments of a new connection immediately.
const QUICK_ACKS: usize = 20;
const READER: Token = Token(usize::MAX);

#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The most sockets: a pass over fewer finds them warm in the caches.
    pub sockets: usize,
    /// Measured passes per size.
    pub passes: usize,
    /// From one pass to the next.
    pub interval: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self { sockets: 5_000, passes: 10, interval: Duration::from_millis(100) }
    }
}

/// Fewer sockets would measure the caches.
const SOCKETS_MIN: usize = 100;

/// Measures this machine.
///
/// # Errors
/// A sentence: too few descriptors, no loopback, or an error of the system.
pub fn calibrate(effort: &Effort) -> Result<Machine, String> {
    let limit = rlimit::increase_nofile_limit(u64::MAX).map_err(|e| format!("RLIMIT_NOFILE: {e}"))?;
    let sockets = effort.sockets.min(usize::try_from(limit / 2).unwrap_or(usize::MAX).saturating_sub(64));
    if sockets < SOCKETS_MIN.min(effort.sockets) {
        return Err(format!(
            "a process may open {limit} files here, and {} are needed: raise `ulimit -n`",
            2 * (SOCKETS_MIN + 64)
        ));
    }
    let before = slab_bytes();
    let pairs = connect(sockets).map_err(|e| format!("{sockets} connections over loopback: {e}"))?;
    let socket_bytes = slab_bytes().zip(before).map(|(after, before)| (after - before).max(0.0) / (2 * sockets) as f64);
    let (senders, readers): (Vec<TcpStream>, Vec<TcpStream>) = pairs.into_iter().unzip();
    let reader = ReaderThread::new(readers).map_err(|e| format!("a poll: {e}"))?;
    let waker = Waker::new(reader.poll.registry(), READER).map_err(|e| format!("a waker: {e}"))?;
    let stop = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (points, joined_us) = std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            reader.run(&stop);
        });
        let sender = scope.spawn(|| {
            pin(0);
            measure(&senders, effort)
        });
        let measured = sender.join();
        stop.store(true, Ordering::Release);
        // It fails only if the poll is closed, and then no thread waits for it.
        let _ = waker.wake();
        measured.map_err(|_| "the sending thread panicked".to_owned())?
    })?;
    let shared = if cores < 2 { "; sender and reader shared its only core, so the figures are too high" } else { "" };
    Ok(Machine {
        says: format!("this one, measured now with {sockets} sockets over loopback{shared}"),
        sends: Curve::new(points).expect("the sizes rise"),
        joined_us: Some(joined_us),
        socket_bytes: socket_bytes
            .filter(|bytes| (1_024.0..65_536.0).contains(bytes))
            .unwrap_or(super::machine::SOCKET_BYTES),
        cores: cores as f64,
        memory_bytes: meminfo_bytes("MemTotal:"),
        nic_bits_per_s: None,
        descriptors: rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(DESCRIPTORS, |(_, hard)| hard as f64),
    })
}

/// µs per send by size, and µs per frame of the joined ones.
type Measured = (Vec<(f64, f64)>, f64);

fn measure(senders: &[TcpStream], effort: &Effort) -> Result<Measured, String> {
    let bytes = vec![b'x'; SIZES[SIZES.len() - 1]];
    let mut points = Vec::new();
    // The first segments of a connection are acknowledged one by one, at the sender's cost; later ones are not.
    let first = Effort { passes: QUICK_ACKS, interval: effort.interval / 5, ..*effort };
    passes(senders, &first, |socket| send(socket, &bytes[..SIZES[1]], FLAGS), SIZES[1])?;
    for size in SIZES {
        let us = passes(senders, effort, |socket| send(socket, &bytes[..size], FLAGS), size)?;
        points.push((size as f64, us));
    }
    let (frames, size) = JOINED;
    let parts = vec![IoSlice::new(&bytes[..size]); frames];
    let joined = |socket: &TcpStream| sendmsg(socket, &parts, &mut Default::default(), FLAGS);
    Ok((points, passes(senders, effort, joined, frames * size)? / frames as f64))
}

const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// CPU time of a send: the median over all passes, so that a disturbed pass does not count.
fn passes(
    senders: &[TcpStream],
    effort: &Effort,
    write: impl Fn(&TcpStream) -> rustix::io::Result<usize>,
    wanted: usize,
) -> Result<f64, String> {
    let mut costs = Vec::new();
    let mut next = Instant::now();
    // The first pass finds buffers of a different size.
    for pass in 0..=effort.passes {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next = Instant::now().max(next) + effort.interval;
        let began = cpu();
        for socket in senders {
            match write(socket) {
                Ok(sent) if sent == wanted => {}
                Ok(_) | Err(rustix::io::Errno::AGAIN) => {
                    return Err("the reading thread does not keep up, because a different program uses its core; stop that program and try again".into());
                }
                Err(error) => return Err(format!("a send over loopback: {error}")),
            }
        }
        if pass > 0 {
            costs.push((cpu() - began).as_secs_f64() * 1e6 / senders.len() as f64);
        }
    }
    costs.sort_by(f64::total_cmp);
    Ok(costs[costs.len() / 2])
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Pins this thread to one core, if that core may be used.
fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    // With a single core, or a core that this container may not use, the threads cannot be separated.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// Pairs of connected sockets; the server's side has the server's options.
fn connect(sockets: usize) -> io::Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let sndbuf_bytes = Config::default().connection.sndbuf_bytes;
    let pair = |_| {
        let reader = TcpStream::connect(address)?;
        let (sender, _) = listener.accept()?;
        let options = socket2::SockRef::from(&sender);
        options.set_tcp_nodelay(true)?;
        options.set_send_buffer_size(sndbuf_bytes)?;
        reader.set_nonblocking(true)?;
        Ok((sender, reader))
    };
    (0..sockets).map(pair).collect()
}

/// The reading side, which discards all bytes.
struct ReaderThread {
    poll: Poll,
    sockets: Vec<mio::net::TcpStream>,
}

impl ReaderThread {
    fn new(sockets: Vec<TcpStream>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut sockets: Vec<_> = sockets.into_iter().map(mio::net::TcpStream::from_std).collect();
        for (n, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(socket, Token(n), Interest::READABLE)?;
        }
        Ok(Self { poll, sockets })
    }

    fn run(mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; 64 * 1024];
        let mut events = Events::with_capacity(1_024);
        while !stop.load(Ordering::Acquire) {
            if self.poll.poll(&mut events, None).is_err() {
                continue; // A signal.
            }
            for event in events.iter().filter(|event| event.token() != READER) {
                let socket = &self.sockets[event.token().0];
                while let Ok((n, _)) = recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                    if n < buffer.len() {
                        break;
                    }
                }
            }
        }
    }
}

/// Memory of all kernel objects of the machine, including sockets.
fn slab_bytes() -> Option<f64> {
    meminfo_bytes("Slab:")
}

fn meminfo_bytes(name: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_calibration_finds_a_send_that_costs_something_and_joined_frames_that_cost_less() {
        let effort = Effort { sockets: 64, passes: 9, interval: Duration::from_millis(2) };
        let machine = calibrate(&effort).unwrap();
        let send_us = machine.sends.at(512.0);
        assert!(send_us > 0.1, "a system call is not free: {machine:?}");
        assert!(machine.joined_us.unwrap() < send_us, "eight frames in one send: {machine:?}");
        assert!(machine.cores >= 1.0 && machine.memory_bytes.unwrap() > 1e8 && machine.descriptors >= 64.0);
    }
}
