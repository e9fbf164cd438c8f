//! Limits of clients: the rate of comments (S17), and the end of their tokens (S18).
//!
//! Memory: S17 sorts the acknowledgements of one author at a time; S18 keeps four numbers per session.

use super::names::{Map, Name, Names, Seconds};
use super::sends::{Acked, Sends};
use super::verdict::{Findings, Rule};

/// How long after its end a token may still be accepted.
pub const GRACE_NS: u64 = 1_000_000_000;

/// The server's configured rate limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_s: f64,
    pub burst: f64,
}

impl std::str::FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
        let (per_s, burst) = text.split_once(',').ok_or("give PER_S,BURST, such as 2,5")?;
        match (parse(per_s), parse(burst)) {
            (Some(per_s), Some(burst)) => Ok(Self { per_s, burst }),
            _ => Err("give two numbers above 0, such as 2,5".into()),
        }
    }
}

/// S17. The server accepted a comment at a time between its send and its answer. So a window is too full only if it
/// contains both the send and the answer of more comments than the rate allows. The search is exact: for the answers in
/// order of time, it finds the fullest window that begins with any send.
pub fn judge_rate(rate: Rate, sends: &Sends, names: &Names, findings: &mut Findings) {
    // A retry that is answered again was accepted once.
    let mut first: Map<(Name, Name, Name), &Acked> = Map::default();
    for ack in &sends.acked {
        let said = &sends.said[ack.said as usize];
        first.entry((said.room, said.author, said.id)).or_insert(ack);
    }
    let mut authors: Map<Name, Vec<&Acked>> = Map::default();
    for ((_, author, _), ack) in first {
        authors.entry(author).or_default().push(ack);
    }
    for (author, mut acks) in authors {
        acks.sort_unstable_by_key(|ack| (ack.sent_t, ack.line));
        let per_ns = rate.per_s / 1e9;
        let begin = acks[0].sent_t;
        let mut fullest = Fullest::new(acks.iter().map(|ack| per_ns * (ack.sent_t - begin) as f64));
        let mut order: Vec<usize> = (0..acks.len()).collect();
        order.sort_unstable_by_key(|at| (acks[*at].t, acks[*at].line));
        for at in order {
            let ack = acks[at];
            fullest.add_upto(at);
            findings.checked(Rule::S17);
            let over = fullest.most() - per_ns * (ack.t - begin) as f64 - rate.burst - 1.0;
            if over > 1e-6 {
                findings.wrong(Rule::S17, Some(ack.line), || {
                    let name = names.get(author);
                    format!(
                        "{over:.1} comments of {name} too many are accepted in some window up to {}",
                        Seconds(ack.t)
                    )
                });
            }
        }
    }
}

/// Windows by their beginnings, as a tree: it can add one to all windows up to a place, and find the fullest. A window
/// counts once the comment at its beginning is answered.
struct Fullest {
    leaves: usize,
    values: Vec<f64>,
    most: Vec<f64>,
    /// Additions to everything below a node that are not in `most` of its children.
    added: Vec<f64>,
}

impl Fullest {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let leaves = values.len().next_power_of_two();
        Self { leaves, values, most: vec![f64::NEG_INFINITY; 2 * leaves], added: vec![0.0; 2 * leaves] }
    }

    /// The comment sent at place `upto` is answered: it is in every window that begins there or before.
    fn add_upto(&mut self, upto: usize) {
        let mut node = self.leaves + upto;
        self.added[node] += 1.0;
        self.most[node] = self.values[upto] + self.added[node];
        while node > 1 {
            if node % 2 == 1 {
                self.most[node - 1] += 1.0;
                self.added[node - 1] += 1.0;
            }
            node /= 2;
            self.most[node] = self.most[2 * node].max(self.most[2 * node + 1]) + self.added[node];
        }
    }

    fn most(&self) -> f64 {
        self.most[1]
    }
}

#[derive(Debug)]
struct Session {
    ended: Option<(u64, u64)>,
    /// The latest delivery, and its line.
    delivered: (u64, u64),
    /// The latest send that was accepted, and the line of its answer.
    accepted: (u64, u64),
}

/// What each session received and sent, and when its token ended.
#[derive(Debug, Default)]
pub struct Rights {
    sessions: Map<Name, Session>,
}

impl Rights {
    fn session(&mut self, session: Name) -> &mut Session {
        self.sessions.entry(session).or_insert(Session { ended: None, delivered: (0, 0), accepted: (0, 0) })
    }

    pub fn ended(&mut self, session: Name, t: u64, line: u64) {
        let ended = &mut self.session(session).ended;
        *ended = Some(ended.map_or((t, line), |known| known.min((t, line))));
    }

    pub fn delivered(&mut self, session: Name, t: u64, line: u64) {
        let delivered = &mut self.session(session).delivered;
        *delivered = (*delivered).max((t, line));
    }

    /// A message that it sent at `t` was accepted.
    pub fn accepted(&mut self, session: Name, t: u64, line: u64) {
        let accepted = &mut self.session(session).accepted;
        *accepted = (*accepted).max((t, line));
    }

    /// S18.
    pub fn judge(&self, names: &Names, findings: &mut Findings) {
        for (name, session) in &self.sessions {
            let Some((t, line)) = session.ended else { continue };
            findings.checked(Rule::S18);
            for (what, (at, seen)) in [("sent something", session.delivered), ("heard", session.accepted)] {
                if at > t + GRACE_NS {
                    findings.wrong(Rule::S18, Some(seen), || {
                        let (name, after) = (names.get(*name), Seconds(at - t));
                        format!("{name} is {what} {after} after its token ended in line {line}")
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_window_agrees_with_plain_counting() {
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let n = 1 + next(20) as usize;
            let mut values: Vec<u64> = (0..n).map(|_| next(50)).collect();
            values.sort_unstable();
            let mut fullest = Fullest::new(values.iter().map(|v| *v as f64));
            let mut left: Vec<usize> = (0..n).collect();
            let mut done = Vec::new();
            while !left.is_empty() {
                let upto = left.remove(next(left.len() as u64) as usize);
                fullest.add_upto(upto);
                done.push(upto);
                let count = |from: usize| values[from] + done.iter().filter(|at| **at >= from).count() as u64;
                assert_eq!(fullest.most(), done.iter().map(|from| count(*from)).max().unwrap() as f64);
            }
        }
    }

    #[test]
    fn a_rate_is_two_numbers_above_nothing() {
        assert_eq!("2, 5".parse(), Ok(Rate { per_s: 2.0, burst: 5.0 }));
        for bad in ["", "2", "2,0", "-1,3", "x,3", "inf,3", "1,2,3"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
