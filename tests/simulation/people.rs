//! Senders that retry until they get an answer, and viewers that lag, leave and resume. Both remember what they were
//! told.

use std::collections::{BTreeMap, VecDeque};
use volley::protocol::frame::{Frame, FrameEvent, What};
use volley::protocol::ids::{Digest, Epoch, Offset};
use volley::protocol::local::ConnRef;

/// The history of one comment.
#[derive(Debug, Default)]
pub struct Sent {
    pub text: String,
    /// When each copy was sent, by the world's count of steps.
    pub sent_at: Vec<u64>,
    /// Copies that were refused: surely not stored.
    pub refused: usize,
    /// Time and offset of its acknowledgements.
    pub acks: Vec<(u64, Offset)>,
}

/// One author, whose ids and identity survive connections.
#[derive(Debug, Default)]
pub struct Author {
    pub name: String,
    pub conn: Option<ConnRef>,
    pub sent: BTreeMap<String, Sent>,
    pub next: u64,
}

impl Author {
    /// The oldest comment without an ack.
    pub fn unanswered(&self) -> Option<String> {
        self.sent.iter().find(|(_, sent)| sent.acks.is_empty()).map(|(id, _)| id.clone())
    }
}

/// Frames that may wait for a viewer before it receives a gap.
const RING: usize = 6;

/// One viewer, over all its connections.
#[derive(Debug, Default)]
pub struct Viewer {
    pub conn: Option<ConnRef>,
    pub epoch: Option<Epoch>,
    pub position: Offset,
    pub waiting: VecDeque<Frame>,
    /// (offset, author, id, text) of everything shown, in the order of arrival.
    pub shown: Vec<(Offset, String, String, String)>,
    /// Received stretches, with the number of comments that each accounts for.
    pub stretches: Vec<(Offset, Offset, u64)>,
    pub digests: BTreeMap<Offset, Digest>,
    pub likes: u64,
}

impl Viewer {
    /// Queues a frame; frames that no longer fit are replaced with a gap, as in a shard's ring.
    pub fn push(&mut self, frame: Frame) {
        self.waiting.push_back(frame);
        if self.waiting.len() > RING {
            let skipped = self.waiting.pop_front().expect("more than the ring holds");
            self.waiting.retain(|frame| frame.last > skipped.last);
            // The gap has the position where the stream continues.
            self.position = self.position.max(skipped.last);
        }
    }

    /// Receives one waiting frame.
    pub fn read(&mut self) {
        let Some(frame) = self.waiting.pop_front() else { return };
        self.take(&frame);
    }

    /// Checks a frame against what came before, and keeps it.
    pub fn take(&mut self, frame: &Frame) {
        assert!(frame.prev <= self.position, "S2: {} follows {} without a word", frame.prev, self.position);
        assert!(frame.likes >= self.likes, "S16: likes fell from {} to {}", self.likes, frame.likes);
        self.likes = frame.likes;
        self.digests.insert(frame.last, frame.digest);
        let shed: u64 = frame.shed.values().sum();
        let whole = frame.prev == self.position;
        if whole {
            let told: u64 = frame.events.iter().map(stands_for).sum();
            self.stretches.push((frame.prev, frame.last, shed + told));
        }
        for event in frame.events.iter().filter(|event| event.offset > self.position) {
            if let What::Raise(raise) = event.what {
                assert!(!whole || raise.offset <= frame.prev, "a raise of what came with it");
                continue;
            }
            let comment = &event.as_comment().expect("a comment").comment;
            let id = comment.id.as_ref().expect("an id").as_str().to_owned();
            assert!(self.shown.last().is_none_or(|last| last.0 < event.offset), "S3/S4: {} comes again", event.offset);
            self.shown.push((event.offset, comment.user.id.to_string(), id, comment.text.to_string()));
        }
        self.position = self.position.max(frame.last);
    }
}

/// The number of comments of its stretch that an event of a frame accounts for.
fn stands_for(event: &FrameEvent) -> u64 {
    match &event.what {
        What::Comment(shown) => shown.times,
        What::Raise(raise) => raise.by,
        What::Kind(_) | What::Unknown => 0,
    }
}
