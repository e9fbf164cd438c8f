//! From send to receipt: each text begins with the moment at which it was due, in nanoseconds of this process.

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

/// What the viewers of the sample saw.
#[derive(Default)]
pub struct Latencies {
    /// Due, and how much later received, in nanoseconds.
    seen: Vec<(u64, u64)>,
}

impl Latencies {
    pub fn add(&mut self, due_ns: u64, now_ns: u64) {
        self.seen.push((due_ns, now_ns.saturating_sub(due_ns)));
    }

    pub fn clear(&mut self) {
        self.seen.clear();
    }

    /// The given quantiles, in milliseconds, of what was due from `from_ns` on; empty if nothing came.
    pub fn quantiles(&self, from_ns: u64, quantiles: &[f64]) -> Vec<f64> {
        let mut late: Vec<u64> = self.seen.iter().filter(|(due, _)| *due >= from_ns).map(|(_, late)| *late).collect();
        late.sort_unstable();
        let at = |q: f64| late.get(((late.len() as f64 * q) as usize).min(late.len().saturating_sub(1)));
        quantiles.iter().filter_map(|&q| at(q)).map(|&ns| ns as f64 / 1e6).collect()
    }
}
