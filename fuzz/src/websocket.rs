//! A connection's inbound bytes, as they come from a socket: cut anywhere.
//!
//! Promises: what a connection sees does not depend on where the stream was cut, and it is what a second, plain reader of the
//! protocol sees; the stall timer runs exactly while something is unfinished.

use super::cut::Cut;
use super::reference;
use volley::shard::probe::{Caps, Probe, Seen};

/// Eight bytes choose the caps and the cuts; the rest is the stream.
pub fn receive(data: &[u8]) {
    let mut input = Cut(data);
    let message_bytes_max = [4_096, 4_096, 256, 300][usize::from(input.byte() % 4)];
    let fragments_max = [16, 2][usize::from(input.byte() % 2)];
    let caps = Caps { message_bytes_max, fragments_max, backlog_bytes_max: 4_096, any_type: false };
    let cuts: [u8; 6] = input.array();
    let stream = input.0;
    let whole = fed(stream, &[], caps);
    assert_eq!(whole, fed(stream, &[1], caps), "byte by byte: {stream:02x?}");
    assert_eq!(whole, fed(stream, &cuts, caps), "cut by {cuts:?}: {stream:02x?}");
    assert_eq!(whole, reference::read(stream, &caps), "the second reader: {stream:02x?}");
}

/// Feeds `stream` in pieces of these lengths, in turn; what a connection sees, and whether something is left open.
fn fed(stream: &[u8], lengths: &[u8], caps: Caps) -> (Vec<Seen>, bool) {
    let (mut probe, mut seen) = (Probe::new(caps).expect("a descriptor"), Vec::new());
    let mut lengths = lengths.iter().cycle();
    let mut rest = Cut(stream);
    while !rest.is_empty() {
        let length = lengths.next().map_or(usize::MAX, |length| usize::from(*length).max(1));
        probe.feed(rest.bytes(length), 0, &mut seen);
    }
    let is_over = matches!(seen.last(), Some(Seen::PeerClosed | Seen::Refused(_)));
    (seen, probe.is_open() && !is_over)
}
