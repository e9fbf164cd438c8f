//! The nodes' logs at the end of a history, and the rules that need them: S5, S13, S14, S15, and S1 for absent events.
//!
//! Memory: 32 bytes per event and node, a small record per page.

use super::faults::Faults;
use super::lifetimes::Here;
use super::log::{LogId, Logs, Seen, Sight};
use super::names::{Map, Name, Names};
use super::sends::{Acked, Said, Sends};
use super::spans::Ended;
use super::verdict::{Findings, Rule};
use crate::history;
use std::collections::HashSet;

#[derive(Debug)]
struct ReadLedger {
    node: Name,
    log: LogId,
    first: u64,
    last: u64,
    t: u64,
    line: u64,
    items: Vec<Seen>,
    goes_on: bool,
}

/// A page of the history API: all events after `after` up to `to`.
#[derive(Clone, Copy, Debug)]
struct ReadPage {
    node: Name,
    log: LogId,
    after: u64,
    to: u64,
    comments: u64,
    t: u64,
    line: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Deletion {
    room: Name,
    epoch: Option<Name>,
    offset: u64,
    t: u64,
    line: u64,
}

#[derive(Debug, Default)]
pub struct Audits {
    /// The newest log of each node.
    all: Vec<ReadLedger>,
    by_name: Map<(Name, LogId), usize>,
    pages: Vec<ReadPage>,
    deletions: Vec<Deletion>,
}

/// An audit, prepared for counting.
struct Ledger<'a> {
    audit: &'a ReadLedger,
    items: Vec<Seen>,
    offsets: Vec<u64>,
    /// Number of comments up to and including each item.
    comments: Vec<u64>,
    /// Offsets of the guaranteed events.
    guaranteed: Vec<u64>,
    others: Map<Name, Vec<u64>>,
}

impl<'a> Ledger<'a> {
    fn new(audit: &'a ReadLedger, guaranteed_lane: Option<Name>) -> Self {
        let mut items = audit.items.clone();
        items.sort_by_key(|item| item.offset);
        items.dedup_by_key(|item| item.offset);
        let mut comments = 0;
        // The second record of a comment that is in the log twice is void: no client sees it, and it is not counted.
        let mut known: HashSet<(Name, Name)> = HashSet::new();
        let mut ledger = Self {
            audit,
            items: Vec::new(),
            offsets: items.iter().map(|item| item.offset).collect(),
            comments: Vec::with_capacity(items.len()),
            guaranteed: Vec::new(),
            others: Map::default(),
        };
        for item in &items {
            if item.is_comment() {
                let is_void = item.id != Name::NONE && !known.insert((item.author, item.id));
                comments += u64::from(!is_void);
            } else {
                ledger.others.entry(item.kind).or_default().push(item.offset);
            }
            if item.lane != Name::NONE && Some(item.lane) == guaranteed_lane {
                ledger.guaranteed.push(item.offset);
            }
            ledger.comments.push(comments);
        }
        ledger.items = items;
        ledger
    }

    /// Number of items up to and including `offset`.
    fn upto(&self, offset: u64) -> usize {
        self.offsets.partition_point(|at| *at <= offset)
    }

    fn comments(&self, from: u64, to: u64) -> u64 {
        let upto = |offset| self.upto(offset).checked_sub(1).map_or(0, |at| self.comments[at]);
        upto(to) - upto(from.min(to))
    }

    fn guaranteed(&self, from: u64, to: u64) -> &[u64] {
        let upto = |offset| self.guaranteed.partition_point(|at| *at <= offset);
        &self.guaranteed[upto(from.min(to))..upto(to)]
    }

    fn others(&self, kind: Name, from: u64, to: u64) -> u64 {
        let Some(offsets) = self.others.get(&kind) else { return 0 };
        let upto = |offset| offsets.partition_point(|at| *at <= offset);
        (upto(to) - upto(from.min(to))) as u64
    }

    /// Whether it covers a stretch that was seen at `t`.
    fn covers(&self, from: u64, to: u64, t: u64) -> bool {
        from + 1 >= self.audit.first && (to <= self.audit.last || t <= self.audit.t)
    }
}

impl Audits {
    /// Takes a node's log, or the next part of it.
    pub fn audit(&mut self, audit: &history::Audit<'_>, here: &mut Here<'_>) {
        let (node, room, epoch) =
            (here.names.put(&audit.node), here.names.put(&audit.room), here.names.put(&audit.epoch));
        let log = here.logs.named(room, epoch, here.t, here.line, true);
        let at = *self.by_name.entry((node, log)).or_insert(self.all.len());
        let (t, line) = (here.t, here.line);
        if at == self.all.len() {
            self.all.push(ReadLedger { node, log, first: 0, last: 0, t, line, items: Vec::new(), goes_on: false });
        }
        let known = &mut self.all[at];
        if !known.goes_on {
            (known.first, known.last) = (0, 0);
            known.items.clear();
        }
        known.first = known.first.max(audit.first.unwrap_or(0));
        (known.t, known.line, known.goes_on) = (here.t, here.line, audit.more);
        for item in &audit.items {
            let seen = Seen::of(item, here.names);
            here.logs.saw(log, seen, Sight::Audit, here.t, here.line, here.names, here.findings);
            here.findings.checked(Rule::S4);
            if let Some(before) = known.items.last().filter(|before| before.offset >= seen.offset) {
                let rule = if before.offset == seen.offset { Rule::S3 } else { Rule::S4 };
                here.findings.wrong(rule, Some(here.line), || {
                    format!("{}'s log holds {} after {}", here.names.get(node), seen.offset, before.offset)
                });
            }
            known.last = known.last.max(seen.offset);
            known.items.push(seen);
        }
        known.last = known.last.max(audit.last.unwrap_or(0));
        if let (Some(digest), Some(last)) = (audit.digest.as_deref(), audit.last) {
            let digest = here.names.put(digest);
            here.logs.digest(log, last, digest, here.line, here.names, here.findings);
        }
    }

    /// Takes a page of the history API.
    pub fn page(&mut self, page: &history::Page<'_>, here: &mut Here<'_>) {
        let (node, room) = (here.names.put(&page.node), here.names.put(&page.room));
        let log = match page.epoch.as_deref() {
            Some(epoch) => {
                let epoch = here.names.put(epoch);
                Some(here.logs.named(room, epoch, here.t, here.line, true))
            }
            None => here.logs.newest(room),
        };
        let Some(log) = log else { return };
        let asked = page.started.unwrap_or(here.t);
        let mut comments = 0;
        for item in &page.items {
            let seen = Seen::of(item, here.names);
            comments += u64::from(seen.is_comment());
            here.logs.saw(log, seen, Sight::Asked(asked), here.t, here.line, here.names, here.findings);
        }
        let to = page.items.iter().map(|item| item.offset).max().unwrap_or(page.after);
        if let Some(first) = page.items.first().filter(|item| item.offset <= page.after) {
            here.findings.wrong(Rule::S2, Some(here.line), || {
                format!("the page after {} begins with {}", page.after, first.offset)
            });
        }
        self.pages.push(ReadPage { node, log, after: page.after, to, comments, t: here.t, line: here.line });
    }

    pub fn deleted(&mut self, deleted: &history::Deleted<'_>, here: &mut Here<'_>) {
        let room = here.names.put(&deleted.room);
        let epoch = deleted.epoch.as_deref().map(|epoch| here.names.put(epoch));
        self.deletions.push(Deletion { room, epoch, offset: deleted.offset, t: here.t, line: here.line });
    }

    /// Judges S1 (absence), S5, S13, S14 and S15. Returns notes for the verdict.
    pub fn judge(
        &self,
        logs: &Logs,
        sends: &Sends,
        ended: &[Ended],
        faults: &Faults,
        names: &mut Names,
        findings: &mut Findings,
    ) -> Vec<String> {
        let deleted = self.deletions(logs, names, findings);
        let lane = Some(names.put("guaranteed"));
        let names = &*names;
        let ledgers: Vec<Ledger<'_>> = self.all.iter().map(|audit| Ledger::new(audit, lane)).collect();
        let mut by_log: Map<LogId, Vec<&Ledger<'_>>> = Map::default();
        for ledger in &ledgers {
            by_log.entry(ledger.audit.log).or_default().push(ledger);
        }
        let notes = self.kept(logs, sends, &by_log, &deleted, faults, names, findings);
        for (log, ledgers) in &by_log {
            nothing_is_absent(logs, *log, ledgers, &deleted, names, findings);
        }
        // For counting, all nodes together are the truth; S1 has reported where one differs.
        let joined: Vec<ReadLedger> = by_log.values().filter_map(|ledgers| join(ledgers)).collect();
        let joined: Vec<Ledger<'_>> = joined.iter().map(|audit| Ledger::new(audit, lane)).collect();
        let mut whole: Map<LogId, &Ledger<'_>> = by_log.iter().map(|(log, ledgers)| (*log, ledgers[0])).collect();
        whole.extend(joined.iter().map(|ledger| (ledger.audit.log, ledger)));
        for page in &self.pages {
            let Some(ledger) = whole.get(&page.log).filter(|l| l.covers(page.after, page.to, page.t)) else {
                continue;
            };
            findings.checked(Rule::S1);
            let all = ledger.comments(page.after, page.to);
            if page.comments != all {
                findings.wrong(Rule::S1, Some(page.line), || {
                    let (node, audited) = (names.get(page.node), names.get(ledger.audit.node));
                    let ReadPage { after, to, comments, .. } = page;
                    format!("a page of {node} after {after} up to {to}: {comments} comments; {audited} holds {all}")
                });
            }
        }
        for span in ended.iter().filter(|ended| ended.span.to > ended.span.from) {
            let Some(ledger) = whole.get(&span.log) else { continue };
            if ledger.covers(span.span.from, span.span.to, span.span.to_t) {
                judge_span(span, ledger, &deleted, names, findings);
            }
        }
        notes
    }

    /// Judges S15, and returns the offsets that may be absent.
    fn deletions(&self, logs: &Logs, names: &Names, findings: &mut Findings) -> HashSet<(LogId, u64)> {
        let mut deleted = HashSet::new();
        for deletion in &self.deletions {
            findings.checked(Rule::S15);
            for (id, log) in logs.iter() {
                if log.room != deletion.room || deletion.epoch.is_some_and(|epoch| epoch != log.epoch) {
                    continue;
                }
                deleted.insert((id, deletion.offset));
                let shown = log.at(deletion.offset).map(|version| version.asked).max();
                if let Some((_, line)) = shown.filter(|(asked, _)| *asked > deletion.t) {
                    findings.wrong(Rule::S15, Some(line), || {
                        let (offset, room) = (deletion.offset, names.get(log.room));
                        format!("{offset} of {room} is shown here; it was deleted in line {}", deletion.line)
                    });
                }
            }
        }
        deleted
    }

    /// S5.
    #[expect(clippy::too_many_arguments, reason = "one pass over everything that is known")]
    fn kept(
        &self,
        logs: &Logs,
        sends: &Sends,
        by_log: &Map<LogId, Vec<&Ledger<'_>>>,
        deleted: &HashSet<(LogId, u64)>,
        faults: &Faults,
        names: &Names,
        findings: &mut Findings,
    ) -> Vec<String> {
        let mut excused = 0;
        for ack in &sends.acked {
            let said = &sends.said[ack.said as usize];
            if deleted.contains(&(ack.log, ack.offset)) {
                continue;
            }
            let mut lost = |ledger: &Ledger<'_>, there: String| {
                findings.wrong(Rule::S5, Some(ack.line), || {
                    let (id, author, room) = (names.get(said.id), names.get(said.author), names.get(said.room));
                    let node = names.get(ledger.audit.node);
                    format!("{id} of {author} is acknowledged at {} of {room}; {node}'s log holds {there}", ack.offset)
                });
            };
            let mut was_audited = false;
            for ledger in by_log.get(&ack.log).into_iter().flatten() {
                if ack.offset < ledger.audit.first || ack.t > ledger.audit.t {
                    continue;
                }
                was_audited = true;
                match ledger.offsets.binary_search(&ack.offset) {
                    Ok(at) if is_it(&ledger.items[at], said) => {}
                    Ok(at) => lost(ledger, format!("{} there", ledger.items[at].say(names))),
                    Err(_) => lost(ledger, "nothing there".into()),
                }
            }
            if !was_audited && let Some(later) = later_epoch(logs, by_log, ack) {
                was_audited = true;
                let log = logs.get(later.audit.log);
                let moved = log.offset_of(said.author, said.id);
                let is_kept =
                    ack.offset < later.audit.first || moved.is_some_and(|at| later.offsets.binary_search(&at).is_ok());
                if !is_kept && faults.may_have_lost(ack.t) {
                    excused += 1;
                } else if !is_kept {
                    lost(later, format!("it nowhere in epoch {}", names.get(log.epoch)));
                }
            }
            if was_audited {
                findings.checked(Rule::S5);
            }
        }
        let note =
            format!("{excused} acknowledged comments are gone with a log that a fault damaged, which is excused");
        if excused > 0 { vec![note] } else { Vec::new() }
    }
}

/// The logs of several nodes as one.
fn join(ledgers: &[&Ledger<'_>]) -> Option<ReadLedger> {
    let (first, rest) = ledgers.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let ReadLedger { node, log, first, last, t, line, .. } = *first.audit;
    let mut joined = ReadLedger { node, log, first, last, t, line, items: ledgers[0].items.clone(), goes_on: false };
    for ledger in rest {
        joined.first = joined.first.min(ledger.audit.first);
        joined.last = joined.last.max(ledger.audit.last);
        joined.t = joined.t.max(ledger.audit.t);
        joined.items.extend_from_slice(&ledger.items);
    }
    Some(joined)
}

fn is_it(item: &Seen, said: &Said) -> bool {
    (item.author, item.id, item.hash) == (said.author, said.id, said.hash)
}

/// An audit of the same room in a later epoch.
fn later_epoch<'a>(logs: &Logs, by_log: &Map<LogId, Vec<&'a Ledger<'a>>>, ack: &Acked) -> Option<&'a Ledger<'a>> {
    let log = logs.get(ack.log);
    let later = by_log.iter().filter(|(id, _)| {
        let other = logs.get(**id);
        other.room == log.room && other.epoch != log.epoch && other.first > log.first
    });
    later.flat_map(|(_, ledgers)| ledgers).copied().max_by_key(|ledger| ledger.audit.t)
}

/// S1: every event that any client saw is in every node's log.
fn nothing_is_absent(
    logs: &Logs,
    log: LogId,
    ledgers: &[&Ledger<'_>],
    deleted: &HashSet<(LogId, u64)>,
    names: &Names,
    findings: &mut Findings,
) {
    for version in &logs.get(log).versions {
        let offset = version.seen.offset;
        if !version.was_shown && ledgers.len() == 1 || deleted.contains(&(log, offset)) {
            continue;
        }
        for ledger in ledgers {
            let is_later = version.first_t > ledger.audit.t && offset > ledger.audit.last;
            if offset < ledger.audit.first || is_later || ledger.offsets.binary_search(&offset).is_ok() {
                continue;
            }
            findings.wrong(Rule::S1, Some(version.line), || {
                let (node, room) = (names.get(ledger.audit.node), names.get(logs.get(log).room));
                let seen = version.seen.say(names);
                format!(
                    "{seen} is seen at {offset} of {room}; {node}'s log holds nothing there (line {})",
                    ledger.audit.line
                )
            });
        }
    }
}

/// Kinds that no frame shows as items: totals and tallies count them.
const IN_TOTALS: [&str; 2] = ["likes", "votes"];

/// S13 and S14.
fn judge_span(
    ended: &Ended,
    ledger: &Ledger<'_>,
    deleted: &HashSet<(LogId, u64)>,
    names: &Names,
    findings: &mut Findings,
) {
    let (span, client) = (&ended.span, names.get(ended.client));
    let (from, to) = (span.from, span.to);
    findings.checked(Rule::S13);
    let mut balance = |kind: &str, accounted: u64, all: u64| {
        if accounted != all {
            findings.wrong(Rule::S13, Some(span.to_line), || {
                format!(
                    "{client}, span {from}–{to} from line {}: {accounted} {kind} delivered or shed; the log has {all}",
                    span.from_line
                )
            });
        }
    };
    balance("comments", span.comments + span.shed, ledger.comments(from, to));
    for (kind, accounted) in &span.others {
        balance(names.get(*kind), *accounted, ledger.others(*kind, from, to));
    }
    let untold = ledger.others.keys().filter(|kind| span.others.iter().all(|(told, _)| told != *kind));
    for kind in untold.filter(|kind| !IN_TOTALS.contains(&names.get(**kind))) {
        balance(names.get(*kind), 0, ledger.others(*kind, from, to));
    }
    let guaranteed = ledger.guaranteed(from, to);
    if guaranteed.is_empty() {
        return;
    }
    findings.checked(Rule::S14);
    let delivered: HashSet<u64> = span.special.iter().copied().collect();
    // A deleted event may be absent.
    let lost = |offset: &&u64| !delivered.contains(offset) && !deleted.contains(&(ended.log, **offset));
    if let Some(first) = guaranteed.iter().find(lost) {
        findings.wrong(Rule::S14, Some(span.to_line), || {
            let count = guaranteed.iter().filter(lost).count();
            format!(
                "{client}, span {from}–{to} from line {}: {count} of {} guaranteed events are not delivered, the first at {first}",
                span.from_line,
                guaranteed.len()
            )
        });
    }
}
