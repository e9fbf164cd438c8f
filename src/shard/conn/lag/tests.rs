//! Cuts at every place, turns, gaps and pages.

use super::*;
use crate::protocol::frame::{EncodedFrame, RoomKey};
use std::sync::Arc;

/// Takes `room` bytes, then blocks until more room is given.
struct Narrow {
    room: usize,
    got: Vec<u8>,
}

impl Wire for Narrow {
    fn send(&mut self, _: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
        let n = bytes.len().min(self.room);
        if n == 0 {
            return Err(Errno::AGAIN);
        }
        self.got.extend(&bytes[..n]);
        self.room -= n;
        Ok(n)
    }
    fn send_joined(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.send(fd, &all)
    }
}

fn push(ring: &mut Ring, n: u8) {
    let mut frame = EncodedFrame::new(RoomKey(0), u64::from(n), u64::from(n) + 1, 0);
    frame.set(Variant::default(), Bytes::from(vec![n; 10]));
    ring.push(Arc::new(frame));
}

#[test]
fn after_any_cut_no_byte_is_lost_doubled_or_swapped() {
    for first_cut in 0..30 {
        for step in 1..12 {
            let mut ring = Ring::new(8);
            let start = ring.head();
            (0..3).for_each(|n| push(&mut ring, n));
            let mut wire = Narrow { room: 0, got: vec![] };
            let expected: Vec<u8> = (0..3).flat_map(|n| vec![n; 10]).collect();
            wire.got.extend(&expected[..first_cut]);
            let mut lag = Lag::after_cut(&ring, Variant::default(), start, first_cut, 0);
            let mut tally = SendTally::default();
            while lag.flush(1, Some(&ring), &mut wire, 0, &mut tally) == Flushed::Blocked {
                wire.room = step;
            }
            assert_eq!(wire.got, expected, "cut {first_cut} step {step}");
            assert_eq!(lag.position.follow().unwrap().position, 3);
            assert_eq!(tally.deliveries as usize, 3 - first_cut / 10);
        }
    }
}

#[test]
fn slow_viewer_gets_a_gap_not_a_silence() {
    let mut ring = Ring::new(8);
    let start = ring.head();
    push(&mut ring, 0);
    let mut lag = Lag::after_cut(&ring, Variant::default(), start, 4, 0);
    (1..30).for_each(|n| push(&mut ring, n));
    let mut wire = Narrow { room: 10_000, got: vec![] };
    assert_eq!(lag.flush(1, Some(&ring), &mut wire, 5, &mut SendTally::default()), Flushed::CaughtUp);
    assert_eq!(wire.got[..6], [0; 6], "the cut frame ends first");
    let text = String::from_utf8_lossy(&wire.got);
    assert!(text.contains(r#"{"gap":{"from":1,"to":29,"reason":"slow"}}"#), "{text}");
    assert_eq!(wire.got[wire.got.len() - 10..], [29; 10]);
    assert_eq!((lag.gaps, lag.gap_frames), (1, 28));
}

#[test]
fn one_stall_is_one_gap_however_often_the_ring_is_overrun_and_however_it_is_cut() {
    for step in 1..60 {
        let mut ring = Ring::new(8);
        let start = ring.head();
        push(&mut ring, 0);
        let mut lag = Lag::after_cut(&ring, Variant::default(), start, 4, 0);
        let (mut wire, mut tally) = (Narrow { room: 0, got: vec![] }, SendTally::default());
        for n in 1..90 {
            push(&mut ring, n);
            assert_eq!(lag.flush(1, Some(&ring), &mut wire, 5, &mut tally), Flushed::Blocked);
            assert_eq!(lag.gaps, 0, "no gap was announced");
        }
        while lag.flush(1, Some(&ring), &mut wire, 5, &mut tally) == Flushed::Blocked {
            wire.room = step;
        }
        let text = String::from_utf8_lossy(&wire.got[6..]).into_owned();
        assert_eq!(text.matches("gap").count(), 1, "step {step}: {text}");
        let to: u8 = text.split_once(r#""to":"#).unwrap().1.split_once(',').unwrap().0.parse().unwrap();
        assert!(text.contains(r#"{"gap":{"from":1,"#), "{text}");
        let frames: Vec<u8> = (to..90).flat_map(|n| vec![n; 10]).collect();
        assert!(wire.got.ends_with(&frames), "everything after the gap, once: step {step}, to {to}");
        assert_eq!((lag.gaps, lag.gap_frames), (1, u64::from(to) - 1));
    }
}

#[test]
fn promised_events_come_in_pages_where_others_get_a_gap() {
    let mut ring = Ring::new(8);
    let start = ring.head();
    push(&mut ring, 0);
    let mut lag = Lag::after_cut(&ring, Variant::default(), start, 4, 0);
    let follow = lag.position.follow().unwrap();
    lag.position = Position::Follow(Follow { whole_until: 20, ..follow });
    (1..30).for_each(|n| push(&mut ring, n));
    let mut wire = Narrow { room: 10_000, got: vec![] };
    assert_eq!(lag.flush(1, Some(&ring), &mut wire, 5, &mut SendTally::default()), Flushed::CaughtUp);
    assert_eq!(wire.got, [0; 6], "the cut frame ends, and nothing else comes");
    let chase = lag.position.chase().unwrap();
    assert_eq!((chase.position, chase.whole_until, lag.gaps), (1, 20, 0));
}

#[test]
fn a_turn_comes_right_behind_the_last_frame_of_the_old_variant_however_it_is_cut() {
    let lite = Variant::ALL[4];
    let mut ring = Ring::new(8);
    let start = ring.head();
    for n in 0..5 {
        let mut frame = EncodedFrame::new(RoomKey(0), n, n + 1, 0);
        frame.set(Variant::default(), vec![b'v'; 10].into());
        if n >= 3 {
            frame.set(lite, b"lite".to_vec().into());
        }
        ring.push(Arc::new(frame));
    }
    let notice = Bytes::from_static(b"NOTICE");
    for (first_cut, step) in (0..=50).flat_map(|cut| [1, 3, 7, 100].map(|step| (cut, step))) {
        let mut lag = Lag::after_cut(&ring, Variant::default(), start, first_cut, 0);
        let at = ring.whole_from(lag.position.follow().unwrap().cursor, lite);
        lag.turn = Some(Turn { at, variant: lite, notice: notice.clone() });
        assert!(lag.add_control(b"ACK", 9));
        let mut wire = Narrow { room: 0, got: vec![b'v'; first_cut] };
        while lag.flush(1, Some(&ring), &mut wire, 0, &mut SendTally::default()) == Flushed::Blocked {
            wire.room = step;
        }
        let text = String::from_utf8(wire.got).unwrap().replace("ACK", "");
        // A frame that was begun is finished; from the first later frame that has the new variant on, that is sent.
        let old = first_cut.div_ceil(10).max(3);
        let expected = "v".repeat(10 * old) + "NOTICE" + &"lite".repeat(5_usize.saturating_sub(old));
        assert_eq!(text, expected, "cut {first_cut}, step {step}");
        assert_eq!(lag.position.follow().map(|follow| (follow.variant, follow.position)), Some((lite, 5)));
    }
}

#[test]
fn a_gap_before_a_change_of_variant_is_announced_with_it() {
    let lite = Variant::ALL[4];
    let mut ring = Ring::new(8);
    let start = ring.head();
    push(&mut ring, 0);
    let mut lag = Lag::after_cut(&ring, Variant::default(), start, 4, 0);
    lag.turn = Some(Turn { at: ring.head(), variant: lite, notice: Bytes::from_static(b"NOTICE") });
    for n in 1..30 {
        let mut frame = EncodedFrame::new(RoomKey(0), n, n + 1, 0);
        frame.set(lite, b"lite".to_vec().into());
        ring.push(Arc::new(frame));
    }
    let mut wire = Narrow { room: 10_000, got: vec![] };
    assert_eq!(lag.flush(1, Some(&ring), &mut wire, 5, &mut SendTally::default()), Flushed::CaughtUp);
    let text = String::from_utf8_lossy(&wire.got[6..]);
    assert!(text.starts_with("NOTICE") && text.ends_with(r#""reason":"slow"}}lite"#), "{text}");
}

#[test]
fn a_page_in_pieces_is_never_torn_by_an_answer_however_it_is_cut() {
    for step in 1..12 {
        let mut lag = Lag::with_rest(Bytes::from_static(b"cut"), 0);
        let mut wire = Narrow { room: 0, got: vec![] };
        let (mut tally, mut turns) = (SendTally::default(), 0);
        lag.add_page([Bytes::from_static(b"WELCOME"), Bytes::from_static(b"{head"), Bytes::from_static(b"tail}")], 0);
        while lag.flush(1, None, &mut wire, 0, &mut tally) == Flushed::Blocked {
            wire.room = step;
            turns += 1;
            if turns == 2 {
                assert!(lag.add_control(b"ACK", 99));
                lag.set_pong(Bytes::from_static(b"PONG"));
            }
        }
        assert_eq!(wire.got, b"cutWELCOME{headtail}ACKPONG", "step {step}");
        assert_eq!(tally.deliveries, 1);
        assert!(!lag.is_waiting_for_socket());
    }
}

#[test]
fn control_answers_come_before_frames_and_only_the_newest_pong_is_kept() {
    let mut ring = Ring::new(8);
    let start = ring.head();
    push(&mut ring, 7);
    let mut lag = Lag::after_cut(&ring, Variant::default(), start, 3, 0);
    push(&mut ring, 8);
    assert!(lag.add_control(b"ACK", 5));
    assert!(!lag.add_control(b"ACK", 5), "bounded");
    lag.set_pong(Bytes::from_static(b"old"));
    lag.set_pong(Bytes::from_static(b"new"));
    let mut wire = Narrow { room: 0, got: vec![] };
    while lag.flush(1, Some(&ring), &mut wire, 0, &mut SendTally::default()) == Flushed::Blocked {
        wire.room = 1;
    }
    assert_eq!(wire.got, [&[7; 7][..], b"ACKnew", &[8; 10]].concat());
}
