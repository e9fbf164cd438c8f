//! Pages of the past have the content of the live frames.

use super::lagging::LaggingLog;
use super::posts::open;
use super::rig::{JSON, Rig, TICK_US, decode_bytes, settings};
use super::{asking, comment, conn};
use crate::limits::{RESUME_BYTES_MAX, RESUME_EVENTS_MAX};
use crate::log::{Limit, Log, ReadError, Retention};
use crate::protocol::event::Event;
use crate::protocol::frame::{Frame, FrameEvent, ShedClass};
use crate::protocol::ids::Offset;
use crate::protocol::kind::Tally;
use crate::protocol::message::{ResumeFailure, ServerMessage};
use crate::protocol::page::EncodedPage;
use crate::protocol::variant::{Encoding, Variant};
use crate::room::actor::ActorSettings;
use crate::room::core::board::ENDED_MAX;
use crate::room::past::resume::{Space, page, stretch};
use proptest::prelude::*;
use std::sync::atomic::Ordering;

impl Rig {
    /// The page after `after`, of at most `events` records.
    pub(super) fn page(&self, after: Offset, events: usize, variant: Variant) -> Result<Frame, ResumeFailure> {
        let request = self.actor.page_request(after, variant).expect("something after it");
        let space = Space { events: events.min(Space::WHOLE.events), ..Space::WHOLE };
        let stretch = stretch(&*self.log, &self.handle.id, &request, space)?;
        let page = EncodedPage::new(&stretch, variant, &settings().deflate);
        let copy = page.copy(5, 6).concat();
        let ServerMessage::Frame(frame) = decode_bytes(&copy, variant.encoding) else { panic!("no frame") };
        assert_eq!((frame.prev, frame.last), (page.prev, page.last));
        assert_eq!((frame.likes, frame.online), (5, 6), "the totals of the copy");
        Ok(frame)
    }

    /// All pages after `after`, each of at most `events` records.
    pub(super) fn pages(&self, after: Offset, events: usize, variant: impl Into<Variant>) -> Vec<Frame> {
        let mut pages = Vec::new();
        let (mut at, variant) = (after, variant.into());
        while self.actor.page_request(at, variant).is_some() {
            let frame = self.page(at, events, variant).unwrap();
            assert_eq!(frame.prev, at);
            assert!(frame.last > at && frame.last - at <= events as u64);
            at = frame.last;
            pages.push(frame);
        }
        pages
    }

    /// Comments of another node, with the log time of the batch before.
    fn foreign(&mut self, count: usize, text: &str) {
        self.log.foreign((0..count).map(|_| Event::Comment(comment("u", text))).collect());
        self.run_for(TICK_US);
    }
}

/// The shown and left-out events of frames, and their digests.
fn told(frames: &[Frame]) -> (Vec<&FrameEvent>, u64, Option<(Offset, u64)>) {
    let shed = frames.iter().filter_map(|frame| frame.shed.get(&ShedClass::Normal)).sum();
    let end = frames.last().map(|frame| (frame.last, frame.digest.0));
    (frames.iter().flat_map(|frame| &frame.events).collect(), shed, end)
}

#[derive(Clone, Debug)]
enum Step {
    /// Comments of this node, in a batch with its own log time.
    Ours(u8),
    /// Comments of another node at the log time of the batch before, each with one of few ids, so most are void.
    Foreign(Vec<u8>),
    Likes,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..9_u8).prop_map(Step::Ours),
        3 => prop::collection::vec(0..40_u8, 1..9).prop_map(Step::Foreign),
        1 => Just(Step::Likes),
        4 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 1..50)
}

proptest! {
    #[test]
    fn pages_of_any_length_from_any_frame_have_the_content_of_live_frames(steps in steps(), step in 1..12_usize, all in 1..7_usize) {
        let mut rig = Rig::watched(LaggingLog::instant(), ActorSettings { frame_events_max: all, ..settings() });
        let mut said = 0;
        for one in steps.into_iter().chain([Step::Ours(1), Step::Tick]) {
            match one {
                Step::Ours(count) => for _ in 0..count {
                    said += 1;
                    rig.actor.comment(conn(1), asking(&format!("ours-{said}"), "x"), rig.now_us, &mut rig.out);
                },
                Step::Foreign(ids) => {
                    rig.log.foreign(ids.iter().map(|id| Event::Comment(asking(&format!("id-{id}"), "x"))).collect());
                    rig.run();
                }
                Step::Likes => rig.actor.like(conn(1), 2, rig.now_us, &mut rig.out),
                Step::Tick => drop(rig.run_for(TICK_US)),
            }
        }
        rig.run_for(TICK_US);
        let live = rig.frames();
        for (n, frame) in live.iter().enumerate().filter(|(_, frame)| frame.last > frame.prev) {
            for (encoding, step) in [(Encoding::Json, step), (Encoding::Msgpack, usize::MAX)] {
                let pages = rig.pages(frame.prev, step, encoding);
                prop_assert_eq!(told(&pages), told(&live[n..]), "from {} in steps of {}", frame.prev, step);
            }
        }
    }
}

#[test]
fn a_page_is_bounded_by_events_and_ends_with_a_log_time() {
    let mut rig = Rig::watched(LaggingLog::instant(), ActorSettings { frame_events_max: usize::MAX, ..settings() });
    let half = RESUME_EVENTS_MAX * 2 / 3;
    for _ in 0..4 {
        rig.foreign(half, "a batch is a log time");
    }
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let pages = rig.pages(0, usize::MAX, encoding);
        assert!(pages.iter().all(|page| page.events.len() == half), "each ends where the next log time would not fit");
        assert_eq!(pages.len(), 4);
    }
    rig.foreign(2 * RESUME_EVENTS_MAX, "of the same log time");
    let pages = rig.pages(0, usize::MAX, Encoding::Json);
    assert!(pages.iter().all(|page| page.events.len() <= RESUME_EVENTS_MAX));
    assert_eq!(told(&pages).0.len(), 4 * half + 2 * RESUME_EVENTS_MAX);
}

#[test]
fn a_page_is_bounded_by_bytes_of_its_events() {
    let long = "字".repeat(512);
    let mut rig = Rig::watched(LaggingLog::instant(), ActorSettings { frame_events_max: usize::MAX, ..settings() });
    rig.foreign(1_000, &long);
    let pages = rig.pages(0, usize::MAX, Encoding::Json);
    assert_eq!(told(&pages).0.len(), 1_000);
    for page in &pages {
        let bytes = serde_json::to_vec(page).unwrap().len();
        assert!(bytes <= RESUME_BYTES_MAX + RESUME_BYTES_MAX / 8, "{bytes} bytes");
    }
    assert!(pages.len() <= 1_000 * 1_800 / RESUME_BYTES_MAX + 1, "{} pages are too small", pages.len());

    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.foreign(1_000, &long);
    let pages = rig.pages(0, usize::MAX, Encoding::Json);
    let (shown, shed, _) = told(&pages);
    assert_eq!((shown.len(), shed), (10, 990));
    assert!(pages.len() <= 2, "events left out take no space in pages");
}

#[test]
fn a_page_never_tells_more_than_frames_have_told() {
    let mut rig = Rig::watched(LaggingLog::new(), settings());
    rig.log.foreign(vec![Event::Comment(asking("a", "framed"))]);
    rig.run();
    rig.log.foreign(vec![Event::Comment(asking("b", "waits"))]);
    rig.run();
    let page = rig.page(0, usize::MAX, JSON).unwrap();
    assert_eq!((page.last, page.events.len()), (1, 1));
    assert!(rig.actor.page_request(1, JSON).is_none());
    rig.run_for(TICK_US);
    assert!(rig.actor.page_request(1, JSON).is_some());
}

#[test]
fn a_page_is_one_read_of_the_log() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    for _ in 0..20 {
        rig.actor.comment(conn(1), comment("u", "x"), rig.now_us, &mut rig.out);
        rig.run_for(TICK_US);
    }
    let before = rig.log.reads.load(Ordering::Relaxed);
    rig.page(7, usize::MAX, JSON).unwrap();
    assert_eq!(rig.log.reads.load(Ordering::Relaxed) - before, 1);
}

#[test]
fn positions_before_retention_are_too_old_and_the_oldest_page_is_whole() {
    let retention = Retention { age_ms: u64::MAX, events: 5, bytes: usize::MAX };
    let mut rig = Rig::watched(LaggingLog::instant(), ActorSettings { retention, ..settings() });
    for _ in 0..10 {
        rig.actor.comment(conn(1), comment("u", "x"), rig.now_us, &mut rig.out);
        rig.run_for(TICK_US);
    }
    let first = rig.log.head(&rig.handle.id).unwrap().unwrap().first;
    assert_eq!(rig.log.read(&rig.handle.id, first - 2, Limit::events(1)), Err(ReadError::TooOld { first }));
    for after in 0..first - 1 {
        assert_eq!(rig.page(after, usize::MAX, JSON).unwrap_err(), ResumeFailure::TooOld, "{after}");
    }
    let page = rig.page(first - 1, usize::MAX, JSON).unwrap();
    assert_eq!((page.prev, page.last, page.events.len()), (first - 1, 10, 5));
}

#[test]
fn a_log_that_cannot_be_read_is_unavailable_not_empty() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.foreign(3, "x");
    rig.arrive(JSON);
    let mut request = rig.actor.page_request(0, JSON).unwrap();
    request.upto = 99;
    let other = crate::protocol::ids::RoomId::new("unknown").unwrap();
    assert_eq!(page(&*rig.log, &other, &request, &settings().deflate).unwrap_err(), ResumeFailure::Unavailable);
    request.after = 3;
    assert_eq!(
        page(&*rig.log, &rig.handle.id, &request, &settings().deflate).unwrap_err(),
        ResumeFailure::Unavailable,
        "lost its end"
    );
}

#[test]
fn a_page_has_the_last_tallies_of_polls_with_votes_or_an_end_in_it_and_no_others() {
    let mut rig = Rig::watched(LaggingLog::instant(), settings());
    rig.post(0, vec![open("first")]); // 1
    rig.run_for(TICK_US);
    rig.vote(1, "u", "first", 1); // 2
    rig.run_for(TICK_US);
    rig.foreign(1, "nothing of polls"); // 3
    rig.post(0, vec![open("second")]); // 4: closes the first
    rig.run_for(20 * TICK_US);
    let tallies = |rig: &Rig, after, events| {
        let page = rig.page(after, events, JSON).unwrap();
        let tally = |tally: Tally| (tally.id.as_str().to_owned(), tally.votes, tally.open);
        page.tallies.into_iter().map(tally).collect::<Vec<_>>()
    };
    let first = ("first".to_owned(), vec![0, 1], false);
    assert_eq!(tallies(&rig, 0, 1), std::slice::from_ref(&first), "as it stands now");
    assert_eq!(tallies(&rig, 1, 1), std::slice::from_ref(&first), "its vote");
    assert_eq!(tallies(&rig, 2, 1), []);
    assert_eq!(tallies(&rig, 3, 1), [first, ("second".to_owned(), vec![0, 0], true)], "the first is over here");
    for n in 0..ENDED_MAX {
        rig.post(0, vec![open(&format!("p{n}"))]);
        rig.run_for(TICK_US);
    }
    assert_eq!(tallies(&rig, 0, 1), [], "forgotten, because the limit is reached");
    assert_eq!(tallies(&rig, 3, 1), [("second".to_owned(), vec![0, 0], false)]);
}
