//! Inflates compressed messages (`permessage-deflate` without context takeover). All viewers of a worker share one
//! inflater.
//!
//! Does not know: frames, what messages mean.

use crate::wire::ws::FRAME_BYTES_MAX;
use flate2::{Decompress, FlushDecompress};

/// The end of a sync flush, which a message leaves out (RFC 7692, 7.2.1).
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

#[derive(Debug)]
pub struct Inflater {
    raw: Decompress,
    out: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { raw: Decompress::new(false), out: Vec::new() }
    }
}

impl Inflater {
    /// The inflated message, valid until the next call.
    ///
    /// # Errors
    /// The reason why the payload is not a valid message.
    pub fn inflate(&mut self, payload: &[u8]) -> Result<&[u8], String> {
        self.raw.reset(false);
        self.out.clear();
        for part in [payload, &FLUSHED] {
            let mut rest = part;
            while !rest.is_empty() || self.out.len() == self.out.capacity() {
                if self.out.len() as u64 > FRAME_BYTES_MAX {
                    return Err("a compressed message over 16 MiB".into());
                }
                self.out.reserve(1_024);
                let (taken, made) = (self.raw.total_in(), self.out.len());
                self.raw
                    .decompress_vec(rest, &mut self.out, FlushDecompress::Sync)
                    .map_err(|error| format!("a compressed message is broken: {error}"))?;
                let taken = (self.raw.total_in() - taken) as usize;
                rest = &rest[taken..];
                if taken == 0 && self.out.len() == made {
                    break;
                }
            }
            if !rest.is_empty() {
                return Err("a compressed message is broken: it ends early".into());
            }
        }
        Ok(&self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volley::protocol::deflate::Deflate;

    #[test]
    fn the_servers_compressed_messages_come_back_one_after_the_other() {
        let (mut inflater, deflate) = (Inflater::default(), Deflate::new(0, || 0));
        for length in [300, 1, 5_000, 1_000_000, 20] {
            let text = "还有吗".repeat(length).into_bytes();
            let blocks = deflate.blocks(&text).unwrap();
            assert!(inflater.inflate(&blocks).unwrap() == text, "{length}");
        }
        assert!(inflater.inflate(&[0xff; 40]).is_err());
        assert!(inflater.inflate(b"\x02\x00").unwrap().is_empty(), "and it reads on");
    }
}
