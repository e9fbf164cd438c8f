//! The rules by number, the findings for each, and their presentation.
//!
//! Does not know: how violations are found.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

/// Violations that are shown per rule; further ones are only counted.
pub const EXAMPLES_MAX: usize = 5;
const TABLE_WIDTH: u16 = 120;

macro_rules! rules {
    ($($rule:ident $name:literal, $idle:literal;)*) => {
        /// The rules that must always hold: `S…` for safety, `L…` for liveness.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "`name` says it")]
        pub enum Rule { $($rule,)* }

        impl Rule {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$rule),*];
            pub const fn number(self) -> &'static str { match self { $(Self::$rule => stringify!($rule),)* } }
            pub const fn name(self) -> &'static str { match self { $(Self::$rule => $name,)* } }
            /// The default reason why nothing was checked.
            const fn idle(self) -> &'static str { match self { $(Self::$rule => $idle,)* } }
        }
    };
}

rules! {
    S1 "agreement", "no item was seen";
    S2 "continuity", "no `frame` or `gap` in it";
    S3 "no duplicate", "no delivered item in it";
    S4 "order", "no item in it";
    S5 "acknowledged means kept", "no `ok` with an `audit` of its room";
    S6 "nothing invented", "no comment was seen";
    S7 "retries are harmless", "no comment with an id was seen";
    S8 "real time", "no `send` after an `ok` in the same room, or the offsets of such sends are unknown";
    S9 "per author order", "no two sends of one `session` or `client` whose offsets are known";
    S10 "epoch", "no epoch was seen";
    S11 "digest", "no two digests at the same position";
    S12 "honest resume", "no `welcome` with `recovered:true`";
    S13 "the ledger", "no span with an `audit` of its room";
    S14 "guaranteed lane", "no guaranteed event in an `audit`";
    S15 "deletions", "no `deleted` in it";
    S16 "likes", "no `likes`, `like_ok` or `like_unknown` in it";
    S17 "rate limit", "the rate is not known: give --rate PER_S,BURST";
    S18 "rights", "no `expired` or `revoked` in it (needs tokens)";
    L1 "live after faults", "no `close` after which a client comes back";
    L2 "delivered in time", "no acknowledged comment was delivered, outside of faults and gaps";
    L3 "resources return", "a history shows no descriptors, tasks or rooms: watch the server's own figures";
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The line, from 1; none if the violation is an absence.
    pub line: Option<u64>,
    pub text: String,
}

/// The findings for one rule.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// The number of checked facts.
    pub checked: u64,
    /// How many of these violate the rule.
    pub violations: u64,
    /// The first ones.
    pub examples: Vec<Example>,
    /// Why it could not be checked.
    pub why_not: Option<String>,
}

/// The findings so far.
#[derive(Debug)]
pub struct Findings(Vec<Finding>);

impl Default for Findings {
    fn default() -> Self {
        Self(vec![Finding::default(); Rule::ALL.len()])
    }
}

impl Findings {
    /// Counts one more checked fact.
    pub fn checked(&mut self, rule: Rule) {
        self.0[rule as usize].checked += 1;
    }

    /// Counts a violation. `text` is called only for examples that are shown.
    pub fn wrong(&mut self, rule: Rule, line: Option<u64>, text: impl FnOnce() -> String) {
        let finding = &mut self.0[rule as usize];
        finding.violations += 1;
        // Violations come in order of lines while reading and by room at the end; the examples with the earliest lines
        // are kept.
        let at = finding.examples.partition_point(|e| e.line.unwrap_or(u64::MAX) <= line.unwrap_or(u64::MAX));
        if at < EXAMPLES_MAX {
            finding.examples.insert(at, Example { line, text: text() });
            finding.examples.truncate(EXAMPLES_MAX);
        }
    }

    /// Notes why the rule cannot be checked.
    pub fn cannot(&mut self, rule: Rule, why: impl Into<String>) {
        self.0[rule as usize].why_not = Some(why.into());
    }

    /// As [`Self::cannot`], if nothing was checked.
    pub fn cannot_if_idle(&mut self, rule: Rule, why: &str) {
        if self.0[rule as usize].checked == 0 {
            self.cannot(rule, why);
        }
    }

    /// Ends with the findings of every rule.
    pub fn verdict(self, lines: u64, notes: Vec<String>) -> Verdict {
        let rules = Rule::ALL.iter().zip(self.0).map(|(rule, mut finding)| {
            if finding.checked == 0 && finding.violations == 0 && finding.why_not.is_none() {
                finding.why_not = Some(rule.idle().into());
            }
            (*rule, finding)
        });
        Verdict { rules: rules.collect(), lines, notes }
    }
}

#[derive(Debug)]
pub struct Verdict {
    /// Every rule, in order.
    pub rules: Vec<(Rule, Finding)>,
    pub lines: u64,
    /// Further notes, one line each.
    pub notes: Vec<String>,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.rules.iter().all(|(_, finding)| finding.violations == 0)
    }

    pub fn violated(&self) -> Vec<Rule> {
        self.rules.iter().filter(|(_, finding)| finding.violations > 0).map(|(rule, _)| *rule).collect()
    }

    /// The findings for `rule`.
    pub fn of(&self, rule: Rule) -> &Finding {
        let found = self.rules.iter().find(|(of, _)| *of == rule);
        &found.expect("every rule has its finding").1
    }

    /// A table for people: the violations if there are any, otherwise every rule with its number of checks; in any case
    /// the rules that were not checked.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
        let mut unchecked = String::new();
        for (rule, finding) in &self.rules {
            let said = match &finding.why_not {
                _ if finding.violations > 0 => {
                    let (shown, all) = (finding.examples.len() as u64, finding.violations);
                    let more = if shown < all { format!("\n… and {} more", all - shown) } else { String::new() };
                    let examples = finding.examples.iter().map(|example| match example.line {
                        Some(line) => format!("line {line}: {}", example.text),
                        None => example.text.clone(),
                    });
                    format!("{all} violations\n{}{more}", examples.collect::<Vec<_>>().join("\n"))
                }
                Some(why) => format!("not checkable: {why}"),
                None => format!("ok ({} checked)", finding.checked),
            };
            if finding.violations > 0 || self.is_good() {
                table.add_row([rule.number(), rule.name(), &said]);
            } else if let Some(why) = &finding.why_not {
                unchecked.push_str(&format!("not checkable: {} {}: {why}\n", rule.number(), rule.name()));
            }
        }
        let mut out = format!("{table}\n{unchecked}");
        for note in &self.notes {
            out.push_str(&format!("note: {note}\n"));
        }
        let violations: u64 = self.rules.iter().map(|(_, finding)| finding.violations).sum();
        out.push_str(&match violations {
            0 => format!("good: no violation in {} events\n", self.lines),
            _ => format!("VIOLATED: {violations} violations in {} events\n", self.lines),
        });
        out
    }

    pub fn json(&self) -> Value {
        let rules = self.rules.iter().map(|(rule, finding)| {
            json!({
                "rule": rule.number(),
                "name": rule.name(),
                "checked": finding.checked,
                "violations": finding.violations,
                "examples": finding.examples.iter().map(|e| json!({ "line": e.line, "text": e.text })).collect::<Vec<_>>(),
                "not_checkable": finding.why_not.as_deref().filter(|_| finding.violations == 0),
            })
        });
        json!({ "good": self.is_good(), "events": self.lines, "rules": rules.collect::<Vec<_>>(), "notes": self.notes })
    }
}
