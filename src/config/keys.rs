//! The table of all keys: what can be set, to what, and what it means.
//!
//! A key's variable is its path, upper case, joined with `_`, after `VOLLEY_`:
//! `rates.comments_per_user.per_s` is `VOLLEY_RATES_COMMENTS_PER_USER_PER_S`.

use super::model::Config;
use super::quoted::{HIDDEN_NAME, is_name};
use super::value::Field;
pub use super::value::{Unit, Value, ValueKind};

/// What all of our variables begin with.
pub(super) const PREFIX: &str = "VOLLEY_";

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its path in the file, dots between sections.
    pub path: &'static str,
    /// What it takes.
    pub kind: ValueKind,
    /// What it means, in one or two sentences for the documentation.
    pub doc: &'static str,
    /// Reads it.
    pub get: fn(&Config) -> Value,
    pub(super) set: fn(&mut Config, Value),
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("{}{}", PREFIX, self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// Its section, empty for a top-level key, and its path inside the section.
    pub fn section(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }
}

macro_rules! keys {
    ($($first:ident $(. $rest:ident)* $(in $group:ident)?, $kind:expr, $doc:expr;)+) => {
        /// All keys, in the order of the documentation; a section's keys are together.
        pub static KEYS: &[Key] = &[$(Key {
            path: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            kind: $kind,
            doc: $doc,
            get: |config| config.$($group.)?$first$(.$rest)*.read(),
            set: |config, value| config.$($group.)?$first$(.$rest)*.write(value),
        }),+];
    };
}

const fn count(min: u64, max: u64) -> ValueKind {
    ValueKind::Number { unit: Unit::Count, min, max }
}
const fn ms(min: u64, max: u64) -> ValueKind {
    ValueKind::Number { unit: Unit::Milliseconds, min, max }
}
const fn seconds(min: u64, max: u64) -> ValueKind {
    ValueKind::Number { unit: Unit::Seconds, min, max }
}
const fn bytes(min: u64, max: u64) -> ValueKind {
    ValueKind::Number { unit: Unit::Bytes, min, max }
}

/// Tokens a second. None at all would be a closed room, which is not a rate.
const PER_S: ValueKind = ValueKind::Number { unit: Unit::PerSecond, min: 1, max: 10_000_000 };
/// Tokens at once.
const BURST: ValueKind = count(1, 100_000_000);
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const DAY_S: u64 = 86_400;

keys! {
    listen in addresses, ValueKind::Address, "Public address: pages and WebSockets. Port 0 takes a free one.";
    public_path in addresses, ValueKind::BasePath, "Below which path the pages and the API are for browsers, when a proxy hands requests on with it: `/chat/`. A proxy that strips it needs no setting, and may stay when there is one.";
    admin in addresses, ValueKind::Address, "Admin address: metrics, health, and the events of the show's owner. Keep it off the internet.";
    admin_hosts in addresses, ValueKind::Hosts, "Names by which programs may ask the admin address while there is no `admin_key`, besides `localhost`, loopback addresses and the address that a connection came in on: a service's name in Docker or Kubernetes. Any port. Others get 421, because a web page can point a name of its own at this machine; `/healthz` and `/readyz` answer all.";
    admin_key in addresses, ValueKind::Secret, "When set, each `POST` to the admin address needs `Authorization: Bearer` and this key. Rather in a file or the environment than on the command line, which others on the machine can see. It is never printed.";
    data, ValueKind::Data, "Where the log lives: a directory, which is made if its parent exists. `memory`: gone with the process.";
    durability, ValueKind::Word(&["fsync", "write"]), "When a comment counts as kept. `fsync`: once the disk has it, which a power loss does not undo. `write`: once the operating system has it, which survives the death of the process only.";
    tick_ms, ms(5, 2_000), "The rooms' tick: one frame per room in each. Shorter is livelier and costs a send per viewer and tick.";
    shards, count(0, 256), "Threads that serve connections; 0: one per core.";
    no_rate_limits, ValueKind::Flag, "For benchmarks: admission limits and the display budget are off.";
    drain_ms, ms(0, 10 * MINUTE_MS), "On SIGTERM clients are told to come back spread over this time; then the process exits.";

    log.format, ValueKind::Word(&["text", "json"]), "How log lines are written: for people, or one JSON object a line.";
    log.filter, ValueKind::Filter, "What is logged: a level, or levels by module such as `warn,volley::shard=debug`.";

    pages.frame_ancestors, ValueKind::Origins, "Foreign origins whose pages may show ours in an `<iframe>`, such as `https://shop.example`; at most 2 KiB together. The server's own pages always may. `*`: any, so that anybody's page can lay something over ours and steer a viewer's clicks.";

    admission.connections_max, count(0, 10_000_000), "Connections in all; 0: as many as the descriptor limit allows. More are answered 503.";
    admission.connections_per_address_max, count(1, 10_000_000), "Connections from one address. More are answered 429.";
    admission.origins, ValueKind::Origins, "Foreign page origins (`scheme://host[:port]`) that may open WebSockets; the server's own pages always may. Apps and extensions are named as their browser names them: `capacitor://localhost`, `tauri://localhost`, `chrome-extension://…`; `location.origin` in the page's console shows it. `*`: any, which is safe as far as cookies go: there are none.";
    admission.handshake_ms, ms(100, 5 * MINUTE_MS), "From accept to the end of the upgrade; slower connections are closed.";
    admission.message_bytes_max, bytes(256, MIB), "Largest client message. Larger ones end the connection with 1009.";
    admission.text_chars_max, count(1, MIB), "Longest comment in characters. Longer ones are answered `too_long`.";
    admission.text_bytes_max, bytes(1, MIB), "Longest comment in bytes of UTF-8.";
    admission.like_count_max, count(1, 1_000_000), "Most likes in one message.";

    room.rooms_max, count(1, 10_000_000), "Rooms at one time. A connection to another one is refused.";
    room.stored_max, count(1, 10_000_000), "Rooms in a log on disk, open or not. When they are as many, closed ones that are empty or expired make place; if there are none, a new room is refused.";
    room.idle_s, seconds(1, 365 * DAY_S), "A room without connections is forgotten after this long.";
    room.batch_events_max, count(1, 1_000_000), "Comments that wait for one tick of a room; more are answered `overloaded`.";
    room.budget_per_s, count(0, 1_000), "Comments shown a second, until the room's owner sets another budget; the guaranteed lane does not count. 0: all of them.";
    room.merge, ValueKind::Word(&["near", "equal", "off"]), "What becomes one comment with a count, until the room's owner says otherwise: `equal` texts; also those that are `near`, which differ in width, case, repetitions, punctuation or trailing emoji only; or nothing.";
    room.frame_events_max, count(1, 100_000), "Comments shown in one frame; the rest of the tick is shed, and counted in that frame.";
    room.snapshot_events, count(0, 10_000), "Newest comments that a newcomer gets.";
    room.log_events_max, count(1, 1_000_000_000), "Events that a room's log keeps; the oldest go first. In memory 100000 unless set.";
    room.log_bytes_max, bytes(64 * KIB, 1 << 40), "Bytes of events that a room's log keeps. In memory 16 MiB unless set.";
    room.log_age_s, seconds(1, 3_650 * DAY_S), "How long a room's log keeps an event. In memory one day unless set.";
    room.counters_ms, ms(5, 10 * MINUTE_MS), "In a quiet room, changed counters (likes, online) are sent at most this often.";
    room.heartbeat_ms, ms(100, HOUR_MS), "Without a frame for this long, less up to a tick (each room has its own time), a room sends a heartbeat.";
    room.tick_groups, count(1, 10), "Rooms end their ticks in so many groups, spread over the tick. 1: all at one instant, and the log makes one commit per tick for the whole node. More: a commit per group, and shorter bursts where many busy rooms share a core.";

    rates.comments_per_connection.per_s, PER_S, "Comments of one connection, sustained.";
    rates.comments_per_connection.burst, BURST, "Comments of one connection, at once.";
    rates.comments_per_user.per_s, PER_S, "Comments of one user over all connections, sustained.";
    rates.comments_per_user.burst, BURST, "Comments of one user, at once.";
    rates.comments_per_room.per_s, PER_S, "Comments into one room, sustained.";
    rates.comments_per_room.burst, BURST, "Comments into one room, at once.";
    rates.likes_per_connection.per_s, PER_S, "Likes of one connection, sustained; each like of a message counts.";
    rates.likes_per_connection.burst, BURST, "Likes of one connection, at once.";
    rates.likes_per_user.per_s, PER_S, "Likes of one user over all connections, sustained.";
    rates.likes_per_user.burst, BURST, "Likes of one user, at once.";
    rates.likes_per_room.per_s, PER_S, "Likes into one room, sustained.";
    rates.likes_per_room.burst, BURST, "Likes into one room, at once.";
    rates.users_max, count(1, 100_000_000), "Users whose rates are remembered; another one is answered `overloaded`.";

    connection.ping_ms, ms(100, HOUR_MS), "The server pings after this much silence.";
    connection.idle_ms, ms(200, 24 * HOUR_MS), "Silence that ends a connection with 4003; longer than `connection.ping_ms`.";
    connection.ring_frames, count(1, 4_096), "Frames that a slow subscriber may be behind before it gets a gap.";
    connection.lite_lag_frames, count(0, 4_096), "A viewer that stays more frames behind than this is sent the `lite` rendition until it keeps up again; `0`: nobody is, unless it asks.";
    connection.gaps_max, count(1, 1_000_000), "Gaps within a minute that end a connection with 4001.";
    connection.stalled_ms, ms(100, HOUR_MS), "A blocked socket that takes nothing for this long is closed with 4001.";
    connection.sndbuf_bytes, bytes(4 * KIB, 64 * MIB), "`SO_SNDBUF`; the kernel doubles it.";
    connection.notsent_lowat_bytes, bytes(KIB, 64 * MIB), "`TCP_NOTSENT_LOWAT`: unsent bytes in the kernel above which a socket counts as full.";
    connection.user_timeout_ms, ms(100, HOUR_MS), "`TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged, or the peer's window shut.";

    compression.enabled, ValueKind::Flag, "Whether messages are compressed (`permessage-deflate`) for clients that offer it, as every browser does. On saves the bytes that viewers on phones pay for: a frame of 100 comments shrinks to 0.32–0.41 and costs 0.15 ms of CPU, once per encoding however many take it; memory is 0.4 MiB per thread that compresses, and nothing per connection.";
    compression.threshold_bytes, bytes(0, MIB), "Smaller messages go out as they are, to those who take compressed ones too: they fit one packet either way, and shrink little. 0: all are compressed, even if they grow.";
}

/// The index of the key called `path`.
pub(super) fn position(path: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.path == path)
}

/// The key nearest to what somebody wrote, if any is near: its full path, or its last part under
/// another section. `written` says how the source spells a key.
pub(super) fn nearest(wanted: &str, written: impl Fn(&Key) -> String) -> Option<String> {
    // Nothing that long is a slip of the finger, and the distance's cost grows with it.
    if wanted.len() > 100 {
        return None;
    }
    let wanted_lower = wanted.to_ascii_lowercase();
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    KEYS.iter()
        .map(|key| {
            let spelled = written(key);
            let candidate = spelled.to_ascii_lowercase();
            let whole = distance(&wanted_lower, &candidate);
            // A right name in the wrong section is one slip.
            let tail = 1 + distance(&last(&wanted_lower), &last(&candidate));
            (if candidate.contains('.') { whole.min(tail) } else { whole }, spelled)
        })
        .min_by_key(|(slips, _)| *slips)
        .filter(|(slips, spelled)| *slips <= 2.max(spelled.len().min(wanted.len()) / 4))
        .map(|(_, spelled)| spelled)
}

/// A name that is not a key's, if it may be repeated. One that is near to a key's by its last part alone may hold anything else.
pub(super) fn shown(name: &str, nearest: Option<&str>) -> String {
    let is_slip = nearest.is_some_and(|near| name.len() <= 100 && distance(&name.to_ascii_lowercase(), near) <= 2);
    let is_shown = is_slip || is_name(name) || ["", "\"\""].contains(&name);
    if is_shown { name.to_owned() } else { HIDDEN_NAME.to_owned() }
}

/// Levenshtein's distance in bytes: insertions, deletions and changes between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
