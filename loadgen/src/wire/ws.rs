//! WebSocket frames as a client sees them: a splitter for what the server sends, an encoder for what
//! the client sends.
//!
//! Does not know: sockets, messages, rooms. This is not a library, because one generator core reads 200,000 frames a
//! second: the splitter borrows from the receive buffer and copies no bytes.

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The largest frame that is accepted from the server. A frame of 200 comments of 2 KiB is 0.5 MB.
pub const FRAME_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
    Close,
    /// Requires a pong with the same payload.
    Ping,
    Pong,
}

/// Why the server's bytes are not valid frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WsError {
    /// A reserved bit is set, though no extension was negotiated.
    #[error("reserved bit set without an extension")]
    ReservedBit,
    #[error("masked frame from a server")]
    Masked,
    /// An opcode that RFC 6455 reserves.
    #[error("reserved opcode {0:#x}")]
    Opcode(u8),
    /// The server sends every message as one frame, and nothing between it and loadgen splits frames.
    #[error("fragmented message")]
    Fragmented,
    /// A control frame that is too long or fragmented.
    #[error("bad control frame")]
    Control,
    /// A frame over [`FRAME_BYTES_MAX`].
    #[error("frame of {0} bytes")]
    TooBig(u64),
}

/// One whole frame at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    pub kind: Kind,
    pub payload: &'a [u8],
    pub is_packed: bool,
    /// The length of the frame in the buffer.
    pub bytes: usize,
}

/// Splits the first frame off `buffer`; `None` while it is incomplete.
///
/// # Errors
/// [`WsError`]: the connection cannot be used any more.
pub fn split(buffer: &[u8]) -> Result<Option<Split<'_>>, WsError> {
    split_agreed(buffer, false)
}

/// As [`split`], but with `compression` data frames may be compressed.
///
/// # Errors
/// [`WsError`]: the connection cannot be used any more.
pub fn split_agreed(buffer: &[u8], compression: bool) -> Result<Option<Split<'_>>, WsError> {
    let [first, second, rest @ ..] = buffer else { return Ok(None) };
    let is_packed = first & 0x48 == 0x40;
    if first & 0x30 != 0 || first & 0x40 != 0 && !(compression && is_packed) {
        return Err(WsError::ReservedBit);
    }
    if second & 0x80 != 0 {
        return Err(WsError::Masked);
    }
    let is_final = first & 0x80 != 0;
    let kind = match first & 0x0f {
        0 => return Err(WsError::Fragmented),
        1 => Kind::Text,
        2 => Kind::Binary,
        8 => Kind::Close,
        9 => Kind::Ping,
        10 => Kind::Pong,
        other => return Err(WsError::Opcode(other)),
    };
    let is_control = first & 0x08 != 0;
    if is_control && (!is_final || second & 0x7f > 125) {
        return Err(WsError::Control);
    }
    if !is_final {
        return Err(WsError::Fragmented);
    }
    let (header, length) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(bytes) => (4, u64::from(u16::from_be_bytes(*bytes))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (10, u64::from_be_bytes(*bytes)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    if length > FRAME_BYTES_MAX {
        return Err(WsError::TooBig(length));
    }
    let bytes = header + usize::try_from(length).map_err(|_| WsError::TooBig(length))?;
    Ok(buffer.get(header..bytes).map(|payload| Split { kind, payload, is_packed, bytes }))
}

/// Length of the header before a server's payload of `payload` bytes.
pub fn header_bytes(payload: usize) -> usize {
    match payload {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    }
}

/// The code of a close frame's payload; 1005 if it has none.
pub fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code))
}

/// Appends one masked client frame to `out`.
pub fn write_masked(kind: Kind, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    let opcode = match kind {
        Kind::Text => OpCode::Data(Data::Text),
        Kind::Binary => OpCode::Data(Data::Binary),
        Kind::Close => OpCode::Control(Control::Close),
        Kind::Ping => OpCode::Control(Control::Ping),
        Kind::Pong => OpCode::Control(Control::Pong),
    };
    let header = FrameHeader { is_final: true, rsv1: false, rsv2: false, rsv3: false, opcode, mask: Some(mask) };
    header.format(payload.len() as u64, out).expect("a Vec takes every write");
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
}

#[cfg(test)]
mod tests {
    use super::*;
    use volley::protocol::variant::Encoding;
    use volley::protocol::{encode, websocket};

    #[test]
    fn frames_of_every_length_are_split_at_every_cut() {
        for length in [0usize, 1, 125, 126, 127, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = encode::framed(&payload, Encoding::Json).to_vec();
            let whole = bytes.len();
            bytes.extend_from_slice(&[0x82, 0x01]); // The next frame has begun.
            for cut in (0..whole).step_by(1 + whole / 50) {
                assert_eq!(split(&bytes[..cut]), Ok(None), "{length} cut at {cut}");
            }
            let frame = split(&bytes).unwrap().unwrap();
            assert_eq!((frame.kind, frame.payload, frame.bytes), (Kind::Text, &payload[..], whole));
            assert_eq!(whole, header_bytes(length) + length);
        }
    }

    #[test]
    fn several_frames_in_one_read_come_out_in_order() {
        let mut bytes = encode::framed(b"{}", Encoding::Json).to_vec();
        bytes.extend_from_slice(&encode::framed(b"\x80", Encoding::Msgpack));
        bytes.extend_from_slice(&websocket::control(b"hi", Control::Ping));
        bytes.extend_from_slice(&websocket::control(&4001u16.to_be_bytes(), Control::Close));
        let mut seen = Vec::new();
        let mut rest = &bytes[..];
        while let Some(frame) = split(rest).unwrap() {
            seen.push((frame.kind, frame.payload.to_vec()));
            rest = &rest[frame.bytes..];
        }
        assert!(rest.is_empty());
        assert_eq!(seen[0], (Kind::Text, b"{}".to_vec()));
        assert_eq!(seen[1], (Kind::Binary, b"\x80".to_vec()));
        assert_eq!(seen[2], (Kind::Ping, b"hi".to_vec()));
        assert_eq!((seen[3].0, close_code(&seen[3].1)), (Kind::Close, 4001));
        assert_eq!(close_code(b""), 1005);
    }

    #[test]
    fn frames_that_a_server_must_not_send_are_refused() {
        for (bytes, error) in [
            (&[0xc1, 0x00][..], WsError::ReservedBit),
            (&[0x81, 0x80], WsError::Masked),
            (&[0x83, 0x00], WsError::Opcode(3)),
            (&[0x01, 0x00], WsError::Fragmented),
            (&[0x80, 0x00], WsError::Fragmented),
            (&[0x09, 0x00], WsError::Control),
            (&[0x89, 0x7e, 0x00, 0x7e], WsError::Control),
            (&[0x82, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0], WsError::TooBig(0xff << 56)),
        ] {
            assert_eq!(split(bytes), Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn compressed_data_is_recognised_where_it_was_agreed_to() {
        let mut bytes = encode::framed(b"{}", Encoding::Json).to_vec();
        assert!(!split_agreed(&bytes, true).unwrap().unwrap().is_packed);
        bytes[0] |= 0x40;
        assert!(split_agreed(&bytes, true).unwrap().unwrap().is_packed);
        assert_eq!(split_agreed(&bytes, false), Err(WsError::ReservedBit));
        for first in [0xc8, 0xc9, 0xe1, 0xd1] {
            assert_eq!(split_agreed(&[first, 0], true), Err(WsError::ReservedBit), "{first:x}");
        }
    }

    #[test]
    fn a_masked_frame_unmasks_to_its_payload() {
        let mut out = Vec::new();
        write_masked(Kind::Text, "还有吗?".as_bytes(), [1, 2, 3, 4], &mut out);
        let length = "还有吗?".len();
        assert_eq!(&out[..6], &[0x81, 0x80 | length as u8, 1, 2, 3, 4]);
        let said: Vec<u8> = out[6..].iter().zip([1u8, 2, 3, 4].iter().cycle()).map(|(b, k)| b ^ k).collect();
        assert_eq!(said, "还有吗?".as_bytes());
    }
}
