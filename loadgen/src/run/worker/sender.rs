//! The schedule of sends, as an open loop: a comment's time does not depend on the server's answers, and its latency
//! counts from that time, so a slow server cannot hide its delay (no coordinated omission).
//!
//! Does not know: sockets, which viewer sends.

use crate::clock::{CommentId, numbering};
use crate::run::messages::{Comments, GroupPlan, Times, WorkerPlan};
use crate::run::wording::TextWriter;
use serde::Serialize;
use volley::protocol::encode;
use volley::protocol::event::{Mode, Style};
use volley::protocol::ids::ClientId;
use volley::protocol::message::{CommentRequest, LikeRequest, StyleRequest};
use volley::protocol::variant::Encoding;

/// A client's message on the wire.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ClientRequest<'a> {
    Comment(&'a CommentRequest),
    Like(LikeRequest),
}

#[derive(Debug)]
pub struct Due {
    pub at_ns: u64,
    /// For which group of rooms.
    pub group: usize,
    /// The viewer that sends most of the comments sends this one too.
    pub is_hogs: bool,
    pub what: What,
    pub payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A comment, by its number.
    Comment(u64),
    Likes(u64),
}

#[derive(Debug)]
pub struct Schedule {
    streams: Vec<Stream>,
    encoding: Encoding,
    pace: Pace,
    number: u64,
    writer: TextWriter,
}

/// The sends in one group of rooms.
#[derive(Debug)]
struct Stream {
    comments: Comments,
    likes_per_s: f64,
    likes_per_message: u64,
    hog: f64,
    comment_next: u64,
    like_next: u64,
}

/// This worker's part of a common rate.
#[derive(Clone, Copy, Debug)]
struct Pace {
    worker: u64,
    workers: u64,
    times: Times,
}

impl Pace {
    /// Time of this worker's `n`-th send, if all workers together send `per_s`.
    fn nth_ns(&self, n: u64, per_s: f64) -> Option<u64> {
        if per_s <= 0.0 {
            return None;
        }
        let global = n * self.workers + self.worker;
        let at = self.times.start_ns + (global as f64 * 1e9 / per_s) as u64;
        (at < self.times.end_ns).then_some(at)
    }
}

impl Stream {
    /// Time of the next send, and whether it is of likes.
    fn next(&self, pace: &Pace) -> Option<(u64, bool)> {
        let comment = match &self.comments {
            Comments::Rate { per_s, .. } => pace.nth_ns(self.comment_next, *per_s),
            Comments::Recording { lines, speed } => {
                let line = usize::try_from(self.comment_next).ok().and_then(|n| lines.get(n));
                let at = line.map(|line| pace.times.start_ns + (line.at_ms as f64 * 1e6 / speed) as u64);
                at.filter(|at| *at < pace.times.end_ns)
            }
        };
        let like = pace.nth_ns(self.like_next, self.likes_per_s / self.likes_per_message as f64);
        [comment.map(|at| (at, false)), like.map(|at| (at, true))].into_iter().flatten().min()
    }
}

impl Schedule {
    /// The worker's share of `plan`.
    pub fn new(plan: &WorkerPlan, times: Times) -> Self {
        let stream = |group: &GroupPlan| Stream {
            comments: group.comments.clone(),
            likes_per_s: group.likes_per_s,
            likes_per_message: group.likes_per_message.max(1),
            hog: group.hog,
            comment_next: 0,
            like_next: 0,
        };
        Self {
            streams: plan.groups.iter().map(stream).collect(),
            encoding: plan.encoding,
            pace: Pace { worker: plan.worker as u64, workers: plan.workers.max(1) as u64, times },
            number: numbering(plan.run_tag, plan.worker),
            writer: TextWriter::new(plan.worker as u64 + 1),
        }
    }

    /// Time of the next send; `None` after the last one.
    pub fn next_ns(&self) -> Option<u64> {
        self.next().map(|(at_ns, ..)| at_ns)
    }

    /// The next send that is due by `now_ns`.
    pub fn pop(&mut self, now_ns: u64) -> Option<Due> {
        let (at_ns, is_like, group) = self.next().filter(|(at_ns, ..)| *at_ns <= now_ns)?;
        Some(if is_like { self.pop_like(group, at_ns) } else { self.pop_comment(group, at_ns) })
    }

    fn next(&self) -> Option<(u64, bool, usize)> {
        let next = |(group, stream): (usize, &Stream)| {
            let (at_ns, is_like) = stream.next(&self.pace)?;
            Some((at_ns, is_like, group))
        };
        self.streams.iter().enumerate().filter_map(next).min()
    }

    fn pop_like(&mut self, group: usize, at_ns: u64) -> Due {
        let stream = &mut self.streams[group];
        stream.like_next += 1;
        let count = stream.likes_per_message;
        let payload = encode::value(&ClientRequest::Like(LikeRequest { count }), self.encoding);
        Due { at_ns, group, is_hogs: false, what: What::Likes(count), payload }
    }

    fn pop_comment(&mut self, group: usize, at_ns: u64) -> Due {
        let stream = &mut self.streams[group];
        let n = stream.comment_next;
        stream.comment_next += 1;
        self.number += 1;
        let number = self.number;
        let id = ClientId::new(&CommentId { sent_ns: at_ns, number }.text());
        let request = match &stream.comments {
            Comments::Recording { lines, .. } => {
                let line = &lines[usize::try_from(n).unwrap_or(0)];
                CommentRequest {
                    id,
                    text: line.text.clone(),
                    style: style(line.mode, line.color, line.size),
                    media_ms: Some(line.at_ms),
                    ext: None,
                }
            }
            Comments::Rate { wording, .. } => {
                CommentRequest { id, text: self.writer.text(wording), ..CommentRequest::default() }
            }
        };
        let payload = encode::value(&ClientRequest::Comment(&request), self.encoding);
        let is_hogs = stream.hog > 0.0 && self.writer.chance(stream.hog);
        Due { at_ns, group, is_hogs, what: What::Comment(number), payload }
    }
}

fn style(mode: Mode, color: u32, size: u8) -> Option<StyleRequest> {
    let style = Style { mode, color, size };
    (!style.is_default()).then_some(StyleRequest { mode: Some(mode), color: Some(color), size: Some(size) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::messages::RecordedComment;
    use crate::run::wording::Wording;
    use volley::protocol::message::ClientMessage;
    use volley::protocol::parse::parse;
    use volley::protocol::variant::Rendition;

    fn group(comments: Comments) -> GroupPlan {
        let (room_first, rooms, viewer_first, viewers) = (0, 1, 0, 1);
        GroupPlan {
            room_first,
            rooms,
            viewer_first,
            viewers,
            comments,
            hog: 0.0,
            likes_per_s: 20.0,
            likes_per_message: 2,
        }
    }

    fn plan(worker: usize, workers: usize, comments: Comments) -> WorkerPlan {
        WorkerPlan {
            worker,
            workers,
            run_tag: 7,
            server: ([127, 0, 0, 1], 1).into(),
            host: String::new(),
            rooms: vec!["r".into()],
            groups: vec![group(comments)],
            viewer_first: 0,
            encoding: Encoding::Json,
            compression: false,
            rendition: Rendition::Viewer,
            connect_per_s: 1.0,
            sockets_per_address: 0,
            stall_share: 0.0,
            stall_rcvbuf_bytes: 0,
        }
    }

    fn rate(per_s: f64, chars: (usize, usize)) -> Comments {
        Comments::Rate { per_s, wording: Wording::of(chars) }
    }

    const TIMES: Times = Times { start_ns: 1_000, measure_ns: 1_000, end_ns: 2_000_001_000, stall_ns: None };

    #[test]
    fn all_workers_together_keep_the_rate_and_no_two_share_a_number() {
        let mut at = Vec::new();
        let (mut numbers, mut likes) = (std::collections::HashSet::new(), 0);
        for worker in 0..3 {
            let mut schedule = Schedule::new(&plan(worker, 3, rate(50.0, (12, 30))), TIMES);
            assert!(schedule.pop(999).is_none(), "nothing is due before the start");
            while let Some(due) = schedule.pop(u64::MAX) {
                match (due.what, parse(&due.payload, Encoding::Json).unwrap()) {
                    (What::Comment(n), ClientMessage::Comment(c)) => {
                        assert!(numbers.insert(n));
                        assert!((12..=30).contains(&c.text.chars().count()));
                        let id = CommentId::parse(c.id.unwrap().as_str()).unwrap();
                        assert_eq!(id, CommentId { sent_ns: due.at_ns, number: n });
                        at.push(due.at_ns);
                    }
                    (What::Likes(2), ClientMessage::Like(like)) => likes += like.count,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(schedule.next_ns(), None);
        }
        at.sort_unstable();
        assert_eq!((at.len(), likes), (100, 40));
        assert!(at.windows(2).all(|w| (w[1] - w[0]).abs_diff(20_000_000) <= 1), "evenly spaced");
    }

    #[test]
    fn each_group_keeps_its_own_rate_and_all_share_the_numbers() {
        let mut plan = plan(0, 1, rate(50.0, (1, 1)));
        plan.groups.push(GroupPlan { likes_per_s: 0.0, ..group(rate(7.0, (1, 1))) });
        let mut schedule = Schedule::new(&plan, TIMES);
        let due: Vec<Due> = std::iter::from_fn(|| schedule.pop(u64::MAX)).collect();
        assert!(due.windows(2).all(|w| w[0].at_ns <= w[1].at_ns), "in the order of their times");
        let mut numbers = std::collections::HashSet::new();
        let mut said = [[0; 2]; 2];
        for Due { group, what, .. } in &due {
            said[*group][usize::from(matches!(what, What::Likes(_)))] += 1;
            assert!(!matches!(what, What::Comment(n) if !numbers.insert(*n)));
        }
        assert_eq!(said, [[100, 20], [14, 0]]);
    }

    #[test]
    fn a_recording_plays_at_its_speed_with_its_looks() {
        let line = |at_ms, text: &str| RecordedComment {
            at_ms,
            mode: Mode::Top,
            color: 0xff0000,
            size: 18,
            text: text.into(),
        };
        let comments =
            Comments::Recording { lines: vec![line(0, "a"), line(8_000, "b"), line(80_000, "c")], speed: 8.0 };
        let mut quiet = plan(0, 1, comments);
        quiet.groups[0].likes_per_s = 0.0;
        let mut schedule = Schedule::new(&quiet, TIMES);
        let due: Vec<Due> = std::iter::from_fn(|| schedule.pop(u64::MAX)).collect();
        assert_eq!(
            due.iter().map(|d| d.at_ns).collect::<Vec<_>>(),
            [1_000, 1_000_001_000],
            "the third is after the end"
        );
        let ClientMessage::Comment(second) = parse(&due[1].payload, Encoding::Json).unwrap() else { panic!() };
        assert_eq!((second.text.as_str(), second.media_ms), ("b", Some(8_000)));
        let looks = StyleRequest { mode: Some(Mode::Top), color: Some(0xff0000), size: Some(18) };
        assert_eq!(second.style, Some(looks));
    }
}
