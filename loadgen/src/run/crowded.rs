//! Figures of a run in a crowded room, for the table and as JSON: how much was shown, merged and shed, how fairly, how
//! large frames were, how long the server's ticks and its guaranteed lane took.
//!
//! Does not know: how the figures were gathered.

use crate::run::conductor::RunFindings;
use crate::run::scenario::Scenario;
use crate::run::timing::Percentiles;
use crate::wire::admin::{Scrape, quantile_bound};
use serde::Serialize;
use std::collections::BTreeMap;

/// The server's histogram of the duration of a room's tick.
const TICK: &str = "volley_tick_seconds";

#[derive(Clone, Debug, Serialize)]
pub struct Crowded {
    /// Comments acknowledged per second, by outcome.
    pub comments_per_s: BTreeMap<String, f64>,
    /// Sizes of the received frames as uncompressed JSON.
    pub frame_kb: Sizes,
    /// How evenly sent and shown comments are spread over their senders.
    pub fairness: Option<Fairness>,
    /// The server's ticks in the measured window, if its metrics were read.
    pub ticks: Option<Ticks>,
    /// Guaranteed events, from the intended post to the viewers.
    pub posts: Option<PostFigures>,
    /// Changes of viewers' renditions, by the new one and the reason.
    pub renditions: BTreeMap<String, u64>,
    /// Welcomes by the content of their snapshots.
    pub welcomes: BTreeMap<String, u64>,
}

/// Thousands of bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sizes {
    pub p50: f64,
    /// 99 of 100 are smaller.
    pub p99: f64,
    pub max: f64,
}

/// How evenly a room's attention is spread over its senders. The Gini coefficient is 0 if all have the same, and near 1
/// if one has everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fairness {
    pub speakers: usize,
    /// Gini coefficient of the comments that each sent.
    pub gini_sent: f64,
    /// Gini coefficient of the comments of each that were shown.
    pub gini_shown: f64,
    /// The busiest sender's share of the sent comments.
    pub most_sent_share: f64,
    /// The same sender's share of the shown comments.
    pub most_shown_share: f64,
}

/// The duration of a room's tick: apply, merge, choose, encode.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ticks {
    pub count: f64,
    pub mean_ms: f64,
    /// The histogram's bound below which at least 99 of 100 ticks are.
    pub p99_bound_ms: f64,
    /// The histogram's bound below which all ticks are.
    pub max_bound_ms: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct PostFigures {
    /// Posts that the server accepted.
    pub stored: u64,
    /// Posts that failed, by cause.
    pub failed: BTreeMap<String, u64>,
    /// How many times viewers should have received a post, over all viewers.
    pub expected: u64,
    /// How many of these did not arrive.
    pub missing: u64,
    /// From the intended post to the viewers.
    pub latency: Percentiles,
    /// The generator's greatest lateness with a post, which the latency includes.
    pub late_ms: f64,
}

impl Crowded {
    /// The figures of the results `f`.
    pub fn of(scenario: &Scenario, f: &RunFindings) -> Self {
        let seconds = (scenario.warmup_s + scenario.measured_s).max(f64::MIN_POSITIVE);
        let speakers: Vec<(u64, u64)> = f.groups.iter().flat_map(|group| &group.speakers).copied().collect();
        let kb = f.frame_kb;
        Self {
            comments_per_s: f.tally.acked.iter().map(|(name, n)| (name.clone(), *n as f64 / seconds)).collect(),
            frame_kb: Sizes { p50: kb.p50_ms, p99: kb.p99_ms, max: kb.max_ms },
            fairness: Fairness::of(&speakers),
            ticks: f.metrics.as_ref().and_then(Ticks::of),
            posts: (scenario.posts_per_s > 0.0).then(|| PostFigures {
                stored: f.posted.stored,
                failed: f.posted.failed.clone(),
                expected: f.verdict.posts_expected,
                missing: f.verdict.posts_missing,
                latency: f.post_latency,
                late_ms: f.posted.late_ns as f64 / 1e6,
            }),
            renditions: f.tally.renditions.clone(),
            welcomes: f.tally.welcomes.clone(),
        }
    }

    /// Rows of the table. The row of outcomes is there only if a room did not show all comments.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        let is_choosing = self.comments_per_s.keys().any(|outcome| outcome != "shown");
        if is_choosing {
            let parts = self.comments_per_s.iter().map(|(outcome, per_s)| format!("{per_s:.0}/s {outcome}"));
            rows.push(("the room", parts.collect::<Vec<_>>().join(" · ")));
            if let Some(fair) = &self.fairness {
                rows.push(("fairness", fair.text()));
            }
        }
        let Sizes { p50, p99, max } = self.frame_kb;
        if max > 0.0 {
            rows.push(("frame bytes", format!("p50 {p50:.2} · p99 {p99:.2} · max {max:.2} kB uncompressed JSON")));
        }
        if let Some(ticks) = &self.ticks {
            let Ticks { count, mean_ms, p99_bound_ms, max_bound_ms } = ticks;
            rows.push((
                "ticks",
                format!("mean {mean_ms:.2} ms · p99 within {p99_bound_ms} ms · all within {max_bound_ms} ms ({count})"),
            ));
        }
        if let Some(PostFigures { stored, failed, expected, missing, latency, late_ms }) = &self.posts {
            let failed: u64 = failed.values().sum();
            rows.push((
                "guaranteed",
                format!(
                    "{stored} posts, {failed} failed; {missing} of {expected} receipts missing\np50 {:.1} · p99 {:.1} · max {:.1} ms, including up to {late_ms:.1} ms of the generator's lateness",
                    latency.p50_ms, latency.p99_ms, latency.max_ms
                ),
            ));
        }
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(" · ")
        };
        if !self.renditions.is_empty() {
            rows.push(("renditions", list(&self.renditions)));
        }
        if !self.welcomes.is_empty() {
            rows.push(("welcomes with", list(&self.welcomes)));
        }
        rows
    }
}

impl Fairness {
    fn of(speakers: &[(u64, u64)]) -> Option<Self> {
        let (sent, shown): (Vec<u64>, Vec<u64>) = speakers.iter().copied().unzip();
        let share = |part: u64, all: &[u64]| part as f64 / all.iter().sum::<u64>().max(1) as f64;
        let most = speakers.iter().max_by_key(|(sent, _)| *sent)?;
        Some(Self {
            speakers: speakers.len(),
            gini_sent: gini(&sent),
            gini_shown: gini(&shown),
            most_sent_share: share(most.0, &sent),
            most_shown_share: share(most.1, &shown),
        })
    }

    fn text(&self) -> String {
        format!(
            "Gini coefficient {:.3} of the comments sent by {}, {:.3} of those shown; the busiest sent {:.1} % and has {:.1} % of those shown",
            self.gini_sent,
            self.speakers,
            self.gini_shown,
            self.most_sent_share * 100.0,
            self.most_shown_share * 100.0
        )
    }
}

/// Gini's coefficient: the mean difference of all pairs over twice the mean.
fn gini(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let n = sorted.len() as f64;
    let sum: f64 = sorted.iter().map(|v| *v as f64).sum();
    if sum == 0.0 {
        return 0.0;
    }
    let weighed: f64 = sorted.iter().enumerate().map(|(i, v)| (2.0 * (i + 1) as f64 - n - 1.0) * *v as f64).sum();
    weighed / (n * sum)
}

impl Ticks {
    fn of(grown: &Scrape) -> Option<Self> {
        let count = grown.get(&format!("{TICK}_count")).copied().filter(|count| *count > 0.0)?;
        let sum = grown.get(&format!("{TICK}_sum")).copied().unwrap_or(0.0);
        let bound = |share| quantile_bound(grown, TICK, share).map_or(f64::NAN, |bound| bound * 1_000.0);
        Some(Self { count, mean_ms: sum / count * 1_000.0, p99_bound_ms: bound(0.99), max_bound_ms: bound(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gini_coefficient_agrees_with_its_definition() {
        assert_eq!((gini(&[]), gini(&[0, 0]), gini(&[7, 7, 7])), (0.0, 0.0, 0.0));
        assert!((gini(&[0, 0, 0, 10]) - 0.75).abs() < 1e-9);
        let values = [3_u64, 1, 4, 1, 5, 9, 2, 6];
        let pairs = values.iter().flat_map(|a| values.iter().map(move |b| a.abs_diff(*b) as f64)).sum::<f64>();
        let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
        assert!((gini(&values) - pairs / (2.0 * 64.0 * mean)).abs() < 1e-9);
    }

    #[test]
    fn the_busiest_sender_is_the_one_with_most_sent_comments() {
        let fair = Fairness::of(&[(100, 3), (10, 5), (10, 2)]).unwrap();
        assert!((fair.most_sent_share - 100.0 / 120.0).abs() < 1e-9 && (fair.most_shown_share - 0.3).abs() < 1e-9);
        assert!(fair.gini_sent > fair.gini_shown);
        assert!(Fairness::of(&[]).is_none());
    }

    #[test]
    fn ticks_are_reported_by_mean_and_bounds() {
        let of = |name: &str, value: f64| (format!("{TICK}_{name}"), value);
        let grown: Scrape =
            [of("count", 200.0), of("sum", 0.6), of("bucket<=0.005", 198.0), of("bucket<=0.01", 200.0)].into();
        let ticks = Ticks::of(&grown).unwrap();
        assert!((ticks.mean_ms - 3.0).abs() < 1e-9);
        assert_eq!((ticks.p99_bound_ms, ticks.max_bound_ms), (5.0, 10.0));
        assert!(Ticks::of(&Scrape::new()).is_none());
    }
}
