//! Random histories through the memory log and the core.

use super::comment;
use crate::limits::OFFSET_MAX;
use crate::log::memory::MemoryLog;
use crate::log::{Base, Delivery, Limit, Log, Record, Retention, Sink, digest};
use crate::protocol::encode;
use crate::protocol::event::Event;
use crate::protocol::frame::Outcome;
use crate::protocol::frame::{Frame, ShedClass};
use crate::protocol::ids::{Offset, RoomId};
use crate::protocol::message::ServerMessage;
use crate::protocol::variant::Encoding;
use crate::room::core::{Applied, Core, CoreSettings, Wanted};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    /// Comments by this many users.
    Comments(Vec<u8>),
    Likes(u64),
    Append,
    Retain(usize),
    Tick {
        after_us: u64,
        online: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..12).prop_map(Step::Comments),
        2 => prop_oneof![9 => 1..1_000_u64, 1 => any::<u64>()].prop_map(Step::Likes),
        3 => Just(Step::Append),
        1 => (0..60_usize).prop_map(Step::Retain),
        4 => (0..400_000_u64, 0..4_u64).prop_map(|(after_us, online)| Step::Tick { after_us, online }),
    ];
    prop::collection::vec(step, 0..80)
}

const COUNTERS_US_MAX: u64 = 1_000_000;

fn shapes() -> impl Strategy<Value = CoreSettings> {
    (0..8_usize, 0..6_usize, 0..=COUNTERS_US_MAX).prop_map(|(frame_events_max, snapshot_events, counters_us)| {
        CoreSettings {
            frame_events_max,
            snapshot_events,
            counters_us,
            room: crate::protocol::settings::RoomSettings::unlimited(100),
        }
    })
}

#[derive(Default)]
struct Delivered(Mutex<Vec<Record>>);

impl Sink for Delivered {
    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        let Delivery::Appended { records, .. } = delivery else { panic!("{delivery:?}") };
        self.0.lock().extend(records.iter().cloned());
        Ok(())
    }
}

struct Played {
    core: Core,
    frames: Vec<(u64, Frame)>,
    /// After each tick: the frame, and the applied records.
    ticks: Vec<(Offset, Offset)>,
    outcomes: Vec<Outcome>,
    records: Vec<Record>,
    /// The records that retention kept.
    kept: Vec<Record>,
}

fn play(steps: &[Step], shape: CoreSettings) -> Played {
    let (log, room, sink) = (MemoryLog::new(1, 1), RoomId::new("r").unwrap(), Arc::new(Delivered::default()));
    let head = log.open(&room, sink.clone()).unwrap().head;
    let mut played = Played {
        core: Core::new(shape.clone(), head.epoch),
        frames: Vec::new(),
        ticks: Vec::new(),
        outcomes: Vec::new(),
        records: Vec::new(),
        kept: Vec::new(),
    };
    let (mut batch, mut now_us, mut ticket) = (Vec::new(), 0, 0);
    // At the last tick counters are due, whatever happened before.
    let last = [Step::Append, Step::Tick { after_us: COUNTERS_US_MAX, online: 1 }];
    for step in steps.iter().chain(&last) {
        match step {
            Step::Comments(users) => {
                batch.extend(users.iter().map(|user| Event::Comment(comment(&format!("u{user}"), "text"))));
            }
            Step::Likes(add) => batch.push(Event::Likes { add: *add }),
            Step::Append => {
                ticket += 1;
                log.append(&room, ticket, std::mem::take(&mut batch), now_us / 1_000).unwrap();
                let records = std::mem::take(&mut *sink.0.lock());
                apply(&mut played.core, &records, &mut played.outcomes);
                played.records.extend(records);
            }
            Step::Retain(events) => {
                let retention = Retention { age_ms: u64::MAX, events: *events, bytes: usize::MAX };
                log.retain(&room, &retention, 0, played.core.base());
            }
            Step::Tick { after_us, online } => {
                now_us += after_us;
                let frame = played.core.tick(now_us, now_us / 1_000, *online, Wanted::default());
                played.ticks.push((played.core.framed().last, played.core.last()));
                played.frames.extend(frame.map(|frames| (now_us, frames.viewer)));
            }
        }
    }
    let first = log.head(&room).unwrap().unwrap().first;
    played.kept = log.read(&room, first - 1, Limit::events(usize::MAX)).unwrap();
    played
}

/// Applies records as batches: each log time whole.
fn apply(core: &mut Core, records: &[Record], outcomes: &mut Vec<Outcome>) {
    for batch in records.chunk_by(|one, next| one.at_ms == next.at_ms) {
        let is_comment = |record: &&Record| core.apply(record) == Applied::Comment;
        let comments: Vec<_> = batch.iter().filter(is_comment).map(|record| record.offset).collect();
        core.complete();
        outcomes.extend(comments.iter().map(|offset| core.fate(*offset).unwrap().outcome()));
    }
}

fn fold(records: &[Record]) -> (u64, u64, crate::protocol::ids::Digest) {
    let mut likes = 0_u64;
    let mut checksum = digest::EMPTY;
    for record in records {
        if let Event::Likes { add } = record.event {
            likes = likes.saturating_add(add).min(OFFSET_MAX);
        }
        checksum = digest::extend(checksum, record.offset, &record.event);
    }
    (records.last().map_or(0, |record| record.offset), likes, checksum)
}

proptest! {
    #[test]
    fn frames_chain_without_a_hole_and_totals_never_fall(steps in steps(), shape in shapes()) {
        let played = play(&steps, shape.clone());
        let (mut last, mut likes) = (0, 0);
        for (_, frame) in &played.frames {
            prop_assert_eq!(frame.prev, last);
            prop_assert!(frame.last >= frame.prev && frame.likes >= likes);
            let mut offset = frame.prev;
            for event in &frame.events {
                prop_assert!(event.offset > offset && event.offset <= frame.last);
                offset = event.offset;
            }
            (last, likes) = (frame.last, frame.likes);
        }
        prop_assert_eq!((last, likes), (played.core.last(), played.core.likes()), "the last tick told everything");
    }

    #[test]
    fn likes_alone_wait_for_their_time_and_comments_for_nothing(steps in steps(), shape in shapes()) {
        let played = play(&steps, shape.clone());
        let is_comment = |record: &&Record| matches!(record.event, Event::Comment(_));
        let mut before_us = None;
        for (at_us, frame) in &played.frames {
            let told = played.records.iter().filter(|record| record.offset > frame.prev && record.offset <= frame.last);
            if told.clone().filter(is_comment).count() == 0 && let Some(before_us) = before_us {
                prop_assert!(at_us - before_us >= shape.counters_us, "{} µs after the frame before", at_us - before_us);
            }
            before_us = Some(*at_us);
        }
        for &(told, applied) in &played.ticks {
            let left = played.records.iter().filter(|record| record.offset > told && record.offset <= applied);
            prop_assert_eq!(left.filter(is_comment).count(), 0, "comments that a tick left for later");
        }
    }

    #[test]
    fn every_comment_is_shown_or_counted_as_shed(steps in steps(), shape in shapes()) {
        let played = play(&steps, shape.clone());
        let inside = |from: u64, to: u64| {
            let inside = move |r: &&Record| r.offset > from && r.offset <= to && matches!(r.event, Event::Comment(_));
            played.records.iter().filter(inside)
        };
        let (mut shown, mut shed) = (0, 0);
        for (_, frame) in &played.frames {
            let left_out = frame.shed.get(&ShedClass::Normal).copied().unwrap_or(0);
            let comments = inside(frame.prev, frame.last).count() as u64;
            prop_assert_eq!(frame.events.len() as u64 + left_out, comments);
            let times: std::collections::BTreeSet<_> = inside(frame.prev, frame.last).map(|r| r.at_ms).collect();
            prop_assert!(frame.events.len() <= shape.frame_events_max * times.len());
            shown += frame.events.len();
            shed += left_out;
        }
        prop_assert_eq!(played.outcomes.iter().filter(|o| **o == Outcome::Shown).count(), shown);
        prop_assert_eq!(played.outcomes.iter().filter(|o| **o == Outcome::Shed).count() as u64, shed);
        prop_assert_eq!((played.core.comments(), played.core.shed()), (played.outcomes.len() as u64, shed));
    }

    #[test]
    fn digest_and_likes_follow_from_the_log_alone(steps in steps(), shape in shapes()) {
        let played = play(&steps, shape.clone());
        let (last, likes, checksum) = fold(&played.records);
        prop_assert_eq!((played.core.last(), played.core.likes(), played.core.digest()), (last, likes, checksum));
        for (_, frame) in &played.frames {
            let upto = played.records.partition_point(|record| record.offset <= frame.last);
            let (_, likes, checksum) = fold(&played.records[..upto]);
            prop_assert_eq!((frame.likes, frame.digest), (likes, checksum), "wherever the ticks fell");
        }
    }

    #[test]
    fn a_replay_reaches_the_same_state(steps in steps(), shape in shapes()) {
        let steps: Vec<_> = steps.into_iter().filter(|step| !matches!(step, Step::Retain(_))).collect();
        let played = play(&steps, shape.clone());
        let mut replayed = Core::new(shape.clone(), played.core.epoch());
        let mut outcomes = Vec::new();
        for record in &played.kept {
            replayed.apply(record);
            replayed.settle();
        }
        replayed.complete();
        replayed.settle();
        let mut again = Core::new(shape.clone(), played.core.epoch());
        apply(&mut again, &played.kept, &mut outcomes);
        prop_assert_eq!(&outcomes, &played.outcomes, "the same are shown, wherever frames ended");
        prop_assert_eq!(
            (replayed.last(), replayed.likes(), replayed.digest(), replayed.comments()),
            (played.core.last(), played.core.likes(), played.core.digest(), played.core.comments())
        );
        prop_assert_eq!(replayed.tick(u64::MAX, 0, 0, Wanted::default()), None, "a replay leaves nothing to tell");
        let unchanged = format!("{replayed:?}");
        for record in &played.kept {
            replayed.apply(record);
        }
        prop_assert_eq!(format!("{replayed:?}"), unchanged, "records that were applied before change nothing");
    }

    #[test]
    fn a_base_and_the_records_after_it_make_the_same_state(steps in steps(), shape in shapes(), cut in 0..1_000_usize) {
        let steps: Vec<_> = steps.into_iter().filter(|step| !matches!(step, Step::Retain(_))).collect();
        let played = play(&steps, shape.clone());
        // A base covers whole batches.
        let batches: Vec<_> = played.kept.chunk_by(|one, next| one.at_ms == next.at_ms).collect();
        let cut = batches[..cut.min(batches.len())].iter().map(|batch| batch.len()).sum();
        let (before, after) = played.kept.split_at(cut);
        let mut first = Core::new(shape.clone(), played.core.epoch());
        for record in before {
            first.apply(record);
        }
        first.complete();
        let base: Base = first.base();
        let mut second = Core::new(shape.clone(), played.core.epoch());
        second.begin(&base, first.digest()).unwrap();
        before.iter().for_each(|record| second.remember(record));
        second.complete();
        second.settle();
        first.settle();
        let told = |core: &Core| (core.base(), core.last(), core.digest(), core.snapshot(3, 99, 0));
        prop_assert_eq!(told(&first), told(&second));
        for batch in after.chunk_by(|one, next| one.at_ms == next.at_ms) {
            let frames = [&mut first, &mut second].map(|core| {
                batch.iter().for_each(|record| {
                    core.apply(record);
                });
                core.complete();
                let frames = core.tick(u64::MAX, 0, 0, Wanted { lite: true, full: true });
                core.settle();
                (frames, core.base())
            });
            prop_assert_eq!(&frames[0], &frames[1]);
        }
    }

    #[test]
    fn the_same_history_makes_the_same_bytes(steps in steps(), shape in shapes()) {
        let bytes = |encoding| -> Vec<Vec<u8>> {
            let frames = play(&steps, shape.clone()).frames;
            frames.into_iter().map(|(_, frame)| encode::payload(&ServerMessage::Frame(frame), encoding)).collect()
        };
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            prop_assert_eq!(bytes(encoding), bytes(encoding));
        }
    }

    #[test]
    fn offsets_strictly_increase_with_any_retention(steps in steps(), shape in shapes()) {
        let played = play(&steps, shape.clone());
        prop_assert!(played.records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
        prop_assert!(played.records.ends_with(&played.kept), "the kept records are the newest, without a hole");
    }

    #[test]
    fn counters_alone_are_told_rarely_and_no_change_makes_no_frame(steps in steps(), shape in shapes()) {
        let frames = play(&steps, shape.clone()).frames;
        let mut before = (None, 0);
        for (at_us, frame) in &frames {
            if frame.prev == frame.last {
                prop_assert_ne!(frame.online, before.1, "a frame that says nothing new");
                prop_assert!(before.0.is_none_or(|before_us| at_us - before_us >= shape.counters_us));
            }
            before = (Some(*at_us), frame.online);
        }
    }
}
