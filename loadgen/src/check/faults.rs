//! The times of faults, and what they excuse: S10.

use super::log::{Log, Logs};
use super::names::{Map, Name, Names, Seconds};
use super::verdict::{Findings, Rule};
use crate::history;

/// Faults after which a log may have lost records, so that its room gets a new epoch and the lost records may be
/// absent: bytes were changed or cut off while the server was down, the data directory was removed, or an older copy of
/// it was restored.
pub const LOG_DAMAGING: &[&str] = &["corruption", "truncation", "wipe", "restore"];

/// A power loss while appends do not wait for the disk (`power_loss` with `"durability":"write"`, or this name). It may
/// change the epoch, but acknowledged comments that it loses are violations.
pub const POWER_LOSS_WRITE: &str = "power_loss_write";

#[derive(Clone, Debug)]
struct FaultSpan {
    kind: Name,
    target: Name,
    on: u64,
    off: u64,
    may_change_epoch: bool,
    damages_log: bool,
}

#[derive(Debug, Default)]
pub struct Faults {
    all: Vec<FaultSpan>,
    /// Periods with at least one fault, joined; computed at the end.
    periods: Vec<(u64, u64)>,
    stray: u64,
}

impl Faults {
    /// A fault begins or ends.
    pub fn fault(&mut self, fault: &history::Fault<'_>, t: u64, names: &mut Names) {
        let (kind, target) = (names.put(&fault.kind), names.put_some(fault.target.as_deref()));
        if !fault.on {
            let open = self.all.iter_mut().rfind(|f| (f.kind, f.target, f.off) == (kind, target, u64::MAX));
            match open {
                Some(open) => open.off = t,
                None => self.stray += 1,
            }
            return;
        }
        let damages_log = LOG_DAMAGING.contains(&&*fault.kind);
        let loses_power = fault.kind == POWER_LOSS_WRITE
            || (fault.kind == "power_loss" && fault.durability.as_deref() == Some("write"));
        let may_change_epoch = damages_log || loses_power;
        self.all.push(FaultSpan { kind, target, on: t, off: u64::MAX, may_change_epoch, damages_log });
    }

    /// Joins the periods when all faults are known. Returns notes for the verdict.
    pub fn settle(&mut self, names: &Names) -> Vec<String> {
        let mut spans: Vec<(u64, u64)> = self.all.iter().map(|fault| (fault.on, fault.off)).collect();
        spans.sort_unstable();
        for (on, off) in spans {
            match self.periods.last_mut() {
                Some(last) if on <= last.1 => last.1 = last.1.max(off),
                _ => self.periods.push((on, off)),
            }
        }
        let mut notes = Vec::new();
        let open = self.all.iter().filter(|fault| fault.off == u64::MAX).map(|fault| names.get(fault.kind));
        let open: Vec<_> = open.collect();
        if !open.is_empty() {
            notes.push(format!("faults without an end excuse everything after them: {}", open.join(", ")));
        }
        if self.stray > 0 {
            notes.push(format!("{} faults ended that had not begun", self.stray));
        }
        notes
    }

    /// Whether a fault is on at any time from `from` to `to`.
    pub fn touches(&self, from: u64, to: u64) -> bool {
        let next = self.periods.partition_point(|(_, off)| *off < from);
        self.periods.get(next).is_some_and(|(on, _)| *on <= to)
    }

    /// The earliest time from `t` on after which no fault is on for `quiet_ns`, if there is one.
    pub fn quiet_from(&self, t: u64, quiet_ns: u64) -> Option<u64> {
        let mut from = t;
        for (on, off) in &self.periods {
            if *off >= from && *on <= from.saturating_add(quiet_ns) {
                from = *off;
            }
        }
        (from != u64::MAX).then_some(from)
    }

    /// Whether a later fault may have lost events that were in the log at `t`.
    pub fn may_have_lost(&self, t: u64) -> bool {
        self.all.iter().any(|fault| fault.damages_log && fault.off >= t)
    }

    /// S10: a new epoch begins only during a fault that may cause it, and an old epoch never returns.
    pub fn judge_epochs(&self, logs: &Logs, names: &Names, findings: &mut Findings) {
        let mut rooms: Map<Name, Vec<&Log>> = Map::default();
        for (_, log) in logs.iter() {
            findings.checked(Rule::S10);
            rooms.entry(log.room).or_default().push(log);
        }
        for mut epochs in rooms.into_values() {
            epochs.sort_by_key(|log| log.first);
            for pair in epochs.windows(2) {
                let (old, new) = (pair[0], pair[1]);
                let (room, was, is) = (names.get(new.room), names.get(old.epoch), names.get(new.epoch));
                let (since, line) = new.first;
                if old.last.0 > since {
                    findings.wrong(Rule::S10, Some(old.last.1), || {
                        format!("epoch {was} of {room} is back, after {is} in line {line}")
                    });
                }
                // The change was between the last event with the old epoch and the first event with the new one.
                let last_named = old.last.0.max(old.first.0).min(since);
                let is_excused =
                    self.all.iter().any(|fault| fault.may_change_epoch && fault.on <= since && fault.off >= last_named);
                if !is_excused {
                    findings.wrong(Rule::S10, Some(line), || {
                        let ago = Seconds(since - last_named);
                        format!(
                            "{room} changes its epoch from {was}, named {ago} before, to {is} without a fault that may"
                        )
                    });
                }
            }
        }
    }
}
