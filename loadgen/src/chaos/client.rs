//! A checked client: it follows a room, sends comments, reconnects with the same identity, repeats unanswered comments,
//! and records everything that it sees.
//!
//! Does not know: sockets, other clients, the rules that are checked.

use super::record::Recorder;
use super::sight::{class_name, hash, item, outcome_name, raise};
use crate::history::{
    Answered, Closed, Event, Frame, Gap, Kept, Liked, Moment, Refused, Rendition, Sent, Text, Unsure, Welcome, Who,
};
use std::borrow::Cow;
use std::collections::VecDeque;
use volley::protocol::codes::ErrorCode;
use volley::protocol::frame::Outcome;
use volley::protocol::frame::{FrameEvent, What};
use volley::protocol::kind::{Kind, Poll};
use volley::protocol::message::{RenditionReason, ResumeFailure, ServerMessage, Welcome as Welcomed};
use volley::protocol::variant;

/// Unanswered comments at which the client sends no new one.
pub const OPEN_MAX: usize = 64;

/// The close code in the history of a connection that ended without one.
pub const CLOSED_WITHOUT_CODE: u64 = 1006;

/// A comment without an answer.
#[derive(Debug)]
struct UnansweredComment {
    number: u64,
    attempt: u64,
    text: String,
    /// It was sent on the current connection.
    is_out: bool,
}

/// A checked client: its identity and its position.
#[derive(Debug)]
pub struct Client {
    pub name: String,
    /// The secret by which the server recognises the guest.
    pub key: String,
    pub room: usize,
    author: String,
    session: String,
    epoch: Option<String>,
    last: u64,
    /// The welcome's position, at which the client has caught up.
    target: u64,
    is_in: bool,
    is_live: bool,
    number: u64,
    open: VecDeque<UnansweredComment>,
    asked_ns: u64,
    /// The open poll, as far as the client knows.
    poll: Option<Poll>,
    /// The rendition that it asks for; none: the default.
    rendition: Option<variant::Rendition>,
}

/// What the owner of the socket has to do after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    None,
    /// The client was welcomed: send the unanswered comments again ([`Client::again`]).
    Again,
    /// Reconnect after this many milliseconds.
    ComeBack(u64),
}

/// Counts of all clients of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCounts {
    /// Comments sent for the first time.
    pub sent: u64,
    pub retried: u64,
    pub acked: u64,
    pub refused: u64,
    /// Refused because the log could not store them.
    pub unstored: u64,
    /// Messages that say when to reconnect.
    pub byes: u64,
    /// Comments whose connection was lost before the answer.
    pub unknown: u64,
    /// Answers to comments that were not sent.
    pub stray: u64,
    pub frames: u64,
    pub welcomes: u64,
    /// Welcomes that continued exactly at the client's position.
    pub recovered: u64,
    /// Welcomes that did not, although the client asked: the log is a different one; it lost the position; the position
    /// is older than the retained events; the log cannot be read.
    pub not_recovered: [u64; 4],
    pub gaps: u64,
    /// Acknowledged comments that were merged into others.
    pub merged: u64,
    /// Acknowledged comments that were left out and counted.
    pub shed: u64,
    pub votes: u64,
    /// How many times a client was moved to a lighter rendition.
    pub slid: u64,
    pub climbed: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
}

impl ClientCounts {
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.retried += other.retried;
        self.acked += other.acked;
        self.refused += other.refused;
        self.unstored += other.unstored;
        self.byes += other.byes;
        self.unknown += other.unknown;
        self.stray += other.stray;
        self.frames += other.frames;
        self.welcomes += other.welcomes;
        self.recovered += other.recovered;
        self.not_recovered.iter_mut().zip(other.not_recovered).for_each(|(mine, theirs)| *mine += theirs);
        self.gaps += other.gaps;
        self.merged += other.merged;
        self.shed += other.shed;
        self.votes += other.votes;
        self.slid += other.slid;
        self.climbed += other.climbed;
        self.unreadable += other.unreadable;
    }
}

/// The environment in which a client acts.
#[derive(Debug)]
pub struct Desk<'a> {
    pub recorder: &'a Recorder,
    pub counts: &'a mut ClientCounts,
    pub rooms: &'a [String],
}

impl Client {
    /// A client that was never connected.
    pub fn new(name: String, key: String, room: usize) -> Self {
        Self {
            name,
            key,
            room,
            author: String::new(),
            session: String::new(),
            epoch: None,
            last: 0,
            target: 0,
            is_in: false,
            is_live: false,
            number: 0,
            open: VecDeque::new(),
            asked_ns: 0,
            poll: None,
            rendition: None,
        }
    }

    /// The same client, which asks for a rendition whenever it connects.
    pub fn asking_for(self, rendition: Option<variant::Rendition>) -> Self {
        Self { rendition, ..self }
    }

    /// Whether it was welcomed and has caught up.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// The number of unanswered comments.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    fn who(&self) -> Who<'_> {
        let session = (!self.session.is_empty()).then_some(Cow::Borrowed(&*self.session));
        Who { client: Some(Cow::Borrowed(&self.name)), session }
    }

    /// Begins to connect; returns the query with the client's position.
    pub fn attempt(&mut self, now_ns: u64, desk: &Desk<'_>) -> String {
        self.asked_ns = now_ns;
        self.session.clear();
        let room = Some(desk.rooms[self.room].as_str().into());
        desk.recorder.write(&Event::Attempt(Moment { who: self.who(), room }));
        let rendition = self.rendition.map(|rendition| format!("rendition={}", rendition.as_str()));
        let place = self.epoch.as_ref().map(|epoch| format!("epoch={epoch}&after={}", self.last));
        match (place, rendition) {
            (None, None) => String::new(),
            (Some(one), None) | (None, Some(one)) => format!("?{one}"),
            (Some(place), Some(rendition)) => format!("?{place}&{rendition}"),
        }
    }

    /// A new comment, as JSON to send; `None` if too many are unanswered or the client is not in the room.
    /// Normalisation must not change `text`, because its hash has to be that of the stored text. Without `text` the
    /// comment has a distinct text.
    pub fn say(&mut self, text: Option<String>, desk: &mut Desk<'_>) -> Option<String> {
        if !self.is_in || self.open.len() >= OPEN_MAX {
            return None;
        }
        self.number += 1;
        let text = text.unwrap_or_else(|| format!("{} says {}", self.name, self.number));
        self.open.push_back(UnansweredComment { number: self.number, attempt: 0, text, is_out: false });
        desk.counts.sent += 1;
        Some(self.out(self.open.len() - 1, desk))
    }

    /// All unanswered comments, oldest first, as JSON to send.
    pub fn again(&mut self, desk: &mut Desk<'_>) -> Vec<String> {
        let waiting: Vec<usize> = (0..self.open.len()).filter(|at| !self.open[*at].is_out).collect();
        desk.counts.retried += waiting.len() as u64;
        waiting.into_iter().map(|at| self.out(at, desk)).collect()
    }

    fn out(&mut self, at: usize, desk: &mut Desk<'_>) -> String {
        let said = &mut self.open[at];
        said.attempt += 1;
        said.is_out = true;
        let said = &self.open[at];
        let id = format!("m{}", said.number);
        desk.recorder.write(&Event::Send(Sent {
            who: self.who(),
            author: Cow::Borrowed(&self.author),
            id: Some(Cow::Borrowed(&id)),
            room: Cow::Borrowed(&desk.rooms[self.room]),
            hash: hash(&said.text),
            attempt: Some(said.attempt),
            retry: said.attempt > 1,
        }));
        serde_json::json!({ "comment": { "id": id, "text": said.text } }).to_string()
    }

    /// Likes, as JSON to send. The server does not answer them, so it is never known whether they counted.
    pub fn like(&self, count: u64, desk: &Desk<'_>) -> Option<String> {
        if !self.is_in {
            return None;
        }
        let room = Cow::Borrowed(desk.rooms[self.room].as_str());
        desk.recorder.write(&Event::LikeUnknown(Liked { room, n: count }));
        Some(serde_json::json!({ "like": { "count": count } }).to_string())
    }

    /// A vote in the open poll, as JSON to send; `None` if the client knows no open poll. It may have voted before; the
    /// first vote counts.
    pub fn vote(&self, number: u64, desk: &mut Desk<'_>) -> Option<String> {
        let poll = self.poll.as_ref().filter(|poll| self.is_in && !poll.options.is_empty())?;
        desk.counts.votes += 1;
        let option = number % poll.options.len() as u64;
        Some(serde_json::json!({ "vote": { "poll": poll.id.as_str(), "option": option } }).to_string())
    }

    /// The connection ended; unanswered comments stay unanswered.
    pub fn closed(&mut self, code: Option<u16>, desk: &mut Desk<'_>) {
        let room = Cow::Borrowed(desk.rooms[self.room].as_str());
        for at in 0..self.open.len() {
            if self.open[at].is_out {
                self.open[at].is_out = false;
                desk.counts.unknown += 1;
                desk.recorder.write(&Event::Unknown(Unsure { answered: self.answered(at, &room) }));
            }
        }
        if self.is_in {
            let code = code.map_or(CLOSED_WITHOUT_CODE, u64::from);
            desk.recorder.write(&Event::Close(Closed { who: self.who(), room: Some(room), code }));
        }
        self.is_in = false;
        self.is_live = false;
    }

    fn answered<'a>(&'a self, at: usize, room: &Text<'a>) -> Answered<'a> {
        let said = &self.open[at];
        let id = Cow::Owned(format!("m{}", said.number));
        Answered { author: Cow::Borrowed(&self.author), id, room: Some(room.clone()), attempt: Some(said.attempt) }
    }

    pub fn hear(&mut self, payload: &[u8], desk: &mut Desk<'_>) -> Wish {
        let Ok(message) = serde_json::from_slice::<ServerMessage>(payload) else {
            desk.counts.unreadable += 1;
            return Wish::None;
        };
        let room = Cow::Borrowed(desk.rooms[self.room].as_str());
        match message {
            ServerMessage::Welcome(welcome) => {
                self.welcomed(&welcome, desk);
                return Wish::Again;
            }
            ServerMessage::Frame(frame) => {
                desk.counts.frames += 1;
                frame.events.iter().for_each(|event| self.learn(event));
                let shed = frame.shed.iter().map(|(class, n)| (Cow::Borrowed(class_name(*class)), *n)).collect();
                desk.recorder.write(&Event::Frame(Frame {
                    who: self.who(),
                    room: Some(room),
                    prev: frame.prev,
                    last: frame.last,
                    digest: Some(Cow::Owned(frame.digest.to_string())),
                    likes: Some(frame.likes),
                    items: frame.events.iter().filter(|event| raise(event).is_none()).map(item).collect(),
                    raises: frame.events.iter().filter_map(raise).collect(),
                    shed,
                }));
                self.reached(frame.last, desk);
            }
            ServerMessage::Gap(gap) => {
                desk.counts.gaps += 1;
                let reason = Some(Cow::Owned(format!("{:?}", gap.reason).to_lowercase()));
                let (from, to) = (gap.from, gap.to);
                desk.recorder.write(&Event::Gap(Gap { who: self.who(), room: Some(room), from, to, reason }));
                self.reached(gap.to, desk);
            }
            ServerMessage::Ack(ack) => match self.find(ack.id.as_str()) {
                Some(at) => {
                    desk.counts.acked += 1;
                    desk.counts.merged += u64::from(ack.outcome == Outcome::Merged);
                    desk.counts.shed += u64::from(ack.outcome == Outcome::Shed);
                    let epoch = Cow::Borrowed(self.epoch.as_deref().unwrap_or_default());
                    let (answered, outcome) = (self.answered(at, &room), Some(outcome_name(ack.outcome).into()));
                    let (offset, into) = (ack.offset, ack.into);
                    desk.recorder.write(&Event::Ok(Kept { answered, epoch, offset, outcome, into }));
                    self.open.remove(at);
                }
                None => desk.counts.stray += 1,
            },
            ServerMessage::Error(error) => {
                let Some(at) = error.id.as_ref().and_then(|id| self.find(id.as_str())) else {
                    desk.counts.stray += 1;
                    return Wish::None;
                };
                let answered = self.answered(at, &room);
                // `stale_id` means that the server does not know whether the comment is in the log.
                let event = if error.code == ErrorCode::StaleId {
                    desk.counts.unknown += 1;
                    Event::Unknown(Unsure { answered })
                } else {
                    desk.counts.refused += 1;
                    desk.counts.unstored += u64::from(error.code == ErrorCode::StorageUnavailable);
                    Event::Fail(Refused { answered, code: error.code.as_str().into() })
                };
                desk.recorder.write(&event);
                self.open.remove(at);
            }
            ServerMessage::Rendition(change) => {
                let (now, reason) = (change.now.as_str().into(), format!("{:?}", change.reason).to_lowercase());
                match change.reason {
                    RenditionReason::Asked => {}
                    RenditionReason::Slow => desk.counts.slid += 1,
                    RenditionReason::KeptUp => desk.counts.climbed += 1,
                }
                let (who, reason) = (self.who(), Some(reason.into()));
                desk.recorder.write(&Event::Rendition(Rendition { who, room: Some(room), now, reason }));
            }
            ServerMessage::Heartbeat(heartbeat) => self.reached(heartbeat.last.min(self.last), desk),
            // This client never sends a ping.
            ServerMessage::Pong(_) => {}
            ServerMessage::Bye(bye) => {
                desk.counts.byes += 1;
                return Wish::ComeBack(bye.after_ms);
            }
        }
        Wish::None
    }

    /// Notes facts that later actions need.
    fn learn(&mut self, event: &FrameEvent) {
        match &event.what {
            What::Kind(Kind::Poll(poll)) => self.poll = Some(poll.clone()),
            What::Kind(Kind::PollClose(_)) => self.poll = None,
            _ => {}
        }
    }

    fn find(&self, id: &str) -> Option<usize> {
        let number: u64 = id.strip_prefix('m')?.parse().ok()?;
        self.open.iter().position(|said| said.number == number)
    }

    fn welcomed(&mut self, welcome: &Welcomed, desk: &mut Desk<'_>) {
        let (asked, epoch) = (self.epoch.is_some(), welcome.epoch.to_string());
        self.is_in = true;
        self.author = welcome.you.id.to_string();
        self.session = welcome.session.to_string();
        self.poll.clone_from(&welcome.snapshot.poll);
        let after = asked.then_some(self.last);
        desk.counts.welcomes += 1;
        desk.counts.recovered += u64::from(welcome.recovered);
        match welcome.reason {
            None => {}
            Some(ResumeFailure::EpochChanged) => desk.counts.not_recovered[0] += 1,
            Some(ResumeFailure::Ahead) => desk.counts.not_recovered[1] += 1,
            Some(ResumeFailure::TooOld) => desk.counts.not_recovered[2] += 1,
            Some(ResumeFailure::Unavailable) => desk.counts.not_recovered[3] += 1,
        }
        let reason = welcome.reason.map(|reason| Cow::Owned(format!("{reason:?}").to_lowercase()));
        desk.recorder.write(&Event::Welcome(Welcome {
            who: self.who(),
            room: Cow::Borrowed(welcome.room.as_str()),
            epoch: Cow::Borrowed(&epoch),
            last: welcome.last,
            recovered: welcome.recovered,
            reason,
            after,
            started: Some(self.asked_ns),
            likes: Some(welcome.snapshot.likes),
            items: welcome.snapshot.events.iter().map(item).collect(),
        }));
        if !welcome.recovered {
            self.last = welcome.last;
        }
        self.epoch = Some(epoch);
        self.target = welcome.last;
        self.reached(self.last, desk);
    }

    /// Moves to `last`; records `live` when the client has caught up.
    fn reached(&mut self, last: u64, desk: &Desk<'_>) {
        self.last = last;
        if !self.is_live && last >= self.target {
            self.is_live = true;
            let room = Some(Cow::Borrowed(desk.rooms[self.room].as_str()));
            desk.recorder.write(&Event::Live(Moment { who: self.who(), room }));
        }
    }
}

#[cfg(test)]
mod tests;
