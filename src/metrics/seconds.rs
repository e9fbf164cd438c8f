//! A counter of seconds with a fraction, which the exporter's whole-number counters cannot hold.

use parking_lot::Mutex;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const DUTY_BUSY: &str = "volley_duty_busy_seconds_total";

/// Time that a shard spent working. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seconds {
    micros: Arc<AtomicU64>,
}

struct ShardSeconds {
    shard: usize,
    micros: Arc<AtomicU64>,
}

static SHARDS: Mutex<Vec<ShardSeconds>> = Mutex::new(Vec::new());

impl Seconds {
    pub(super) fn of_shard(shard: usize) -> Self {
        let mut all = SHARDS.lock();
        if let Some(known) = all.iter().find(|series| series.shard == shard) {
            return Self { micros: known.micros.clone() };
        }
        let micros = Arc::<AtomicU64>::default();
        all.push(ShardSeconds { shard, micros: micros.clone() });
        Self { micros }
    }

    pub fn add_us(&self, us: u64) {
        self.micros.fetch_add(us, Ordering::Relaxed);
    }
}

/// Appends the counters in Prometheus' text format.
pub(super) fn render(out: &mut String) {
    let all = SHARDS.lock();
    if all.is_empty() {
        return;
    }
    let _ =
        writeln!(out, "# HELP {DUTY_BUSY} Time that a shard spent working, not parked.\n# TYPE {DUTY_BUSY} counter");
    for series in all.iter() {
        let seconds = Duration::from_micros(series.micros.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(out, "{DUTY_BUSY}{{shard=\"{}\"}} {seconds:.6}", series.shard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_seconds_keep_their_fraction() {
        Seconds::of_shard(9_000).add_us(1_250_000);
        Seconds::of_shard(9_000).add_us(500_000);
        let mut text = String::new();
        render(&mut text);
        assert!(text.contains("volley_duty_busy_seconds_total{shard=\"9000\"} 1.750000\n"), "{text}");
    }
}
