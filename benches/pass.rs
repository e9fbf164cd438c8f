//! The pass, the ring and the inbox without sockets: the cost that they add to the sends.
//!
//! The sink accepts and counts every byte. Times are per whole pass; divide by the slots for the cost per delivery.

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mio::{Poll, Token, Waker};
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;
use volley::protocol::encode;
use volley::protocol::frame::{EncodedFrame, RoomKey};
use volley::protocol::variant::{Encoding, Variant};
use volley::shard::fanout::pass::{Slot, Slots, Wire};
use volley::shard::fanout::ring::Ring;
use volley::shard::inbox::Inbox;

/// A sink that accepts all bytes.
struct Sink(u64);

impl Wire for Sink {
    fn send(&mut self, fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.0 = self.0.wrapping_add(bytes.len() as u64 ^ fd as u64);
        Ok(bytes.len())
    }
    fn send_joined(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.0 = self.0.wrapping_add(bytes as u64 ^ fd as u64);
        Ok(bytes)
    }
}

fn frame(n: u64, bytes: &Bytes) -> Arc<EncodedFrame> {
    let mut frame = EncodedFrame::new(RoomKey(1), n, n + 1, 0);
    Variant::ALL.into_iter().for_each(|variant| frame.set(variant, bytes.clone()));
    Arc::new(frame)
}

fn pass(c: &mut Criterion) {
    let bytes = encode::framed(&[b'x'; 508], Encoding::Json);
    let mut group = c.benchmark_group("pass");
    for count in [1_u32, 1_000, 100_000] {
        for joined in [1_u64, 8] {
            let mut slots = Slots::default();
            for conn in 0..count {
                slots.add(Slot { fd: conn as RawFd, conn, cursor: 0, variant: (conn % 2) as u8 });
            }
            let (mut ring, mut sink, mut left, mut n) = (Ring::new(64), Sink(0), Vec::new(), 0);
            group.throughput(Throughput::Elements(u64::from(count) * joined));
            group.bench_with_input(BenchmarkId::new(format!("{joined}-frames"), count), &count, |b, _| {
                b.iter(|| {
                    for _ in 0..joined {
                        ring.push(frame(n, &bytes));
                        slots.frame_came();
                        n += 1;
                    }
                    while slots.is_due() {
                        black_box(slots.slice(&ring, &mut sink, 256, &mut left));
                    }
                });
            });
            assert!(left.is_empty());
            black_box(sink.0);
        }
    }
    group.finish();
}

fn inbox(c: &mut Criterion) {
    let poll = Poll::new().expect("a poll");
    let inbox = Inbox::new(1_024, Waker::new(poll.registry(), Token(0)).expect("a waker"));
    let bytes = encode::framed(&[b'x'; 508], Encoding::Json);
    let item = frame(0, &bytes);
    c.bench_function("inbox/push+pop", |b| {
        b.iter_batched(
            || item.clone(),
            |item| {
                assert!(inbox.push(item).is_ok());
                black_box(inbox.pop())
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, pass, inbox);
criterion_main!(benches);
