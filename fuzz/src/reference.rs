//! A second reader of WebSocket frames (RFC 6455, server side). It is simple, sees the whole stream at once, and shares
//! no code with the server's reader.

use volley::limits::CONTROL_FRAMES_BURST;
use volley::protocol::codes::Close;
use volley::shard::probe::{Caps, Observed};

/// What a connection must see in `stream`, and where the unfinished message or frame begins in it.
pub fn read(whole: &[u8], caps: &Caps) -> (Vec<Observed>, Option<usize>) {
    let mut stream = whole;
    let mut begun = 0;
    let mut seen = Vec::new();
    // The unfinished message: whether it is text, its bytes, and its number of fragments.
    let mut open: Option<(bool, Vec<u8>, u32)> = None;
    let mut controls = 0;
    loop {
        let frame = match frame(stream, caps, &mut open, &mut controls) {
            Ok(Some(frame)) => frame,
            Ok(None) if open.is_some() => return (seen, Some(begun)),
            Ok(None) => return (seen, (!stream.is_empty()).then(|| whole.len() - stream.len())),
            Err(close) => {
                seen.push(Observed::Refused(close));
                return (seen, None);
            }
        };
        if open.is_none() {
            begun = whole.len() - stream.len();
        }
        stream = frame.rest;
        let end = match frame.opcode {
            8 => match close(&frame.payload) {
                Ok(answer) => {
                    seen.push(Observed::Wrote(control(8, &answer)));
                    Observed::PeerClosed
                }
                Err(close) => Observed::Refused(close),
            },
            9 => {
                seen.push(Observed::Wrote(control(10, &frame.payload)));
                continue;
            }
            10 => continue,
            opcode => {
                let (is_text, mut bytes, fragments) = open.take().unwrap_or((opcode == 1, Vec::new(), 0));
                bytes.extend(&frame.payload);
                let whole = std::str::from_utf8(&bytes);
                // A UTF-8 sequence that is cut may continue in the next fragment; a wrong one stays wrong.
                let is_broken = is_text && whole.is_err_and(|e| frame.is_final || e.error_len().is_some());
                if is_broken {
                    Observed::Refused(Close::InvalidText)
                } else {
                    match (frame.is_final, is_text) {
                        (false, _) => open = Some((is_text, bytes, fragments + 1)),
                        (true, true) => seen.push(Observed::Text(String::from_utf8(bytes).expect("looked at"))),
                        (true, false) => seen.push(Observed::Binary(bytes)),
                    }
                    continue;
                }
            }
        };
        seen.push(end);
        return (seen, None);
    }
}

struct Frame<'a> {
    opcode: u8,
    is_final: bool,
    payload: Vec<u8>,
    rest: &'a [u8],
}

/// The first frame; `Ok(None)` if it is not complete. Its header is judged as soon as the header is complete.
fn frame<'a>(
    stream: &'a [u8],
    caps: &Caps,
    open: &mut Option<(bool, Vec<u8>, u32)>,
    controls: &mut u32,
) -> Result<Option<Frame<'a>>, Close> {
    let [first, second, rest @ ..] = stream else { return Ok(None) };
    let (opcode, is_final, is_masked) = (first & 15, first & 128 != 0, second & 128 != 0);
    let (length_bytes, shortest) = match second & 127 {
        126 => (2, 126),
        127 => (8, 65_536),
        _ => (0, 0),
    };
    let Some((length, rest)) = rest.split_at_checked(length_bytes) else { return Ok(None) };
    let length = match length_bytes {
        0 => u64::from(second & 127),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let Some((mask, rest)) = rest.split_at_checked(if is_masked { 4 } else { 0 }) else { return Ok(None) };
    if !is_masked || length < shortest || first & 0x70 != 0 || length >> 63 == 1 || matches!(opcode, 3..=7 | 11..) {
        return Err(Close::Protocol);
    }
    if opcode >= 8 {
        if !is_final || length > 125 {
            return Err(Close::Protocol);
        }
        *controls += u32::from(opcode > 8);
        if *controls > CONTROL_FRAMES_BURST {
            return Err(Close::Policy);
        }
    } else {
        if (opcode == 0) != open.is_some() {
            return Err(Close::Protocol);
        }
        let (so_far, fragments) =
            open.as_ref().map_or((0, 0), |(_, bytes, fragments)| (bytes.len() as u64, *fragments));
        if so_far + length > u64::from(caps.message_bytes_max) {
            return Err(Close::TooBig);
        }
        if fragments == caps.fragments_max {
            return Err(Close::Policy);
        }
    }
    let Some((payload, rest)) = rest.split_at_checked(length as usize) else { return Ok(None) };
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(Some(Frame { opcode, is_final, payload, rest }))
}

/// The answer to a close frame: the same code, or 1002 if the code is not allowed on the wire.
fn close(payload: &[u8]) -> Result<Vec<u8>, Close> {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() { Ok(Vec::new()) } else { Err(Close::Protocol) };
    };
    let code = u16::from_be_bytes([*high, *low]);
    if std::str::from_utf8(reason).is_err() {
        return Err(Close::InvalidText);
    }
    Ok(match code {
        1000..=1003 | 1007..=1013 | 3000..=4999 => payload.to_vec(),
        _ => [&1002_u16.to_be_bytes(), &b"Protocol violation"[..]].concat(),
    })
}

fn control(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&[0x80 | opcode, payload.len() as u8], payload].concat()
}
