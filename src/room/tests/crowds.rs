//! Crowded rooms with random users, texts, roles, kinds and settings: the counts of each rendition add up, and its
//! content is the same live, in pages of any length, after a restart and in a replay.

mod deletions;

use super::lagging::LaggingLog;
use super::rig::{Rig, TICK_US, decode, settings};
use super::{comment, conn};
use crate::log::{Limit, Log, Record};
use crate::protocol::codes::ErrorCode;
use crate::protocol::event::{Comment, Event};
use crate::protocol::frame::Outcome;
use crate::protocol::frame::{Frame, FrameEvent, ShedClass, What};
use crate::protocol::ids::{ClientId, Offset};
use crate::protocol::kind::{
    Ballot, Custom, Delete, Enter, Gift, Kind, Pin, Poll, PollClose, Post, Tally, Unpin, Votes,
};
use crate::protocol::message::{Ack, ServerMessage, VoteRequest};
use crate::protocol::settings::{Class, Classed, Merge, RoomSettings, SettingsPatch};
use crate::protocol::user::{Role, User};
use crate::protocol::variant::{Encoding, Rendition, Variant};
use crate::room::actor::{ActorSettings, Effect};
use crate::room::core::select::WINDOW_MS;
use crate::room::core::{Core, CoreSettings};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const TEXTS: [&str; 9] = ["还有吗", "还有吗？", "还有吗！！😭", "666", "666666", "多少钱", "Hello", "hello~", "好"];

#[derive(Clone, Debug)]
enum Step {
    /// Comments to this node: (user, text).
    Say(Vec<(u8, u8)>),
    /// A batch of another node, with posts.
    Kinds(Vec<u8>),
    /// Posts to this node: gifts in combos, polls and votes.
    Own(Vec<u8>),
    /// Comments of another node, in the same form.
    Foreign(Vec<(u8, u8)>),
    Change(SettingsPatch),
    /// One of the newest comments is deleted, or two in one request.
    Delete(u8, Option<u8>),
    Pass(u64),
    Restart,
}

fn patches() -> impl Strategy<Value = SettingsPatch> {
    let merge = prop_oneof![Just(Merge::Off), Just(Merge::Equal), Just(Merge::Near)];
    let of = prop_oneof![
        Just(Classed::Guest),
        Just(Classed::Viewer),
        Just(Classed::Vip),
        Just(Classed::Moderator),
        Just(Classed::Gift),
        Just(Classed::Custom),
        Just(Classed::Enter)
    ];
    let class = prop_oneof![Just(Class::Guaranteed), Just(Class::Normal), Just(Class::Low)];
    let budget = prop::option::of(prop_oneof![Just(0_u32), 1..40_u32]);
    (budget, prop::option::of(merge), prop::collection::btree_map(of, class, 0..3)).prop_map(
        |(budget, merge, classes)| SettingsPatch {
            budget,
            merge,
            classes,
            words: Some(vec!["多少".into()]),
            ..SettingsPatch::default()
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let said = || prop::collection::vec((0..12_u8, any::<u8>()), 1..14);
    let step = prop_oneof![
        5 => said().prop_map(Step::Say),
        2 => said().prop_map(Step::Foreign),
        2 => prop::collection::vec(any::<u8>(), 1..6).prop_map(Step::Kinds),
        2 => prop::collection::vec(any::<u8>(), 1..6).prop_map(Step::Own),
        1 => patches().prop_map(Step::Change),
        3 => (any::<u8>(), prop::option::of(any::<u8>())).prop_map(|(one, other)| Step::Delete(one, other)),
        5 => (1..4_u64).prop_map(|ticks| Step::Pass(ticks * TICK_US)),
        1 => (1_000_000..7_000_000_u64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// One of a few users of every role.
fn said(who: u8, what: u8, number: u64) -> Comment {
    let role = [Role::Host, Role::Moderator, Role::Vip, Role::Viewer].get(usize::from(who)).copied();
    let said = comment(&format!("u{who}"), TEXTS[usize::from(what) % TEXTS.len()]);
    Comment {
        id: ClientId::new(&format!("c{number}")),
        user: User { role: role.unwrap_or_default(), ..said.user.clone() },
        ..said
    }
}

fn kind(n: u8) -> Event {
    let user = comment(&format!("u{}", n % 7), "").user;
    let kind = match n % 6 {
        0 | 1 => Kind::Gift(Gift { user, name: "rose".into(), count: 1, value: 1, combo: None, total: None }),
        2 => Kind::Custom(Custom { name: "a.b".into(), data: serde_json::json!(1).into(), sticky: false }),
        3 => Kind::Enter(Enter { user }),
        4 => Kind::Pin(Pin { text: "x".into(), user: None }),
        5 if n > 128 => {
            let ballots = vec![Ballot { user: "u".into(), option: 0 }];
            return Event::Votes(Votes { poll: ClientId::new("p").unwrap(), ballots });
        }
        _ => Kind::Unpin(Unpin {}),
    };
    Event::Post(Box::new(Post { key: None, kind }))
}

/// A gift in one of a few combos, or the opening or closing of one of two polls.
fn own(n: u8) -> Event {
    let id = |prefix, n: u8| ClientId::new(&format!("{prefix}{}", n % 2)).unwrap();
    let user = comment(&format!("u{}", n % 3), "").user;
    let (combo, count) = (Some(id("x", n / 16)), u64::from(n % 5) + 1);
    let options = vec!["a".into(), "b".into()];
    let kind = match n % 4 {
        2 => Kind::Poll(Poll { id: id("p", n / 16), question: "?".into(), options }),
        3 => Kind::PollClose(PollClose { id: id("p", n / 16) }),
        _ => Kind::Gift(Gift { user, name: "rose".into(), count, value: 1, combo, total: None }),
    };
    Event::Post(Box::new(Post { key: None, kind }))
}

fn variant(rendition: Rendition) -> Variant {
    Variant::from(Encoding::Json).with(rendition)
}

struct Show {
    rig: Rig,
    frames: BTreeMap<&'static str, Vec<Frame>>,
    acks: Vec<Ack>,
}

fn open(log: std::sync::Arc<LaggingLog>, events_max: usize) -> Rig {
    let room = RoomSettings::new(Some(20), 100);
    let mut rig = Rig::new(log, ActorSettings { frame_events_max: events_max, room, ..settings() });
    Rendition::ALL.into_iter().for_each(|rendition| rig.arrive(variant(rendition)));
    rig.run_for(2 * TICK_US);
    rig
}

impl Show {
    fn read(&mut self) {
        self.acks.extend(self.rig.acks());
        for effect in self.rig.out.drain(..) {
            let frame = match effect {
                Effect::Frame { frame } => frame,
                // More comments than one tick accepts.
                Effect::Reply { message: ServerMessage::Error(error), .. }
                    if matches!(error.code, ErrorCode::Overloaded | ErrorCode::PollClosed) =>
                {
                    continue;
                }
                // Opening an open poll or closing a closed one is refused.
                Effect::Posted { .. } | Effect::Redacted => continue,
                other => panic!("{other:?}"),
            };
            for rendition in Rendition::ALL {
                let message = decode(&frame, variant(rendition));
                if let ServerMessage::Frame(frame) = message
                    && frame.last > frame.prev
                {
                    self.frames.entry(rendition.as_str()).or_default().push(frame);
                }
            }
        }
    }

    fn play(steps: Vec<Step>, events_max: usize) -> Self {
        let rig = open(LaggingLog::instant(), events_max);
        let mut show = Self { rig, frames: BTreeMap::new(), acks: Vec::new() };
        let mut number = 0;
        for step in steps.into_iter().chain([Step::Say(vec![(9, 0)]), Step::Pass(3 * TICK_US)]) {
            let rig = &mut show.rig;
            match step {
                Step::Say(all) => {
                    for (who, what) in all {
                        number += 1;
                        rig.actor.comment(conn(1), said(who, what, number), rig.now_us, &mut rig.out);
                    }
                }
                Step::Foreign(all) => {
                    let comments = all.into_iter().map(|(who, what)| {
                        number += 1;
                        Event::Comment(said(who, what, number))
                    });
                    rig.log.foreign(comments.collect());
                    rig.run();
                }
                Step::Kinds(all) => {
                    rig.log.foreign(all.into_iter().map(kind).collect());
                    rig.run();
                }
                Step::Own(all) => {
                    for n in all {
                        rig.post(0, vec![own(n)]);
                        let vote = VoteRequest {
                            id: None,
                            poll: ClientId::new(&format!("p{}", n % 2)).unwrap(),
                            option: n % 2,
                        };
                        let voter = comment(&format!("v{}", n / 8), "").user;
                        rig.actor.vote(conn(2), &voter, vote, rig.now_us, &mut rig.out);
                    }
                }
                Step::Delete(one, other) => {
                    let all = rig.log.read(&rig.handle.id, 0, Limit::events(usize::MAX)).unwrap();
                    let comments: Vec<_> = all.iter().filter(|r| matches!(r.event, Event::Comment(_))).collect();
                    // Mostly recent comments, sometimes older ones.
                    let among = |pick: u8| comments.len().min(if pick < 200 { 12 } else { 200 });
                    let target = |pick: u8| comments.iter().rev().nth(usize::from(pick) % among(pick).max(1));
                    let targets = std::iter::once(one).chain(other).filter_map(target);
                    let delete = |record: &&Record| {
                        let kind = Kind::Delete(Delete::new(record.offset));
                        Event::Post(Box::new(Post { key: None, kind }))
                    };
                    let events: Vec<_> = targets.map(delete).collect();
                    if !events.is_empty() {
                        rig.post(0, events);
                    }
                }
                Step::Change(patch) => {
                    let kind = Kind::Settings(patch);
                    rig.log.foreign(vec![Event::Post(Box::new(Post { key: None, kind }))]);
                    rig.run();
                }
                Step::Pass(us) => drop(rig.run_for(us)),
                Step::Restart => {
                    rig.run_for(12 * TICK_US); // A frame of votes alone waits up to a second.
                    show.read();
                    let log = show.rig.log.clone();
                    let now_us = show.rig.now_us;
                    show.rig.actor.close();
                    show.rig = open(log, events_max);
                    show.rig.now_us = now_us;
                }
            }
            show.read();
        }
        show
    }

    fn records(&self) -> Vec<Record> {
        self.rig.log.read(&self.rig.handle.id, 0, Limit::events(usize::MAX)).unwrap()
    }
}

/// The comments with a deleted text.
fn gone(records: &[Record]) -> BTreeSet<Offset> {
    let is_gone = |record: &&Record| matches!(&record.event, Event::Comment(comment) if comment.deleted);
    records.iter().filter(is_gone).map(|record| record.offset).collect()
}

/// Without comments deleted since; their places are still counted.
fn without(said: Said, gone: &BTreeSet<Offset>) -> (Vec<Offset>, BTreeMap<Offset, u64>, BTreeMap<&'static str, u64>) {
    let (mut shown, mut times, _, sums) = said;
    shown.retain(|offset| !gone.contains(offset));
    times.retain(|offset, _| !gone.contains(offset));
    (shown, times, sums)
}

/// The settings in force at each log time.
fn in_force(records: &[Record]) -> BTreeMap<u64, RoomSettings> {
    let mut settings = RoomSettings::new(Some(20), 100);
    let mut all = BTreeMap::new();
    for batch in records.chunk_by(|one, next| one.at_ms == next.at_ms) {
        all.insert(batch[0].at_ms, settings.clone());
        for record in batch {
            if let Event::Post(post) = &record.event
                && let Kind::Settings(patch) = &post.kind
            {
                settings.change(patch);
            }
        }
    }
    all
}

/// The class under which an event is counted, and its priority; `None` if frames do not have it.
fn counted(event: &Event, settings: &RoomSettings) -> Option<(&'static str, Class)> {
    match event {
        Event::Comment(comment) => Some(("comment", settings.class(Classed::from(comment.user.role)))),
        Event::Likes { .. } | Event::Votes(_) => None,
        Event::Post(post) => Some(match &post.kind {
            Kind::Gift(_) => ("gift", settings.class(Classed::Gift)),
            Kind::Custom(_) => ("custom", settings.class(Classed::Custom)),
            Kind::Enter(_) => ("enter", settings.class(Classed::Enter)),
            other => (other.name(), Class::Guaranteed),
        }),
    }
}

fn shed_as(class: ShedClass) -> &'static str {
    match class {
        ShedClass::Normal | ShedClass::Low => "comment",
        ShedClass::Gift => "gift",
        ShedClass::Custom => "custom",
        ShedClass::Enter => "enter",
    }
}

/// The number of events of each class that a frame accounts for.
fn accounted(frame: &Frame) -> BTreeMap<&'static str, u64> {
    let mut all = BTreeMap::<_, u64>::new();
    for event in &frame.events {
        let (name, count) = match &event.what {
            What::Comment(shown) => ("comment", shown.times),
            What::Raise(raise) => ("comment", raise.by),
            What::Kind(kind) => (kind.name(), 1),
            What::Unknown => panic!("{event:?}"),
        };
        *all.entry(name).or_default() += count;
    }
    for (class, count) in &frame.shed {
        *all.entry(shed_as(*class)).or_default() += count;
    }
    all
}

/// The events in frames, the final number of equal comments of each, and the counts.
type Said = (Vec<Offset>, BTreeMap<Offset, u64>, BTreeMap<ShedClass, u64>, BTreeMap<&'static str, u64>);

fn said_by(frames: &[Frame]) -> Said {
    let (mut shown, mut times, mut shed, mut sums) = (Vec::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for frame in frames {
        for event in &frame.events {
            match &event.what {
                What::Raise(raise) => drop(times.insert(raise.offset, raise.times)),
                What::Comment(comment) => {
                    shown.push(event.offset);
                    times.insert(event.offset, comment.times);
                }
                _ => shown.push(event.offset),
            }
        }
        frame.shed.iter().for_each(|(class, n)| *shed.entry(*class).or_default() += n);
        accounted(frame).into_iter().for_each(|(name, n)| *sums.entry(name).or_default() += n);
    }
    (shown, times, shed, sums)
}

/// The running totals of gifts by offset, and the last tally of each poll.
fn totals(frames: &[Frame]) -> (BTreeMap<Offset, Option<u64>>, BTreeMap<String, Tally>) {
    let events = frames.iter().flat_map(|frame| &frame.events);
    let gift = |event: &FrameEvent| match &event.what {
        What::Kind(Kind::Gift(gift)) => Some((event.offset, gift.total)),
        _ => None,
    };
    let tallies = frames.iter().flat_map(|frame| &frame.tallies);
    (events.filter_map(gift).collect(), tallies.map(|tally| (tally.id.as_str().into(), tally.clone())).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_frame_of_every_rendition_adds_up_and_has_the_guaranteed_lane(steps in steps(), most in 3..40_usize) {
        let show = Show::play(steps, most);
        let records = show.records();
        let (settings, gone) = (in_force(&records), gone(&records));
        for (rendition, frames) in &show.frames {
            for frame in frames {
                let inside = records.iter().filter(|record| record.offset > frame.prev && record.offset <= frame.last);
                let mut there = BTreeMap::<_, u64>::new();
                let shown: BTreeSet<_> = frame.events.iter().map(|event| event.offset).collect();
                for record in inside {
                    let Some((name, class)) = counted(&record.event, &settings[&record.at_ms]) else { continue };
                    *there.entry(name).or_default() += 1;
                    let is_told = shown.contains(&record.offset) || gone.contains(&record.offset);
                    prop_assert!(class != Class::Guaranteed || is_told, "S14 in {rendition}");
                }
                prop_assert_eq!(accounted(frame), there, "S13 in {}: {:?}", rendition, frame);
            }
        }
    }

    #[test]
    fn pages_of_any_cut_have_the_content_of_live_frames(steps in steps(), most in 3..40_usize, step in 1..30_usize) {
        let show = Show::play(steps, most);
        let gone = gone(&show.records());
        for rendition in Rendition::ALL {
            let live = &show.frames[rendition.as_str()];
            for at in (0..live.len()).step_by(3) {
                for events in [step, usize::MAX] {
                    let pages = show.rig.pages(live[at].prev, events, variant(rendition));
                    let (mut page, mut frames) = (said_by(&pages), said_by(&live[at..]));
                    if gone.is_empty() {
                        prop_assert_eq!(&page.2, &frames.2, "{:?} from {}", rendition, live[at].prev);
                    }
                    if rendition == Rendition::Lite {
                        // The first frame or page that has a comment counts the equal ones of this rendition; a raise
                        // has the whole number.
                        (page.1, frames.1) = (BTreeMap::new(), BTreeMap::new());
                    }
                    let (page, frames) = (without(page, &gone), without(frames, &gone));
                    prop_assert_eq!(page, frames, "{:?} from {} in {}s", rendition, live[at].prev, events);
                    let ((gifts, polls), (live_gifts, live_polls)) = (totals(&pages), totals(&live[at..]));
                    prop_assert_eq!(gifts, live_gifts, "{:?} from {} in {}s", rendition, live[at].prev, events);
                    for (id, tally) in &live_polls {
                        prop_assert_eq!(polls.get(id), Some(tally), "from {} in {}s", live[at].prev, events);
                    }
                    for (id, tally) in &polls {
                        let all = totals(live).1;
                        prop_assert_eq!(all.get(id), Some(tally), "as it stands now");
                    }
                }
            }
        }
    }

    #[test]
    fn acks_frames_and_a_replay_agree(steps in steps(), most in 3..40_usize) {
        let show = Show::play(steps, most);
        let records = show.records();
        let room = RoomSettings::new(Some(20), 100);
        let shape = CoreSettings { frame_events_max: most, snapshot_events: 5, counters_us: 0, room };
        let mut core = Core::new(shape, crate::protocol::ids::Hex64(1));
        let mut fates = BTreeMap::new();
        for batch in records.chunk_by(|one, next| one.at_ms == next.at_ms) {
            batch.iter().for_each(|record| { core.apply(record); });
            core.complete();
            fates.extend(batch.iter().filter_map(|record| Some((record.offset, core.fate(record.offset)?))));
        }
        let gone = gone(&records);
        for event in show.frames["full"].iter().flat_map(|frame| &frame.events) {
            if gone.contains(&event.offset) {
                continue;
            }
            let fate = fates[&event.offset];
            prop_assert_eq!((event.outcome, event.into), (Some(fate.outcome()), fate.into()));
            let role = event.as_comment().map(|shown| shown.comment.user.role);
            let is_somebody = matches!(role, Some(Role::Vip | Role::Moderator | Role::Host));
            prop_assert!(!is_somebody || event.outcome != Some(Outcome::Merged), "a VIP is never merged away");
        }
        let shown: BTreeSet<_> =
            show.frames["viewer"].iter().flat_map(|frame| &frame.events).map(|event| event.offset).collect();
        for ack in show.acks.iter().filter(|ack| !gone.contains(&ack.offset)) {
            let fate = fates[&ack.offset];
            prop_assert_eq!((ack.outcome, ack.into), (fate.outcome(), fate.into()));
            prop_assert_eq!(shown.contains(&ack.offset), ack.outcome == Outcome::Shown);
        }
        let is_first = |record: &&Record| matches!(&record.event, Event::Comment(comment) if comment.first);
        let firsts: Vec<_> = records.iter().filter(is_first).collect();
        let authors: BTreeSet<_> = firsts.iter().map(|record| match &record.event {
            Event::Comment(comment) => comment.user.id.clone(),
            _ => unreachable!(),
        }).collect();
        prop_assert_eq!(authors.len(), firsts.len(), "no user has two first comments");
    }

    #[test]
    fn no_window_shows_more_than_its_budget(steps in steps()) {
        let show = Show::play(steps, 1_000);
        let records = show.records();
        let settings = in_force(&records);
        let shown: BTreeSet<_> =
            show.frames["viewer"].iter().flat_map(|frame| &frame.events).map(|event| event.offset).collect();
        let mut windows = BTreeMap::<_, (u64, Option<u32>)>::new();
        for record in &records {
            let settings = &settings[&record.at_ms];
            let window = windows.entry(record.at_ms / WINDOW_MS).or_insert((0, Some(0)));
            window.1 = window.1.zip(settings.budget).map(|(most, budget)| most.max(budget));
            let class = counted(&record.event, settings).map(|(_, class)| class);
            let counts = class.is_some_and(|class| class != Class::Guaranteed) && shown.contains(&record.offset);
            window.0 += u64::from(counts);
        }
        for (window, (count, budget)) in windows {
            let most = budget.map_or(u64::MAX, |budget| u64::from(budget) * WINDOW_MS / 1_000);
            prop_assert!(count <= most, "window {window} shows {count} of {most}");
        }
    }
}
