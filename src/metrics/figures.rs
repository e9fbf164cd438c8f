//! The names, and the cached handles that the other modules count with.

use super::deflate::InflateMetrics;
use super::renditions::EncodeMetrics;
use ::metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use ::metrics::{SharedString, histogram};
use parking_lot::Mutex;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) const PASS_SECONDS: &str = "volley_pass_seconds";
pub(super) const TICK_SECONDS: &str = "volley_tick_seconds";
pub(super) const HANDSHAKE_SECONDS: &str = "volley_handshake_seconds";
pub(super) const LAG_FRAMES: &str = "volley_lag_frames";

const DELIVERIES: &str = "volley_deliveries_total";
const DELIVERED_BYTES: &str = "volley_delivered_bytes_total";
const SENDS: &str = "volley_sends_total";
const FRAMES: &str = "volley_frames_total";
const GAPS: &str = "volley_gaps_total";
const GAP_FRAMES: &str = "volley_gap_frames_total";
const GAPS_LACKING: &str = "volley_gaps_lacking_total";
const CLOSES: &str = "volley_closes_total";
const LAGGARDS: &str = "volley_laggards";
const CONNECTIONS: &str = "volley_connections";
const INBOX_DEPTH: &str = "volley_inbox_depth";
const INBOX_FULL: &str = "volley_inbox_full_total";
const CYCLE_LONGEST: &str = "volley_cycle_longest_seconds";
const CYCLES_SLOW: &str = "volley_cycles_slow_total";
const DUTY_BUSY: &str = "volley_duty_busy_seconds_total";
const INBOUND_MESSAGES: &str = "volley_inbound_messages_total";
const CONTROL_OVERFLOW: &str = "volley_control_overflow_total";
const PANICS: &str = "volley_panics_total";
const ROOM_WAKES: &str = "volley_room_wakes_total";
const TICKS: &str = "volley_ticks_total";
const TICKS_LATE: &str = "volley_ticks_late_total";
const COMMENTS: &str = "volley_comments_total";
const LIKES: &str = "volley_likes_total";
const SHED: &str = "volley_shed_total";
const MERGED: &str = "volley_merged_total";
const ROOMS: &str = "volley_rooms";
const ROOMS_REFUSED: &str = "volley_rooms_refused_total";
const LOG_APPEND_FAILURES: &str = "volley_log_append_failures_total";
const ACCEPTS: &str = "volley_accepts_total";
const ACCEPT_ERRORS: &str = "volley_accept_errors_total";
const REFUSALS: &str = "volley_refusals_total";

/// Close codes that get a series of their own; the gateway's tests hold this against the wire's table.
const CLOSE_CODES: &[u16] = &[
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4001, 4002, 4003, 4010, 4011, 4013, 4029, 4500, 4501,
    4503, 4504,
];

/// What one shard counts. Count locally and publish once per cycle.
#[derive(Debug)]
pub struct ShardMetrics {
    /// Frames sent to subscribers: one frame to one subscriber is one delivery.
    pub deliveries: Counter,
    /// Bytes of those frames, WebSocket headers included.
    pub delivered_bytes: Counter,
    /// System calls that sent frames.
    pub sends: Counter,
    /// Frames that the shard received from rooms.
    pub frames: Counter,
    /// Gaps told to subscribers, by reason.
    pub gaps: Gaps,
    /// Frames skipped by those gaps.
    pub gap_frames: Counter,
    /// Gaps that may have lacked guaranteed events.
    pub gaps_lacking: Counter,
    /// Connections ended, by close code.
    pub closes: Closes,
    /// Subscribers that are behind now.
    pub laggards: Gauge,
    /// Connections now.
    pub connections: Gauge,
    /// Entries waiting in the shard's inbox.
    pub inbox_depth: Gauge,
    /// Entries that the inbox had no room for.
    pub inbox_full: Counter,
    /// Duration of a frame's whole pass over its subscribers.
    pub pass_seconds: Histogram,
    /// Longest duty cycle since the last publication.
    pub cycle_longest_seconds: Gauge,
    /// Duty cycles above 50 ms.
    pub cycles_slow: Counter,
    /// Time spent working, not parked.
    pub duty_busy_seconds: Seconds,
    /// Frames joined in one catch-up write of a laggard.
    pub lag_frames: Histogram,
    /// Messages read from clients.
    pub inbound_messages: Counter,
    /// Of them, those that came compressed.
    pub inflate: InflateMetrics,
    /// Connections closed because their control answers did not fit.
    pub control_overflow: Counter,
    /// Panics caught in the shard's work.
    pub panics: Counter,
}

impl ShardMetrics {
    /// The handles of one shard.
    pub fn new(shard: usize) -> Self {
        let label: SharedString = shard.to_string().into();
        let count = |name: &'static str| counter!(name, "shard" => label.clone());
        let level = |name: &'static str| gauge!(name, "shard" => label.clone());
        let spread = |name: &'static str| histogram!(name, "shard" => label.clone());
        Self {
            deliveries: count(DELIVERIES),
            delivered_bytes: count(DELIVERED_BYTES),
            sends: count(SENDS),
            frames: count(FRAMES),
            gaps: Gaps::new(&label),
            gap_frames: count(GAP_FRAMES),
            gaps_lacking: count(GAPS_LACKING),
            closes: Closes::new(&label),
            laggards: level(LAGGARDS),
            connections: level(CONNECTIONS),
            inbox_depth: level(INBOX_DEPTH),
            inbox_full: count(INBOX_FULL),
            pass_seconds: spread(PASS_SECONDS),
            cycle_longest_seconds: level(CYCLE_LONGEST),
            cycles_slow: count(CYCLES_SLOW),
            duty_busy_seconds: Seconds::new(DUTY_BUSY, shard),
            lag_frames: spread(LAG_FRAMES),
            inbound_messages: count(INBOUND_MESSAGES),
            inflate: InflateMetrics::new(&label),
            control_overflow: count(CONTROL_OVERFLOW),
            panics: count(PANICS),
        }
    }
}

/// Gaps by reason.
#[derive(Debug)]
pub struct Gaps {
    /// The subscriber did not read fast enough.
    pub slow: Counter,
    /// The server was overloaded.
    pub overload: Counter,
}

impl Gaps {
    fn new(shard: &SharedString) -> Self {
        let count = |reason: &'static str| counter!(GAPS, "shard" => shard.clone(), "reason" => reason);
        Self { slow: count("slow"), overload: count("overload") }
    }
}

/// Ended connections by close code: one series per code of ours, one for the peers' own closes.
#[derive(Debug)]
pub struct Closes {
    ours: Box<[Counter]>,
    /// The peer closed, or its connection broke.
    pub peer: Counter,
    other: Counter,
}

impl Closes {
    fn new(shard: &SharedString) -> Self {
        let count = |code: SharedString| counter!(CLOSES, "shard" => shard.clone(), "code" => code);
        Self {
            ours: CLOSE_CODES.iter().map(|code| count(code.to_string().into())).collect(),
            peer: count("peer".into()),
            other: count("other".into()),
        }
    }

    /// The counter of connections that we closed with `code`; a code that is not in the wire's table
    /// counts as `other`.
    pub fn code(&self, code: u16) -> &Counter {
        CLOSE_CODES.binary_search(&code).map_or(&self.other, |index| &self.ours[index])
    }

    /// Whether `code` has a series of its own.
    pub fn knows(code: u16) -> bool {
        CLOSE_CODES.contains(&code)
    }
}

/// A counter of seconds with a fraction, which the exporter's whole-number counters cannot hold.
#[derive(Clone, Debug)]
pub struct Seconds {
    micros: Arc<AtomicU64>,
}

struct SecondsSeries {
    name: &'static str,
    shard: usize,
    micros: Arc<AtomicU64>,
}

/// One entry per (name, shard): bounded by the number of shards.
static SECONDS: Mutex<Vec<SecondsSeries>> = Mutex::new(Vec::new());

impl Seconds {
    fn new(name: &'static str, shard: usize) -> Self {
        let mut all = SECONDS.lock();
        if let Some(known) = all.iter().find(|series| series.name == name && series.shard == shard) {
            return Self { micros: known.micros.clone() };
        }
        let micros = Arc::<AtomicU64>::default();
        all.push(SecondsSeries { name, shard, micros: micros.clone() });
        Self { micros }
    }

    /// Adds microseconds.
    pub fn add_us(&self, us: u64) {
        self.micros.fetch_add(us, Ordering::Relaxed);
    }
}

/// The [`Seconds`] in Prometheus' text format.
pub(super) fn render_seconds(out: &mut String) {
    let all = SECONDS.lock();
    if all.is_empty() {
        return;
    }
    // All of them are the same metric so far: one help text, one block.
    let _ =
        writeln!(out, "# HELP {DUTY_BUSY} Time that a shard spent working, not parked.\n# TYPE {DUTY_BUSY} counter");
    for series in all.iter() {
        let seconds = Duration::from_micros(series.micros.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(out, "{}{{shard=\"{}\"}} {seconds:.6}", series.name, series.shard);
    }
}

/// What the rooms of one shard count, all together; there is no room label.
#[derive(Debug)]
pub struct RoomMetrics {
    /// Times that a room was run: it had asked for that, or its log delivered.
    pub wakes: Counter,
    /// Ticks run.
    pub ticks: Counter,
    /// Ticks that began more than one tick late.
    pub ticks_late: Counter,
    /// Duration of one room's tick: select, encode, publish.
    pub tick_seconds: Histogram,
    /// Comments in the log.
    pub comments: Counter,
    /// Likes in the log, each counted.
    pub likes: Counter,
    /// Events left out of frames, by class.
    pub shed: ShedCounters,
    /// Comments folded into others, by class.
    pub merged: ShedCounters,
    /// Rooms open now; change it with `increment` and `decrement`, every shard shares it.
    pub rooms: Gauge,
    /// Rooms that could not be opened.
    pub rooms_refused: Counter,
    /// Batches that the log did not take.
    pub log_append_failures: Counter,
    /// Encodings of frames.
    pub encodes: EncodeMetrics,
}

impl RoomMetrics {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        Self {
            wakes: counter!(ROOM_WAKES),
            ticks: counter!(TICKS),
            ticks_late: counter!(TICKS_LATE),
            tick_seconds: histogram!(TICK_SECONDS),
            comments: counter!(COMMENTS),
            likes: counter!(LIKES),
            shed: ShedCounters::of(SHED),
            merged: ShedCounters::of(MERGED),
            rooms: gauge!(ROOMS),
            rooms_refused: counter!(ROOMS_REFUSED),
            log_append_failures: counter!(LOG_APPEND_FAILURES),
            encodes: EncodeMetrics::new(),
        }
    }
}

impl Default for RoomMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Events that are not shown by themselves, by class: comments by theirs, others by their kind.
#[derive(Debug)]
pub struct ShedCounters([Counter; 5]);

impl ShedCounters {
    fn of(name: &'static str) -> Self {
        Self(["normal", "low", "gift", "custom", "enter"].map(|class| counter!(name, "class" => class)))
    }

    /// Counts so many more of each class, in the order of the wire's.
    pub fn increment(&self, by: [u64; 5]) {
        self.0.iter().zip(by).for_each(|(counter, by)| counter.increment(by));
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// Why the gateway sent somebody away. The label set of `volley_refusals_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Refusal { $($(#[$doc])* $name,)* }

        impl Refusal {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// The label.
            pub const fn label(self) -> &'static str { match self { $(Self::$name => $label,)* } }
        }
    };
}

refusals! {
    /// One address has as many connections as it may.
    PerAddress = "per_address";
    /// The node has as many connections as it may.
    Connections = "connections";
    /// As above, and too many such answers are being written: closed without one.
    Unanswered = "unanswered";
    /// The page's origin may not open WebSockets here.
    Origin = "origin";
    /// A request to the admin address by a name that is not known to be this machine's.
    WrongHost = "wrong_host";
    /// The request head was not there in time.
    HandshakeTimeout = "handshake_timeout";
    /// Not HTTP, or not a proper upgrade.
    BadRequest = "bad_request";
    /// No room for another room.
    RoomsFull = "rooms_full";
    /// The server stops.
    Draining = "draining";
    /// The shard's inbox is full.
    InboxFull = "inbox_full";
    /// An HTTP connection that outlived its bound.
    Lifetime = "lifetime";
    /// The socket broke between the answer and the hand-over.
    Broken = "broken";
}

/// What the gateway counts.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// Sockets accepted.
    pub accepts: Counter,
    /// Failed `accept` calls, such as for want of descriptors.
    pub accept_errors: Counter,
    /// From accept to the hand-over to a shard.
    pub handshake_seconds: Histogram,
    refusals: Box<[Counter]>,
}

impl GatewayMetrics {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        Self {
            accepts: counter!(ACCEPTS),
            accept_errors: counter!(ACCEPT_ERRORS),
            handshake_seconds: histogram!(HANDSHAKE_SECONDS),
            refusals: Refusal::ALL.iter().map(|refusal| counter!(REFUSALS, "reason" => refusal.label())).collect(),
        }
    }

    /// Counts one refusal.
    pub fn refused(&self, why: Refusal) {
        self.refusals[why as usize].increment(1);
    }
}

impl Default for GatewayMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives every metric its help text.
pub(super) fn describe() {
    describe_counter!(DELIVERIES, "Frames sent to subscribers; one frame to one subscriber is one delivery.");
    describe_counter!(DELIVERED_BYTES, "Bytes of frames sent to subscribers, WebSocket headers included.");
    describe_counter!(SENDS, "System calls that sent frames; fewer than deliveries when frames are joined.");
    describe_counter!(FRAMES, "Frames that a shard received from rooms.");
    describe_counter!(GAPS, "Gaps told to subscribers, by reason.");
    describe_counter!(GAP_FRAMES, "Frames that subscribers were not sent, and were told about.");
    describe_counter!(
        GAPS_LACKING,
        "Gaps that may have lacked guaranteed events: more of them came than are kept for that, or some stood beside words that were deleted."
    );
    describe_counter!(CLOSES, "Connections ended, by close code; code=peer when the other side ended it.");
    describe_gauge!(LAGGARDS, "Subscribers that are behind now.");
    describe_gauge!(CONNECTIONS, "WebSocket connections now.");
    describe_gauge!(INBOX_DEPTH, "Entries waiting in a shard's inbox.");
    describe_counter!(INBOX_FULL, "Entries that a shard's inbox had no room for.");
    describe_histogram!(PASS_SECONDS, "Duration of a frame's whole pass over a shard's subscribers.");
    describe_gauge!(CYCLE_LONGEST, "Longest duty cycle of a shard since it last published its figures.");
    describe_counter!(CYCLES_SLOW, "Duty cycles of a shard that took more than 50 ms.");
    describe_histogram!(LAG_FRAMES, "Frames joined in one catch-up write of a laggard.");
    describe_counter!(INBOUND_MESSAGES, "Messages read from clients.");
    describe_counter!(CONTROL_OVERFLOW, "Connections closed because their control answers did not fit.");
    describe_counter!(PANICS, "Panics caught in a shard's work. Anything but 0 is a bug.");
    describe_counter!(
        ROOM_WAKES,
        "Times that a room was run; a room in which nothing happens runs for its heartbeat only."
    );
    describe_counter!(TICKS, "Ticks of rooms.");
    describe_counter!(TICKS_LATE, "Ticks that began more than one tick late.");
    describe_histogram!(TICK_SECONDS, "Duration of one room's tick.");
    describe_counter!(COMMENTS, "Comments in the log.");
    describe_counter!(LIKES, "Likes in the log.");
    describe_counter!(SHED, "Events left out of frames, by class.");
    describe_counter!(MERGED, "Comments folded into others that say the same, by class.");
    describe_gauge!(ROOMS, "Rooms open now.");
    describe_counter!(ROOMS_REFUSED, "Rooms that could not be opened because of the bound on rooms.");
    describe_counter!(LOG_APPEND_FAILURES, "Batches that the log did not take.");
    describe_counter!(ACCEPTS, "Sockets accepted.");
    describe_counter!(ACCEPT_ERRORS, "Failed accept calls, such as for want of file descriptors.");
    describe_counter!(REFUSALS, "Connections and upgrades refused, by reason.");
    describe_histogram!(HANDSHAKE_SECONDS, "Time from accept to the hand-over to a shard.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_sorted_for_the_search() {
        assert!(CLOSE_CODES.is_sorted());
        assert!(Closes::knows(4001) && !Closes::knows(1006));
    }

    #[test]
    fn busy_seconds_keep_their_fraction() {
        let seconds = Seconds::new(DUTY_BUSY, 9_000);
        seconds.add_us(1_250_000);
        Seconds::new(DUTY_BUSY, 9_000).add_us(500_000);
        let mut text = String::new();
        render_seconds(&mut text);
        assert!(text.contains("volley_duty_busy_seconds_total{shard=\"9000\"} 1.750000\n"), "{text}");
    }
}
