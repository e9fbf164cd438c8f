//! The lines of each client, in their order: S2, S3, S4, S12, and the spans for the ledger.
//!
//! Memory: one entry per client with the newest [`RECENT`] offsets that it received, one per session, and one small
//! record per span with the offsets of items other than plain comments, which the ledger needs until the audits are
//! read.

use super::log::{LogId, Logs, Seen, Sight};
use super::names::{Map, Name, Names};
use super::spans::{End, Ended, Outage, Span};
use super::verdict::{Findings, Rule};
use crate::history::{Frame, Gap, Welcome, Who};
use std::collections::VecDeque;

/// Offsets that are remembered per client, to distinguish a duplicate (S3) from an item out of order (S4). An older
/// duplicate is reported as out of order, which is true as well.
pub const RECENT: usize = 256;

/// Late deliveries that are kept per span until the faults are known.
const LATE_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
struct CatchUp {
    to: u64,
    asked: u64,
}

#[derive(Debug)]
struct Lifetime {
    client: Name,
    room: Name,
    session: Name,
    log: Option<LogId>,
    position: u64,
    /// Between a welcome and a close.
    is_open: bool,
    catch_up: Option<CatchUp>,
    /// The next frame is the first after a welcome that promised to continue.
    is_first: bool,
    live_since: Option<u64>,
    /// The greatest delivered offset of this log.
    newest: u64,
    recent: VecDeque<u64>,
    span: Span,
    is_slow: bool,
    late: Vec<(u64, u64, u64, u64)>,
    heard: (u64, u64),
    outage: Option<(u64, u64)>,
    likes: u64,
}

#[derive(Debug, Default)]
pub struct Lifetimes {
    all: Vec<Lifetime>,
    by_client: Map<(Name, Name), u32>,
    by_session: Map<Name, u32>,
    last_of: Map<Name, u32>,
    /// Every span that has ended.
    pub ended: Vec<Ended>,
    pub outages: Vec<Outage>,
    /// How long after its acknowledgement an event may be delivered.
    late_ns: u64,
}

/// The context in which a line is judged.
pub struct Here<'a> {
    pub t: u64,
    pub line: u64,
    pub logs: &'a mut Logs,
    pub names: &'a mut Names,
    pub findings: &'a mut Findings,
}

impl Lifetimes {
    /// Without clients. Events may be delivered `late_ns` after their acknowledgement.
    pub fn new(late_ns: u64) -> Self {
        Self { late_ns, ..Self::default() }
    }

    /// The index of the lifetime of an event that names its client, its session or both, and perhaps its room.
    fn find(&mut self, who: &Who<'_>, room: Option<&str>, names: &mut Names) -> usize {
        let session = names.put_some(who.session.as_deref());
        let client = who.client.as_deref().map(|client| names.put(client));
        let room = room.map(|room| names.put(room));
        let known = self.by_session.get(&session).filter(|_| session != Name::NONE).copied();
        let fits = |at: &u32| {
            let lifetime = &self.all[*at as usize];
            room.is_none_or(|room| lifetime.room == room) && client.is_none_or(|client| lifetime.client == client)
        };
        let client = client.unwrap_or(session);
        let of_client = || match room {
            Some(room) => self.by_client.get(&(client, room)).copied(),
            None => self.last_of.get(&client).copied(),
        };
        if let Some(at) = known.filter(fits).or_else(of_client) {
            return at as usize;
        }
        let at = u32::try_from(self.all.len()).expect("fewer than 2^32 clients fit into memory");
        let room = room.unwrap_or(Name::NONE);
        self.all.push(Lifetime {
            client,
            room,
            session: Name::NONE,
            log: None,
            position: 0,
            is_open: false,
            catch_up: None,
            is_first: false,
            live_since: None,
            newest: 0,
            recent: VecDeque::new(),
            span: Span::default(),
            is_slow: false,
            late: Vec::new(),
            heard: (0, 0),
            outage: None,
            likes: 0,
        });
        self.by_client.insert((client, room), at);
        self.last_of.insert(client, at);
        at as usize
    }

    /// The current session of a client, or the client itself if it has none.
    pub fn session_of(&self, client: Name) -> Name {
        let session = self.last_of.get(&client).map(|at| self.all[*at as usize].session);
        session.filter(|session| *session != Name::NONE).unwrap_or(client)
    }

    pub fn welcome(&mut self, welcome: &Welcome<'_>, here: &mut Here<'_>) {
        let at = self.find(&welcome.who, Some(&welcome.room), here.names);
        let (room, epoch) = (here.names.put(&welcome.room), here.names.put(&welcome.epoch));
        let log = here.logs.named(room, epoch, here.t, here.line, true);
        let session = here.names.put_some(welcome.who.session.as_deref());
        if session != Name::NONE {
            self.by_session.insert(session, at as u32);
        }
        self.end_span(at, End::Whole);
        let client = self.all[at].client;
        self.last_of.insert(client, at as u32);
        let lifetime = &mut self.all[at];
        let asked = welcome.started.unwrap_or(here.t);
        lifetime.session = session;
        lifetime.heard = (here.t, here.line);
        (lifetime.is_open, lifetime.catch_up, lifetime.live_since) = (true, None, None);
        let had = lifetime.log.map(|log| (log, lifetime.position));
        lifetime.is_first = welcome.recovered;
        if welcome.recovered {
            lifetime.resume(welcome, log, had, asked, here);
        } else {
            lifetime.position = welcome.last;
        }
        if lifetime.log != Some(log) {
            lifetime.log = Some(log);
            (lifetime.newest, lifetime.likes) = (0, 0);
            lifetime.recent.clear();
        }
        lifetime.begin_span(here.line, false);
        if lifetime.catch_up.is_none() {
            self.is_live(at, here.t);
        }
        for item in &welcome.items {
            let seen = Seen::of(item, here.names);
            here.logs.saw(log, seen, Sight::Asked(asked), here.t, here.line, here.names, here.findings);
        }
        self.ascending(&welcome.items, here);
    }

    /// Judges S4 and S3 inside one answer.
    pub fn ascending(&self, items: &[crate::history::Item<'_>], here: &mut Here<'_>) {
        for pair in items.windows(2) {
            here.findings.checked(Rule::S4);
            let rule = if pair[0].offset == pair[1].offset { Rule::S3 } else { Rule::S4 };
            if pair[0].offset >= pair[1].offset {
                here.findings.wrong(rule, Some(here.line), || {
                    format!("{} stands before {} in one list", pair[0].offset, pair[1].offset)
                });
            }
        }
    }

    /// Notes that a client has caught up.
    fn is_live(&mut self, at: usize, t: u64) {
        let lifetime = &mut self.all[at];
        lifetime.live_since.get_or_insert(t);
        if let Some((from, line)) = lifetime.outage.take() {
            self.outages.push(Outage { client: lifetime.client, from, to: Some(t), line });
        }
    }

    /// Takes a `live` event.
    pub fn says_live(&mut self, who: &Who<'_>, room: Option<&str>, here: &mut Here<'_>) {
        let at = self.find(who, room, here.names);
        let lifetime = &mut self.all[at];
        if let Some((from, line)) = lifetime.outage.take() {
            self.outages.push(Outage { client: lifetime.client, from, to: Some(here.t), line });
        }
    }

    /// Takes an `attempt` event.
    pub fn attempt(&mut self, who: &Who<'_>, room: Option<&str>, here: &mut Here<'_>) {
        let at = self.find(who, room, here.names);
        let lifetime = &mut self.all[at];
        if !lifetime.is_open {
            lifetime.outage.get_or_insert((here.t, here.line));
        }
    }

    pub fn close(&mut self, who: &Who<'_>, room: Option<&str>, code: u64, here: &mut Here<'_>) {
        let at = self.find(who, room, here.names);
        if self.all[at].is_open {
            self.all[at].heard = (here.t, here.line);
        }
        self.end_span(at, if code == 4_001 { End::Slow } else { End::Whole });
        let lifetime = &mut self.all[at];
        lifetime.is_open = false;
        let comes_back = !matches!(code, 1_000 | 1_001 | 4_500..=4_999);
        if !comes_back {
            lifetime.outage = None;
        } else if lifetime.session != Name::NONE || lifetime.log.is_some() {
            lifetime.outage.get_or_insert((here.t, here.line));
        }
    }

    /// Takes a `gap`: S2, S12.
    pub fn gap(&mut self, gap: &Gap<'_>, here: &mut Here<'_>) {
        let at = self.find(&gap.who, gap.room.as_deref(), here.names);
        self.all[at].must_be_open(&gap.who, here);
        here.findings.checked(Rule::S2);
        let lifetime = &mut self.all[at];
        let (position, name) = (lifetime.position, here.names.get(lifetime.client));
        if let Some(catch_up) = lifetime.catch_up {
            here.findings.wrong(Rule::S12, Some(here.line), || {
                format!("{name} was promised everything up to {}, and gets a gap {}–{}", catch_up.to, gap.from, gap.to)
            });
        } else if gap.from != position || gap.to < gap.from {
            here.findings.wrong(Rule::S2, Some(here.line), || {
                format!("a gap {}–{} for {name}, which is at {position}", gap.from, gap.to)
            });
        }
        lifetime.heard = (here.t, here.line);
        lifetime.is_first = false;
        self.end_span(at, End::Slow);
        let lifetime = &mut self.all[at];
        lifetime.position = lifetime.position.max(gap.to);
        lifetime.begin_span(here.line, true);
        if lifetime.catch_up.is_some_and(|catch_up| catch_up.to <= lifetime.position) {
            lifetime.catch_up = None;
            self.is_live(at, here.t);
        }
    }

    /// Takes a `frame`: S2, S3, S4, S12, and the facts for S1, S6, S11, S13, S14 and L2.
    pub fn frame(&mut self, frame: &Frame<'_>, here: &mut Here<'_>) {
        let at = self.find(&frame.who, frame.room.as_deref(), here.names);
        self.all[at].must_be_open(&frame.who, here);
        if self.all[at].log.is_none() {
            return; // The log of this frame is unknown, which has been reported.
        }
        let counts = self.all[at].continues(frame, here);
        if counts == Counted::Anew {
            // Counts across a break cannot be added up, so the ledger begins a new span here.
            self.end_span(at, End::Slow);
            self.all[at].position = frame.prev;
            self.all[at].begin_span(here.line, true);
        }
        let late_ns = self.late_ns;
        let lifetime = &mut self.all[at];
        lifetime.heard = (here.t, here.line);
        let Some(log) = lifetime.log else { return };
        let place = lifetime.catch_up.map_or(Sight::Live, |catch_up| Sight::Resume(catch_up.asked));
        for item in &frame.items {
            let seen = Seen::of(item, here.names);
            let ack_t = here.logs.saw(log, seen, place, here.t, here.line, here.names, here.findings);
            let is_new = lifetime.arrives(frame, seen.offset, here);
            if is_new && counts != Counted::Not {
                lifetime.span.count(&seen, item.times.max(1));
            }
            if is_new
                && ack_t != u64::MAX
                && let Some(since) = lifetime.live_since.filter(|_| !lifetime.is_slow)
            {
                here.findings.checked(Rule::L2);
                let due_from = ack_t.max(since);
                if here.t > due_from + late_ns && lifetime.late.len() < LATE_MAX {
                    lifetime.late.push((seen.offset, due_from, here.t, here.line));
                }
            }
        }
        if counts != Counted::Not {
            lifetime.span.comments += frame.raises.iter().map(|(_, by)| by).sum::<u64>();
            for (class, n) in &frame.shed {
                match &**class {
                    "guaranteed" | "normal" | "low" | crate::history::COMMENT => lifetime.span.shed += n,
                    kind => lifetime.span.other(here.names.put(kind), *n),
                }
            }
            (lifetime.span.to, lifetime.span.to_line, lifetime.span.to_t) = (frame.last, here.line, here.t);
        }
        lifetime.position = lifetime.position.max(frame.last);
        if lifetime.catch_up.is_some_and(|catch_up| catch_up.to <= lifetime.position) {
            lifetime.catch_up = None;
            self.is_live(at, here.t);
        }
        if counts == Counted::Not {
            self.end_span(at, End::Slow);
            self.all[at].begin_span(here.line, true);
        }
        if let Some(digest) = frame.digest.as_deref() {
            let digest = here.names.put(digest);
            here.logs.digest(log, frame.last, digest, here.line, here.names, here.findings);
        }
    }

    /// Takes a total of likes that a client saw. Returns the total before it in the same log, and the log.
    pub fn likes(&mut self, who: &Who<'_>, room: Option<&str>, total: u64, names: &mut Names) -> (u64, Name) {
        let at = self.find(who, room, names);
        let lifetime = &mut self.all[at];
        let before = lifetime.likes;
        lifetime.likes = before.max(total);
        (before, lifetime.room)
    }

    fn end_span(&mut self, at: usize, end: End) {
        let lifetime = &mut self.all[at];
        let Some(log) = lifetime.log.filter(|_| lifetime.is_open) else { return };
        let (span, late) = (std::mem::take(&mut lifetime.span), std::mem::take(&mut lifetime.late));
        let (t, line) = lifetime.heard;
        let keeps_up = end == End::Whole && !lifetime.is_slow;
        let live = lifetime.live_since.filter(|_| keeps_up).map(|since| (since, t, line));
        if span.to > span.from || live.is_some() {
            self.ended.push(Ended { client: lifetime.client, log, span, live, late });
        }
    }

    pub fn finish(&mut self) {
        for at in 0..self.all.len() {
            self.end_span(at, End::Whole);
            let lifetime = &mut self.all[at];
            lifetime.is_open = false;
            if let Some((from, line)) = lifetime.outage.take() {
                self.outages.push(Outage { client: lifetime.client, from, to: None, line });
            }
        }
    }
}

/// How a frame counts in the ledger.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    On,
    /// It begins a new span, because events before it are missing.
    Anew,
    /// The client already has it, or a part of it.
    Not,
}

impl Lifetime {
    fn begin_span(&mut self, line: u64, is_slow: bool) {
        self.span = Span { from: self.position, to: self.position, from_line: line, ..Span::default() };
        self.is_slow = is_slow;
        self.late.clear();
    }

    /// S2: a client without a welcome receives nothing.
    fn must_be_open(&mut self, who: &Who<'_>, here: &mut Here<'_>) {
        let session = here.names.put_some(who.session.as_deref());
        let is_other = session != Name::NONE && self.session != Name::NONE && session != self.session;
        if self.is_open && !is_other {
            return;
        }
        let name = here.names.get(self.client);
        let state = if self.is_open { "in another session than it was welcomed to" } else { "without a welcome" };
        here.findings.wrong(Rule::S2, Some(here.line), || format!("{name} is sent something {state}"));
        if !self.is_open {
            self.begin_span(here.line, true);
        }
        self.is_open = true;
        self.session = session;
    }

    /// S12: judges a welcome that promises everything after the client's position.
    fn resume(
        &mut self,
        welcome: &Welcome<'_>,
        log: LogId,
        had: Option<(LogId, u64)>,
        asked: u64,
        here: &mut Here<'_>,
    ) {
        here.findings.checked(Rule::S12);
        let name = here.names.get(self.client);
        let mut lies = |why: String| {
            here.findings.wrong(Rule::S12, Some(here.line), || format!("{name} is told `recovered`, but {why}"));
        };
        let position = match (had, welcome.after) {
            (Some((had, _)), _) if had != log => {
                lies("it was in another epoch".into());
                welcome.last
            }
            (Some((_, position)), _) | (None, Some(position)) => position,
            (None, None) => {
                lies("it had no position".into());
                welcome.last
            }
        };
        if position > welcome.last {
            lies(format!("it is at {position} and the room at {}", welcome.last));
        }
        self.position = position;
        self.catch_up = (position < welcome.last).then_some(CatchUp { to: welcome.last, asked });
    }

    /// S2 and S12: the frame continues the position.
    fn continues(&mut self, frame: &Frame<'_>, here: &mut Here<'_>) -> Counted {
        here.findings.checked(Rule::S2);
        let (client, position) = (here.names.get(self.client), self.position);
        if frame.last < frame.prev {
            here.findings
                .wrong(Rule::S2, Some(here.line), || format!("a frame {}–{} for {client}", frame.prev, frame.last));
        }
        let is_first = std::mem::take(&mut self.is_first);
        if frame.prev == position {
            return Counted::On;
        }
        let (prev, last) = (frame.prev, frame.last);
        if is_first || self.catch_up.is_some() {
            let which = if is_first { "first" } else { "next" };
            here.findings.wrong(Rule::S12, Some(here.line), || {
                format!("{client} resumes at {position}, but the {which} frame is {prev}–{last}")
            });
        } else {
            here.findings.wrong(Rule::S2, Some(here.line), || {
                format!("a frame {prev}–{last} for {client}, which is at {position}")
            });
        }
        if prev > position { Counted::Anew } else { Counted::Not }
    }

    /// Judges S3 and S4, and that the item is inside its frame (S2). Returns whether it is the client's first receipt
    /// of it.
    fn arrives(&mut self, frame: &Frame<'_>, offset: u64, here: &mut Here<'_>) -> bool {
        here.findings.checked(Rule::S3);
        here.findings.checked(Rule::S4);
        let client = here.names.get(self.client);
        if offset <= frame.prev || offset > frame.last {
            here.findings.wrong(Rule::S2, Some(here.line), || {
                format!("{offset} in the frame {}–{} for {client}", frame.prev, frame.last)
            });
        }
        let is_again = offset <= self.newest && self.recent.contains(&offset);
        if is_again {
            here.findings.wrong(Rule::S3, Some(here.line), || format!("{client} is sent {offset} again"));
            return false;
        }
        if offset <= self.newest {
            let newest = self.newest;
            here.findings
                .wrong(Rule::S4, Some(here.line), || format!("{client} is sent {offset} after it was sent {newest}"));
        }
        self.newest = self.newest.max(offset);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(offset);
        true
    }
}
