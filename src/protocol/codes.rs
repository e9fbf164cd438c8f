//! Close codes and error codes: one table each, with what the client does next.

use serde::{Deserialize, Serialize};

/// What a client does after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was asked for.
    Done,
    /// Reconnect with back-off, resuming.
    Reconnect,
    /// Do not come back by yourself.
    Stop,
}

macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $next:ident, $reason:literal;)*) => {
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
        }
    };
}

close_codes! {
    /// Closed in good order.
    Normal = 1000, Done, "bye";
    /// The peer goes away.
    GoingAway = 1001, Done, "going away";
    /// A violation of RFC 6455.
    Protocol = 1002, Stop, "websocket protocol error";
    /// A text message in a binary session or the other way round.
    Unsupported = 1003, Stop, "wrong message type for this subprotocol";
    /// Text that is not UTF-8, or a compressed message that does not inflate.
    InvalidText = 1007, Stop, "not UTF-8, or does not inflate";
    /// Fragments, control frames or pace beyond the limits.
    Policy = 1008, Reconnect, "limit exceeded";
    /// A message over the size limit.
    TooBig = 1009, Stop, "message too big";
    /// A bug in the server.
    Bug = 1011, Reconnect, "internal error";
    /// The server drains; resume after the hint.
    Drain = 1012, Reconnect, "server restarts";
    /// The server is full; retry later.
    Overload = 1013, Reconnect, "server overloaded";
    /// Did not read fast enough.
    Slow = 4001, Reconnect, "slow consumer";
    /// What it was promised is no longer kept; a resume says from where it is.
    Resync = 4002, Reconnect, "resync";
    /// Nothing heard for too long.
    HeartbeatMissed = 4003, Reconnect, "heartbeat missed";
    /// Get a new token first.
    TokenExpired = 4010, Reconnect, "token expired";
    /// No token came in time.
    AuthTimeout = 4011, Reconnect, "too slow to authenticate";
    /// One user, too many sockets.
    TooManyConnections = 4013, Reconnect, "too many connections";
    /// Far over the rate limit.
    RateLimited = 4029, Reconnect, "rate limited";
    /// Repeated nonsense.
    BadProtocol = 4500, Stop, "too many bad messages";
    /// The token is not valid.
    BadToken = 4501, Stop, "bad token";
    /// Not allowed (any more).
    Forbidden = 4503, Stop, "forbidden";
    /// There is no such room.
    NoSuchRoom = 4504, Stop, "no such room";
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident, $soft:literal;)*) => {
        /// Why something was refused on a connection that stays open.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// Whether it is a protocol error of the client's program; three within 10 s close
            /// the connection with 4500.
            pub const fn is_protocol_error(self) -> bool { match self { $(Self::$name => $soft,)* } }
        }
    };
}

error_codes! {
    /// Not JSON or MessagePack, wrong types, out of range.
    BadPayload, true;
    /// A key that the server does not know.
    UnknownOp, true;
    /// Nothing is left of the text after normalisation.
    Empty, false;
    /// More than 512 characters or 2 KiB of text, or more than the room takes.
    TooLong, false;
    /// Too fast; see `retry_after_ms`.
    RateLimited, false;
    /// The server cannot take it now; see `retry_after_ms`.
    Overloaded, false;
    /// The log cannot take it now.
    StorageUnavailable, false;
    /// This server does not offer that.
    NotAvailable, false;
    /// The author has used this id for another text.
    IdConflict, false;
    /// The id is older than what the room remembers; it may be in the log already.
    StaleId, false;
    /// Only moderators and the host may comment now.
    Muted, false;
    /// The room does not take that now.
    NotAllowed, false;
    /// There is no such poll, or it takes no more votes.
    PollClosed, false;
    /// The poll does not have that option.
    NoSuchOption, false;
    /// As many people have voted as one poll can count.
    PollFull, false;
    /// What it is about is not there.
    NotFound, false;
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
