//! Latency from send to receipt: each text begins with its due time, in nanoseconds of this process.

/// Hexadecimal digits of a moment.
pub const STAMP_DIGITS: usize = 16;

/// The texts' moments in a message or frame.
pub fn stamps(body: &[u8]) -> impl Iterator<Item = u64> {
    const TEXT: &[u8] = b"\"text\":\"";
    let after = body.windows(TEXT.len()).enumerate().filter(|(_, w)| *w == TEXT).map(|(at, _)| at + TEXT.len());
    after.filter_map(|at| {
        let digits = std::str::from_utf8(body.get(at..at + STAMP_DIGITS)?).ok()?;
        u64::from_str_radix(digits, 16).ok()
    })
}

/// The latencies of the sample's viewers.
#[derive(Default)]
pub struct Latencies {
    /// The latency of each comment, in nanoseconds.
    late_ns: Vec<u64>,
}

impl Latencies {
    pub fn add(&mut self, due_ns: u64, now_ns: u64) {
        self.late_ns.push(now_ns.saturating_sub(due_ns));
    }

    pub fn clear(&mut self) {
        self.late_ns.clear();
    }

    /// The given quantiles, in milliseconds, of the latencies since [`Self::clear`]; empty if there are none.
    pub fn quantiles(&self, quantiles: &[f64]) -> Vec<f64> {
        let mut late = self.late_ns.clone();
        late.sort_unstable();
        let at = |q: f64| late.get(((late.len() as f64 * q) as usize).min(late.len().saturating_sub(1)));
        quantiles.iter().filter_map(|&q| at(q)).map(|&ns| ns as f64 / 1e6).collect()
    }
}
