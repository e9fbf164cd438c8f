//! One shard: deliveries, gaps, connections and the duty cycle. All have the label `shard`.

use super::buckets::STEP_SECONDS;
use super::deflate::InflateMetrics;
use super::seconds::Seconds;
use super::table::metrics;
use ::metrics::Label;

/// Close codes that have a series of their own; the gateway's tests hold this against the wire's table.
const CLOSE_CODES: [u16; 21] = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4001, 4002, 4003, 4010, 4011, 4013, 4029, 4500, 4501,
    4503, 4504,
];

/// The codes as labels, then closes by the client, then codes without a series.
const CLOSE_LABELS: [&str; CLOSE_CODES.len() + 2] = [
    "1000", "1001", "1002", "1003", "1007", "1008", "1009", "1011", "1012", "1013", "4001", "4002", "4003", "4010",
    "4011", "4013", "4029", "4500", "4501", "4503", "4504", "peer", "other",
];

/// Frames joined in one catch-up: up to the ring's default of 64, and above it for larger rings.
const LAG_FRAMES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

metrics! {
    /// Frames on their way to subscribers.
    pub struct DeliveryMetrics {
        counter "volley_frames_total", "Frames that a shard received from rooms." => frames;
        counter "volley_deliveries_total", "Frames sent to subscribers; one frame to one subscriber is one delivery." => deliveries;
        counter "volley_delivered_bytes_total", "Bytes of frames sent to subscribers, WebSocket headers included." => bytes;
        counter "volley_sends_total", "System calls that sent frames; fewer than deliveries when frames are joined." => sends;
        histogram "volley_pass_seconds" in STEP_SECONDS, "Duration of a frame's whole pass over a shard's subscribers." => pass_seconds;
        histogram "volley_lag_frames" in LAG_FRAMES, "Frames joined in one catch-up write of a laggard." => lag_frames;
    }

    /// Frames that subscribers were not sent.
    pub struct GapMetrics {
        counter "volley_gaps_total", "Gap messages sent to subscribers, by reason: slow (the subscriber) or overload (the server)."
            => slow ["reason" = "slow"], overload ["reason" = "overload"];
        counter "volley_gap_frames_total", "Frames that gap messages stand for." => frames;
        counter "volley_gaps_lacking_total", "Gap messages that may omit guaranteed events because more arrived than are retained, or because of a deletion." => lacking;
    }

    pub struct ConnectionMetrics {
        gauge "volley_connections", "WebSocket connections now." => connections;
        gauge "volley_laggards", "Subscribers that are behind now." => laggards;
        counter "volley_closes_total", "Connections ended, by close code; peer when the client ended it." => closes ["code" each CLOSE_LABELS];
        counter "volley_inbound_messages_total", "Messages read from clients." => messages;
        counter "volley_control_overflow_total", "Connections closed because their answers did not fit into the buffer." => control_overflow;
        counter "volley_panics_total", "Panics caught in a shard's work; each is a bug." => panics;
    }

    /// The duty cycle and the inbox.
    pub struct DutyMetrics {
        gauge "volley_inbox_depth", "Entries waiting in a shard's inbox." => inbox_depth;
        counter "volley_inbox_full_total", "Entries that a full inbox of a shard refused." => inbox_full;
        gauge "volley_cycle_longest_seconds", "Longest duty cycle of a shard since its last publication of figures." => longest_seconds;
        counter "volley_cycles_slow_total", "Duty cycles of a shard that took more than 50 ms." => slow;
    }
}

/// The handles of one shard. The shard counts locally and publishes once per cycle at most.
#[derive(Debug)]
pub struct ShardMetrics {
    pub delivery: DeliveryMetrics,
    pub gaps: GapMetrics,
    pub connections: ConnectionMetrics,
    pub duty: DutyMetrics,
    pub busy: Seconds,
    pub inflate: InflateMetrics,
}

impl ShardMetrics {
    /// The series of shard number `shard`.
    pub fn new(shard: usize) -> Self {
        let labels = [Label::new("shard", shard.to_string())];
        Self {
            delivery: DeliveryMetrics::labelled(&labels),
            gaps: GapMetrics::labelled(&labels),
            connections: ConnectionMetrics::labelled(&labels),
            duty: DutyMetrics::labelled(&labels),
            busy: Seconds::of_shard(shard),
            inflate: InflateMetrics::labelled(&labels),
        }
    }
}

impl ConnectionMetrics {
    /// Counts a connection that the server closed with `code`, or that the client ended.
    pub fn closed(&self, code: Option<u16>) {
        let at = match code {
            Some(code) => CLOSE_CODES.binary_search(&code).unwrap_or(CLOSE_LABELS.len() - 1),
            None => CLOSE_CODES.len(),
        };
        self.closes[at].increment(1);
    }

    /// Whether `code` has a series of its own.
    pub fn has_series(code: u16) -> bool {
        CLOSE_CODES.contains(&code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_sorted_for_the_search_and_stand_at_their_labels() {
        assert!(CLOSE_CODES.is_sorted());
        assert!(CLOSE_CODES.iter().zip(CLOSE_LABELS).all(|(code, label)| code.to_string() == label));
        assert_eq!(CLOSE_LABELS[CLOSE_CODES.len()..], ["peer", "other"]);
        assert!(ConnectionMetrics::has_series(4001) && !ConnectionMetrics::has_series(1006));
    }
}
