//! Comments and the outcome of each attempt to send them: S6, S7 (answers), S8, S9 and the facts for S5 and S17.
//!
//! Memory: one entry per comment, one per acknowledgement.

use super::log::{LogId, Logs};
use super::names::{Map, Name, Names, Seconds};
use super::verdict::{Findings, Rule};
use crate::history::{Answered, Sent};

/// A comment that was sent, perhaps several times.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub room: Name,
    pub author: Name,
    pub id: Name,
    pub hash: Name,
    /// The first send's line.
    pub line: u64,
    /// The time of the earliest send that may have stored it (`u64::MAX`: none).
    pub possible_t: u64,
    /// How many attempts may have stored it.
    pub possible: u32,
    /// The number of attempts that surely did not store it, and the line of the last one.
    failed: (u32, u64),
    /// The session and line of the last attempt that may have stored it.
    by: (Name, u64),
}

#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// Index into the list of comments.
    pub said: u32,
    pub log: LogId,
    pub offset: u64,
    /// What viewers see of it according to the answer, and the comment into which it was merged.
    fate: (Name, Option<u64>),
    /// When the attempt was sent.
    pub sent_t: u64,
    pub t: u64,
    pub line: u64,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    said: u32,
    t: u64,
    line: u64,
    number: Option<u64>,
    session: Name,
}

/// The offset in an answer, and what viewers see of the comment.
#[derive(Clone, Copy, Debug)]
pub struct StoredAt {
    pub log: LogId,
    pub offset: u64,
    /// `shown`, `merged` or `shed`; none: the answer does not contain it.
    pub outcome: Name,
    /// With `merged`: the offset of the comment that stands for it.
    pub into: Option<u64>,
}

/// The answer to an attempt.
#[derive(Clone, Copy, Debug)]
pub enum SendResult {
    Ok(StoredAt),
    Fail,
    Unknown,
}

#[derive(Debug, Default)]
pub struct Sends {
    pub said: Vec<Said>,
    by_name: Map<(Name, Name, Name, Name), u32>,
    open: Map<(Name, Name), Vec<Attempt>>,
    pub acked: Vec<Acked>,
}

impl Sends {
    /// Takes a `send`.
    pub fn send(&mut self, sent: &Sent<'_>, session: Name, t: u64, line: u64, names: &mut Names) {
        let (room, author) = (names.put(&sent.room), names.put(&sent.author));
        let (id, hash) = (names.put_some(sent.id.as_deref()), names.put(&sent.hash));
        let next = u32::try_from(self.said.len()).expect("fewer than 2^32 comments fit into memory");
        let said = *self.by_name.entry((room, author, id, hash)).or_insert(next);
        if said == next {
            let nothing = (Name::NONE, 0);
            let (possible_t, possible, failed) = (u64::MAX, 0, (0, 0));
            self.said.push(Said { room, author, id, hash, line, possible_t, possible, failed, by: nothing });
        }
        let attempt = Attempt { said, t, line, number: sent.attempt, session };
        if id == Name::NONE {
            self.maybe_stored(attempt);
        } else {
            self.open.entry((author, id)).or_default().push(attempt);
        }
    }

    fn maybe_stored(&mut self, attempt: Attempt) {
        let said = &mut self.said[attempt.said as usize];
        said.possible_t = said.possible_t.min(attempt.t);
        said.possible += 1;
        said.by = (attempt.session, attempt.line);
    }

    /// The room of the answered attempt.
    pub fn room_of(&self, answered: &Answered<'_>, names: &mut Names) -> Option<Name> {
        if let Some(room) = answered.room.as_deref() {
            return Some(names.put(room));
        }
        let key = (names.put(&answered.author), names.put(&answered.id));
        let open = self.open.get(&key).and_then(|open| open.first())?;
        Some(self.said[open.said as usize].room)
    }

    /// Takes an answer. Returns the session of the attempt, if it has one.
    pub fn answer(
        &mut self,
        answered: &Answered<'_>,
        answer: SendResult,
        t: u64,
        line: u64,
        names: &mut Names,
        findings: &mut Findings,
    ) -> Option<(Name, u64)> {
        let key = (names.put(&answered.author), names.put(&answered.id));
        let room = answered.room.as_deref().map(|room| names.put(room));
        let said = &self.said;
        let matches = |attempt: &Attempt| {
            room.is_none_or(|room| said[attempt.said as usize].room == room)
                && (answered.attempt.is_none() || attempt.number == answered.attempt)
        };
        let open = self.open.get_mut(&key);
        let Some(attempt) = open.and_then(|open| Some(open.remove(open.iter().position(matches)?))) else {
            findings.wrong(Rule::S6, Some(line), || {
                let (id, author) = (names.get(key.1), names.get(key.0));
                format!("an answer for {id} of {author}, but no `send` before it waits for one")
            });
            return None;
        };
        if self.open.get(&key).is_some_and(Vec::is_empty) {
            self.open.remove(&key);
        }
        match answer {
            SendResult::Fail => {
                let failed = &mut self.said[attempt.said as usize].failed;
                *failed = (failed.0 + 1, line);
            }
            SendResult::Unknown => self.maybe_stored(attempt),
            SendResult::Ok(StoredAt { log, offset, outcome, into }) => {
                self.maybe_stored(attempt);
                let fate = (outcome, into);
                self.acked.push(Acked { said: attempt.said, log, offset, fate, sent_t: attempt.t, t, line });
                if into.is_some_and(|into| into >= offset) {
                    findings.wrong(Rule::S13, Some(line), || {
                        format!("{} is folded into {}, which is not before it", offset, into.unwrap_or_default())
                    });
                }
            }
        }
        Some((attempt.session, attempt.t))
    }

    /// Counts attempts without an answer as possibly stored.
    fn settle(&mut self) {
        let mut rest: Vec<Attempt> = std::mem::take(&mut self.open).into_values().flatten().collect();
        rest.sort_by_key(|attempt| attempt.line);
        for attempt in rest {
            self.maybe_stored(attempt);
        }
    }

    /// Judges S6 to S9 against everything that was seen.
    pub fn judge(&mut self, logs: &Logs, names: &Names, findings: &mut Findings) {
        self.settle();
        self.nothing_invented(logs, names, findings);
        self.answers_agree(logs, names, findings);
        self.real_time(logs, names, findings);
        self.author_order(logs, names, findings);
    }

    /// S6.
    fn nothing_invented(&self, logs: &Logs, names: &Names, findings: &mut Findings) {
        let mut without_id: Map<(LogId, u32), u32> = Map::default();
        for (id, log) in logs.iter() {
            for version in log.versions.iter().filter(|version| version.seen.is_comment()) {
                let seen = version.seen;
                findings.checked(Rule::S6);
                let mut wrong = |why: String| {
                    findings.wrong(Rule::S6, Some(version.line), || {
                        format!("{} at {} of {}: {why}", seen.say(names), seen.offset, names.get(log.room))
                    });
                };
                if seen.hash == Name::NONE {
                    continue; // Its text was deleted before any observer saw it.
                }
                let Some(at) = self.by_name.get(&(log.room, seen.author, seen.id, seen.hash)) else {
                    wrong("no client sent it".into());
                    continue;
                };
                let said = &self.said[*at as usize];
                if said.possible == 0 {
                    wrong(format!("every attempt failed, the last one in line {}", said.failed.1));
                } else if said.possible_t > version.first_t {
                    wrong(format!("it was sent only {} later", Seconds(said.possible_t - version.first_t)));
                } else if seen.id == Name::NONE {
                    let shown = without_id.entry((id, *at)).or_default();
                    *shown += 1;
                    if *shown > said.possible {
                        wrong(format!("without an id, it was sent {} times and stored more often", said.possible));
                    }
                }
            }
        }
    }

    /// S7: all answers to a comment have the same offset, at which it was seen, and the same outcome.
    fn answers_agree(&self, logs: &Logs, names: &Names, findings: &mut Findings) {
        let mut first: Map<(LogId, Name, Name), &Acked> = Map::default();
        for ack in &self.acked {
            let said = &self.said[ack.said as usize];
            findings.checked(Rule::S7);
            let seen = logs.get(ack.log).offset_of(said.author, said.id);
            let other = *first.entry((ack.log, said.author, said.id)).or_insert(ack);
            let (id, author) = (names.get(said.id), names.get(said.author));
            if other.offset != ack.offset {
                findings.wrong(Rule::S7, Some(ack.line), || {
                    let (here, there, line) = (ack.offset, other.offset, other.line);
                    format!("{id} of {author} is acknowledged at {here} and in line {line} at {there}")
                });
            } else if other.fate != ack.fate && ack.fate.0 != Name::NONE && other.fate.0 != Name::NONE {
                findings.wrong(Rule::S7, Some(ack.line), || {
                    let say = |fate: (Name, Option<u64>)| {
                        let into = fate.1.map_or(String::new(), |into| format!(" into {into}"));
                        format!("{}{into}", names.get(fate.0))
                    };
                    let (here, there, line) = (say(ack.fate), say(other.fate), other.line);
                    format!("{id} of {author} is reported as {here}, but in line {line} as {there}")
                });
            } else if let Some(seen) = seen.filter(|seen| *seen != ack.offset) {
                findings.wrong(Rule::S7, Some(ack.line), || {
                    format!("{id} of {author} is acknowledged at {} and seen at {seen}", ack.offset)
                });
            }
        }
    }

    /// S8: compares each send with the greatest offset that was acknowledged before it.
    fn real_time(&self, logs: &Logs, names: &Names, findings: &mut Findings) {
        let mut acked: Map<LogId, Vec<(u64, u64, u64)>> = Map::default();
        for ack in &self.acked {
            let said = &self.said[ack.said as usize];
            let offset = logs.get(ack.log).offset_of(said.author, said.id).unwrap_or(ack.offset);
            acked.entry(ack.log).or_default().push((ack.t, offset, ack.line));
        }
        let sent = self.sent(logs);
        for (log, mut acked) in acked {
            acked.sort_unstable();
            let Some(sent) = sent.get(&log) else { continue };
            let mut sent: Vec<_> = sent.iter().map(|(said, offset)| (&self.said[*said as usize], *offset)).collect();
            sent.sort_unstable_by_key(|(said, _)| (said.possible_t, said.line));
            let (mut next, mut newest) = (0, (0, 0));
            for (said, offset) in sent {
                while let Some((_, at, line)) = acked.get(next).filter(|(t, ..)| *t < said.possible_t) {
                    newest = newest.max((*at, *line));
                    next += 1;
                }
                if next == 0 {
                    continue;
                }
                findings.checked(Rule::S8);
                if newest.0 > offset {
                    findings.wrong(Rule::S8, Some(said.line), || {
                        let (id, author) = (names.get(said.id), names.get(said.author));
                        let (at, line) = newest;
                        format!("{id} of {author} was sent after line {line} acknowledged {at}, and is at {offset}")
                    });
                }
            }
        }
    }

    /// Every comment with an id that may be stored, with its offset, by log.
    fn sent(&self, logs: &Logs) -> Map<LogId, Vec<(u32, u64)>> {
        let mut by_room: Map<Name, Vec<LogId>> = Map::default();
        for (id, log) in logs.iter() {
            by_room.entry(log.room).or_default().push(id);
        }
        let mut acked: Map<(LogId, u32), u64> = Map::default();
        for ack in &self.acked {
            acked.entry((ack.log, ack.said)).or_insert(ack.offset);
        }
        let mut sent: Map<LogId, Vec<(u32, u64)>> = Map::default();
        for (at, said) in self.said.iter().enumerate() {
            if said.id == Name::NONE || said.possible == 0 {
                continue;
            }
            for log in by_room.get(&said.room).into_iter().flatten() {
                let seen = logs.get(*log).offset_of(said.author, said.id);
                if let Some(offset) = seen.or_else(|| acked.get(&(*log, at as u32)).copied()) {
                    sent.entry(*log).or_default().push((at as u32, offset));
                }
            }
        }
        sent
    }

    /// S9. A comment that several attempts may have stored does not show the order.
    fn author_order(&self, logs: &Logs, names: &Names, findings: &mut Findings) {
        for (log, sent) in self.sent(logs) {
            let mut sent: Vec<_> = sent.iter().map(|(said, offset)| (&self.said[*said as usize], *offset)).collect();
            sent.retain(|(said, _)| said.possible == 1 && said.by.0 != Name::NONE);
            sent.sort_unstable_by_key(|(said, _)| (said.by, said.author));
            for pair in sent.windows(2) {
                let ((before, earlier), (said, later)) = (pair[0], pair[1]);
                if (before.by.0, before.author) != (said.by.0, said.author) {
                    continue;
                }
                findings.checked(Rule::S9);
                if earlier >= later {
                    findings.wrong(Rule::S9, Some(said.by.1), || {
                        let (session, room) = (names.get(said.by.0), names.get(logs.get(log).room));
                        let (one, two) = (names.get(before.id), names.get(said.id));
                        format!("{session} sent {one} and then {two} to {room}; they are at {earlier} and {later}")
                    });
                }
            }
        }
    }
}
