//! Renditions, by their dense numbers.

use super::table::metrics;

/// The labels, in the order of the renditions' numbers; the end-to-end tests hold them against the wire's names.
pub(super) const RENDITIONS: [&str; 3] = ["viewer", "lite", "full"];

/// Why a subscriber's rendition changed; the label is the name on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeReason {
    Asked,
    Slow,
    KeptUp,
}

metrics! {
    pub struct ChangeMetrics {
        counter "volley_rendition_changes_total", "Changes of a subscriber's rendition, by the new rendition and the reason."
            => by_reason ["reason" each ["asked", "slow", "kept_up"]];
    }

    pub struct SubscriberMetrics {
        gauge "volley_subscribers", "Subscribers now, by rendition." => by_rendition ["rendition" each RENDITIONS];
    }
}

/// Subscribers by rendition, as one shard counts its own.
#[derive(Debug)]
pub struct RenditionMetrics {
    subscribers: SubscriberMetrics,
    /// What this owner added to the gauges.
    mine: [f64; 3],
    changes: [ChangeMetrics; 3],
}

impl RenditionMetrics {
    /// Handles of the process's series: every caller gets the same.
    pub fn new() -> Self {
        Self {
            subscribers: SubscriberMetrics::labelled(&[]),
            mine: [0.0; 3],
            changes: RENDITIONS.map(|now| ChangeMetrics::labelled(&super::table::with(&[], "now", now))),
        }
    }

    /// One more subscriber has this rendition.
    pub fn arrived(&mut self, rendition: usize) {
        self.mine[rendition] += 1.0;
        self.subscribers.by_rendition[rendition].increment(1.0);
    }

    /// One fewer subscriber has this rendition.
    pub fn left(&mut self, rendition: usize) {
        self.mine[rendition] -= 1.0;
        self.subscribers.by_rendition[rendition].decrement(1.0);
    }

    /// Counts a change from one rendition to another, by index.
    pub fn moved(&mut self, from: usize, now: usize, why: ChangeReason) {
        self.left(from);
        self.arrived(now);
        self.changes[now].by_reason[why as usize].increment(1);
    }
}

impl Default for RenditionMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for RenditionMetrics {
    /// The gauges belong to the process and outlive this node.
    fn drop(&mut self) {
        for (gauge, mine) in self.subscribers.by_rendition.iter().zip(self.mine) {
            gauge.decrement(mine);
        }
    }
}
