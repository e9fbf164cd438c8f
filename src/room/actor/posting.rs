//! The owner's posts and the viewers' votes: gathered for the tick, answered when the log has them.
//!
//! Does not know: the sender of a request, connections, the log, clocks.

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

/// The place of one event of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventPlace {
    /// In the log, at this offset.
    Log(Offset),
    /// In a batch, at this index of its posts.
    Batch(usize),
}

/// A request that waits for its batch. The limit of concurrent requests bounds their number.
#[derive(Debug)]
struct Asked {
    ticket: u64,
    places: Vec<EventPlace>,
}

/// When a retry of a refused request may succeed.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryHints {
    /// If the open tick is full: the length of a tick.
    pub(super) tick_ms: u64,
    /// If the log stalls: the time after which a retry may succeed; `None` while it does not stall.
    pub(super) stalled_ms: Option<u64>,
}

/// The posts and votes of one batch: of the open tick, or of the batch in flight.
#[derive(Debug, Default)]
struct Batch {
    posts: Vec<Event>,
    /// Copies of the posts in flight that later requests can contradict; the log has the originals.
    gone: Vec<Event>,
    marks: Vec<Option<Mark>>,
    keys: HashMap<IdKey, usize>,
    asked: Vec<Asked>,
    votes: Vec<Vote>,
    voters: HashMap<(ClientId, Arc<str>), usize>,
}

/// One user's vote in one poll, and the connections that wait for it.
#[derive(Debug)]
struct Vote {
    poll: ClientId,
    ballot: Ballot,
    senders: SmallVec<[Sender; 1]>,
}

#[derive(Debug, Default)]
pub(super) struct Posting {
    open: Batch,
    flying: Batch,
}

/// A vote that is no longer on its way.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) poll: ClientId,
    pub(super) user: Arc<str>,
    pub(super) senders: SmallVec<[Sender; 1]>,
}

impl Posting {
    /// Takes a request into the open tick, all or none. The answer is `Some` if it is known at once: every event is in
    /// the log already, or the request is refused.
    pub(super) fn post(
        &mut self,
        ticket: u64,
        request: PostRequest,
        known: &impl RoomKnowledge,
        pace: RetryHints,
    ) -> Option<PostAnswer> {
        let found = match self.look(&request, known) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let flies = |found: &FoundEvent| matches!(found, FoundEvent::Flying(_));
        let in_log = |found: &FoundEvent| matches!(found, FoundEvent::Log(_));
        let overloaded = |retry_ms| Some(Err(PostError::Overloaded { retry_ms }));
        if found.iter().all(in_log) {
            let offset = |found: &FoundEvent| if let FoundEvent::Log(offset) = found { Some(*offset) } else { None };
            return Some(Ok(found.iter().filter_map(offset).collect()));
        }
        if found.iter().any(flies) {
            if !found.iter().all(|found| flies(found) || in_log(found)) {
                return overloaded(pace.tick_ms); // Part of the request is in flight; a retry finds it in the log.
            }
            let places = found.iter().map(|found| match found {
                FoundEvent::Flying(index) | FoundEvent::Open(index) | FoundEvent::New(index) => {
                    EventPlace::Batch(*index)
                }
                FoundEvent::Log(offset) => EventPlace::Log(*offset),
            });
            self.flying.asked.push(Asked { ticket, places: places.collect() });
            return None;
        }
        if let Some(retry_ms) = pace.stalled_ms {
            return overloaded(retry_ms);
        }
        let new = found.iter().filter(|found| matches!(found, FoundEvent::New(_))).count();
        if self.open.posts.len() + new > POSTS_PER_TICK_MAX {
            return overloaded(pace.tick_ms);
        }
        let mut places = Vec::with_capacity(request.events.len());
        for (event, found) in request.events.into_iter().zip(found) {
            places.push(match found {
                FoundEvent::Log(offset) => EventPlace::Log(offset),
                FoundEvent::Open(index) | FoundEvent::Flying(index) => EventPlace::Batch(index),
                // An earlier event of this request is the same and has its place already.
                FoundEvent::New(twin) if twin < places.len() => places[twin],
                FoundEvent::New(_) => EventPlace::Batch(self.open.add(event)),
            });
        }
        self.open.asked.push(Asked { ticket, places });
        None
    }

    /// The place of each event.
    fn look(&self, request: &PostRequest, known: &impl RoomKnowledge) -> Result<Vec<FoundEvent>, PostError> {
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
                found.push(FoundEvent::New(index));
                continue;
            };
            match known.seen(&mark) {
                Seen::Same { offset, .. } => {
                    found.push(FoundEvent::Log(offset));
                    continue;
                }
                Seen::Conflict { .. } => return Err(PostError::Conflict { index }),
                Seen::Stale => return Err(PostError::Stale { index }),
                Seen::New => {}
            }
            let (twin, text) = *own.entry(mark.key).or_insert((index, mark.text));
            let on_its_way = self.flying.find(&mark).map(|(at, text)| (FoundEvent::Flying(at), text));
            let on_its_way =
                on_its_way.or_else(|| self.open.find(&mark).map(|(at, text)| (FoundEvent::Open(at), text)));
            let (place, text) = on_its_way.unwrap_or((FoundEvent::New(twin), text));
            if text != mark.text {
                return Err(PostError::Conflict { index });
            }
            if matches!(place, FoundEvent::New(first) if first == index) {
                coming.add(event, index, request)?;
            }
            found.push(place);
        }
        Ok(found)
    }

    /// Takes a vote into the open tick. If the user's vote in this poll is on its way, the sender waits for its answer.
    /// `false`: the tick is full.
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

    /// The open tick goes to the log: appends its posts, then its votes, to `events`.
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

    /// The number of posts in flight; they follow the comments in their batch.
    pub(super) fn flying_posts(&self) -> usize {
        self.flying.marks.len()
    }

    /// The log has the batch in flight, with its posts at `offsets`: returns an answer per request, and the votes.
    pub(super) fn arrived(
        &mut self,
        offsets: &[Offset],
        known: &impl RoomKnowledge,
    ) -> (Vec<(u64, PostAnswer)>, Vec<Cast>) {
        let Batch { marks, asked, votes, .. } = std::mem::take(&mut self.flying);
        let offset_of = |index: usize| match marks.get(index).copied().flatten().map(|mark| known.seen(&mark)) {
            // A copy from another node may be earlier in the log.
            Some(Seen::Same { offset, .. }) => Ok(offset),
            Some(Seen::Conflict { .. }) => Err(PostError::Conflict { index: 0 }),
            Some(Seen::Stale) => Err(PostError::Stale { index: 0 }),
            Some(Seen::New) | None => offsets.get(index).copied().ok_or(PostError::Unavailable),
        };
        let answer = |asked: Asked| {
            let place = |(number, place): (usize, &EventPlace)| match place {
                EventPlace::Log(offset) => Ok(*offset),
                EventPlace::Batch(index) => offset_of(*index).map_err(|error| match error {
                    PostError::Conflict { .. } => PostError::Conflict { index: number },
                    PostError::Stale { .. } => PostError::Stale { index: number },
                    other => other,
                }),
            };
            (asked.ticket, asked.places.iter().enumerate().map(place).collect())
        };
        (asked.into_iter().map(answer).collect(), votes.into_iter().map(Cast::of).collect())
    }

    /// The log has refused the batch in flight: returns the tickets of its requests, and its votes.
    pub(super) fn failed(&mut self) -> (Vec<u64>, Vec<Cast>) {
        let Batch { asked, votes, .. } = std::mem::take(&mut self.flying);
        (asked.into_iter().map(|asked| asked.ticket).collect(), votes.into_iter().map(Cast::of).collect())
    }
}

/// The offsets of a request's events, or why there are none.
pub(super) type PostAnswer = Result<Vec<Offset>, PostError>;

/// The place in which an event of a request was found.
#[derive(Clone, Copy, Debug)]
enum FoundEvent {
    Log(Offset),
    Flying(usize),
    Open(usize),
    /// Only in the request itself; the index is that of the first such event.
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

    /// The index of the post with this key, and the hash of its content.
    fn find(&self, mark: &Mark) -> Option<(usize, u64)> {
        let index = *self.keys.get(&mark.key)?;
        Some((index, self.marks[index]?.text))
    }
}
