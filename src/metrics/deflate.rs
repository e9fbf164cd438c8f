//! What is counted about compression, in both directions.

use ::metrics::{Counter, Histogram, SharedString, counter, describe_counter, describe_histogram, histogram};

pub(super) const DEFLATE_SECONDS: &str = "volley_deflate_seconds";

const DEFLATED_MESSAGES: &str = "volley_deflated_messages_total";
const DEFLATE_IN: &str = "volley_deflate_in_bytes_total";
const DEFLATE_OUT: &str = "volley_deflate_out_bytes_total";
const INFLATED_MESSAGES: &str = "volley_inflated_messages_total";
const INFLATE_IN: &str = "volley_inflate_in_bytes_total";
const INFLATE_OUT: &str = "volley_inflate_out_bytes_total";
const INFLATE_REFUSED: &str = "volley_inflate_refused_total";

/// What is compressed, once for everybody who gets it.
#[derive(Debug)]
pub struct DeflateMetrics {
    /// Frames, pages and welcomes that were compressed.
    pub messages: Counter,
    /// Their bytes before.
    pub bytes_in: Counter,
    /// Their bytes after; the same as before where nothing was gained.
    pub bytes_out: Counter,
    /// Time for one of them.
    pub seconds: Histogram,
}

impl DeflateMetrics {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        Self {
            messages: counter!(DEFLATED_MESSAGES),
            bytes_in: counter!(DEFLATE_IN),
            bytes_out: counter!(DEFLATE_OUT),
            seconds: histogram!(DEFLATE_SECONDS),
        }
    }
}

impl Default for DeflateMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What a shard inflates.
#[derive(Debug)]
pub struct InflateMetrics {
    /// Messages of clients that came compressed.
    pub messages: Counter,
    /// Their bytes as they came.
    pub bytes_in: Counter,
    /// Their bytes inflated.
    pub bytes_out: Counter,
    /// Of them, those that were too big or no DEFLATE stream.
    pub refused: Counter,
}

impl InflateMetrics {
    /// The handles of one shard.
    pub(super) fn new(shard: &SharedString) -> Self {
        let count = |name: &'static str| counter!(name, "shard" => shard.clone());
        Self {
            messages: count(INFLATED_MESSAGES),
            bytes_in: count(INFLATE_IN),
            bytes_out: count(INFLATE_OUT),
            refused: count(INFLATE_REFUSED),
        }
    }
}

/// Gives every metric its help text.
pub(super) fn describe() {
    describe_counter!(DEFLATED_MESSAGES, "Frames, pages and welcomes compressed, each once for everybody who gets it.");
    describe_counter!(DEFLATE_IN, "Bytes of what was compressed, before.");
    describe_counter!(DEFLATE_OUT, "Bytes of what was compressed, after.");
    describe_histogram!(DEFLATE_SECONDS, "Time to compress one frame, page or welcome.");
    describe_counter!(INFLATED_MESSAGES, "Messages of clients that came compressed.");
    describe_counter!(INFLATE_IN, "Bytes of clients' compressed messages, as they came.");
    describe_counter!(INFLATE_OUT, "Bytes of clients' compressed messages, inflated.");
    describe_counter!(INFLATE_REFUSED, "Compressed messages of clients that were too big or no DEFLATE stream.");
}
