//! Follows a stream of requests by the rules of RFC 9112: whether the connection is in a head, in a body, or between two
//! requests.
//!
//! This is a second reader beside hyper, which does not report when a head begins, and which silently resolves framing that
//! two readers could understand differently: `Content-Length` beside `Transfer-Encoding`, and a repeated equal length. Where
//! the two readers disagree, hyper refuses the request and the connection ends.

const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
const LONGEST: usize = FRAMING[1].len();

/// Follows the heads and bodies of a connection, over any cut of the bytes into reads.
#[derive(Debug, Default)]
pub(super) struct Heads {
    place: HeadPlace,
    /// Heads begun so far.
    begun: u32,
    head: HeadState,
}

#[derive(Clone, Copy, Debug, Default)]
enum HeadPlace {
    /// In a head, or in front of one.
    #[default]
    Head,
    /// The remaining bytes of a body.
    Body(u64),
    /// In the line with a chunk's size: the size so far, and whether more digits may follow.
    ChunkSize(u64, bool),
    /// The remaining bytes of a chunk, its line end included.
    Chunk(u64),
    /// In the trailers behind the last chunk, which end with an empty line.
    Trailers { line_bytes: usize },
}

/// The state of the current head.
#[derive(Debug, Default)]
struct HeadState {
    /// Whether it has begun: empty lines in front of a request do not count (RFC 9112, 2.2).
    is_open: bool,
    /// The number of framing headers.
    framing: u32,
    length: u64,
    is_chunked: bool,
    /// Bytes of the current line, carriage returns not counted.
    line_bytes: usize,
    /// The line's name so far, in lower case; `named` once it is complete or cannot be one of ours.
    name: [u8; LONGEST],
    named: bool,
    /// The current line is a `Content-Length`.
    is_length: bool,
}

impl Heads {
    /// Whether a head among these bytes has more than one framing header.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut ambiguous = false;
        while let [byte, rest @ ..] = bytes {
            match &mut self.place {
                HeadPlace::Body(left) | HeadPlace::Chunk(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        let is_chunk = matches!(self.place, HeadPlace::Chunk(_));
                        self.place = if is_chunk { HeadPlace::ChunkSize(0, true) } else { HeadPlace::Head };
                    }
                    bytes = &bytes[taken..];
                    continue;
                }
                HeadPlace::ChunkSize(size, in_digits) => match (char::from(*byte).to_digit(16), byte) {
                    (Some(digit), _) if *in_digits => *size = size.saturating_mul(16).saturating_add(digit.into()),
                    (_, b'\n') if *size == 0 => self.place = HeadPlace::Trailers { line_bytes: 0 },
                    (_, b'\n') => self.place = HeadPlace::Chunk(size.saturating_add(2)),
                    _ => *in_digits = false,
                },
                HeadPlace::Trailers { line_bytes } => match byte {
                    b'\n' if *line_bytes == 0 => self.place = HeadPlace::Head,
                    b'\n' => *line_bytes = 0,
                    b'\r' => {}
                    _ => *line_bytes += 1,
                },
                HeadPlace::Head => {
                    if !self.head.is_open && !matches!(byte, b'\r' | b'\n') {
                        self.head.is_open = true;
                        self.begun += 1;
                    }
                    ambiguous |= self.head.take(*byte);
                    if *byte == b'\n' {
                        self.line_ends();
                    }
                }
            }
            bytes = rest;
        }
        ambiguous
    }

    /// The number of the head that has begun and is not whole yet, from 1 on.
    pub(super) fn open(&self) -> Option<u32> {
        self.head.is_open.then_some(self.begun)
    }

    fn line_ends(&mut self) {
        let head = &mut self.head;
        if head.line_bytes == 0 && head.is_open {
            self.place = match head {
                HeadState { is_chunked: true, .. } => HeadPlace::ChunkSize(0, true),
                HeadState { length: 0, .. } => HeadPlace::Head,
                HeadState { length, .. } => HeadPlace::Body(*length),
            };
            *head = HeadState::default();
        }
        (head.line_bytes, head.named, head.is_length) = (0, false, false);
    }
}

impl HeadState {
    /// Takes a byte of it; says whether that makes a second framing header.
    fn take(&mut self, byte: u8) -> bool {
        match byte {
            b'\r' | b'\n' => return false,
            _ if self.is_length => {
                if let Some(digit) = char::from(byte).to_digit(10) {
                    self.length = self.length.saturating_mul(10).saturating_add(digit.into());
                }
            }
            _ if self.named => {}
            b':' => {
                self.named = true;
                let name = &self.name[..self.line_bytes.min(LONGEST)];
                self.is_length = name == FRAMING[0];
                self.is_chunked |= name == FRAMING[1];
                self.framing += u32::from(FRAMING.contains(&name));
                self.line_bytes += 1;
                return self.framing > 1 && FRAMING.contains(&name);
            }
            _ if self.line_bytes < LONGEST => self.name[self.line_bytes] = byte.to_ascii_lowercase(),
            _ => self.named = true,
        }
        self.line_bytes += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(stream: &str, cut: usize) -> (bool, Heads) {
        let mut heads = Heads::default();
        let ambiguous = stream.as_bytes().chunks(cut).fold(false, |any, chunk| heads.feed(chunk) | any);
        (ambiguous, heads)
    }

    #[test]
    fn two_framing_headers_are_seen_however_the_bytes_are_cut() {
        for cut in [1, 2, 3, 7, 1_000] {
            for head in [
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nX: y\r\nCONTENT-LENGTH: 5\r\n\r\n",
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\nContent-Length: 0\nContent-Length: 0\n\n",
            ] {
                assert!(fed(head, cut).0, "{head:?} cut at {cut}");
            }
            for head in [
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nX-Content-Length: 5\r\nContent-Length-X: 5\r\n\r\n",
                "GET /content-length: HTTP/1.1\r\nHost: content-length:transfer-encoding:\r\n\r\n",
                "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
                "GET / HTTP/1.1\r\nTransfer-EncodingX: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                // A body is no head.
                "POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\nContent-Length: 1\nTransfer-Encoding: x\n\n",
            ] {
                assert!(!fed(head, cut).0, "{head:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_head_is_open_from_its_first_byte_to_its_last_whatever_came_before() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let sized = "POST / HTTP/1.1\r\nContent-Length: 11\r\n\r\n{\"a\":\n\n\"b\"}";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n\r\n\r\na\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n";
        for cut in [1, 2, 3, 7, 1_000] {
            for (before, heads) in [
                (String::new(), 0),
                ("\r\n\r\n".into(), 0),
                (get.into(), 1),
                (get.replace('\r', ""), 1),
                (get.repeat(3), 3),
                (format!("{sized}{get}"), 2),
                (format!("{chunked}\r\n"), 1),
                (format!("{get}{chunked}{sized}{get}"), 4),
            ] {
                assert_eq!(fed(&before, cut).1.open(), None, "{before:?} cut at {cut}");
                for begin in [
                    "G",
                    "GET / HTTP/1.1\r\n",
                    "GET / HTTP/1.1\r\nHost: a\r\n",
                    "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r",
                ] {
                    let stream = format!("{before}{begin}");
                    assert_eq!(fed(&stream, cut).1.open(), Some(heads + 1), "{stream:?} cut at {cut}");
                }
            }
            for unfinished in [&sized[..sized.len() - 1], &chunked[..chunked.len() - 1], &chunked[..60]] {
                assert_eq!(fed(unfinished, cut).1.open(), None, "a body is no head: {unfinished:?}");
            }
        }
    }
}
