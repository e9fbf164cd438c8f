//! The show's owner: posts gifts, announcements and product cards at a steady rate through the admin API. Each post
//! carries its send time, by which viewers measure the latency of the guaranteed lane.
//!
//! The schedule is an open loop, as that of comments: a post's time does not depend on the server's answers. Each post
//! has an idempotency key and is repeated until it is answered.
//!
//! Does not know: viewers, the ledger.

use crate::clock::{CommentId, now_ns, numbering};
use crate::run::messages::{Times, bump};
use crate::secret::Secret;
use crate::wire::admin;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use volley::protocol::frame::What;
use volley::protocol::ids::Offset;
use volley::protocol::kind::Kind;

/// A worker number that no worker has.
const NUMBERED_AS: usize = 0xff;
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Attempts of one post.
const TRIES_MAX: u32 = 20;
/// The most posts in flight: an answer takes a tick and a commit, and the next post does not wait for it.
const LANES_MAX: usize = 32;
/// The assumed time until an answer, in seconds.
const ANSWER_S: f64 = 0.5;

/// The results of the posts.
#[derive(Clone, Debug, Default)]
pub struct Posted {
    /// Offsets of the posts, by room.
    pub offsets: Vec<Vec<Offset>>,
    pub stored: u64,
    /// Posts that were refused or not answered, by cause.
    pub failed: BTreeMap<String, u64>,
    /// The greatest lateness of a post, which is the most that the generator adds to the latency of posts.
    pub late_ns: u64,
}

impl Posted {
    fn add(&mut self, other: Self) {
        for (all, more) in self.offsets.iter_mut().zip(other.offsets) {
            all.extend(more);
            all.sort_unstable();
        }
        self.stored += other.stored;
        other.failed.iter().for_each(|(cause, times)| bump(&mut self.failed, cause, *times));
        self.late_ns = self.late_ns.max(other.late_ns);
    }
}

#[derive(Debug)]
pub struct Poster {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Posted>,
}

#[derive(Clone, Debug)]
pub struct PosterPlan {
    /// The admin address, as `http://HOST:PORT`.
    pub admin: String,
    /// The admin key, if the address requires one.
    pub key: Option<Secret>,
    /// All rooms, to which posts go in turns.
    pub rooms: Vec<String>,
    /// Posts per second over all rooms.
    pub per_s: f64,
    /// Upper bits of all numbers of the run.
    pub run_tag: u16,
}

impl Poster {
    /// Posts from `times.start_ns` to `times.end_ns`.
    ///
    /// # Errors
    /// A sentence: the system cannot start a thread.
    pub fn start(plan: PosterPlan, times: Times) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("poster".into())
            .spawn(move || run(&plan, times, &stopped))
            .map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Self { stop, thread })
    }

    /// Stops posting, if it has not ended, and returns the results.
    pub fn end(self) -> Posted {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn run(plan: &PosterPlan, times: Times, stopped: &AtomicBool) -> Posted {
    let lanes = ((plan.per_s * ANSWER_S).ceil() as usize).clamp(1, LANES_MAX);
    let mut posted = Posted { offsets: vec![Vec::new(); plan.rooms.len()], ..Posted::default() };
    std::thread::scope(|scope| {
        let lanes: Vec<_> =
            (0..lanes).map(|lane| scope.spawn(move || run_lane(plan, times, stopped, (lane, lanes)))).collect();
        for lane in lanes {
            match lane.join() {
                Ok(of_lane) => posted.add(of_lane),
                Err(_) => bump(&mut posted.failed, "a thread of loadgen panicked", 1),
            }
        }
    });
    posted
}

/// Every `of`-th post, beginning with number `lane`.
fn run_lane(plan: &PosterPlan, times: Times, stopped: &AtomicBool, (lane, of): (usize, usize)) -> Posted {
    let mut posted = Posted { offsets: vec![Vec::new(); plan.rooms.len()], ..Posted::default() };
    let first = numbering(plan.run_tag, NUMBERED_AS);
    for n in (lane as u64..).step_by(of) {
        let at_ns = times.start_ns + (n as f64 * 1e9 / plan.per_s) as u64;
        if at_ns >= times.end_ns || stopped.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(Duration::from_nanos(at_ns.saturating_sub(now_ns())));
        posted.late_ns = posted.late_ns.max(now_ns().saturating_sub(at_ns));
        let id = CommentId { sent_ns: at_ns, number: first + n + 1 };
        let room = n as usize % plan.rooms.len();
        match post_until_answered(plan, &plan.rooms[room], id, stopped) {
            Ok(offset) => {
                posted.offsets[room].push(offset);
                posted.stored += 1;
            }
            Err(cause) => bump(&mut posted.failed, &cause, 1),
        }
    }
    posted
}

fn post_until_answered(plan: &PosterPlan, room: &str, id: CommentId, stopped: &AtomicBool) -> Result<Offset, String> {
    let (key, path) = (id.text(), format!("/v1/rooms/{room}/events"));
    let mut headers = vec![("Idempotency-Key", key.as_str())];
    let bearer = plan.key.as_ref().map(|key| format!("Bearer {}", key.reveal()));
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    let body = event(id).to_string();
    let mut cause = String::new();
    for _ in 0..TRIES_MAX {
        match admin::post(&plan.admin, &path, &headers, &body) {
            Ok((200..=299, answer)) => {
                return admin::posted_offset(&answer).ok_or_else(|| "an answer without an offset".into());
            }
            Ok((status @ 400..=499, _)) => return Err(format!("http {status}")),
            Ok((status, _)) => cause = format!("http {status}"),
            Err(error) => cause = error,
        }
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(AGAIN_AFTER);
    }
    Err(cause)
}

/// The event of this number: gifts, announcements and product cards in turns.
fn event(id: CommentId) -> Value {
    let text = format!("loadgen {}", id.text());
    match id.number % 3 {
        0 => {
            json!({ "gift": { "user": { "id": "loadgen", "name": "loadgen" }, "name": text, "count": 1, "value": 100 } })
        }
        1 => json!({ "announcement": { "text": text } }),
        _ => json!({ "custom": { "type": "loadgen.product", "data": { "title": text } } }),
    }
}

/// The id of a shown post, if this run posted it.
pub fn sent(what: &What) -> Option<CommentId> {
    let text = match what {
        What::Kind(Kind::Gift(gift)) => &*gift.name,
        What::Kind(Kind::Announcement(announcement)) => &*announcement.text,
        What::Kind(Kind::Custom(custom)) => custom.data.get("title")?.as_str()?,
        _ => return None,
    };
    CommentId::parse(text.strip_prefix("loadgen ")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volley::protocol::frame::FrameEvent;

    #[test]
    fn every_kind_of_post_tells_its_viewers_when_it_was_sent() {
        for number in 30..36 {
            let id = CommentId { sent_ns: 123_456_789_000, number };
            let mut posted = event(id);
            posted["offset"] = json!(7);
            let shown: FrameEvent = serde_json::from_value(posted).unwrap();
            assert_eq!((sent(&shown.what), shown.offset), (Some(id), 7));
        }
        assert_eq!(sent(&What::Unknown), None);
    }
}
