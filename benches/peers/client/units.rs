//! Splits each protocol's stream into units, without examining their content.

/// A unit at the start of a buffer: the lengths of its header and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    pub header: usize,
    pub body: usize,
    pub kind: Kind,
}

/// What a protocol's header says about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An HTTP response's head, all header.
    Head,
    /// A message of the application.
    Data,
    /// Wants to be answered.
    Ping,
    /// The peer ends the connection.
    Close,
    /// A NATS or MQTT answer to the handshake; the phase determines which.
    Answer,
    /// Ignored.
    Other,
}

type Split = Result<Option<Unit>, String>;

/// The longest accepted line or head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The head of the answer to an upgrade request.
pub fn http(bytes: &[u8]) -> Split {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return endless(bytes) };
    if !bytes.starts_with(b"HTTP/1.1 101") {
        let line = bytes.split(|&b| b == b'\r').next().unwrap_or_default();
        return Err(format!("the upgrade was refused: {}", String::from_utf8_lossy(line)));
    }
    Ok(Some(Unit { header: end + 4, body: 0, kind: Kind::Head }))
}

fn endless(bytes: &[u8]) -> Split {
    if bytes.len() > HEAD_BYTES_MAX { Err("a head without an end".into()) } else { Ok(None) }
}

/// A WebSocket frame of a server: unmasked. Fragments count as separate messages; no peer here sends any.
pub fn websocket(bytes: &[u8]) -> Split {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 || first & 0x70 != 0 {
        return Err(format!("not a frame of a server without extensions: {first:#x} {second:#x}"));
    }
    let kind = match first & 0x0f {
        1 | 2 => Kind::Data,
        8 => Kind::Close,
        9 => Kind::Ping,
        10 => Kind::Other,
        other => return Err(format!("a frame of kind {other:#x}")),
    };
    let (header, body) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (10, u64::from_be_bytes(*length) as usize),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    Ok(Some(Unit { header, body, kind }))
}

/// A line of the NATS protocol; a `MSG` with its payload.
pub fn nats(bytes: &[u8]) -> Split {
    let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else { return endless(bytes) };
    let (line, header) = (&bytes[..end], end + 2);
    if line.starts_with(b"MSG ") {
        let digits = line.rsplit(|&b| b == b' ').next().unwrap_or_default();
        let length = digits.iter().try_fold(0_usize, |n, d| d.is_ascii_digit().then(|| n * 10 + usize::from(d - b'0')));
        let length = length.ok_or_else(|| format!("not a MSG: {}", String::from_utf8_lossy(line)))?;
        return Ok(Some(Unit { header, body: length + 2, kind: Kind::Data }));
    }
    let kind = match line {
        b"PING" => Kind::Ping,
        b"PONG" => Kind::Answer,
        _ if line.starts_with(b"INFO ") => Kind::Head,
        _ if line.starts_with(b"-ERR") => return Err(format!("NATS says {}", String::from_utf8_lossy(line))),
        _ => Kind::Other,
    };
    Ok(Some(Unit { header, body: 0, kind }))
}

/// An MQTT packet.
pub fn mqtt(bytes: &[u8]) -> Split {
    let Some(first) = bytes.first() else { return Ok(None) };
    let mut body = 0_usize;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        body |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let kind = match first >> 4 {
                3 => Kind::Data,
                2 | 9 => Kind::Answer,
                14 => Kind::Close,
                _ => Kind::Other,
            };
            return Ok(Some(Unit { header: at + 2, body, kind }));
        }
    }
    if bytes.len() >= 5 { Err("an MQTT length of five bytes".into()) } else { Ok(None) }
}
