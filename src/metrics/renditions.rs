//! What is counted about renditions. They come as their dense numbers.

use ::metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

const SUBSCRIBERS: &str = "volley_subscribers";
const CHANGES: &str = "volley_rendition_changes_total";
const ENCODES: &str = "volley_room_encodes_total";

/// The labels, in the order of the renditions' numbers; the end-to-end tests hold them against the wire's names.
const NAMES: [&str; 3] = ["viewer", "lite", "full"];

/// Why a subscriber's rendition changed; the label is the name on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeReason {
    /// It asked.
    Asked,
    /// It did not keep up.
    Slow,
    /// It keeps up again.
    KeptUp,
}

/// Who reads what. Every owner gets the same series.
#[derive(Debug)]
pub struct RenditionMetrics {
    subscribers: [Gauge; 3],
    /// Those whom this owner counted there.
    mine: [f64; 3],
    changes: [[Counter; 3]; 3],
}

impl RenditionMetrics {
    /// The handles.
    pub fn new() -> Self {
        let reasons = ["asked", "slow", "kept_up"];
        Self {
            subscribers: NAMES.map(|name| gauge!(SUBSCRIBERS, "rendition" => name)),
            mine: [0.0; 3],
            changes: NAMES.map(|now| reasons.map(|reason| counter!(CHANGES, "now" => now, "reason" => reason))),
        }
    }

    /// One more subscriber reads this one.
    pub fn arrived(&mut self, rendition: usize) {
        self.mine[rendition] += 1.0;
        self.subscribers[rendition].increment(1.0);
    }

    /// One fewer.
    pub fn left(&mut self, rendition: usize) {
        self.mine[rendition] -= 1.0;
        self.subscribers[rendition].decrement(1.0);
    }

    /// A subscriber moved.
    pub fn moved(&mut self, from: usize, now: usize, why: ChangeReason) {
        self.left(from);
        self.arrived(now);
        self.changes[now][why as usize].increment(1);
    }
}

impl Default for RenditionMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for RenditionMetrics {
    /// A node that stops takes its subscribers with it; the metrics are the process's and stay.
    fn drop(&mut self) {
        for (gauge, mine) in self.subscribers.iter().zip(self.mine) {
            gauge.decrement(mine);
        }
    }
}

/// Encodings of frames by rendition: at most one per variant in use and frame.
#[derive(Debug)]
pub struct EncodeMetrics {
    encodes: [Counter; 3],
}

impl EncodeMetrics {
    pub(super) fn new() -> Self {
        Self { encodes: NAMES.map(|name| counter!(ENCODES, "rendition" => name)) }
    }

    /// So many more of each.
    pub fn add(&self, more: [u64; 3]) {
        for (counter, more) in self.encodes.iter().zip(more) {
            counter.increment(more);
        }
    }
}

pub(super) fn describe() {
    describe_gauge!(SUBSCRIBERS, "Subscribers now, by the rendition that they read.");
    describe_counter!(CHANGES, "Changes of a subscriber's rendition, by the new one and the reason.");
    describe_counter!(ENCODES, "Encodings made of frames, by rendition; 0 for one that nobody reads.");
}
