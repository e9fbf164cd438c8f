//! The show, and its traffic. Bytes are measured: a sample frame is encoded as the server does it.
//!
//! Does not know: machines, prices.

use crate::clock::{CommentId, numbering};
use volley::config::Config;
use volley::limits::{IDS_MAX, ROOM_ID_BYTES_MAX};
use volley::policy::auth::Guests;
use volley::protocol::encode;
use volley::protocol::event::Comment;
use volley::protocol::frame::Outcome;
use volley::protocol::frame::{Frame, FrameEvent};
use volley::protocol::ids::ClientId;
use volley::protocol::message::{Ack, ServerMessage};
use volley::protocol::variant::Encoding;

#[derive(Clone, Debug, PartialEq)]
pub struct Show {
    pub viewers: f64,
    /// Rooms; everything is spread evenly over them.
    pub rooms: f64,
    /// Comments per second over all rooms.
    pub comments_per_s: f64,
    /// Messages with likes per second over all rooms.
    pub likes_per_s: f64,
    pub tick_s: f64,
    /// Fewest and most characters of a comment, of three bytes each.
    pub chars: (usize, usize),
    /// The encoding of all viewers' messages.
    pub encoding: Encoding,
    /// Bytes on the wire ÷ bytes of messages.
    pub compression_ratio: f64,
    /// Share of the viewers that may stop reading at the same time.
    pub stalled_share: f64,
    /// Seconds since the show began, for memory that grows with its length.
    pub seconds: f64,
    /// Whether the rooms' logs are in memory.
    pub is_log_in_memory: bool,
}

/// The server's traffic for a show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Frames that a room makes per second.
    pub frames_per_s: f64,
    /// Comments in one frame.
    pub comments_per_frame: f64,
    /// How many of these are shown.
    pub shown_per_frame: f64,
    /// Bytes of a frame without comments, WebSocket header included.
    pub frame_bytes: f64,
    /// Bytes that a comment adds.
    pub comment_bytes: f64,
    /// Bytes of an acknowledgement.
    pub ack_bytes: f64,
    /// Frames to viewers per second.
    pub deliveries_per_s: f64,
    /// Bytes of one send of a frame, compressed if the show is.
    pub send_bytes: f64,
    /// TCP payload bytes to all viewers per second.
    pub egress_bytes_per_s: f64,
    /// The same with the headers of TCP, IP and Ethernet.
    pub wire_bytes_per_s: f64,
}

/// Payload of a full TCP segment with timestamps in Ethernet's usual 1,500 bytes.
const SEGMENT_BYTES: f64 = 1_448.0;
/// Bytes around each segment: TCP 32, IP 20, Ethernet 38 with preamble, checksum and gap.
const AROUND_SEGMENT_BYTES: f64 = 90.0;
const SAMPLE: usize = 100;

impl Traffic {
    /// Encodes the sample and multiplies.
    pub fn of(show: &Show) -> Self {
        let config = Config::default();
        let things_per_s = (show.comments_per_s + show.likes_per_s) / show.rooms;
        // A tick makes a frame if anything happened in it; independent senders leave e^(-mean) of the ticks empty.
        let busy_ticks = (1.0 - (-things_per_s * show.tick_s).exp()) / show.tick_s;
        let frames_per_s = busy_ticks.max(1_000.0 / config.room.heartbeat_ms as f64);
        let comments_per_frame = show.comments_per_s / show.rooms / frames_per_s;
        let shown_per_frame = comments_per_frame.min(config.room.frame_events_max as f64);
        let (frame_bytes, comment_bytes) = sample_bytes(show);
        let ack = Ack { id: comment_id(1), offset: 123_456, outcome: Outcome::Shown, into: None };
        let ack_bytes = encode::message(&ServerMessage::Ack(ack), show.encoding).len() as f64;
        let send_bytes = (frame_bytes + shown_per_frame * comment_bytes) * show.compression_ratio;
        let deliveries_per_s = show.viewers * frames_per_s;
        let segments_per_s = deliveries_per_s * (send_bytes / SEGMENT_BYTES).ceil() + show.comments_per_s;
        let egress_bytes_per_s = deliveries_per_s * send_bytes + show.comments_per_s * ack_bytes;
        Self {
            frames_per_s,
            comments_per_frame,
            shown_per_frame,
            frame_bytes,
            comment_bytes,
            ack_bytes,
            deliveries_per_s,
            send_bytes,
            egress_bytes_per_s,
            wire_bytes_per_s: egress_bytes_per_s + segments_per_s * AROUND_SEGMENT_BYTES,
        }
    }

    /// The comments that each room has had so far, at most `most`.
    pub fn comments_kept(show: &Show, most: usize) -> f64 {
        (show.comments_per_s / show.rooms * show.seconds).min(most as f64)
    }

    /// The number of ids that each room remembers.
    pub fn ids_kept(show: &Show) -> f64 {
        Self::comments_kept(show, 2 * IDS_MAX)
    }
}

fn comment_id(n: u64) -> ClientId {
    let id = CommentId { sent_ns: 1_732_146_000_123_456 + n * 20_000_000, number: numbering(0x5a5a, 0) + n };
    ClientId::new(&id.text()).expect("our ids are ids")
}

/// A guest's comment with an id and a text of `length` characters, as viewers send it.
fn sample_comment(n: u64, length: usize) -> Comment {
    let user = Guests.guest(None).user;
    let text: String =
        "弹幕护体前方高能这个多少钱还有吗主播好".chars().cycle().skip(n as usize % 19).take(length).collect();
    Comment { id: Some(comment_id(n)), ..Comment::new(user, text) }
}

/// A frame's bytes without comments, and the bytes that each comment adds.
fn sample_bytes(show: &Show) -> (f64, f64) {
    let (fewest, most) = show.chars;
    let events = (0..SAMPLE).map(|n| {
        let length = fewest + n * (most - fewest + 1) / SAMPLE;
        FrameEvent::comment(123_456 + n as u64, sample_comment(n as u64, length))
    });
    let bytes = |events: Vec<FrameEvent>| {
        let viewers = (show.viewers / show.rooms).ceil() as u64;
        let (prev, last) = (123_455, 123_455 + SAMPLE as u64);
        let digest = volley::protocol::ids::Hex64(0x9f3a_9f3a_9f3a_9f3a);
        let at = 1_732_146_000_123;
        let frame = Frame { prev, last, at, digest, likes: 991_234, online: viewers, events, ..Frame::default() };
        encode::message(&ServerMessage::Frame(frame), show.encoding).len() as f64
    };
    let empty = bytes(Vec::new());
    (empty, (bytes(events.collect()) - empty) / SAMPLE as f64)
}

/// Memory of a stored comment in bytes: the record and its strings. The author's strings belong to the viewer.
pub fn record_bytes(show: &Show) -> f64 {
    let (fewest, most) = show.chars;
    let text = (fewest + most) as f64 / 2.0 * 3.0;
    // Two allocations (text, id) with their counters and the allocator's rounding.
    let id = comment_id(1).as_str().len().min(ROOM_ID_BYTES_MAX) as f64;
    size_of::<volley::log::Record>() as f64 + text + id + 2.0 * 32.0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::plan) fn show() -> Show {
        Show {
            viewers: 10_000.0,
            rooms: 1.0,
            comments_per_s: 200.0,
            likes_per_s: 500.0,
            tick_s: 0.1,
            chars: (12, 30),
            encoding: Encoding::Json,
            compression_ratio: 1.0,
            stalled_share: 0.1,
            seconds: 3_600.0,
            is_log_in_memory: false,
        }
    }

    #[test]
    fn a_busy_room_frames_every_tick_and_a_quiet_one_beats_every_fifteen_seconds() {
        let busy = Traffic::of(&show());
        assert!((9.9..=10.0).contains(&busy.frames_per_s), "{busy:?}");
        assert!((19.9..20.2).contains(&busy.comments_per_frame), "{busy:?}");
        let quiet = Traffic::of(&Show { comments_per_s: 0.0, likes_per_s: 0.0, ..show() });
        assert!((quiet.frames_per_s - 1.0 / 15.0).abs() < 1e-9 && quiet.comments_per_frame == 0.0);
        let sparse = Traffic::of(&Show { comments_per_s: 1.0, likes_per_s: 0.0, ..show() });
        assert!((0.9..1.0).contains(&sparse.frames_per_s), "about one comment, one frame: {sparse:?}");
    }

    #[test]
    fn a_frames_bytes_are_those_of_the_real_encoder() {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let traffic = Traffic::of(&Show { encoding, chars: (20, 20), ..show() });
            let events: Vec<FrameEvent> =
                (0..20).map(|n| FrameEvent::comment(999_000 + n, sample_comment(n, 20))).collect();
            let frame = Frame { last: 123_456, at: 1_732_146_000_123, events, ..Frame::default() };
            let real = encode::message(&ServerMessage::Frame(frame), encoding).len() as f64;
            let planned = traffic.frame_bytes + 20.0 * traffic.comment_bytes;
            assert!((planned / real - 1.0).abs() < 0.03, "{encoding:?}: {planned} planned, {real} real");
        }
    }

    #[test]
    fn the_display_budget_bounds_a_frame_and_rooms_share_the_comments() {
        let flooded = Traffic::of(&Show { comments_per_s: 50_000.0, ..show() });
        assert!(flooded.comments_per_frame > 4_999.0 && flooded.shown_per_frame == 200.0, "{flooded:?}");
        let spread = Traffic::of(&Show { rooms: 100.0, comments_per_s: 20_000.0, likes_per_s: 50_000.0, ..show() });
        let one = Traffic::of(&show());
        assert!((spread.comments_per_frame / one.comments_per_frame - 1.0).abs() < 1e-9);
        assert_eq!(spread.deliveries_per_s, one.deliveries_per_s, "each viewer watches one room");
    }

    #[test]
    fn compression_makes_sends_smaller_and_headers_stay() {
        let (plain, packed) = (Traffic::of(&show()), Traffic::of(&Show { compression_ratio: 0.25, ..show() }));
        assert!((packed.send_bytes * 4.0 / plain.send_bytes - 1.0).abs() < 1e-9);
        assert!(packed.wire_bytes_per_s > packed.egress_bytes_per_s + 90.0 * packed.deliveries_per_s - 1.0);
    }
}
