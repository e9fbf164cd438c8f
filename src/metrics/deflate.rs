//! Compression, in both directions.

use super::table::{metrics, unlabelled};

/// Compressing takes from 10 µs for a frame of a few comments up to some milliseconds for a page.
const SECONDS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05];

metrics! {
    /// Messages of the server, each compressed once for all receivers.
    pub struct DeflateMetrics {
        counter "volley_deflated_messages_total", "Frames, pages and welcomes compressed, each once for all receivers." => messages;
        counter "volley_deflate_in_bytes_total", "Bytes of compressed frames, pages and welcomes before compression." => bytes_in;
        counter "volley_deflate_out_bytes_total", "Bytes of compressed frames, pages and welcomes after compression; never more than before." => bytes_out;
        histogram "volley_deflate_seconds" in SECONDS, "Time to compress one frame, page or welcome." => seconds;
    }

    /// Compressed messages of clients, by shard.
    pub struct InflateMetrics {
        counter "volley_inflated_messages_total", "Compressed messages of clients." => messages;
        counter "volley_inflate_in_bytes_total", "Bytes of clients' compressed messages as they arrived." => bytes_in;
        counter "volley_inflate_out_bytes_total", "Bytes of clients' compressed messages after decompression." => bytes_out;
        counter "volley_inflate_refused_total", "Compressed messages of clients that were too large or no DEFLATE stream." => refused;
    }
}

unlabelled!(DeflateMetrics);
