//! What of a room stands until it is changed: its settings, the pinned notice, the open poll, the newest of each sticky type,
//! announcements whose time is not over.
//!
//! It follows from the log alone. What a base keeps of it is all of it but the open poll: while one is open there is no
//! new base, so that a replay sees its opening and every vote.
//!
//! Does not know: comments, frames, clocks.

mod poll;
mod used;

pub use poll::{OPEN_MS_MAX, OPEN_RECORDS_MAX, VOTERS_MAX, Voted};
pub use used::USED_POLLS_MAX;

use crate::log::Record;
use crate::protocol::event::Event;
use crate::protocol::ids::{ClientId, Offset};
use crate::protocol::kind::{Announcement, Custom, Kind, Pin, Poll, Tally};
use crate::protocol::message::Snapshot;
use crate::protocol::settings::RoomSettings;
use crate::room::core::timeline::{SavedChange, Timeline};
use poll::OpenPoll;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use used::UsedPolls;

/// Types whose newest sticky event newcomers see; beyond it the type whose newest is oldest goes.
pub const STICKY_MAX: usize = 16;

/// Announcements that newcomers see; beyond it the oldest goes.
pub const ANNOUNCEMENTS_MAX: usize = 8;

/// Tallies of closed polls that wait to be told; beyond it the oldest is not told again. More polls in one second are no show.
const CLOSED_MAX: usize = 8;

/// Polls that are over whose last tallies are known to those who come back; beyond it the oldest is not.
pub const ENDED_MAX: usize = 64;

/// A poll as it stands, for those who come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollState {
    /// Its votes.
    pub tally: Tally,
    /// The position in the log at which it was over; `None`: it is open.
    pub ended: Option<Offset>,
}

/// What no longer stands because so much else does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Announcements whose time was not over.
    pub announcements: u64,
    /// Sticky events whose type was shown no newer one.
    pub sticky: u64,
    /// Last tallies of polls.
    pub tallies: u64,
}

/// See the module's page.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    timeline: Timeline,
    /// The log's time.
    now_ms: u64,
    pinned: Option<Pin>,
    /// Oldest first, one per type.
    sticky: VecDeque<Custom>,
    /// Oldest first. Some may be over.
    announcements: VecDeque<Announcement>,
    poll: Option<OpenPoll>,
    /// The open poll is not as it was last told.
    poll_moved: bool,
    /// Last tallies of polls that were closed since tallies were last told.
    closed: VecDeque<Tally>,
    /// The newest polls that are over, oldest first.
    ended: VecDeque<PollState>,
    /// The ids of the newest polls.
    used: UsedPolls,
    /// Votes that polls had no room for.
    votes_refused: u64,
    dropped: Dropped,
}

/// What a base keeps of a board.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedBoard {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    settings: Vec<SavedChange>,
    #[serde(default)]
    now_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned: Option<Pin>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    sticky: VecDeque<Custom>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    announcements: VecDeque<Announcement>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    ended: VecDeque<PollState>,
    /// Absent in bases of versions that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_polls: Option<UsedPolls>,
    #[serde(default)]
    votes_refused: u64,
}

impl Board {
    /// The board of a room that nothing has happened in.
    pub fn new(settings: RoomSettings) -> Self {
        Self::restore(settings, SavedBoard::default())
    }

    /// The board that a base kept; `settings` are those that the room begins with.
    pub fn restore(settings: RoomSettings, saved: SavedBoard) -> Self {
        let SavedBoard { settings: changes, now_ms, pinned, sticky, announcements, ended, used_polls, votes_refused } =
            saved;
        let used = used_polls.unwrap_or_else(|| UsedPolls::of(ended.iter().map(|state| &state.tally.id)));
        Self {
            timeline: Timeline::restore(settings, changes),
            now_ms,
            pinned,
            sticky,
            announcements,
            poll: None,
            poll_moved: false,
            closed: VecDeque::new(),
            ended,
            used,
            votes_refused,
            dropped: Dropped::default(),
        }
    }

    /// What a base keeps. While a poll is open there must be no new base: see [`Board::has_open_poll`].
    pub fn save(&self) -> SavedBoard {
        SavedBoard {
            settings: self.timeline.save(),
            now_ms: self.now_ms,
            pinned: self.pinned.clone(),
            sticky: self.sticky.clone(),
            announcements: self.announcements.clone(),
            ended: self.ended.clone(),
            used_polls: (!self.used.is_empty()).then(|| self.used.clone()),
            votes_refused: self.votes_refused,
        }
    }

    /// Takes the log's next record.
    pub fn apply(&mut self, record: &Record) {
        self.now_ms = record.at_ms;
        if self.poll.as_mut().is_some_and(|poll| poll.is_over(record.at_ms)) {
            self.close(record.offset);
        }
        match &record.event {
            Event::Post(post) => self.post(record.offset, &post.kind),
            Event::Votes(votes) => {
                if let Some(poll) = &mut self.poll {
                    let before = poll.refused();
                    self.poll_moved |= poll.count(votes, record.offset);
                    self.votes_refused += poll.refused() - before;
                }
            }
            Event::Comment(_) | Event::Likes { .. } => {}
        }
    }

    fn post(&mut self, offset: Offset, kind: &Kind) {
        match kind {
            Kind::Settings(patch) => self.timeline.change(self.now_ms, patch),
            Kind::Pin(pin) => self.pinned = Some(pin.clone()),
            Kind::Unpin(_) => self.pinned = None,
            Kind::Custom(custom) if custom.sticky => {
                self.sticky.retain(|known| known.name != custom.name);
                self.dropped.sticky += push(&mut self.sticky, custom.clone(), STICKY_MAX);
            }
            Kind::Announcement(announcement) if announcement.until.is_some() => {
                // Their ends are the wall clock's, from which the log's time may differ: only where there is no room is it
                // asked whose end it has passed.
                if self.announcements.len() == ANNOUNCEMENTS_MAX {
                    let now_ms = self.now_ms;
                    self.announcements.retain(|known| known.until.is_some_and(|until| until > now_ms));
                }
                self.dropped.announcements += push(&mut self.announcements, announcement.clone(), ANNOUNCEMENTS_MAX);
            }
            Kind::Poll(poll) => {
                self.close(offset);
                self.used.insert(&poll.id);
                self.poll = Some(OpenPoll::new(poll.clone(), self.now_ms));
                self.poll_moved = true;
            }
            Kind::PollClose(close) if self.poll.as_ref().is_some_and(|poll| poll.is(&close.id)) => {
                self.close(offset);
            }
            Kind::Custom(_)
            | Kind::Announcement(_)
            | Kind::PollClose(_)
            | Kind::Gift(_)
            | Kind::Delete(_)
            | Kind::Enter(_) => {}
        }
    }

    fn close(&mut self, offset: Offset) {
        if let Some(poll) = self.poll.take() {
            self.poll_moved = false;
            let tally = poll.tally(false);
            let state = PollState { tally: tally.clone(), ended: Some(offset) };
            self.dropped.tallies += push(&mut self.ended, state, ENDED_MAX);
            push(&mut self.closed, tally, CLOSED_MAX);
        }
    }

    /// Which settings were in force when.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Whether a poll takes votes.
    pub fn has_open_poll(&self) -> bool {
        self.poll.is_some()
    }

    /// The poll of this id, if it is open.
    pub fn open_poll(&self, id: &ClientId) -> Option<&Poll> {
        self.poll.as_ref().filter(|poll| poll.is(id)).map(|poll| &poll.poll)
    }

    /// The poll that takes votes.
    pub fn open_poll_id(&self) -> Option<&ClientId> {
        self.poll.as_ref().map(|poll| &poll.poll.id)
    }

    /// Whether a poll of this id was opened before: one of the newest [`USED_POLLS_MAX`].
    pub fn had_poll(&self, id: &ClientId) -> bool {
        self.used.contains(id)
    }

    /// What `user`'s vote in the open poll came to; [`Voted::New`] without one.
    pub fn voted(&self, user: &str) -> Voted {
        self.poll.as_ref().map_or(Voted::New, |poll| poll.voted(user))
    }

    /// Votes that polls had no room for.
    pub fn votes_refused(&self) -> u64 {
        self.votes_refused
    }

    /// What the bounds made go since this was last asked.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Whether some tally is not as it was last told.
    pub fn has_moved(&self) -> bool {
        self.poll_moved || !self.closed.is_empty()
    }

    /// The tallies that are not as they were last told, and from now on they count as told.
    pub fn take_tallies(&mut self) -> Vec<Tally> {
        let mut tallies: Vec<_> = self.closed.drain(..).collect();
        if std::mem::take(&mut self.poll_moved) {
            tallies.extend(self.poll.as_ref().map(|poll| poll.tally(true)));
        }
        tallies
    }

    /// The open poll as it stands.
    pub fn tally(&self) -> Option<Tally> {
        self.poll.as_ref().map(|poll| poll.tally(true))
    }

    /// The newest polls, by their beginnings: those that are over, then the open one.
    pub fn polls(&self) -> impl Iterator<Item = PollState> {
        let open = self.tally().map(|tally| PollState { tally, ended: None });
        self.ended.iter().cloned().chain(open)
    }

    /// The log's time.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Puts what stands at `wall_ms` into a newcomer's snapshot.
    pub fn fill(&self, snapshot: &mut Snapshot, wall_ms: u64) {
        snapshot.settings = Some(Box::new(RoomSettings::clone(self.timeline.newest())));
        snapshot.pinned = self.pinned.clone();
        snapshot.sticky = self.sticky.iter().cloned().collect();
        let stands = |known: &&Announcement| known.until.is_some_and(|until| until > wall_ms);
        snapshot.announcements = self.announcements.iter().filter(stands).cloned().collect();
        snapshot.poll = self.poll.as_ref().map(|poll| poll.poll.clone());
        snapshot.tally = self.tally();
    }
}

/// Adds one to at most `max`; the oldest goes. Says how many went.
fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) -> u64 {
    let is_full = queue.len() >= max;
    if is_full {
        queue.pop_front();
    }
    queue.push_back(item);
    u64::from(is_full)
}

#[cfg(test)]
mod tests;
