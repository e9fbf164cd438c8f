//! The gateway: sockets accepted, upgraded and refused.

use super::buckets::HANDSHAKE_SECONDS;
use super::table::{metrics, unlabelled};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// Why the gateway refused a connection or a request. The label set of `volley_refusals_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal { $($(#[$doc])* $name,)* }

        impl Refusal {
            /// In the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            const LABELS: [&str; Self::ALL.len()] = [$($label),*];
            /// The value of the label `reason`.
            pub const fn label(self) -> &'static str { Self::LABELS[self as usize] }
        }
    };
}

refusals! {
    /// The limit of connections per address is reached.
    PerAddress = "per_address";
    /// The node's limit of connections is reached.
    Connections = "connections";
    /// The same, while too many such answers are being written: closed without an answer.
    Unanswered = "unanswered";
    /// Pages of this origin may not open WebSockets here.
    Origin = "origin";
    /// A request to the admin address under a name that is not this machine's.
    WrongHost = "wrong_host";
    /// The request head was not complete in time.
    HandshakeTimeout = "handshake_timeout";
    /// Not HTTP, or a malformed upgrade.
    BadRequest = "bad_request";
    /// The limit of open rooms is reached.
    RoomsFull = "rooms_full";
    /// The server drains.
    Draining = "draining";
    /// The shard's inbox is full.
    InboxFull = "inbox_full";
    /// An HTTP connection reached its maximum age.
    Lifetime = "lifetime";
    /// The socket broke between the answer and the hand-over.
    Broken = "broken";
}

metrics! {
    pub struct GatewayMetrics {
        counter "volley_accepts_total", "Sockets accepted." => accepts;
        counter "volley_accept_errors_total", "Failed accept calls, for example because descriptors ran out." => accept_errors;
        histogram "volley_handshake_seconds" in HANDSHAKE_SECONDS, "Time from accept to the hand-over to a shard." => handshake_seconds;
        counter "volley_refusals_total", "Connections and requests refused, by reason." => refusals ["reason" each Refusal::LABELS];
    }
}

unlabelled!(GatewayMetrics);

impl GatewayMetrics {
    pub fn refused(&self, why: Refusal) {
        self.refusals[why as usize].increment(1);
    }
}
