//! The promises of the pass, on a wire that remembers.

use super::*;
use crate::protocol::frame::{EncodedFrame, RoomKey};
use bytes::Bytes;
use proptest::prelude::{prop_assert, proptest};
use std::collections::HashMap;
use std::sync::Arc;

/// Remembers what each descriptor got; descriptors in `full` take nothing, in `short` one byte.
#[derive(Default)]
struct Memory {
    got: HashMap<RawFd, Vec<u8>>,
    order: Vec<RawFd>,
    full: Vec<RawFd>,
    short: Vec<RawFd>,
    broken: Vec<RawFd>,
    vectored: usize,
}

impl Wire for Memory {
    fn send(&mut self, fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.order.push(fd);
        if self.full.contains(&fd) {
            return Err(Errno::AGAIN);
        }
        if self.broken.contains(&fd) {
            return Err(Errno::CONNRESET);
        }
        let n = if self.short.contains(&fd) { 1 } else { bytes.len() };
        self.got.entry(fd).or_default().extend(&bytes[..n]);
        Ok(n)
    }
    fn send_joined(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.vectored += 1;
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.send(fd, &all)
    }
}

fn frame(n: u8) -> Arc<EncodedFrame> {
    let mut frame = EncodedFrame::new(RoomKey(0), u64::from(n), u64::from(n) + 1, 0);
    frame.set(Variant::ALL[0], Bytes::from(vec![n; 4]));
    frame.set(Variant::ALL[1], Bytes::from(vec![n + 100; 2]));
    Arc::new(frame)
}

fn room(count: u32) -> (Ring, Slots) {
    let mut slots = Slots::default();
    for conn in 0..count {
        slots.add(Slot { fd: conn as RawFd, conn, cursor: 0, variant: (conn % 2) as u8 });
    }
    (Ring::new(8), slots)
}

#[test]
fn each_slot_gets_its_variant_once() {
    let (mut ring, mut slots) = room(10);
    let (mut wire, mut left) = (Memory::default(), Vec::new());
    ring.push(frame(0));
    slots.frame_came();
    let tally = slots.slice(&ring, &mut wire, 1000, &mut left);
    assert!(!slots.is_due() && left.is_empty());
    assert_eq!(tally, SendTally { sends: 10, deliveries: 10, bytes: 30 });
    for fd in 0..10 {
        assert_eq!(wire.got[&fd], if fd % 2 == 0 { vec![0; 4] } else { vec![100; 2] });
    }
}

#[test]
fn slices_join_frames_that_came_meanwhile() {
    let (mut ring, mut slots) = room(10);
    let (mut wire, mut left) = (Memory::default(), Vec::new());
    ring.push(frame(0));
    slots.frame_came();
    slots.slice(&ring, &mut wire, 4, &mut left);
    assert!(slots.is_due());
    ring.push(frame(1));
    slots.frame_came();
    let mut sends = 4;
    while slots.is_due() {
        sends += slots.slice(&ring, &mut wire, 4, &mut left).sends;
    }
    assert_eq!(sends, 14, "6 slots got both frames in one write, 4 needed a second one");
    for fd in (0..10).step_by(2) {
        assert_eq!(wire.got[&fd], [0, 0, 0, 0, 1, 1, 1, 1]);
    }
}

#[test]
fn each_pass_starts_at_a_different_slot() {
    let (mut ring, mut slots) = room(10);
    let (mut wire, mut left) = (Memory::default(), Vec::new());
    let mut first = Vec::new();
    for n in 0..5 {
        ring.push(frame(n));
        slots.frame_came();
        wire.order.clear();
        slots.slice(&ring, &mut wire, 1000, &mut left);
        first.push(wire.order[0]);
    }
    first.sort_unstable();
    first.dedup();
    assert!(first.len() >= 4, "{first:?}");
}

#[test]
fn blocked_and_broken_slots_are_reported_and_cost_no_other_slot() {
    let (mut ring, mut slots) = room(10);
    let mut wire = Memory { full: vec![2], short: vec![3], broken: vec![4], ..Memory::default() };
    let mut left = Vec::new();
    ring.push(frame(0));
    slots.frame_came();
    let tally = slots.slice(&ring, &mut wire, 1000, &mut left);
    assert_eq!(tally.deliveries, 7);
    left.sort_by_key(|l| match l {
        Unfinished::Blocked { conn, .. } | Unfinished::Broken { conn } => *conn,
    });
    assert_eq!(
        left,
        [
            Unfinished::Blocked { conn: 2, cursor: 0, sent: 0 },
            Unfinished::Blocked { conn: 3, cursor: 0, sent: 1 },
            Unfinished::Broken { conn: 4 }
        ]
    );
}

#[test]
fn removing_during_a_pass_skips_no_slot() {
    for removed in 0..10 {
        for budget in 1..10 {
            let (mut ring, mut slots) = room(10);
            let (mut wire, mut left) = (Memory::default(), Vec::new());
            ring.push(frame(0));
            slots.frame_came();
            slots.slice(&ring, &mut wire, budget, &mut left);
            let (gone, _) = slots.remove(removed);
            while slots.is_due() {
                slots.slice(&ring, &mut wire, budget, &mut left);
            }
            for fd in (0..10).filter(|fd| *fd != gone.fd) {
                assert_eq!(wire.got[&fd].len(), if fd % 2 == 0 { 4 } else { 2 }, "removed {removed}, budget {budget}");
            }
        }
    }
}

/// Sends `before` frames to the first `visited` of `count` slots, and then one more to all.
fn uneven(count: u32, before: u8, visited: usize, wire: &mut Memory) -> Vec<Unfinished> {
    let ((mut ring, mut slots), mut left) = (room(count), Vec::new());
    for n in 0..before {
        ring.push(frame(n));
        slots.frame_came();
    }
    slots.slice(&ring, wire, visited, &mut left);
    ring.push(frame(before));
    slots.frame_came();
    while slots.is_due() {
        slots.slice(&ring, wire, 1_000, &mut left);
    }
    left
}

#[test]
fn frames_go_to_many_slots_in_one_piece_and_to_few_in_a_vectored_write() {
    for (count, vectored) in [(10, 10), (100, 0)] {
        let mut wire = Memory::default();
        assert_eq!(uneven(count, 3, count as usize / 2, &mut wire), []);
        for fd in 0..count as RawFd {
            let expected: Vec<u8> = if fd % 2 == 0 {
                (0..4).flat_map(|n| [n; 4]).collect()
            } else {
                (100..104).flat_map(|n| [n; 2]).collect()
            };
            assert_eq!(wire.got[&fd], expected, "slot {fd} of {count}");
        }
        assert_eq!(wire.vectored, vectored, "{count} slots");
    }
}

#[test]
fn frames_larger_than_one_send_are_not_joined() {
    let ((mut ring, mut slots), mut left) = (room(100), Vec::new());
    let mut wire = Memory::default();
    for n in 0..2 {
        let mut frame = EncodedFrame::new(RoomKey(0), n, n + 1, 0);
        frame.set(Variant::ALL[0], vec![n as u8; JOINED_BYTES_MAX / 2 + 1].into());
        frame.set(Variant::ALL[1], vec![n as u8; JOINED_BYTES_MAX / 2].into());
        ring.push(Arc::new(frame));
        slots.frame_came();
    }
    slots.slice(&ring, &mut wire, 1_000, &mut left);
    assert_eq!((wire.vectored, left.len()), (50, 0));
    assert!(wire.got.values().all(|got| got.len() >= JOINED_BYTES_MAX && got.is_sorted()));
}

#[test]
fn a_cut_in_joined_frames_is_reported_in_bytes_of_the_frames() {
    let mut wire = Memory { short: vec![5], full: vec![6], broken: vec![8], ..Memory::default() };
    let mut left = uneven(100, 3, 0, &mut wire);
    left.sort_by_key(|l| match l {
        Unfinished::Blocked { conn, .. } | Unfinished::Broken { conn } => *conn,
    });
    assert_eq!(
        left,
        [
            Unfinished::Blocked { conn: 5, cursor: 0, sent: 1 },
            Unfinished::Blocked { conn: 6, cursor: 0, sent: 0 },
            Unfinished::Broken { conn: 8 }
        ]
    );
}

#[test]
fn frames_without_a_pause_are_joined_evenly_and_no_slot_falls_behind() {
    let ((mut ring, mut slots), mut left) = (room(100), Vec::new());
    let mut wire = Memory::default();
    for _ in 0..200 {
        ring.push(frame(0));
        slots.frame_came();
        // A quarter of the room per frame: the pass never ends.
        slots.slice(&ring, &mut wire, 25, &mut left);
        assert!(slots.behind() < 8, "the laps bound it: {}", slots.behind());
    }
    assert!(left.is_empty() && slots.is_due());
}

proptest! {
    /// The bound by which the worker finishes a pass in time, with slots that come and go.
    #[test]
    fn nobody_is_further_behind_than_is_told(
        count in 0_u32..20,
        steps in proptest::collection::vec((0_u8..4, 0_usize..30), 0..300),
    ) {
        let ((mut ring, mut slots), mut left) = (room(count), Vec::new());
        let mut wire = Memory::default();
        for (step, n) in steps {
            match step {
                0 => {
                    while slots.is_due() && slots.behind() + 1 >= 8 {
                        slots.slice(&ring, &mut wire, usize::MAX, &mut left);
                    }
                    // Sometimes with an announced gap before the frame.
                    for _ in 0..1 + usize::from(n == 0) {
                        ring.push(frame(0));
                        slots.frame_came();
                    }
                }
                1 => drop(slots.slice(&ring, &mut wire, n, &mut left)),
                2 => drop(slots.add(Slot { fd: 0, conn: 0, cursor: ring.head(), variant: 0 })),
                _ if n < slots.len() => drop(slots.remove(n)),
                _ => {}
            }
            let behind = slots.slots.iter().map(|slot| ring.lag(slot.cursor)).max().unwrap_or(0);
            prop_assert!(behind <= slots.behind(), "{behind} frames, told {}", slots.behind());
            prop_assert!(behind <= 8 && left.is_empty(), "the ring would have forgotten");
            prop_assert!(slots.is_due() || behind == 0);
        }
    }
}
