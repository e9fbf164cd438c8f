//! Judges inbound frames by their headers, before the WebSocket library buffers a payload: it refuses wrong sizes, too
//! many fragments and too many control frames. It also finds the frames of compressed messages, which bypass the
//! library because the library does not know the extension.
//!
//! Costs 40 bytes per connection; parsing is tungstenite's own `FrameHeader::parse`.

use crate::limits::{CONTROL_FRAMES_BURST, CONTROL_FRAMES_PER_S};
use crate::protocol::codes::Close;
use crate::protocol::deflate::packed_bytes_max;
use crate::shard::tenant::Caps;
use std::io::Cursor;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

const HEADER_BYTES_MAX: usize = 14;

// Of a frame's first byte (RFC 6455, 5.2).
const FINAL: u8 = 0x80;
const RSV1: u8 = 0x40;
const OPCODE: u8 = 0x0f;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

// Of its second byte.
const LENGTH: u8 = 0x7f;
const LENGTH_OF_16_BITS: u8 = 126;
const LENGTH_OF_64_BITS: u8 = 127;

/// One connection's place in its inbound stream.
#[derive(Debug, Default)]
pub(in crate::shard) struct Inspect {
    /// Payload bytes of the current frame still to come.
    remaining: u32,
    /// Bytes of the current message so far.
    message_bytes: u32,
    /// Fragments of the current message so far; 0: none is open.
    fragments: u32,
    /// The current frame's header, as far as it has arrived. Its first byte stays until the next header.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// Whether the open message, or the last one, is compressed.
    packed: bool,
    /// GCRA: when the control-frame bucket is full again, in monotonic microseconds.
    control_full_us: u64,
}

/// The kind of the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Piece {
    /// This many bytes of a frame, for the WebSocket library.
    Plain(usize),
    /// Bytes of a frame of a compressed message.
    Packed(Packed),
}

/// A piece of a frame of a compressed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Packed {
    /// Bytes of this piece, header included.
    pub taken: usize,
    /// How many of these bytes are header; the rest is payload.
    pub header: usize,
    /// Set when the header ends here.
    pub begun: Option<Begun>,
    /// Whether this piece ends the message.
    pub is_last: bool,
}

/// A frame of a compressed message, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Begun {
    /// Masks the payload.
    pub mask: [u8; 4],
    /// Text or binary, if it is the message's first.
    pub is_text: Option<bool>,
}

impl Inspect {
    /// Whether a frame or message is open.
    pub(in crate::shard) fn is_open(&self) -> bool {
        self.remaining > 0 || self.header_len > 0 || self.fragments > 0
    }

    /// Returns the next piece of `bytes`, which continue the bytes of the call before. Use the piece, then call again
    /// with the rest.
    ///
    /// # Errors
    /// The close code for a frame that is refused.
    pub(in crate::shard) fn next(&mut self, bytes: &[u8], caps: &Caps, now_us: u64) -> Result<Piece, Close> {
        if self.remaining > 0 {
            let taken = self.consume(bytes.len());
            return Ok(self.piece(taken, 0, None));
        }
        let had = usize::from(self.header_len);
        let more = bytes.len().min(HEADER_BYTES_MAX - had);
        self.header[had..had + more].copy_from_slice(&bytes[..more]);
        let mut cursor = Cursor::new(&self.header[..had + more]);
        match FrameHeader::parse(&mut cursor).map_err(|_| Close::Protocol)? {
            None => {
                self.header_len = (had + more) as u8;
                // The first byte tells whether the frame is compressed. A part of a header is never the end of a
                // message.
                let is_packed = if self.is_first() { self.header[0] & RSV1 != 0 } else { self.is_packed() };
                let packed = Packed { taken: more, header: more, begun: None, is_last: false };
                Ok(if is_packed { Piece::Packed(packed) } else { Piece::Plain(more) })
            }
            Some((header, length)) => {
                let header_bytes = cursor.position() as usize - had;
                self.header_len = 0;
                self.check(&header, length, caps, now_us)?;
                self.remaining = length as u32;
                let taken = header_bytes + self.consume(bytes.len() - header_bytes);
                let is_text =
                    (header.opcode != OpCode::Data(Data::Continue)).then_some(self.header[0] & OPCODE == TEXT);
                let begun = header.mask.map(|mask| Begun { mask, is_text });
                Ok(self.piece(taken, header_bytes, begun))
            }
        }
    }

    fn piece(&self, taken: usize, header: usize, begun: Option<Begun>) -> Piece {
        if self.is_packed() {
            let is_last = self.remaining == 0 && self.header[0] & FINAL != 0;
            Piece::Packed(Packed { taken, header, begun, is_last })
        } else {
            Piece::Plain(taken)
        }
    }

    /// Whether the current frame begins a message.
    fn is_first(&self) -> bool {
        matches!(self.header[0] & OPCODE, TEXT | BINARY)
    }

    /// Whether the current frame belongs to a compressed message.
    fn is_packed(&self) -> bool {
        self.packed && self.header[0] & OPCODE <= BINARY
    }

    /// Whether the whole header has the shortest form of its length (RFC 6455, 5.2).
    fn is_minimal(&self, length: u64) -> bool {
        match self.header[1] & LENGTH {
            LENGTH_OF_16_BITS => length >= u64::from(LENGTH_OF_16_BITS),
            LENGTH_OF_64_BITS => length > u64::from(u16::MAX),
            _ => true,
        }
    }

    fn consume(&mut self, available: usize) -> usize {
        let taken = available.min(self.remaining as usize);
        self.remaining -= taken as u32;
        taken
    }

    fn check(&mut self, header: &FrameHeader, length: u64, caps: &Caps, now_us: u64) -> Result<(), Close> {
        if header.mask.is_none() || header.rsv2 || header.rsv3 || length >> 63 == 1 || !self.is_minimal(length) {
            return Err(Close::Protocol);
        }
        // RFC 7692, 6.1: only on the first frame of a message, and never on a control frame.
        if header.rsv1 && !(caps.compressed && self.is_first()) {
            return Err(Close::Protocol);
        }
        match header.opcode {
            OpCode::Control(_) if length > 125 || !header.is_final => Err(Close::Protocol),
            OpCode::Control(Control::Close) => Ok(()),
            OpCode::Control(Control::Ping | Control::Pong) => self.pay_for_control(now_us),
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => Err(Close::Protocol),
            OpCode::Data(kind) => {
                let continues = kind == Data::Continue;
                if continues != (self.fragments > 0) {
                    return Err(Close::Protocol);
                }
                if !continues {
                    self.packed = header.rsv1;
                }
                // The inflated size is checked when the message is inflated.
                let max = caps.message_bytes_max;
                let max = if self.packed { packed_bytes_max(max) } else { max };
                if length > u64::from(max - self.message_bytes) {
                    return Err(Close::TooBig);
                }
                if self.fragments == caps.fragments_max {
                    return Err(Close::Policy);
                }
                (self.fragments, self.message_bytes) =
                    if header.is_final { (0, 0) } else { (self.fragments + 1, self.message_bytes + length as u32) };
                Ok(())
            }
        }
    }

    fn pay_for_control(&mut self, now_us: u64) -> Result<(), Close> {
        const EMISSION_US: u64 = 1_000_000 / CONTROL_FRAMES_PER_S as u64;
        const BURST_US: u64 = EMISSION_US * CONTROL_FRAMES_BURST as u64;
        let debt_us = self.control_full_us.saturating_sub(now_us);
        if debt_us > BURST_US - EMISSION_US {
            return Err(Close::Policy);
        }
        self.control_full_us = now_us + debt_us + EMISSION_US;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps {
        message_bytes_max: 4_096,
        fragments_max: 16,
        backlog_bytes_max: 4_096,
        any_type: false,
        compressed: false,
    };
    const PACKED: Caps = Caps { compressed: true, ..CAPS };

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | length as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.extend(vec![0; length.min(10_000)]);
        bytes
    }

    /// A header with a length in the form that `form` names, and nothing behind it.
    fn long(first: u8, form: u8, length: u64) -> Vec<u8> {
        let bytes = length.to_be_bytes();
        let bytes = if form == 126 { &bytes[6..] } else { &bytes[..] };
        [&[first, 0x80 | form], bytes, &[1, 2, 3, 4]].concat()
    }

    /// Feeds `bytes` in pieces of `step`; returns the frames' ends that were found, or the verdict.
    fn feed(inspect: &mut Inspect, bytes: &[u8], step: usize, now_us: u64) -> Result<usize, Close> {
        feed_to(inspect, &CAPS, bytes, step, now_us)
    }

    fn feed_to(inspect: &mut Inspect, caps: &Caps, bytes: &[u8], step: usize, now_us: u64) -> Result<usize, Close> {
        let mut ends = 0;
        for piece in bytes.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let n = match inspect.next(rest, caps, now_us)? {
                    Piece::Plain(taken) | Piece::Packed(Packed { taken, .. }) => taken,
                };
                assert!(n > 0);
                rest = &rest[n..];
                ends += usize::from(inspect.remaining == 0 && inspect.header_len == 0);
            }
        }
        Ok(ends)
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let stream: Vec<u8> =
            [frame(0x81, 5), frame(0x01, 300), frame(0x89, 0), frame(0x80, 70), frame(0x82, 4_096)].concat();
        for step in [1, 2, 3, 7, 14, 100, 10_000] {
            let mut inspect = Inspect::default();
            assert_eq!(feed(&mut inspect, &stream, step, 0), Ok(5), "step {step}");
            assert!(!inspect.is_open());
        }
    }

    #[test]
    fn what_is_wrong_is_refused_at_the_header() {
        let unmasked = vec![0x81, 0x01, b'x'];
        let top_bit = [vec![0x82, 0xff], (1_u64 << 63).to_be_bytes().to_vec(), vec![0; 4]].concat();
        for (what, bytes, code) in [
            ("unmasked", unmasked, Close::Protocol),
            ("rsv1", frame(0xc1, 1), Close::Protocol),
            ("rsv2", frame(0xa1, 1), Close::Protocol),
            ("rsv3", frame(0x91, 1), Close::Protocol),
            ("opcode 3", frame(0x83, 1), Close::Protocol),
            ("opcode B", frame(0x8b, 1), Close::Protocol),
            ("ping of 126 bytes", frame(0x89, 126), Close::Protocol),
            ("fragmented ping", frame(0x09, 1), Close::Protocol),
            ("fragmented close", frame(0x08, 2), Close::Protocol),
            ("continuation without start", frame(0x80, 1), Close::Protocol),
            ("text inside a fragment run", [frame(0x01, 1), frame(0x81, 1)].concat(), Close::Protocol),
            ("64-bit length with top bit", top_bit, Close::Protocol),
            ("5 bytes with a length of 16 bits", long(0x81, 126, 5), Close::Protocol),
            ("125 bytes with a length of 16 bits", long(0x81, 126, 125), Close::Protocol),
            ("5 bytes with a length of 64 bits", long(0x82, 127, 5), Close::Protocol),
            ("65,535 bytes with a length of 64 bits", long(0x81, 127, 65_535), Close::Protocol),
            ("no bytes with a length of 16 bits", long(0x81, 126, 0), Close::Protocol),
            ("a ping with a length of 16 bits", long(0x89, 126, 5), Close::Protocol),
            ("a continuation with one", [frame(0x01, 1), long(0x80, 126, 5)].concat(), Close::Protocol),
            ("message over the cap", frame(0x81, 4_097), Close::TooBig),
            ("fragments that sum up over it", [frame(0x01, 4_000), frame(0x80, 97)].concat(), Close::TooBig),
            ("a 17th fragment", [frame(0x01, 1), frame(0x00, 1).repeat(16)].concat(), Close::Policy),
        ] {
            assert_eq!(feed(&mut Inspect::default(), &bytes, 5, 0), Err(code), "{what}");
        }
    }

    #[test]
    fn a_compressed_message_is_told_apart_however_it_is_cut_and_between_control_frames() {
        let bytes = [
            frame(0x81, 3),   // a plain text
            frame(0x41, 200), // the begin of a compressed text
            frame(0x89, 2),   // a ping in between
            frame(0x00, 0),
            frame(0x80, 5), // its end
            frame(0x82, 4), // a plain binary
            frame(0xc2, 7), // a compressed binary
            frame(0xc1, 0), // an empty one
        ]
        .concat();
        for step in [1, 2, 3, 5, 7, 14, 100, 10_000] {
            let (mut inspect, mut plain, mut headers, mut payload) = (Inspect::default(), 0, 0, 0);
            let (mut begun, mut lasts) = (Vec::new(), 0);
            for piece in bytes.chunks(step) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let taken = match inspect.next(rest, &PACKED, 0).unwrap() {
                        Piece::Plain(taken) => {
                            plain += taken;
                            taken
                        }
                        Piece::Packed(packed) => {
                            headers += packed.header;
                            payload += packed.taken - packed.header;
                            begun.extend(packed.begun.map(|begun| begun.is_text));
                            assert!(packed.begun.is_none_or(|begun| begun.mask == [1, 2, 3, 4]));
                            lasts += usize::from(packed.is_last);
                            packed.taken
                        }
                    };
                    rest = &rest[taken..];
                }
            }
            assert_eq!((plain, payload), (9 + 8 + 10, 200 + 5 + 7), "step {step}");
            assert_eq!(headers, 8 + 6 + 6 + 6 + 6, "step {step}");
            assert_eq!(begun, [Some(true), None, None, Some(false), Some(true)], "step {step}");
            assert_eq!(lasts, 3, "step {step}");
            assert!(!inspect.is_open());
        }
    }

    #[test]
    fn what_the_extension_does_not_allow_is_refused_at_the_header() {
        let most = packed_bytes_max(4_096) as usize;
        for (what, bytes, code) in [
            ("with a length of 16 bits for 5 bytes", long(0xc1, 126, 5), Close::Protocol),
            ("with a length of 64 bits for 300", long(0xc1, 127, 300), Close::Protocol),
            ("on a ping", frame(0xc9, 1), Close::Protocol),
            ("on a close", frame(0xc8, 2), Close::Protocol),
            ("on a continuation", [frame(0x41, 1), frame(0xc0, 1)].concat(), Close::Protocol),
            ("on a continuation of a plain message", [frame(0x01, 1), frame(0x40, 1)].concat(), Close::Protocol),
            ("on a continuation of nothing", frame(0xc0, 1), Close::Protocol),
            ("with RSV2", frame(0xe1, 1), Close::Protocol),
            ("on a reserved opcode", frame(0xc3, 1), Close::Protocol),
            ("on a new text inside a message", [frame(0x41, 1), frame(0xc1, 1)].concat(), Close::Protocol),
            ("more than any message can become", frame(0xc1, most + 1), Close::TooBig),
            ("the same in fragments", [frame(0x41, most), frame(0x80, 1)].concat(), Close::TooBig),
            ("a plain message keeps its own bound", [frame(0xc1, 1), frame(0x81, 4_097)].concat(), Close::TooBig),
            ("a 17th fragment", [frame(0x41, 1), frame(0x00, 1).repeat(16)].concat(), Close::Policy),
        ] {
            for step in [1, 5, 10_000] {
                assert_eq!(feed_to(&mut Inspect::default(), &PACKED, &bytes, step, 0), Err(code), "{what}");
            }
        }
        assert_eq!(feed_to(&mut Inspect::default(), &PACKED, &frame(0xc1, most), 100, 0), Ok(1));
        assert_eq!(size_of::<Inspect>(), 40);
    }

    #[test]
    fn control_frames_have_a_pace() {
        let mut inspect = Inspect::default();
        let ping = frame(0x89, 0);
        assert_eq!(feed(&mut inspect, &ping.repeat(20), 100, 1_000_000), Ok(20));
        assert_eq!(feed(&mut inspect, &ping, 100, 1_000_000), Err(Close::Policy));
        let mut inspect = Inspect::default();
        for n in 0..1_000 {
            assert_eq!(feed(&mut inspect, &ping, 100, n * 100_000), Ok(1), "10 a second are fine for ever");
        }
    }
}
