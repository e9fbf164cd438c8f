//! The state of a room that stands until it is changed: settings, the pinned notice, the open poll, the newest event of
//! each sticky type, and announcements before their end.
//!
//! The board follows from the log alone. A base keeps all of it except the open poll: while a poll is open there is no
//! new base, so a replay sees its opening and every vote.
//!
//! Does not know: comments, frames, clocks.

mod bounded;
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
use crate::room::core::timeline::{SavedChange, SettingsTimeline};
use bounded::push;
use poll::OpenPoll;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use used::UsedPolls;

/// Types with a sticky event for newcomers. Beyond it, the type with the oldest event is removed.
pub const STICKY_MAX: usize = 16;

/// Announcements for newcomers. Beyond it the oldest is removed.
pub const ANNOUNCEMENTS_MAX: usize = 8;

/// Tallies of closed polls that wait for a frame. Beyond it the oldest is not told; a real show does not close more
/// polls in one second.
const CLOSED_MAX: usize = 8;

/// Ended polls with a known last tally, for clients that resume. Beyond it the oldest is removed.
pub const ENDED_MAX: usize = 64;

/// A poll with its votes, for clients that resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollState {
    /// The votes so far.
    pub tally: Tally,
    /// The position in the log at which the poll ended; `None` while it is open.
    pub ended: Option<Offset>,
}

/// Entries that a bound removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Announcements removed before their end.
    pub announcements: u64,
    /// Sticky events removed without a newer one of their type.
    pub sticky: u64,
    /// Last tallies of ended polls.
    pub tallies: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    timeline: SettingsTimeline,
    /// The log's time.
    now_ms: u64,
    pinned: Option<Pin>,
    /// Oldest first, one per type.
    sticky: VecDeque<Custom>,
    /// Oldest first. Some may have ended.
    announcements: VecDeque<Announcement>,
    poll: Option<OpenPoll>,
    /// The open poll's tally has changed since it was last told.
    poll_moved: bool,
    /// Last tallies of polls closed since tallies were last told.
    closed: VecDeque<Tally>,
    /// The newest ended polls, oldest first.
    ended: VecDeque<PollState>,
    /// The ids of the newest polls.
    used: UsedPolls,
    /// Votes refused because a poll had reached [`VOTERS_MAX`].
    votes_refused: u64,
    dropped: Dropped,
}

/// The part of a board that a base keeps.
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
    /// The board of a new room.
    pub fn new(settings: RoomSettings) -> Self {
        Self::restore(settings, SavedBoard::default())
    }

    /// The board of a base; `settings` are the room's initial settings.
    pub fn restore(settings: RoomSettings, saved: SavedBoard) -> Self {
        let SavedBoard { settings: changes, now_ms, pinned, sticky, announcements, ended, used_polls, votes_refused } =
            saved;
        let used = used_polls.unwrap_or_else(|| UsedPolls::of(ended.iter().map(|state| &state.tally.id)));
        Self {
            timeline: SettingsTimeline::restore(settings, changes),
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

    /// The part for a base. While a poll is open there must be no new base: see [`Board::has_open_poll`].
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
                // The end of an announcement is a wall clock time, and the log's time may differ from it. So ended
                // announcements are removed only when there is no space for a new one.
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

    /// The settings in force at each log time.
    pub fn timeline(&self) -> &SettingsTimeline {
        &self.timeline
    }

    /// Whether a poll is open.
    pub fn has_open_poll(&self) -> bool {
        self.poll.is_some()
    }

    /// The poll with this id, if it is open.
    pub fn open_poll(&self, id: &ClientId) -> Option<&Poll> {
        self.poll.as_ref().filter(|poll| poll.is(id)).map(|poll| &poll.poll)
    }

    /// The id of the open poll.
    pub fn open_poll_id(&self) -> Option<&ClientId> {
        self.poll.as_ref().map(|poll| &poll.poll.id)
    }

    /// Whether an earlier poll had this id; the newest [`USED_POLLS_MAX`] polls are known.
    pub fn had_poll(&self, id: &ClientId) -> bool {
        self.used.contains(id)
    }

    /// The state of `user`'s vote in the open poll; [`Voted::New`] if no poll is open.
    pub fn voted(&self, user: &str) -> Voted {
        self.poll.as_ref().map_or(Voted::New, |poll| poll.voted(user))
    }

    /// Votes refused because a poll had reached [`VOTERS_MAX`].
    pub fn votes_refused(&self) -> u64 {
        self.votes_refused
    }

    /// Entries that a bound removed since the last call.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// Whether a tally has changed since it was last told.
    pub fn has_moved(&self) -> bool {
        self.poll_moved || !self.closed.is_empty()
    }

    /// The tallies that have changed since they were last told; they count as told then.
    pub fn take_tallies(&mut self) -> Vec<Tally> {
        let mut tallies: Vec<_> = self.closed.drain(..).collect();
        if std::mem::take(&mut self.poll_moved) {
            tallies.extend(self.poll.as_ref().map(|poll| poll.tally(true)));
        }
        tallies
    }

    /// The tally of the open poll.
    pub fn tally(&self) -> Option<Tally> {
        self.poll.as_ref().map(|poll| poll.tally(true))
    }

    /// The newest polls in order: the ended ones, then the open one.
    pub fn polls(&self) -> impl Iterator<Item = PollState> {
        let open = self.tally().map(|tally| PollState { tally, ended: None });
        self.ended.iter().cloned().chain(open)
    }

    /// The log's time.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Puts the board's state at `wall_ms` into a newcomer's snapshot.
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

#[cfg(test)]
mod tests;
