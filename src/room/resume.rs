//! What a returning subscriber missed: one frame for exactly the stretch, or an honest no.

use super::core::Framed;
use super::recent::encoded_bytes;
use crate::limits::{CATCH_UP_BYTES_MAX, CATCH_UPS_MAX, RESUME_BYTES_MAX, RESUME_EVENTS_MAX};
use crate::log::{Limit, Log, ReadError};
use crate::protocol::encode::{self, Encoding};
use crate::protocol::event::Event;
use crate::protocol::frame::{Frame, FrameEvent};
use crate::protocol::ids::{Offset, RoomId};
use crate::protocol::message::{ResumeFailure, ServerMessage};
use bytes::Bytes;
use std::collections::BTreeMap;

type Answer = Result<Bytes, ResumeFailure>;

/// The catch-ups of one framed position. After a drop of the network thousands come back with the same
/// position in the same tick: they share one read and one encoding. Forgotten with every frame; when full,
/// further positions are answered but not remembered.
#[derive(Debug, Default)]
pub(super) struct CatchUps {
    known: BTreeMap<(Offset, u8), Answer>,
    bytes: usize,
}

impl CatchUps {
    /// The framed position moved.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }

    /// Everything after `after` up to `framed.last`, as one whole WebSocket frame.
    pub(super) fn get(
        &mut self,
        log: &dyn Log,
        room: &RoomId,
        after: Offset,
        framed: &Framed,
        encoding: Encoding,
    ) -> Answer {
        let key = (after, encoding as u8);
        if let Some(answer) = self.known.get(&key) {
            return answer.clone();
        }
        let answer = read(log, room, after, framed, encoding);
        let bytes = answer.as_ref().map_or(0, Bytes::len);
        if self.known.len() < CATCH_UPS_MAX && self.bytes + bytes <= CATCH_UP_BYTES_MAX {
            self.bytes += bytes;
            self.known.insert(key, answer.clone());
        }
        answer
    }
}

fn read(log: &dyn Log, room: &RoomId, after: Offset, framed: &Framed, encoding: Encoding) -> Answer {
    // One more than allowed tells "too far back" from "just fits". Records beyond the framed position come
    // with the next live frame.
    let mut records = log.read(room, after, Limit::events(RESUME_EVENTS_MAX + 1)).map_err(|error| match error {
        ReadError::Ahead { .. } => ResumeFailure::Ahead,
        // A store that cannot be read cannot prove the stretch whole either.
        ReadError::TooOld { .. } | ReadError::Unknown | ReadError::Unavailable => ResumeFailure::TooOld,
    })?;
    records.truncate(records.partition_point(|record| record.offset <= framed.last));
    if records.len() > RESUME_EVENTS_MAX {
        return Err(ResumeFailure::TooOld);
    }
    let events: Vec<_> = records
        .into_iter()
        .filter_map(|record| match record.event {
            Event::Comment(comment) => Some(FrameEvent { offset: record.offset, comment: Some(comment) }),
            Event::Likes { .. } => None, // The total in the frame has them.
        })
        .collect();
    // An estimate first, so that nobody can make us encode megabytes only to throw them away.
    if events.iter().map(encoded_bytes).sum::<usize>() > 2 * RESUME_BYTES_MAX {
        return Err(ResumeFailure::TooOld);
    }
    let Framed { last, digest, likes, online, at_ms } = *framed;
    let frame = Frame { prev: after, last, at: at_ms, digest, likes, online, events, shed: BTreeMap::new() };
    let bytes = encode::websocket_message(&ServerMessage::Frame(frame), encoding);
    if bytes.len() > RESUME_BYTES_MAX { Err(ResumeFailure::TooOld) } else { Ok(bytes) }
}
