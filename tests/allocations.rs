//! Publishing a frame costs no allocation per subscriber: counted, on real sockets and on 10,000 slots.

use bytes::Bytes;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{IoSlice, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use volley::protocol::codes::Close;
use volley::protocol::encode;
use volley::protocol::frame::{EncodedFrame, RoomKey};
use volley::protocol::local::ConnRef;
use volley::protocol::message::{RenditionReason, ResumeFailure};
use volley::protocol::variant::{Encoding, Variant};
use volley::shard::fanout::pass::{Slot, Slots, Wire};
use volley::shard::fanout::ring::Ring;
use volley::shard::handle::Shards;
use volley::shard::message::Message;
use volley::shard::tenant::{Caps, Cx, Inbound, NewConn, ResumeSource, ShardCommand, Tenant};
use volley::shard::worker::ShardSettings;

/// The system's allocator, which counts allocations.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator with the same arguments; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROOM: RoomKey = RoomKey(1);
const FRAME_BYTES: usize = 512;
const FRAMES: u64 = 20;

fn frame(n: u64) -> Arc<EncodedFrame> {
    let mut frame = EncodedFrame::new(ROOM, n, n + 1, 0);
    frame.set(Variant::default(), encode::framed(&[b'x'; FRAME_BYTES - 4], Encoding::Json));
    Arc::new(frame)
}

/// Both measurements are in one test, because the counter belongs to the process.
#[test]
fn a_frame_to_ten_thousand_subscribers_allocates_no_more_than_to_a_hundred() {
    // The test harness has a thread that sometimes allocates; the slice's own allocations are those of the minimum.
    let least = |count, waiting| (0..3).map(|_| on_slots(count, waiting)).min().unwrap();
    let (few, many) = (least(100, 1), least(10_000, 1));
    assert_eq!((few, many), (0, 0), "the pass itself allocates nothing");
    let (few, many) = (least(100, 8), least(10_000, 8));
    assert_eq!((few, many), (1, 1), "frames that wait are put together once per slice");

    let (few, many) = (on_sockets(100), on_sockets(4_000));
    let per_frame = many / FRAMES;
    assert!(many <= few + 2 * FRAMES, "allocations for {FRAMES} frames: {few} at 100 viewers, {many} at 4,000");
    assert!(per_frame <= 16, "{per_frame} allocations per frame");
}

/// Takes everything.
struct Sink(u64);

impl Wire for Sink {
    fn send(&mut self, _: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn send_joined(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        parts.iter().map(|part| self.send(fd, part)).sum()
    }
}

/// Allocations of a slice of the pass over `count` slots with `waiting` frames each, after the frames were made.
fn on_slots(count: u32, waiting: u64) -> u64 {
    let (mut ring, mut slots, mut sink, mut left) = (Ring::new(64), Slots::default(), Sink(0), Vec::new());
    for conn in 0..count {
        slots.add(Slot { fd: 0, conn, cursor: 0, variant: 0 });
    }
    // The ring grows to its capacity once.
    (0..64).for_each(|n| {
        ring.push(frame(n));
        slots.frame_came();
    });
    let frames: Vec<_> = (64..64 + FRAMES * waiting).map(frame).collect();
    slots.slice(&ring, &mut sink, usize::MAX, &mut left);
    let (before, sent_before) = (ALLOCATIONS.load(Ordering::Relaxed), sink.0);
    let mut slices = 0;
    for (n, frame) in (1..).zip(frames) {
        ring.push(frame);
        slots.frame_came();
        if n % waiting == 0 {
            slots.slice(&ring, &mut sink, usize::MAX, &mut left);
            slices += 1;
        }
    }
    assert_eq!(sink.0 - sent_before, u64::from(count) * FRAMES * waiting * FRAME_BYTES as u64);
    (ALLOCATIONS.load(Ordering::Relaxed) - before).div_ceil(slices)
}

/// Allocations of the whole process while `FRAMES` frames reach `count` real sockets, one after the other.
fn on_sockets(count: usize) -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let settings = ShardSettings {
        ring_frames: 64,
        ping_us: u64::MAX / 4,
        idle_us: u64::MAX / 2,
        stalled_us: 30_000_000,
        gaps_max: 3,
        lite_lag_frames: 10,
    };
    let (shards, threads) = Shards::start(1, settings, &Default::default(), |_, _| Everybody).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let caps = Caps {
        message_bytes_max: 4_096,
        fragments_max: 16,
        backlog_bytes_max: 4_096,
        any_type: false,
        compressed: false,
    };
    let mut viewers: Vec<TcpStream> = (0..count)
        .map(|_| {
            let viewer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let new = NewConn {
                stream,
                answer: Bytes::new(),
                leftover: Bytes::new(),
                encoding: Encoding::Json,
                caps,
                hello: (),
            };
            assert!(shards.accept(Box::new(new)).is_ok());
            viewer
        })
        .collect();
    let mut welcome = [0; 4];
    viewers.iter_mut().for_each(|viewer| viewer.read_exact(&mut welcome).unwrap());
    let mut bytes = [0; FRAME_BYTES];
    let mut round = |n: u64| {
        let frame = frame(n);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        assert!(shards.send(0, Message::Frame(frame)).is_ok());
        viewers.iter_mut().for_each(|viewer| viewer.read_exact(&mut bytes).unwrap());
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    // The first frames grow the ring and warm the metrics.
    (0..64).for_each(|n| {
        round(n);
    });
    let allocations = (64..64 + FRAMES).map(&mut round).sum();
    assert!(shards.send(0, Message::Bye { first_ms: 0, step_us: 0, deadline_us: 0 }).is_ok());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    allocations
}

/// A tenant in which every connection follows one room.
struct Everybody;

impl Tenant for Everybody {
    type Hello = ();
    type Session = ();
    type Mail = ();

    fn open(&mut self, cx: &mut Cx<'_, ()>, conn: ConnRef, _: Encoding, (): ()) -> Result<(), Close> {
        cx.commands.push(ShardCommand::Watch { conn, room: ROOM });
        let welcome = encode::framed(b"{}", Encoding::Json);
        cx.commands.push(ShardCommand::Subscribe { conn, variant: Variant::default(), welcome, last: 0, likes: 0 });
        Ok(())
    }
    fn message(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): &mut (), _: Inbound<'_>) {}
    fn closed(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): ()) {}
    fn mail(&mut self, _: &mut Cx<'_, ()>, (): ()) {}
    fn is_answer((): &()) -> bool {
        false
    }
    fn undelivered(&mut self, _: &mut Cx<'_, ()>, (): ()) {}
    fn wake(&mut self, _: &mut Cx<'_, ()>) {}
    fn due_us(&self) -> Option<u64> {
        None
    }
    fn welcome(&mut self, _: ConnRef, _: u64, _: ResumeSource) -> Bytes {
        unreachable!("nobody comes back")
    }
    fn not_resumed(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, _: ResumeFailure) {}
    fn forget(&mut self, _: ConnRef) {}
    fn page(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): &(), _: u64) {}
    fn variant(&self, (): &()) -> Variant {
        Variant::default()
    }
    fn stand_by(&mut self, (): &mut (), _: Option<Variant>) {}
    fn turn(&mut self, _: &mut Cx<'_, ()>, _: ConnRef, (): &()) {}
    fn turned(&mut self, _: &mut Cx<'_, ()>, (): &mut (), _: Variant, _: RenditionReason) {}
    fn flush(&mut self, _: &mut Cx<'_, ()>) {}
    fn bye(&mut self, (): &(), _: Encoding, _: u64) -> Bytes {
        Bytes::new()
    }
}
