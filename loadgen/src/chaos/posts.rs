//! The show's owner: posts gifts, cards, announcements, arrivals, the host's comments, polls and deletions through the
//! admin API at a steady rate, and records them. An unanswered post is repeated with its key until it is answered, so
//! every outcome is known.
//!
//! Does not know: viewers, the rules that are checked, which fault is on.

use super::audit;
use super::dice::Dice;
use super::record::Recorder;
use super::sight::hash;
use crate::clock::now_ns;
use crate::history::{Answered, Deleted, Event, Kept, Refused, Sent, Who};
use crate::wire::admin;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pause after a post that was not answered.
const AGAIN_AFTER: Duration = Duration::from_millis(30);
/// How long one post is repeated, after which the run fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// How far behind the newest event comments are deleted: some are in every client's snapshot, some are not.
const DELETED_BEHIND_MAX: u64 = 400;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub stored: u64,
    pub deleted: u64,
    /// Comments that were deleted with others into which they had been merged.
    pub taken_along: u64,
    pub polls: u64,
    /// Posts that were sent again.
    pub again: u64,
}

#[derive(Clone, Debug)]
pub struct OwnerPlan {
    /// The public and the admin address.
    pub addresses: [SocketAddr; 2],
    /// The rooms, to which posts go in turns.
    pub rooms: Vec<String>,
    /// Posts per second over all rooms.
    pub per_s: f64,
    pub seed: u64,
}

#[derive(Debug)]
pub struct Posts {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Done, String>>,
}

impl Posts {
    pub fn start(plan: OwnerPlan, recorder: &Recorder) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, recorder) = (stop.clone(), recorder.clone());
        let thread = std::thread::spawn(move || {
            let mut owner = Owner { dice: Dice::new(plan.seed), plan, recorder, number: 0, done: Done::default() };
            owner.run(&stopped).map(|()| owner.done)
        });
        Self { stop, thread }
    }

    /// Stops posting, and waits until the last post is answered.
    ///
    /// # Errors
    /// A post was refused, or not answered in time.
    pub fn end(self) -> Result<Done, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the owner's thread panicked".to_owned())?
    }
}

/// Posts one event that a scenario needs; returns its epoch and offset.
///
/// # Errors
/// The post was refused, or not answered in time.
pub fn post(admin: SocketAddr, room: &str, key: &str, event: &Value) -> Result<(String, u64), String> {
    let mut again = 0;
    match post_until_answered(admin, room, key, event, &mut again)? {
        Ok(place) => Ok(place),
        Err(refusal) => Err(format!("{event} in {room}: {refusal}")),
    }
}

/// Repeats a post until it is answered. The outer error: no answer in time; the inner one: a refusal.
fn post_until_answered(
    admin: SocketAddr,
    room: &str,
    key: &str,
    event: &Value,
    again: &mut u64,
) -> Result<Result<(String, u64), String>, String> {
    let (began, body) = (Instant::now(), event.to_string());
    loop {
        let answer =
            admin::post(&admin.to_string(), &format!("/v1/rooms/{room}/events"), &[("Idempotency-Key", key)], &body);
        match answer {
            Ok((200..=299, text)) => {
                let answer: Value = serde_json::from_str(&text).map_err(|e| format!("{text}: {e}"))?;
                let epoch = answer.get("epoch").and_then(Value::as_str).ok_or_else(|| format!("no epoch: {text}"))?;
                let offset = admin::posted_offset(&text).ok_or_else(|| format!("no offset: {text}"))?;
                return Ok(Ok((epoch.to_owned(), offset)));
            }
            Ok((status @ 400..=499, text)) if status != 429 => return Ok(Err(format!("http {status}: {text}"))),
            Ok(_) | Err(_) if began.elapsed() < PATIENCE => {}
            Ok((status, text)) => return Err(format!("{event} in {room}: http {status}: {text}")),
            Err(error) => return Err(format!("{event} in {room}: {error}")),
        }
        *again += 1;
        std::thread::sleep(AGAIN_AFTER);
    }
}

struct Owner {
    plan: OwnerPlan,
    recorder: Recorder,
    dice: Dice,
    number: u64,
    done: Done,
}

impl Owner {
    fn run(&mut self, stopped: &AtomicBool) -> Result<(), String> {
        let began = now_ns();
        while !stopped.load(Ordering::Relaxed) {
            let due_ns = began + (self.number as f64 * 1e9 / self.plan.per_s) as u64;
            std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(now_ns())));
            self.number += 1;
            let room = self.plan.rooms[(self.number % self.plan.rooms.len() as u64) as usize].clone();
            match self.number / self.plan.rooms.len() as u64 % 8 {
                0 | 4 => self.delete(&room)?,
                1 => self.host_says(&room)?,
                2 => self.poll(&room)?,
                _ => {
                    let event = self.event();
                    self.must_post(&room, &event)?;
                }
            }
        }
        Ok(())
    }

    fn event(&mut self) -> Value {
        let n = self.number;
        let user = |role: &str| json!({ "id": format!("u{}", n % 7), "name": format!("fan {}", n % 7), "role": role });
        match self.dice.below(6) {
            0 => json!({ "announcement": { "text": format!("notice {n}"), "level": "urgent" } }),
            1 => json!({ "custom": { "type": "shop.product", "data": { "n": n }, "sticky": true } }),
            2 => json!({ "enter": { "user": user("vip") } }),
            3 => json!({ "pin": { "text": format!("pinned {n}") } }),
            4 => json!({ "gift": { "user": user("viewer"), "name": "rose", "count": 1 + n % 9, "value": 100 } }),
            _ => {
                json!({ "gift": { "user": user("viewer"), "name": "rocket", "count": 1, "value": 9, "combo": format!("k{}", n % 7) } })
            }
        }
    }

    fn key(&self) -> String {
        format!("post-{}", self.number)
    }

    fn must_post(&mut self, room: &str, event: &Value) -> Result<(String, u64), String> {
        let key = self.key();
        let place = post_until_answered(self.plan.addresses[1], room, &key, event, &mut self.done.again)?
            .map_err(|refusal| format!("{event} in {room}: {refusal}"))?;
        self.done.stored += 1;
        Ok(place)
    }

    /// A comment of the host must be recorded as sent before a client sees it.
    fn host_says(&mut self, room: &str) -> Result<(), String> {
        let (id, text) = (self.key(), format!("the host says {}", self.number));
        let event = json!({ "comment": { "user": { "id": "host", "name": "host", "role": "host" }, "text": text } });
        self.recorder.write(&Event::Send(Sent {
            who: Who { client: Some("host".into()), session: None },
            author: "host".into(),
            id: Some(id.as_str().into()),
            room: room.into(),
            hash: hash(&text),
            attempt: None,
            retry: false,
        }));
        let answered =
            Answered { author: "host".into(), id: id.as_str().into(), room: Some(room.into()), attempt: None };
        let answer = post_until_answered(self.plan.addresses[1], room, &id, &event, &mut self.done.again)?;
        match answer {
            Ok((epoch, offset)) => {
                self.done.stored += 1;
                let kept = Kept { answered, epoch: epoch.into(), offset, outcome: None, into: None };
                self.recorder.write(&Event::Ok(kept));
                Ok(())
            }
            Err(refusal) => {
                self.recorder.write(&Event::Fail(Refused { answered, code: refusal.as_str().into() }));
                Err(format!("{event} in {room}: {refusal}"))
            }
        }
    }

    /// Opens a poll, which closes the one before it; sometimes only closes one.
    fn poll(&mut self, room: &str) -> Result<(), String> {
        let id = format!("poll-{}", self.number);
        let event = json!({ "poll": { "id": id, "question": "which?", "options": ["one", "two", "three"] } });
        self.must_post(room, &event)?;
        self.done.polls += 1;
        Ok(())
    }

    /// Deletes a random comment of the log. A retry finds its own deletion by its key.
    fn delete(&mut self, room: &str) -> Result<(), String> {
        // If the server is down, the next attempt may succeed.
        let Ok(comments) = audit::newest_comments(self.plan.addresses[0], room, DELETED_BEHIND_MAX) else {
            return Ok(());
        };
        if comments.is_empty() {
            return Ok(());
        }
        let offset = comments[self.dice.below(comments.len() as u64) as usize];
        let (epoch, at) = self.must_post(room, &json!({ "delete": { "offset": offset } }))?;
        self.done.deleted += 1;
        let began = Instant::now();
        let also = loop {
            match audit::taken_along(self.plan.addresses[0], room, at) {
                Ok(also) => break also,
                Err(error) if began.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(AGAIN_AFTER),
            }
        };
        self.done.taken_along += also.len() as u64;
        for offset in std::iter::once(offset).chain(also) {
            let (room, epoch) = (room.into(), Some(epoch.as_str().into()));
            self.recorder.write(&Event::Deleted(Deleted { room, epoch, offset }));
        }
        Ok(())
    }
}
