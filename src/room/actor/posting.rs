//! What the show's owner posts, and votes: gathered for the tick, answered when the log has them.
//!
//! Does not know: who asks and over what, the log, clocks.

use super::coming::{self, Coming};
use super::pending::{SENDERS_MAX, Sender};
use crate::limits::{BALLOTS_MAX, POSTS_PER_TICK_MAX, VOTES_PER_TICK_MAX};
use crate::protocol::event::Event;
use crate::protocol::ids::{ClientId, Offset};
use crate::protocol::kind::{Ballot, Votes};
use crate::room::core::window::{IdKey, Mark, Seen};
use crate::room::request::{PostError, PostRequest, RoomKnowledge};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;
use std::sync::Arc;

/// Where one event of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the log.
    Log(Offset),
    /// On its way: this one of its batch.
    Batch(usize),
}

/// Who waits for events of a batch. Bounded by who may ask at one time.
#[derive(Debug)]
struct Asked {
    ticket: u64,
    places: Vec<Place>,
}

/// When a retry may succeed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// With the next tick.
    pub(super) tick_ms: u64,
    /// When the log, which stalls, takes something again; `None`: it does not stall.
    pub(super) stalled_ms: Option<u64>,
}

/// Posts and votes of one batch: the open tick's, or those in flight.
#[derive(Debug, Default)]
struct Batch {
    posts: Vec<Event>,
    /// Of a batch in flight, whose posts the log has: those that later requests can contradict.
    gone: Vec<Event>,
    marks: Vec<Option<Mark>>,
    keys: HashMap<IdKey, usize>,
    asked: Vec<Asked>,
    votes: Vec<Vote>,
    voters: HashMap<(ClientId, Arc<str>), usize>,
}

/// One user's vote in one poll, and who waits for it.
#[derive(Debug)]
struct Vote {
    poll: ClientId,
    ballot: Ballot,
    senders: SmallVec<[Sender; 1]>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Posting {
    open: Batch,
    flying: Batch,
}

/// What became of one vote.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) poll: ClientId,
    pub(super) user: Arc<str>,
    pub(super) senders: SmallVec<[Sender; 1]>,
}

impl Posting {
    /// Takes a request into the open tick, all or none; `Ok` at once when the log has all of it. `None`: the answer comes later.
    pub(super) fn post(
        &mut self,
        ticket: u64,
        request: PostRequest,
        known: &impl RoomKnowledge,
        pace: Pace,
    ) -> Option<Answer> {
        let found = match self.look(&request, known) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let flies = |found: &Found| matches!(found, Found::Flying(_));
        let in_log = |found: &Found| matches!(found, Found::Log(_));
        let overloaded = |retry_ms| Some(Err(PostError::Overloaded { retry_ms }));
        if found.iter().all(in_log) {
            let offset = |found: &Found| if let Found::Log(offset) = found { Some(*offset) } else { None };
            return Some(Ok(found.iter().filter_map(offset).collect()));
        }
        if found.iter().any(flies) {
            if !found.iter().all(|found| flies(found) || in_log(found)) {
                return overloaded(pace.tick_ms); // Part of it is on its way: when that is through, a retry finds it.
            }
            let places = found.iter().map(|found| match found {
                Found::Flying(index) | Found::Open(index) | Found::New(index) => Place::Batch(*index),
                Found::Log(offset) => Place::Log(*offset),
            });
            self.flying.asked.push(Asked { ticket, places: places.collect() });
            return None;
        }
        if let Some(retry_ms) = pace.stalled_ms {
            return overloaded(retry_ms);
        }
        let new = found.iter().filter(|found| matches!(found, Found::New(_))).count();
        if self.open.posts.len() + new > POSTS_PER_TICK_MAX {
            return overloaded(pace.tick_ms);
        }
        let mut places = Vec::with_capacity(request.events.len());
        for (event, found) in request.events.into_iter().zip(found) {
            places.push(match found {
                Found::Log(offset) => Place::Log(offset),
                Found::Open(index) | Found::Flying(index) => Place::Batch(index),
                // Its twin in this very request has its place already.
                Found::New(twin) if twin < places.len() => places[twin],
                Found::New(_) => Place::Batch(self.open.add(event)),
            });
        }
        self.open.asked.push(Asked { ticket, places });
        None
    }

    /// Where each event is.
    fn look(&self, request: &PostRequest, known: &impl RoomKnowledge) -> Result<Vec<Found>, PostError> {
        let epoch = known.epoch();
        if request.epoch.is_some_and(|meant| meant != epoch) {
            return Err(PostError::EpochChanged { epoch });
        }
        if let Some(other) = request.other_shape.as_ref().map(Mark::owners_key)
            && (known.knows(other) || self.flying.keys.contains_key(&other) || self.open.keys.contains_key(&other))
        {
            return Err(PostError::Conflict { index: 0 });
        }
        let mut own: HashMap<IdKey, (usize, u64)> = HashMap::new();
        let mut found = Vec::with_capacity(request.events.len());
        let mut coming = Coming::of(known, self.flying.gone.iter().chain(&self.open.posts));
        for (index, event) in request.events.iter().enumerate() {
            let Some(mark) = Mark::of_event(event) else {
                coming.add(event, index, request)?;
                found.push(Found::New(index));
                continue;
            };
            match known.seen(&mark) {
                Seen::Same { offset, .. } => {
                    found.push(Found::Log(offset));
                    continue;
                }
                Seen::Conflict { .. } => return Err(PostError::Conflict { index }),
                Seen::Stale => return Err(PostError::Stale { index }),
                Seen::New => {}
            }
            let (twin, text) = *own.entry(mark.key).or_insert((index, mark.text));
            let on_its_way = self.flying.find(&mark).map(|(at, text)| (Found::Flying(at), text));
            let on_its_way = on_its_way.or_else(|| self.open.find(&mark).map(|(at, text)| (Found::Open(at), text)));
            let (place, text) = on_its_way.unwrap_or((Found::New(twin), text));
            if text != mark.text {
                return Err(PostError::Conflict { index });
            }
            if matches!(place, Found::New(first) if first == index) {
                coming.add(event, index, request)?;
            }
            found.push(place);
        }
        Ok(found)
    }

    /// Takes a vote into the open tick, or lets its sender wait with those of the user's first one in this poll. `false`: there is no room.
    pub(super) fn vote(&mut self, user: &Arc<str>, poll: ClientId, option: u8, sender: Sender) -> bool {
        let name = (poll, Arc::clone(user));
        for batch in [&mut self.flying, &mut self.open] {
            if let Some(at) = batch.voters.get(&name) {
                let senders = &mut batch.votes[*at].senders;
                if senders.len() < SENDERS_MAX {
                    senders.push(sender);
                }
                return true;
            }
        }
        if self.open.votes.len() >= VOTES_PER_TICK_MAX {
            return false;
        }
        let (poll, user) = (name.0.clone(), Arc::clone(user));
        self.open.voters.insert(name, self.open.votes.len());
        self.open.votes.push(Vote { poll, ballot: Ballot { user, option }, senders: smallvec![sender] });
        true
    }

    /// The open tick goes to the log: its posts, then its votes, are put behind `events`.
    pub(super) fn depart(&mut self, events: &mut Vec<Event>) {
        self.flying = std::mem::take(&mut self.open);
        self.flying.gone = self.flying.posts.iter().filter(|event| coming::matters(event)).cloned().collect();
        events.append(&mut self.flying.posts);
        for votes in self.flying.votes.chunk_by(|a, b| a.poll == b.poll) {
            for votes in votes.chunks(BALLOTS_MAX) {
                let ballots = votes.iter().map(|vote| vote.ballot.clone()).collect();
                events.push(Event::Votes(Votes { poll: votes[0].poll.clone(), ballots }));
            }
        }
    }

    /// Posts in flight.
    pub(super) fn flying_posts(&self) -> usize {
        self.flying.marks.len()
    }

    /// The batch in flight is in the log, its posts at `offsets`: an answer for each who asked, and the votes.
    pub(super) fn arrived(
        &mut self,
        offsets: &[Offset],
        known: &impl RoomKnowledge,
    ) -> (Vec<(u64, Answer)>, Vec<Cast>) {
        let Batch { marks, asked, votes, .. } = std::mem::take(&mut self.flying);
        let offset_of = |index: usize| match marks.get(index).copied().flatten().map(|mark| known.seen(&mark)) {
            // Another node's copy may have been first.
            Some(Seen::Same { offset, .. }) => Ok(offset),
            Some(Seen::Conflict { .. }) => Err(PostError::Conflict { index: 0 }),
            Some(Seen::Stale) => Err(PostError::Stale { index: 0 }),
            Some(Seen::New) | None => offsets.get(index).copied().ok_or(PostError::Unavailable),
        };
        let answer = |asked: Asked| {
            let place = |(number, place): (usize, &Place)| match place {
                Place::Log(offset) => Ok(*offset),
                Place::Batch(index) => offset_of(*index).map_err(|error| match error {
                    PostError::Conflict { .. } => PostError::Conflict { index: number },
                    PostError::Stale { .. } => PostError::Stale { index: number },
                    other => other,
                }),
            };
            (asked.ticket, asked.places.iter().enumerate().map(place).collect())
        };
        (asked.into_iter().map(answer).collect(), votes.into_iter().map(Cast::of).collect())
    }

    /// The batch in flight is surely not in the log: who waits for it.
    pub(super) fn failed(&mut self) -> (Vec<u64>, Vec<Cast>) {
        let Batch { asked, votes, .. } = std::mem::take(&mut self.flying);
        (asked.into_iter().map(|asked| asked.ticket).collect(), votes.into_iter().map(Cast::of).collect())
    }
}

/// The offsets of a request's events, or why there are none.
pub(super) type Answer = Result<Vec<Offset>, PostError>;

/// Where an event of a request was found.
#[derive(Clone, Copy, Debug)]
enum Found {
    Log(Offset),
    Flying(usize),
    Open(usize),
    /// Nowhere but in the request itself: first as number so and so of it.
    New(usize),
}

impl Cast {
    fn of(vote: Vote) -> Self {
        Self { poll: vote.poll, user: vote.ballot.user, senders: vote.senders }
    }
}

impl Batch {
    fn add(&mut self, event: Event) -> usize {
        let (index, mark) = (self.posts.len(), Mark::of_event(&event));
        self.keys.extend(mark.map(|mark| (mark.key, index)));
        self.marks.push(mark);
        self.posts.push(event);
        index
    }

    /// The event with this key, and its content's hash.
    fn find(&self, mark: &Mark) -> Option<(usize, u64)> {
        let index = *self.keys.get(&mark.key)?;
        Some((index, self.marks[index]?.text))
    }
}
