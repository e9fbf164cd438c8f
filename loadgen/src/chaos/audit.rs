//! Reads the server's log: an audit at the end of a run, and single pages during it.
//!
//! Does not know: clients, verdicts.

use super::record::Recorder;
use super::sight::{GUARANTEED, hash};
use crate::clock::now_ns;
use crate::history::{Audit, Event, Item, Page, Text};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PAGE_EVENTS: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The name of the only node of these runs in the history.
const NODE: &str = "node";

/// The body of a GET.
///
/// # Errors
/// A sentence: no connection, or a status other than 200.
pub fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let fail = |what: String| format!("GET http://{address}{path}: {what}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|e| fail(e.to_string()))?;
    let answer = (|| {
        stream.set_read_timeout(Some(TIMEOUT))?;
        // HTTP/1.0: the answer is neither chunked nor kept open.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    })()
    .map_err(|e| fail(e.to_string()))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| fail("no HTTP answer".into()))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => Err(fail(format!("HTTP {}: {body}", status.unwrap_or("?")))),
    }
}

/// One answer of the history API.
struct LogPage {
    epoch: String,
    first: u64,
    last: u64,
    items: Vec<Item<'static>>,
    likes: u64,
    next: Option<u64>,
}

/// The classes of a room's events, as its settings change along its log.
#[derive(Debug, Default)]
struct Classes {
    changed: BTreeMap<String, String>,
    /// A change, and its log time, after which it applies.
    waiting: Vec<(u64, String, String)>,
}

impl Classes {
    /// Applies the changes before the log time `at`.
    fn pass(&mut self, at: u64) {
        for (_, name, class) in self.waiting.extract_if(.., |(of, ..)| *of < at) {
            self.changed.insert(name, class);
        }
    }

    fn change(&mut self, at: u64, classes: &Value) {
        let pairs = classes.as_object().into_iter().flatten();
        let pairs = pairs.filter_map(|(name, class)| Some((at, name.clone(), class.as_str()?.to_owned())));
        self.waiting.extend(pairs);
    }

    /// The lane of an event of this kind, or of a comment by a user with this role.
    fn lane(&self, name: &str) -> Option<Text<'static>> {
        let unless_changed = match name {
            "likes" | "votes" | "other" => return None,
            "enter" => "low",
            _ => GUARANTEED,
        };
        let class = self.changed.get(name).map_or(unless_changed, String::as_str);
        (class != "normal").then(|| class.to_owned().into())
    }
}

/// Reads a page; without `after`, from the first retained event on.
fn page(address: SocketAddr, room: &str, after: Option<u64>, classes: &mut Classes) -> Result<LogPage, String> {
    let after = after.map_or(String::new(), |after| format!("after={after}&"));
    let path = format!("/v1/rooms/{room}/events?{after}limit={PAGE_EVENTS}");
    let body = get(address, &path)?;
    let wrong = || format!("{path}: not a page of history: {}", body.chars().take(200).collect::<String>());
    let value: Value = serde_json::from_str(&body).map_err(|_| wrong())?;
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let events = value.get("events").and_then(Value::as_array).ok_or_else(wrong)?;
    let mut items = Vec::with_capacity(events.len());
    let mut likes = 0;
    for event in events {
        let offset = event.get("offset").and_then(Value::as_u64).ok_or_else(wrong)?;
        let at = event.get("at").and_then(Value::as_u64).ok_or_else(wrong)?;
        classes.pass(at);
        if let Some(comment) = event.get("comment") {
            let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
            let author = comment.get("user").and_then(|user| text(user, "id")).map(Cow::Owned);
            // The text of a deleted comment is not known any more.
            let is_deleted = comment.get("deleted").and_then(Value::as_bool).unwrap_or(false);
            let hash = text(comment, "text").filter(|_| !is_deleted).map(|text| hash(&text));
            let role = comment.get("user").and_then(|user| text(user, "role"));
            // Of the comments, only those by moderators and hosts are checked one by one.
            let is_of_staff = matches!(role.as_deref(), Some("moderator" | "host"));
            items.push(Item {
                offset,
                author,
                id: text(comment, "id").map(Cow::Owned),
                hash,
                times: 1,
                kind: None,
                lane: if is_of_staff { classes.lane(role.as_deref().unwrap_or_default()) } else { None },
            });
        } else {
            let kind = event.as_object().and_then(|event| event.keys().find(|key| *key != "offset" && *key != "at"));
            likes += event.get("likes").and_then(|likes| likes.get("add")).and_then(Value::as_u64).unwrap_or(0);
            let kind = kind.cloned().unwrap_or_else(|| "other".into());
            if let Some(classes_of) = event.get("settings").and_then(|settings| settings.get("classes")) {
                classes.change(at, classes_of);
            }
            let lane = classes.lane(&kind);
            items.push(Item { offset, kind: Some(kind.into()), lane, times: 1, ..Item::default() });
        }
    }
    let last = number("last").ok_or_else(wrong)?;
    let epoch = value.get("epoch").and_then(Value::as_str).ok_or_else(wrong)?.to_owned();
    let (first, next) = (number("first").unwrap_or(1), number("next"));
    Ok(LogPage { epoch, first, last, items, likes, next })
}

/// Reads a page of `room` after `after` and records it.
///
/// # Errors
/// A sentence.
pub fn look(recorder: &Recorder, address: SocketAddr, room: &str, after: u64) -> Result<u64, String> {
    let started = now_ns();
    // The classes that apply there are unknown; a page's lanes are not judged.
    let answer = page(address, room, Some(after), &mut Classes::default())?;
    recorder.write(&Event::Page(Page {
        node: NODE.into(),
        room: room.into(),
        epoch: Some(answer.epoch.into()),
        after,
        started: Some(started),
        items: answer.items,
    }));
    Ok(answer.last)
}

/// Offsets of the comments among the newest `count` events of `room`, without deleted ones.
///
/// # Errors
/// A sentence.
pub fn newest_comments(address: SocketAddr, room: &str, count: u64) -> Result<Vec<u64>, String> {
    let last = page(address, room, None, &mut Classes::default())?.last;
    let answer = page(address, room, Some(last.saturating_sub(count)), &mut Classes::default())?;
    let comments = answer.items.iter().filter(|item| item.kind.is_none() && item.hash.is_some());
    Ok(comments.map(|item| item.offset).collect())
}

/// Offsets of the further comments that the deletion at `offset` removed.
///
/// # Errors
/// A sentence.
pub fn taken_along(address: SocketAddr, room: &str, offset: u64) -> Result<Vec<u64>, String> {
    let path = format!("/v1/rooms/{room}/events?after={}&limit=1", offset - 1);
    let body = get(address, &path)?;
    let wrong = || format!("{path}: no deletion: {body}");
    let page: Value = serde_json::from_str(&body).map_err(|_| wrong())?;
    let delete = page.pointer("/events/0/delete").ok_or_else(wrong)?;
    let also = delete.get("also").and_then(Value::as_array);
    Ok(also.into_iter().flatten().filter_map(Value::as_u64).collect())
}

/// Reads and records the whole log of every room. The rooms must not change meanwhile.
///
/// # Errors
/// A sentence.
pub fn audit(recorder: &Recorder, address: SocketAddr, rooms: &[String]) -> Result<u64, String> {
    let mut events = 0;
    for room in rooms {
        let (mut after, mut likes, mut first) = (None, 0, None);
        let mut classes = Classes::default();
        loop {
            let answer = page(address, room, after, &mut classes)?;
            let begins = *first.get_or_insert(answer.first);
            likes += answer.likes;
            events += answer.items.len() as u64;
            after = answer.next;
            let more = after.is_some();
            recorder.write(&Event::Audit(Audit {
                node: NODE.into(),
                room: room.as_str().into(),
                epoch: answer.epoch.into(),
                first: Some(begins),
                last: Some(answer.last),
                digest: None,
                // Only a log that is retained from its first event has all likes.
                likes: (!more && begins <= 1).then_some(likes),
                more,
                items: answer.items,
            }));
            if !more {
                break;
            }
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_classes_is_in_force_after_its_log_time() {
        let mut classes = Classes::default();
        let lanes =
            |classes: &Classes| ["gift", "enter", "host", "likes"].map(|name| classes.lane(name).unwrap_or_default());
        assert_eq!(lanes(&classes), ["guaranteed", "low", "guaranteed", ""]);
        classes.pass(5);
        classes.change(5, &serde_json::json!({ "gift": "low", "enter": "guaranteed" }));
        classes.pass(5);
        assert_eq!(lanes(&classes), ["guaranteed", "low", "guaranteed", ""]);
        classes.pass(6);
        assert_eq!(lanes(&classes), ["low", "guaranteed", "guaranteed", ""]);
        classes.change(6, &serde_json::json!({ "gift": "normal" }));
        classes.pass(9);
        assert_eq!(lanes(&classes), ["", "guaranteed", "guaranteed", ""]);
    }
}
