//! Helpers to search and change a history, for mutations.

use crate::show::{Dice, fields, fields_mut, kind};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// A history with helpers to search it.
pub struct History {
    pub lines: Vec<Value>,
    pub dice: Dice,
}

pub fn number(line: &Value, field: &str) -> u64 {
    fields(line).get(field).and_then(Value::as_u64).unwrap_or(0)
}

pub fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    fields(line).get(field).and_then(Value::as_str).unwrap_or_default()
}

pub fn t(line: &Value) -> u64 {
    line["t"].as_u64().expect("a time")
}

pub fn items(line: &Value) -> &[Value] {
    fields(line).get("items").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub fn items_mut(line: &mut Value) -> &mut Vec<Value> {
    fields_mut(line)["items"].as_array_mut().expect("items")
}

pub fn is_comment(item: &Value) -> bool {
    item.get(5).is_none() && !item[3].is_null()
}

impl History {
    /// The first matching line from a random one on.
    pub fn pick(&mut self, fits: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let from = self.dice.below(self.lines.len());
        (from..self.lines.len()).chain(0..from).find(|at| fits(self, *at))
    }

    /// The client's next line after `at` that is about its stream.
    pub fn next_of(&self, at: usize) -> Option<usize> {
        let client = text(&self.lines[at], "client");
        let stream = ["frame", "gap", "close", "welcome"];
        (at + 1..self.lines.len())
            .find(|i| stream.contains(&kind(&self.lines[*i])) && text(&self.lines[*i], "client") == client)
    }

    /// A frame between two frames that advances its client's position and is not part of a resume.
    pub fn is_live_frame(&self, at: usize) -> bool {
        let line = &self.lines[at];
        let client = text(line, "client");
        let is_own = |l: &&Value| text(l, "client") == client && ["frame", "gap", "welcome"].contains(&kind(l));
        let follows_frame = || {
            let mut before = self.lines[..at].iter().rev().filter(is_own);
            before.next().is_some_and(|l| kind(l) == "frame")
                && before.find(|l| kind(l) == "welcome").is_some_and(|l| number(line, "prev") >= number(l, "last"))
        };
        kind(line) == "frame"
            && number(line, "last") > number(line, "prev")
            && self.next_of(at).is_some_and(|next| kind(&self.lines[next]) == "frame")
            && follows_frame()
    }

    /// The items of a frame that are comments.
    pub fn comments(&self, at: usize) -> Vec<usize> {
        let items = items(&self.lines[at]);
        (0..items.len()).filter(|i| is_comment(&items[*i])).collect()
    }

    /// How often an offset is in the items of this room's log; the rest of a deleted comment agrees with every text.
    pub fn sightings(&self, room: &str, offset: &Value) -> usize {
        let of_room = self.lines.iter().filter(|line| text(line, "room") == room);
        of_room
            .flat_map(items)
            .filter(|item| item[0] == *offset && !(item.get(5).is_none() && item[3].is_null()))
            .count()
    }

    /// How often this item is in the items of this room's log: the same offset in a different epoch is a different
    /// item.
    pub fn twins(&self, room: &str, seen: &Value) -> usize {
        let of_room = self.lines.iter().filter(|line| text(line, "room") == room);
        let is_twin = |item: &&Value| !item[3].is_null() && (0..4).all(|field| item[field] == seen[field]);
        of_room.flat_map(items).filter(is_twin).count()
    }

    /// Calls `change` for every mention of an item.
    pub fn everywhere(&mut self, room: &str, mut change: impl FnMut(&mut Value)) {
        for line in self.lines.iter_mut().filter(|line| text(line, "room") == room && !items(line).is_empty()) {
            items_mut(line).iter_mut().for_each(&mut change);
        }
    }

    /// Comments that were sent once and acknowledged: (send, ok), of histories whose epoch stays.
    pub fn sure(&self) -> Vec<(usize, usize)> {
        let mut sends: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        let mut found = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let key = (text(line, "author"), text(line, "id"));
            match kind(line) {
                "send" => sends.entry(key).or_default().push(at),
                "ok" => found.push((key, at)),
                _ => {}
            }
        }
        let deleted: Vec<(&str, u64)> = (self.lines.iter().filter(|l| kind(l) == "deleted"))
            .map(|l| (text(l, "room"), number(l, "offset")))
            .collect();
        found.retain(|(key, ok)| {
            let room = text(&self.lines[sends[key][0]], "room");
            sends[key].len() == 1 && !deleted.contains(&(room, number(&self.lines[*ok], "offset")))
        });
        found.into_iter().map(|(key, ok)| (sends[&key][0], ok)).collect()
    }

    pub fn keeps_epoch(&self) -> bool {
        !self.lines.iter().any(|line| text(line, "kind") == "truncation")
    }

    /// Swaps two comments, for every observer.
    pub fn change_places(&mut self, one: (usize, usize), two: (usize, usize)) {
        let room = text(&self.lines[one.0], "room").to_owned();
        let offsets = [one, two].map(|(_, ok)| json!(number(&self.lines[ok], "offset")));
        let names = [one, two].map(|(send, _)| {
            let f = fields(&self.lines[send]);
            [f["author"].clone(), f["id"].clone(), f["hash"].clone()]
        });
        self.everywhere(&room, |item| {
            if let Some(which) = offsets.iter().position(|offset| item[0] == *offset) {
                for (at, name) in names[1 - which].iter().enumerate() {
                    item[at + 1] = name.clone();
                }
            }
        });
        fields_mut(&mut self.lines[one.1])["offset"] = offsets[1].clone();
        fields_mut(&mut self.lines[two.1])["offset"] = offsets[0].clone();
    }

    /// A resume that brings events, and its first frame.
    pub fn resume(&mut self) -> Option<(usize, usize)> {
        let brings = |h: &Self, at: usize| {
            let line = &h.lines[at];
            let next = h.next_of(at).filter(|next| kind(&h.lines[*next]) == "frame")?;
            let first = &h.lines[next];
            (number(first, "prev") < number(line, "last") && number(first, "last") > number(first, "prev"))
                .then_some(next)
        };
        let welcome = self.pick(|h, at| {
            kind(&h.lines[at]) == "welcome" && fields(&h.lines[at])["recovered"] == true && brings(h, at).is_some()
        })?;
        brings(self, welcome).map(|frame| (welcome, frame))
    }

    pub fn sort(&mut self) {
        self.lines.sort_by_key(t);
    }
}

/// Acknowledged comments in the audits: room and offset.
pub fn audited(h: &History) -> Vec<(String, Value)> {
    let mut held: HashSet<(&str, &str, u64)> = HashSet::new();
    for line in h.lines.iter().filter(|line| kind(line) == "audit") {
        let offsets = items(line).iter().filter_map(|item| item[0].as_u64());
        held.extend(offsets.map(|offset| (text(line, "room"), text(line, "epoch"), offset)));
    }
    let all = h.sure().into_iter().map(|(send, ok)| (&h.lines[send], &h.lines[ok]));
    all.filter(|(send, ok)| held.contains(&(text(send, "room"), text(ok, "epoch"), number(ok, "offset"))))
        .map(|(send, ok)| (text(send, "room").to_owned(), json!(number(ok, "offset"))))
        .collect()
}

/// The send and the answer of a comment that is in the audits.
pub fn is_audited(h: &History, (send, ok): (usize, usize)) -> bool {
    let (room, offset) = (text(&h.lines[send], "room"), json!(number(&h.lines[ok], "offset")));
    audited(h).iter().any(|(of, at)| of == room && *at == offset)
}

/// Appends a changed copy of an item to both nodes' logs of its room.
pub fn append(h: &mut History, fits: impl Fn(&Value) -> bool, change: impl Fn(Value) -> Value) -> Option<()> {
    let audits: Vec<usize> = (0..h.lines.len()).filter(|at| kind(&h.lines[*at]) == "audit").collect();
    let room = text(&h.lines[audits[h.dice.below(audits.len())]], "room").to_owned();
    let ends: Vec<usize> = audits
        .into_iter()
        .filter(|at| text(&h.lines[*at], "room") == room && fields(&h.lines[*at]).contains_key("last"))
        .collect();
    let of_room = h.lines.iter().filter(|line| kind(line) == "audit" && text(line, "room") == room);
    let all: Vec<Value> = of_room.flat_map(items).filter(|item| fits(item)).cloned().collect();
    let mut item = change(all.get(h.dice.below(all.len()))?.clone());
    for at in ends {
        let last = number(&h.lines[at], "last") + 5;
        item[0] = json!(last);
        items_mut(&mut h.lines[at]).push(item.clone());
        fields_mut(&mut h.lines[at])["last"] = json!(last);
    }
    Some(())
}

/// The ledger can judge this frame: its log is audited from the beginning, and nothing in it was deleted, which blanks
/// items.
pub fn in_ledger(h: &History, at: usize) -> bool {
    let line = &h.lines[at];
    let welcome = h.lines[..at].iter().rfind(|l| kind(l) == "welcome" && text(l, "session") == text(line, "session"));
    let Some(welcome) = welcome else { return false };
    let room = text(line, "room");
    let has_epoch =
        |l: &Value| kind(l) == "audit" && text(l, "room") == room && text(l, "epoch") == text(welcome, "epoch");
    let is_first = |l: &Value| has_epoch(l) && number(l, "first") == 0;
    h.lines.iter().any(is_first) && !h.lines.iter().any(|l| kind(l) == "deleted" && text(l, "room") == room)
}

/// The session of this frame has no gap and does not end because it is slow.
pub fn is_whole_span(h: &History, at: usize) -> bool {
    let session = text(&h.lines[at], "session");
    !h.lines.iter().any(|l| {
        text(l, "session") == session && (kind(l) == "gap" || (kind(l) == "close" && number(l, "code") == 4001))
    })
}

pub fn acked_item(h: &History, at: usize) -> bool {
    let acked = |item: &Value| {
        h.lines[at.saturating_sub(60)..at].iter().any(|l| {
            kind(l) == "ok"
                && item[1] == text(l, "author")
                && item[2] == text(l, "id")
                && item[0] == number(l, "offset")
        })
    };
    items(&h.lines[at]).iter().any(acked)
}

pub fn same_room(h: &History, answer: &Value, frame: &Value) -> bool {
    let sent = |l: &&Value| kind(l) == "send" && text(l, "author") == text(answer, "author");
    h.lines.iter().find(sent).is_some_and(|send| text(send, "room") == text(frame, "room"))
}

pub fn fault_times(h: &History) -> Vec<u64> {
    h.lines.iter().filter(|l| kind(l) == "fault").map(t).collect()
}
