//! The open poll: its voters and their votes.
//!
//! Does not know: the source of votes, frames.

use crate::protocol::ids::{ClientId, Offset};
use crate::protocol::kind::{Poll, Tally, Votes};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// Users with a counted vote in one poll: about 9 MiB. Further votes are refused and counted.
pub const VOTERS_MAX: usize = 200_000;

/// A poll ends by itself after this much log time.
pub const OPEN_MS_MAX: u64 = 86_400_000;

/// A poll also ends after this many records. Until it ends the log cannot drop them, and a restart reads all of them
/// again, which takes a few seconds.
pub const OPEN_RECORDS_MAX: u64 = 1_000_000;

/// The state of a user's vote in the open poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voted {
    /// The user has not voted, and the poll has room.
    New,
    /// The log has the vote at this offset.
    At(Offset),
    /// The user has not voted, and the poll has reached [`VOTERS_MAX`].
    Full,
}

/// A user as a poll remembers them: a 128-bit hash, so that a user cannot construct a collision with another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Voter(u128);

impl Voter {
    fn of(user: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(user.as_bytes()).into();
        Self(u128::from_le_bytes(std::array::from_fn(|at| hash[at])))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct OpenPoll {
    pub(super) poll: Poll,
    opened_ms: u64,
    /// Records in the log since the poll was opened.
    records: u64,
    votes: Vec<u64>,
    voters: HashMap<Voter, Offset>,
    /// Votes beyond the bound.
    refused: u64,
    voters_max: usize,
}

impl OpenPoll {
    pub(super) fn new(poll: Poll, opened_ms: u64) -> Self {
        let votes = vec![0; poll.options.len()];
        Self { poll, opened_ms, records: 0, votes, voters: HashMap::new(), refused: 0, voters_max: VOTERS_MAX }
    }

    /// Takes note of the next record, at `at_ms`. Returns whether the poll is over before it.
    pub(super) fn is_over(&mut self, at_ms: u64) -> bool {
        self.records += 1;
        self.records > OPEN_RECORDS_MAX || at_ms.saturating_sub(self.opened_ms) >= OPEN_MS_MAX
    }

    /// Counts votes that the log has at `offset`. Returns whether the tally changed.
    pub(super) fn count(&mut self, votes: &Votes, offset: Offset) -> bool {
        if votes.poll != self.poll.id {
            return false;
        }
        let mut changed = false;
        for ballot in &votes.ballots {
            let Some(count) = self.votes.get_mut(usize::from(ballot.option)) else { continue };
            let voter = Voter::of(&ballot.user);
            if self.voters.contains_key(&voter) {
                continue;
            }
            if self.voters.len() >= self.voters_max {
                self.refused += 1;
                continue;
            }
            self.voters.insert(voter, offset);
            *count += 1;
            changed = true;
        }
        changed
    }

    pub(super) fn voted(&self, user: &str) -> Voted {
        match self.voters.get(&Voter::of(user)) {
            Some(offset) => Voted::At(*offset),
            None if self.voters.len() >= self.voters_max => Voted::Full,
            None => Voted::New,
        }
    }

    pub(super) fn is(&self, id: &ClientId) -> bool {
        self.poll.id == *id
    }

    pub(super) fn tally(&self, open: bool) -> Tally {
        Tally { id: self.poll.id.clone(), votes: self.votes.clone(), open }
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::kind::Ballot;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn poll() -> OpenPoll {
        let id = ClientId::new("p").unwrap();
        OpenPoll::new(Poll { id, question: "?".into(), options: vec!["a".into(), "b".into(), "c".into()] }, 0)
    }

    fn votes(ballots: &[(u64, u8)]) -> Votes {
        let ballot = |(user, option): &(u64, u8)| Ballot { user: format!("u{user}").into(), option: *option };
        Votes { poll: ClientId::new("p").unwrap(), ballots: ballots.iter().map(ballot).collect() }
    }

    #[test]
    fn voters_beyond_the_bound_are_refused_and_counted() {
        let mut poll = OpenPoll { voters_max: 2, ..poll() };
        assert!(poll.count(&votes(&[(1, 0), (2, 1), (3, 1), (1, 2)]), 5));
        assert_eq!((poll.votes.clone(), poll.refused()), (vec![1, 1, 0], 1));
        assert_eq!([1, 2, 3].map(|n| poll.voted(&format!("u{n}"))), [Voted::At(5), Voted::At(5), Voted::Full]);
        assert!(!poll.count(&votes(&[(3, 1)]), 6), "nothing changed");
    }

    #[test]
    fn a_poll_ends_after_its_time_and_after_its_number_of_records() {
        assert!(!poll().is_over(OPEN_MS_MAX - 1));
        assert!(poll().is_over(OPEN_MS_MAX));
        let mut long = OpenPoll { records: OPEN_RECORDS_MAX - 1, ..poll() };
        assert!(!long.is_over(1));
        assert!(long.is_over(1));
    }

    proptest! {
        #[test]
        fn a_users_first_vote_counts_and_no_other(
            batches in prop::collection::vec(prop::collection::vec((0_u64..20, 0_u8..4), 0..12), 0..12)
        ) {
            let mut poll = poll();
            let mut first: BTreeMap<u64, (u8, u64)> = BTreeMap::new();
            for (offset, batch) in (1..).zip(&batches) {
                let before = poll.tally(true);
                let changed = poll.count(&votes(batch), offset);
                prop_assert_eq!(changed, before != poll.tally(true));
                for (user, option) in batch.iter().filter(|(_, option)| *option < 3) {
                    first.entry(*user).or_insert((*option, offset));
                }
            }
            let mut expected = vec![0; 3];
            for (user, (option, offset)) in &first {
                expected[usize::from(*option)] += 1;
                prop_assert_eq!(poll.voted(&format!("u{user}")), Voted::At(*offset));
            }
            prop_assert_eq!(poll.votes, expected);
        }
    }
}
