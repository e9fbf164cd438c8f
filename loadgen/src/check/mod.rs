//! The history checker: reads what clients, an auditor and a fault driver recorded ([`history`](crate::history)), and
//! reports violations of the rules that must always hold ([`Rule`]).
//!
//! | file | judges |
//! |---|---|
//! | `log` | S1 agreement, S7 retries (seen), S11 digest |
//! | `lifetimes` | S2 continuity, S3 no duplicate, S4 order, S12 honest resume |
//! | `sends` | S6 nothing invented, S7 retries (answered), S8 real time, S9 per author order |
//! | `audits` | S1 (absence), S5 acknowledged means kept, S13 ledger, S14 guaranteed lane, S15 deletions |
//! | `faults` | S10 epoch |
//! | `likes`, `limits`, `liveness` | S16 · S17 rate, S18 rights · L1, L2 |
//!
//! The truth is everything that any observer saw, including the audits: the first sight of an offset counts, and later
//! contradictions are reported (S1). `ok` means stored at that offset; `fail` means not stored by this attempt;
//! `unknown` or a missing answer means stored at most once.
//!
//! **Order.** The lines of one client are judged in their order in the file. Between clients only times count, so the
//! histories of several processes may be concatenated. Only L2 needs the lines in order of time, and is not judged
//! otherwise.
//!
//! **Memory** grows with distinct events, acknowledgements, audited events, sessions, spans and clients, and with items
//! other than plain comments that each client receives (8 bytes each). It does not grow with frames or with clients ×
//! comments; one line is in memory at a time. Measured: 143,000 comments, all acknowledged and audited, and 714,000
//! frames of 300 clients (311 MB of file) took 101 MiB, about 700 bytes a comment.
//!
//! Does not know: where a history comes from, sockets, the server.

mod audits;
mod cli;
mod faults;
mod lifetimes;
mod likes;
mod limits;
mod liveness;
mod log;
mod names;
mod sends;
mod spans;
mod verdict;

pub use cli::{CheckArgs, run};
pub use faults::{LOG_DAMAGING, POWER_LOSS_WRITE};
pub use lifetimes::RECENT;
pub use limits::Rate;
pub use verdict::{Example, Finding, Rule, Verdict};

use crate::history::{Answered, Broken, Event, HistoryLine, Kept, Reader, Sent};
use lifetimes::Here;
use names::{Map, Name};
use sends::{SendResult, StoredAt};
use std::collections::BTreeMap;
use std::io::BufRead;

/// Facts that a history does not contain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The rate limit, for S17.
    pub rate: Option<Rate>,
    /// The rooms' tick in milliseconds, for L2.
    pub tick_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { rate: None, tick_ms: 100 }
    }
}

/// Judges a history while it is read.
#[derive(Debug)]
pub struct Checker {
    options: Options,
    late_ns: u64,
    names: names::Names,
    findings: verdict::Findings,
    logs: log::Logs,
    sends: sends::Sends,
    lifetimes: lifetimes::Lifetimes,
    audits: audits::Audits,
    faults: faults::Faults,
    likes: likes::Likes,
    rights: limits::Rights,
    strangers: BTreeMap<String, u64>,
    events: u64,
    /// The latest time so far.
    latest_t: u64,
    /// The latest time of a client's event.
    clients_t: u64,
    /// The line that is furthest behind the latest time before it, and by how much.
    behind: Option<(u64, u64)>,
}

impl Checker {
    pub fn new(options: Options) -> Self {
        let late_ns = 2 * options.tick_ms * 1_000_000 + liveness::DELIVERED_WITHIN_NS;
        Self {
            options,
            late_ns,
            names: names::Names::default(),
            findings: verdict::Findings::default(),
            logs: log::Logs::default(),
            sends: sends::Sends::default(),
            lifetimes: lifetimes::Lifetimes::new(late_ns),
            audits: audits::Audits::default(),
            faults: faults::Faults::default(),
            likes: likes::Likes::default(),
            rights: limits::Rights::default(),
            strangers: BTreeMap::new(),
            events: 0,
            latest_t: 0,
            clients_t: 0,
            behind: None,
        }
    }

    /// Reads and judges a whole history.
    /// # Errors
    /// [`Broken`] for the first line that is not an event, or if the history has no event.
    pub fn read(options: Options, from: impl BufRead) -> Result<Verdict, Broken> {
        let mut checker = Self::new(options);
        let mut reader = Reader::new(from);
        while let Some(line) = reader.read()? {
            checker.take(&line);
        }
        if checker.events == 0 {
            return Err(Broken {
                line: 1,
                why: "the history has no known event; give the file that the clients wrote".into(),
            });
        }
        Ok(checker.finish())
    }

    pub fn take(&mut self, line: &HistoryLine<'_>) {
        let event = match &line.event {
            Ok(event) => event,
            Err(stranger) => {
                *self.strangers.entry(stranger.clone()).or_default() += 1;
                return;
            }
        };
        self.events += 1;
        let (t, number) = (line.t_ns, line.number);
        let behind = self.latest_t.saturating_sub(t);
        if behind > self.late_ns && self.behind.is_none_or(|(most, _)| behind > most) {
            self.behind = Some((behind, number));
        }
        self.latest_t = self.latest_t.max(t);
        if !matches!(event, Event::Audit(_) | Event::Page(_) | Event::Fault(_) | Event::Deleted(_)) {
            self.clients_t = self.clients_t.max(t);
        }
        let mut here =
            Here { t, line: number, logs: &mut self.logs, names: &mut self.names, findings: &mut self.findings };
        match event {
            Event::Welcome(welcome) => {
                self.lifetimes.welcome(welcome, &mut here);
                self.delivered(welcome.who.session.as_deref(), t, number);
                if let Some(total) = welcome.likes {
                    self.total(&welcome.who, Some(&welcome.room), total, t, number);
                }
            }
            Event::Frame(frame) => {
                self.lifetimes.frame(frame, &mut here);
                self.delivered(frame.who.session.as_deref(), t, number);
                if let Some(total) = frame.likes {
                    self.total(&frame.who, frame.room.as_deref(), total, t, number);
                }
            }
            Event::Gap(gap) => {
                self.lifetimes.gap(gap, &mut here);
                self.delivered(gap.who.session.as_deref(), t, number);
            }
            Event::Rendition(change) => self.delivered(change.who.session.as_deref(), t, number),
            Event::Close(close) => self.lifetimes.close(&close.who, close.room.as_deref(), close.code, &mut here),
            Event::Live(who) => self.lifetimes.says_live(&who.who, who.room.as_deref(), &mut here),
            Event::Attempt(who) => self.lifetimes.attempt(&who.who, who.room.as_deref(), &mut here),
            Event::Page(page) => {
                self.audits.page(page, &mut here);
                self.lifetimes.ascending(&page.items, &mut here);
            }
            Event::Deleted(deleted) => self.audits.deleted(deleted, &mut here),
            Event::Audit(audit) => {
                self.audits.audit(audit, &mut here);
                if let Some(total) = audit.likes {
                    let room = self.names.put(&audit.room);
                    self.likes.audit(room, total, number);
                }
            }
            Event::Fault(fault) => self.faults.fault(fault, t, &mut self.names),
            Event::Send(sent) => self.send(sent, t, number),
            Event::Ok(kept) => self.ok(kept, t, number),
            Event::Fail(refused) => {
                self.answer(&refused.answered, SendResult::Fail, t, number);
            }
            Event::Unknown(unsure) => {
                self.answer(&unsure.answered, SendResult::Unknown, t, number);
            }
            Event::LikeOk(liked) => self.likes.liked(self.names.put(&liked.room), liked.n, true, t),
            Event::LikeUnknown(liked) => self.likes.liked(self.names.put(&liked.room), liked.n, false, t),
            Event::Likes(total) => self.total(&total.who, total.room.as_deref(), total.total, t, number),
            Event::Expired(who) | Event::Revoked(who) => {
                let session = self.session(&who.who);
                self.rights.ended(session, t, number);
            }
        }
    }

    fn session(&mut self, who: &crate::history::Who<'_>) -> Name {
        match (who.session.as_deref(), who.client.as_deref()) {
            (Some(session), _) => self.names.put(session),
            (None, Some(client)) => {
                let client = self.names.put(client);
                self.lifetimes.session_of(client)
            }
            (None, None) => Name::NONE,
        }
    }

    fn delivered(&mut self, session: Option<&str>, t: u64, line: u64) {
        if let Some(session) = session {
            let session = self.names.put(session);
            self.rights.delivered(session, t, line);
        }
    }

    fn total(&mut self, who: &crate::history::Who<'_>, room: Option<&str>, total: u64, t: u64, line: u64) {
        let (before, room) = self.lifetimes.likes(who, room, total, &mut self.names);
        self.likes.total(room, (before, total), t, line, &self.names, &mut self.findings);
    }

    fn send(&mut self, sent: &Sent<'_>, t: u64, line: u64) {
        let session = self.session(&sent.who);
        self.sends.send(sent, session, t, line, &mut self.names);
    }

    fn answer(&mut self, answered: &Answered<'_>, answer: SendResult, t: u64, line: u64) -> Option<(Name, u64)> {
        self.sends.answer(answered, answer, t, line, &mut self.names, &mut self.findings)
    }

    fn ok(&mut self, kept: &Kept<'_>, t: u64, line: u64) {
        let (answered, offset) = (&kept.answered, kept.offset);
        let Some(room) = self.sends.room_of(answered, &mut self.names) else {
            // No send waits for this answer; it is reported as a stray one.
            self.answer(answered, SendResult::Unknown, t, line);
            return;
        };
        let epoch = self.names.put(&kept.epoch);
        let log = self.logs.named(room, epoch, t, line, false);
        let outcome = self.names.put_some(kept.outcome.as_deref());
        let place = StoredAt { log, offset, outcome, into: kept.into };
        let Some((session, sent_t)) = self.answer(answered, SendResult::Ok(place), t, line) else { return };
        self.logs.get_mut(log).acknowledged(offset, t);
        if session != Name::NONE {
            self.rights.accepted(session, sent_t, line);
        }
    }

    pub fn finish(mut self) -> Verdict {
        self.lifetimes.finish();
        let (names, findings) = (&mut self.names, &mut self.findings);
        let mut notes: Vec<String> = self
            .strangers
            .iter()
            .map(|(name, n)| format!("{n} events `{name}` were skipped, because this version does not know them"))
            .collect();
        notes.extend(self.faults.settle(names));
        self.sends.judge(&self.logs, names, findings);
        self.faults.judge_epochs(&self.logs, names, findings);
        let ended = &self.lifetimes.ended;
        notes.extend(self.audits.judge(&self.logs, &self.sends, ended, &self.faults, names, findings));
        let mut epochs: Map<Name, u32> = Map::default();
        for (_, log) in self.logs.iter() {
            *epochs.entry(log.room).or_default() += 1;
        }
        self.likes.judge(&epochs, names, findings);
        if let Some(rate) = self.options.rate {
            limits::judge_rate(rate, &self.sends, names, findings);
            findings.cannot_if_idle(Rule::S17, "no `ok` in it");
        }
        self.rights.judge(names, findings);
        liveness::live_after_faults(&self.lifetimes.outages, &self.faults, self.clients_t, names, findings);
        match self.behind {
            None => liveness::delivered_in_time(ended, &self.logs, &self.faults, self.late_ns, names, findings),
            Some((behind, line)) => {
                let why = format!("the lines are not in order of time: line {line} is {} back", names::Seconds(behind));
                findings.cannot(Rule::L2, why);
            }
        }
        self.findings.verdict(self.events, notes)
    }
}
