//! Counts locally and publishes to the metrics at intervals, so that counting in the pass is an addition to a local
//! integer.

use crate::clock;
use crate::metrics::ShardMetrics;
use crate::protocol::codes::Close;
use crate::shard::conn::framing::Inflated;
use crate::shard::fanout::pass::{SendTally, Unfinished};

/// The shortest time between two publications while the shard is busy. It also publishes before each sleep.
const PUBLISH_US: u64 = 50_000;

/// A duty cycle above this, half a default tick, counts as slow.
const SLOW_CYCLE_US: u64 = 50_000;

/// A shard's counts since the last publication.
pub(in crate::shard) struct ShardReport {
    metrics: ShardMetrics,
    tally: SendTally,
    pub frames: u64,
    pub gaps: GapCounts,
    pub messages: MessageCounts,
    /// Entries that a full inbox, of this shard or another, refused.
    pub inbox_full: u64,
    duty: DutyCounts,
    levels: Levels,
    published_us: u64,
    /// Reused by the pass, so that it allocates nothing.
    pub left: Vec<Unfinished>,
}

#[derive(Default)]
pub(in crate::shard) struct GapCounts {
    pub slow: u64,
    pub overload: u64,
    /// Frames that the gaps stand for.
    pub frames: u64,
    /// Gaps that may omit guaranteed events.
    pub lacking: u64,
}

#[derive(Default)]
pub(in crate::shard) struct MessageCounts {
    pub inbound: u64,
    pub inflated: Inflated,
    pub control_sends: u64,
    pub control_overflow: u64,
    pub panics: u64,
}

#[derive(Default)]
struct DutyCounts {
    busy_us: u64,
    longest_us: u64,
    slow: u64,
}

/// Levels at the end of a duty cycle.
#[derive(Clone, Copy, Default)]
pub(in crate::shard) struct Levels {
    pub connections: usize,
    pub laggards: usize,
    pub inbox_depth: usize,
}

impl ShardReport {
    pub(in crate::shard) fn new(metrics: ShardMetrics) -> Self {
        Self {
            metrics,
            tally: SendTally::default(),
            frames: 0,
            gaps: GapCounts::default(),
            messages: MessageCounts::default(),
            inbox_full: 0,
            duty: DutyCounts::default(),
            levels: Levels::default(),
            published_us: 0,
            left: Vec::new(),
        }
    }

    pub(in crate::shard) fn tally(&mut self, tally: SendTally) {
        self.tally.sends += tally.sends;
        self.tally.deliveries += tally.deliveries;
        self.tally.bytes += tally.bytes;
    }

    /// A laggard got frames in one write.
    pub(in crate::shard) fn caught_up(&mut self, tally: SendTally) {
        self.tally(tally);
        if tally.deliveries > 0 {
            self.metrics.delivery.lag_frames.record(tally.deliveries as f64);
        }
    }

    /// A pass has reached the last subscriber.
    pub(in crate::shard) fn pass_ended(&mut self, began_us: u64) {
        self.metrics.delivery.pass_seconds.record(clock::now_us().saturating_sub(began_us) as f64 / 1e6);
    }

    /// A connection ended: with the server's code, or because the client left.
    pub(in crate::shard) fn closed(&mut self, ours: Option<Close>) {
        self.metrics.connections.closed(ours.map(Close::code));
    }

    pub(in crate::shard) fn cycle(&mut self, began_us: u64, ended_us: u64, levels: Levels) {
        let took_us = ended_us.saturating_sub(began_us);
        self.duty.busy_us += took_us;
        self.duty.longest_us = self.duty.longest_us.max(took_us);
        self.duty.slow += u64::from(took_us > SLOW_CYCLE_US);
        self.levels = levels;
        if ended_us.saturating_sub(self.published_us) >= PUBLISH_US {
            self.published_us = ended_us;
            self.publish();
        }
    }

    /// Adds the counts to the metrics.
    pub(in crate::shard) fn publish(&mut self) {
        let ShardMetrics { delivery, gaps, connections, duty, busy, inflate } = &self.metrics;
        let (tally, gap, message) =
            (std::mem::take(&mut self.tally), std::mem::take(&mut self.gaps), std::mem::take(&mut self.messages));
        delivery.deliveries.increment(tally.deliveries);
        delivery.bytes.increment(tally.bytes);
        delivery.sends.increment(tally.sends + message.control_sends);
        delivery.frames.increment(std::mem::take(&mut self.frames));
        gaps.slow.increment(gap.slow);
        gaps.overload.increment(gap.overload);
        gaps.frames.increment(gap.frames);
        gaps.lacking.increment(gap.lacking);
        connections.messages.increment(message.inbound);
        connections.control_overflow.increment(message.control_overflow);
        connections.panics.increment(message.panics);
        connections.connections.set(self.levels.connections as f64);
        connections.laggards.set(self.levels.laggards as f64);
        inflate.messages.increment(message.inflated.messages);
        inflate.bytes_in.increment(message.inflated.bytes_in);
        inflate.bytes_out.increment(message.inflated.bytes_out);
        inflate.refused.increment(message.inflated.refused);
        let cycles = std::mem::take(&mut self.duty);
        duty.slow.increment(cycles.slow);
        duty.longest_seconds.set(cycles.longest_us as f64 / 1e6);
        duty.inbox_full.increment(std::mem::take(&mut self.inbox_full));
        duty.inbox_depth.set(self.levels.inbox_depth as f64);
        busy.add_us(cycles.busy_us);
    }
}
