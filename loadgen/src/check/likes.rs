//! Likes: S16.
//!
//! Memory: a few numbers per room.

use super::names::{Map, Name, Names};
use super::verdict::{Findings, Rule};

/// A total may stand still this long after the last like: counters alone make a frame once a second.
pub const SETTLED_NS: u64 = 2_000_000_000;

#[derive(Debug, Default)]
struct Room {
    ok: u64,
    unknown: u64,
    /// When the last like was booked.
    liked_t: u64,
    /// The highest total that was seen, and its line.
    highest: (u64, u64),
    /// When a total was seen last.
    seen_t: u64,
    /// An audit's total, and its line.
    audited: Option<(u64, u64)>,
}

/// Every room's likes.
#[derive(Debug, Default)]
pub struct Likes {
    rooms: Map<Name, Room>,
}

impl Likes {
    /// `n` likes were surely counted, or perhaps.
    pub fn liked(&mut self, room: Name, n: u64, is_sure: bool, t: u64) {
        let room = self.rooms.entry(room).or_default();
        *(if is_sure { &mut room.ok } else { &mut room.unknown }) += n;
        room.liked_t = room.liked_t.max(t);
    }

    /// Somebody who saw `before` as a total sees `total`.
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

    /// Judges the sums; `epochs` is how many each room has had.
    pub fn judge(&self, epochs: &Map<Name, u32>, names: &Names, findings: &mut Findings) {
        for (name, room) in &self.rooms {
            let (total, line) = room.audited.unwrap_or(room.highest);
            if line == 0 || epochs.get(name).is_some_and(|epochs| *epochs > 1) {
                continue; // Nobody saw a total, or a log with likes was lost.
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
