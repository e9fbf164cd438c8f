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

#[derive(Debug)]
pub struct Key {
    /// Its path in the file, dots between sections.
    pub path: &'static str,
    pub kind: ValueKind,
    /// What it means, in one or two sentences for the documentation.
    pub doc: &'static str,
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
const BURST: ValueKind = count(1, 100_000_000);
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const DAY_S: u64 = 86_400;

keys! {
    listen in addresses, ValueKind::Address, "Public address: pages and WebSockets. Port 0 takes a free one.";
    public_path in addresses, ValueKind::BasePath, "Path under which browsers see the pages and the API if a proxy forwards requests with it, such as `/chat/`. Requests without the path work too, so a proxy that strips it needs no setting.";
    admin in addresses, ValueKind::Address, "Admin address: metrics, health, and the events of the show's owner. Keep it off the internet.";
    admin_hosts in addresses, ValueKind::Hosts, "Host names under which the admin address answers while `admin_key` is not set, on any port: for example the service's name in Docker or Kubernetes. `localhost`, loopback addresses and the address that received the connection always work. Requests with other names get 421, because a web page could point its own host name at this machine; `/healthz` and `/readyz` answer every request.";
    admin_key in addresses, ValueKind::Secret, "If set, each `POST` to the admin address needs `Authorization: Bearer` and this key. Set it in a file or the environment, because other users of the machine can see command lines. Volley never prints it.";
    data, ValueKind::Data, "Where the log is kept: a directory, which is created if its parent exists, or `memory`, which is lost when the process ends.";
    durability, ValueKind::Word(&["fsync", "write"]), "When a comment counts as stored. `fsync`: when it is on the disk, so that it survives a power loss. `write`: when the operating system has it, so that it survives only the end of the process.";
    tick_ms, ms(5, 2_000), "Length of a tick; a room sends at most one frame per tick. A shorter tick shows comments sooner and costs one send per viewer and tick.";
    shards, count(0, 256), "Threads that serve connections; 0: one per core.";
    no_rate_limits, ValueKind::Flag, "Turns off admission limits and the display budget, for benchmarks.";
    drain_ms, ms(0, 10 * MINUTE_MS), "After SIGTERM, clients are told to reconnect at times spread over this period; then the process exits.";

    log.format, ValueKind::Word(&["text", "json"]), "Format of log lines: `text` for people, or `json` with one object per line.";
    log.filter, ValueKind::Filter, "Which log lines are written: a level, or levels by module such as `warn,volley::shard=debug`.";

    pages.frame_ancestors, ValueKind::Origins, "Other origins whose pages may show Volley's pages in an `<iframe>`, such as `https://shop.example`; at most 2 KiB in total. The server's own pages always may. `*` allows every page, including one that covers the frame and redirects a viewer's clicks.";

    admission.connections_max, count(0, 10_000_000), "Most connections at one time; further ones get 503. 0: as many as the descriptor limit allows.";
    admission.connections_per_address_max, count(1, 10_000_000), "Most connections from one IP address; further ones get 429.";
    admission.origins, ValueKind::Origins, "Other page origins (`scheme://host[:port]`) that may open WebSockets; the server's own pages always may. Write the origin of an app or extension as its browser sends it (`capacitor://localhost`, `tauri://localhost`, `chrome-extension://…`); `location.origin` in the page's console shows it. `*` allows every origin; Volley uses no cookies that a foreign page could misuse.";
    admission.handshake_ms, ms(100, 5 * MINUTE_MS), "Time from accepting a connection to the end of its upgrade; slower connections are closed.";
    admission.message_bytes_max, bytes(256, MIB), "Largest message from a client; a larger one closes the connection with 1009.";
    admission.text_chars_max, count(1, MIB), "Longest comment in characters; a longer one is refused with `too_long`.";
    admission.text_bytes_max, bytes(1, MIB), "Longest comment in bytes of UTF-8; a longer one is refused with `too_long`.";
    admission.like_count_max, count(1, 1_000_000), "Most likes in one message.";

    room.rooms_max, count(1, 10_000_000), "Most open rooms at one time; a connection to a further room is refused.";
    room.stored_max, count(1, 10_000_000), "Most rooms in a log on disk, open or not. At the limit, closed rooms that are empty or expired are removed; if there are none, a new room is refused.";
    room.idle_s, seconds(1, 365 * DAY_S), "A room without connections is closed after this time.";
    room.batch_events_max, count(1, 1_000_000), "Most comments that wait for one tick of a room; further ones are refused with `overloaded`.";
    room.budget_per_s, count(0, 1_000), "Comments shown per second, until the room's owner sets a different budget; guaranteed events do not count. 0: all comments.";
    room.merge, ValueKind::Word(&["near", "equal", "off"]), "Which comments are merged into one with a count, until the room's owner changes it. `equal`: equal texts. `near`: also texts that differ only in width, case, repetitions, punctuation or trailing emoji. `off`: none.";
    room.frame_events_max, count(1, 100_000), "Most comments shown in one frame; the others of that tick are left out and counted in the frame.";
    room.snapshot_events, count(0, 10_000), "Number of newest comments in the welcome of a new viewer.";
    room.log_events_max, count(1, 1_000_000_000), "Most events that a room's log keeps; the oldest are deleted first. The default for a log in memory is 100000.";
    room.log_bytes_max, bytes(64 * KIB, 1 << 40), "Most bytes of events that a room's log keeps. The default for a log in memory is 16 MiB.";
    room.log_age_s, seconds(1, 3_650 * DAY_S), "How long a room's log keeps an event. The default for a log in memory is one day.";
    room.counters_ms, ms(5, 10 * MINUTE_MS), "Shortest interval between frames that have only changed counters (likes, online).";
    room.heartbeat_ms, ms(100, HOUR_MS), "A room sends a heartbeat after this time without a frame, or up to one tick earlier.";
    room.tick_groups, count(1, 10), "Number of groups in which rooms end their ticks, spread over the tick. 1: all rooms end it together, and the log makes one commit per tick for the whole node. More groups: one commit per group, and shorter bursts if many busy rooms share a core.";

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
    rates.users_max, count(1, 100_000_000), "Most users whose rates are remembered; messages of further users are refused with `overloaded`.";

    connection.ping_ms, ms(100, HOUR_MS), "The server sends a ping after this much time without bytes from the client.";
    connection.idle_ms, ms(200, 24 * HOUR_MS), "A connection is closed with 4003 after this much time without bytes from the client; longer than `connection.ping_ms`.";
    connection.ring_frames, count(1, 4_096), "Frames that a slow subscriber may be behind before it gets a gap.";
    connection.lite_lag_frames, count(0, 4_096), "A viewer that stays more frames behind than this gets the `lite` rendition until it keeps up again. 0: only viewers that ask for it get it.";
    connection.gaps_max, count(1, 1_000_000), "Number of gaps within a minute that closes a connection with 4001.";
    connection.stalled_ms, ms(100, HOUR_MS), "A socket that accepts no bytes for this long is closed with 4001.";
    connection.sndbuf_bytes, bytes(4 * KIB, 64 * MIB), "`SO_SNDBUF`; the kernel doubles it.";
    connection.notsent_lowat_bytes, bytes(KIB, 64 * MIB), "`TCP_NOTSENT_LOWAT`: unsent bytes in the kernel above which a socket counts as full.";
    connection.user_timeout_ms, ms(100, HOUR_MS), "`TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged, or the peer's window shut.";

    compression.enabled, ValueKind::Flag, "Whether messages are compressed (`permessage-deflate`) for clients that offer it, as every browser does. Compression saves mobile data: a frame of 100 comments shrinks to 32–41 % of its size. It costs 0.15 ms of CPU per frame and encoding, whatever the number of viewers, and 0.4 MiB of memory per compressing thread, none per connection.";
    compression.threshold_bytes, bytes(0, MIB), "Messages smaller than this are sent uncompressed: they fit in one packet anyway and shrink little. 0: every message is compressed, even if it grows.";
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
