//! `permessage-deflate` (RFC 7692) without context takeover: each message is a DEFLATE stream of its own. So one
//! compressed frame serves all subscribers, and no connection has a compressor or an inflater.
//!
//! A compressor (371 KiB) and an inflater (46 KiB) are a thread's, made when it first needs them.
//!
//! Does not know: who agreed to what, sockets, clocks (it is given one, to tell what compressing costs).

use crate::limits::{DEFLATE_SCRATCH_BYTES_MAX, DEFLATE_STREAMS_MAX};
use crate::metrics::DeflateMetrics;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// Compression level. `benches/deflate.rs` measures all levels on frames of a show: 9 is 3 % smaller for nearly twice the time,
/// and took 0.8 s for 400 KB made to be slow, in which a shard would stand still; 6 takes 19 ms for them.
pub const LEVEL: u32 = 6;

/// The end of a sync flush, which messages leave out (RFC 7692, 7.2.1).
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// Read behind each message: what it left out, and an empty last block. Only if the stream ends here, and with it the input,
/// was the message whole.
const TAIL: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// Longest content of a stored block.
const STORED_BYTES_MAX: usize = 65_535;

/// How a node compresses what it sends: shared by its rooms and shards.
#[derive(Debug)]
pub struct Deflate {
    threshold_bytes: usize,
    clock: fn() -> u64,
    metrics: DeflateMetrics,
}

impl Deflate {
    /// Compresses what has at least `threshold_bytes`; with 0 everything, gain or not. `clock` tells microseconds, for the metrics alone.
    pub fn new(threshold_bytes: usize, clock: fn() -> u64) -> Self {
        Self { threshold_bytes, clock, metrics: DeflateMetrics::new() }
    }

    /// `payload` as the DEFLATE blocks that end a message: others may stand before them, on byte boundaries ([`store`]), none
    /// behind. `None` if it is below the threshold or would not shrink: then it goes out as it is.
    pub fn blocks(&self, payload: &[u8]) -> Option<Vec<u8>> {
        if payload.len() < self.threshold_bytes {
            return None;
        }
        let began_us = (self.clock)();
        let blocks = BENCH.with_borrow_mut(|bench| {
            let Bench { compressor, scratch, .. } = bench;
            let compressor = compressor.get_or_insert_with(|| Compress::new(Compression::new(LEVEL), false));
            compress(compressor, payload, scratch);
            let blocks = (scratch.len() < payload.len() || self.threshold_bytes == 0).then(|| scratch.to_vec());
            if scratch.capacity() > DEFLATE_SCRATCH_BYTES_MAX {
                *scratch = Vec::new();
            }
            blocks
        });
        let metrics = &self.metrics;
        metrics.seconds.record((self.clock)().saturating_sub(began_us) as f64 / 1e6);
        metrics.messages.increment(1);
        metrics.bytes_in.increment(payload.len() as u64);
        metrics.bytes_out.increment(blocks.as_ref().map_or(payload.len(), Vec::len) as u64);
        blocks
    }
}

/// The compressor and inflater of one thread.
#[derive(Default)]
struct Bench {
    compressor: Option<Compress>,
    inflater: Option<Decompress>,
    /// What was compressed last, before it is known whether it is of use.
    scratch: Vec<u8>,
}

thread_local! {
    static BENCH: RefCell<Bench> = const { RefCell::new(Bench { compressor: None, inflater: None, scratch: Vec::new() }) };
}

/// `payload` as blocks into `out`, without what a message leaves out.
fn compress(compressor: &mut Compress, payload: &[u8], out: &mut Vec<u8>) {
    compressor.reset();
    out.clear();
    // More than zlib's own bound for what cannot be compressed, so that one call is enough.
    out.reserve(payload.len() + payload.len() / 8 + 64);
    while (compressor.total_in() as usize) < payload.len() || !out.ends_with(&FLUSHED) {
        let rest = &payload[compressor.total_in() as usize..];
        compressor
            .compress_vec(rest, out, FlushCompress::Sync)
            .expect("a stream that was just begun takes every input");
        out.reserve(64); // For nothing, unless the bound was wrong.
    }
    out.truncate(out.len() - FLUSHED.len());
}

/// Appends `bytes` as stored blocks: what differs per copy of a message, before what all copies share.
pub fn store(bytes: &[u8], out: &mut Vec<u8>) {
    for piece in bytes.chunks(STORED_BYTES_MAX) {
        let length = piece.len() as u16;
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(piece);
    }
}

/// The length of what [`store`] appends for `bytes`.
pub const fn stored_len(bytes: usize) -> usize {
    bytes + 5 * bytes.div_ceil(STORED_BYTES_MAX)
}

/// The most that a compressed message of `bytes` may have. What does not shrink grows: by its blocks' heads, or, with a
/// compressor that does not look back, by the ninth bit of DEFLATE's fixed codes.
pub const fn packed_bytes_max(bytes: u32) -> u32 {
    bytes.saturating_add(bytes / 8).saturating_add(64)
}

/// Why a message was not inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// The message would become larger than allowed; the bytes after that point were not read.
    #[error("the message is larger than allowed when inflated")]
    TooBig,
    /// The message is incomplete, or it is not a DEFLATE stream of its own.
    #[error("the message is not a complete DEFLATE stream")]
    Broken,
}

/// Inflates a message's payload, as it came, to at most `bytes_max` bytes. What it holds meanwhile is bounded by that too.
///
/// # Errors
/// [`InflateError`].
pub fn inflate(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, InflateError> {
    BENCH.with_borrow_mut(|bench| {
        let inflater = bench.inflater.get_or_insert_with(|| Decompress::new(false));
        inflater.reset(false);
        // Comments shrink to a half or a third.
        let mut out = Vec::with_capacity((payload.len().saturating_mul(3)).max(64).min(bytes_max.saturating_add(1)));
        let mut streams = 0;
        for (part, is_last) in [(payload, false), (&TAIL[..], true)] {
            let mut rest = part;
            while !rest.is_empty() || out.len() == out.capacity() {
                if out.len() == out.capacity() {
                    out.reserve_exact(out.len().min(bytes_max.saturating_add(1) - out.len()));
                }
                let (taken, made) = (inflater.total_in(), out.len());
                let status = inflater.decompress_vec(rest, &mut out, FlushDecompress::None);
                let status = status.map_err(|_| InflateError::Broken)?;
                let taken = (inflater.total_in() - taken) as usize;
                rest = &rest[taken..];
                if out.len() > bytes_max {
                    return Err(InflateError::TooBig);
                }
                if status == Status::StreamEnd {
                    if is_last && rest.is_empty() {
                        return Ok(out);
                    }
                    // A message may end a stream and begin another one (RFC 7692, 7.2.3.4).
                    streams += 1;
                    if streams > DEFLATE_STREAMS_MAX {
                        return Err(InflateError::Broken);
                    }
                    inflater.reset(false);
                } else if taken == 0 && out.len() == made {
                    break; // It wants more than there is.
                }
            }
        }
        Err(InflateError::Broken)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::encode;
    use crate::protocol::variant::Encoding;

    fn deflate(threshold_bytes: usize) -> Deflate {
        Deflate::new(threshold_bytes, || 0)
    }

    fn texts() -> Vec<Vec<u8>> {
        let mut seed = 7_u64;
        let mut random = |n: usize| -> Vec<u8> {
            let byte = |_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            };
            (0..n).map(byte).collect()
        };
        let comment =
            r#"{"offset":813,"comment":{"user":{"id":"g-4xv2k5aq7mzce","name":"guest 4821"},"text":"还有吗"}},"#;
        vec![
            b"x".to_vec(),
            comment.into(),
            comment.repeat(100).into(),
            comment.repeat(3_000).into(),
            vec![0; 70_000],
            random(1),
            random(4_096),
            random(200_000),
        ]
    }

    #[test]
    fn what_was_compressed_comes_back_and_ends_on_a_byte() {
        for text in texts() {
            let mut blocks = Vec::new();
            compress(&mut Compress::new(Compression::new(LEVEL), false), &text, &mut blocks);
            assert!(inflate(&blocks, text.len()).as_ref() == Ok(&text), "{} bytes", text.len());
            // Blocks join: stored ones, then what was compressed by itself.
            let (mut joined, head) = (Vec::new(), vec![b'h'; 70_000]);
            store(&head, &mut joined);
            assert_eq!(joined.len(), stored_len(head.len()));
            joined.extend_from_slice(&blocks);
            assert!(inflate(&joined, 1 << 20).is_ok_and(|whole| whole == [head, text].concat()));
        }
    }

    #[test]
    fn below_the_threshold_or_without_gain_a_message_stays_as_it_is() {
        for text in texts() {
            let packed = deflate(100).blocks(&text);
            let is_random = text.len() > 100 && text[0] != b'{' && text[0] != 0;
            assert_eq!(packed.is_some(), text.len() >= 100 && !is_random, "{} bytes", text.len());
            assert!(packed.is_none_or(|packed| packed.len() < text.len()));
            assert!(encode::deflated(&text, Encoding::Json, &deflate(text.len() + 1)).is_none());
        }
        let frame = encode::deflated(&[b'x'; 1_000], Encoding::Json, &deflate(0)).unwrap();
        assert_eq!(frame[0], 0xc1, "final, RSV1, text");
        assert_eq!(usize::from(frame[1]), frame.len() - 2);
        assert_eq!(encode::deflated(&[b'x'; 1_000], Encoding::Msgpack, &deflate(0)).unwrap()[0], 0xc2);
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7692, 7.2.3.1, .3, .4, .5 and .6.
        for (what, payload, text) in [
            ("one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], "Hello"),
            ("no compression", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], "Hello"),
            ("the last block marked", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], "Hello"),
            ("two blocks", &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00], "Hello"),
            ("an empty message", &[0x00], ""),
            ("another empty message", &[0x02, 0x00], ""),
        ] {
            assert_eq!(inflate(payload, 5).as_deref(), Ok(text.as_bytes()), "{what}");
        }
        // 7.2.3.2: the second "Hello" leans on the first one's window, which nobody keeps.
        assert_eq!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 100), Err(InflateError::Broken));
    }

    #[test]
    fn a_bomb_is_cut_at_the_bound_and_the_bound_itself_fits() {
        let pack = |text: &[u8]| {
            let mut blocks = Vec::new();
            compress(&mut Compress::new(Compression::new(9), false), text, &mut blocks);
            blocks
        };
        let bomb = pack(&vec![b' '; 4 << 20]);
        assert!(bomb.len() < packed_bytes_max(4_096) as usize, "{} bytes pass the header's check", bomb.len());
        assert_eq!(inflate(&bomb, 4_096), Err(InflateError::TooBig));
        for bytes_max in [1, 63, 64, 65, 4_096] {
            let text = vec![b' '; bytes_max];
            assert_eq!(inflate(&pack(&text), bytes_max).as_ref(), Ok(&text));
            assert_eq!(inflate(&pack(&vec![b' '; bytes_max + 1]), bytes_max), Err(InflateError::TooBig));
        }
        // A stream after the other costs a reset each: few are enough for everybody.
        let ends = [3, 0].repeat(2_000);
        assert_eq!(inflate(&ends, 4_096), Err(InflateError::Broken));
    }

    #[test]
    fn what_does_not_shrink_passes_the_bound_of_the_header() {
        for (bytes, level) in [(256, 1), (4_096, 1), (4_096, 9), (1 << 20, 1), (1 << 20, 0)] {
            let (mut text, mut blocks, mut seed) = (Vec::new(), Vec::new(), 1_u64);
            text.resize_with(bytes, || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            });
            compress(&mut Compress::new(Compression::new(level), false), &text, &mut blocks);
            assert!(blocks.len() <= packed_bytes_max(bytes as u32) as usize, "{bytes} bytes became {}", blocks.len());
            assert!(inflate(&blocks, bytes).as_ref() == Ok(&text));
        }
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_not_taken_for_whole() {
        let text = texts()[2][..2_000].to_vec();
        let mut blocks = Vec::new();
        compress(&mut Compress::new(Compression::new(LEVEL), false), &text, &mut blocks);
        for cut in 0..blocks.len() {
            assert_eq!(inflate(&blocks[..cut], 4_096), Err(InflateError::Broken), "cut at {cut} of {}", blocks.len());
        }
    }

    #[test]
    fn wrong_bits_are_mostly_an_error_and_never_lead_beyond_the_bound() {
        let text = &texts()[2][..2_000];
        let mut blocks = Vec::new();
        compress(&mut Compress::new(Compression::new(LEVEL), false), text, &mut blocks);
        let mut broken = 0;
        for bit in 0..blocks.len() * 8 {
            blocks[bit / 8] ^= 1 << (bit % 8);
            match inflate(&blocks, 4_096) {
                Ok(other) => assert!(other.len() <= 4_096),
                Err(_) => broken += 1,
            }
            blocks[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(broken > blocks.len(), "{broken} of {}", blocks.len() * 8);
        // And after all that the thread's inflater reads as on the first day.
        assert_eq!(inflate(&blocks, 4_096).as_deref(), Ok(text));
    }
}
