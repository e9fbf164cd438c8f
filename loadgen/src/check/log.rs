//! What all observers saw of each log: S1 (live against live), S7, S11, and the facts for S5, S6 and S15 at the end.
//!
//! Memory: one entry per distinct event of a log and one per distinct position with a digest, however many clients saw
//! it.

use super::names::{Map, Name, Names};
use super::verdict::{Findings, Rule};
use crate::history::{COMMENT, Item};
use std::collections::hash_map::Entry;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub offset: u64,
    pub author: Name,
    pub id: Name,
    /// Hash of the text; none: a deleted comment, or not a comment.
    pub hash: Name,
    /// The kind; none: a comment.
    pub kind: Name,
    /// The lane; none: normal, or unknown to the observer.
    pub lane: Name,
}

impl Seen {
    pub fn of(item: &Item<'_>, names: &mut Names) -> Self {
        Self {
            offset: item.offset,
            author: names.put_some(item.author.as_deref()),
            id: names.put_some(item.id.as_deref()),
            hash: names.put_some(item.hash.as_deref()),
            kind: names.put_some(item.kind.as_deref().filter(|kind| *kind != COMMENT)),
            lane: names.put_some(item.lane.as_deref().filter(|lane| *lane != "normal")),
        }
    }

    pub fn is_comment(&self) -> bool {
        self.kind == Name::NONE
    }

    /// Whether it is the rest of a deleted comment.
    fn is_blank(&self) -> bool {
        self.is_comment() && self.hash == Name::NONE && self.author == Name::NONE
    }

    /// Whether it is the same event; a deleted text agrees with every text.
    fn agrees(&self, other: &Self) -> bool {
        if self.is_comment() && other.is_comment() && (self.is_blank() || other.is_blank()) {
            return true;
        }
        let hash =
            self.hash == other.hash || (self.is_comment() && (self.hash == Name::NONE || other.hash == Name::NONE));
        // The lane is not compared: only the audit knows the room's settings of that time.
        hash && (self.author, self.id, self.kind) == (other.author, other.id, other.kind)
    }

    pub fn say(&self, names: &Names) -> String {
        let kind = if self.is_comment() { COMMENT } else { names.get(self.kind) };
        let text = if self.hash == Name::NONE { "no text" } else { names.get(self.hash) };
        format!("{kind} {} of {} ({text})", names.get(self.id), names.get(self.author))
    }
}

/// Where an item was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Live,
    /// In a frame of a resume that the client requested at this time.
    Resume(u64),
    /// In a welcome or a page that was requested at this time.
    Asked(u64),
    /// In a node's log, read at the end.
    Audit,
}

/// One version of the event at an offset; more than one is a violation.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    pub seen: Seen,
    /// The earliest time at which it was seen.
    pub first_t: u64,
    pub line: u64,
    /// An observer other than an audit saw it.
    pub was_shown: bool,
    /// The time of the latest request whose answer showed the text, and its line.
    pub asked: (u64, u64),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Index into `versions`, plus one.
    version: u32,
    ack_t: u64,
}

#[derive(Debug, Default)]
pub struct Log {
    pub room: Name,
    pub epoch: Name,
    /// Time and line of its first mention.
    pub first: (u64, u64),
    /// Time and line of its last mention in a welcome, page or audit.
    pub last: (u64, u64),
    slots: Map<u64, Slot>,
    /// Every version that was seen.
    pub versions: Vec<Version>,
    /// Versions that contradict the first one of their offset.
    contradictions: Map<u64, Vec<u32>>,
    /// The first offset of each (author, id).
    by_id: Map<(Name, Name), u64>,
    digests: Map<u64, (Name, u64)>,
}

impl Log {
    pub fn offset_of(&self, author: Name, id: Name) -> Option<u64> {
        self.by_id.get(&(author, id)).copied()
    }

    /// Every version at an offset, in the order in which they were seen.
    pub fn at(&self, offset: u64) -> impl Iterator<Item = &Version> {
        let first = self.slots.get(&offset).filter(|slot| slot.version > 0).map(|slot| slot.version - 1);
        let others = self.contradictions.get(&offset).into_iter().flatten().copied();
        first.into_iter().chain(others).filter_map(|at| self.versions.get(at as usize))
    }

    /// Notes the acknowledgement of a comment at `offset`.
    pub fn acknowledged(&mut self, offset: u64, t: u64) {
        let slot = self.slots.entry(offset).or_insert(Slot { version: 0, ack_t: u64::MAX });
        slot.ack_t = slot.ack_t.min(t);
    }

    /// All acknowledged offsets with their times.
    pub fn acks(&self) -> impl Iterator<Item = (u64, u64)> {
        self.slots.iter().filter(|(_, slot)| slot.ack_t != u64::MAX).map(|(offset, slot)| (*offset, slot.ack_t))
    }
}

#[derive(Debug, Default)]
pub struct Logs {
    by_name: Map<(Name, Name), LogId>,
    newest: Map<Name, LogId>,
    all: Vec<Log>,
}

impl Logs {
    /// The log of a room and epoch, mentioned at `t`.
    pub fn named(&mut self, room: Name, epoch: Name, t: u64, line: u64, is_sure: bool) -> LogId {
        let next = LogId(u32::try_from(self.all.len()).expect("fewer than 2^32 logs fit into memory"));
        let id = match self.by_name.entry((room, epoch)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                free.insert(next);
                self.all.push(Log { room, epoch, first: (t, line), last: (0, line), ..Log::default() });
                self.newest.insert(room, next);
                next
            }
        };
        let log = &mut self.all[id.0 as usize];
        log.first = log.first.min((t, line));
        if is_sure {
            log.last = log.last.max((t, line));
        }
        id
    }

    /// The room's log that was mentioned last.
    pub fn newest(&self, room: Name) -> Option<LogId> {
        self.newest.get(&room).copied()
    }

    pub fn get(&self, id: LogId) -> &Log {
        &self.all[id.0 as usize]
    }

    pub fn get_mut(&mut self, id: LogId) -> &mut Log {
        &mut self.all[id.0 as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (LogId, &Log)> {
        self.all.iter().enumerate().map(|(i, log)| (LogId(i as u32), log))
    }

    /// Notes that an observer saw `seen`. Returns the time of its acknowledgement, or `u64::MAX` if none was read yet.
    #[expect(clippy::too_many_arguments, reason = "one call per item, all plain numbers")]
    pub fn saw(
        &mut self,
        id: LogId,
        seen: Seen,
        place: Sight,
        t: u64,
        line: u64,
        names: &Names,
        findings: &mut Findings,
    ) -> u64 {
        let log = &mut self.all[id.0 as usize];
        findings.checked(Rule::S1);
        let slot = log.slots.entry(seen.offset).or_insert(Slot { version: 0, ack_t: u64::MAX });
        let ack_t = slot.ack_t;
        let asked = match place {
            Sight::Resume(asked) | Sight::Asked(asked) if seen.hash != Name::NONE => (asked, line),
            _ => (0, 0),
        };
        let new = Version { seen, first_t: t, line, was_shown: place != Sight::Audit, asked };
        let index = log.versions.len() as u32;
        if slot.version == 0 {
            slot.version = index + 1;
            log.versions.push(new);
            log.first_place(seen, line, names, findings);
            return ack_t;
        }
        let first = slot.version - 1;
        let known = if log.versions[first as usize].seen.agrees(&seen) {
            // If it was first seen deleted, its text is taken from the first later sight, and further sights must agree
            // with that.
            let stored = &mut log.versions[first as usize].seen;
            if stored.hash == Name::NONE && seen.hash != Name::NONE {
                *stored = seen;
            }
            Some(first)
        } else {
            let others = log.contradictions.get(&seen.offset).map_or(&[][..], Vec::as_slice);
            let first = log.versions[first as usize];
            findings.wrong(Rule::S1, Some(line), || {
                format!(
                    "offset {} of {} is {} here and {} in line {}",
                    seen.offset,
                    names.get(log.room),
                    seen.say(names),
                    first.seen.say(names),
                    first.line
                )
            });
            others.iter().copied().find(|at| log.versions[*at as usize].seen.agrees(&seen))
        };
        let Some(known) = known else {
            log.contradictions.entry(seen.offset).or_default().push(index);
            log.versions.push(new);
            return ack_t;
        };
        let version = &mut log.versions[known as usize];
        if t < version.first_t {
            (version.first_t, version.line) = (t, line);
        }
        version.was_shown |= new.was_shown;
        version.asked = version.asked.max(asked);
        let was_blank = version.seen.is_blank();
        if version.seen.hash == Name::NONE && !seen.is_blank() {
            version.seen = seen;
        }
        if was_blank && known == first {
            log.first_place(seen, line, names, findings);
        }
        ack_t
    }

    pub fn digest(&mut self, id: LogId, last: u64, digest: Name, line: u64, names: &Names, findings: &mut Findings) {
        let log = &mut self.all[id.0 as usize];
        match log.digests.entry(last) {
            Entry::Vacant(free) => {
                free.insert((digest, line));
            }
            Entry::Occupied(known) => {
                findings.checked(Rule::S11);
                let (other, at) = *known.get();
                if other != digest {
                    findings.wrong(Rule::S11, Some(line), || {
                        let (room, here, there) = (names.get(log.room), names.get(digest), names.get(other));
                        format!("the digest of {room} at {last} is {here} here and {there} in line {at}")
                    });
                }
            }
        }
    }
}

impl Log {
    /// Handles a new offset: its comment must not have a different one.
    fn first_place(&mut self, seen: Seen, line: u64, names: &Names, findings: &mut Findings) {
        if seen.id == Name::NONE || !seen.is_comment() {
            return;
        }
        findings.checked(Rule::S7);
        let first = *self.by_id.entry((seen.author, seen.id)).or_insert(seen.offset);
        if first != seen.offset {
            findings.wrong(Rule::S7, Some(line), || {
                let said = seen.say(names);
                format!("{said} of {} is at {first} and at {}", names.get(self.room), seen.offset)
            });
        }
    }
}
