//! Every bound of Volley that is not configurable, in one place, each with how it was chosen.
//!
//! Configurable bounds have their defaults in [`crate::config`].
//! Does not know: anything else of the crate.

/// Longest room id, in bytes (`[A-Za-z0-9_-]`, so also in characters).
pub const ROOM_ID_BYTES_MAX: usize = 64;

/// Longest client-chosen comment id, in bytes. A UUID is 36; twice that would only be repeated in
/// each frame.
pub const CLIENT_ID_BYTES_MAX: usize = 64;

/// Length of a guest's key, in bytes: 16 characters of 64 are 96 bits, beyond any guessing.
pub const GUEST_KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// Largest offset: JavaScript's safe integers, so that JSON clients read it exactly.
pub const OFFSET_MAX: u64 = (1 << 53) - 1;

/// Deepest nesting that a client message may have. Ours have 3 levels; `ext` may add a few.
pub const MESSAGE_DEPTH_MAX: usize = 32;

/// Largest `ext` object of a comment, in bytes of JSON.
pub const EXT_BYTES_MAX: usize = 512;

/// Fragments of one message: a 4 KiB message in 256-byte pieces. More only costs header parsing.
pub const FRAGMENTS_MAX: u32 = 16;

/// Soft protocol errors within [`SOFT_ERROR_WINDOW_MS`] that close a connection with 4500.
pub const SOFT_ERRORS_MAX: u8 = 3;

/// See [`SOFT_ERRORS_MAX`].
pub const SOFT_ERROR_WINDOW_MS: u64 = 10_000;

/// Control frames (pings, unsolicited pongs) that a peer may send per second, sustained…
pub const CONTROL_FRAMES_PER_S: u32 = 10;

/// …and at once. Browsers and libraries ping every 10–30 s.
pub const CONTROL_FRAMES_BURST: u32 = 20;

/// How long a started but unfinished inbound message may take before 1008.
pub const MESSAGE_STALL_MS: u64 = 10_000;

/// How long a closing connection may wait until the peer has read the close frame. A connection that is closed because its
/// client read nothing has four thirds of `connection.stalled_ms` to begin reading again, if the client's machine answers.
pub const LINGER_MS: u64 = 1_000;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn` (4096).
pub const LISTEN_BACKLOG: i32 = 4_096;

/// Largest head of an HTTP request. Browsers send 0.5–2 KiB, with large cookies 8. Also the most that a
/// client can have sent behind its upgrade request.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header lines of a request. Browsers send 15–25.
pub const HTTP_HEADERS_MAX: usize = 100;

/// How long one HTTP connection serves requests before it is closed in good order. A page's loading and
/// its next look at the room list fit; a connection that says one header a minute does not stay.
pub const HTTP_CONNECTION_MS_MAX: u64 = 30_000;

/// Bytes of a refused request that are read and thrown away, so that the peer gets to see the answer.
pub const HTTP_DISCARD_BYTES_MAX: usize = 1 << 20;

/// Connections over the limit that are answered at one time; more are closed without an answer.
pub const OVER_CAP_ANSWERS_MAX: usize = 64;

/// Connections to the admin address. When all are taken the longest idle one is closed…
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// …and when all are busy, this many more get answers about health, readiness and metrics, the newest first.
pub const ADMIN_RESERVE_MAX: usize = 32;

/// Evicted connections to the admin address that are answered at one time; more are closed without an answer.
pub const ADMIN_FAREWELLS_MAX: usize = 32;

/// Descriptors that are kept free for the admin address when everything else has used up the rest.
pub const ADMIN_SPARE_DESCRIPTORS: usize = 8;

/// The longest pause between two tries to accept when there are no descriptors.
pub const ACCEPT_PAUSE_MS_MAX: u64 = 500;

/// Bytes of control answers (ack, error, pong, close) that may wait for one blocked connection.
/// An ack is about 60 bytes: room for 70 of them, far beyond any rate limit's burst. When it is
/// full the connection is closed with 4001.
pub const CONTROL_BACKLOG_BYTES_MAX: usize = 4_096;

/// How long a viewer may be behind by more than `connection.lite_lag_frames` before it gets the lite rendition. The frames
/// are most of a second already, and a short stall of a mobile link is over before both have passed.
pub const LITE_AFTER_MS: u64 = 500;

/// How long the socket of a client that catches up may take nothing of a page before the client counts as behind.
pub const PAGE_PATIENCE_MS: u64 = 1_000;

/// How long it then has to keep up before it gets the viewer's back…
pub const KEPT_UP_MS: u64 = 10_000;

/// …and at most, when it slid again soon after each climb: one whose link recovers is back within half a minute.
pub const KEPT_UP_MS_MAX: u64 = 25_000;

/// A slide within this long after a climb doubles the wait.
pub const FLAP_MS: u64 = 60_000;

/// Frames of one room on one shard whose guaranteed events are kept for gap messages…
pub const KEPT_FRAMES_MAX: usize = 64;

/// …and their bytes, in both encodings together. Beyond either limit the oldest frame is dropped: a gap over it lacks its
/// events.
pub const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Frames that one vectored write joins at most (`IOV_MAX` is 1024; beyond 64 the gain is under 1 %).
pub const JOIN_FRAMES_MAX: usize = 64;

/// Bytes of waiting frames that a slice of the pass puts together for its slots, per variant: about what an empty socket
/// takes in one write. More goes in vectored writes.
pub const JOINED_BYTES_MAX: usize = 64 * 1024;

/// Slots that must be left to visit for that: for fewer, the copy costs more than their vectored writes.
pub const JOINED_SLOTS_MIN: usize = 16;

/// Sends in one slice of the pass, before reads are served again: 256 × 7 µs is under 2 ms.
pub const PASS_SLICE_SENDS: usize = 256;

/// The read buffer that a shard's connections share, in bytes.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Entries in a shard's inbox. A frame or a mail is one entry; a storm of 15,000 joins fits four times.
pub const INBOX_ENTRIES: usize = 65_536;

/// Deliveries of a room's log that may wait for its actor (batches in flight).
pub const LOG_DELIVERIES_MAX: usize = 8;

/// Frames that may wait in front of another shard's full inbox; beyond it frames are dropped, which that shard
/// announces to its subscribers as a gap, and new comments for that shard are answered `overloaded`.
pub const SPILL_FRAMES_MAX: usize = 4_096;

/// Messages of any kind that may wait there; beyond it joins are closed with 1013.
pub const SPILL_ENTRIES_MAX: usize = 65_536;

/// Reads of one socket before others get their turn: 4 × 64 KiB.
pub const READS_PER_TURN: usize = 4;

/// Events that one call of a log's retention drops at most: a few milliseconds of work, and five times
/// what the largest batch adds per tick, so that retention always wins.
pub const RETAIN_EVENTS_MAX: usize = 10_000;

/// Records of the log that one page of a resume covers: 1 s of the busiest room, a few milliseconds to read and encode.
pub const RESUME_EVENTS_MAX: usize = 2_000;

/// Approximate bytes of events in one page. A viewer that catches up holds one page at most, which a socket takes in four to
/// eight writes.
pub const RESUME_BYTES_MAX: usize = 256 * 1024;

/// Pages that a shard remembers for the rooms that live on it, so that a storm from few positions reads and encodes each
/// stretch once. When full the oldest goes.
pub const CATCH_UPS_MAX: usize = 256;

/// Bytes of those: 64 of the largest.
pub const CATCH_UP_BYTES_MAX: usize = 64 * RESUME_BYTES_MAX;

/// Pages of a shard's rooms that are being read at one time; further requests wait at the shard, at most one per
/// connection. Enough to keep every log thread busy, few enough that the opening of a room never waits behind many.
pub const CATCH_UPS_IN_FLIGHT: usize = 16;

/// Most records that are replayed before a page, to know what was merged and shown earlier in its window: 5 s of 13,000 per
/// second. In a busier room the beginning of the window is ignored.
pub const PAGE_LOOKBACK_EVENTS: u64 = 65_536;

/// Comments without effect (retries of one that is in the log) whose offsets a room remembers, so that no page shows them.
/// On one node there are next to none: a retry is answered before it gets to the log.
pub const VOIDS_MAX: usize = 4_096;

/// Threads that read pages of the past from the log, so that no shard waits for its device. They sleep more than they
/// work: four keep a device's queue filled, and more would only take CPU from the shards when many viewers come back.
pub const LOG_READERS: usize = 4;

/// Threads that open rooms. They sleep nearly all the time, until the log's next commit: 32 threads opened 1,954 new
/// rooms a second where 4 opened 384 (`loadgen chaos churn-rooms`).
pub const LOG_OPENERS: usize = 32;

/// Jobs that may wait in each queue of the log's threads: the rooms that open at once after a restart. When a queue is
/// full, joins to rooms that are not open are closed with 1013.
pub const LOG_JOBS_MAX: usize = 4_096;

/// Joins, comments and likes that wait on one shard for rooms that are being opened: more than arrive in a second. Beyond
/// it they are refused.
pub const OPENING_WAIT_MAX: usize = 32_768;

/// Of those, how many are played at once when the room is open, before others get their turn: 1,024 × 3 µs.
pub const OPENING_PLAY: usize = 1_024;

/// Catching-up connections that a shard serves before live frames get their turn: each takes what its socket buffer holds,
/// so this is 2 MiB or a few milliseconds.
pub const CATCH_UP_TURNS: usize = 32;

/// Approximate bytes of events in the snapshot of a newcomer that asks for no history: the size of a socket's first send.
pub const SNAPSHOT_BYTES_MAX: usize = 16 * 1024;

/// Messages refused for their rate within [`RATE_REFUSAL_WINDOW_MS`] that close a connection with 4029:
/// ten a second beyond the limit is no person. Each refusal costs the server a parse and an answer.
pub const RATE_REFUSALS_MAX: u16 = 100;

/// See [`RATE_REFUSALS_MAX`].
pub const RATE_REFUSAL_WINDOW_MS: u64 = 10_000;

/// `retry_after_ms` of an `overloaded` answer when the table of users is full: a user's bucket takes a
/// few seconds to fill and be swept.
pub const OVERLOAD_RETRY_MS: u64 = 5_000;

/// Bytes of the summary that a room keeps beside its log. It usually has a few hundred: totals and the board. At most there
/// are 32 KiB of changed settings, 16 sticky events of 1 KiB, 8 announcements and a notice of 512 characters, 64 tallies
/// and the hashes of 2,048 polls' ids.
pub const BASE_BYTES_MAX: usize = 136 * 1024;

/// Events of the show's owner that may wait for one tick: ten of the largest batches. More are answered `overloaded`. They
/// have a bound of their own, so that viewers' comments never take their place.
pub const POSTS_PER_TICK_MAX: usize = 1_000;

/// Votes that may wait for one tick; more are answered `overloaded`. Everybody in the largest room votes within two seconds.
pub const VOTES_PER_TICK_MAX: usize = 10_000;

/// Votes in one record of the log: about 50 KiB of JSON, so that a page of history holds several.
pub const BALLOTS_MAX: usize = 1_000;

/// Comment ids that a room remembers, to make retries harmless: 50 s at the 2,000 comments a second that a room takes
/// by default. Older ids are remembered as runs, by their highest number; the limit of runs is the same.
pub const IDS_MAX: usize = 100_000;

/// Comments of which a room remembers what stood for them, so that a deletion takes all that was said as one: 1.5 MiB in a room as
/// crowded as this, and minutes of one.
pub const FOLDS_MAX: usize = 65_536;

/// Authors that a room remembers, to know whose comment is a first one: 16 bytes each, and twice that for the table.
pub const SPEAKERS_MAX: usize = IDS_MAX;

/// How long a room remembers a comment's id, in the log's time without its long pauses: longer than any client's patience,
/// and longer than a clock that is set wrong is wrong.
pub const IDS_AGE_MS: u64 = 86_400_000;

/// Newest shown comments that a room keeps for newcomers that ask for `history`.
pub const HISTORY_MAX: usize = 200;

/// Bytes of those, about.
pub const HISTORY_BYTES_MAX: usize = 64 * 1024;

/// Lengths of history for which one moment's welcome is remembered encoded.
pub const WELCOMES_MAX: usize = 8;

/// Records of a log that are read at once when a room is opened.
pub const REPLAY_EVENTS: usize = 2_000;

/// A batch that the log has had for this long without an answer makes its room refuse further comments.
pub const APPEND_SLOW_US: u64 = 1_000_000;

/// Events of a history page when nothing else is asked for: a screenful of a chat.
pub const PAGE_EVENTS_DEFAULT: usize = 100;

/// Events of one history page, whatever is asked for; also of one piece of an export.
pub const PAGE_EVENTS_MAX: usize = 1_000;

/// Bytes of one history page, as the log counts them; also of one piece of an export. 1,000 ordinary comments fit.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;

/// History pages that are being read, or sent and not yet taken: 16 MiB of pages, about twice that with their JSON.
pub const PAGES_MAX: usize = 64;

/// Reads of logs at one time for the HTTP API. They share the device with the appends.
pub const LOG_READS_MAX: usize = 4;

/// Exports that run at one time. Each holds two pieces at most, and may take minutes.
pub const EXPORTS_MAX: usize = 4;

/// A piece of an export that is not taken within this ends the export: 256 KiB in 30 s is slower than any phone.
pub const EXPORT_STALLED_MS: u64 = 30_000;

/// An answer of unknown length may outlive [`HTTP_CONNECTION_MS_MAX`] while its reader takes at least this much in
/// six times the patience with a handshake (30 s by default).
pub const HTTP_STREAM_BYTES_MIN: u64 = 64 * 1024;

/// Appends and orders that may wait for the storage thread: every room of a full node twice. More are answered `overloaded`.
pub const LOG_QUEUE_MAX: usize = 20_000;

/// Bytes of events that may wait for it, about: two seconds of 100,000 comments a second. More are answered `overloaded`.
pub const LOG_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Appends and commands in one transaction: as many as may wait, because all rooms end a tick at the same time…
pub const LOG_GROUP_MAX: usize = LOG_QUEUE_MAX;

/// …and approximate bytes of events in it: a tenth of a second of work for a device that writes 100 MB per second. The rest
/// waits for the next transaction.
pub const LOG_GROUP_BYTES_MAX: usize = 8 << 20;

/// DEFLATE streams that one compressed message may be made of. Every known client sends one; each costs a reset.
pub const DEFLATE_STREAMS_MAX: usize = 16;

/// Bytes of the compression buffer that a thread keeps. A frame of 200 comments has 40 KiB; the larger buffer of a page is
/// freed.
pub const DEFLATE_SCRATCH_BYTES_MAX: usize = 256 * 1024;

/// Events of one post.
pub const POST_EVENTS_MAX: usize = 100;

/// Body of one post, in bytes: 100 of the largest events. More is answered 413.
pub const POST_BYTES_MAX: usize = 256 * 1024;

/// How long a body may take to come.
pub const POST_BODY_MS: u64 = 10_000;

/// How long a post waits for its room, opening and storage included, before its outcome counts as unknown.
pub const POST_ANSWER_MS: u64 = 10_000;

/// Posts that wait for their rooms, also those whose sender has left. More are answered `overloaded`: the admin address has
/// fewer connections.
pub const POSTS_MAX: usize = 256;

/// Rooms that announcements wait for at one time, all of them together: with the default tick 10,000 rooms take about a second and
/// a half, and nineteen of twenty places in the log's queue are left to others.
pub const ANNOUNCE_IN_FLIGHT: usize = 1_024;

/// How long rooms that cannot take an announcement are asked again. After that, the answer names the rooms without it.
pub const ANNOUNCE_ANSWER_MS: u64 = 20_000;

/// Announcements under way at one time. They share [`ANNOUNCE_IN_FLIGHT`]; further ones are answered `overloaded`.
pub const ANNOUNCING_MAX: usize = 4;

/// A room that could not take an announcement is asked again after this long, unless it says when.
pub const ANNOUNCE_PAUSE_MS: u64 = 250;

/// Rooms that an answer names because they do not have the announcement.
pub const ANNOUNCE_NAMED_MAX: usize = 100;

/// Largest data of a `custom` event, in bytes of JSON.
pub const CUSTOM_BYTES_MAX: usize = 1_024;
