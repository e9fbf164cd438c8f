//! Whether things happen in time while no fault is on: L1, L2.

use super::faults::Faults;
use super::log::{LogId, Logs};
use super::names::{Map, Names, Seconds};
use super::spans::{Ended, Outage};
use super::verdict::{Findings, Rule};

/// How long a client may take to reconnect.
pub const LIVE_WITHIN_NS: u64 = 10_000_000_000;

/// How long after its acknowledgement an event may reach a subscriber, in addition to two ticks.
pub const DELIVERED_WITHIN_NS: u64 = 250_000_000;

/// L1. `end` is the time of the last event of any client; later deadlines are not judged.
pub fn live_after_faults(outages: &[Outage], faults: &Faults, end: u64, names: &Names, findings: &mut Findings) {
    for outage in outages {
        let Some(due) = faults.quiet_from(outage.from, LIVE_WITHIN_NS).map(|from| from + LIVE_WITHIN_NS) else {
            continue;
        };
        if outage.to.is_none() && end <= due {
            continue;
        }
        findings.checked(Rule::L1);
        if outage.to.is_none_or(|to| to > due) {
            findings.wrong(Rule::L1, Some(outage.line), || {
                let (client, since) = (names.get(outage.client), Seconds(outage.from));
                let until =
                    outage.to.map_or("never came back".into(), |to| format!("was live again at {}", Seconds(to)));
                format!("{client} lost its connection at {since} and {until}; it was due at {}", Seconds(due))
            });
        }
    }
}

/// L2. Late deliveries were found while reading. Here faults excuse some of them, and missing deliveries are found.
pub fn delivered_in_time(
    ended: &[Ended],
    logs: &Logs,
    faults: &Faults,
    late_ns: u64,
    names: &Names,
    findings: &mut Findings,
) {
    let acks: Map<LogId, Vec<(u64, u64, u64)>> = logs.iter().map(|(id, log)| (id, ack_times(log.acks()))).collect();
    for ended in ended {
        let Some((since, until, line)) = ended.live else { continue };
        let (client, room) = (names.get(ended.client), names.get(logs.get(ended.log).room));
        for (offset, due_from, t, line) in &ended.late {
            if !faults.touches(*due_from, due_from + late_ns) {
                findings.wrong(Rule::L2, Some(*line), || {
                    let late = Seconds(t - due_from);
                    format!("{offset} of {room} reaches {client} {late} after it was acknowledged")
                });
            }
        }
        let Some(acks) = acks.get(&ended.log) else { continue };
        let next = acks.partition_point(|(offset, ..)| *offset <= ended.span.to);
        for (offset, t, earliest) in &acks[next..] {
            if (*earliest).max(since) + late_ns >= until {
                break;
            }
            let due_from = (*t).max(since);
            if due_from + late_ns < until && !faults.touches(due_from, due_from + late_ns) {
                findings.checked(Rule::L2);
                findings.wrong(Rule::L2, Some(line), || {
                    let for_long = Seconds(until - due_from);
                    format!("{offset} of {room} has not reached {client} {for_long} after it was acknowledged")
                });
                break;
            }
        }
    }
}

/// Acknowledged offsets in order, each with its time and the earliest time of all later offsets.
fn ack_times(acks: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64, u64)> {
    let mut all: Vec<(u64, u64, u64)> = acks.map(|(offset, t)| (offset, t, t)).collect();
    all.sort_unstable();
    let mut earliest = u64::MAX;
    for (_, t, from_here) in all.iter_mut().rev() {
        earliest = earliest.min(*t);
        *from_here = earliest;
    }
    all
}
