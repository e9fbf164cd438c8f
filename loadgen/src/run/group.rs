//! Rooms of one kind in a run: their number, their viewers, and what is sent there.
//!
//! A run may have several groups, such as a hot room beside a thousand quiet ones. Each is counted separately.
//! Does not know: sockets, workers beyond their number, flags other than its own text.

use crate::run::messages::{Comments, GroupPlan, RecordedComment};
use crate::run::wording::Wording;
use std::ops::Range;

#[derive(Clone, Debug)]
pub enum Script {
    /// Texts at a steady rate.
    Rate { per_s: f64, wording: Wording },
    Recording {
        /// Oldest first.
        lines: Vec<RecordedComment>,
        speed: f64,
    },
}

#[derive(Clone, Debug)]
pub struct Group {
    /// The name in the report.
    pub name: String,
    /// Its rooms, as indices into the scenario's.
    pub rooms: Range<usize>,
    /// Viewers of all its rooms, spread evenly.
    pub viewers: usize,
    /// What its viewers send, in turns, over all its rooms.
    pub script: Script,
    /// Likes per second over all its rooms.
    pub likes_per_s: f64,
    /// Share of the comments that one viewer sends, 0–1. Only with one worker.
    pub hog: f64,
}

impl Group {
    /// The share of worker `worker` of `workers`.
    pub fn share(&self, worker: usize, workers: usize) -> GroupPlan {
        let first = self.viewers * worker / workers;
        GroupPlan {
            room_first: self.rooms.start,
            rooms: self.rooms.len(),
            viewer_first: first,
            viewers: self.viewers * (worker + 1) / workers - first,
            comments: match &self.script {
                Script::Rate { per_s, wording } => Comments::Rate { per_s: *per_s, wording: wording.clone() },
                Script::Recording { lines, speed } => {
                    let lines = lines.iter().skip(worker).step_by(workers).cloned().collect();
                    Comments::Recording { lines, speed: *speed }
                }
            },
            likes_per_s: self.likes_per_s,
            hog: self.hog,
            // At most one message of likes per millisecond, unless its count would exceed the server's limit.
            likes_per_message: (self.likes_per_s / 1_000.0).ceil().clamp(1.0, 100.0) as u64,
        }
    }
}

/// A parsed `NAME=ROOMSxVIEWERS[,comments=N][,likes=N]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupText {
    /// The name in the report, and a part of its rooms' names.
    pub name: String,
    pub rooms: usize,
    pub viewers_each: usize,
    /// Comments per second over all its rooms.
    pub comments: f64,
    /// Likes per second over all its rooms.
    pub likes: f64,
}

impl std::str::FromStr for GroupText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "give NAME=ROOMSxVIEWERS,comments=N,likes=N, such as quiet=1000x1,comments=100";
        let (name, rest) = text.split_once('=').ok_or(FORM)?;
        let mut parts = rest.split(',');
        let (rooms, viewers) = parts.next().and_then(|size| size.split_once('x')).ok_or(FORM)?;
        let count = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0).ok_or(FORM);
        let mut group = Self {
            name: name.to_owned(),
            rooms: count(rooms)?,
            viewers_each: count(viewers)?,
            comments: 0.0,
            likes: 0.0,
        };
        for part in parts {
            let (key, value) = part.split_once('=').ok_or(FORM)?;
            let rate = value.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0).ok_or(FORM)?;
            match key {
                "comments" => group.comments = rate,
                "likes" => group.likes = rate,
                _ => return Err(FORM.into()),
            }
        }
        Ok(group)
    }
}

impl GroupText {
    /// The group, if `rooms_before` rooms of other groups come before its own.
    pub fn group(&self, rooms_before: usize, wording: &Wording) -> Group {
        Group {
            name: self.name.clone(),
            rooms: rooms_before..rooms_before + self.rooms,
            viewers: self.rooms * self.viewers_each,
            script: Script::Rate { per_s: self.comments, wording: wording.clone() },
            likes_per_s: self.likes,
            hog: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_as_it_is_written() {
        let group: GroupText = "quiet=1000x2,comments=100,likes=0.5".parse().unwrap();
        assert_eq!((group.name.as_str(), group.rooms, group.viewers_each), ("quiet", 1_000, 2));
        assert_eq!((group.comments, group.likes), (100.0, 0.5));
        let group = group.group(1, &Wording::of((12, 30)));
        assert_eq!((group.rooms, group.viewers), (1..1_001, 2_000));
        for wrong in ["", "a", "a=", "a=5", "a=0x1", "a=1x0", "a=1x1,", "a=1x1,likes", "a=1x1,likes=-1", "a=1x1,b=1"] {
            assert!(wrong.parse::<GroupText>().unwrap_err().contains("ROOMSxVIEWERS"), "{wrong}");
        }
    }

    #[test]
    fn the_shares_of_all_workers_are_the_group() {
        let group = "g=7x13".parse::<GroupText>().unwrap().group(3, &Wording::of((1, 1)));
        let shares: Vec<GroupPlan> = (0..4).map(|worker| group.share(worker, 4)).collect();
        assert_eq!(shares.iter().map(|share| share.viewers).sum::<usize>(), 91);
        assert!(shares.windows(2).all(|w| w[0].viewer_first + w[0].viewers == w[1].viewer_first));
        let mut viewers = [0; 10];
        shares.iter().for_each(|share| (0..share.viewers).for_each(|n| viewers[share.room_of(n)] += 1));
        assert_eq!(viewers, [0, 0, 0, 13, 13, 13, 13, 13, 13, 13]);
    }
}
