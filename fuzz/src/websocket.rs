//! A connection's inbound bytes, cut anywhere, as a socket delivers them.
//!
//! Promises: the messages do not depend on the cuts, and a second, simple reader of the protocol sees the same; the
//! stall timer runs exactly while a message or frame is unfinished, from its first byte. Compressed messages, which
//! that reader does not support, do not depend on cuts either, and inflate to at most the size limit of messages.

use super::cut::Cut;
use super::reference;
use volley::shard::probe::{Caps, Observed, Probe};

/// Eight bytes choose the caps and the cuts; the rest is the stream.
pub fn receive(data: &[u8]) {
    let mut input = Cut(data);
    let message_bytes_max = [4_096, 4_096, 256, 300][usize::from(input.byte() % 4)];
    let choice = input.byte();
    let fragments_max = [16, 2][usize::from(choice % 2)];
    let compressed = choice >= 0xc0;
    let caps = Caps { message_bytes_max, fragments_max, backlog_bytes_max: 4_096, any_type: false, compressed };
    let cuts: [u8; 6] = input.array();
    let stream = input.0;
    let whole = fed(stream, &[], caps);
    let (seen, begun) = fed(stream, &[1], caps);
    assert_eq!(whole, (seen.clone(), begun.map(|_| 0)), "byte by byte: {stream:02x?}");
    assert_eq!(whole.0, fed(stream, &cuts, caps).0, "cut by {cuts:?}: {stream:02x?}");
    if compressed {
        // The second reader does not inflate. The inflated message keeps the size limit all the same.
        let is_bounded = |bytes: usize| bytes <= message_bytes_max as usize;
        assert!(whole.0.iter().all(|seen| match seen {
            Observed::Text(text) => is_bounded(text.len()),
            Observed::Binary(bytes) => is_bounded(bytes.len()),
            _ => true,
        }));
    } else {
        assert_eq!((seen, begun), reference::read(stream, &caps), "the second reader: {stream:02x?}");
    }
}

/// Feeds `stream` in pieces of the given lengths, repeated, at one byte per microsecond. Returns what the connection
/// sees, and where the piece starts that began an unfinished message or frame.
fn fed(stream: &[u8], lengths: &[u8], caps: Caps) -> (Vec<Observed>, Option<usize>) {
    let (mut probe, mut seen) = (Probe::new(caps).expect("a descriptor"), Vec::new());
    let mut lengths = lengths.iter().cycle();
    let mut rest = Cut(stream);
    while !rest.is_empty() {
        let length = lengths.next().map_or(usize::MAX, |length| usize::from(*length).max(1));
        let at = stream.len() - rest.0.len();
        probe.feed(rest.bytes(length), at as u64 + 1, &mut seen);
    }
    let is_over = matches!(seen.last(), Some(Observed::PeerClosed | Observed::Refused(_)));
    let since = (probe.open_since_us() as usize).checked_sub(1);
    (seen, since.filter(|_| !is_over))
}
