//! What Volley tells Prometheus: every metric's name, its handle, and the text of a scrape.
//!
//! The only module that holds metric names; elsewhere a metric is a field of one of the structs here.
//! Handles are cached for the life of their owner, so the exporter has no idle timeout (it would turn
//! a cached handle dead without a word). No counter or histogram has a room label: the top rooms are
//! gauges that [`scrape`] renders when asked.
//!
//! Does not know: what is being counted, or who asks.

#![allow(clippy::disallowed_macros, reason = "the one module that names metrics")]

mod deflate;
mod figures;
mod history;
mod log;
mod log_pool;
mod posts;
mod renditions;
pub mod scrape;

pub use ::metrics::{Counter, Gauge, Histogram};
pub use deflate::{DeflateMetrics, InflateMetrics};
pub use figures::{Closes, Gaps, GatewayMetrics, Refusal, RoomMetrics, Seconds, ShardMetrics, ShedCounters};
pub use history::HistoryMetrics;

pub use log::LogMetrics;
pub use log_pool::{LogPoolMetrics, ResumeMetrics};
pub use posts::{PostMetrics, PostRefusals, RoomRefusals, StandingDropped};
pub use renditions::{ChangeReason, EncodeMetrics, RenditionMetrics};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// Renders what was counted. Cheap to clone.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter")
    }
}

/// Another recorder was installed in this process before ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another metrics recorder is already installed in this process")]
pub struct AlreadyTaken;

impl Exporter {
    /// Everything counted so far, in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        figures::render_seconds(&mut text);
        text
    }

    /// Folds waiting histogram samples into their buckets. Call every few seconds: samples wait in
    /// memory until then.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Pass, cycle and tick durations: 0.1 ms to 1 s. The default tick is 100 ms, so the interesting
/// steps lie between 1 % of it and ten times it.
const SECONDS_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// From accept to hand-over, and reads of the log: 0.1 ms on a quiet machine up to the deadline of 5 s.
const HANDSHAKE_BUCKETS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Compressing: 10 µs for a frame of a few comments up to some milliseconds for a page.
const DEFLATE_BUCKETS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05];

/// Frames joined in one catch-up: up to the ring's default of 64, and above it for larger rings.
const LAG_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// A commit of the log: 0.1 ms where nothing is synced, some milliseconds on a good device, seconds on one that fails.
const COMMIT_BUCKETS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Events in one commit: one comment up to a whole node's tick.
const GROUP_BUCKETS: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0];

/// Makes this process count. Handles made earlier count nothing. Safe to call again: everybody gets
/// the same exporter.
///
/// # Errors
/// [`AlreadyTaken`] when a recorder of somebody else is there.
pub fn install() -> Result<Exporter, AlreadyTaken> {
    static EXPORTER: OnceLock<Result<Exporter, AlreadyTaken>> = OnceLock::new();
    EXPORTER
        .get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            ::metrics::set_global_recorder(recorder).map_err(|_| AlreadyTaken)?;
            figures::describe();
            history::describe();
            posts::describe();
            log::describe();
            log_pool::describe();
            deflate::describe();
            renditions::describe();
            Ok(Exporter { handle })
        })
        .clone()
}

fn builder() -> PrometheusBuilder {
    let full = |name: &str| Matcher::Full(name.to_owned());
    [
        (figures::PASS_SECONDS, SECONDS_BUCKETS),
        (figures::TICK_SECONDS, SECONDS_BUCKETS),
        (log_pool::ROOM_OPEN_SECONDS, HANDSHAKE_BUCKETS),
        (log_pool::PAGE_SECONDS, HANDSHAKE_BUCKETS),
        (figures::HANDSHAKE_SECONDS, HANDSHAKE_BUCKETS),
        (deflate::DEFLATE_SECONDS, DEFLATE_BUCKETS),
        (figures::LAG_FRAMES, LAG_BUCKETS),
        (log::COMMIT_SECONDS, COMMIT_BUCKETS),
        (log::GROUP_EVENTS, GROUP_BUCKETS),
    ]
    .into_iter()
    .fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(full(name), buckets).expect("the bucket lists are not empty")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_gives_the_same_counts() {
        let (first, second) = (install().unwrap(), install().unwrap());
        GatewayMetrics::new().accepts.increment(3);
        for exporter in [first, second] {
            let text = exporter.render();
            let line = text.lines().find(|line| line.starts_with("volley_accepts_total ")).unwrap();
            assert!(line["volley_accepts_total ".len()..].parse::<u64>().unwrap() >= 3, "{line}");
        }
    }

    #[test]
    fn every_metric_has_a_help_text_and_a_proper_name() {
        let exporter = install().unwrap();
        let (_shard, _room, _gateway) = (ShardMetrics::new(0), RoomMetrics::new(), GatewayMetrics::new());
        let _history = HistoryMetrics::new();
        let _posts = (PostMetrics::new(), PostRefusals::new());
        let _log = LogMetrics::new();
        let _deflate = DeflateMetrics::new();
        let (_library, _resumes) = (LogPoolMetrics::new(), ResumeMetrics::new());
        let text = exporter.render();
        let helped: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# HELP ")?.split(' ').next()).collect();
        let typed = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split_once(' '));
        for (name, kind) in typed {
            assert!(helped.contains(&name), "{name} has no help text");
            assert!(name.starts_with("volley_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        }
    }
}
