//! The report of a run, as a short table for people and as JSON for programs, and whether the run is good.
//!
//! Does not know: how the results were gathered.

use crate::run::conductor::{GroupFindings, RunFindings};
use crate::run::crowded::Crowded;
use crate::run::messages::{OwnLoad, Tally};
use crate::run::recording::Recording;
use crate::run::scenario::{Group, Scenario, Script};
use crate::run::timing::Percentiles;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// CPU share of a worker's thread above which the generator is the bottleneck.
const OWN_CPU_SHARE_MAX: f64 = 0.9;
/// Share of the time in cycles over 20 ms above which they affect the p99: then 1 of 100 receipts waited for the
/// generator.
const OWN_SLOW_SHARE_MAX: f64 = 0.01;

/// Columns of the table, on a terminal or not.
const TABLE_WIDTH: u16 = 116;

/// Whether the generator itself was the bottleneck.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Generator {
    pub was_the_bottleneck: bool,
    pub says: String,
    /// Share of a core that its busiest worker used.
    pub cpu_share: f64,
    /// Share of the time in which a worker was ready to run but had no core.
    pub waited_share: f64,
    /// Share of the time in cycles over 20 ms.
    pub slow_share: f64,
    /// Longest time between two polls of the sockets.
    pub cycle_max_ms: f64,
    /// The greatest lateness of a send.
    pub send_late_max_ms: f64,
}

impl Generator {
    /// Judges the workers' own load.
    pub fn judge(own: &[OwnLoad]) -> Self {
        let share = |part: fn(&OwnLoad) -> u64| {
            own.iter().map(|o| part(o) as f64 / o.window_ns.max(1) as f64).fold(0.0, f64::max)
        };
        let most_ms = |part: fn(&OwnLoad) -> u64| own.iter().map(part).max().unwrap_or(0) as f64 / 1e6;
        let (cpu_share, waited_share) = (share(|o| o.cpu_ns), share(|o| o.waited_ns));
        let slow_share = share(|o| o.slow_cycles_ns);
        let busy_share = share(|o| o.cpu_ns + o.waited_ns);
        let (cycle_max_ms, send_late_max_ms) = (most_ms(|o| o.cycle_max_ns), most_ms(|o| o.send_late_max_ns));
        let figures = format!(
            "{:.0} % of a core, waited for a core {:.0} % of the time, longest cycle {cycle_max_ms:.1} ms, {:.1} % in cycles over 20 ms",
            cpu_share * 100.0,
            waited_share * 100.0,
            slow_share * 100.0
        );
        let was_the_bottleneck = busy_share > OWN_CPU_SHARE_MAX || slow_share > OWN_SLOW_SHARE_MAX;
        let says = if was_the_bottleneck {
            format!(
                "THE GENERATOR WAS THE BOTTLENECK: {figures}; latencies are its own. Give it a free core or fewer viewers."
            )
        } else {
            format!("not the bottleneck: {figures}")
        };
        Self { was_the_bottleneck, says, cpu_share, waited_share, slow_share, cycle_max_ms, send_late_max_ms }
    }
}

#[derive(Debug)]
pub struct Outcome {
    /// True: exit code 0; false: 1.
    pub is_good: bool,
    /// The problems, one line each.
    pub wrong: Vec<String>,
    /// Further notes, one line each.
    pub notes: Vec<String>,
    generator: Generator,
}

fn sum(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().sum()
}

fn causes(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(cause, n)| format!("{} {cause}", grouped(*n))).collect::<Vec<_>>().join(", ")
}

/// `12345678` → `12,345,678`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Outcome {
    pub fn judge(scenario: &Scenario, f: &RunFindings) -> Self {
        let mut wrong = Vec::new();
        let mut notes = f.notes.clone();
        let t = &f.tally;
        if t.connected == 0 {
            wrong.push(format!("nobody connected: {}", causes(&t.failed)));
        } else if !t.failed.is_empty() {
            wrong.push(format!(
                "{} of {} viewers did not join: {}",
                sum(&t.failed),
                scenario.viewers(),
                causes(&t.failed)
            ));
        }
        if !t.lost.is_empty() {
            wrong.push(format!("{} viewers were lost during the run: {}", sum(&t.lost), causes(&t.lost)));
        }
        for (what, n) in f.verdict.violations() {
            wrong.push(format!("{what}: {}", grouped(n)));
        }
        if !t.unreadable.is_empty() {
            wrong.push(format!("unreadable messages: {}", causes(&t.unreadable)));
        }
        if t.stray_answers > 0 {
            wrong.push(format!("{} answers to comments that were not sent", t.stray_answers));
        }
        let lost_any = !t.lost.is_empty() || !t.lost_stalled.is_empty();
        if f.verdict.unsettled > 0 {
            let list = if lost_any { &mut notes } else { &mut wrong };
            list.push(format!("{} comments were neither acknowledged nor refused", grouped(f.verdict.unsettled)));
        }
        if !f.posted.failed.is_empty() {
            wrong.push(format!("guaranteed events not posted: {}", causes(&f.posted.failed)));
        }
        if !t.unsent.is_empty() {
            notes.push(format!("comments not sent: {}", causes(&t.unsent)));
        }
        let counted = t.likes_sent - sum(&t.likes_refused).min(t.likes_sent);
        let at_least = counted.saturating_sub(t.likes_unsure);
        if f.verdict.likes_gained < at_least && t.connected > 0 {
            wrong.push(format!("likes lost: {} of {}", grouped(at_least - f.verdict.likes_gained), grouped(counted)));
        } else if f.verdict.likes_gained > counted {
            notes.push(format!(
                "other clients liked too: {} likes more than this run sent",
                f.verdict.likes_gained - counted
            ));
        }
        if f.verdict.foreign > 0 {
            notes.push(format!("other clients commented too: {} comments", f.verdict.foreign));
        }
        let is_fast =
            |group: &Group| matches!(&group.script, Script::Rate { per_s, .. } if per_s / group.viewers as f64 > 2.0);
        if scenario.groups.iter().any(is_fast) {
            notes.push("over 2 comments/s per viewer: the server's default rate limit refuses some".into());
        }
        let is_good = wrong.is_empty();
        Self { is_good, wrong, notes, generator: Generator::judge(&f.own) }
    }

    /// The short table, and the notes below it.
    pub fn table(&self, scenario: &Scenario, recording: Option<&Recording>, f: &RunFindings) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
        let mut row = |name: &str, text: String| {
            table.add_row(vec![name.to_owned(), text]);
        };
        let (t, v) = (&f.tally, &f.verdict);
        row(
            "viewers",
            format!(
                "{} connected in {:.1} s, {} failed, {} lost",
                grouped(t.connected),
                f.connect_s,
                grouped(sum(&t.failed)),
                grouped(sum(&t.lost))
            ),
        );
        if let Some(recording) = recording {
            row("recording", recording.summary());
        }
        let seconds = f.measured_s.max(f64::MIN_POSITIVE);
        row(
            "frames",
            format!(
                "{} in {:.1} s measured: {:.0}/s of {:.0} bytes",
                grouped(t.frames_measured),
                f.measured_s,
                t.frames_measured as f64 / seconds,
                t.bytes_measured as f64 / t.frames_measured.max(1) as f64
            ),
        );
        row("wire", wire_text(t, seconds));
        let refused =
            if t.refused.is_empty() { "0 refused".into() } else { format!("refused: {}", causes(&t.refused)) };
        row(
            "comments",
            format!(
                "{} sent, {} acknowledged ({}), {refused}",
                grouped(t.comments_sent),
                grouped(sum(&t.acked)),
                if t.acked.is_empty() { "none".into() } else { causes(&t.acked) }
            ),
        );
        row(
            "delivered",
            format!(
                "{} of {} · shed and counted {} · merged {} · in announced gaps {}",
                grouped(v.delivered),
                grouped(v.expected),
                grouped(v.shed),
                grouped(v.merged),
                grouped(v.gap_announced)
            ),
        );
        row(
            "missing",
            format!(
                "{} · duplicates {} · order {} · digests {} · contradictions {}",
                grouped(v.missing),
                grouped(v.duplicates),
                grouped(v.order_violations),
                grouped(v.digest_conflicts),
                grouped(v.contradictions)
            ),
        );
        let likes_refused =
            if t.likes_refused.is_empty() { String::new() } else { format!(", refused: {}", causes(&t.likes_refused)) };
        row(
            "likes",
            format!("{} sent{likes_refused}, total grew by {}", grouped(t.likes_sent), grouped(v.likes_gained)),
        );
        row("latency", latency_text(&f.latency, "receipts"));
        row("to the ack", latency_text(&f.ack_latency, "acks"));
        for (name, text) in Crowded::of(scenario, f).rows() {
            row(name, text);
        }
        if scenario.groups.len() > 1 {
            for (group, found) in scenario.groups.iter().zip(&f.groups) {
                row(&group.name, group_text(group, found, seconds));
            }
        }
        if let Some((before, within)) = &f.stall_latency {
            row(
                "stall",
                format!(
                    "{} viewers stopped reading; {} gaps announced; closed: {}",
                    grouped(t.stalled),
                    grouped(v.gaps),
                    if t.lost_stalled.is_empty() { "0".into() } else { causes(&t.lost_stalled) }
                ),
            );
            row(
                "",
                format!(
                    "the others' p99 {:.1} ms before, {:.1} ms during the stall ({:.2}×)",
                    before.p99_ms,
                    within.p99_ms,
                    within.p99_ms / before.p99_ms.max(0.001)
                ),
            );
        }
        for (name, text) in server_rows(f) {
            row(name, text);
        }
        row("generator", self.generator.says.clone());
        let mut out = format!("{table}\n");
        for line in &self.notes {
            out.push_str(&format!("note: {line}\n"));
        }
        for line in &self.wrong {
            out.push_str(&format!("WRONG: {line}\n"));
        }
        if self.is_good {
            out.push_str(if scenario.stall.is_some() {
                "good: every comment is accounted for, for every viewer, stalled ones included\n"
            } else {
                "good: every comment is accounted for, for every viewer\n"
            });
        }
        out
    }

    pub fn json(&self, scenario: &Scenario, recording: Option<&Recording>, f: &RunFindings) -> Value {
        json!({
            "good": self.is_good,
            "wrong": self.wrong,
            "notes": self.notes,
            "scenario": {
                "server": scenario.server.to_string(),
                "rooms": scenario.rooms,
                "viewers": scenario.viewers(),
                "warmup_s": scenario.warmup_s,
                "measured_s": scenario.measured_s,
                "encoding": scenario.encoding.subprotocol(),
                "compression": scenario.compression,
                "rendition": scenario.rendition.as_str(),
                "processes": scenario.processes,
                "addresses": scenario.addresses,
            },
            "groups": scenario.groups.iter().zip(&f.groups).map(|(group, found)| json!({
                "name": group.name,
                "rooms": group.rooms.len(),
                "viewers": group.viewers,
                "likes_per_s": group.likes_per_s,
                "comments": match &group.script {
                    Script::Rate { per_s, wording } => json!({
                        "per_s": per_s,
                        "chars": [wording.chars.0, wording.chars.1],
                        "recorded": wording.recorded.len(),
                        "near_duplicates": wording.near_duplicates,
                    }),
                    Script::Recording { lines, speed } => json!({ "recorded": lines.len(), "speed": speed }),
                },
                "frames_measured": found.frames_measured,
                "comments_sent": found.comments_sent,
                "latency": found.latency,
                "ack_latency": found.ack_latency,
            })).collect::<Vec<_>>(),
            "recording": recording.map(Recording::json),
            "crowded": Crowded::of(scenario, f),
            "connect_s": f.connect_s,
            "tally": f.tally,
            "verdict": f.verdict,
            "frames_per_s": f.tally.frames_measured as f64 / f.measured_s.max(f64::MIN_POSITIVE),
            "wire": {
                "bytes_per_viewer": f.tally.bytes_measured as f64 / f.tally.connected.max(1) as f64,
                "frames_to_json": frames_to_json(&f.tally),
            },
            "latency": f.latency,
            "ack_latency": f.ack_latency,
            "stall": f.stall_latency.map(|(before, within)| json!({ "others_before": before, "others_while": within })),
            "server": f.server.map(|s| json!({
                "cpu_us": s.cpu_us,
                "cpu_us_per_frame": cpu_per_frame(f),
                "cpu_share": s.cpu_us as f64 / 1e6 / f.measured_s.max(f64::MIN_POSITIVE),
                "connect_cpu_us_per_viewer": s.connect_cpu_us as f64 / f.tally.connected.max(1) as f64,
                "rss_before_bytes": s.rss_before_bytes,
                "rss_idle_bytes": s.rss_idle_bytes,
                "rss_max_bytes": s.rss_max_bytes,
                "rss_idle_bytes_per_viewer": s.rss_idle_bytes.saturating_sub(s.rss_before_bytes) as f64 / f.tally.connected.max(1) as f64,
                "rss_stall_growth_bytes": stall_growth(f).map(|(grown, _)| grown),
                "rss_stall_growth_bytes_per_stalled": stall_growth(f).map(|(_, per_stalled)| per_stalled),
            })),
            "metrics": f.metrics,
            "generator": self.generator,
        })
    }
}

fn cpu_per_frame(f: &RunFindings) -> Option<f64> {
    let server = f.server?;
    (f.tally.frames_measured > 0).then(|| server.cpu_us as f64 / f.tally.frames_measured as f64)
}

/// Growth of the server's memory during the stall in bytes, in total and per stalled viewer.
fn stall_growth(f: &RunFindings) -> Option<(u64, f64)> {
    let (begin, most) = f.server?.rss_stall_bytes?;
    let grown = most.saturating_sub(begin);
    Some((grown, grown as f64 / f.tally.stalled.max(1) as f64))
}

/// Ratio of the frames' bytes to those of the same frames as uncompressed JSON.
fn frames_to_json(t: &Tally) -> f64 {
    t.frame_bytes as f64 / t.frame_json_bytes.max(1) as f64
}

fn wire_text(t: &Tally, seconds: f64) -> String {
    let per_viewer = t.bytes_measured as f64 / t.connected.max(1) as f64 / 1_000.0;
    format!(
        "{per_viewer:.1} kB per viewer: {:.2} kB/s; frames have {:.3} of their size as uncompressed JSON",
        per_viewer / seconds,
        frames_to_json(t)
    )
}

fn latency_text(l: &Percentiles, of: &str) -> String {
    if l.count == 0 {
        return "nothing to measure".into();
    }
    format!(
        "p50 {:.1} · p90 {:.1} · p99 {:.1} · p99.9 {:.1} · max {:.1} ms ({} {of})",
        l.p50_ms,
        l.p90_ms,
        l.p99_ms,
        l.p999_ms,
        l.max_ms,
        grouped(l.count)
    )
}

fn group_text(group: &Group, found: &GroupFindings, seconds: f64) -> String {
    format!(
        "{} rooms, {} viewers: {:.0} frames/s, {} comments sent\n{}",
        grouped(group.rooms.len() as u64),
        grouped(group.viewers as u64),
        found.frames_measured as f64 / seconds,
        grouped(found.comments_sent),
        latency_text(&found.latency, "receipts")
    )
}

fn server_rows(f: &RunFindings) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let (Some(server), Some(per_frame)) = (f.server, cpu_per_frame(f)) {
        let kib = |bytes: u64| bytes as f64 / 1_024.0;
        let per_viewer =
            kib(server.rss_idle_bytes.saturating_sub(server.rss_before_bytes)) / f.tally.connected.max(1) as f64;
        rows.push((
            "server",
            format!(
                "{per_frame:.2} µs CPU per delivered frame, {:.0} % of a core; {:.0} µs per accept and handshake",
                server.cpu_us as f64 / 1e4 / f.measured_s.max(f64::MIN_POSITIVE),
                server.connect_cpu_us as f64 / f.tally.connected.max(1) as f64
            ),
        ));
        let mut memory =
            format!("resident {:.1} MiB, {per_viewer:.2} KiB per idle viewer", kib(server.rss_max_bytes) / 1_024.0);
        if let Some((grown, per_stalled)) = stall_growth(f) {
            memory.push_str(&format!(
                ", grew by {:.1} MiB in the stall: {:.2} KiB per stalled viewer",
                kib(grown) / 1_024.0,
                per_stalled / 1_024.0
            ));
        }
        rows.push(("", memory));
    }
    if let Some(metrics) = &f.metrics {
        let text = metrics
            .iter()
            .filter(|(name, _)| name.contains("cpu") || name.contains("deliver"))
            .map(|(name, by)| format!("{name} +{by:.2}"))
            .collect::<Vec<_>>()
            .join("\n");
        rows.push((
            "its metrics",
            if text.is_empty() { format!("{} counters grew (see --json)", metrics.len()) } else { text },
        ));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::conductor::ServerUse;

    #[test]
    fn a_full_generator_says_so() {
        let own = |cpu: u64, waited: u64, slow: u64| OwnLoad {
            window_ns: 1_000_000_000,
            cpu_ns: cpu * 10_000_000,
            waited_ns: waited * 10_000_000,
            cycle_max_ns: 30_000_000,
            slow_cycles_ns: slow * 1_000_000,
            send_late_max_ns: 0,
        };
        assert!(!Generator::judge(&[own(50, 10, 5), own(85, 0, 10)]).was_the_bottleneck);
        for full in [own(91, 0, 5), own(60, 35, 5), own(10, 0, 11)] {
            let judged = Generator::judge(&[own(1, 1, 1), full]);
            assert!(judged.was_the_bottleneck && judged.says.contains("BOTTLENECK"), "{full:?}");
        }
    }

    #[test]
    fn the_cost_of_a_stall_is_reported_per_stalled_viewer() {
        let mut f = RunFindings::default();
        assert_eq!(stall_growth(&f), None);
        f.server = Some(ServerUse { rss_stall_bytes: Some((10_000_000, 12_048_000)), ..ServerUse::default() });
        f.tally.stalled = 1_000;
        assert_eq!(stall_growth(&f), Some((2_048_000, 2_048.0)));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
    }
}
