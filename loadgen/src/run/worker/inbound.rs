//! Reads sockets into the shared buffer, splits frames, and records messages in the books.
//!
//! Does not know: schedules, commands.

use super::viewer::ViewerState;
use super::{Worker, io_cause};
use crate::clock::{CommentId, now_ns};
use crate::run::ledger::book::Met;
use crate::run::messages::bump;
use crate::wire::line::{Bytes, LineError, READ_BYTES, Received, Stage};
use crate::wire::ws::{self, Kind, Split};
use volley::protocol::frame::Outcome;
use volley::protocol::message::{RenditionReason, ServerMessage, Snapshot};
use volley::protocol::variant::Encoding;

/// Why a connection ends.
enum Stop {
    /// A failure, counted by this cause.
    Cause(String),
    /// The server closed the connection with this code.
    Closed(u16),
}

impl From<LineError> for Stop {
    fn from(error: LineError) -> Self {
        Self::Cause(error.to_string())
    }
}

impl Worker<'_> {
    /// The socket is writable: the TCP handshake is over, or it accepts bytes again.
    pub(super) fn writable(&mut self, index: usize) {
        let viewer = &mut self.viewers[index];
        let result = if viewer.line.stage() == Stage::Connecting {
            let request = self.upgrade.request_with(&self.plan.rooms[viewer.room], &self.query, "");
            viewer.line.connected().and_then(|()| viewer.line.send(&request))
        } else {
            viewer.line.flush()
        };
        if let Err(error) = result {
            self.drop_viewer(index, &io_cause(&error));
        }
    }

    /// The socket has bytes, or was closed.
    pub(super) fn readable(&mut self, index: usize) {
        if self.is_stalling && self.viewers[index].stalls {
            return; // It is read after the stall. Its bytes are still there, only this event is lost.
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let viewer = &mut self.viewers[index];
            let closed = |code: Option<u16>| code.map(|code| format!("close {code}"));
            let code = viewer.close_code;
            match viewer.line.read(&mut buffer, READ_BYTES) {
                Received::Bytes(bytes) => {
                    if self.is_measuring {
                        self.tally.bytes_measured += bytes.taken as u64;
                    }
                    let is_drained = bytes.is_drained;
                    match self.bytes(index, bytes) {
                        Ok(()) if is_drained => break,
                        Ok(()) => {}
                        Err(Stop::Cause(cause)) => {
                            self.drop_viewer(index, &cause);
                            break;
                        }
                        Err(Stop::Closed(code)) => {
                            self.drop_viewer(index, &format!("close {code}"));
                            break;
                        }
                    }
                }
                Received::Nothing => break,
                Received::End => {
                    self.drop_viewer(index, &closed(code).unwrap_or("ended without a close frame".into()));
                    break;
                }
                Received::Broken(error) => {
                    self.drop_viewer(index, &closed(code).unwrap_or_else(|| io_cause(&error)));
                    break;
                }
            }
        }
        self.buffer = buffer;
    }

    fn bytes(&mut self, index: usize, mut bytes: Bytes<'_>) -> Result<(), Stop> {
        let now = now_ns();
        while let Some(frame) = self.viewers[index].line.next(&mut bytes, &self.upgrade)? {
            self.frame(index, frame, now)?;
        }
        self.viewers[index].line.keep(&bytes);
        Ok(())
    }

    fn frame(&mut self, index: usize, frame: Split<'_>, now: u64) -> Result<(), Stop> {
        match frame.kind {
            Kind::Text | Kind::Binary => self.data(index, frame, now),
            Kind::Ping => {
                self.tally.pings += 1;
                self.send_frame(index, Kind::Pong, frame.payload);
                Ok(())
            }
            Kind::Pong => Ok(()),
            Kind::Close => {
                let code = ws::close_code(frame.payload);
                self.viewers[index].close_code = Some(code);
                if self.viewers[index].state != ViewerState::Closing {
                    self.send_frame(index, Kind::Close, frame.payload.get(..2).unwrap_or(&[]));
                }
                Err(Stop::Closed(code))
            }
        }
    }

    fn data(&mut self, index: usize, frame: Split<'_>, now: u64) -> Result<(), Stop> {
        let encoding = self.plan.encoding;
        let expected = if encoding == Encoding::Json { Kind::Text } else { Kind::Binary };
        if frame.kind != expected {
            return Err(Stop::Cause("message in the wrong encoding".into()));
        }
        let viewer = &mut self.viewers[index];
        if viewer.state != ViewerState::Live && viewer.state != ViewerState::Arriving {
            return Ok(()); // Frames after the viewer's close frame do not belong to its stretch.
        }
        let book = &mut self.books[viewer.room];
        if viewer.state == ViewerState::Live
            && let Some(known) = book.recognise(&viewer.place, frame.payload)
        {
            self.took(index, known, frame.bytes, now);
            return Ok(());
        }
        // All viewers receive the same compressed bytes. They are inflated once, and then recognised like others.
        let payload =
            if frame.is_packed { self.inflater.inflate(frame.payload).map_err(Stop::Cause)? } else { frame.payload };
        let message = match encoding {
            Encoding::Json => serde_json::from_slice::<ServerMessage>(payload).map_err(|e| e.to_string()),
            Encoding::Msgpack => rmp_serde::from_slice::<ServerMessage>(payload).map_err(|e| e.to_string()),
        };
        match message {
            Ok(message) => self.message(index, message, frame, now),
            Err(error) => {
                bump(&mut self.tally.unreadable, &error, 1);
                Ok(())
            }
        }
    }

    fn message(&mut self, index: usize, message: ServerMessage, split: Split<'_>, now: u64) -> Result<(), Stop> {
        let viewer = &mut self.viewers[index];
        let book = &mut self.books[viewer.room];
        match (viewer.state, message) {
            (ViewerState::Arriving, ServerMessage::Welcome(welcome)) => {
                if welcome.room.as_str() != self.plan.rooms[viewer.room] {
                    return Err(Stop::Cause("welcome to a different room".into()));
                }
                viewer.place = book.welcome(&welcome);
                viewer.place.rendition = self.plan.rendition;
                for name in held(&welcome.snapshot) {
                    bump(&mut self.tally.welcomes, name, 1);
                }
                viewer.state = ViewerState::Live;
                self.on_the_way -= 1;
                self.live += 1;
                self.tally.connected += 1;
            }
            (ViewerState::Arriving, _) => return Err(Stop::Cause("first message is not a welcome".into())),
            (_, ServerMessage::Frame(frame)) => {
                let known = book.record(&viewer.place, split.payload, &frame);
                let json = serde_json::to_vec(&ServerMessage::Frame(frame)).map_or(0, |json| json.len());
                book.set_json_bytes(json + ws::header_bytes(json));
                self.took(index, known, split.bytes, now);
            }
            (_, ServerMessage::Gap(gap)) => book.gap(&mut viewer.place, &gap),
            (_, ServerMessage::Heartbeat(heartbeat)) => book.heartbeat(&mut viewer.place, heartbeat.last),
            (_, ServerMessage::Ack(ack)) => {
                let known = CommentId::parse(ack.id.as_str());
                match known.and_then(|id| self.pending.remove(&id.number).map(|by| (id, &mut self.viewers[by]))) {
                    Some((id, by)) => {
                        by.said.0 += 1;
                        by.said.1 += u32::from(ack.outcome == Outcome::Shown);
                        self.books[by.room].ack(id.number, &ack);
                        self.crowds[by.group].histograms.record_ack(id.sent_ns, now);
                        bump(&mut self.tally.acked, outcome_name(ack.outcome), 1);
                    }
                    None => self.tally.stray_answers += 1,
                }
            }
            (_, ServerMessage::Error(error)) => match &error.id {
                Some(id) => {
                    let number = CommentId::parse(id.as_str()).map(|id| id.number);
                    if number.and_then(|number| self.pending.remove(&number)).is_some() {
                        bump(&mut self.tally.refused, error.code.as_str(), 1);
                    } else {
                        self.tally.stray_answers += 1;
                    }
                }
                // All comments of a run have ids, so this error is about likes.
                None => {
                    let count = self.plan.groups[viewer.group].likes_per_message;
                    bump(&mut self.tally.likes_refused, error.code.as_str(), count);
                }
            },
            (_, ServerMessage::Bye(_)) => self.tally.byes += 1,
            (_, ServerMessage::Rendition(change)) => {
                viewer.place.rendition = change.now;
                let reason = match change.reason {
                    RenditionReason::Asked => "asked",
                    RenditionReason::Slow => "slow",
                    RenditionReason::KeptUp => "kept up",
                };
                bump(&mut self.tally.renditions, &format!("{} ({reason})", change.now.as_str()), 1);
            }
            (_, ServerMessage::Welcome(_)) => bump(&mut self.tally.unreadable, "a second welcome", 1),
            (_, ServerMessage::Pong(_)) => bump(&mut self.tally.unreadable, "a pong without a ping", 1),
        }
        Ok(())
    }

    /// Records that a viewer received frame `known` of its room, in `bytes` bytes on the wire.
    fn took(&mut self, index: usize, known: usize, bytes: usize, now: u64) {
        let viewer = &mut self.viewers[index];
        let book = &mut self.books[viewer.room];
        let crowd = &mut self.crowds[viewer.group];
        self.tally.frames += 1;
        if self.is_measuring {
            self.tally.frames_measured += 1;
            crowd.result.frames_measured += 1;
            self.tally.frame_bytes += bytes as u64;
            self.tally.frame_json_bytes += book.json_bytes(known);
            crowd.histograms.record_frame(book.json_bytes(known));
        }
        if book.take(&mut viewer.place, known) == Met::New && !viewer.stalls {
            for sent_ns in &book.evidence().frames[known].sent_ns {
                crowd.histograms.record(*sent_ns, now);
            }
            for sent_ns in &book.evidence().frames[known].posted_ns {
                crowd.histograms.record_post(*sent_ns, now);
            }
        }
    }
}

/// The names of a snapshot's parts that are not empty.
fn held(snapshot: &Snapshot) -> impl Iterator<Item = &'static str> {
    let parts = [
        ("comments", !snapshot.events.is_empty()),
        ("pinned", snapshot.pinned.is_some()),
        ("poll", snapshot.poll.is_some() && snapshot.tally.is_some()),
        ("sticky", !snapshot.sticky.is_empty()),
        ("announcements", !snapshot.announcements.is_empty()),
        ("settings", snapshot.settings.is_some()),
    ];
    parts.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name)
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Shown => "shown",
        Outcome::Merged => "merged",
        Outcome::Shed => "shed",
    }
}
