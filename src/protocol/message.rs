//! Messages: one object with one key, the same schema in both encodings.

use super::codes::ErrorCode;
use super::event::Mode;
use super::frame::{Frame, FrameEvent, Outcome};
use super::ids::{ClientId, Epoch, Offset, RoomId, SessionId};
use super::kind::{Announcement, Custom, Pin, Poll, Tally};
use super::settings::RoomSettings;
use super::user::User;
use super::variant::Rendition;
use serde::{Deserialize, Serialize};

/// What a client may say.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    Comment(CommentRequest),
    /// Like, `count` times.
    Like(LikeRequest),
    Auth(AuthRequest),
    /// Ask for another rendition by name.
    Rendition(String),
    /// Vote in the open poll.
    Vote(VoteRequest),
    /// Ask whether the path still carries messages both ways.
    Ping,
}

/// `{"comment":{…}}`, not yet admitted: the text is as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommentRequest {
    /// The client's own id; without it no ack and no de-duplication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId>,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style: Option<StyleRequest>,
    /// Position in the show's media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Wished looks; admission checks the ranges of [`super::event::Style`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StyleRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// 0xRRGGBB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u8>,
}

/// `{"like":{"count":3}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LikeRequest {
    /// How many, from 1 up to the configured cap.
    pub count: u64,
}

/// `{"vote":{"poll":"p1","option":0}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRequest {
    /// The client's own id for it; with one there is an ack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId>,
    pub poll: ClientId,
    /// For which option, from 0.
    pub option: u8,
}

/// `{"auth":{"token":"…"}}`. Its `Debug` hides the token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthRequest {
    /// The bearer token; never echoed or logged.
    pub token: String,
}

impl std::fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthRequest { token: REDACTED }")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerMessage {
    /// First message of a connection.
    Welcome(Box<Welcome>),
    /// One tick of the room.
    Frame(Frame),
    /// A comment is in the log.
    Ack(Ack),
    Error(ErrorMessage),
    /// A stretch that this subscriber was not sent.
    Gap(Gap),
    /// Nothing happened for a while; the connection and the room are well.
    Heartbeat(Heartbeat),
    /// The server closes soon; come back after the hint.
    Bye(Bye),
    /// From here on, frames come in another rendition.
    Rendition(RenditionChange),
    /// The answer to a ping.
    Pong(Pong),
}

/// First message of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    pub room: RoomId,
    pub session: SessionId,
    /// Who the server takes the client for.
    pub you: User,
    /// Whether everything after the asked position follows, without a hole.
    pub recovered: bool,
    /// Why not, when a position was asked for and `recovered` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ResumeFailure>,
    /// What the frames are that follow; left out when it is the viewer's.
    #[serde(default, skip_serializing_if = "Rendition::is_viewer")]
    pub rendition: Rendition,
    pub epoch: Epoch,
    pub last: Offset,
    pub tick_ms: u64,
    /// What a newcomer needs at once.
    pub snapshot: Snapshot,
}

/// Why a resume could not be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeFailure {
    /// The log is another incarnation.
    EpochChanged,
    /// The position is no longer retained.
    TooOld,
    /// The position is ahead of the log.
    Ahead,
    /// The log cannot be read now.
    Unavailable,
}

/// The room as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub likes: u64,
    pub online: u64,
    /// People who have watched, about.
    #[serde(default)]
    pub unique: u64,
    /// The newest shown events, oldest first.
    pub events: Vec<FrameEvent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
    /// The newest sticky event of each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sticky: Vec<Custom>,
    /// Announcements whose time is not over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announcements: Vec<Announcement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Box<RoomSettings>>,
}

/// A comment is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The client's id for it.
    pub id: ClientId,
    pub offset: Offset,
    /// What viewers see of it.
    pub outcome: Outcome,
    /// With [`Outcome::Merged`]: the comment that it was folded into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<Offset>,
}

/// A refusal: what was wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// The comment that it is about, if it had an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId>,
    pub code: ErrorCode,
    pub message: String,
    /// When a retry may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// A stretch that this subscriber was not sent: after `from` up to `to`. What is guaranteed of it comes along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The last position that it was sent.
    pub from: Offset,
    /// The position at which the next frame or gap continues.
    pub to: Offset,
    pub reason: GapReason,
    /// Wall clock of the tick that the events are of, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Guaranteed events of the stretch, in log order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<FrameEvent>,
    /// Polls as they stood after it, if the events are about one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tallies: Vec<Tally>,
}

impl Gap {
    /// A stretch of which nothing is kept.
    pub fn new(from: Offset, to: Offset, reason: GapReason) -> Self {
        Self { from, to, reason, at: None, events: Vec::new(), tallies: Vec::new() }
    }
}

/// Why a stretch was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// This connection did not read fast enough.
    Slow,
    Overload,
}

/// From here on, frames come in another rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenditionChange {
    pub now: Rendition,
    pub reason: RenditionReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenditionReason {
    /// The client asked for it.
    Asked,
    /// The connection did not keep up.
    Slow,
    /// The connection keeps up again.
    KeptUp,
}

/// Nothing happened for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub last: Offset,
    /// Wall clock in milliseconds since the Unix epoch.
    pub at: u64,
}

/// The answer to a client's `ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// Wall clock in milliseconds since the Unix epoch.
    pub at: u64,
}

/// The server closes this connection now; come back after the hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// The close code that follows.
    pub code: u16,
    /// Wait this long before reconnecting.
    pub after_ms: u64,
}
