//! Likes: S16.
//!
//! Memory: a few numbers per room.

use super::names::{Map, Name, Names};
use super::verdict::{Findings, Rule};

/// A total may be outdated this long after the last like: changes of counters alone make only one frame per second.
pub const SETTLED_NS: u64 = 2_000_000_000;

#[derive(Debug, Default)]
struct Room {
    ok: u64,
    unknown: u64,
    /// The time of the last like.
    liked_t: u64,
    /// The highest total seen, and its line.
    highest: (u64, u64),
    /// The time of the last total seen.
    seen_t: u64,
    /// An audit's total, and its line.
    audited: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
pub struct Likes {
    rooms: Map<Name, Room>,
}

impl Likes {
    /// Takes `n` likes that were surely or perhaps counted.
    pub fn liked(&mut self, room: Name, n: u64, is_sure: bool, t: u64) {
        let room = self.rooms.entry(room).or_default();
        *(if is_sure { &mut room.ok } else { &mut room.unknown }) += n;
        room.liked_t = room.liked_t.max(t);
    }

    /// Takes a total that a client saw; `before` is its previous total.
    pub fn total(
        &mut self,
        room: Name,
        (before, total): (u64, u64),
        t: u64,
        line: u64,
        names: &Names,
        findings: &mut Findings,
    ) {
        findings.checked(Rule::S16);
        if total < before {
            findings.wrong(Rule::S16, Some(line), || {
                format!("the total of {} falls from {before} to {total}", names.get(room))
            });
        }
        let room = self.rooms.entry(room).or_default();
        room.highest = room.highest.max((total, line));
        room.seen_t = room.seen_t.max(t);
    }

    pub fn audit(&mut self, room: Name, total: u64, line: u64) {
        self.rooms.entry(room).or_default().audited = Some((total, line));
    }

    /// Judges the sums; `epochs` has the number of epochs of each room.
    pub fn judge(&self, epochs: &Map<Name, u32>, names: &Names, findings: &mut Findings) {
        for (name, room) in &self.rooms {
            let (total, line) = room.audited.unwrap_or(room.highest);
            if line == 0 || epochs.get(name).is_some_and(|epochs| *epochs > 1) {
                continue; // No total was seen, or a log with likes was lost.
            }
            findings.checked(Rule::S16);
            let name = names.get(*name);
            let is_settled = room.audited.is_some() || room.seen_t >= room.liked_t + SETTLED_NS;
            let (ok, most) = (room.ok, room.ok + room.unknown);
            if is_settled && total < ok {
                findings.wrong(Rule::S16, Some(line), || {
                    format!("the final total of {name} is {total}; {ok} likes were counted for sure")
                });
            }
            let highest = total.max(room.highest.0);
            if highest > most {
                findings.wrong(Rule::S16, Some(if highest == total { line } else { room.highest.1 }), || {
                    format!("the total of {name} is {highest}; {most} likes were sent at most")
                });
            }
        }
    }
}
