//! Latency histograms: recorded per receipt, sent as counts, read as percentiles.
//!
//! Does not know: sockets, rooms.

use crate::run::messages::{Counts, Latencies, Times};
use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is recorded exactly: 2 minutes.
const LATENCY_US_MAX: u64 = 120_000_000;

/// A histogram of microseconds with three digits, from 1 µs to two minutes; longer latencies count as two minutes.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are constants that fit")
}

#[derive(Debug)]
pub struct Histograms {
    times: Times,
    all: Histogram<u64>,
    before_stall: Histogram<u64>,
    in_stall: Histogram<u64>,
    acks: Histogram<u64>,
    posts: Histogram<u64>,
    frame_bytes: Histogram<u64>,
}

impl Histograms {
    pub fn new() -> Self {
        Self {
            times: Times::default(),
            all: histogram(),
            before_stall: histogram(),
            in_stall: histogram(),
            acks: histogram(),
            posts: histogram(),
            frame_bytes: histogram(),
        }
    }

    /// Sets the measured window and the stall.
    pub fn set_times(&mut self, times: Times) {
        self.times = times;
    }

    /// Records the receipt at `now_ns` of a comment that should have left at `sent_ns`. Its send time decides whether
    /// it counts.
    pub fn record(&mut self, sent_ns: u64, now_ns: u64) {
        if sent_ns < self.times.measure_ns || sent_ns >= self.times.end_ns {
            return;
        }
        let us = now_ns.saturating_sub(sent_ns) / 1_000;
        self.all.saturating_record(us);
        match self.times.stall_ns {
            Some((from, _)) if sent_ns < from => self.before_stall.saturating_record(us),
            Some((_, to)) if sent_ns < to => self.in_stall.saturating_record(us),
            _ => {}
        }
    }

    /// Records the acknowledgement at `now_ns` of a comment that should have left at `sent_ns`.
    pub fn record_ack(&mut self, sent_ns: u64, now_ns: u64) {
        if (self.times.measure_ns..self.times.end_ns).contains(&sent_ns) {
            self.acks.saturating_record(now_ns.saturating_sub(sent_ns) / 1_000);
        }
    }

    /// Records the receipt at `now_ns` of a guaranteed event that should have been posted at `sent_ns`.
    pub fn record_post(&mut self, sent_ns: u64, now_ns: u64) {
        if (self.times.measure_ns..self.times.end_ns).contains(&sent_ns) {
            self.posts.saturating_record(now_ns.saturating_sub(sent_ns) / 1_000);
        }
    }

    /// Records the size of a frame of the measured window.
    pub fn record_frame(&mut self, bytes: u64) {
        self.frame_bytes.saturating_record(bytes);
    }

    /// The 99th percentile so far.
    pub fn p99_us(&self) -> u64 {
        self.all.value_at_quantile(0.99)
    }

    pub fn counts(&self) -> Latencies {
        let counts = |h: &Histogram<u64>| -> Counts {
            h.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
        };
        Latencies {
            all: counts(&self.all),
            before_stall: counts(&self.before_stall),
            in_stall: counts(&self.in_stall),
            acks: counts(&self.acks),
            posts: counts(&self.posts),
            frame_bytes: counts(&self.frame_bytes),
        }
    }
}

impl Default for Histograms {
    fn default() -> Self {
        Self::new()
    }
}

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50_ms: f64,
    /// 9 of 10 are faster.
    pub p90_ms: f64,
    /// 99 of 100 are faster.
    pub p99_ms: f64,
    /// 999 of 1,000 are faster.
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// The percentiles of all workers' counts together.
pub fn percentiles<'a>(all: impl IntoIterator<Item = &'a Counts>) -> Percentiles {
    let mut h = histogram();
    for (value, count) in all.into_iter().flatten() {
        h.saturating_record_n(*value, *count);
    }
    let ms = |us: u64| us as f64 / 1_000.0;
    Percentiles {
        count: h.len(),
        p50_ms: ms(h.value_at_quantile(0.5)),
        p90_ms: ms(h.value_at_quantile(0.9)),
        p99_ms: ms(h.value_at_quantile(0.99)),
        p999_ms: ms(h.value_at_quantile(0.999)),
        max_ms: ms(h.max()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_survive_the_trip_between_processes() {
        let mut h = Histograms::new();
        h.set_times(Times {
            start_ns: 0,
            measure_ns: 1_000_000,
            end_ns: 2_000_000_000,
            stall_ns: Some((500_000_000, 900_000_000)),
        });
        h.record(0, 10); // Sent in the warm-up: does not count.
        for n in 1..=1_000u64 {
            h.record(n * 1_000_000, n * 1_000_000 + n * 1_000_000);
        }
        h.record(2_000_000_000, 2_000_000_001); // Sent after the end.
        let counts = h.counts();
        let p = percentiles([&counts.all]);
        assert_eq!(p.count, 1_000);
        assert!(
            (p.p50_ms - 500.0).abs() < 1.0 && (p.p99_ms - 990.0).abs() < 1.0 && (p.max_ms - 1_000.0).abs() < 1.0,
            "{p:?}"
        );
        assert_eq!((percentiles([&counts.before_stall]).count, percentiles([&counts.in_stall]).count), (499, 400));
    }
}
