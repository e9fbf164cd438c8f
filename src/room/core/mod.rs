//! A room's state: a deterministic machine over its log.
//!
//! `apply` takes the log's records in order, `complete` ends a log time, `tick` makes the frame of the records since
//! the last one. Two cores with the same records and the same ticks are equal, byte by byte. Two cores with the same
//! records agree on `last`, `likes` and `digest`, however they ticked.
//!
//! Does not know: clocks, logs, bytes, connections. Does no I/O and draws no random number.

pub mod board;
pub mod combo;
mod folds;
mod framed;
mod log_time;
pub(super) mod recent;
pub mod select;
mod speakers;
pub mod timeline;
mod totals;
pub mod window;

use crate::faults::spoil;
use crate::limits::{HISTORY_BYTES_MAX, HISTORY_MAX, IDS_AGE_MS, IDS_MAX, OFFSET_MAX, SNAPSHOT_BYTES_MAX, VOIDS_MAX};
use crate::log::{Base, Record, deletes, digest};
use crate::protocol::event::{Comment, Event};
use crate::protocol::frame::{Frame, FrameEvent};
use crate::protocol::ids::{Digest, Epoch, Hex64, Offset};
use crate::protocol::kind::{Gift, Kind};
use crate::protocol::message::Snapshot;
use crate::protocol::settings::RoomSettings;
use crate::protocol::variant::Rendition;
use board::{Board, Dropped, SavedBoard};
use combo::Combos;
use folds::Folds;
use framed::News;
pub use framed::{Framed, Frames, Wanted};
use log_time::LogTime;
use recent::Recent;
use select::{Fate, FrameContent, Selection};
use serde::{Deserialize, Serialize};
use speakers::Speakers;
use std::collections::VecDeque;
pub use totals::ByClass;
use totals::{LogCounts, Totals};
use window::{IdKey, Mark, Seen, Window};

/// The settings that shape a room's frames.
#[derive(Clone, Debug)]
pub struct CoreSettings {
    /// Comments shown in one frame; the rest of the tick is shed and counted.
    pub frame_events_max: usize,
    /// Newest shown comments in the snapshot for a newcomer that requests no number.
    pub snapshot_events: usize,
    /// The minimum time between two frames that have only counters (`online`, likes, tallies).
    pub counters_us: u64,
    /// The room's initial settings.
    pub room: RoomSettings,
}

/// The result of applying a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The record is no comment, or it was applied before.
    Nothing,
    /// A comment. Its fate is decided when its log time is complete ([`Core::fate`]).
    Comment,
    /// A comment that an earlier record makes void: never [`Seen::New`]. It is neither shown nor counted.
    Void(Seen),
}

/// The content of a [`Base`], as JSON. Bases of versions without a board have totals alone.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    #[serde(flatten)]
    totals: Totals,
    #[serde(default)]
    board: SavedBoard,
}

/// The state of a room.
#[derive(Debug)]
pub struct Core {
    settings: CoreSettings,
    epoch: Epoch,
    last: Offset,
    digest: Digest,
    figures: LogCounts,
    board: Board,
    window: Window,
    selection: Selection,
    recent: Recent,
    speakers: Speakers,
    combos: Combos,
    folds: Folds,
    time: LogTime,
    /// Offsets of the newest void comments.
    voids: VecDeque<Offset>,
    news: News,
}

impl Core {
    /// The state before the first record of the incarnation `epoch`.
    pub fn new(settings: CoreSettings, epoch: Epoch) -> Self {
        Self {
            board: Board::new(settings.room.clone()),
            epoch,
            last: 0,
            digest: digest::EMPTY,
            figures: LogCounts::default(),
            window: Window::new(IDS_MAX, IDS_AGE_MS),
            selection: Selection::new(settings.frame_events_max),
            recent: Recent::new(settings.snapshot_events.max(HISTORY_MAX)),
            speakers: Speakers::default(),
            combos: Combos::default(),
            folds: Folds::default(),
            time: LogTime::default(),
            voids: VecDeque::new(),
            news: News::default(),
            settings,
        }
    }

    /// Continues from `base`: of records up to its offset only ids and comments are remembered. `digest` is the one
    /// before the first record that follows.
    ///
    /// # Errors
    /// The base has a form that this version cannot read.
    pub fn begin(&mut self, base: &Base, digest: Digest) -> Result<(), serde_json::Error> {
        let Saved { totals, board } = serde_json::from_slice(&base.state)?;
        self.figures.totals = totals;
        self.board = Board::restore(self.settings.room.clone(), board);
        (self.last, self.digest) = (base.offset, digest);
        self.settle();
        Ok(())
    }

    /// The base that covers everything applied. It must not go to the log while a poll is open
    /// ([`Board::has_open_poll`]).
    pub fn base(&self) -> Base {
        let saved = Saved { totals: self.figures.totals, board: self.board.save() };
        let state = serde_json::to_vec(&saved).expect("numbers, texts and JSON values serialise").into();
        Base { offset: self.last, state }
    }

    /// Looks up a comment's id before the comment goes to the log.
    pub fn seen(&self, mark: &Mark) -> Seen {
        self.window.seen(mark)
    }

    /// Whether something with this id or key is in the log, as far as the room remembers.
    pub fn knows(&self, key: IdKey) -> bool {
        self.window.knows(key)
    }

    /// Takes the log's next record. A record that was applied before changes nothing.
    pub fn apply(&mut self, record: &Record) -> Applied {
        self.apply_marked(record, None)
    }

    /// The same for a caller that has the comment's mark already.
    pub fn apply_marked(&mut self, record: &Record, mark: Option<Mark>) -> Applied {
        if record.offset <= self.last {
            return Applied::Nothing;
        }
        self.enter(record.at_ms, true);
        (self.last, self.digest) = (record.offset, record.digest);
        if let Some(seen) = self.keyed(record) {
            return Applied::Void(seen);
        }
        self.board.apply(record);
        match &record.event {
            Event::Comment(comment) => {
                self.news.is_fresh = true;
                let applied = self.offer(record, comment, mark);
                self.figures.totals.comments += u64::from(applied == Applied::Comment);
                applied
            }
            Event::Likes { add } => {
                // At the bound the total stops, so it never falls and every client can read it exactly.
                self.figures.totals.likes = self.figures.totals.likes.saturating_add(*add).min(OFFSET_MAX);
                Applied::Nothing
            }
            Event::Votes(_) => Applied::Nothing,
            Event::Post(post) => {
                self.news.is_fresh = true;
                self.post(record, &post.kind);
                Applied::Nothing
            }
        }
    }

    /// Takes a record that the base covers: remembers its id and its comment, and counts nothing.
    pub fn remember(&mut self, record: &Record) {
        self.enter(record.at_ms, false);
        match &record.event {
            Event::Comment(comment) => {
                self.offer(record, comment, None);
            }
            Event::Post(post) if self.keyed(record).is_none() => self.post(record, &post.kind),
            Event::Post(_) | Event::Likes { .. } | Event::Votes(_) => {}
        }
        if record.offset == self.last {
            self.digest = record.digest;
        }
    }

    /// Ends the log time of the newest record and chooses what is shown of it. Each batch is one log time: call this
    /// after each.
    pub fn complete(&mut self) {
        if self.selection.open_ms().is_none() {
            return;
        }
        let count = self.selection.close();
        self.time.close();
        for (event, note) in self.selection.closed().rev().take(count).rev() {
            if self.time.counts {
                self.figures.count(note.fate, note.counted);
            }
            self.time.add(event.offset, note.fate);
            if event.as_comment().is_some() {
                self.folds.add(event.offset, note);
            }
        }
        self.time.counts = true;
        self.time.decide(&mut self.window);
    }

    /// The fate of an event of the last complete log time.
    pub fn fate(&self, offset: Offset) -> Option<Fate> {
        self.time.fate(offset)
    }

    /// Call before a replay: records up to `offset` will not be read, so their folds are unknown.
    pub(in crate::room) fn begin_after(&mut self, offset: Offset) {
        self.folds.begin_after(offset);
    }

    /// Adds what only the room knows to events that go to the log next, at its time `at_ms`. Returns the number of
    /// deletions for which not all equal comments are known.
    pub fn stamp(&self, events: &mut [Event], at_ms: u64) -> usize {
        self.combos.stamp(events, at_ms);
        self.folds.stamp(events)
    }

    /// Call before the batch `records` is applied: comments of this batch or later are not merged with the comments
    /// that it deletes.
    pub fn take_away(&mut self, records: &[Record]) {
        for record in records.iter().filter(|record| record.offset > self.last) {
            deletes(&record.event).for_each(|(offset, _)| self.selection.take_away(offset));
        }
    }

    /// Entries of the board that a bound removed, and combos that were cut, since the last call.
    pub fn take_dropped(&mut self) -> (Dropped, u64) {
        (self.board.take_dropped(), self.combos.take_cut())
    }

    /// Whether the room knows no comment of this user.
    pub fn is_new_speaker(&self, user: &str) -> bool {
        !self.speakers.has(user)
    }

    fn enter(&mut self, at_ms: u64, counts: bool) {
        if self.selection.open_ms().is_some_and(|open_ms| open_ms != at_ms) {
            self.complete();
        }
        if self.selection.open_ms().is_none() {
            self.selection.open(at_ms, self.board.timeline().at(at_ms));
        }
        self.time.counts = counts;
    }

    fn offer(&mut self, record: &Record, comment: &Comment, mark: Option<Mark>) -> Applied {
        debug_assert!(mark.is_none_or(|mark| Some(mark) == Mark::of(comment)), "another comment's mark");
        let mark = mark.or_else(|| Mark::of(comment));
        if let Some(mark) = &mark {
            let seen = self.window.seen(mark);
            if seen != Seen::New {
                self.void(record.offset);
                return Applied::Void(seen);
            }
        }
        self.speakers.insert(&comment.user.id);
        let place = self.selection.comment(record.offset, comment);
        if let Some(mark) = &mark {
            self.window.insert(mark, record.offset, Fate::Shown, record.at_ms);
            self.time.mark(place, mark.key);
        }
        Applied::Comment
    }

    /// Remembers the key of a record of the owner, if it has one. `Some`: an earlier record makes it void.
    fn keyed(&mut self, record: &Record) -> Option<Seen> {
        let Event::Post(post) = &record.event else { return None };
        let mark = Mark::of_post(post)?;
        let seen = self.window.seen(&mark);
        if seen == Seen::New {
            self.window.insert(&mark, record.offset, Fate::Shown, record.at_ms);
            return None;
        }
        self.void(record.offset);
        Some(seen)
    }

    fn void(&mut self, offset: Offset) {
        if self.voids.len() == VOIDS_MAX {
            self.voids.pop_front();
        }
        self.voids.push_back(offset);
    }

    fn post(&mut self, record: &Record, kind: &Kind) {
        if let Kind::Delete(delete) = kind {
            // At once, so that no later newcomer sees the text.
            self.selection.redact(delete);
            self.recent.remove(delete.offset);
        }
        let total = self.combos.apply(record);
        match kind {
            Kind::Gift(gift) if total.is_some() => {
                self.selection.kind(record.offset, &Kind::Gift(Gift { total, ..gift.clone() }));
            }
            kind => {
                self.selection.kind(record.offset, kind);
            }
        }
    }

    /// Ends a tick: makes the frames of everything applied since the last ones, or `None` if nothing has changed.
    /// `now_us` decides; `at_ms` only goes into the frames.
    pub fn tick(&mut self, now_us: u64, at_ms: u64, online: u64, wanted: Wanted) -> Option<Frames> {
        if !self.is_dirty() && self.counters_due_us(online).is_none_or(|due_us| now_us < due_us) {
            return None;
        }
        self.complete();
        let prev = self.news.framed.last;
        let [lite, full] = [(wanted.lite, Rendition::Lite), (wanted.full, Rendition::Full)]
            .map(|(is_wanted, rendition)| is_wanted.then(|| self.selection.tell(rendition, prev)));
        let kept = self.selection.kept();
        let FrameContent { events: shown, merged, shed: left_out } = self.selection.take(prev);
        let Self { last, digest, figures: LogCounts { totals: Totals { likes, .. }, .. }, .. } = *self;
        let counters_from_us = now_us.saturating_add(self.settings.counters_us);
        self.news.told(Framed { last, digest, likes, online, at_ms }, counters_from_us);
        let tallies = self.board.take_tallies();
        let common = Frame { prev, last, at: at_ms, digest, likes, online, tallies, ..Frame::default() };
        let digest = Hex64(spoil!(lost_digest, digest.0));
        let other = |FrameContent { events, merged, shed }| Frame { events, merged, shed, digest, ..common.clone() };
        let (lite, full) = (lite.map(other), full.map(other));
        let viewer = Frame {
            events: spoil!(silent_skip, shown, |event: &FrameEvent| event.offset),
            merged,
            shed: spoil!(shed_uncounted, left_out),
            ..common
        };
        Some(Frames { lite, full, viewer, kept })
    }

    /// Marks everything applied so far as already framed. Used at the end of a replay, which has no subscribers. An
    /// open log time stays open, so a replay calls [`Core::complete`] first.
    pub fn settle(&mut self) {
        // Events that a base covers stand before its position, and are taken from the selection all the same.
        let told = self.selection.take(0);
        self.remember_shown(told.events);
        self.board.take_tallies();
        let Self { last, digest, figures: LogCounts { totals: Totals { likes, .. }, .. }, .. } = *self;
        self.news.told(Framed { last, digest, likes, ..self.news.framed }, self.news.counters_from_us);
    }

    /// Takes back the events of the newest frame once they are encoded: newcomers see them, and the list is reused.
    pub fn remember_shown(&mut self, mut events: Vec<FrameEvent>) {
        self.recent.extend(&mut events);
        self.selection.recycle(events);
    }

    /// Whether a record was applied that the next tick tells at once: any event but likes and votes, which are
    /// counters.
    pub fn is_dirty(&self) -> bool {
        self.news.is_fresh
    }

    /// The time from which a tick makes a frame only because counters (`online`, likes, tallies) have changed; `None`
    /// if they have not.
    pub fn counters_due_us(&self, online: u64) -> Option<u64> {
        self.news.counters_due_us(self.last, online)
    }

    /// Lets the next tick tell changed counters, without waiting for their time.
    pub fn hurry(&mut self) {
        self.news.counters_from_us = 0;
    }

    /// The number of comments in a newcomer's snapshot, if the newcomer requests `history` of them.
    pub fn history(&self, history: Option<usize>) -> usize {
        match history {
            Some(count) => self.recent.count(count.min(HISTORY_MAX), HISTORY_BYTES_MAX),
            None => self.recent.count(self.settings.snapshot_events, SNAPSHOT_BYTES_MAX),
        }
    }

    /// The snapshot for a newcomer: the state at the last frame's position and at `wall_ms`, with the `events` newest
    /// shown comments.
    pub fn snapshot(&self, online: u64, events: usize, wall_ms: u64) -> Snapshot {
        let (likes, events) = (self.news.framed.likes, self.recent.newest(events));
        let mut snapshot = Snapshot { likes, online, events, ..Snapshot::default() };
        self.board.fill(&mut snapshot, wall_ms);
        snapshot
    }

    /// Whether the room remembers an event at `offset` that is no comment.
    pub fn is_no_comment(&self, offset: Offset) -> bool {
        self.recent.has_other(offset)
    }

    /// Offsets of the newest void comments, rising; at most [`VOIDS_MAX`].
    pub fn voids(&self) -> Vec<Offset> {
        self.voids.iter().copied().collect()
    }

    /// The state that stands until it is changed.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The state after the last frame.
    pub fn framed(&self) -> &Framed {
        &self.news.framed
    }

    /// The incarnation of the log.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest applied offset.
    pub fn last(&self) -> Offset {
        self.last
    }

    /// Checksum over the log up to [`Core::last`].
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Likes up to [`Core::last`].
    pub fn likes(&self) -> u64 {
        self.figures.totals.likes
    }

    /// Comments up to [`Core::last`], without void ones.
    pub fn comments(&self) -> u64 {
        self.figures.totals.comments
    }

    /// Events left out of frames, up to [`Core::last`].
    pub fn shed(&self) -> u64 {
        self.figures.totals.shed
    }

    /// Events left out and comments folded, since the core was made.
    pub fn by_class(&self) -> &ByClass {
        &self.figures.by_class
    }

    /// Comments folded into others, up to [`Core::last`].
    pub fn merged(&self) -> u64 {
        self.figures.totals.merged
    }
}
