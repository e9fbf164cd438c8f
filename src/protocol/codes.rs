//! Close codes and error codes: one table each, with the client's next step. Tables in `docs/protocol.md` are generated from
//! them.

use serde::{Deserialize, Serialize};

/// The rows of the table of error codes in `docs/protocol.md`.
pub fn error_table() -> String {
    let row = |code: &ErrorCode| {
        let ([meaning, advice], soft) = (code.words(), if code.is_protocol_error() { "yes" } else { "no" });
        format!("| `{}` | {soft} | {meaning} | {advice} |\n", code.as_str())
    };
    ErrorCode::ALL.iter().map(row).collect()
}

/// The rows of the table of close codes there.
pub fn close_table() -> String {
    let row = |close: &Close| {
        let ([meaning, advice], next) = (close.words(), close.next().as_str());
        format!("| {} | `{}` | {meaning} | {next} | {advice} |\n", close.code(), close.reason())
    };
    Close::ALL.iter().map(row).collect()
}

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was asked for.
    Done,
    Reconnect,
    /// Stay away until the user or a new program version asks again.
    Stop,
}

impl Next {
    /// Its name in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Reconnect => "reconnect",
            Self::Stop => "stop",
        }
    }
}

macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $next:ident, $reason:literal, $meaning:literal, $advice:literal;)*) => {
        /// Why the server closes a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Close { $($(#[$doc])* $name = $code,)* }

        impl Close {
            /// All of them, for documentation and metrics.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// The code on the wire.
            pub const fn code(self) -> u16 { self as u16 }
            /// What the client does next.
            pub const fn next(self) -> Next { match self { $(Self::$name => Next::$next,)* } }
            /// The reason that travels with it: short, stable, in English.
            pub const fn reason(self) -> &'static str { match self { $(Self::$name => $reason,)* } }
            /// What it means and what the client does next, for the documentation.
            pub const fn words(self) -> [&'static str; 2] { match self { $(Self::$name => [$meaning, $advice],)* } }
        }
    };
}

close_codes! {
    Normal = 1000, Done, "bye", "the connection was closed as agreed", "nothing";
    GoingAway = 1001, Done, "going away", "the peer goes away", "nothing";
    /// A violation of RFC 6455.
    Protocol = 1002, Stop, "websocket protocol error", "a violation of RFC 6455, for example a length that is not in its shortest form", "correct the program";
    /// A text message in a binary session or the other way round.
    Unsupported = 1003, Stop, "wrong message type for this subprotocol", "a text message in a MessagePack session, or a binary message in a JSON session", "correct the program";
    /// Text that is not UTF-8, or a compressed message that does not inflate.
    InvalidText = 1007, Stop, "not UTF-8, or does not inflate", "a text message is not UTF-8, or a compressed message is not a complete DEFLATE stream", "correct the program";
    /// Fragments, control frames or pace beyond the limits.
    Policy = 1008, Reconnect, "limit exceeded", "too many fragments or control frames, or a message that took too long to arrive", "send fewer and whole frames";
    /// A message over the size limit.
    TooBig = 1009, Stop, "message too big", "a message is larger than the limit", "send smaller messages";
    /// A bug in the server.
    Bug = 1011, Reconnect, "internal error", "a bug in the server", "resume";
    /// The server drains; resume after the hint.
    Drain = 1012, Reconnect, "server restarts", "the server is restarting", "resume after the time in `bye`";
    /// The server is full; retry later.
    Overload = 1013, Reconnect, "server overloaded", "the server is full", "reconnect after a delay, or after the time in `bye` if there was one";
    /// Did not read fast enough.
    Slow = 4001, Reconnect, "slow consumer", "the client did not read fast enough", "read faster, or ask for the `lite` rendition";
    /// What it was promised is no longer kept; a resume says from where it is.
    Resync = 4002, Reconnect, "resync", "the events that the client still had to get are no longer kept", "resume, or start again without `epoch` and `after`";
    /// Nothing heard for too long.
    HeartbeatMissed = 4003, Reconnect, "heartbeat missed", "the client sent nothing for too long", "resume";
    /// Get a new token first.
    TokenExpired = 4010, Reconnect, "token expired", "the token has expired", "get a new token first";
    /// No token came in time.
    AuthTimeout = 4011, Reconnect, "too slow to authenticate", "the client did not send its token in time", "send the token immediately after connecting";
    /// One user, too many sockets.
    TooManyConnections = 4013, Reconnect, "too many connections", "one user has too many connections", "close others first";
    /// Far over the rate limit.
    RateLimited = 4029, Reconnect, "rate limited", "the client sent far more than its rate limit allows", "send more slowly";
    BadProtocol = 4500, Stop, "too many bad messages", "three protocol errors within 10 s", "correct the program";
    /// The token is not valid.
    BadToken = 4501, Stop, "bad token", "the token is not valid", "log in again";
    Forbidden = 4503, Stop, "forbidden", "the user is not allowed here, or is no longer allowed", "tell the user";
    /// There is no such room.
    NoSuchRoom = 4504, Stop, "no such room", "there is no such room", "tell the user";
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident, $soft:literal, $meaning:literal, $advice:literal;)*) => {
        /// Why something was refused on a connection that stays open.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// Whether it is a protocol error of the client's program; three within 10 s close
            /// the connection with 4500.
            pub const fn is_protocol_error(self) -> bool { match self { $(Self::$name => $soft,)* } }
            /// What it means and what the client does next, for the documentation.
            pub const fn words(self) -> [&'static str; 2] { match self { $(Self::$name => [$meaning, $advice],)* } }
        }
    };
}

error_codes! {
    /// Not JSON or MessagePack, wrong types, out of range.
    BadPayload, true, "the message is not JSON or MessagePack, or a field has a wrong type or is out of range; `message` names the field", "correct the program; do not send the same message again";
    /// A key that the server does not know.
    UnknownOp, true, "the server does not know this kind of message", "do not use it with this server";
    /// Nothing is left of the text after normalisation.
    Empty, false, "the text has no visible characters", "let the user write something";
    /// More than 512 characters or 2 KiB of text, or more than the room takes.
    TooLong, false, "the text has more than 512 characters or 2,048 bytes, or more than the room's `text_max`", "let the user shorten it";
    /// Too fast; see `retry_after_ms`.
    RateLimited, false, "the client sends too fast", "send again after `retry_after_ms`";
    /// The server cannot take it now; see `retry_after_ms`.
    Overloaded, false, "the server cannot take the message now", "send it again after `retry_after_ms`, or after a few seconds if that is absent";
    /// The log cannot take it now.
    StorageUnavailable, false, "the log cannot take the message now; the message is not stored", "send it again after a few seconds";
    /// This server does not offer that.
    NotAvailable, false, "the server does not offer this function", "continue without it";
    /// The author has used this id for another text.
    IdConflict, false, "you used this `id` before with a different text; nothing is stored", "use a new `id`";
    /// The id is older than what the room remembers; it may be in the log already.
    StaleId, false, "the `id` is older than the ids that the room remembers: the comment may already be in the log; nothing is stored now", "look for the comment in the room; to send it anyway, use a new `id`";
    /// Only moderators and the host may comment now.
    Muted, false, "only moderators and the host may comment now", "wait for a `settings` event with `\"mute_all\":false`";
    /// The room does not take that now.
    NotAllowed, false, "the room does not accept this kind of message (comments, likes or votes) now", "wait for a `settings` event that allows it";
    /// There is no such poll, or it takes no more votes.
    PollClosed, false, "the poll does not exist or is closed; a vote that arrives after the poll was closed does not count", "show the poll as closed";
    /// The poll does not have that option.
    NoSuchOption, false, "the poll does not have that option", "correct the program";
    /// As many people have voted as one poll can count.
    PollFull, false, "200,000 people have voted in this poll, which is the most that it can count", "tell the user";
    /// What it is about is not there.
    NotFound, false, "the object that the message refers to does not exist", "nothing";
}

impl ErrorCode {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadPayload => "bad_payload",
            Self::UnknownOp => "unknown_op",
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::StorageUnavailable => "storage_unavailable",
            Self::NotAvailable => "not_available",
            Self::IdConflict => "id_conflict",
            Self::StaleId => "stale_id",
            Self::Muted => "muted",
            Self::NotAllowed => "not_allowed",
            Self::PollClosed => "poll_closed",
            Self::NoSuchOption => "no_such_option",
            Self::PollFull => "poll_full",
            Self::NotFound => "not_found",
        }
    }
}
