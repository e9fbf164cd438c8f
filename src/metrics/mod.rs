//! Volley's metrics for Prometheus: names, handles, and the text of a scrape.
//!
//! The only module that holds metric names; elsewhere a metric is a field of one of the structs here. Handles are
//! cached for the life of their owner, so the exporter has no idle timeout, which would silently disconnect a cached
//! handle. No counter or histogram has a room label: the top rooms are gauges that [`scrape`] renders on request.
//!
//! Does not know: the events that are counted, or the reader of a scrape.

#![allow(clippy::disallowed_macros, reason = "the one module that names metrics")]

mod buckets;
mod deflate;
mod gateway;
mod history;
mod log;
mod log_pool;
mod posts;
mod renditions;
mod room;
pub mod scrape;
mod seconds;
mod shard;
mod table;

pub use ::metrics::{Counter, Gauge, Histogram};
pub use deflate::{DeflateMetrics, InflateMetrics};
pub use gateway::{GatewayMetrics, Refusal};
pub use history::HistoryMetrics;
pub use log::LogMetrics;
pub use log_pool::{LogPoolMetrics, ResumeMetrics};
pub use posts::{ForgottenMetrics, PostMetrics, PostRefusals, RoomRefusals};
pub use renditions::{ChangeReason, RenditionMetrics};
pub use room::RoomMetrics;
pub use shard::{ConnectionMetrics, DeliveryMetrics, ShardMetrics};
pub use table::add_each;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use renditions::{ChangeMetrics, SubscriberMetrics};
use shard::{DutyMetrics, GapMetrics};
use std::sync::OnceLock;

/// Renders the metrics. Cheap to clone.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter")
    }
}

/// A different recorder was installed in this process before ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another metrics recorder is already installed in this process")]
pub struct AlreadyTaken;

impl Exporter {
    /// All metrics, in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        seconds::render(&mut text);
        text
    }

    /// Folds waiting histogram samples into their buckets. Call every few seconds: samples wait in
    /// memory until then.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

/// Calls the macro with every table.
macro_rules! for_all_tables {
    ($call:ident) => {
        $call!(
            ChangeMetrics,
            ConnectionMetrics,
            DeflateMetrics,
            DeliveryMetrics,
            DutyMetrics,
            ForgottenMetrics,
            GapMetrics,
            GatewayMetrics,
            HistoryMetrics,
            InflateMetrics,
            LogMetrics,
            LogPoolMetrics,
            PostMetrics,
            PostRefusals,
            ResumeMetrics,
            RoomMetrics,
            SubscriberMetrics
        )
    };
}

/// Installs the recorder of this process. Handles made earlier count nothing. Safe to call again: every caller gets the
/// same exporter.
///
/// # Errors
/// [`AlreadyTaken`] when the process has a different recorder.
pub fn install() -> Result<Exporter, AlreadyTaken> {
    static EXPORTER: OnceLock<Result<Exporter, AlreadyTaken>> = OnceLock::new();
    EXPORTER
        .get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            ::metrics::set_global_recorder(recorder).map_err(|_| AlreadyTaken)?;
            describe_all();
            Ok(Exporter { handle })
        })
        .clone()
}

fn describe_all() {
    macro_rules! describe {
        ($($table:ident),+) => { $($table::describe();)+ };
    }
    for_all_tables!(describe);
    RoomRefusals::describe();
}

fn builder() -> PrometheusBuilder {
    macro_rules! buckets {
        ($($table:ident),+) => { [$($table::buckets()),+].concat() };
    }
    for_all_tables!(buckets).into_iter().fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        let name = Matcher::Full(name.to_owned());
        builder.set_buckets_for_metric(name, buckets).expect("the bucket lists are not empty")
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
        let (_log_pool, _resumes) = (LogPoolMetrics::new(), ResumeMetrics::new());
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
