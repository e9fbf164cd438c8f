//! Counts locally, publishes once in a while: a counter in the pass is a local addition.

use crate::clock;
use crate::metrics::ShardMetrics;
use crate::protocol::codes::Close;
use crate::shard::conn::framing::Inflated;
use crate::shard::fanout::pass::{Left, SendTally};

/// Publish at most this often while busy; before each sleep anyway.
const PUBLISH_US: u64 = 50_000;

/// A duty cycle above this is worth a count: half a tick.
const SLOW_CYCLE_US: u64 = 50_000;

/// A shard's counts since the last publication.
pub(in crate::shard) struct ShardReport {
    metrics: ShardMetrics,
    tally: SendTally,
    pub frames: u64,
    pub gaps_slow: u64,
    pub gaps_overload: u64,
    pub gap_frames: u64,
    /// Gaps that may have lacked something guaranteed.
    pub gaps_lacking: u64,
    pub inbox_full: u64,
    pub inbound_messages: u64,
    pub inflated: Inflated,
    pub control_sends: u64,
    pub control_overflow: u64,
    pub panics: u64,
    busy_us: u64,
    longest_us: u64,
    slow: u64,
    connections: usize,
    laggards: usize,
    inbox_depth: usize,
    published_us: u64,
    /// Reused by the pass, so that it allocates nothing.
    pub left: Vec<Left>,
}

impl ShardReport {
    pub(in crate::shard) fn new(metrics: ShardMetrics) -> Self {
        Self {
            metrics,
            tally: SendTally::default(),
            frames: 0,
            gaps_slow: 0,
            gaps_overload: 0,
            gap_frames: 0,
            gaps_lacking: 0,
            inbox_full: 0,
            inbound_messages: 0,
            inflated: Inflated::default(),
            control_sends: 0,
            control_overflow: 0,
            panics: 0,
            busy_us: 0,
            longest_us: 0,
            slow: 0,
            connections: 0,
            laggards: 0,
            inbox_depth: 0,
            published_us: 0,
            left: Vec::new(),
        }
    }

    pub(in crate::shard) fn tally(&mut self, tally: SendTally) {
        self.tally.sends += tally.sends;
        self.tally.deliveries += tally.deliveries;
        self.tally.bytes += tally.bytes;
    }

    /// A laggard was served.
    pub(in crate::shard) fn caught_up(&mut self, tally: SendTally) {
        self.tally(tally);
        if tally.deliveries > 0 {
            self.metrics.lag_frames.record(tally.deliveries as f64);
        }
    }

    /// Everybody has everything of a room.
    pub(in crate::shard) fn pass_ended(&mut self, began_us: u64) {
        self.metrics.pass_seconds.record(clock::now_us().saturating_sub(began_us) as f64 / 1e6);
    }

    /// A connection ends: with our code, or because the peer left.
    pub(in crate::shard) fn closed(&mut self, ours: Option<Close>) {
        match ours {
            Some(close) => self.metrics.closes.code(close.code()).increment(1),
            None => self.metrics.closes.peer.increment(1),
        }
    }

    pub(in crate::shard) fn cycle(
        &mut self,
        began_us: u64,
        ended_us: u64,
        connections: usize,
        laggards: usize,
        inbox_depth: usize,
    ) {
        let took_us = ended_us.saturating_sub(began_us);
        self.busy_us += took_us;
        self.longest_us = self.longest_us.max(took_us);
        self.slow += u64::from(took_us > SLOW_CYCLE_US);
        (self.connections, self.laggards, self.inbox_depth) = (connections, laggards, inbox_depth);
        if ended_us.saturating_sub(self.published_us) >= PUBLISH_US {
            self.published_us = ended_us;
            self.publish();
        }
    }

    /// Adds what was counted to the metrics.
    pub(in crate::shard) fn publish(&mut self) {
        let m = &self.metrics;
        let tally = std::mem::take(&mut self.tally);
        m.deliveries.increment(tally.deliveries);
        m.delivered_bytes.increment(tally.bytes);
        m.sends.increment(tally.sends + std::mem::take(&mut self.control_sends));
        m.frames.increment(std::mem::take(&mut self.frames));
        m.gaps.slow.increment(std::mem::take(&mut self.gaps_slow));
        m.gaps.overload.increment(std::mem::take(&mut self.gaps_overload));
        m.gap_frames.increment(std::mem::take(&mut self.gap_frames));
        m.gaps_lacking.increment(std::mem::take(&mut self.gaps_lacking));
        m.inbox_full.increment(std::mem::take(&mut self.inbox_full));
        m.inbound_messages.increment(std::mem::take(&mut self.inbound_messages));
        let inflated = std::mem::take(&mut self.inflated);
        m.inflate.messages.increment(inflated.messages);
        m.inflate.bytes_in.increment(inflated.bytes_in);
        m.inflate.bytes_out.increment(inflated.bytes_out);
        m.inflate.refused.increment(inflated.refused);
        m.control_overflow.increment(std::mem::take(&mut self.control_overflow));
        m.panics.increment(std::mem::take(&mut self.panics));
        m.cycles_slow.increment(std::mem::take(&mut self.slow));
        m.duty_busy_seconds.add_us(std::mem::take(&mut self.busy_us));
        m.cycle_longest_seconds.set(std::mem::take(&mut self.longest_us) as f64 / 1e6);
        m.connections.set(self.connections as f64);
        m.laggards.set(self.laggards as f64);
        m.inbox_depth.set(self.inbox_depth as f64);
    }
}
