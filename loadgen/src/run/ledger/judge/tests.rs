//! Histories of two processes with three viewers each, mutated in one place at a time.

use super::*;
use crate::clock::{CommentId, numbering};
use crate::run::ledger::AckedComment;
use crate::run::ledger::book::{Book, Met, ViewerPlace};
use volley::protocol::event::Comment;
use volley::protocol::frame::{Frame, FrameEvent, Raise, ShedClass, What};
use volley::protocol::ids::{ClientId, Hex64, RoomId};
use volley::protocol::kind::{Gift, Kind};
use volley::protocol::message::{Ack, Gap, GapReason, Snapshot, Welcome};
use volley::protocol::user::{Role, User};
use volley::protocol::variant::Rendition;

const TAG: u16 = 9;
const FRAMES: u64 = 12;

fn comment(offset: Offset) -> FrameEvent {
    let number = numbering(TAG, 0) + offset;
    let comment = Comment {
        user: User { id: "u".into(), name: "n".into(), role: Role::Guest },
        id: ClientId::new(&CommentId { sent_ns: 1, number }.text()),
        text: "t".into(),
        style: Default::default(),
        media_ms: None,
        ext: None,
        first: false,
        deleted: false,
        posted: None,
        left: None,
    };
    FrameEvent::comment(offset, comment)
}

fn gift(offset: Offset) -> FrameEvent {
    let user = User { id: "u".into(), name: "n".into(), role: Role::Guest };
    let gift = Gift { user, name: "rose".into(), count: 1, value: 1, combo: None, total: None };
    FrameEvent::new(offset, What::Kind(Kind::Gift(gift)))
}

/// Frame `n` covers ten offsets: comments at the 2nd, 4th and 7th, the 5th shed, a gift at the 6th, the 8th is one with
/// the 7th, the 9th with the 7th of the frame before (of the first, with the 2nd); the rest is not shown.
fn frame(n: u64) -> Frame {
    let prev = n * 10;
    let grown = if n == 0 { 2 } else { prev - 3 };
    let mut events: Vec<FrameEvent> = [2, 4].into_iter().map(|i| comment(prev + i)).collect();
    events.push(gift(prev + 6));
    let mut seventh = comment(prev + 7);
    let What::Comment(shown) = &mut seventh.what else { panic!("it is a comment") };
    shown.times = 2;
    events.push(seventh);
    events.push(FrameEvent::new(grown, What::Raise(Raise { offset: grown, by: 1, times: 3 })));
    Frame {
        prev,
        last: prev + 10,
        at: 0,
        digest: Hex64(n * 77 + 1),
        likes: n,
        online: 6,
        events,
        shed: [(ShedClass::Normal, 1)].into(),
        ..Frame::default()
    }
}

/// The frames of one viewer.
enum Sent {
    Frame(Box<Frame>),
    Gap(Offset, Offset),
    Heartbeat(Offset),
}

fn deliver(book: &mut Book, place: &mut ViewerPlace, sent: &Sent) -> Option<Met> {
    match sent {
        Sent::Frame(frame) => {
            let payload = serde_json::to_vec(frame).unwrap();
            let index = book.recognise(place, &payload).unwrap_or_else(|| book.record(place, &payload, frame));
            Some(book.take(place, index))
        }
        Sent::Gap(from, to) => {
            book.gap(place, &Gap::new(*from, *to, GapReason::Slow));
            None
        }
        Sent::Heartbeat(last) => {
            book.heartbeat(place, *last);
            None
        }
    }
}

fn welcome(last: Offset) -> Welcome {
    Welcome {
        room: RoomId::new("r").unwrap(),
        session: Hex64(1),
        you: User { id: "u".into(), name: "n".into(), role: Role::Guest },
        recovered: false,
        reason: None,
        rendition: Rendition::Viewer,
        epoch: Hex64(5),
        last,
        tick_ms: 100,
        snapshot: Snapshot::default(),
    }
}

/// Runs the history; `mutate` changes the frames of the first viewer. The third viewer of each process
/// joins at the fourth frame.
fn verdict(mutate: impl Fn(&mut Vec<Sent>)) -> LedgerVerdict {
    let mut books = [Book::new(TAG), Book::new(TAG)];
    for (b, book) in books.iter_mut().enumerate() {
        for viewer in 0..3u64 {
            let first = if viewer == 2 { 3 } else { 0 };
            let mut place = book.welcome(&welcome(first * 10));
            let mut sent: Vec<Sent> = (first..FRAMES).map(|n| Sent::Frame(Box::new(frame(n)))).collect();
            if b == 0 && viewer == 0 {
                mutate(&mut sent);
            }
            for sent in &sent {
                deliver(book, &mut place, sent);
            }
            book.leave(&place, false);
        }
    }
    let mut evidence = books.map(Book::into_evidence);
    for n in 0..FRAMES {
        let grown = if n == 0 { 2 } else { n * 10 - 3 };
        for (i, outcome, into) in [
            (2, Outcome::Shown, None),
            (4, Outcome::Shown, None),
            (5, Outcome::Shed, None),
            (7, Outcome::Shown, None),
            (8, Outcome::Merged, Some(n * 10 + 7)),
            (9, Outcome::Merged, Some(grown)),
        ] {
            let offset = n * 10 + i;
            evidence[1].acks.push(AckedComment { number: numbering(TAG, 0) + offset, offset, outcome, into });
        }
    }
    // As it travels between processes.
    let text = serde_json::to_string(&evidence).unwrap();
    let evidence: Vec<Evidence> = serde_json::from_str(&text).unwrap();
    let posted: Vec<Offset> = (0..FRAMES).map(|n| n * 10 + 6).collect();
    judge(&evidence, &posted, FRAMES * 10)
}

fn raise(frame: &mut Frame) -> &mut Raise {
    let raises =
        frame.events.iter_mut().find_map(|e| if let What::Raise(raise) = &mut e.what { Some(raise) } else { None });
    raises.expect("each frame has one")
}

/// The frame's merged comment stands for `times` comments.
fn times(frame: &mut Frame, times: u64) {
    let merged = frame.events.iter_mut().find_map(|e| match &mut e.what {
        What::Comment(shown) if shown.times > 1 => Some(shown),
        _ => None,
    });
    merged.expect("each frame has one").times = times;
}

fn edit(sent: &mut [Sent], n: usize, change: impl Fn(&mut Frame)) {
    match &mut sent[n] {
        Sent::Frame(frame) => change(frame),
        Sent::Gap(..) | Sent::Heartbeat(_) => panic!("frame {n} was replaced"),
    }
}

#[test]
fn an_unmutated_history_is_whole() {
    let v = verdict(|_| {});
    let viewer_frames = 4 * 12 + 2 * 9;
    assert_eq!((v.expected, v.delivered, v.shed), (viewer_frames * 6, viewer_frames * 3, viewer_frames));
    assert_eq!((v.merged, v.posts_expected), (viewer_frames * 2, viewer_frames));
    assert_eq!(v.violations(), []);
    assert_eq!((v.frames_distinct, v.likes_gained), (12, 11));
}

#[test]
fn every_single_dropped_frame_is_missing_exactly() {
    for n in 0..FRAMES as usize {
        let v = verdict(|sent| drop(sent.remove(n)));
        assert_eq!((v.missing, v.unaccounted, v.duplicates), (6, 0, 0), "frame {n}");
        // The last frame leaves no hole, only an early end.
        assert_eq!(v.holes, u64::from(n + 1 < FRAMES as usize), "frame {n}");
    }
}

#[test]
fn every_single_repeated_frame_is_a_duplicate() {
    for n in 0..FRAMES as usize {
        let v = verdict(|sent| sent.insert(n + 1, Sent::Frame(Box::new(frame(n as u64)))));
        assert_eq!((v.missing, v.unaccounted, v.duplicates), (0, 0, 3), "frame {n}");
    }
}

#[test]
fn every_swap_of_two_frames_breaks_the_order_and_loses_nothing() {
    for n in 0..FRAMES as usize - 1 {
        let v = verdict(|sent| sent.swap(n, n + 1));
        assert_eq!((v.missing, v.unaccounted, v.duplicates), (0, 0, 0), "frame {n}");
        assert_eq!(v.order_violations, 2, "frame {n}: one came early, one late");
    }
}

#[test]
fn a_gap_accounts_for_exactly_its_stretch() {
    let gap = |from: Offset, to: Offset| {
        verdict(move |sent| {
            sent.splice(3..6, [Sent::Gap(from, to)]);
        })
    };
    let v = gap(30, 60);
    assert_eq!((v.violations(), v.gap_announced, v.gaps), (vec![], 18, 1));
    let short = gap(30, 50);
    assert_eq!((short.gap_announced, short.missing, short.unaccounted), (12, 6, 0));
    let late = gap(40, 60);
    assert_eq!((late.gap_announced, late.missing, late.unaccounted), (12, 6, 0));
}

#[test]
fn a_heartbeat_ahead_of_the_viewer_is_a_hole() {
    let v = verdict(|sent| sent[FRAMES as usize - 1] = Sent::Heartbeat(FRAMES * 10));
    assert_eq!((v.missing, v.holes, v.unaccounted), (6, 1, 0));
    assert_eq!(verdict(|sent| sent.push(Sent::Heartbeat(FRAMES * 10))).violations(), []);
}

#[test]
fn a_changed_frame_is_reported_under_the_matching_rule() {
    let v = verdict(|sent| edit(sent, 5, |f| f.digest = Hex64(1)));
    assert_eq!(v.violations(), [("digest conflicts", 1)]);
    let v = verdict(|sent| edit(sent, 5, |f| drop(f.events.remove(1))));
    assert_eq!(v.violations(), [("missing", 1)]);
    let v = verdict(|sent| edit(sent, 5, |f| f.shed.clear()));
    assert_eq!(v.violations(), [("missing", 1)]);
    let v = verdict(|sent| edit(sent, 5, |f| f.shed.extend([(ShedClass::Low, 2)])));
    assert_eq!(v.violations(), [("shed or merged overstated", 2)]);
    let v = verdict(|sent| edit(sent, 5, |f| drop(f.events.pop())));
    assert_eq!(v.violations(), [("missing", 1)], "a raise is gone");
    let v = verdict(|sent| edit(sent, 5, |f| raise(f).by = 2));
    assert_eq!(v.violations(), [("shed or merged overstated", 1)]);
    let v = verdict(|sent| edit(sent, 5, |f| times(f, 1)));
    assert_eq!(v.violations(), [("missing", 1)]);
    let v = verdict(|sent| edit(sent, 5, |f| times(f, 4)));
    assert_eq!(v.violations(), [("shed or merged overstated", 2)]);
    let v = verdict(|sent| edit(sent, 5, |f| drop(f.events.remove(2))));
    assert_eq!(v.violations(), [("guaranteed events missing", 1)]);
    let v = verdict(|sent| edit(sent, 5, |f| f.events.swap(0, 1)));
    assert_eq!(v.violations(), [("malformed frames", 1)]);
    let v = verdict(|sent| edit(sent, 5, |f| f.events[0].offset = 9));
    assert!(v.malformed_frames == 1 && v.contradictions > 0, "{v:?}");
    let v = verdict(|sent| edit(sent, 5, |f| f.events[0] = FrameEvent { offset: 52, ..comment(54) }));
    assert!(v.contradictions > 0, "one offset with two comments: {v:?}");
    let v = verdict(|sent| edit(sent, 5, |f| f.likes = 1));
    assert_eq!(v.violations(), [("likes fell", 1)]);
}

#[test]
fn an_overlapping_frame_delivers_its_new_part_once() {
    let mut book = Book::new(TAG);
    let mut place = book.welcome(&welcome(0));
    deliver(&mut book, &mut place, &Sent::Frame(Box::new(frame(0))));
    let wide = Frame { prev: 5, last: 20, events: vec![comment(7), comment(12), comment(14), comment(17)], ..frame(1) };
    assert_eq!(deliver(&mut book, &mut place, &Sent::Frame(Box::new(wide))), Some(Met::New));
    let e = book.evidence();
    assert_eq!((e.delivered, e.duplicates, e.order_violations, place.at), (6, 1, 1, 20));
}

#[test]
fn a_different_epoch_is_noticed_across_processes() {
    let evidence = |epoch| Evidence { epoch: Some(epoch), ..Evidence::default() };
    assert_eq!(judge(&[evidence(1), evidence(1)], &[], 0).epoch_changes, 0);
    assert_eq!(judge(&[evidence(1), evidence(2)], &[], 0).epoch_changes, 1);
}

/// Other clients continue after the end of the run: only comments that every viewer had to receive can be missing.
#[test]
fn a_viewer_may_leave_before_others_once_it_has_all_that_it_was_waited_for() {
    let mut book = Book::new(TAG + 1);
    for (viewer, frames) in [3, 5, 4].into_iter().enumerate() {
        let mut place = book.welcome(&welcome(if viewer == 0 { 0 } else { 10 }));
        for n in u64::from(viewer > 0)..frames {
            deliver(&mut book, &mut place, &Sent::Frame(Box::new(frame(n))));
        }
        book.leave(&place, false);
    }
    let evidence = [book.into_evidence()];
    assert_eq!(judge(&evidence, &[], 30).violations(), []);
    let each = frame(3).events.iter().filter(|event| event.as_comment().is_some()).count() as u64;
    assert_eq!(judge(&evidence, &[], 40).violations(), [("missing", each)]);
}

/// A viewer that receives a lighter rendition in the middle gets counts instead of comments, and every guaranteed
/// event.
#[test]
fn a_lighter_rendition_is_accounted_for_by_its_counts() {
    let light = |n: u64| {
        let mut frame = frame(n);
        frame.events.retain(|e| matches!(e.what, What::Kind(_)));
        frame.shed.insert(ShedClass::Normal, 6);
        frame
    };
    let run = |change: &dyn Fn(&mut Frame)| {
        let mut book = Book::new(TAG);
        for viewer in 0..2 {
            let mut place = book.welcome(&welcome(0));
            for n in 0..FRAMES {
                let is_light = viewer == 1 && (4..9).contains(&n);
                place.rendition = if is_light { Rendition::Lite } else { Rendition::Viewer };
                let mut sent = if is_light { light(n) } else { frame(n) };
                if is_light {
                    change(&mut sent);
                }
                deliver(&mut book, &mut place, &Sent::Frame(Box::new(sent)));
            }
            book.leave(&place, false);
        }
        for n in 0..FRAMES {
            for (i, outcome) in [(2, Outcome::Shown), (5, Outcome::Shed), (8, Outcome::Merged), (9, Outcome::Merged)] {
                let offset = n * 10 + i;
                let number = numbering(TAG, 0) + offset;
                book.ack(number, &Ack { id: ClientId::new("x").unwrap(), offset, outcome, into: None });
            }
        }
        judge(&[book.into_evidence()], &[56], FRAMES * 10)
    };
    let v = run(&|_| {});
    assert_eq!((v.violations(), v.posts_expected), (vec![], 2));
    let v = run(&|frame| {
        frame.shed.insert(ShedClass::Normal, 5);
    });
    assert_eq!(v.violations(), [("missing", 5)]);
    let v = run(&|frame| frame.events.clear());
    assert_eq!(v.violations(), [("guaranteed events missing", 1)]);
}
